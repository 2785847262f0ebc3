"""The kinds of feeds, a visible line for each. The modules of kinds load no SDK when they are imported."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.feeds.kind import Kind, Wiring

__all__ = ["FEEDS", "Kind", "Wiring"]

FEEDS: Mapping[str, Kind] = {}
"""Kind -> how its settings look and how it is built."""
