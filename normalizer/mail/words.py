"""Encoded words (RFC 2047) and parameters (RFC 2231), as tolerant as real mail needs."""

from __future__ import annotations

import binascii
import re
from contextlib import suppress
from urllib.parse import unquote_to_bytes

from normalizer.mail import charsets

_SPACE = re.compile(r"[ \t\r\n\x0b\x0c]+")
_ODD = re.compile("[\x00-\x08\x0e-\x1f\x7f\u200b\u2060\ufeff\ud800-\udfff]")
_JUNK = re.compile(rb"[^A-Za-z0-9+/=\s]|=\s*[A-Za-z0-9+/]")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]+")


def to_bytes(value: str) -> bytes:
    """The bytes of a header value as the parser keeps it (surrogate escapes for 8-bit)."""
    return value.encode("utf-8", "surrogateescape")


def clean(text: str) -> str:
    """Without control characters, zero-width characters and lone surrogates."""
    if text.isprintable() or "".join(text.split("\n")).isprintable():
        return text
    return _ODD.sub("", text) if _ODD.search(text) else text


def one_line(text: str) -> str:
    """Cleaned, with every run of white space as one space."""
    if text.isprintable() and "  " not in text:
        return clean(text).strip()
    return clean(_SPACE.sub(" ", text)).strip()


def unquoted_base64(data: bytes) -> tuple[bytes, bool]:
    """Decoded, whatever the padding and the rubbish between; False when something was wrong."""
    with suppress(binascii.Error):
        return binascii.a2b_base64(data.translate(None, b"\r\n\t "), strict_mode=True), True
    packed = _NOT_BASE64.sub(b"", data)
    sound = len(packed) % 4 != 1 and not _JUNK.search(data)
    if len(packed) % 4 == 1:
        packed = packed[:-1]
    return binascii.a2b_base64(packed + b"=" * (-len(packed) % 4)), sound


def decode(value: str, oddities: list[str], charset: str = "") -> str:
    """A header value as text on one line. `charset`: what raw 8-bit bytes may be in (the body's charset)."""
    if value.isascii() and "=?" not in value:
        return one_line(value)
    pieces: list[str] = []
    run = _Run(oddities)
    at = 0
    while True:
        word = _next_word(value, at)
        between = value[at : word[0]] if word else value[at:]
        if between.strip(" \t\r\n") or (not word and between):
            pieces.append(run.flush())
            pieces.append(_raw(between, oddities, charset))
        elif between and not run.open:
            pieces.append(between)
        if not word:
            pieces.append(run.flush())
            return one_line("".join(pieces))
        if run.name != word[2]:
            pieces.append(run.flush())
        run.add(word[2], word[3], word[4])
        at = word[1]


class _Run:
    """Adjacent encoded words of one charset; joined as bytes, so that a split character survives."""

    def __init__(self, oddities: list[str]) -> None:
        self.name = ""
        self._bytes: list[bytes] = []
        self._oddities = oddities

    @property
    def open(self) -> bool:
        return bool(self._bytes)

    def add(self, name: str, encoding: str, text: str) -> None:
        self.name = name
        raw = to_bytes(text)
        if encoding in "bB":
            data, sound = unquoted_base64(raw)
            if not sound:
                self._oddities.append("header:bad-base64")
        else:
            data = binascii.a2b_qp(raw, header=True)
        self._bytes.append(data)

    def flush(self) -> str:
        if not self._bytes:
            return ""
        text, oddity = charsets.decode(b"".join(self._bytes), self.name)
        if oddity:
            self._oddities.append(oddity)
        self._bytes.clear()
        self.name = ""
        return text


def _next_word(value: str, start: int) -> tuple[int, int, str, str, str] | None:
    """(start, end, charset, encoding, text) of the next encoded word. Linear: nothing is looked at twice."""
    at = value.find("=?", start)
    while at >= 0:
        mark = value.find("?", at + 2, at + 80)
        if mark > 0 and value[mark + 1 : mark + 2] in "bBqQ" and value[mark + 2 : mark + 3] == "?":
            end = value.find("?=", mark + 3)
            if end < 0:
                return None
            name = value[at + 2 : mark].partition("*")[0]
            if value[mark + 1 : mark + 2]:
                return at, end + 2, name, value[mark + 1], value[mark + 3 : end]
        at = value.find("=?", at + 2)
    return None


def _raw(text: str, oddities: list[str], charset: str) -> str:
    if text.isascii():
        return text
    oddities.append("header:8bit")
    decoded, _ = charsets.decode(to_bytes(text), charset if charsets.codec(charset) not in ("", "ascii") else "")
    return decoded


# -- parameters ---------------------------------------------------------------------------


def parameters(value: str) -> tuple[str, dict[str, str]]:
    """The main value in lower case, and raw parameters by lower-case name; linear in the length."""
    pieces = _split(value)
    found: dict[str, str] = {}
    for piece in pieces[1:101]:
        name, equals, text = piece.partition("=")
        name = name.strip().lower()
        if equals and name and name not in found:
            found[name] = _unquote(text.strip())
    return _comment_free(pieces[0]).lower(), found


def _comment_free(text: str) -> str:
    return text.partition("(")[0].strip()


def _split(value: str) -> list[str]:
    if '"' not in value:
        return value.split(";")
    pieces: list[str] = []
    start, quoted, escaped = 0, False, False
    for at, char in enumerate(value):
        if escaped:
            escaped = False
        elif char == "\\" and quoted:
            escaped = True
        elif char == '"':
            quoted = not quoted
        elif char == ";" and not quoted:
            pieces.append(value[start:at])
            start = at + 1
    pieces.append(value[start:])
    return pieces


def _unquote(text: str) -> str:
    if text[:1] == '"':
        end = len(text) - 1 if text[-1:] == '"' and len(text) > 1 else len(text)
        return re.sub(r"\\([\"\\])", r"\1", text[1:end])
    return text


def parameter(found: dict[str, str], name: str, oddities: list[str], charset: str = "") -> str:
    """One parameter as text: plain, extended, continued (RFC 2231), or with encoded words as many mailers do."""
    if name in found:
        return decode(found[name], oddities, charset)
    if f"{name}*" in found:
        return _extended([(found[f"{name}*"], True)], oddities)
    pieces: list[tuple[str, bool]] = []
    for number in range(100):
        if f"{name}*{number}*" in found:
            pieces.append((found[f"{name}*{number}*"], True))
        elif f"{name}*{number}" in found:
            pieces.append((found[f"{name}*{number}"], False))
        else:
            break
    if any(extended for _, extended in pieces):
        return _extended(pieces, oddities)
    return decode("".join(text for text, _ in pieces), oddities, charset)


def _extended(pieces: list[tuple[str, bool]], oddities: list[str]) -> str:
    charset = ""
    first, extended = pieces[0]
    if extended and first.count("'") >= 2:
        charset, _, rest = first.partition("'")
        pieces = [(rest.partition("'")[2], True), *pieces[1:]]
    data = b"".join(unquote_to_bytes(to_bytes(text)) if coded else to_bytes(text) for text, coded in pieces)
    text, oddity = charsets.decode(data, charset)
    if oddity:
        oddities.append(oddity)
    return one_line(text)
