"""What a file is by its first bytes, as far as it matters: a host may say one thing and send another."""

from __future__ import annotations

from collections.abc import Mapping

HEAD = 512
"""Bytes that are looked at."""
UNKNOWN = "application/octet-stream"
_STARTS: Mapping[bytes, str] = {
    b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png", b"GIF87a": "image/gif", b"GIF89a": "image/gif",
    b"%PDF-": "application/pdf", b"OggS": "audio/ogg", b"#!AMR": "audio/amr", b"ID3": "audio/mpeg",
}  # fmt: skip
"""How files begin (the formats' own specifications) -> their type."""
_KNOWN = frozenset(_STARTS.values()) - {"audio/mpeg"}
"""Types of which every file begins so; the audio of MPEG need not."""
_PAGES = (b"<!doctype html", b"<html", b"<head", b"<body")


def is_page(said: str, head: bytes) -> bool:
    """A page of HTML, such as hosts send when they have no file; a text that is about HTML is none."""
    looks = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith(_PAGES)
    return said == "text/html" or (looks and not said.startswith("text/"))


def true_type(said: str, head: bytes) -> str:
    """The type that the host says, unless the file is another; "" when it says none that helps."""
    found = next((kind for start, kind in _STARTS.items() if head.startswith(start)), "")
    if said in _KNOWN and found != said:
        # Whoever opens it must not be told that it is a picture.
        return found or UNKNOWN
    return "" if said in ("", UNKNOWN, "binary/octet-stream") else said
