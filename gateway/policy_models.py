"""What `contracts.yaml`, `calendars.yaml`, `routing.yaml` and the words of the classifier may say.

Unknown keys are refused; each field says what it does. What one value must be to another is checked in
`gateway.policy_files`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
)

from channels.described import Described
from channels.durations import Duration
from normalizer.message import Trust
from router.assignment import Line
from router.classifier import Head

Class: TypeAlias = Annotated[int, Field(ge=1, le=6, strict=True)]


def _shaped(pattern: str, right: str) -> Any:
    """Text of a form. `right` says what would be right."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"should be {right} (got {text[:40]!r})")
        return text

    return Annotated[str, AfterValidator(check), WithJsonSchema({"type": "string", "pattern": f"^(?:{pattern})$"})]


_DAY = "(?:mon|tue|wed|thu|fri|sat|sun)"
_CLOCK = r"(?:[01]\d|2[0-4]):[0-5]\d"
if TYPE_CHECKING:
    Name: TypeAlias = str
    Hours: TypeAlias = str
    Weekdays: TypeAlias = str
    Date: TypeAlias = str
    Holiday: TypeAlias = str
    Phone: TypeAlias = str
    MaybePhone: TypeAlias = str
    Chat: TypeAlias = str
else:
    Name = _shaped(r"[a-z0-9][a-z0-9_.-]{0,63}", "a short name of a-z, 0-9, _ . and -")
    Hours = _shaped(rf"{_CLOCK} ?[-–] ?{_CLOCK}", "a span like 09:00-18:00 (the whole day: 00:00-24:00)")
    Weekdays = _shaped(rf"{_DAY}(?:-{_DAY})?", "a day or a range of days: mon, mon-fri")
    Date = _shaped(r"\d{4}-\d\d-\d\d", "a date like 2026-12-31")
    Holiday = _shaped(r"(?:\d{4}-)?\d\d-\d\d", "a date like 2026-12-31, or 12-31 for every year")
    Phone = _shaped(r"\+[1-9]\d{6,14}", "a number in international form, digits only: +380441234567")
    MaybePhone = _shaped(r"(?:\+[1-9]\d{6,14})?", "empty, or a number in international form: +380441234567")
    Chat = _shaped(r"[a-z]+:\S+", "a channel and a chat: telegram:-100123")

Texts: TypeAlias = tuple[Annotated[str, StringConstraints(min_length=1, max_length=200)], ...]
Spans: TypeAlias = Annotated[
    tuple[Hours, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)
]
"""One span of a day or several: `09:00-18:00`, `[09:00-13:00, 14:00-18:00]`."""


class Section(Described, BaseModel):
    """A part of a file."""

    model_config = ConfigDict(extra="forbid", frozen=True)


# -- calendars.yaml -----------------------------------------------------------------------


class CalendarFile(Section):
    """One calendar."""

    zone: str
    """IANA name: Europe/Kyiv, Asia/Almaty, UTC. Hours are the clock on the wall there."""
    week: dict[Weekdays, Spans]
    """Day or range of days -> one span or several: `mon-fri: 09:00-18:00`. A day that is not named is closed."""
    holidays: tuple[Holiday, ...] = ()
    """Closed days: `2026-03-09`, or `01-01` for every year."""
    working: dict[Date, Spans] = {}
    """Days with hours of their own (moved working days, short days); they win over holidays and the week."""


class CalendarsFile(Section):
    """calendars.yaml."""

    default: str | None = None
    """The desk's own hours: for people without a contract. Empty: round the clock."""
    calendars: dict[Name, CalendarFile] = {}
    """By name."""


# -- contracts.yaml -----------------------------------------------------------------------


class CoversFile(Section):
    """Who is covered. An exact address, number or chat goes before a domain, a longer domain before a shorter one."""

    domains: Texts = ()
    """Mail domains; their subdomains are included."""
    addresses: Texts = ()
    """Single mail addresses."""
    phones: tuple[Phone, ...] = ()
    """International form, digits only: +380441234567."""
    chats: tuple[Chat, ...] = ()
    """<channel>:<id>, telegram:-100123."""


class OfficeFile(Section):
    """A place where somebody may have to go."""

    name: str = ""
    """As people call it."""
    zone: str = ""
    """IANA name; empty: the calendar's."""
    address: str = ""
    """Where a visit goes to."""
    administrator: str = ""
    """Mail address of the local administrator."""


class TermsFile(Section):
    """What is promised for one class, in business time of the calendar."""

    covered: bool = True
    """false: requests of this class are outside the contract."""
    reaction: Duration | None = None
    """To the first answer of a person."""
    resolution: Duration | None = None
    """Time to the solution."""
    calendar: str | None = None
    """A calendar of its own for this class; empty: the contract's."""


class ContractFile(Section):
    """One contract."""

    name: str = ""
    """Name of the client."""
    covers: CoversFile = CoversFile()
    """Who belongs to it."""
    offices: dict[Name, OfficeFile] = {}
    """Where its people are."""
    language: Literal["ru", "uk", "en", ""] = ""
    """Of notices, when the person has not chosen one."""
    calendar: str
    """Key of a calendar in calendars.yaml."""
    lines: tuple[Line, ...] = ("L1", "L2", "L3")
    """The lines that exist for this client, lowest first."""
    first_line: Literal["direct", "confirm"] = "direct"
    """direct: a confident class goes to its line at once; confirm: line 1 accepts it with one action."""
    emergency_phone: MaybePhone = ""
    """Number of the engineer on duty, told out of hours."""
    messages_daily: int | None = Field(None, ge=0)
    """The most messages a day (UTC) that cost money, text messages and WhatsApp together, to people of this contract;
    above it the next channel is used, and operators hear of it. Nothing: only the accounts' own `daily_limit`."""
    classes: dict[Class, TermsFile] = {}
    """Class 1-6 -> what is promised. A class that is not named is covered without a promised time."""


class ContractsFile(Section):
    """contracts.yaml."""

    contracts: dict[Name, ContractFile] = {}
    """By key."""


# -- routing.yaml -------------------------------------------------------------------------


class ConditionsFile(Section):
    """All of the conditions must hold; within one, any value will do."""

    channels: Texts = ()
    """mail, …: any of these."""
    accounts: Texts = ()
    """Accounts it came to: any of these."""
    contracts: Texts = ()
    """Keys of contracts; `none` for people without one."""
    senders: Texts = ()
    """Addresses or numbers; * stands for anything: `zabbix@*`."""
    recipients: Texts = ()
    """Patterns of the address it was sent to."""
    trust: tuple[Trust, ...] = ()
    """verified, unknown, suspect: any of these."""
    languages: Texts = ()
    """ru, uk, en: any of these."""
    hours: Literal["open", "closed"] | None = None
    """Whether the contract is open at that moment."""
    words: Texts = ()
    """Phrases in any form of their words; `принтер*` is the beginning of a word."""
    and_words: Texts = ()
    """One of these as well."""
    patterns: Texts = ()
    """Regular expressions over the lower-case text; repeats have a limit, `.{0,40}` instead of `.*`."""


class EffectsFile(Section):
    """What a rule sets."""

    class_: Class | None = Field(None, alias="class")
    """Request class, 1 to 6."""
    line: Line | None = None
    """Support line."""
    onsite: bool | None = None
    """Somebody must come."""
    tags: tuple[Name, ...] = ()
    """Added to the ticket."""


NOTHING = EffectsFile.model_validate({})


class RuleFile(Section):
    """One rule. The first rule that sets a field decides it; tags add up."""

    id: Name
    """Its name in reasons and logs."""
    why: str = Field(min_length=1)
    """Shown to staff as the reason."""
    when: ConditionsFile = ConditionsFile()
    """All of these must hold."""
    unless: ConditionsFile | None = None
    """Not when all of these hold."""
    set: EffectsFile = NOTHING
    """What it decides."""
    stop: bool = False
    """No later rule is looked at."""


class ThresholdsFile(Section):
    """From which confidence on a guess is a decision."""

    class_: float = Field(0.75, ge=0, le=1, alias="class")
    """How sure the classifier must be of a class."""
    line: float = Field(0.6, ge=0, le=1)
    """How sure of a line."""
    onsite: float = Field(0.5, ge=0, le=1)
    """How sure of a visit."""


class StrangersFile(Section):
    """People without a contract: taken in all the same."""

    line: Line | None = "L1"
    """Where their requests stand; null: on the line of the class."""
    tag: str = "no-contract"
    """Their tag; empty: none."""


class WordsFile(Section):
    """Files of the classifier, beside this one. Both empty: only rules decide."""

    concepts: str = ""
    """File of words that mean the same in three languages."""
    weights: str = ""
    """File of the fitted weights; empty: no classifier."""


class RoutingFile(Section):
    """routing.yaml."""

    class_lines: dict[Class, Line] = {}
    """Class -> the line that usually solves it; line 1 for one that is not named."""
    thresholds: ThresholdsFile = ThresholdsFile.model_validate({})
    """When a guess decides."""
    strangers: StrangersFile = StrangersFile()
    """Requests outside every contract."""
    classifier: WordsFile = WordsFile()
    """Where its words are."""
    rules: tuple[RuleFile, ...] = ()
    """In this order; the first that sets a field wins."""


# -- the classifier's words ---------------------------------------------------------------


class ConceptsFile(Section):
    """concepts.yaml: a name -> phrases that mean it, in all languages."""

    concepts: dict[Name, Texts]


class WeightsFile(Section):
    """classifier.json: what `benchmarks/fit_router.py` learned."""

    version: str
    slope: float
    intercept: float
    weights: dict[Head, dict[str, tuple[float, ...]]]
