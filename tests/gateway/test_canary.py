"""The mail that the gateway sends to itself: what it sends, what it knows again, and when operators hear."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway import canary
from gateway.canary import Canary
from gateway.keyring import Keyring
from gateway.settings_files import load_settings
from gateway.store import hold
from gateway.store.database import Database
from normalizer.message import Address, Delivery, Fault, Message, Notice, Receipt
from tests.gateway.conftest import FrozenClock
from tests.gateway.outgoing import context
from tests.gateway.patience import PATIENCE
from tests.gateway.test_alerts import Watch

MINUTE = timedelta(minutes=1)
ROOT = Path(__file__).parents[2]
WANTED = {"account": "support", "every": "30m", "within": "10m"}


class Wire:
    """A sender that keeps what it was given, or refuses it."""

    def __init__(self) -> None:
        self.sent: list[Notice] = []
        self.refuses = ""
        self.broken = ""

    async def send(self, notice: Notice) -> Receipt:
        self.sent.append(notice)
        if self.broken == "breaks":
            raise RuntimeError("a fault of the library")
        if self.broken == "hangs":
            await asyncio.Event().wait()
        if self.refuses:
            return Receipt(delivery=Delivery.RETRY, fault=Fault.FAR_SIDE, detail=self.refuses)
        return Receipt(delivery=Delivery.SENT)


class Bird:
    """The canary of a desk, and its alarms."""

    def __init__(self, db: Database, clock: FrozenClock, **said: Any) -> None:
        self.db, self.clock, self.wire = db, clock, Wire()
        self.ctx = context(canary={**WANTED, **said})
        self.canary = Canary(db, self.ctx, senders=lambda: {("mail", "support"): self.wire}, clock=clock)
        self.watch = Watch(db, clock, canary={**WANTED, **said})

    async def back(self, notice: Notice, change: Callable[[Message], Message] = lambda one: one) -> Any:
        """What filing makes of the notice when it comes in as a mail."""
        own = Address(address="support@desk.example")
        mail = Message(sender=own, text="", visible_text="", subject=notice.subject, message_id=notice.message_id)
        now = self.clock()
        return await self.db.write(lambda conn: canary.back(conn, self.ctx, change(mail), now))


@pytest.fixture
def bird(db: Database, clock: FrozenClock) -> Bird:
    return Bird(db, clock)


async def test_one_is_sent_when_it_is_due_and_a_restart_sends_none_before(bird: Bird) -> None:
    await bird.canary.look()
    (first,) = bird.wire.sent
    assert first.recipient.address == "support@desk.example" and first.automatic and first.kind == "canary"
    bird.clock.forward(29 * MINUTE)
    await bird.canary.look()
    again = Bird(bird.db, bird.clock)
    await again.canary.look()
    assert len(bird.wire.sent) == 1 and again.wire.sent == []
    bird.clock.forward(MINUTE)
    await bird.canary.look()
    assert [one.message_id for one in bird.wire.sent][1] != first.message_id


async def test_one_that_does_not_come_back_is_told_by_another_account_and_its_return_too(bird: Bird) -> None:
    await bird.canary.look()
    bird.clock.forward(9 * MINUTE)
    assert await bird.watch.look() == []
    bird.clock.forward(MINUTE)
    assert await bird.watch.look() == [("canary mail/support", "raised")]
    rows = await bird.db.read(lambda conn: canary_alerts(conn))
    assert [row.account for row in rows] == ["sales"], "not by the account in question"
    bird.clock.forward(20 * MINUTE)
    await bird.canary.look()
    assert await bird.watch.look() == []
    filed = await bird.back(bird.wire.sent[-1])
    assert (filed.kind, filed.ticket_id) == ("canary", None)
    assert await bird.watch.look() == [("canary mail/support", "cleared")]


def canary_alerts(conn: Any) -> list[Any]:
    from gateway.store import outbox

    return [row for row in outbox.listing(conn) if row.kind == "alert"]


async def test_a_late_one_clears_only_what_was_sent_before_it(bird: Bird) -> None:
    await bird.canary.look()
    bird.clock.forward(30 * MINUTE)
    await bird.canary.look()
    bird.clock.forward(MINUTE)
    assert await bird.watch.look() == [("canary mail/support", "raised")], "the first one"
    await bird.back(bird.wire.sent[0])
    assert await bird.watch.look() == [("canary mail/support", "cleared")], "the second has time"
    bird.clock.forward(9 * MINUTE)
    assert await bird.watch.look() == [("canary mail/support", "raised")]


@pytest.mark.parametrize(("way", "why"), [("breaks", "broke: RuntimeError"), ("hangs", "no answer within")])
async def test_a_sender_that_breaks_or_hangs_ends_nothing(bird: Bird, way: str, why: str) -> None:
    bird.canary.ctx = context(canary=WANTED, outbox={"send_timeout": "1s"})
    bird.wire.broken = way
    async with asyncio.timeout(PATIENCE):
        await bird.canary.look()
    bird.clock.forward(10 * MINUTE)
    assert await bird.watch.look() == [("canary mail/support", "raised")]
    (row,) = await bird.db.read(canary_alerts)
    assert why in row.variables["detail"]


async def test_what_the_relay_said_stands_in_the_alarm(bird: Bird) -> None:
    bird.wire.refuses = "the relay refused our password: 535"
    await bird.canary.look()
    bird.clock.forward(10 * MINUTE)
    assert await bird.watch.look() == [("canary mail/support", "raised")]
    (row,) = await bird.db.read(canary_alerts)
    assert "535" in row.variables["detail"]


async def test_nobody_else_can_make_one(bird: Bird) -> None:
    await bird.canary.look()
    (sent,) = bird.wire.sent
    number = int(bird.clock().timestamp())
    forged = canary.token(Keyring(b"another key of 32 bytes, surely!"), number)
    for change in (
        lambda one: replace(one, message_id=f"{forged}@desk.example", subject=forged),
        lambda one: replace(one, message_id="canary.1@desk.example", subject="Canary"),
        lambda one: replace(one, message_id=one.message_id.replace(str(number), str(number + 1)), subject=""),
    ):
        assert await bird.back(sent, change) is None
    assert (await bird.back(sent, lambda one: replace(one, message_id="rewritten@mx.example"))).kind == "canary"


async def test_nothing_goes_out_while_everything_is_held_or_no_canary_is_wanted(bird: Bird) -> None:
    await bird.db.write(lambda conn: hold.put(conn, "restored", bird.clock()))
    await bird.canary.look()
    assert bird.wire.sent == []
    await bird.db.write(hold.release)
    await bird.canary.look()
    bird.clock.forward(10 * MINUTE)
    assert await bird.watch.look() == [("canary mail/support", "raised")]
    bird.canary.ctx = bird.watch.alerts.ctx = context(operators=["op@desk.example"])
    bird.clock.forward(timedelta(hours=1))
    await bird.canary.look()
    assert len(bird.wire.sent) == 1
    assert await bird.watch.look() == [("canary mail/support", "cleared")]


async def test_the_oldest_under_way_is_never_forgotten(bird: Bird) -> None:
    for _ in range(canary.KEPT + 10):
        await bird.canary.look()
        bird.clock.forward(30 * MINUTE)
    known = await bird.db.read(canary.state)
    assert known is not None and len(known.waiting) == canary.KEPT
    assert known.waiting[0] == int(bird.wire.sent[0].id) and known.waiting[-1] == bird.wire.sent[-1].id


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("canary={account: none}", "there is no mail account 'none'; there are: support"),
        ("canary={account: support}", "has no relay"),
        ("canary={account: support, within: 0s}", "greater than or equal to 1"),
    ],
)
def test_a_canary_that_cannot_fly_is_a_fault_of_the_configuration(said: str, why: str) -> None:
    _, problems = load_settings(ROOT / "config", overrides=(said,))
    assert any(why in str(problem) for problem in problems), problems
