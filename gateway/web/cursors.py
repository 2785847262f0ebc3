"""Opaque cursors of pages: the id after which the next page begins."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

from gateway.web.problems import Problem


def read(cursor: str | None) -> int | None:
    """The id in a cursor; None for no cursor. Raises Problem 422."""
    if cursor is None:
        return None
    try:
        name, _, number = base64.urlsafe_b64decode(cursor.encode("ascii")).decode("ascii").partition(":")
        if name != "before" or not number.isdecimal() or len(number) > 18:
            raise ValueError("not one of ours")
        return int(number)
    except (ValueError, binascii.Error):
        raise Problem(422, "this cursor is not one of ours; begin without a cursor") from None


def after(rows: Sequence[Any], limit: int) -> tuple[Sequence[Any], str | None]:
    """Rows read with `limit + 1`: the page, and the cursor when there is more."""
    if len(rows) <= limit:
        return rows, None
    page = rows[:limit]
    return page, base64.urlsafe_b64encode(f"before:{page[-1].id}".encode()).decode("ascii")
