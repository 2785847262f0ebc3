"""Text that came over the wire, made fit to store and to show."""

from __future__ import annotations

import re

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


def readable(text: str, limit: int = 500) -> str:
    """Without control characters and lone surrogates (bytes that were not UTF-8), at most `limit` characters."""
    clean = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace") if not text.isascii() else text
    return _CONTROL.sub(" ", clean).strip()[:limit]
