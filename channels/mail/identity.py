"""Who a mail is, told from its bytes in one pass over the header and without parsing it (rule 1).

A repeat of a message differs in the trace that servers on its way added, and in nothing else.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO

HEADER_LIMIT = 1024 * 1024
"""Bytes of header that are looked at; what comes after them counts as body."""
PEER_LIMIT = 320
ID_LIMIT = 500

_TRACE = (
    rb"received|x-received|return-path|delivered-to|envelope-to|x-envelope-to|x-original-to|received-spf|dkim-signature|"
    # Verdicts of the relay, which may differ from one try to the next.
    rb"(?:x-)?authentication-results|arc-(?:seal|message-signature|authentication-results)|x-(?:spam|rspamd|virus)[!-9;-~]*"
)
_VALUE = rb"(?P<value>[^\n]*(?:\n|\Z)(?:[ \t][^\n]*(?:\n|\Z))*)"
_FIELDS = re.compile(
    rb"^(?:(?P<trace>" + _TRACE + rb")|(?P<id>message-id)|from)[ \t]*:" + _VALUE, re.IGNORECASE | re.MULTILINE
)
"""The fields that matter here, each with its continuation lines."""
_ANGLE_ADDRESS = re.compile(rb"<\s*([^<>\s@]+@[^<>\s]+)\s*>")
_BARE_ADDRESS = re.compile(rb"[^\s<>()\"',;:]+@[^\s<>()\"',;:]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a repeat is recognised by, and whose it is."""

    message_id: str
    """Without angle brackets; "" when there is none."""
    fingerprint: str
    """Hex SHA-256 of the message without its trace headers."""
    peer: str
    """The address in From, lower-case; "" when there is none."""


def of_bytes(content: bytes) -> Identity:
    """The identity of a whole message in memory."""
    end = _header_end(content)
    return _identity(content[:end], content[end:])


def of_file(file: BinaryIO) -> Identity:
    """The same of a file, read in pieces. Raises OSError."""
    head = file.read(HEADER_LIMIT + 4)
    end = _header_end(head)
    rest = iter(lambda: file.read(256 * 1024), b"")
    return _identity(head[:end], head[end:], rest)


def _identity(header: bytes, body: bytes, rest: Iterable[bytes] = ()) -> Identity:
    digest = hashlib.sha256()
    message_id = sender = b""
    kept_from = 0
    for field in _FIELDS.finditer(header):
        if field["trace"]:
            digest.update(header[kept_from : field.start()])
            kept_from = field.end()
        elif field["id"]:
            message_id = message_id or field["value"]
        else:
            sender = sender or field["value"]
    digest.update(header[kept_from:])
    digest.update(body)
    for piece in rest:
        digest.update(piece)
    return Identity(message_id=_message_id(message_id), fingerprint=digest.hexdigest(), peer=_peer(sender))


def _header_end(content: bytes) -> int:
    """Where the body begins: after the first empty line, CRLF or LF; at most HEADER_LIMIT."""
    end = min(len(content), HEADER_LIMIT)
    if (found := content.find(b"\r\n\r\n", 0, end)) >= 0:
        end = found + 4
    if (found := content.find(b"\n\n", 0, end)) >= 0:
        end = found + 2
    return end


def _message_id(value: bytes) -> str:
    left, right = value.find(b"<"), value.find(b">")
    raw = value[left + 1 : right] if 0 <= left < right else value
    text = _text(raw)
    if len(text) > ID_LIMIT:
        return text[:ID_LIMIT] + "~" + hashlib.sha256(raw).hexdigest()
    return text


def _peer(value: bytes) -> str:
    unfolded = value.replace(b"\r\n", b"").replace(b"\n", b"")
    angle = _ANGLE_ADDRESS.findall(unfolded)
    bare = _BARE_ADDRESS.search(unfolded)
    found = angle[-1] if angle else bare[0] if bare else b""
    return _text(found).lower()[:PEER_LIMIT]


def _text(raw: bytes) -> str:
    """Readable text without control characters; bytes that are not UTF-8 stay distinguishable."""
    return _CONTROL.sub("", raw.decode("utf-8", "backslashreplace")).strip()
