"""Where a notice goes that cannot reach its person: the next channel, once; and a chat that got another id."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select

from gateway import chats_moved, updates
from gateway.context import Context
from gateway.outbox_results import apply
from gateway.rendering import render
from gateway.store import outbox, people, schema, threads, tickets
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from gateway.store.dialect import insert_new
from gateway.store.outbox import Row, Settlement
from gateway.store.schema_chats import consent
from gateway.texts import load
from gateway.updates import Change, compose
from tests.gateway.conftest import FrozenClock
from tests.gateway.outgoing import context, draft

ANNA, MAIL = "5000000001", "anna@client.example"
GROUP = -77
PLACE = {"id": f"{GROUP}:{ANNA}", "private": False, "answer_to": {"chat": GROUP}}


class Bench:
    """A ticket that came by Telegram, from somebody whose mail address is known, too."""

    def __init__(self, db: Database, clock: FrozenClock) -> None:
        self.db, self.clock = db, clock
        self.ctx: Context = context()

    async def ticket(self, *, mail: bool = True, **columns: Any) -> int:
        now = self.clock()

        def job(conn: Connection) -> int:
            contact = people.contact_for(conn, "telegram", ANNA, "Анна", now)
            if mail:
                insert_new(conn, schema.identity, {"kind": "mail", "value": MAIL, "contact_id": contact})
            ticket_id = tickets.open_ticket(
                conn, channel="telegram", account="desk", requester_id=contact, requester=ANNA,
                requester_name="Анна", subject="Printer", language="en", opened_at=now, now=now, **columns,
            )  # fmt: skip
            data = {"class": None, "contract": None}
            tickets.add_event(conn, ticket_id, at=now, actor="requester", kind="opened", data=data)
            return ticket_id

        return await self.db.write(job)

    async def sent(self, ticket: int, key: str = "reply:1", **values: Any) -> Row:
        """A notice of the ticket that is being sent."""
        given = {"channel": "telegram", "account": "desk", "recipient": ANNA, "kind": "reply", "template": "reply"}
        given |= {"variables": {"text": "Turn it on."}, "automatic": False, "repeatable": True}
        made = draft(key, **{"ticket_id": ticket, **given, **values})
        now = self.clock()

        def job(conn: Connection) -> Row:
            row_id = outbox.put(conn, made, now)
            assert row_id is not None
            (row,) = outbox.claim(conn, [row_id], "me", now)
            return row

        return await self.db.write(job)

    async def settle(self, row: Row, state: Any, **values: Any) -> None:
        done = Settlement(id=row.id, owner="me", attempts=row.attempts, state=state, detail="blocked", **values)
        assert await self.db.write(lambda conn: apply(conn, self.ctx, compose, row, done, self.clock()))

    async def rows(self) -> list[Row]:
        return await self.db.read(outbox.listing)

    async def kinds(self, ticket: int) -> list[str]:
        return [row.kind for row in await self.db.read(lambda conn: tickets.history(conn, ticket))]

    async def event(self, ticket: int, kind: str) -> dict[str, Any]:
        rows = await self.db.read(lambda conn: tickets.history(conn, ticket))
        return next(row.data for row in reversed(rows) if row.kind == kind)


@pytest.fixture
def bench(db: Database, clock: FrozenClock) -> Bench:
    return Bench(db, clock)


# -- the next channel -------------------------------------------------------------------------


async def test_what_did_not_arrive_goes_once_by_mail_and_can_be_answered_there(bench: Bench) -> None:
    ticket = await bench.ticket()
    await bench.settle(await bench.sent(ticket), "unreachable")
    first, second = await bench.rows()
    assert first.state == "unreachable"
    assert (second.channel, second.account, second.recipient) == ("mail", "support", MAIL)
    assert (second.template, second.variables["text"], second.automatic) == ("reply", "Turn it on.", False)
    assert second.destination is None
    assert second.reply_token
    assert second.message_id
    assert (await bench.event(ticket, "undelivered"))["next"] == {"channel": "mail", "recipient": MAIL}
    assert await bench.db.read(lambda conn: people.unreachable_by(conn, "telegram", ANNA, "telegram")) is not None
    (again,) = await bench.db.write(lambda conn: outbox.claim(conn, [second.id], "me", bench.clock()))
    await bench.settle(again, "unreachable")
    assert len(await bench.rows()) == 2, "a second failure ends it"


@pytest.mark.parametrize(
    "why", ["no other identity", "unreachable there, too", "switched off", "said stop", "for staff", "an edit"]
)
async def test_without_another_way_staff_alone_hear_of_it(bench: Bench, why: str) -> None:
    ticket = await bench.ticket(mail=why != "no other identity")
    values: dict[str, Any] = {}
    if why == "unreachable there, too":
        await bench.db.write(lambda conn: people.mark_unreachable(conn, "mail", MAIL, "mail", "gone", bench.clock()))
    elif why == "switched off":
        bench.ctx = context(outbox={"next_channel": []})
    elif why == "said stop":
        row = {"channel": "mail", "endpoint": "x", "peer": MAIL, "wish": "stop", "how": "word", "at": bench.clock()}
        await bench.db.write(lambda conn: insert_new(conn, consent, row))
    elif why == "for staff":
        values = {"template": "staff_new"}
    else:
        values = {"act": "edit", "target": "telegram:desk:1:1"} if why == "an edit" else {}
    await bench.settle(await bench.sent(ticket, **values), "unreachable")
    assert [row.channel for row in await bench.rows()] == ["telegram"]
    if why == "an edit":
        assert await bench.kinds(ticket) == ["opened"]
    else:
        assert "next" not in await bench.event(ticket, "undelivered")


async def test_a_group_that_put_us_out_says_nothing_about_the_person(bench: Bench) -> None:
    ticket = await bench.ticket(conversation=PLACE)
    await bench.settle(await bench.sent(ticket, destination={"chat": GROUP}), "unreachable")
    assert [row.channel for row in await bench.rows()] == ["telegram", "mail"]
    assert await bench.db.read(lambda conn: people.unreachable_by(conn, "telegram", ANNA, "telegram")) is None


async def test_who_is_known_to_be_out_of_reach_gets_the_next_notice_by_mail_at_once(bench: Bench) -> None:
    bench.ctx = context(agents={"olena": {"name": "Olena"}})
    ticket = await bench.ticket()
    await bench.db.write(
        lambda conn: people.mark_unreachable(conn, "telegram", ANNA, "telegram", "blocked", bench.clock())
    )

    def job(conn: Connection) -> None:
        data = {"status": ["open", "resolved"]}
        event = tickets.add_event(
            conn, ticket, at=bench.clock(), actor="agent:olena", kind="resolved", data=data, key="r1"
        )
        change = Change(ticket_id=ticket, event_id=event, kind="resolved", actor="agent:olena", data=data)
        updates.compose(conn, bench.ctx, change, bench.clock())

    await bench.db.write(job)
    (row,) = await bench.rows()
    assert (row.channel, row.recipient, row.template) == ("mail", MAIL, "resolved")


async def test_the_link_to_the_ticket_works_by_the_other_channel_too(bench: Bench, tmp_path: Path) -> None:
    texts, problems = load(tmp_path)
    assert texts is not None, problems
    from dataclasses import replace

    bench.ctx = replace(bench.ctx, texts=texts)
    ticket = await bench.ticket()
    await bench.settle(await bench.sent(ticket), "unreachable")
    _, second = await bench.rows()
    notice = await bench.db.read(lambda conn: render(conn, bench.ctx, second, Blobs(tmp_path / "blobs")))
    assert "/t/" in notice.link
    assert notice.link in notice.text


# -- another id --------------------------------------------------------------------------------


async def test_a_chat_that_moved_is_followed_by_all_that_name_it(bench: Bench) -> None:
    ticket = await bench.ticket(conversation=PLACE)
    now = bench.clock()

    def before(conn: Connection) -> None:
        for peer in (f"{GROUP}:{ANNA}", f"{GROUP}/3:{ANNA}", f"{GROUP}7:{ANNA}", ANNA):
            threads.lock_conversation(conn, "telegram", "desk", peer)
            threads.touch_conversation(conn, "telegram", "desk", peer, ticket_id=ticket, at=now, digest="")

    await bench.db.write(before)
    await bench.sent(ticket, "elsewhere", destination={"chat": 5}, lane="x")
    row = await bench.sent(ticket, destination={"chat": GROUP, "topic": 3})
    later = draft(
        "later", ticket_id=ticket, channel="telegram", account="desk", recipient=ANNA, destination={"chat": GROUP}
    )
    await bench.db.write(lambda conn: outbox.put(conn, later, now))
    await bench.settle(row, "waiting", due_at=now, moved_to={"chat": -100500, "topic": 3})

    rows = {row.key: row for row in await bench.rows()}
    assert rows["reply:1"].destination == {"chat": -100500, "topic": 3}
    assert rows["later"].destination == {"chat": -100500}
    assert rows["elsewhere"].destination == {"chat": 5}
    found = await bench.db.read(lambda conn: tickets.get(conn, ticket))
    assert found.conversation == {"id": f"-100500:{ANNA}", "private": False, "answer_to": {"chat": -100500}}
    peers = await bench.db.read(lambda conn: list(conn.scalars(select(schema.conversation.c.peer))))
    assert sorted(peers) == sorted([f"-100500:{ANNA}", f"-100500/3:{ANNA}", f"{GROUP}7:{ANNA}", ANNA])


async def test_who_wrote_under_the_new_id_already_keeps_their_ticket(bench: Bench) -> None:
    old = await bench.ticket(conversation=PLACE)
    new = await bench.ticket(mail=False)
    now = bench.clock()

    def job(conn: Connection) -> None:
        for peer, ticket in ((f"{GROUP}:{ANNA}", old), (f"-100500:{ANNA}", new)):
            threads.lock_conversation(conn, "telegram", "desk", peer)
            threads.touch_conversation(conn, "telegram", "desk", peer, ticket_id=ticket, at=now, digest="")

    await bench.db.write(job)
    row = await bench.sent(old, destination={"chat": GROUP})
    await bench.db.write(lambda conn: chats_moved.follow(conn, row, {"chat": -100500}))
    table = schema.conversation
    rows = await bench.db.read(lambda conn: conn.execute(select(table.c.peer, table.c.ticket_id)).all())
    assert [tuple(found) for found in rows] == [(f"-100500:{ANNA}", new)]
