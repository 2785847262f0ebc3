"""The parts of the channel: a webhook, a sender and a reader of lists, or a telephone, for each account, and
what fetches recordings."""

from __future__ import annotations

import random
import secrets
from collections.abc import Mapping

from channels.contract import Fetcher, Listener, Parts, Prober, Sender, Webhook, Wiring
from channels.twilio.outbound import Line
from channels.twilio.parts import keys_of
from channels.voice.fetch import RecordingFetcher
from channels.voice.missed import MissedCalls
from channels.voice.outbound import CallProber, CallSender
from channels.voice.settings import VoiceAccount
from channels.voice.sip.parts import parts as sip_parts
from channels.voice.sip.settings import SipAccount
from channels.voice.webhook import VoiceHook


def build(accounts: Mapping[str, VoiceAccount | SipAccount], wiring: Wiring) -> Parts:
    """Make the parts; nothing connects. Raises KeyError or OSError for a secret that is not there, ValueError for one
    that cannot be one, or for a telephone of our own without the SIP stack."""
    ours = sip_parts({name: account for name, account in accounts.items() if isinstance(account, SipAccount)}, wiring)
    theirs = _twilio({name: each for name, each in accounts.items() if isinstance(each, VoiceAccount)}, wiring)
    return Parts(
        senders={**theirs.senders, **ours.senders},
        probers=theirs.probers,
        listeners=(*theirs.listeners, *ours.listeners),
        webhooks=theirs.webhooks,
        fetchers={**theirs.fetchers, **ours.fetchers},
    )


def _twilio(accounts: Mapping[str, VoiceAccount], wiring: Wiring) -> Parts:
    webhooks: dict[str, Webhook] = {}
    senders: dict[str, Sender] = {}
    probers: dict[str, Prober] = {}
    fetchers: dict[str, Fetcher] = {}
    listeners: list[Listener] = []
    for name, account in accounts.items():
        for key, said in account.wrong_secrets().items():
            raise ValueError(f"channels.voice.{name}.{key}: {said}")
        keys, public_url = keys_of(account), account.public_url or wiring.public_url.rstrip("/")
        webhooks[name] = VoiceHook(
            "voice",
            name,
            account,
            keys,
            public_url=public_url,
            clock=wiring.clock,
            spool=wiring.spool,
            unique=_unique,
            suspects=wiring.suspects,
            dialog=wiring.dialog,
        )
        line = Line(account, *keys.tokens)
        senders[name] = CallSender(name, account, line, public_url=public_url, clock=wiring.clock)
        probers[name] = CallProber(name, account, line, clock=wiring.clock)
        fetchers[name] = RecordingFetcher(name, account, keys.tokens, clock=wiring.clock, unique=_unique)
        if wiring.ledger is not None and account.reconcile:
            listeners.append(
                MissedCalls(name, account, keys.tokens, clock=wiring.clock, ledger=wiring.ledger, chance=random.random)
            )
    return Parts(senders=senders, listeners=listeners, webhooks=webhooks, fetchers=fetchers, probers=probers)


def _unique() -> str:
    return secrets.token_hex(16)
