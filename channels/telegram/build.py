"""The parts of the Telegram channel: for each bot what listens or is called, and a sender."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Mapping

from channels.contract import Fetcher, Listener, Parts, Webhook, Wiring
from channels.credentials import fingerprint, reveal
from channels.telegram.fetch import TelegramFetcher
from channels.telegram.outbound import TelegramSender
from channels.telegram.polling import Poller
from channels.telegram.senders import OpenSenders
from channels.telegram.settings import TelegramAccount
from channels.telegram.watch import HookWatch
from channels.telegram.webhook import BotName, TelegramHook


def build(accounts: Mapping[str, TelegramAccount], wiring: Wiring) -> Parts:
    """Make the parts; nothing connects yet. Raises KeyError or OSError for a secret that is not there, ValueError for
    one that cannot be right."""
    senders: dict[str, TelegramSender] = {}
    fetchers: dict[str, Fetcher] = {}
    listeners: list[Listener] = []
    webhooks: dict[str, Webhook] = {}
    for name, account in accounts.items():
        for key, said in account.wrong_secrets().items():
            raise ValueError(f"channels.telegram.{name}.{key}: {said}")
        # First: what changes between the two is taken for changed by the next reload.
        known = fingerprint(account)
        token = reveal(account.token)
        senders[name] = TelegramSender(
            name,
            token,
            api_url=f"{account.api_url}/bot",
            seconds=account.timeout.total_seconds(),
            monotonic=time.monotonic,
        )
        fetchers[name] = TelegramFetcher(account, token, unique=_unique)
        if account.mode == "webhook":
            webhooks[name], watch = _hooked(name, account, token, wiring, known)
            listeners.append(watch)
        else:
            listeners.append(_polled(name, account, token, wiring, known))
    closing = OpenSenders([sender.close for sender in senders.values()])
    return Parts(senders=senders, listeners=[*listeners, closing], webhooks=webhooks, fetchers=fetchers)


def _hooked(
    name: str, account: TelegramAccount, token: str, wiring: Wiring, known: str
) -> tuple[TelegramHook, HookWatch]:
    """The two know the bot's name together, so a reload changes both or none."""
    bot = BotName()
    hook = TelegramHook(
        name,
        account,
        reveal(account.secret) if account.secret is not None else "",
        clock=wiring.clock,
        spool=wiring.spool,
        unique=_unique,
        suspects=wiring.suspects,
        bot=bot,
        secrets=known,
    )
    return hook, HookWatch(name, account, token, clock=wiring.clock, chance=random.random, bot=bot, secrets=known)


def _polled(name: str, account: TelegramAccount, token: str, wiring: Wiring, known: str) -> Poller:
    return Poller(
        name,
        account,
        token,
        clock=wiring.clock,
        ledger=wiring.ledger,
        spool=wiring.spool,
        unique=_unique,
        chance=random.random,
        secrets=known,
    )


def _unique() -> str:
    return secrets.token_hex(16)
