"""What a kind of feed is made of; `registry` lists them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from channels.contract import Clock
from gateway.feeds.contract import Feed
from gateway.feeds.settings import FeedSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """What a feed is built with."""

    clock: Clock
    random: Random
    public_url: str
    """Of this gateway, for links."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of store."""

    settings: type[FeedSettings]
    build: Callable[[str, FeedSettings, Wiring], Feed]
    """(name, settings, wiring). Raises KeyError or OSError for a secret that is absent."""
