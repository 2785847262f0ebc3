"""Word lists as they read best: one string."""

from __future__ import annotations


def listed(text: str) -> frozenset[str]:
    """The words of a text, white space between them."""
    return frozenset(text.split())
