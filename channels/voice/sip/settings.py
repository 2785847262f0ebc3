"""What an account for a telephone of our own may be told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from importlib.util import find_spec
from ipaddress import ip_address, ip_network
from pathlib import Path
from shutil import which
from typing import Annotated, ClassVar, Literal, Self, TypeAlias

from pydantic import Field, SecretStr, StringConstraints, field_validator, model_validator

from channels.contract import AccountSettings
from channels.credentials import reveal
from channels.durations import Duration, Size
from channels.speech import PROGRAM, Speech

Number: TypeAlias = Annotated[str, StringConstraints(pattern=r"^(\+[1-9][0-9]{6,14}|[0-9]{2,8})$")]
Host: TypeAlias = Annotated[str, StringConstraints(pattern=r"^$|^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?$")]
Language: TypeAlias = Literal["ru", "uk", "en"]
STACK, EXTRA = "baresip", "sip"
"""Module of the SIP stack, and the extra of ours that installs it."""
PROMPTS = "prompts"
"""Folder below the channel's data where made sounds are."""


class SipAccount(AccountSettings):
    """A telephone of our own at an exchange: calls come in by SIP and end here. Nobody is called."""

    BUILT_ONCE: ClassVar[frozenset[str]] = frozenset(
        {"provider", "host", "port", "peers", "numbers", "user", "registrar", "auth_user", "password", "reg_interval",
         "transfer_to", "country", "trunk", "most_calls", "longest_call", "free_disk", "keep", "rtp_ports", "recorded",
         "voices", "speed"}
    )  # fmt: skip

    provider: Literal["sip"]
    """A SIP exchange (PBX) on premises. Needs the extra: `pip install 'intake-gateway[sip]'`."""
    host: str = "127.0.0.1"
    """The address of this machine that the exchange reaches; 0.0.0.0 for all of them."""
    port: int = Field(default=5060, ge=0, le=65535)
    """For SIP by UDP and TCP; 0: any free one."""
    peers: tuple[str, ...] = Field(default=("127.0.0.1", "::1"), min_length=1)
    """Addresses or networks that calls are taken from: the exchange's. Who calls from elsewhere hears that we are busy,
    and operators hear of it."""
    numbers: tuple[Number, ...] = Field(min_length=1)
    """Our numbers, as callers dial them: +380441234567, or an extension."""
    user: str = Field(default="gateway", pattern=r"^[A-Za-z0-9_.+-]+$", max_length=60)
    """Our name at the exchange: the extension."""
    registrar: Host = ""
    """The exchange that we register at, "pbx.example.org"; empty: it knows where we are."""
    auth_user: str = Field(default="", pattern=r"^[A-Za-z0-9_.@+-]*$", max_length=60)
    """Name for the password where it is not `user`."""
    password: SecretStr | None = None
    """`env:NAME` or `file:PATH`: what we register with."""
    reg_interval: Duration = timedelta(minutes=10)
    """How often we register again."""
    transfer_to: Host = ""
    """Where numbers are rung for a caller (`people` of ivr.yaml, the contract's number): the exchange, which is asked
    by REFER (RFC 3515) to put the caller through to sip:<number>@<this>. Empty: nobody is rung, callers are
    recorded."""
    country: str = Field(default="", pattern=r"^$|^\+[1-9][0-9]{0,3}$")
    """Calling code of numbers that the exchange writes without one: +380. Empty: they stay as they are, and get no text
    messages."""
    trunk: str = Field(default="0", pattern=r"^[0-9]?$")
    """What such numbers begin with and lose then: 0441234567 is +380441234567."""
    most_calls: int = Field(default=10, ge=1, le=200)
    """Calls at a time; one more hears that we are busy."""
    longest_call: Duration = Field(default=timedelta(minutes=30), ge=timedelta(seconds=5), le=timedelta(hours=4))
    """A call is ended after this."""
    free_disk: Size = Field(default=200 * 1024 * 1024, ge=1024 * 1024)
    """Bytes that must stay free: below it no call is taken, and a recording ends."""
    keep: Duration = Field(default=timedelta(days=3), ge=timedelta(days=1))
    """How long a recording stays in the telephone's own folder beside the one that is in the ticket; longer than
    `media.max_age`."""
    rtp_ports: str = Field(default="16384-32767", pattern=r"^[1-9][0-9]{3,4}-[1-9][0-9]{3,4}$")
    """UDP ports of sound (RTP)."""
    recorded: Path | None = None
    """Folder of prompts that a person has spoken, `<language>/<name>.wav`; they win over made ones. `gateway prompts
    list` shows names and words."""
    voices: Mapping[Language, str] = Field(default={"uk": "uk", "ru": "ru", "en": "en-gb"})
    """Voice of espeak-ng for each language (`espeak-ng --voices`)."""
    speed: int = Field(default=150, ge=80, le=300)
    """Words in a minute."""

    @field_validator("host")
    @classmethod
    def _is_an_address(cls, host: str) -> str:
        try:
            return str(ip_address(host))
        except ValueError:
            raise ValueError("should be an address of this machine such as 192.0.2.10, or 0.0.0.0") from None

    @field_validator("peers")
    @classmethod
    def _are_networks(cls, peers: tuple[str, ...]) -> tuple[str, ...]:
        for peer in peers:
            try:
                ip_network(peer, strict=False)
            except ValueError:
                raise ValueError(f"{peer!r} should be an address or a network: 192.0.2.10, 192.0.2.0/24") from None
        return peers

    @field_validator("rtp_ports")
    @classmethod
    def _are_ports(cls, ports: str) -> str:
        first, last = map(int, ports.split("-"))
        if not first + 10 <= last <= 65535:
            raise ValueError("should be a range of ports such as 16384-32767")
        return ports

    @model_validator(mode="after")
    def _can_register(self) -> Self:
        if self.registrar and self.password is None:
            raise ValueError("registrar needs a password: env:NAME or file:PATH")
        if self.registrar and not timedelta(seconds=30) <= self.reg_interval <= timedelta(hours=1):
            raise ValueError("reg_interval should be from 30s to 1h")
        return self

    def endpoints(self) -> tuple[str, ...]:
        """Our numbers with "voice:" in front: the same ones may take text messages, too."""
        return tuple(f"voice:{number}" for number in self.numbers)

    def wrong_secrets(self) -> Mapping[str, str]:
        """A password that the SIP stack could not write down (it knows no way to quote these)."""
        if self.password is None:
            return {}
        try:
            said = reveal(self.password)
        except (KeyError, OSError, ValueError):
            return {}  # one that is not there is said elsewhere
        if not said or not said.isprintable() or '"' in said or "\\" in said:
            return {"password": 'is empty, or has a ", a \\ or what cannot be printed in it'}
        return {}

    def lacks(self) -> Sequence[str]:
        """The SIP stack, and the program that speaks."""
        stack = [] if find_spec(STACK) is not None else [f"the SIP stack: pip install 'intake-gateway[{EXTRA}]'"]
        voice = [] if which(PROGRAM) else [f"{PROGRAM}: what is not recorded is not heard (apt-get install {PROGRAM})"]
        return [*stack, *voice]

    def speech(self, data: Path) -> Speech:
        """Where its sounds come from; `data` is the folder of everything of ours."""
        made = data / "voice" / PROMPTS
        return Speech(
            made=made,
            recorded=self.recorded,
            voices={str(key): voice for key, voice in self.voices.items()},
            speed=self.speed,
        )
