"""Business time: when a calendar is open, and how much open time lies between two instants.

The meaning is minute by minute: an instant is open when its wall-clock time in the calendar's zone lies in a span of
its local date. In an hour that daylight saving repeats, a span is therefore open twice; in one that it skips, never.
Instants are aware datetimes; results are in UTC.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from router.policy import Calendar

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
ZERO = timedelta(0)
BLOCK = 7
"""Days looked at together; no zone changes its offset twice within them."""
HORIZON = 400
"""Days without any opening after which a calendar counts as shut for good."""


def is_open(calendar: Calendar, at: datetime) -> bool:
    """True when somebody works at this instant."""
    wall = at.astimezone(_zone(calendar.zone))
    minute = wall.hour * 60 + wall.minute
    return any(opening <= minute < closing for opening, closing in calendar.spans(wall.date()))


def next_opening(calendar: Calendar, at: datetime) -> datetime | None:
    """The first open instant from `at` on (`at` itself when it is open); None: shut for good."""
    at = at.astimezone(UTC)
    if calendar.always:
        return at
    return next((max(opens, at) for opens, _ in intervals(calendar, at)), None)


def next_closing(calendar: Calendar, at: datetime) -> datetime | None:
    """The end of the open time that runs at `at` or begins next, adjoining spans taken together; None: never shuts."""
    end: datetime | None = None
    if calendar.always:
        return None
    for opens, closes in intervals(calendar, at.astimezone(UTC)):
        if end is not None and (opens > end or end - at > HORIZON * DAY):
            break
        end = closes
    return None if end is None or end - at > HORIZON * DAY else end


def business_between(calendar: Calendar, start: datetime, end: datetime) -> timedelta:
    """Open time from `start` to `end`; zero when `end` is not later."""
    if end <= start:
        return ZERO
    if calendar.always:
        return end - start
    total = ZERO
    for opens, closes in intervals(calendar, start.astimezone(UTC)):
        if opens >= end:
            break
        total += min(closes, end) - max(opens, start)
    return total


def add_business_time(calendar: Calendar, start: datetime, amount: timedelta) -> datetime | None:
    """The first instant by which `amount` of open time has passed since `start`; None: the calendar never gives it.

    Raises ValueError for a negative amount.
    """
    if amount < ZERO:
        raise ValueError("business time cannot be negative")
    start = start.astimezone(UTC)
    if amount == ZERO or calendar.always:
        return start + amount
    for opens, closes in intervals(calendar, start):
        begins = max(opens, start)
        if amount <= closes - begins:
            return begins + amount
        amount -= closes - begins
    return None


def intervals(calendar: Calendar, start: datetime) -> Iterator[tuple[datetime, datetime]]:
    """The open intervals [from, to) in UTC that end after `start`, in order, until the calendar is shut for good."""
    zone = _zone(calendar.zone)
    begins, shut = start.astimezone(UTC), 0
    while shut < HORIZON:
        ends = begins + BLOCK * DAY
        shut += BLOCK
        for one, other, offset in _segments(zone, begins, ends):
            for found in _in_segment(calendar, one, other, offset):
                shut = 0
                yield found
        begins = ends


def _in_segment(
    calendar: Calendar, begins: datetime, ends: datetime, offset: timedelta
) -> Iterator[tuple[datetime, datetime]]:
    """Open intervals within a stretch of time that has one offset from UTC."""
    first, last = begins + offset, ends + offset
    midnight = first.replace(hour=0, minute=0, second=0, microsecond=0)
    while midnight < last:
        for opening, closing in calendar.spans(midnight.date()):
            opens, closes = midnight + opening * MINUTE, midnight + closing * MINUTE
            if closes > first and opens < last:
                yield max(opens, first) - offset, min(closes, last) - offset
        midnight += DAY


def _segments(zone: ZoneInfo, begins: datetime, ends: datetime) -> Iterator[tuple[datetime, datetime, timedelta]]:
    """Cut a block at the change of the zone's offset, if there is one."""
    offset, after = _offset(zone, begins), _offset(zone, ends)
    if offset == after:
        yield begins, ends, offset
        return
    before, changed = 0, int((ends - begins).total_seconds())
    while changed - before > 1:
        middle = (before + changed) // 2
        if _offset(zone, begins + timedelta(seconds=middle)) == offset:
            before = middle
        else:
            changed = middle
    # zones change on whole seconds; `begins` may stand between two
    cut = (begins + timedelta(seconds=changed)).replace(microsecond=0)
    yield begins, cut, offset
    yield cut, ends, after


def _offset(zone: ZoneInfo, at: datetime) -> timedelta:
    return at.astimezone(zone).utcoffset() or ZERO


@lru_cache(maxsize=256)
def _zone(name: str) -> ZoneInfo:
    """Raises ZoneInfoNotFoundError; files are checked for that before a policy is built."""
    return ZoneInfo(name)
