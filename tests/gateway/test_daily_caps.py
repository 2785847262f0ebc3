"""Messages that cost money: counted by day for an account and a contract; one too many goes another way."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import Connection, update

from gateway.alerts import Alerts
from gateway.capture import CaptureSender
from gateway.context import Context
from gateway.metrics import Metrics
from gateway.outbox import Outbox
from gateway.rendering import render as rendered
from gateway.store import outbox, people, schema, tickets
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from gateway.store.outbox import Row
from normalizer.message import Delivery, Fault, Receipt
from router.policy import Contract, Policy
from tests.gateway.conftest import FrozenClock
from tests.gateway.outgoing import ScriptedSender, Told, context, draft, open_ticket, render
from tests.gateway.patience import PATIENCE
from tests.twilio.provider import ACCOUNT, ANNA, OURS

SMS = ("sms", "main")
OK = Receipt(delivery=Delivery.SENT, external_ids=("sms:main:SM1",), detail="ok")
POLICY = Policy(contracts={"acme": Contract(key="acme", calendar="none", messages_daily=2)})


def desk(**account: Any) -> Context:
    channels = {
        "sms": {"main": {**ACCOUNT, **account}}, "whatsapp": {"main": ACCOUNT},
        "mail": {"support": {"addresses": ["support@desk.example"]}},
    }  # fmt: skip
    return context(POLICY, channels=channels, operators=["ops@desk.example"])


class Bench:
    """An engine that sends text messages."""

    def __init__(self, db: Database, clock: FrozenClock, folder: Path, ctx: Context) -> None:
        self.db, self.clock, self.ctx, self.sender, self.told = db, clock, ctx, ScriptedSender(), Told()
        self.engine = Outbox(
            db, ctx, senders={SMS: self.sender, ("mail", "support"): ScriptedSender()}, capture=CaptureSender(folder),
            render=render, clock=clock, random=Random(1), owner="host:1", metrics=Metrics(), compose=self.told,
        )  # fmt: skip

    async def send(self, *keys: str, contract: str | None = None, **values: Any) -> list[Row]:
        """Notices of one ticket, sent; their rows."""

        def put(conn: Connection) -> list[int | None]:
            ticket = open_ticket(conn, self.clock(), contract=contract)
            given = {"channel": "sms", "account": "main", "recipient": ANNA, "ticket_id": ticket, **values}
            return [outbox.put(conn, draft(key, **given), self.clock()) for key in keys]

        ids = await self.db.write(put)
        while await self.engine.claim():
            await self.engine.finish(PATIENCE)
        return [row for row in await self.db.read(outbox.listing) if row.id in ids]

    async def alarms(self) -> list[str]:
        alerts = Alerts(self.db, self.ctx, self.clock, metrics=Metrics(), after=lambda: None)
        await alerts.look()
        rows = await self.db.read(outbox.listing)
        return [
            str(row.variables["alert"]) for row in rows if row.kind == "alert" and row.variables["state"] == "raised"
        ]


async def test_one_too_many_of_an_account_reaches_nobody_by_it_and_the_address_stays_good(
    db: Database, clock: FrozenClock, tmp_path: Path
) -> None:
    bench = Bench(db, clock, tmp_path, desk(daily_limit=2))
    first = await bench.send("a", "b", "c")
    # They go out at once: which of them is the one too many is open.
    assert sorted(row.state for row in first) == ["sent", "sent", "unreachable"]
    (over,) = (row for row in first if row.state == "unreachable")
    assert "2 messages of today" in over.detail
    assert len(bench.sender.began) == 2
    assert await db.read(lambda conn: people.unreachable_by(conn, "phone", ANNA, "sms")) is None
    assert [change.kind for change in bench.told.changes] == ["undelivered"], "staff hear of it"
    assert await bench.alarms() == ["daily limit sms/main"]
    clock.forward(timedelta(days=1))
    assert [row.state for row in await bench.send("d")] == ["sent"]


async def test_a_contract_has_a_number_of_its_own(db: Database, clock: FrozenClock, tmp_path: Path) -> None:
    bench = Bench(db, clock, tmp_path, desk())
    states = sorted(row.state for row in await bench.send("a", "b", "c", contract="acme"))
    assert states == ["sent", "sent", "unreachable"]
    assert [row.state for row in await bench.send("d")] == ["sent"]
    assert [row.state for row in await bench.send("e", ticket_id=None)] == ["sent"]
    assert await bench.alarms() == ["daily limit of contract acme"]


async def test_what_is_tried_again_is_counted_once_and_mail_never(
    db: Database, clock: FrozenClock, tmp_path: Path
) -> None:
    bench = Bench(db, clock, tmp_path, desk(daily_limit=2))
    later = Receipt(delivery=Delivery.RETRY, fault=Fault.MESSAGE, retry_after=1.0)
    answers = [later, later, later]
    bench.sender.script["a"] = lambda _: answers.pop(0) if answers else OK
    await bench.send("a")
    for _ in range(4):
        clock.forward(timedelta(seconds=30))
        while await bench.engine.claim():
            await bench.engine.finish(PATIENCE)
    mails = {"channel": "mail", "account": "support", "recipient": "ann@client.example"}
    assert {row.state for row in await bench.send("m", "n", "o", **mails)} == {"sent"}
    assert sorted(row.state for row in await bench.send("b", "c")) == ["sent", "unreachable"]


async def test_what_is_captured_costs_nothing(db: Database, clock: FrozenClock, tmp_path: Path) -> None:
    bench = Bench(db, clock, tmp_path, desk(daily_limit=1, outbound="capture"))
    assert [row.state for row in await bench.send("a", "b")] == ["captured", "captured"]
    assert await bench.alarms() == []


# -- what the person is found to want or to be ------------------------------------------------


@pytest.mark.parametrize(
    ("about", "marked", "wishes"), [("address", True, []), ("channel", False, []), ("consent", False, [(OURS, "stop")])]
)
async def test_why_nobody_is_reached_says_what_of_it_is_remembered(
    db: Database, clock: FrozenClock, tmp_path: Path, about: Any, marked: bool, wishes: list[tuple[str, str]]
) -> None:
    bench = Bench(db, clock, tmp_path, desk())
    await db.write(lambda conn: people.contact_for(conn, "phone", ANNA, "", clock()))
    bench.sender.script["a"] = lambda _: Receipt(delivery=Delivery.UNREACHABLE, detail="no", about=about)
    # The notice came by another channel first and names no number of ours: it is the account's first.
    (row,) = await bench.send("a")
    assert row.state == "unreachable"
    mark = await db.read(lambda conn: people.unreachable_by(conn, "phone", ANNA, "sms"))
    assert (mark is not None) == marked
    kept = await db.read(lambda conn: conn.execute(schema.consent.select()).all())
    assert [(one.endpoint, one.wish) for one in kept] == wishes


# -- windows ------------------------------------------------------------------------------


async def test_a_window_counts_from_what_the_person_wrote_last(
    db: Database, clock: FrozenClock, tmp_path: Path
) -> None:
    ctx, wrote = desk(), clock()

    def put(conn: Connection) -> tuple[int, int]:
        contact = people.contact_for(conn, "phone", ANNA, "", wrote)
        ticket = tickets.open_ticket(
            conn, channel="whatsapp", account="main", requester_id=contact, requester=ANNA, requester_name="",
            subject="", language="en", opened_at=wrote, now=wrote,
        )  # fmt: skip
        said = {"ticket_id": ticket, "kind": "message", "subject": "", "text": "x", "visible_text": "x"}
        for direction, author, at in (("in", ANNA, wrote), ("out", "agent:x", wrote + timedelta(hours=9))):
            conn.execute(schema.message.insert().values(**said, direction=direction, author=author, at=at))
        place = {"channel": "whatsapp", "account": "main", "recipient": ANNA}
        reply = draft("a", ticket_id=ticket, template="in_work", **place)
        answer = draft("b", template="word_stop", destination={"to": ANNA, "from": OURS}, **place)
        later = wrote + timedelta(hours=10)
        made = outbox.put(conn, reply, later), outbox.put(conn, answer, later)
        assert made[0] and made[1]
        return made[0], made[1]

    ids = await db.write(put)
    blobs = Blobs(tmp_path)
    windows = []
    for row_id in ids:
        row = await db.read(lambda conn, row_id=row_id: outbox.get(conn, row_id))
        made = await db.read(lambda conn, row=row: rendered(conn, ctx, row, blobs))
        windows.append(made.destination["window_until"])
    day = timedelta(days=1)
    assert windows == [(wrote + day).isoformat(), (wrote + timedelta(hours=10) + day).isoformat()]
    await db.write(lambda conn: conn.execute(update(schema.outbox).values(channel="sms")))
    row = await db.read(lambda conn: outbox.get(conn, ids[1]))
    assert row is not None
    sms = await db.read(lambda conn: rendered(conn, ctx, row, blobs))
    assert sms.destination == {"to": ANNA, "from": OURS}


async def test_an_alarm_opens_no_window_with_an_operator(db: Database, clock: FrozenClock, tmp_path: Path) -> None:
    """WhatsApp would take the free words, report that it does not, and the operator would hear of nothing."""
    place = {"channel": "whatsapp", "account": "main", "recipient": ANNA, "destination": {"to": ANNA}}
    said = {"alert": "disk", "state": "raised", "detail": "full", "since": clock().isoformat()}
    alarm = draft("a", kind="alert", template="alert", variables=said, **place)
    row_id = await db.write(lambda conn: outbox.put(conn, alarm, clock()))
    row = await db.read(lambda conn: outbox.get(conn, row_id or 0))
    assert row is not None
    made = await db.read(lambda conn: rendered(conn, desk(), row, Blobs(tmp_path)))
    assert made.destination == {"to": ANNA}
