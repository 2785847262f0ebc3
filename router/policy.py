"""What the router decides by: contracts, calendars, rules, thresholds. Built from files by the gateway; never changed.

All of it is plain data that pickles, so it goes to a worker process once per version.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Literal, TypeAlias

from normalizer.message import Trust
from router.assignment import Line
from router.classifier import Classifier
from router.contracts import table
from router.words import Phrases, Vocabulary, phrase

Span: TypeAlias = tuple[int, int]
"""Opening and closing in minutes after local midnight, 0 <= opening < closing <= 1440; shut at the second."""
FirstLine: TypeAlias = Literal["direct", "confirm"]
DAY_MINUTES = 1440
NO_PHRASES = Phrases({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """When somebody works, in the wall-clock time of one zone."""

    key: str
    zone: str
    """IANA name."""
    week: tuple[tuple[Span, ...], ...]
    """Seven entries, Monday first; spans in order and without overlap."""
    holidays: frozenset[date] = frozenset()
    yearly: frozenset[tuple[int, int]] = frozenset()
    """Holidays of every year, (month, day)."""
    working: Mapping[date, tuple[Span, ...]] = field(default_factory=dict)
    """Days with hours of their own (moved working days, short days); they win over holidays and the week."""

    @property
    def always(self) -> bool:
        """True for 24x7 without a single day off."""
        full = ((0, DAY_MINUTES),)
        return all(day == full for day in self.week) and not (self.holidays or self.yearly or self.working)

    def spans(self, day: date) -> tuple[Span, ...]:
        """The open spans of a local date."""
        special = self.working.get(day)
        if special is not None:
            return special
        if day in self.holidays or (day.month, day.day) in self.yearly:
            return ()
        return self.week[day.weekday()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a contract promises for one class, in business time."""

    covered: bool = True
    reaction: timedelta | None = None
    """To the first public answer of a person; None: not promised."""
    resolution: timedelta | None = None
    calendar: str | None = None
    """Key of a calendar of its own (class 3 round the clock in an office-hours contract); None: the contract's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """A place where somebody may have to go."""

    key: str
    name: str = ""
    zone: str = ""
    """IANA name; "": the calendar's."""
    address: str = ""
    administrator: str = ""
    """Mail address of the local administrator who makes visits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """An agreement with a client."""

    key: str
    name: str = ""
    domains: tuple[str, ...] = ()
    """Mail domains; subdomains are included."""
    addresses: tuple[str, ...] = ()
    phones: tuple[str, ...] = ()
    """E.164, "+380441234567"."""
    chats: tuple[str, ...] = ()
    """"<channel>:<id>", "telegram:-100123"."""
    offices: tuple[Office, ...] = ()
    language: str = ""
    """For notices, when the person has not chosen; "": not said."""
    calendar: str
    lines: tuple[Line, ...] = ("L1", "L2", "L3")
    """The lines that exist for this client, lowest first."""
    first_line: FirstLine = "direct"
    """`direct`: a confident class goes to its line at once; `confirm`: it stands on L1 as a proposal."""
    emergency_phone: str = ""
    messages_daily: int | None = None
    """The most messages that cost money in a day; None: not said."""
    terms: Mapping[int, Terms] = field(default_factory=dict)
    """By class 1-6; a class that is absent is covered without a promised time."""

    def term(self, class_: int) -> Terms:
        """The terms of a class."""
        return self.terms.get(class_) or Terms()


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """Every condition given must hold; an empty one always holds. Within one condition any value will do."""

    channels: frozenset[str] = frozenset()
    accounts: frozenset[str] = frozenset()
    contracts: frozenset[str] = frozenset()
    """Keys; "none" stands for a stranger."""
    senders: tuple[re.Pattern[str], ...] = ()
    """Matched against the whole lower-case address or number."""
    recipients: tuple[re.Pattern[str], ...] = ()
    trust: frozenset[Trust] = frozenset()
    languages: frozenset[str] = frozenset()
    hours: Literal["open", "closed"] | None = None
    """By the contract's calendar, a stranger's by the default one."""
    words: Phrases = NO_PHRASES
    """Any of these phrases, by their stems."""
    and_words: Phrases = NO_PHRASES
    """And any of these."""
    patterns: tuple[re.Pattern[str], ...] = ()
    """Any of these in the lower-case text."""

    @property
    def empty(self) -> bool:
        """True when nothing is asked."""
        return self == Conditions()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One line of the ordered table. The first rule that sets a field decides it; tags add up."""

    id: str
    why: str
    when: Conditions = Conditions()
    unless: Conditions | None = None
    class_: int | None = None
    line: Line | None = None
    onsite: bool | None = None
    tags: tuple[str, ...] = ()
    stop: bool = False
    """No later rule is looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """From which confidence on a guess of the classifier counts as a decision."""

    class_: float = 0.75
    line: float = 0.6
    onsite: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Everything the router decides by."""

    version: str = "empty"
    contracts: Mapping[str, Contract] = field(default_factory=dict)
    calendars: Mapping[str, Calendar] = field(default_factory=dict)
    default_calendar: str | None = None
    """The desk's own hours: for strangers' acknowledgements and rules with `hours`; None: round the clock."""
    rules: tuple[Rule, ...] = ()
    class_lines: Mapping[int, Line] = field(default_factory=dict)
    """Class -> the line that usually solves it."""
    classifier: Classifier | None = None
    thresholds: Thresholds = Thresholds()
    stranger_tag: str = "no-contract"
    """Tag of a request that no contract covers; "": none."""

    stranger_line: Line | None = "L1"
    """Where a request that no contract covers stands; None: on the line of its class."""
    covers: Mapping[str, str] = field(init=False, repr=False)
    """What the contracts cover -> key of the contract; see `router.contracts`."""

    vocabulary: Vocabulary = field(init=False, repr=False, compare=False)
    """All phrases of rules and classifier: what a message is reduced to before they search it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "covers", table(self.contracts))
        object.__setattr__(self, "vocabulary", Vocabulary(self._phrases()))

    def _phrases(self) -> Iterator[Phrases]:
        for rule in self.rules:
            for conditions in (rule.when, rule.unless):
                if conditions is not None:
                    yield from (conditions.words, conditions.and_words)
        if self.classifier is not None:
            yield self.classifier.concepts

    def calendar_of(self, contract: str | None) -> Calendar | None:
        """The calendar of a contract, or the default one; None: round the clock."""
        found = self.contracts.get(contract) if contract else None
        key = found.calendar if found else self.default_calendar
        return self.calendars.get(key) if key else None


def phrases(*texts: str) -> Phrases:
    """Phrases of a condition. Raises ValueError; see `phrase`."""
    return Phrases.of(("", phrase(text)) for text in texts)


def glob(pattern: str) -> re.Pattern[str]:
    """A pattern of an address: `*` stands for anything, all else for itself, case ignored."""
    return re.compile(".*".join(re.escape(part) for part in pattern.lower().split("*")), re.DOTALL)
