"""Where a bot's conversation stands, what can happen in it, and what can be done about it: plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, TypeAlias

from normalizer.message import Json

# -- state --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Nothing:
    """Nothing is asked of the person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitsAddress:
    """The person was asked for the mail address that they write to us from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitsCode:
    """A code went to a mail address, if the address is one that we know."""

    until: datetime
    tries: int = 0
    """Wrong ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitsComment:
    """A low mark was given, or the person wants to add something to one."""

    survey: int
    until: datetime


Awaits: TypeAlias = Nothing | AwaitsAddress | AwaitsCode | AwaitsComment


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """One person in one conversation."""

    awaits: Awaits = Nothing()
    fresh: bool = False
    """The next message opens a new ticket, although one is open."""
    taken: str = ""
    """External key of the last message that was for the bot alone: an address, a code. Its edits are, too."""


# -- events -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Commanded:
    """A command was typed, or a button of ours that is one was pressed."""

    name: str
    argument: str = ""
    private: bool = True
    pressed: bool = False
    edits: bool = False
    """The message with the pressed button is there and can be changed."""
    language_known: bool = False
    """The person has chosen one."""
    stopped: bool = False
    """The person wants no notices on this channel that nobody wrote by hand."""
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """An ordinary message."""

    text: str
    plain: bool = True
    """Words alone, that answer no other ticket."""
    opens: bool = True
    """It can open a ticket: more than thanks or a sticker."""
    votes: bool = False
    """It is a mark in digits, or asks for no more surveys."""
    at: datetime


VoteOutcome: TypeAlias = Literal["counted", "fixed", "expired", "not_yours", "gone"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Voted:
    """A mark was given; `score` is the one that counts now."""

    outcome: VoteOutcome
    survey: int = 0
    score: int = 0
    low: bool = False
    pressed: bool = True
    edits: bool = False
    at: datetime


Wish: TypeAlias = Literal["no_surveys", "reopened", "change", "comment"]
"""What a button under a survey can ask for beside a mark."""
Result: TypeAlias = Literal[
    "linked",
    "link_expired",
    "phone_shared",
    "code_sent",
    "code_wrong",
    "often",
    "unlinked",
    "no_surveys",
    "reopened",
    "comment",
    "change",
    "not_yours",
    "gone",
]
"""What became of an action that can end in several ways."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """An action was carried out."""

    result: Result
    survey: int = 0
    address: str = ""
    """What the chat was linked to."""
    pressed: bool = False
    edits: bool = False
    at: datetime


Event: TypeAlias = Commanded | Heard | Voted | Outcome


# -- actions ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A button: a word by its name (or a name of a language as it is), and what comes back when it is pressed."""

    word: str
    data: str
    """`{survey}` in it stands for the token of the survey."""


Choices: TypeAlias = tuple[tuple[Choice, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Say:
    """A message of its own."""

    text: str
    variables: Mapping[str, Json] = field(default_factory=dict)
    choices: Choices = ()
    survey: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Toast:
    """The answer to a pressed button: a few words."""

    text: str = "done"
    variables: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """Other words and buttons for the message whose button was pressed."""

    text: str
    variables: Mapping[str, Json] = field(default_factory=dict)
    choices: Choices = ()
    survey: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SetLanguage:
    """The person's own choice."""

    language: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetWish:
    """Whether this person wants notices on this channel that nobody wrote by hand."""

    stop: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class UseLink:
    """A one-time link was opened. Ends in linked or link_expired."""

    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SendCode:
    """Ends in often or code_sent, which does not tell whether the address is known."""

    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TryCode:
    """Ends in linked or code_wrong."""

    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UsePhone:
    """The person's own telephone number. Ends in linked."""

    number: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlink:
    """Ends in unlinked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowTickets:
    """Say which tickets this person has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AboutSurvey:
    """Something about the survey with this token. Ends in what it was, not_yours or gone."""

    what: Wish
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeComment:
    """The message is a comment on the mark."""

    survey: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """The message is for the desk: file it."""

    fresh: bool = False
    """As a new ticket."""


Action: TypeAlias = (
    Say | Toast | Edit | SetLanguage | SetWish | UseLink | SendCode | TryCode | UsePhone | Unlink | ShowTickets
    | AboutSurvey | TakeComment | Pass
)  # fmt: skip


# -- as the store keeps it ----------------------------------------------------------------


def as_json(state: State) -> dict[str, Json]:
    """What `from_json` reads."""
    kept: dict[str, Json] = {"fresh": True} if state.fresh else {}
    if state.taken:
        kept["taken"] = state.taken
    match state.awaits:
        case AwaitsCode(until=until, tries=tries):
            kept["code"] = {"until": until.isoformat(), "tries": tries}
        case AwaitsComment(survey=survey, until=until):
            kept["comment"] = {"until": until.isoformat(), "survey": survey}
        case AwaitsAddress():
            kept["address"] = True
        case Nothing():
            pass
    return kept


def from_json(kept: object) -> State:
    """The state; what an older version wrote and nobody understands any more is the first state."""
    if not isinstance(kept, Mapping):
        return State()
    awaits: Awaits = Nothing()
    code, comment = kept.get("code"), kept.get("comment")
    if isinstance(code, Mapping) and (until := _instant(code.get("until"))):
        awaits = AwaitsCode(until=until, tries=_count(code.get("tries")))
    elif isinstance(comment, Mapping) and (until := _instant(comment.get("until"))):
        awaits = AwaitsComment(survey=_count(comment.get("survey")), until=until)
    elif kept.get("address") is True:
        awaits = AwaitsAddress()
    taken = kept.get("taken")
    return State(awaits=awaits, fresh=kept.get("fresh") is True, taken=taken if isinstance(taken, str) else "")


def _instant(value: object) -> datetime | None:
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return at if at is None or at.tzinfo else at.replace(tzinfo=UTC)


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0
