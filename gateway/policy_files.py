"""`contracts.yaml`, `calendars.yaml` and `routing.yaml` -> one Policy, or every problem in them at once."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ValidationError

from gateway import policy_models as files
from gateway.policy_patterns import compile_pattern
from gateway.yaml_files import Document, Key, Problem, check, good_part, read
from router.classifier import WIDTHS, LogLinear
from router.contracts import coverage
from router.lines import ORDER
from router.policy import (
    Calendar,
    Conditions,
    Contract,
    Office,
    Policy,
    Rule,
    Span,
    Terms,
    Thresholds,
    glob,
)
from router.words import Phrases, phrase

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")
NAMES = ("calendars.yaml", "contracts.yaml", "routing.yaml")
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def load_policy(
    folder: Path, *, accounts: Collection[str] | None = None, channels: Collection[str] | None = None
) -> tuple[Policy | None, list[Problem]]:
    """Read the three files of `folder` (and the classifier's words that they name).

    `accounts` and `channels` are the configured ones, for the check of names in rules; None: not checked.
    Returns the policy, or None beside every problem found. A file that is absent is a problem.
    """
    reader = _Reader(folder=folder, accounts=accounts, channels=channels)
    calendars, default = reader.calendars()
    contracts = reader.contracts(calendars)
    routing = reader.routing(contracts)
    if reader.problems:
        return None, sorted(reader.problems)
    version = hashlib.sha256(b"\0".join(reader.contents)).hexdigest()[:12]
    return Policy(version=version, contracts=contracts, calendars=calendars, default_calendar=default, **routing), []


def schemas() -> dict[str, dict[str, Any]]:
    """JSON Schema of each file, by file name, for editors."""
    models: Mapping[str, type[BaseModel]] = {
        "calendars.yaml": files.CalendarsFile,
        "contracts.yaml": files.ContractsFile,
        "routing.yaml": files.RoutingFile,
        "concepts.yaml": files.ConceptsFile,
    }
    return {name: model.model_json_schema() for name, model in models.items()}


@dataclass(slots=True, kw_only=True)
class _Reader:
    """Reads file after file and collects what is wrong."""

    folder: Path
    accounts: Collection[str] | None
    channels: Collection[str] | None
    problems: list[Problem] = field(default_factory=list)
    contents: list[bytes] = field(default_factory=list)
    declared: dict[str, set[str] | None] = field(default_factory=dict)
    """Names that stand in a file although something below them is faulty; None: the file cannot be read."""
    readable: bool = True
    """The last file was YAML."""
    cut: frozenset[tuple[Key, ...]] = frozenset()
    """Places of the last file that are faulty and left out of what is looked at further."""

    def file(self, name: str, model: type[M]) -> tuple[M | None, Document]:
        """One file, checked by its model alone."""
        path = self.folder / name
        document = read(path)
        self.readable = not document.problems
        value, problems = check(document, model)
        self.problems += problems
        document.problems.clear()
        if value is not None:
            self.contents.append(path.read_bytes())
            self.cut = frozenset()
        else:
            # Faults of one kind do not hide those of another.
            value, self.cut = good_part(document, model)
        return value, document

    def declare(self, what: str, document: Document, key: str) -> None:
        """Remember which names a file gives, faulty ones too."""
        names = document.data.get(key, {}) if isinstance(document.data, dict) and self.readable else None
        self.declared[what] = set(map(str, names)) if isinstance(names, dict) else None

    # -- calendars ------------------------------------------------------------------------

    def calendars(self) -> tuple[dict[str, Calendar], str | None]:
        """Calendars by key, and the key of the default one."""
        value, document = self.file("calendars.yaml", files.CalendarsFile)
        self.declare("calendar", document, "calendars")
        if value is None:
            return {}, None
        found = {key: self.calendar(key, one, document) for key, one in value.calendars.items()}
        if value.default is not None:
            self.known(document, ("default",), value.default, found, "calendar")
        self.problems += document.problems
        return found, value.default

    def calendar(self, key: str, value: files.CalendarFile, document: Document) -> Calendar:
        """One calendar; days and spans that are wrong are left out and named."""
        at = ("calendars", key)
        _zone(document, (*at, "zone"), value.zone)
        week: dict[int, tuple[Span, ...]] = {}
        for days, hours in value.week.items():
            spans = _spans(document, (*at, "week", days), hours)
            for day in _weekdays(days):
                if day in week:
                    document.problem((*at, "week", days), f"{WEEKDAYS[day]} stands twice in this week", of_key=True)
                week[day] = spans
        if not any(week.values()) and not any(place[:2] == at for place in self.cut):
            document.problem((*at, "week"), "is never open; give at least one day its hours: mon-fri: 09:00-18:00")
        holidays: set[date] = set()
        yearly: set[tuple[int, int]] = set()
        for n, text in enumerate(value.holidays):
            every_year = len(text) == len("12-31")
            found = _date(document, (*at, "holidays", n), f"2000-{text}" if every_year else text)
            if found and every_year:
                yearly.add((found.month, found.day))
            elif found:
                holidays.add(found)
        working = {
            moved: _spans(document, (*at, "working", text), hours)
            for text, hours in value.working.items()
            if (moved := _date(document, (*at, "working", text), text))
        }
        return Calendar(
            key=key,
            zone=value.zone,
            week=tuple(week.get(day, ()) for day in range(7)),
            holidays=frozenset(holidays),
            yearly=frozenset(yearly),
            working=working,
        )

    # -- contracts ------------------------------------------------------------------------

    def contracts(self, calendars: Mapping[str, Calendar]) -> dict[str, Contract]:
        """Contracts by key."""
        value, document = self.file("contracts.yaml", files.ContractsFile)
        self.declare("contract", document, "contracts")
        if value is None:
            return {}
        found = {key: self.contract(key, one, calendars, document) for key, one in value.contracts.items()}
        owners: dict[str, str] = {}
        for key, contract in found.items():
            for covered in coverage(contract):
                first = owners.setdefault(covered, key)
                if first != key:
                    document.problem(
                        ("contracts", key, "covers"),
                        f"{covered.removeprefix('@')} is covered by contract {first} already; leave it in one of them",
                    )
        self.problems += document.problems
        return found

    def contract(
        self, key: str, value: files.ContractFile, calendars: Mapping[str, Calendar], document: Document
    ) -> Contract:
        """One contract."""
        at = ("contracts", key)
        self.known(document, (*at, "calendar"), value.calendar, calendars, "calendar")
        for name, office in value.offices.items():
            if office.zone:
                _zone(document, (*at, "offices", name, "zone"), office.zone)
        if list(value.lines) != sorted(set(value.lines), key=ORDER.index) or not value.lines:
            document.problem((*at, "lines"), "should name each line once, lowest first: [L1, L2, L3]")
        for n, domain in enumerate(value.covers.domains):
            if "@" in domain or "." not in domain.strip(".") or " " in domain:
                document.problem((*at, "covers", "domains", n), f"{domain!r} is not a domain; write client.example")
        for n, address in enumerate(value.covers.addresses):
            if not _address(address):
                document.problem((*at, "covers", "addresses", n), f"{address!r} is not one mail address")
        for class_, terms in value.classes.items():
            calendar = calendars.get(terms.calendar or value.calendar)
            self.terms(document, (*at, "classes", class_), terms, calendars, calendar)
        return Contract(
            key=key,
            name=value.name,
            **{name: getattr(value.covers, name) for name in files.CoversFile.model_fields},
            offices=tuple(
                Office(key=name, **{one: getattr(office, one) for one in files.OfficeFile.model_fields})
                for name, office in value.offices.items()
            ),
            language=value.language,
            calendar=value.calendar,
            lines=value.lines,
            first_line=value.first_line,
            emergency_phone=value.emergency_phone,
            messages_daily=value.messages_daily,
            terms={class_: Terms(**dict(terms)) for class_, terms in value.classes.items()},
        )

    def terms(
        self,
        document: Document,
        at: tuple[Key, ...],
        value: files.TermsFile,
        calendars: Mapping[str, Calendar],
        calendar: Calendar | None,
    ) -> None:
        """What is promised for one class must make sense."""
        if value.calendar is not None:
            self.known(document, (*at, "calendar"), value.calendar, calendars, "calendar")
        if not value.covered and (value.reaction or value.resolution):
            document.problem(at, "is not covered but has times; take them out, or write covered: true")
        if value.reaction and value.resolution and value.reaction > value.resolution:
            document.problem((*at, "reaction"), "is longer than the resolution; one of them is wrong")
        for name in ("reaction", "resolution"):
            amount = getattr(value, name)
            if amount is not None and not amount:
                document.problem((*at, name), "is no time at all; at least 1m, or leave it out: nothing is promised")
            if amount and calendar and not calendar.always and re.search("[dw]", document.text(at, name)):
                said = f"counts open hours of calendar {calendar.key}, where a day is not 24 h; write hours"
                document.problem((*at, name), said)

    # -- routing --------------------------------------------------------------------------

    def routing(self, contracts: Mapping[str, Contract]) -> dict[str, Any]:
        """The fields of a policy that routing.yaml gives."""
        value, document = self.file("routing.yaml", files.RoutingFile)
        if value is None:
            return {}
        rules = tuple(
            self.rule(n, rule, contracts, document)
            for n, rule in enumerate(value.rules)
            if not any(place[:2] == ("rules", n) for place in self.cut)
        )
        if not self.cut:
            self.order(rules, document)
        classifier = self.classifier(value.classifier, document)
        self.problems += document.problems
        limits = value.thresholds
        return {
            "rules": rules,
            "class_lines": value.class_lines,
            "classifier": classifier,
            "thresholds": Thresholds(class_=limits.class_, line=limits.line, onsite=limits.onsite),
            "stranger_line": value.strangers.line,
            "stranger_tag": value.strangers.tag,
        }

    def rule(self, n: int, value: files.RuleFile, contracts: Mapping[str, Contract], document: Document) -> Rule:
        """One rule."""
        at: tuple[Key, ...] = ("rules", n)
        effects = value.set
        if effects == files.NOTHING and not value.stop:
            document.problem(at, f"rule {value.id} sets nothing; give it `set:` or `stop: true`")
        if value.unless == files.ConditionsFile():
            document.problem((*at, "unless"), "is empty, so the rule never holds; give it a condition or take it out")
        return Rule(
            id=value.id,
            why=value.why,
            when=self.conditions((*at, "when"), value.when, contracts, document),
            unless=self.conditions((*at, "unless"), value.unless, contracts, document) if value.unless else None,
            class_=effects.class_,
            line=effects.line,
            onsite=effects.onsite,
            tags=effects.tags,
            stop=value.stop,
        )

    def conditions(
        self, at: tuple[Key, ...], value: files.ConditionsFile, contracts: Mapping[str, Contract], document: Document
    ) -> Conditions:
        """The conditions of one rule."""
        for name, known in (
            ("contracts", {*contracts, "none"}),
            ("channels", self.channels),
            ("accounts", self.accounts),
        ):
            if known is not None:
                for m, said in enumerate(getattr(value, name)):
                    self.known(document, (*at, name, m), said, known, name.removesuffix("s"))
        return Conditions(
            channels=frozenset(value.channels),
            accounts=frozenset(value.accounts),
            contracts=frozenset(value.contracts),
            senders=tuple(glob(text) for text in value.senders),
            recipients=tuple(glob(text) for text in value.recipients),
            trust=frozenset(value.trust),
            languages=frozenset(value.languages),
            hours=value.hours,
            words=_phrases(document, (*at, "words"), value.words),
            and_words=_phrases(document, (*at, "and_words"), value.and_words),
            patterns=_each(document, (*at, "patterns"), value.patterns, compile_pattern),
        )

    def order(self, rules: Iterable[Rule], document: Document) -> None:
        """Each id once, and no rule behind one that always stops."""
        ids: dict[str, int] = {}
        stopped: str | None = None
        for n, rule in enumerate(rules):
            if rule.id in ids:
                document.problem(
                    ("rules", n, "id"), f"{rule.id} is the id of rule {ids[rule.id] + 1} too; ids are unique"
                )
            ids.setdefault(rule.id, n)
            if stopped is not None:
                document.problem(
                    ("rules", n), f"rule {rule.id} is never reached: rule {stopped} before it always holds and stops"
                )
            elif rule.stop and rule.when.empty and rule.unless is None:
                stopped = rule.id

    def classifier(self, value: files.WordsFile, document: Document) -> LogLinear | None:
        """The classifier, from its two files."""
        if bool(value.concepts) != bool(value.weights):
            document.problem(("classifier",), "needs both concepts and weights, or neither")
        if not (value.concepts and value.weights):
            return None
        concepts, words = self.file(value.concepts, files.ConceptsFile)
        weights = self.weights(value.weights)
        named = [
            (name, one)
            for name, texts in (concepts.concepts if concepts else {}).items()
            for one in _each(words, ("concepts", name), texts, phrase)
        ]
        self.problems += words.problems
        if weights is None:
            return None
        return LogLinear(
            version=weights.version,
            concepts=Phrases.of(named),
            weights=weights.weights,
            slope=weights.slope,
            intercept=weights.intercept,
        )

    def weights(self, name: str) -> files.WeightsFile | None:
        """What was learned."""
        path = self.folder / name
        try:
            content = path.read_bytes()
            value = files.WeightsFile.model_validate(json.loads(content))
        except (OSError, ValueError, ValidationError) as error:
            said = str(error).splitlines()[0]
            self.problems.append(
                Problem(file=str(path), line=0, column=0, key="", message=f"{said}; fit it again or leave it out")
            )
            return None
        for head, width in WIDTHS.items():
            rows = value.weights.get(head, {})
            if "" not in rows or any(len(row) != width for row in rows.values()):
                message = f"needs a bias and rows of {width} numbers; fit it again"
                self.problems.append(Problem(file=str(path), line=0, column=0, key=f"weights.{head}", message=message))
                return None
        self.contents.append(content)
        return value

    def known(self, document: Document, at: tuple[Key, ...], said: str, names: Collection[str], what: str) -> None:
        """A name must be one of the known ones; of a name that is there but faulty enough is said already."""
        declared = self.declared.get(what, set())
        if said not in names and declared is not None and said not in declared:
            have = ", ".join(sorted(names)) or "none yet"
            document.problem(at, f"there is no {what} {said!r}; there are: {have}")


# -- values -------------------------------------------------------------------------------


def _each(document: Document, at: tuple[Key, ...], texts: Iterable[str], make: Callable[[str], T]) -> tuple[T, ...]:
    out = []
    for n, text in enumerate(texts):
        try:
            out.append(make(text))
        except ValueError as error:
            document.problem((*at, n), str(error))
    return tuple(out)


def _phrases(document: Document, at: tuple[Key, ...], texts: Iterable[str]) -> Phrases:
    return Phrases.of(("", one) for one in _each(document, at, texts, phrase))


def _address(text: str) -> bool:
    local, _, domain = text.rpartition("@")
    return bool(local and domain) and not set(text) & set(" <>,;*")


def _zone(document: Document, at: tuple[Key, ...], name: str) -> None:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        document.problem(at, f"there is no time zone {name!r}; write an IANA name: Europe/Kyiv, Asia/Almaty, UTC")


def _date(document: Document, at: tuple[Key, ...], text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        document.problem(at, f"{text.removeprefix('2000-')} is not a day of the calendar")
        return None


def _weekdays(text: str) -> list[int]:
    """ "mon-fri" -> [0, 1, 2, 3, 4]; "sat-mon" goes round the end of the week."""
    first, _, last = text.partition("-")
    begin, end = WEEKDAYS.index(first), WEEKDAYS.index(last or first)
    return [day % 7 for day in range(begin, end + 1 if end >= begin else end + 8)]


def _spans(document: Document, at: tuple[Key, ...], hours: tuple[str, ...]) -> tuple[Span, ...]:
    spans: list[Span] = []
    for text in hours:
        opening, _, closing = text.replace("–", "-").replace(" ", "").partition("-")
        span = _minutes(opening), _minutes(closing)
        if span[1] > 1440:
            document.problem(at, f"{text} ends after 24:00")
        elif span[0] >= span[1]:
            document.problem(
                at, f"{text} ends before it begins; split it at midnight: {opening}-24:00 and the next day"
            )
        elif any(span[0] < other[1] and other[0] < span[1] for other in spans):
            document.problem(at, f"{text} overlaps another span of the day")
        else:
            spans.append(span)
    return tuple(sorted(spans))


def _minutes(clock: str) -> int:
    hours, _, minutes = clock.partition(":")
    return int(hours) * 60 + int(minutes)
