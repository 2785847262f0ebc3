"""The parts of the channel: a webhook and a sender for each account, by its provider."""

from __future__ import annotations

from collections.abc import Mapping

from channels.contract import Parts, Wiring
from channels.sms import kannel
from channels.sms.kannel_settings import KannelAccount
from channels.sms.settings import SmsAccount
from channels.twilio.parts import parts


def build(accounts: Mapping[str, SmsAccount | KannelAccount], wiring: Wiring) -> Parts:
    """Make the parts; nothing connects. Raises KeyError or OSError for a secret that is not there, ValueError for one
    that cannot be one."""
    twilio = {name: account for name, account in accounts.items() if isinstance(account, SmsAccount)}
    theirs = {name: account for name, account in accounts.items() if isinstance(account, KannelAccount)}
    one, other = parts("sms", twilio, wiring), kannel.parts(theirs, wiring)
    return Parts(
        senders={**one.senders, **other.senders},
        listeners=(*one.listeners, *other.listeners),
        webhooks={**one.webhooks, **other.webhooks},
        fetchers={**one.fetchers, **other.fetchers},
        probers={**one.probers, **other.probers},
    )
