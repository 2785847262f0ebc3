"""When people may be called: by day, on working days, in their own zone."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.contract import AccountSettings
from gateway.call_hours import CallHours, hours_of
from router.policy import Calendar, Contract, Office, Policy

DAY = ((0, 24 * 60),)
OFFICE = ((540, 1080),)
WEEKDAYS = Calendar(
    key="weekdays", zone="Europe/Kyiv", week=(*(OFFICE,) * 5, (), ()), holidays=frozenset({date(2026, 6, 29)}),
    yearly=frozenset({(5, 1)}), working={date(2026, 5, 16): OFFICE},
)  # fmt: skip
ALWAYS = Calendar(key="always", zone="Asia/Almaty", week=(DAY,) * 7)
SHIFTS = Calendar(key="shifts", zone="Europe/Warsaw", week=(OFFICE,) * 7, yearly=frozenset({(11, 11)}))
FAR = Office(key="a", zone="Asia/Almaty")
KYIV, ALMATY, WARSAW = (ZoneInfo(name) for name in ("Europe/Kyiv", "Asia/Almaty", "Europe/Warsaw"))


def at(zone: ZoneInfo, month: int, day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=zone).astimezone(UTC)


KYIV_HOURS = CallHours(zone="Europe/Kyiv", calendars=(WEEKDAYS,))


@pytest.mark.parametrize(
    ("now", "then"),
    [
        (at(KYIV, 5, 4, 12), at(KYIV, 5, 4, 12)),
        (at(KYIV, 5, 4, 10), at(KYIV, 5, 4, 10)),
        (at(KYIV, 5, 4, 9, 59), at(KYIV, 5, 4, 10)),
        (at(KYIV, 5, 4, 18, 59), at(KYIV, 5, 4, 18, 59)),
        (at(KYIV, 5, 4, 19), at(KYIV, 5, 5, 10)),
        (at(KYIV, 5, 8, 19), at(KYIV, 5, 11, 10)),
        # Friday is the first of May.
        (at(KYIV, 4, 30, 20), at(KYIV, 5, 4, 10)),
        # A working Saturday, and a day off of this year alone.
        (at(KYIV, 5, 15, 20), at(KYIV, 5, 16, 10)),
        (at(KYIV, 6, 29, 12), at(KYIV, 6, 30, 10)),
        # The night of the change to winter time.
        (at(KYIV, 10, 25, 3, 30), at(KYIV, 10, 26, 10)),
    ],
)
def test_the_next_time_that_one_may_call(now: datetime, then: datetime) -> None:
    assert KYIV_HOURS.next_time(now) == then


@given(st.integers(0, 366 * 24 * 60), st.sampled_from([KYIV_HOURS, CallHours(zone="Asia/Almaty", calendars=(ALWAYS,))]))
def test_it_is_never_at_night_nor_at_the_weekend_nor_before_now(minutes: int, hours: CallHours) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    found = hours.next_time(now)
    assert found is not None and found >= now
    local = found.astimezone(ZoneInfo(hours.zone))
    assert 10 <= local.hour < 19
    assert local.weekday() < 5 or local.date() in WEEKDAYS.working
    assert hours.next_time(found) == found


def policy(calendar: str = "weekdays", default: str | None = "weekdays", *offices: Office) -> Policy:
    contract = Contract(key="acme", calendar=calendar, offices=offices)
    calendars = {one.key: one for one in (WEEKDAYS, ALWAYS, SHIFTS)}
    return Policy(contracts={"acme": contract}, calendars=calendars, default_calendar=default)


@pytest.mark.parametrize(
    ("rules", "contract", "now", "then"),
    [
        # A stranger: the account's zone, the desk's days.
        (policy(), None, at(ALMATY, 5, 4, 9), at(ALMATY, 5, 4, 10)),
        (policy(), None, at(ALMATY, 5, 1, 12), at(ALMATY, 5, 4, 10)),
        (policy(), "acme", at(KYIV, 5, 4, 9), at(KYIV, 5, 4, 10)),
        # Round the clock says nothing of working days.
        (policy("always"), "acme", at(ALMATY, 5, 1, 12), at(ALMATY, 5, 4, 10)),
        (policy("always", None), "acme", at(ALMATY, 5, 2, 12), at(ALMATY, 5, 4, 10)),
        (policy("always", None), "acme", at(ALMATY, 5, 1, 12), at(ALMATY, 5, 1, 12)),
        # Every day of the week, but with days off of its own: both count.
        (policy("shifts"), "acme", at(WARSAW, 11, 11, 12), at(WARSAW, 11, 12, 10)),
        (policy("shifts"), "acme", at(WARSAW, 11, 14, 12), at(WARSAW, 11, 16, 10)),
        # The zone of the one office; of several nobody knows which.
        (policy("weekdays", None, FAR), "acme", at(KYIV, 5, 4, 17), at(ALMATY, 5, 5, 10)),
        (policy("weekdays", None, FAR, Office(key="b")), "acme", at(KYIV, 5, 4, 17), at(KYIV, 5, 4, 17)),
        (policy(), "gone", at(ALMATY, 5, 4, 9), at(ALMATY, 5, 4, 10)),
    ],
)  # fmt: skip
def test_whose_days_and_whose_clock(rules: Policy, contract: str | None, now: datetime, then: datetime) -> None:
    account = AccountSettings(timezone="Asia/Almaty")
    assert hours_of(rules, contract, account).next_time(now) == then


def test_without_a_working_day_nobody_is_called() -> None:
    never = Calendar(key="never", zone="UTC", week=((),) * 7)
    assert CallHours(zone="UTC", calendars=(never,)).next_time(at(KYIV, 5, 4, 12)) is None
