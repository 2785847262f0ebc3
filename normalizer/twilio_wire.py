"""The parameters of a request of Twilio's, tolerantly: what is no text is nothing, and nothing raises."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from normalizer.mail import words
from normalizer.mail.limits import TEXT_CHARS
from normalizer.message import InlineBody, RawMessage

FIELDS = 5_000
"""Parameters that are read."""
LINE_CHARS = 500
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_HIDDEN_NUMBERS = frozenset({"+266696687", "+7378742833", "+2562533", "+8656696", "+86282452253"})
"""ANONYMOUS, RESTRICTED, BLOCKED, UNKNOWN and UNAVAILABLE as a telephone's letters."""
_HIDDEN = frozenset({"", "anonymous", "restricted", "blocked", "unknown", "unavailable", "private", "withheld"})
_SCHEME = re.compile(r"^(?:sips?|tel|client):")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request's parameters and where it came to."""

    fields: Mapping[str, str]
    """The first value of each name."""
    query: Mapping[str, str]
    """Parameters of the address that we gave ourselves."""
    channel: str
    account: str
    odd: tuple[str, ...] = ()

    def line(self, name: str, most: int = LINE_CHARS) -> str:
        """Text on one line; "" when it is not there."""
        return words.one_line(self.fields.get(name, "")[: most * 4])[:most].strip()

    def text(self, name: str) -> str:
        """Text of several lines."""
        said = self.fields.get(name, "")[:TEXT_CHARS]
        return words.clean(said.replace("\r\n", "\n").replace("\r", "\n")).strip()

    def count(self, name: str) -> int:
        """A number that is no less than 0, of seconds say: a call may take a day; 0 for everything else."""
        said = self.fields.get(name, "")
        return int(said) if re.fullmatch(r"[0-9]{1,5}", said) else 0

    def number(self, name: str) -> str:
        """A telephone number, or what stands in its place, without the channel's name before it."""
        return self.line(name, 320).removeprefix("whatsapp:").strip()

    def key(self, sid: str) -> str:
        """The key of the message with this SID, as senders and keys of threads write it."""
        return f"{self.channel}:{self.account}:{sid}" if sid else ""

    @property
    def sid(self) -> str:
        """The message's SID; "" when it has none."""
        return next((said for name in ("MessageSid", "SmsMessageSid", "SmsSid") if (said := self.line(name, 64))), "")


def request_of(raw: RawMessage) -> Request:
    """Facts used: `json`, `query`. Raises TypeError for a body that is still on disk."""
    if not isinstance(raw.body, InlineBody):
        raise TypeError("the body of a raw message is loaded before it is normalised")
    content = raw.body.content
    query = raw.facts.get("query")
    odd: list[str] = []
    fields = _json(content, odd) if raw.facts.get("json") is True else _form(content, odd)
    return Request(
        fields=fields,
        query=_form(query.encode("utf-8", "replace"), []) if isinstance(query, str) else {},
        channel=raw.channel,
        account=raw.account,
        odd=tuple(odd),
    )


def is_reachable(number: str) -> bool:
    """A number in international form that can be written to."""
    return bool(_E164.fullmatch(number)) and number not in _HIDDEN_NUMBERS


def is_hidden(number: str) -> bool:
    """The network does not say who it is from: by a word, by a number that stands for one (with a plus sign or
    without), or by an address of SIP with either in it (RFC 3323 section 4.1.1.3)."""
    user, _, host = _SCHEME.sub("", number.strip().lower()).partition("@")
    host = host.partition(";")[0].partition(":")[0]
    user = user.partition(";")[0].partition(":")[0]
    return host == "anonymous.invalid" or user in _HIDDEN or f"+{user.removeprefix('+')}" in _HIDDEN_NUMBERS


def _form(content: bytes, odd: list[str]) -> dict[str, str]:
    text = content.decode("utf-8", "replace")
    if text.count("&") >= FIELDS:
        odd.append("limit:fields")
        text = "&".join(text.split("&", FIELDS)[:FIELDS])
    fields: dict[str, str] = {}
    for name, value in parse_qsl(text, keep_blank_values=True, encoding="utf-8", errors="replace"):
        fields.setdefault(name, value)
    if any("\N{REPLACEMENT CHARACTER}" in value for value in fields.values()):
        odd.append("utf8:bad")
    return fields


def _json(content: bytes, odd: list[str]) -> dict[str, str]:
    try:
        # Numbers stay text: one of a million digits takes minutes to read.
        found = json.loads(content, parse_int=str, parse_float=str)
    except RecursionError:
        odd.append("json:too_deep")
        return {}
    except ValueError:
        odd.append("json:bad")
        return {}
    known = found.items() if isinstance(found, dict) else ()
    return {key: value for key, value in list(known)[:FIELDS] if isinstance(value, str)}
