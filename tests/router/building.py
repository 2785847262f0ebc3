"""Policies and messages for the router's tests."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from gateway.policy_files import load_policy
from normalizer.message import Address, Message
from router.policy import Calendar, Contract, Policy, Span, Terms

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
WEEK: tuple[tuple[Span, ...], ...] = (((540, 1080),),) * 5 + ((), ())
NEVER: tuple[tuple[Span, ...], ...] = ((),) * 7

WEEKDAYS = Calendar(key="weekdays", zone="Europe/Kyiv", week=WEEK)
ALWAYS = Calendar(key="always", zone="Europe/Kyiv", week=(((0, 1440),),) * 7)
ODD = Calendar(
    key="odd",
    zone="America/St_Johns",
    week=(
        ((0, 90), (600, 780), (840, 1440)),
        (),
        ((0, 1440),),
        ((1, 2), (1439, 1440)),
        (),
        ((130, 200),),
        ((60, 150),),
    ),
    holidays=frozenset({date(2026, 3, 9), date(2026, 10, 26)}),
    yearly=frozenset({(1, 1), (12, 31)}),
    working={date(2026, 3, 8): ((100, 1000),), date(2026, 12, 31): ((540, 700),)},
)


def at(text: str) -> datetime:
    """ "2026-11-23 10:00" -> that instant in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def contract(key: str = "acme", **changed: Any) -> Contract:
    """A contract of acme.example with times for every class but 6."""
    given: dict[str, Any] = {
        "key": key,
        "domains": ("acme.example",),
        "calendar": "weekdays",
        "lines": ("L1", "L2", "L3"),
        "terms": {
            1: Terms(reaction=HOUR, resolution=8 * HOUR),
            2: Terms(reaction=HOUR, resolution=8 * HOUR),
            3: Terms(reaction=15 * MINUTE, resolution=4 * HOUR, calendar="always"),
            4: Terms(reaction=30 * MINUTE, resolution=6 * HOUR),
            5: Terms(reaction=2 * HOUR, resolution=24 * HOUR),
            6: Terms(covered=False),
        },
    }
    return Contract(**{**given, **changed})


def policy(*contracts: Contract, **changed: Any) -> Policy:
    """A policy with the three calendars and these contracts (one of `contract()` when none is given)."""
    given: dict[str, Any] = {
        "version": "test",
        "contracts": {one.key: one for one in contracts or (contract(),)},
        "calendars": {one.key: one for one in (WEEKDAYS, ALWAYS, ODD)},
        "class_lines": {1: "L2", 2: "L2", 3: "L3", 4: "L3", 5: "L3", 6: "L1"},
    }
    return Policy(**{**given, **changed})


def message(text: str = "", *, sender: str = "ivan@acme.example", **changed: Any) -> Message:
    """A message with this text."""
    return Message(sender=Address(address=sender), text=text, visible_text=text, **changed)


def shipped() -> Policy:
    """The policy of `config/`."""
    found, problems = load_policy(Path(__file__).parent.parent.parent / "config")
    assert found is not None, problems
    return found
