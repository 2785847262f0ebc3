"""Thread keys: what in a message ties it to a ticket, best first."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from normalizer.mail import words
from normalizer.mail.limits import REFERENCES
from normalizer.message import KeyKind, ThreadKey

_BRACKETED = re.compile(r"<([^<>]{1,998})>")
_BARE_ID = re.compile(r"[^\s<>\",;]{1,300}@[^\s<>\",;]{1,255}")
_SPACE = re.compile(r"\s+")
_TOKEN = re.compile(r"(?:^|[+.])([a-z2-7]{20,64})(?=$|[+.])")
_NUMBER = re.compile(r"\[(?:[^\[\]#]{1,60} )?#\s?([A-Za-z0-9][A-Za-z0-9-]{0,15})\]")
"""Our tag, and those of ticket stores: "[#1045287]", "[#W-12]", "[desk.example #77]", "[Support - Bug #9]"."""
_TOKENS = 10


def message_ids(values: Iterable[str]) -> tuple[str, ...]:
    """Ids without angle brackets, in order, each once. Folded and unbracketed ones are put together again."""
    found: dict[str, None] = {}
    for value in values:
        text = _text(value)
        bracketed = _BRACKETED.findall(text)
        for one in bracketed or _BARE_ID.findall(text):
            found[_SPACE.sub("", one)] = None
    return tuple(one for one in found if one)


def message_id(value: str) -> str:
    """The one Message-ID of a header; tolerant of missing brackets and of spaces inside."""
    plain = _text(value)
    bracketed = _BRACKETED.search(plain)
    text = bracketed[1] if bracketed else plain.strip().strip("<>")
    return _SPACE.sub("", text)[:998]


def _text(value: str) -> str:
    """8-bit ids (RFC 6532) as text."""
    return words.clean(value if value.isascii() else words.to_bytes(value).decode("utf-8", "replace"))


def keys(
    *, recipients: Iterable[str], in_reply_to: Sequence[str], references: Sequence[str], subject: str
) -> tuple[ThreadKey, ...]:
    """Reply tokens of plus-addresses, In-Reply-To, References (newest first, at most 50), numbers in the subject."""
    found = [ThreadKey(kind=KeyKind.REPLY_TOKEN, value=token) for token in _tokens(recipients)]
    ids = dict.fromkeys((*in_reply_to, *reversed(references)))
    found.extend(ThreadKey(kind=KeyKind.MESSAGE_ID, value=one) for one in list(ids)[:REFERENCES])
    numbers = dict.fromkeys(_NUMBER.findall(subject))
    found.extend(ThreadKey(kind=KeyKind.TICKET_NUMBER, value=one) for one in list(numbers)[:_TOKENS])
    return tuple(found)


def _tokens(recipients: Iterable[str]) -> list[str]:
    found: dict[str, None] = {}
    for address in recipients:
        local, plus, tag = address.partition("@")[0].lower().partition("+")
        if plus and local:
            found.update(dict.fromkeys(_TOKEN.findall(tag)))
    return list(found)[:_TOKENS]
