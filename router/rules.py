"""The ordered table of rules: which of them hold for a message, and why."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from normalizer.message import Message
from router.contracts import normal
from router.hours import is_open
from router.policy import Calendar, Conditions, Rule
from router.words import Phrases, Reduced


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What conditions look at."""

    message: Message
    reduced: Reduced
    channel: str
    account: str
    contract: str
    """Key, or "none"."""
    calendar: Calendar | None
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A rule that holds, and what made it hold, for a person to read."""

    rule: Rule
    detail: str


def hits(rules: Iterable[Rule], subject: Subject) -> list[Hit]:
    """The rules that hold, in order, up to and with the first one that stops."""
    found: list[Hit] = []
    for rule in rules:
        detail = holds(rule.when, subject)
        if detail is None or (rule.unless is not None and holds(rule.unless, subject) is not None):
            continue
        found.append(Hit(rule=rule, detail="; ".join(part for part in (rule.why, detail) if part)))
        if rule.stop:
            break
    return found


def holds(conditions: Conditions, subject: Subject) -> str | None:
    """What the conditions found ("" when they ask for nothing visible), or None when one of them fails."""
    seen: list[str] = []
    for name, check in _CHECKS:
        if getattr(conditions, name):
            found = check(conditions, subject)
            if found is None:
                return None
            seen.append(found)
    return ", ".join(seen)


def _one_of(name: str, value: Callable[[Subject], str]) -> Callable[[Conditions, Subject], str | None]:
    def check(conditions: Conditions, subject: Subject) -> str | None:
        here = value(subject)
        return here if here in getattr(conditions, name) else None

    return check


def _phrases(name: str) -> Callable[[Conditions, Subject], str | None]:
    def check(conditions: Conditions, subject: Subject) -> str | None:
        phrases: Phrases = getattr(conditions, name)
        found = phrases.find(subject.reduced)
        return f"“{' '.join(subject.reduced.quote(found[0]))}”" if found else None

    return check


def _senders(conditions: Conditions, subject: Subject) -> str | None:
    return _address(conditions.senders, (subject.message.sender.address,), subject.channel)


def _recipients(conditions: Conditions, subject: Subject) -> str | None:
    message = subject.message
    return _address(conditions.recipients, (one.address for one in message.to + message.cc), subject.channel)


def _address(patterns: Iterable[re.Pattern[str]], addresses: Iterable[str], channel: str) -> str | None:
    patterns = tuple(patterns)
    for address in addresses:
        here = normal(address, channel)
        if any(pattern.fullmatch(here) for pattern in patterns):
            return here
    return None


def _patterns(conditions: Conditions, subject: Subject) -> str | None:
    for pattern in conditions.patterns:
        if match := pattern.search(subject.reduced.text):
            return f"“{match[0][:60]}”"
    return None


def _hours(conditions: Conditions, subject: Subject) -> str | None:
    open_now = subject.calendar is None or is_open(subject.calendar, subject.now)
    here = "open" if open_now else "closed"
    return here if here == conditions.hours else None


_CHECKS: tuple[tuple[str, Callable[[Conditions, Subject], str | None]], ...] = (
    ("channels", _one_of("channels", lambda subject: subject.channel)),
    ("accounts", _one_of("accounts", lambda subject: subject.account)),
    ("contracts", _one_of("contracts", lambda subject: subject.contract)),
    ("trust", _one_of("trust", lambda subject: subject.message.trust)),
    ("languages", _one_of("languages", lambda subject: subject.message.language or subject.reduced.language)),
    ("senders", _senders),
    ("recipients", _recipients),
    ("words", _phrases("words")),
    ("and_words", _phrases("and_words")),
    ("patterns", _patterns),
    ("hours", _hours),
)
"""Cheap ones first; every field of `Conditions` is here."""
