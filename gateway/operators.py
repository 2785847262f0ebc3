"""Whom operators' alarms go to, and by which of their ways: one that is not the channel in trouble.

Each operator hears of a trouble by one way. The first that is well is taken in the operator's own order; when what was
sent there did not arrive, the next one, until none is left.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from gateway.context import Context
from gateway.notices import domain_of
from gateway.settings import Operator, Settings
from gateway.store import outbox
from gateway.store.outbox import Row
from gateway.way import Way

Account = tuple[str, str]
"""(channel, account)."""
KIND = "alert"
LOST = frozenset({"refused", "unreachable", "dead", "suppressed"})
"""States of an alarm that reached nobody."""
TRIES = 3
"""An alarm that waits after so many tries goes by the next way instead."""
FLAPS, FLAPPING = 3, timedelta(hours=3)
"""What began so many times within this stands until it began less often: nobody reads alarms that come and go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """What operators are told."""

    name: str
    detail: str
    state: str
    """raised, repeated, cleared."""
    since: datetime
    told_at: datetime | None = None
    """When it was said last; None: when it began."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Out:
    """A way with the account that it takes."""

    way: Way
    account: str

    @property
    def place(self) -> Account:
        """The account's channel and name."""
        return self.way.channel, self.account


def ways(settings: Settings, operator: Operator, troubled: Set[Account]) -> list[Out]:
    """Every way to an operator that an account of ours can take, the best first.

    Before others come those by a channel that is not in trouble at all, then those by a well account of one that is.
    """
    found = [
        Out(way=way, account=name)
        for way in operator.ways
        for name in _accounts(settings, way)
        if settings.accounts(way.channel)[name].outbound != "off"
    ]
    channels = {channel for channel, _ in troubled}
    return sorted(found, key=lambda out: (out.place in troubled, out.way.channel in channels))


def _accounts(settings: Settings, way: Way) -> Sequence[str]:
    """Accounts that reach this address: any mail account or number, but of bots the one that the person has begun."""
    names = list(settings.accounts(way.channel))
    if way.account:
        return [way.account] if way.account in names else []
    return names[:1] if way.channel == "telegram" else names


def tell(conn: Connection, ctx: Context, alarm: Alarm, troubled: Set[Account], now: datetime) -> None:
    """Put a notice for each operator; an all-clear goes the way that the alarm went."""
    before = _rows(conn, alarm) if alarm.state == "cleared" else []
    for number, operator in enumerate(ctx.settings.operators):
        found = ways(ctx.settings, operator, troubled)
        if before and not _heard(before, operator):
            continue  # an all-clear that fails as its alarm did would raise the alarm again, for ever
        gone = [out for row in reversed(before) for out in found if _is(row, out) and row.state not in LOST]
        gone = [out for out in gone if out.place not in troubled]
        if best := next(iter([*gone, *found]), None):
            _put(conn, ctx, alarm, number, operator, best, now)


def tell_again(conn: Connection, ctx: Context, alarm: Alarm, troubled: Set[Account], now: datetime) -> bool:
    """Whoever an alarm did not reach is told by their next way. True when something was put."""
    # Ways that were taken when it was said before are taken again.
    rows = [row for row in _rows(conn, alarm) if row.created_at >= (alarm.told_at or alarm.since)]
    put = False
    for number, operator in enumerate(ctx.settings.operators):
        found = ways(ctx.settings, operator, troubled)
        tried = [(row, out) for row in rows for out in found if _is(row, out)]
        last = tried[-1][0] if tried else None
        if last is None or not _failed(last):
            continue
        left = [out for out in found if not any(out == before for _, before in tried)]
        if left:
            outbox.drop(conn, [last.id], now, why="told by the next way instead")
            _put(conn, ctx, alarm, number, operator, left[0], now)
            put = True
    return put


def flaps(conn: Connection, name: str, now: datetime) -> bool:
    """This cause has come and gone too often lately to say now that it is over."""
    lately = outbox.of_kind(conn, KIND, now - FLAPPING)
    same = [row.variables for row in lately if row.variables.get("alert") == name]
    return len({said.get("since") for said in same if said.get("state") == "raised"}) >= FLAPS


def _heard(rows: Sequence[Row], operator: Operator) -> bool:
    """Something of it may have reached them."""
    theirs = {(way.channel, way.address) for way in operator.ways}
    return any((row.channel, row.recipient) in theirs and row.state not in LOST for row in rows)


def _failed(row: Row) -> bool:
    """Lost, or out and reported as not arrived, or long under way; or nobody knows: rather twice than never."""
    late = row.attempts >= TRIES or bool(row.external_ids)
    return row.state in (*LOST, "unknown") or (row.state == "waiting" and late)


def _rows(conn: Connection, alarm: Alarm) -> list[Row]:
    """What operators were told of this trouble since it began, the oldest first."""
    return [
        row
        for row in outbox.of_kind(conn, KIND, alarm.since)
        if row.variables.get("alert") == alarm.name and row.variables.get("state") != "cleared"
    ]


def _is(row: Row, out: Out) -> bool:
    return (row.channel, row.account, row.recipient) == (*out.place, out.way.address)


def _put(
    conn: Connection, ctx: Context, alarm: Alarm, number: int, operator: Operator, out: Out, now: datetime
) -> None:
    channel, account = out.place
    settings = ctx.settings.accounts(channel)[account]
    said = (alarm.state, now.isoformat(), alarm.name, str(number), channel, account, out.way.address)
    key = "alert:" + ctx.keyring.token("alert", *said)
    domain = domain_of(settings)
    outbox.put(
        conn,
        outbox.Draft(
            key=key,
            lane="",
            kind=KIND,
            channel=channel,
            account=account,
            recipient=out.way.address,
            language=operator.language or settings.language,
            template="alert",
            variables={
                "alert": alarm.name, "state": alarm.state, "detail": alarm.detail, "since": alarm.since.isoformat(),
            },
            message_id=f"{ctx.keyring.token('message-id', key)}@{domain}" if domain else "",
            destination=out.way.destination(),
            repeatable=False,
            automatic=True,
        ),
        now,
    )  # fmt: skip


# -- what `gateway check` says ------------------------------------------------------------


def faults(settings: Settings) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """(place, what is wrong) of ways that lead nowhere."""
    for number, operator in enumerate(settings.operators):
        for at, way in enumerate(operator.ways):
            accounts, place = settings.accounts(way.channel), ("operators", number, "ways", at)
            if way.account and way.account not in accounts:
                known = ", ".join(accounts) or "none"
                yield place, f"there is no {way.channel} account {way.account!r}; there are: {known}"
            elif not accounts and way.channel != "mail":
                yield place, f"there is no {way.channel} account to tell them by"


def gaps(settings: Settings) -> list[str]:
    """What is missing for operators to hear of every trouble; none of it keeps the gateway from running."""
    if not settings.operators:
        return ["operators: nobody is told of trouble with the gateway itself"]
    found: list[str] = []
    for number, operator in enumerate(settings.operators):
        outs = ways(settings, operator, frozenset())
        channels = sorted({out.way.channel for out in outs})
        name = f"operators[{number}]"
        if not outs:
            found.append(f"{name}: no account sends by any of their ways, so they hear of nothing")
        elif len(channels) == 1:
            found.append(f"{name}: only by {channels[0]}, so trouble with that may go unheard; add {_other(channels)}")
        off = [way for way in operator.ways if outs and not any(out.way == way for out in outs)]
        found += [f"{name}: no account of ours sends by {way.channel} (outbound)" for way in off]
    return found


def _other(channels: Collection[str]) -> str:
    return "mail:ADDRESS" if "mail" not in channels else "telegram:CHAT or sms:+NUMBER"
