"""A way to somebody, as configuration writes it: "mail:anna@ops.example", "telegram/desk:5000000001", "sms:+38067…"."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_WAY = re.compile(r"([a-z]+)(?:/([\w.-]{1,64}))?:(.+)")
_NUMBER = r"\+[1-9][0-9]{6,14}"
ADDRESSES: Mapping[str, tuple[str, str]] = {
    "mail": (r"[^\s@<>]+@[^\s@<>]+", "a mail address: operator@ops.example"),
    "telegram": (r"-?[1-9][0-9]{0,19}", "the number of a chat: 5000000001"),
    "sms": (_NUMBER, "a number in international form: +380670000001"),
    "whatsapp": (_NUMBER, "a number in international form: +380670000001"),
}
"""Channel -> the form of an address there, and what it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to one person."""

    channel: str
    account: str = ""
    """"": any of the channel that sends; of bots the first."""
    address: str

    def __str__(self) -> str:
        return f"{self.channel}/{self.account}:{self.address}" if self.account else f"{self.channel}:{self.address}"

    def destination(self) -> dict[str, Any] | None:
        """What the channel's sender needs beside the address; None: nothing."""
        match self.channel:
            case "mail":
                return None
            case "telegram":
                return {"chat": int(self.address)}
            case _:
                return {"to": self.address}


def parse(value: object) -> Way:
    """The way that a text names. Raises ValueError with what would be right."""
    if isinstance(value, Way):
        return value
    found = _WAY.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None or found[1] not in ADDRESSES:
        raise ValueError(f"should be a channel and an address, such as telegram:5000000001; channels: {_channels()}")
    form, said = ADDRESSES[found[1]]
    if not re.fullmatch(form, found[3]):
        raise ValueError(f"after {found[1]}: should stand {said}")
    return Way(channel=found[1], account=found[2] or "", address=found[3])


def _channels() -> str:
    return ", ".join(ADDRESSES)


WayText: TypeAlias = Annotated[
    Way, BeforeValidator(parse), PlainSerializer(str),
    WithJsonSchema({"type": "string", "examples": ["telegram:5000000001", "mail:operator@ops.example"]}),
]  # fmt: skip
