"""What is written of an accepted message, whatever the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

COLUMNS = (
    *("channel", "account", "format", "external_id", "fingerprint", "dedupe", "peer", "received_at", "accepted_at"),
    *("size", "sha256", "blob", "facts"),
)
"""Of the table `entry`; the others have their defaults, and `variant` is found out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class New:
    """What is to be written of one message."""

    values: Mapping[str, Any]
    """Of the columns of `entry`."""
    content: bytes | None
    """Its bytes, where they are kept in a row."""
    deliveries: Sequence[tuple[str, str]]
    """(account, recipient)"""
