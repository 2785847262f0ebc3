"""From a refusal on the wire to a notice for the desk, through the real composer; and no further."""

from __future__ import annotations

from pathlib import Path
from random import Random

from sqlalchemy import Connection

from gateway import clocks, desk
from gateway.capture import CaptureSender
from gateway.metrics import Metrics
from gateway.outbox import Outbox
from gateway.store import outbox
from gateway.store.database import Database
from normalizer.message import Delivery, Fault, Notice, Receipt
from tests.gateway.conftest import START, FrozenClock
from tests.gateway.outgoing import context, open_ticket, render
from tests.gateway.patience import PATIENCE


class Refusing:
    """Takes nothing for anybody."""

    def __init__(self) -> None:
        self.recipients: list[str] = []

    async def send(self, notice: Notice) -> Receipt:
        self.recipients.append(notice.recipient.address)
        return Receipt(delivery=Delivery.REFUSED, detail="550 no such user", fault=Fault.MESSAGE)


async def test_the_desk_is_told_that_a_reply_was_refused_and_a_refused_telling_ends_it(
    db: Database, clock: FrozenClock, tmp_path: Path
) -> None:
    ctx = context(
        agents={"olha": {"name": "Olha", "addresses": ["olha@desk.example"]}},
        lines={"L1": {"recipients": ["line1@desk.example"]}},
    )
    sender = Refusing()
    engine = Outbox(
        db, ctx, senders={("mail", "support"): sender}, capture=CaptureSender(tmp_path), render=render, clock=clock,
        random=Random(1), owner="host:1", metrics=Metrics(),
    )  # fmt: skip

    def reply(conn: Connection) -> int:
        ticket = open_ticket(conn, START)
        clocks.recompute(conn, ctx, ticket, START)
        desk.reply(conn, ctx, ticket, actor="agent:olha", now=START, text="Please switch it on.")
        return ticket

    ticket = await db.write(reply)
    while await engine.claim():
        await engine.finish(PATIENCE)
    assert sender.recipients == ["ann@client.example", "line1@desk.example"]
    rows = await db.read(lambda conn: outbox.listing(conn, ticket_id=ticket))
    assert [(row.kind, row.state) for row in rows if row.state != "waiting"] == [
        ("reply", "refused"),
        ("undelivered", "refused"),
    ]
