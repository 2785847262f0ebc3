"""A mail of our own through the real mailbox: out by an account's relay, back in by whatever brings the account's mail.

It is known by a token in its Message-ID and subject that nobody else can make, becomes no ticket and is never
answered. What is under way stands in the store, so that any node can see it come back; `gateway.alerts` tells
operators of one that does not, by another account where there is one.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, select

from channels.contract import Clock, Cursor, Sender, Unavailable
from gateway.context import Context
from gateway.despatch import NoAnswer, limited
from gateway.filing_case import Filed
from gateway.keyring import Keyring
from gateway.log import get_logger
from gateway.store import cursors, hold, schema
from gateway.store.database import Database
from gateway.waiting import wait_for_any
from normalizer.message import Address, Delivery, Message, Notice

CHANNEL = "mail"
LONGEST = 30.0
"""Seconds between two looks at the clock."""
KEPT = 50
"""Canaries under way that are remembered; the oldest is always among them."""
_TOKEN = re.compile(r"canary\.(\d{1,12})\.([a-z2-7]{26})")

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What is under way."""

    account: str
    waiting: tuple[int, ...] = ()
    """When each was sent that has not come back, in seconds since 1970, ascending."""
    sent: int = 0
    """The last one."""
    why: str = ""
    """What the relay said to the last one that it did not take."""

    def oldest(self) -> datetime | None:
        """When the first one was sent that has not come back; None when all have."""
        return datetime.fromtimestamp(self.waiting[0], UTC) if self.waiting else None


def state(conn: Connection) -> State | None:
    """What is under way; None when there never was a canary."""
    return _read(cursors.get(conn, "gateway", "", "canary"))


def back(conn: Connection, ctx: Context, event: object, now: datetime) -> Filed | None:
    """The outcome of a message that is a canary of ours, noted as come back; None for every other message."""
    if not isinstance(event, Message):
        return None
    found = _TOKEN.match(event.message_id) or _TOKEN.search(event.subject)
    if found is None or token(ctx.keyring, int(found[1])) != found[0]:
        return None
    sent = int(found[1])
    known = _locked(conn)
    if known is not None:
        # Who comes back shows that the way is open: those sent before it may have been lost, and are old news.
        _write(conn, replace(known, waiting=tuple(one for one in known.waiting if one > sent), why=""))
    return Filed(kind="canary", because=f"came back after {max(int(now.timestamp()) - sent, 0)} s")


def token(keyring: Keyring, sent: int) -> str:
    """What a canary sent at this second bears."""
    return f"canary.{sent}.{keyring.token('canary', str(sent))}"


class Canary:
    """Sends one when it is due. `ctx` may be replaced at any time."""

    def __init__(
        self, db: Database, ctx: Context, *, senders: Callable[[], Mapping[tuple[str, str], Sender]], clock: Clock
    ) -> None:
        self.ctx = ctx
        self._db, self._senders, self._clock = db, senders, clock

    async def run(self, stop: asyncio.Event) -> None:
        """Send until `stop` is set."""
        while not stop.is_set():
            try:
                pause = await self.look()
            except Unavailable as error:
                log.warning("the canary waits", error=type(error).__name__)
                pause = LONGEST
            await wait_for_any(stop, seconds=pause)

    async def look(self) -> float:
        """Send one if it is due. Returns the seconds until the next look. Raises Unavailable."""
        ctx, now = self.ctx, self._clock()  # a reload on the way changes nothing for this one
        wanted = ctx.settings.canary
        if wanted is None:
            return LONGEST
        sender = self._senders().get((CHANNEL, wanted.account))
        known, held = await self._db.read(lambda conn: (state(conn), hold.get(conn)))
        due = _due(known, wanted.account, wanted.every)
        if sender is None or held is not None or now < due:
            return min(max((due - now).total_seconds(), 1.0), LONGEST)
        sent = int(now.timestamp())
        # Written before it goes out: one that is lost with us is missed all the same.
        await self._db.write(lambda conn: _sent(conn, wanted.account, sent))
        limit = ctx.settings.outbox.send_timeout.total_seconds()
        answer = await limited(sender.send(_notice(ctx, wanted.account, sent, now)), limit)
        if isinstance(answer, NoAnswer) or answer.delivery is not Delivery.SENT:
            await self._db.write(lambda conn: _refused(conn, wanted.account, answer.detail))
        result = "no answer" if isinstance(answer, NoAnswer) else answer.delivery.value
        log.info("canary", account=wanted.account, result=result)
        return min(wanted.every.total_seconds(), LONGEST)


def _notice(ctx: Context, account: str, sent: int, now: datetime) -> Notice:
    own = ctx.settings.accounts(CHANNEL)[account].endpoints()[0]
    mark = token(ctx.keyring, sent)
    return Notice(
        id=sent,
        channel=CHANNEL,
        account=account,
        recipient=Address(address=own),
        kind="canary",
        language="en",
        subject=f"Canary of the intake gateway [{mark}]",
        text="The gateway sends this to itself, to see that mail goes out and comes in. There is nothing to do.\n",
        message_id=f"{mark}@{own.rpartition('@')[2]}",
        created_at=now,
    )


def _due(known: State | None, account: str, every: timedelta) -> datetime:
    if known is None or known.account != account:
        return datetime.fromtimestamp(0, UTC)
    return datetime.fromtimestamp(known.sent, UTC) + every


def _sent(conn: Connection, account: str, sent: int) -> None:
    known = _locked(conn)
    if known is None or known.account != account:
        known = State(account=account)
    waiting = (*known.waiting, sent)
    _write(conn, replace(known, waiting=(*waiting[:1], *waiting[1:][-(KEPT - 1) :]), sent=sent))


def _refused(conn: Connection, account: str, detail: str) -> None:
    known = _locked(conn)
    if known is not None and known.account == account:
        _write(conn, replace(known, why=detail[:300]))


def _locked(conn: Connection) -> State | None:
    """As `state`; nobody else changes it until the transaction ends."""
    table = schema.cursor
    named = (table.c.channel == "gateway") & (table.c.account == "") & (table.c.name == "canary")
    return _read(conn.execute(select(table.c.value).where(named).with_for_update()).scalar_one_or_none())


def _read(text: str | None) -> State | None:
    if text is None:
        return None
    said = json.loads(text)
    return State(account=said["account"], waiting=tuple(said["waiting"]), sent=said["sent"], why=said["why"])


def _write(conn: Connection, known: State) -> None:
    said = {"account": known.account, "waiting": known.waiting, "sent": known.sent, "why": known.why}
    cursors.put(conn, Cursor(channel="gateway", account="", name="canary", value=json.dumps(said)))
