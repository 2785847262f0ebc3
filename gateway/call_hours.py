"""When people may be called who did not ask for it: by day, on working days, where they are.

Days are those of the calendar of the person's contract. A calendar that is open every day knows no working days: then
the desk's own says which they are, and without such a one they are Monday to Friday.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from channels.contract import AccountSettings
from router.policy import Calendar, Policy

BEGINS, ENDS = time(10), time(19)
"""Of the day, by the clock on the wall."""
HORIZON = 60
"""Days without a working day after which nobody is called."""
WEEKEND = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class CallHours:
    """Those of one person."""

    zone: str
    """IANA name."""
    calendars: Sequence[Calendar] = ()
    """A day is a working day when each of them is open on it."""

    def next_time(self, at: datetime) -> datetime | None:
        """The first moment from `at` on at which one may call (`at` itself, when one may); None: there is none."""
        zone = ZoneInfo(self.zone)
        today = at.astimezone(zone).date()
        for ahead in range(HORIZON):
            day = today + timedelta(days=ahead)
            begins, ends = (datetime.combine(day, hour, zone) for hour in (BEGINS, ENDS))
            if at < ends and self._works(day):
                return max(at, begins.astimezone(at.tzinfo))
        return None

    def _works(self, day: date) -> bool:
        if not any(map(_rests, self.calendars)) and day.weekday() >= WEEKEND:
            return False
        return all(calendar.spans(day) for calendar in self.calendars)


def _rests(calendar: Calendar) -> bool:
    """It has days of the week on which nobody works."""
    return not all(calendar.week)


def hours_of(policy: Policy, contract: str | None, account: AccountSettings | None) -> CallHours:
    """Those of somebody under this contract, or of a stranger: in the zone of the contract's office, where it has but
    one; else of its calendar; else of the account."""
    known = policy.contracts.get(contract or "")
    own = policy.calendar_of(known.key) if known is not None else None
    offices = [office.zone for office in known.offices if office.zone] if known is not None else []
    zone = account.timezone if account is not None else "UTC"
    if own is not None:
        zone = own.zone
    if known is not None and len(known.offices) == 1 and offices:
        zone = offices[0]
    desk = policy.calendar_of(None)
    days = [own] if own is not None and _rests(own) else [one for one in (own, desk) if one is not None]
    return CallHours(zone=zone, calendars=days)
