"""Deadlines as a pure function of a ticket's history.

Both clocks start at the source's time, out of hours at the next opening. Reaction is met by the first public answer
of a person. Resolution stops while we wait for the customer, and while the ticket is resolved; what is left runs on
afterwards. The class and the contract that hold at the end are applied to the whole history.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeAlias

from router.assignment import Deadline, Deadlines, Reason
from router.classes import SEVERITY, title
from router.hours import ZERO, add_business_time, business_between, is_open, next_opening
from router.policy import Calendar, Contract, Policy

MomentKind: TypeAlias = Literal[
    "opened", "class", "contract", "staff_answer", "waiting", "resumed", "resolved", "reopened", "closed"
]
Clock: TypeAlias = Literal["reaction", "resolution"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """Something that moves the clocks.

    `data` holds `class` (1-6 or None) and `contract` (key or None) where the kind is `opened`, `class` or `contract`.
    `staff_answer` is a public answer or call of a person; a resolution that carries a `result` counts as one.
    """

    at: datetime
    kind: MomentKind
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Course:
    """The history reduced to what the clocks need."""

    moments: Sequence[Moment]
    opened: datetime
    class_: int | None
    contract: str | None
    answered: datetime | None
    """First public answer of a person."""
    done: datetime | None
    """When it was resolved or closed, if it still is."""
    running: Mapping[Clock, tuple[tuple[datetime, datetime | None], ...]]
    """Stretches in which a clock runs; the last one is open (None) when it runs now."""
    waiting: bool


def deadlines(history: Sequence[Moment], policy: Policy) -> Deadlines:
    """Both clocks of a ticket.

    Moments may come in any order; one that is earlier than the opening counts as at the opening.
    Raises ValueError when the history has no `opened`.
    """
    course = _read(history)
    contract = policy.contracts.get(course.contract) if course.contract else None
    if contract is None:
        none = Reason(what="", value="none", cause="contract:none", detail="no contract, no promised time")
        return Deadlines(
            reaction=_unpromised(course, "reaction", none),
            resolution=_unpromised(course, "resolution", none),
            class_=course.class_,
        )
    reaction, by = _clock("reaction", course, contract, policy)
    resolution, other = _clock("resolution", course, contract, policy)
    return Deadlines(
        reaction=reaction, resolution=resolution, class_=next((c for c in (course.class_, by, other) if c), None)
    )


# -- reading the history ------------------------------------------------------------------


def _read(history: Sequence[Moment]) -> _Course:
    moments = sorted(history, key=lambda moment: moment.at)
    first = next((moment for moment in moments if moment.kind == "opened"), None)
    if first is None:
        raise ValueError("a history without `opened`")
    opened = first.at.astimezone(UTC)
    class_, contract = _last_said(moments, "class", first), _last_said(moments, "contract", first)
    answered = done = None
    waiting = False
    reaction, resolution = _Stretches(opened), _Stretches(opened)
    for moment in moments:
        at = max(moment.at.astimezone(UTC), opened)
        if moment.kind == "staff_answer" or (moment.kind in _ENDS and moment.data.get("result")):
            answered = answered or at
        if moment.kind in _ENDS:
            done, waiting = done or at, False
        elif moment.kind in ("reopened", "waiting"):
            done, waiting = None, moment.kind == "waiting"
        elif moment.kind == "resumed":
            waiting = False
        reaction.go(at, running=done is None)
        resolution.go(at, running=done is None and not waiting)
    return _Course(
        moments=moments,
        opened=opened,
        class_=class_,
        contract=contract,
        answered=answered,
        done=done,
        running={"reaction": reaction.all(), "resolution": resolution.all()},
        waiting=waiting,
    )


_ENDS: tuple[MomentKind, ...] = ("resolved", "closed")


def _last_said(moments: Sequence[Moment], name: str, first: Moment) -> Any:
    """What the last moment of this kind says; `opened` says it first, even when its time is not the earliest."""
    said = [moment for moment in moments if moment.kind == name and name in moment.data]
    return said[-1].data[name] if said else first.data.get(name)


class _Stretches:
    """The times in which a clock runs, collected in order."""

    def __init__(self, start: datetime) -> None:
        self._closed: list[tuple[datetime, datetime | None]] = []
        self._since: datetime | None = start

    def go(self, at: datetime, *, running: bool) -> None:
        """From `at` on the clock runs, or stands."""
        if running and self._since is None:
            self._since = at
        elif not running and self._since is not None:
            self._closed.append((self._since, at))
            self._since = None

    def all(self) -> tuple[tuple[datetime, datetime | None], ...]:
        """Every stretch, the open one last."""
        return (*self._closed, *([(self._since, None)] if self._since is not None else []))


# -- one clock ----------------------------------------------------------------------------


def _clock(what: Clock, course: _Course, contract: Contract, policy: Policy) -> tuple[Deadline, int | None]:
    """The clock under the terms that give the earliest end, and the class whose terms these are."""
    best: tuple[datetime, int, timedelta, Calendar] | None = None
    for class_, amount, calendar in _promises(what, course, contract, policy):
        due = _due(course.running[what], calendar, amount)
        if due is not None and (best is None or due < best[0]):
            best = due, class_, amount, calendar
    if best is None:
        detail = "not covered" if course.class_ and not contract.term(course.class_).covered else "no promised time"
        reason = Reason(
            what=what, value="none", cause=f"contract:{contract.key}", detail=f"{title(course.class_)}: {detail}"
        )
        return _unpromised(course, what, reason), None
    due, class_, amount, calendar = best
    because = tuple(_because(what, course, contract, due, class_, amount, calendar))
    met = course.answered if what == "reaction" else course.done
    if met is not None:
        cause = "staff_answer" if what == "reaction" else "resolved"
        reason = Reason(what=what, value="met", cause=cause, detail=f"at {_show(met)}, due {_show(due)}")
        return Deadline(met_at=met, because=(*because, reason)), class_
    if course.running[what][-1][1] is not None:
        reason = Reason(what=what, value="paused", cause="waiting" if course.waiting else "resolved")
        return Deadline(paused=True, because=(*because, reason)), class_
    return Deadline(due=due, because=because), class_


def _unpromised(course: _Course, what: Clock, reason: Reason) -> Deadline:
    met = course.answered if what == "reaction" else course.done
    because = Reason(what=what, value=reason.value, cause=reason.cause, detail=reason.detail)
    return Deadline(met_at=met, because=(because,))


def _promises(
    what: Clock, course: _Course, contract: Contract, policy: Policy
) -> Iterator[tuple[int, timedelta, Calendar]]:
    """(class, time, calendar) of each plausible class; within one calendar only the shortest can be the strictest."""
    shortest: dict[str, tuple[timedelta, int]] = {}
    for class_ in (course.class_,) if course.class_ else SEVERITY:
        terms = contract.term(class_)
        amount = terms.reaction if what == "reaction" else terms.resolution
        if not terms.covered or amount is None:
            continue
        key = terms.calendar or contract.calendar
        if key in policy.calendars and (key not in shortest or amount < shortest[key][0]):
            shortest[key] = amount, class_
    for key, (amount, class_) in shortest.items():
        yield class_, amount, policy.calendars[key]


def _due(
    stretches: Sequence[tuple[datetime, datetime | None]], calendar: Calendar, amount: timedelta
) -> datetime | None:
    """When `amount` of business time is used up by the stretches; the last one is taken as running on."""
    for since, until in stretches[:-1]:
        used = business_between(calendar, since, until) if until else ZERO
        if used >= amount:
            break
        amount -= used
    else:
        since = stretches[-1][0]
    return add_business_time(calendar, since, amount)


def _because(
    what: Clock, course: _Course, contract: Contract, due: datetime, class_: int, amount: timedelta, calendar: Calendar
) -> Iterator[Reason]:
    value = due.isoformat()
    yield Reason(
        what=what,
        value=value,
        cause=f"contract:{contract.key}",
        detail=f"promises {_span(amount)} for class {class_} by calendar {calendar.key}",
    )
    if course.class_ is None:
        yield Reason(what=what, value=value, cause="class:open", detail="the strictest of all classes runs meanwhile")
    else:
        yield Reason(what=what, value=value, cause=f"class:{class_}", detail=title(class_))
    if _plain(course.running[what], amount) != due:
        start = None if is_open(calendar, course.opened) else next_opening(calendar, course.opened)
        said = f"came out of hours, the clock starts {_show(start)}" if start else "closed hours do not count"
        yield Reason(what=what, value=value, cause=f"calendar:{calendar.key}", detail=said)
    if len(course.running[what]) > 1:
        for cause, kinds in _STOPS.items():
            without = _read([moment for moment in course.moments if moment.kind not in kinds])
            if _due(without.running[what], calendar, amount) != due:
                yield Reason(what=what, value=value, cause=cause, detail="the clock stood; what was left runs on")


_STOPS: Mapping[str, tuple[MomentKind, ...]] = {"waiting": ("waiting",), "resolved": _ENDS}


def _plain(stretches: Sequence[tuple[datetime, datetime | None]], amount: timedelta) -> datetime:
    """The end by the clock on the wall, without a calendar."""
    for since, until in stretches[:-1]:
        if until is not None and until - since < amount:
            amount -= until - since
        else:
            return since + amount
    return stretches[-1][0] + amount


def _show(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M UTC")


def _span(amount: timedelta) -> str:
    minutes = round(amount.total_seconds() / 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours and minutes else f"{hours} h" if hours else f"{minutes} min"
