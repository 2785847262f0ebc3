"""One try to send one claimed notice, from its row to a settlement. Nothing here raises for a notice's sake."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, TypeAlias, TypeVar

from sqlalchemy import Connection

from channels.contract import CannotTell, Clock, Divides, Prober, Sender, Unavailable
from gateway import daily_caps, may_send, rating_calls
from gateway import outbox_results as results
from gateway.circuit import Circuit
from gateway.context import Context
from gateway.log import get_logger
from gateway.settings import Outbox as Rules
from gateway.store.database import Database
from gateway.store.failpoints import FailPoint
from gateway.store.outbox import Row, Settlement
from normalizer.message import Delivery, Fault, Notice, Receipt

T = TypeVar("T")
QUICK = 0.02
"""Seconds within which everything that is claimed ahead should have gone out."""
AHEAD = 8
"""At most this many times the sends at once are claimed, so that quick ones share commits."""
INSISTENCE = 5
"""How often a send that is over its time is cancelled, before it is left to itself."""
Account: TypeAlias = tuple[str, str]
"""(channel, account)."""
Render: TypeAlias = Callable[[Connection, Row], Notice]
"""Makes the notice from the row and the ticket's present state, in a read transaction."""

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wires:
    """What notices go out by."""

    senders: Mapping[Account, Sender]
    capture: Sender
    """For accounts with `outbound: capture`."""
    probers: Mapping[Account, Prober] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """A wire call without a result: nobody knows what it came to."""

    detail: str


class Despatch:
    """Renders, sends within the time limit, and says what it came to. `ctx` may be replaced at any time."""

    def __init__(
        self,
        db: Database,
        ctx: Context,
        wires: Wires,
        *,
        render: Render,
        clock: Clock,
        random: Random,
        failpoint: FailPoint,
    ) -> None:
        self.ctx = ctx
        self.wires = wires
        self._db, self._render, self._clock, self._random = db, render, clock, random
        self._failpoint = failpoint
        self._circuits: dict[Account, Circuit] = {}
        self._pace: dict[Account, float] = {}
        self._all_slots = asyncio.Semaphore(self._rules.concurrency)
        self._slots: dict[Account, asyncio.Semaphore] = {}

    def circuit(self, account: Account) -> Circuit:
        """The circuit of an account."""
        return self._circuits.setdefault(account, Circuit())

    def ahead(self, account: Account) -> int:
        """How many times the sends at once may be claimed: 1 unless this account's sends are very quick.

        Each row claimed is in doubt after a crash, so little is claimed that does not go out at once.
        """
        pace = self._pace.get(account, QUICK)
        return max(1, min(AHEAD, int(QUICK / max(pace, 1e-6))))

    async def send(self, row: Row, still_ours: Callable[[], bool]) -> Settlement:
        """One try of a row that is SENDING in a committed transaction.

        `still_ours` is asked right before the send begins: has nobody taken over what we claimed?
        """
        account = self.ctx.settings.account(row.channel, row.account)
        if account is None or account.outbound == "off":
            return results.of_state(row, "suppressed", "the account's outbound is off")
        notice = await self._rendered(row, first=True)
        if isinstance(notice, Settlement):
            return notice
        captured = account.outbound == "capture"
        sender = self.wires.capture if captured else self.wires.senders[row.channel, row.account]
        calls = self._calls(row, sender, notice)
        if isinstance(calls, Settlement):
            return calls
        if row.part >= len(calls):
            return results.of_state(row, "sent", "nothing was left to say: the text is shorter now")
        notice = calls[row.part]
        if not captured and (stopped := await self._over_limit(row)) is not None:
            return stopped
        self._failpoint("sending-committed")
        answer = await self._call(sender, notice, (row.channel, row.account), still_ours)
        self._failpoint("sent-unsettled")
        if not captured:
            self._judge(row, answer)
        if isinstance(answer, NoAnswer) or answer.uncertain:
            settlement = await self._in_doubt(row, notice, answer.detail, at_once=False)
        else:
            settlement = self._of_receipt(row, answer, captured=captured)
        return replace(settlement, more=settlement.state == "sent" and row.part + 1 < len(calls))

    def _calls(self, row: Row, sender: Sender, notice: Notice) -> Sequence[Notice] | Settlement:
        """The wire calls that the notice takes, at least one; each has a row of its own."""
        if not isinstance(sender, Divides):
            return [notice]
        try:
            return sender.divide(notice)
        except Exception as error:  # noqa: BLE001  as a text that cannot be rendered: it blocks nothing behind it
            log.error("notice could not be divided", outbox=row.id, error=type(error).__name__)
            return results.of_state(row, "dead", f"could not be divided: {type(error).__name__}", Fault.OURS)

    async def _over_limit(self, row: Row) -> Settlement | None:
        """What a message comes to that is one too many for the day: the next channel may tell it."""
        if not daily_caps.is_counted(self.ctx, row):
            return None
        try:
            why = await self._db.write(lambda conn: daily_caps.count(conn, self.ctx, row, self._clock()))
        except Unavailable as error:
            detail = f"could not be counted: {type(error).__name__}"
            return self._of_receipt(row, Receipt(delivery=Delivery.RETRY, detail=detail, fault=Fault.OURS))
        if not why:
            return None
        over = Receipt(delivery=Delivery.UNREACHABLE, about="channel", detail=why, fault=Fault.OURS)
        return self._of_receipt(row, over)

    async def _call(
        self, sender: Sender, notice: Notice, account: Account, still_ours: Callable[[], bool]
    ) -> Receipt | NoAnswer:
        loop = asyncio.get_running_loop()
        slots = self._slots.setdefault(account, asyncio.Semaphore(self._rules.per_account))
        async with slots, self._all_slots:
            if not still_ours():
                return Receipt(delivery=Delivery.RETRY, detail="not sent: this node's lease is over", fault=Fault.OURS)
            begun = loop.time()
            answer = await limited(sender.send(notice), self._limit)
        took = loop.time() - begun
        sent = isinstance(answer, Receipt) and answer.delivery is Delivery.SENT
        self._pace[account] = 0.8 * self._pace.get(account, took) + 0.2 * took if sent else QUICK
        return answer

    async def recover(self, row: Row) -> Settlement:
        """What to do with a row that a dead server left SENDING (rule 12)."""
        detail = "the gateway was stopped while this was being sent"
        if (row.channel, row.account) not in self.wires.probers:
            return self._of_doubt(row, detail, at_once=True)
        notice = await self._rendered(row)
        sender = self.wires.senders[row.channel, row.account]
        calls = notice if isinstance(notice, Settlement) else self._calls(row, sender, notice)
        if isinstance(calls, Settlement) or row.part >= len(calls):
            return self._of_doubt(row, detail, at_once=True)
        settlement = await self._in_doubt(row, calls[row.part], detail, at_once=True)
        return replace(settlement, more=settlement.state == "sent" and row.part + 1 < len(calls))

    async def _rendered(self, row: Row, *, first: bool = False) -> Notice | Settlement:
        """`first`: it was not sent yet. What may have been is asked after, whatever the hour."""
        try:
            return await self._db.read(lambda conn: self._looked_at(conn, row, first=first))
        except (Unavailable, OSError) as error:  # the database, or the blob of an attachment
            detail = f"could not be read: {type(error).__name__}"
            return self._of_receipt(row, Receipt(delivery=Delivery.RETRY, detail=detail, fault=Fault.OURS))
        except Exception as error:  # noqa: BLE001  a broken template blocks nothing behind it; staff are told
            log.error("notice could not be rendered", outbox=row.id, error=type(error).__name__)
            return results.of_state(row, "dead", f"could not be rendered: {type(error).__name__}", Fault.OURS)

    def _looked_at(self, conn: Connection, row: Row, *, first: bool) -> Notice | Settlement:
        if why := may_send.why_not(conn, self.ctx, row):
            return results.of_bar(row, why)
        match rating_calls.look(conn, self.ctx, row, self._clock()) if first else "":
            case "":
                return self._render(conn, row)
            case str(why):
                return results.of_state(row, "suppressed", why)
            case may:
                return results.of_hour(row, may)

    async def _in_doubt(self, row: Row, notice: Notice, detail: str, *, at_once: bool) -> Settlement:
        """Ask the far side where somebody can; else the kind of the notice decides."""
        prober = self.wires.probers.get((row.channel, row.account))
        if prober is None:
            return self._of_doubt(row, detail, at_once=at_once)
        found = await limited(prober.find(notice, row.sending_at or row.created_at), self._limit)
        match found:
            case Receipt():
                return self._of_receipt(row, found)
            case None:
                pause = results.SHORTEST if at_once else None
                lost = Receipt(delivery=Delivery.RETRY, detail=f"{detail}; it did not go out", retry_after=pause)
                return self._of_receipt(row, lost)
            case CannotTell() | NoAnswer():
                return self._of_doubt(row, f"{detail}; {found.detail}", at_once=at_once)

    def _judge(self, row: Row, answer: Receipt | NoAnswer) -> None:
        if isinstance(answer, Receipt) and answer.delivery is Delivery.RETRY and answer.fault is Fault.NONE:
            return  # nobody was asked: the sender keeps to a pace
        circuit = self.circuit((row.channel, row.account))
        down = isinstance(answer, NoAnswer) or (answer.delivery is Delivery.RETRY and answer.fault is not Fault.MESSAGE)
        if not down:
            circuit.answered()
        elif circuit.failed(self._clock()):
            log.warning("account pauses", channel=row.channel, account=row.account)

    @property
    def _rules(self) -> Rules:
        return self.ctx.settings.outbox

    @property
    def _limit(self) -> float:
        return self._rules.send_timeout.total_seconds()

    def _of_receipt(self, row: Row, receipt: Receipt, *, captured: bool = False) -> Settlement:
        return results.of_receipt(
            row, receipt, captured=captured, settings=self._rules, random=self._random, now=self._clock()
        )

    def _of_doubt(self, row: Row, detail: str, *, at_once: bool) -> Settlement:
        return results.of_doubt(
            row, detail, settings=self._rules, random=self._random, now=self._clock(), at_once=at_once
        )


async def limited(work: Coroutine[Any, Any, T], seconds: float) -> T | NoAnswer:
    """The result of `work`, or why there is none. One that does not let itself be cancelled holds up nobody."""
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
    finally:
        task.cancel()
        task.add_done_callback(_retrieve)
    if not done:
        await _insist(task)
        return NoAnswer("no answer within the time limit")
    if task.cancelled():
        return NoAnswer("the sender gave up")
    error = task.exception()
    if error is None:
        return task.result()
    log.error("sender broke", error=type(error).__name__)
    return NoAnswer(f"the sender broke: {type(error).__name__}")


async def _insist(task: asyncio.Future[Any]) -> None:
    """Cancel until it has ended: `wait_for` of Python 3.11 forgets a cancellation that meets the answer that it waits
    for, and the send would go on and hand over what is taken for not sent."""
    for _ in range(INSISTENCE):
        await asyncio.sleep(0)
        if task.done():
            return
        task.cancel()


def _retrieve(task: asyncio.Future[Any]) -> None:
    if not task.cancelled():
        task.exception()
