"""What a look remembers for the next one: it travels in the cursor, so it is committed with what was applied."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from gateway.feeds.contract import FeedError

_BEGINNING = "1:"


@dataclass(slots=True, kw_only=True)
class State:
    """Everything between two looks."""

    look: int = 0
    """Counts looks that found something: a part of the names of changes."""
    fields: list[str] = field(default_factory=list)
    """What the digests of a row stand for, in this order."""
    rows: dict[str, str] = field(default_factory=dict)
    """Ticket -> the digest of its fields, and of each of them."""
    times: dict[str, float] = field(default_factory=dict)
    """Ticket -> when it says it changed, seconds since 1970; only with a column for it."""
    at: float | None = None
    """The newest change that was handled."""
    crowded: float | None = None
    """`at`, after a look that could not read all that changed."""
    known: list[str] | None = None
    """Tickets of ours that were there at the last search for deleted ones."""
    swept: float = 0.0
    last: int | None = None
    """The newest message, where they are numbered."""
    gaps: dict[str, float] = field(default_factory=dict)
    """Numbers that were skipped, and when that was noticed: their transactions may end yet."""
    said: float | None = None
    """The time of the newest message, where they are not numbered."""
    heard: dict[str, float] = field(default_factory=dict)
    """Messages near that time."""

    def write(self) -> str:
        """As a cursor."""
        text = json.dumps(asdict(self), separators=(",", ":"), ensure_ascii=False, sort_keys=True)
        return _BEGINNING + base64.b64encode(zlib.compress(text.encode())).decode()


def read(cursor: str) -> State:
    """The state of a cursor. Raises FeedError for one that is none of ours."""
    try:
        if not cursor.startswith(_BEGINNING):
            raise ValueError
        return State(**json.loads(zlib.decompress(base64.b64decode(cursor.removeprefix(_BEGINNING)))))
    except (ValueError, TypeError, zlib.error, binascii.Error):
        raise FeedError("the cursor is none of this feed's; it has to be dropped", again=False) from None


WHOLE, ONE = 8, 2
"""Characters of the digest of a row (48 bits), which says that it changed, and of a field (12 bits): where it did."""


def digest(word: str) -> str:
    """Of a value; a field of a row keeps its beginning."""
    return base64.b64encode(hashlib.blake2b(word.encode("utf-8", "replace"), digest_size=6).digest()).decode()


def of_row(words: Sequence[str]) -> str:
    """The digests of a row."""
    return digest("\0".join(words)) + "".join(digest(word)[:ONE] for word in words)


def differing(before: str, now: str) -> frozenset[int]:
    """Which words of a row changed; all of them, when only their digest as a whole tells."""
    if before[:WHOLE] == now[:WHOLE]:
        return frozenset()
    places = range((len(now) - WHOLE) // ONE)
    parts = {each for each in places if before[WHOLE + each * ONE :][:ONE] != now[WHOLE + each * ONE :][:ONE]}
    return frozenset(parts or places)
