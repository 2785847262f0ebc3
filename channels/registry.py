"""The channels there are: one visible line each. Nothing is scanned, and importing this starts nothing.

A channel's settings are imported here (they are plain models); its parts and SDKs when it is built.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias, cast

from pydantic import BaseModel

from channels.contract import AccountSettings, Finding, Parts, Surroundings, Wiring
from channels.mail.settings import MailAccount, SmtpOptions
from channels.sms.kannel_settings import KannelAccount
from channels.sms.settings import SmsAccount
from channels.telegram.settings import TelegramAccount
from channels.voice.settings import VoiceAccount
from channels.voice.sip.settings import SipAccount
from channels.whatsapp.settings import WhatsappAccount

Build: TypeAlias = Callable[[Mapping[str, Any], Wiring], Parts]
"""Accounts by name, each of the channel's own model, and the wiring -> the channel's parts."""
Online: TypeAlias = Callable[[Mapping[str, Any], Surroundings], Awaitable[Sequence[Finding]]]
"""Accounts by name -> what was found; nothing is changed at the far side, and nobody is written to."""


Login: TypeAlias = Callable[[Any, Callable[[str], None], str], Coroutine[Any, Any, Sequence[Path]]]
"""(account, what shows a person what to do, which part of the account or "" for all) -> the files with the tokens.
Raises RuntimeError or OSError."""

Menu: TypeAlias = Mapping[str, Sequence[tuple[str, str]]]
"""Language -> (command, what it does in words), in order."""
Setup: TypeAlias = Callable[[str, Any, str, Menu, Callable[[str], None]], Coroutine[Any, Any, None]]
"""(name of the account, account, our public address, menu, what tells a person) -> the far side knows how to reach
us. Raises RuntimeError with words for an engineer, KeyError or OSError for a secret that is not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """What the gateway knows of a channel before it is built."""

    settings: type[AccountSettings]
    """Model of `channels.<channel>.<account>`."""
    providers: Mapping[str, type[AccountSettings]] = field(default_factory=dict)
    """Where accounts are of several kinds: `provider` of an account -> its model; `settings` is that of an account
    that names none."""
    options: type[BaseModel] | None = None
    """Model of the channel's own section, where it has one."""
    build: Build
    identity: str = ""
    """Kind of the identities that people have there ("mail", "phone" …), shared by channels that name people alike;
    "": the channel's own name."""
    login: Login | None = None
    """For channels whose accounts log in at a provider."""
    setup: Setup | None = None
    """For channels whose far side must be told where we are."""
    window: timedelta | None = None
    """How long after somebody wrote last free words may go to them; a sender is told when it ends. None: always."""
    online: Online | None = None
    """Tries what accounts name on the network, for `gateway check --online`."""


def _later(module: str) -> Build:
    """The module's `build`, imported at the first call: an account that nobody configured costs no SDK."""

    def build(accounts: Mapping[str, Any], wiring: Wiring) -> Parts:
        return cast(Build, import_module(module).build)(accounts, wiring)

    return build


async def _mail_login(account: Any, say: Callable[[str], None], only: str) -> Sequence[Path]:
    from channels.mail.device_login import login

    return await login(account, say, only)


async def _telegram_setup(name: str, account: Any, public_url: str, menu: Menu, say: Callable[[str], None]) -> None:
    from channels.telegram.setup import setup

    await setup(name, account, public_url, menu, say)


def _online(module: str) -> Online:
    """The module's `look`, imported at the first call."""

    async def look(accounts: Mapping[str, Any], around: Surroundings) -> Sequence[Finding]:
        return await cast(Online, import_module(module).look)(accounts, around)

    return look


CHANNELS: Mapping[str, Channel] = MappingProxyType(
    {
        "mail": Channel(
            settings=MailAccount,
            options=SmtpOptions,
            build=_later("channels.mail.build"),
            identity="mail",
            login=_mail_login,
            online=_online("channels.mail.online"),
        ),
        "telegram": Channel(
            settings=TelegramAccount,
            build=_later("channels.telegram.build"),
            setup=_telegram_setup,
            online=_online("channels.telegram.online"),
        ),
        "sms": Channel(
            settings=SmsAccount,
            providers={"twilio": SmsAccount, "kannel": KannelAccount},
            build=_later("channels.sms.build"),
            identity="phone",
            online=_online("channels.sms.online"),
        ),
        "whatsapp": Channel(
            settings=WhatsappAccount,
            build=_later("channels.whatsapp.build"),
            identity="phone",
            online=_online("channels.whatsapp.online"),
            window=timedelta(hours=24),
        ),
        "voice": Channel(
            settings=VoiceAccount,
            providers={"twilio": VoiceAccount, "sip": SipAccount},
            build=_later("channels.voice.build"),
            identity="phone",
            online=_online("channels.voice.online"),
        ),
    }
)


def identity_kind(channel: str) -> str:
    """Kind of the identities of a channel's people; its own name where nothing else is said."""
    found = CHANNELS.get(channel)
    return (found.identity if found is not None else "") or channel
