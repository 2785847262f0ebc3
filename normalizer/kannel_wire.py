"""The parameters that Kannel fills into an address, as bytes and as text. Total: what is no text is replaced.

Kannel's user guide, "Parameters (Escape Codes)": %p sender, %P receiver, %b the text's own bytes, %C their charset, %c
the coding (0: 7 bits, 1: 8 bits of data, 2: UCS-2), %u the user data header, %T seconds since 1970.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from normalizer.mail import charsets, words
from normalizer.mail.limits import TEXT_CHARS
from normalizer.message import InlineBody, RawMessage

FIELDS = 200
LINE_CHARS = 500
UCS2, DATA = "2", "1"
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_SHORT = re.compile(r"[0-9]{3,8}")
_WHOLE = re.compile(r"[1-9][0-9]{9,14}")
_CHARSET = re.compile(r'charset\s*=\s*"?([\w.:-]{1,40})"?', re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of Kannel's."""

    fields: Mapping[str, bytes]
    """The first value of each name."""
    headers: Mapping[str, str]
    """Of a POST, by lower-case name."""
    ours: tuple[str, ...]
    """Numbers of the account."""
    body: bytes | None = None
    """Of a POST: the text's own bytes."""

    def line(self, name: str, most: int = LINE_CHARS) -> str:
        """Text on one line; "" when it is not there."""
        return words.one_line(self.fields.get(name, b"").decode("utf-8", "replace")[: most * 4])[:most].strip()

    @property
    def coding(self) -> str:
        """ "0", "1", "2", or ""."""
        return self.line("coding", 2) or self.headers.get("x-kannel-coding", "")[:2]

    @property
    def person(self) -> str:
        """Who wrote, or whom a report is about."""
        return international(self.line("from", 100) or self.headers.get("x-kannel-from", "")[:100])

    @property
    def our_number(self) -> str:
        """Ours, as the account writes it: a network may drop its plus or add one; the only one where none is said."""
        said = self.line("to", 100) or self.headers.get("x-kannel-to", "")[:100]
        known = {digits(number): number for number in self.ours}
        return known.get(digits(said)) or international(said) or (self.ours[0] if self.ours else "")

    def text(self, odd: list[str]) -> str:
        """The words; notes what was wrong with their bytes."""
        content = self.body if self.body is not None else self.fields.get("text", b"")
        content = content[: TEXT_CHARS * 4]
        if (charset := self._charset()) == "utf-16be":
            if len(content) % 2:
                odd.append("utf16:cut")
                content = content[:-1]
            said = content.decode("utf-16-be", "replace")
        else:
            said, oddity = charsets.decode(content, charset)
            odd += [oddity] if oddity else []
        return words.clean(said.replace("\r\n", "\n").replace("\r", "\n"))[:TEXT_CHARS].strip()

    def _charset(self) -> str:
        declared = _CHARSET.search(self.headers.get("content-type", ""))
        said = (declared[1] if declared is not None else self.line("charset", 40)).lower()
        if said.replace("-", "").replace("_", "") in ("utf16be", "ucs2", "iso10646ucs2"):
            return "utf-16be"
        return "utf-16be" if self.coding == UCS2 and not said else said or "utf-8"

    def part(self) -> tuple[int, int] | None:
        """(number, all) where this is one part of a message that Kannel could not join (3GPP TS 23.040, 9.2.3.24)."""
        header = self.fields.get("udh", b"")
        at = 1
        while at + 2 <= len(header):
            kind, size = header[at], header[at + 1]
            value = header[at + 2 : at + 2 + size]
            if (kind, size) in ((0, 3), (8, 4)) and len(value) == size:
                return value[-1], value[-2]
            at += 2 + size
        return None


def call_of(raw: RawMessage) -> Call:
    """Facts used: `query`, `headers`, `numbers`. Raises TypeError for a body that is still on disk."""
    if not isinstance(raw.body, InlineBody):
        raise TypeError("the body of a raw message is loaded before it is normalised")
    query, headers, numbers = raw.facts.get("query"), raw.facts.get("headers"), raw.facts.get("numbers")
    posted = isinstance(query, str)
    content = query.encode("utf-8", "surrogateescape") if isinstance(query, str) else raw.body.content
    said = headers.items() if isinstance(headers, Mapping) else ()
    return Call(
        fields=_fields(content),
        headers={name: value for name, value in said if isinstance(value, str)},
        ours=tuple(one for one in numbers if isinstance(one, str)) if isinstance(numbers, list | tuple) else (),
        body=raw.body.content if posted else None,
    )


def digits(number: str) -> str:
    """Only them."""
    return "".join(char for char in number if char in "0123456789")


def international(number: str) -> str:
    """With its plus where it is certain; short codes without one; names and national numbers as they are."""
    said = number.strip()
    if _WHOLE.fullmatch(said):
        return f"+{said}"
    bare = said.removeprefix("+")
    return bare if _SHORT.fullmatch(bare) and not _E164.fullmatch(said) else said


def is_reachable(number: str) -> bool:
    """A number in international form that can be written to."""
    return bool(_E164.fullmatch(number))


def _fields(content: bytes) -> dict[str, bytes]:
    fields: dict[str, bytes] = {}
    for part in content.split(b"&", FIELDS)[:FIELDS]:
        name, _, value = part.partition(b"=")
        fields.setdefault(
            unquote_to_bytes(name).decode("ascii", "replace"), unquote_to_bytes(value.replace(b"+", b" "))
        )
    return fields
