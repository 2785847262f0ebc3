"""The parts of a channel that speaks by Twilio."""

from __future__ import annotations

import random
import secrets
from collections.abc import Mapping

from channels.contract import Fetcher, Listener, Parts, Prober, Sender, Webhook, Wiring
from channels.credentials import reveal
from channels.twilio.fetch import TwilioFetcher
from channels.twilio.outbound import Line, TwilioProber, TwilioSender
from channels.twilio.reconcile import Reconciler
from channels.twilio.settings import TwilioAccount, TwilioNumbers
from channels.twilio.signature import Keys
from channels.twilio.webhook import TwilioHook


def parts(channel: str, accounts: Mapping[str, TwilioAccount], wiring: Wiring) -> Parts:
    """What each account has. Raises KeyError or OSError for a secret that is not there, ValueError for an empty one."""
    webhooks: dict[str, Webhook] = {}
    senders: dict[str, Sender] = {}
    probers: dict[str, Prober] = {}
    fetchers: dict[str, Fetcher] = {}
    listeners: list[Listener] = []
    for name, account in accounts.items():
        for key, said in account.wrong_secrets().items():
            raise ValueError(f"channels.{channel}.{name}.{key}: {said}")
        public_url = account.public_url or wiring.public_url.rstrip("/")
        webhooks[name] = TwilioHook(
            channel,
            name,
            account,
            keys_of(account),
            public_url=public_url,
            clock=wiring.clock,
            spool=wiring.spool,
            unique=_unique,
            suspects=wiring.suspects,
        )
        tokens = keys_of(account).tokens
        line = Line(account, *tokens)
        senders[name] = TwilioSender(channel, name, account, line, public_url=public_url, clock=wiring.clock)
        probers[name] = TwilioProber(channel, name, account, line, clock=wiring.clock)
        fetchers[name] = TwilioFetcher(account, tokens, clock=wiring.clock, unique=_unique)
        if wiring.ledger is not None and account.reconcile:
            listeners.append(
                Reconciler(
                    channel, name, account, tokens, clock=wiring.clock, ledger=wiring.ledger, chance=random.random
                )
            )
    return Parts(senders=senders, listeners=listeners, webhooks=webhooks, fetchers=fetchers, probers=probers)


def _unique() -> str:
    return secrets.token_hex(16)


def keys_of(account: TwilioNumbers) -> Keys:
    """What may sign. Raises KeyError, OSError, ValueError."""
    tokens = [account.auth_token, *([account.next_auth_token] if account.next_auth_token is not None else [])]
    return Keys(
        tokens=tuple(reveal(token) for token in tokens),
        shared=tuple((key.id, reveal(key.secret)) for key in account.shared_keys),
    )
