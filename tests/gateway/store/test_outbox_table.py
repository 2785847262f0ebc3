"""The outbox table: once per key, order per lane, nobody settles what is not theirs."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import Connection, select, text

from gateway.store import outbox, schema
from gateway.store.database import Database
from gateway.store.outbox import Settlement
from tests.gateway.conftest import START
from tests.gateway.outgoing import draft, open_ticket

MINUTE = timedelta(minutes=1)
SUPPORT = ("mail", "support")


def claim(conn: Connection, owner: str = "one", now: datetime = START) -> list[str]:
    """Claim everything that may go out; the keys."""
    return [row.key for row in outbox.claim(conn, outbox.due(conn, *SUPPORT, now, 100), owner, now)]


async def test_a_key_is_put_once(db: Database) -> None:
    first = await db.write(lambda conn: outbox.put(conn, draft("ack:1"), START))
    again = await db.write(lambda conn: outbox.put(conn, draft("ack:1", recipient="eve@client.example"), START))
    assert first is not None and again is None
    row = await db.read(lambda conn: outbox.get(conn, first))
    assert row is not None and row.recipient == "ann@client.example"


async def test_keys_that_we_chose_are_stored_as_issued_before_anything_is_sent(db: Database) -> None:
    def work(conn: Connection) -> list[tuple[str, str, bool, str]]:
        ticket = open_ticket(conn, START)
        outbox.put(conn, draft("ack:1", ticket_id=ticket, message_id="m1@desk.example", reply_token="abc"), START)
        keys = schema.thread_key
        return [tuple(row) for row in conn.execute(select(keys.c.kind, keys.c.value, keys.c.issued, keys.c.recipient))]

    assert sorted(await db.write(work)) == [
        ("message_id", "m1@desk.example", True, "ann@client.example"),
        ("reply_token", "abc", True, "ann@client.example"),
    ]


async def test_a_message_id_that_is_known_is_loud(db: Database) -> None:
    await db.write(lambda conn: outbox.put(conn, draft("ack:1", message_id="m1@desk.example"), START))
    with pytest.raises(ValueError, match="ack:2"):
        await db.write(lambda conn: outbox.put(conn, draft("ack:2", message_id="m1@desk.example"), START))
    assert [row.key for row in await db.read(lambda conn: outbox.listing(conn))] == ["ack:1"]


async def test_a_key_seen_before_cannot_be_issued(db: Database) -> None:
    def work(conn: Connection) -> None:
        ticket = open_ticket(conn, START)
        outbox.put(conn, draft("ack:1", ticket_id=ticket, reply_token="abc"), START)
        conn.execute(schema.outbox.delete())
        outbox.put(conn, draft("ack:2", ticket_id=ticket, reply_token="abc"), START)

    with pytest.raises(ValueError, match="reply_token"):
        await db.write(work)


async def test_a_waiting_status_gives_way_and_its_time_is_kept(db: Database) -> None:
    def work(conn: Connection) -> list[tuple[str, str]]:
        ticket, other = open_ticket(conn, START), open_ticket(conn, START)
        outbox.put(conn, draft("s0", ticket_id=other, replaces="status:ann"), START)
        outbox.put(conn, draft("s1", ticket_id=ticket, replaces="status:ann", due_at=START + MINUTE), START)
        outbox.put(conn, draft("s2", ticket_id=ticket, replaces="status:ann", due_at=START + 5 * MINUTE), START)
        assert outbox.next_due(conn, [SUPPORT], START) == START + MINUTE
        return [(row.key, row.state) for row in outbox.listing(conn)]

    assert await db.write(work) == [("s0", "waiting"), ("s1", "replaced"), ("s2", "waiting")]


async def test_what_is_being_sent_is_not_replaced(db: Database) -> None:
    def work(conn: Connection) -> list[tuple[str, str]]:
        outbox.put(conn, draft("s1", replaces="status:ann"), START)
        claim(conn)
        outbox.put(conn, draft("s2", replaces="status:ann"), START)
        return [(row.key, row.state) for row in outbox.listing(conn)]

    assert await db.write(work) == [("s1", "sending"), ("s2", "waiting")]


async def test_a_lane_keeps_its_order_through_a_back_off(db: Database) -> None:
    def work(conn: Connection) -> None:
        outbox.put(conn, draft("a", lane="t1"), START)
        outbox.put(conn, draft("b", lane="t1"), START)
        outbox.put(conn, draft("c", lane="t2"), START)
        assert claim(conn) == ["a", "c"]
        assert claim(conn) == []
        later = START + 10 * MINUTE
        assert outbox.settle(conn, Settlement(id=1, owner="one", attempts=1, state="waiting", due_at=later), START)
        assert claim(conn) == [], "b waits for a, which has been due"
        assert claim(conn, now=later) == ["a"]
        assert outbox.settle(conn, Settlement(id=1, owner="one", attempts=2, state="sent"), later)
        assert claim(conn, now=later) == ["b"]

    await db.write(work)


async def test_what_is_not_due_yet_freezes_nothing(db: Database) -> None:
    def work(conn: Connection) -> None:
        outbox.put(conn, draft("survey", lane="t1", due_at=START + timedelta(days=1)), START)
        outbox.put(conn, draft("reply", lane="t1"), START)
        assert claim(conn) == ["reply"]

    await db.write(work)


@pytest.mark.parametrize(
    "stale",
    [{"owner": "two"}, {"attempts": 2}, {"id": 2}],
    ids=["another owner", "another attempt", "another row"],
)
async def test_only_the_owner_of_the_attempt_settles(db: Database, stale: dict[str, object]) -> None:
    def work(conn: Connection) -> None:
        outbox.put(conn, draft("a"), START)
        claim(conn)
        mine = {"id": 1, "owner": "one", "attempts": 1, "state": "sent"}
        assert not outbox.settle(conn, Settlement(**{**mine, **stale}), START)
        assert outbox.settle(conn, Settlement(**mine), START)
        assert not outbox.settle(conn, Settlement(**{**mine, "state": "dead"}), START), "settled once"

    await db.write(work)


async def test_a_claim_nobody_was_told_of_is_put_back(db: Database) -> None:
    def work(conn: Connection) -> None:
        for key in ("a", "b"):
            outbox.put(conn, draft(key), START)
        claim(conn)
        assert outbox.release(conn, "two", []) == 0
        assert outbox.release(conn, "one", [1]) == 1
        assert [row.state for row in outbox.listing(conn)] == ["sending", "waiting"]

    await db.write(work)


async def test_staff_send_again_only_what_ended_badly(db: Database) -> None:
    def work(conn: Connection) -> None:
        for number, state in enumerate(("dead", "sent", "unknown", "replaced"), 1):
            outbox.put(conn, draft(state), START)
            conn.execute(schema.outbox.update().where(schema.outbox.c.id == number).values(state=state, attempts=9))
        assert outbox.retry(conn, [1, 2, 3, 4], START + MINUTE) == [1, 3]
        row = outbox.get(conn, 1)
        assert row is not None and (row.state, row.attempts, row.due_at) == ("waiting", 0, START + MINUTE)
        assert outbox.open_counts(conn) == {"waiting": 2, "sending": 0, "dead": 0}

    await db.write(work)


async def test_overdue_accounts_count_from_the_first_try(db: Database) -> None:
    def work(conn: Connection) -> None:
        outbox.put(conn, draft("a"), START)
        outbox.put(conn, draft("b", account="sales", due_at=START + 90 * MINUTE), START)
        claim(conn)
        later = START + timedelta(hours=3)
        outbox.settle(conn, Settlement(id=1, owner="one", attempts=1, state="waiting", due_at=later), START)
        assert outbox.overdue_accounts(conn, START + 60 * MINUTE) == [SUPPORT]
        assert outbox.overdue_accounts(conn, START) == []

    await db.write(work)


@pytest.mark.sqlite  # its plan; PostgreSQL's of the same question in test_plans.py
async def test_claiming_reads_indexes_only(db: Database) -> None:
    """A queue among millions of sent rows is found without looking at them."""

    def plan(conn: Connection) -> str:
        statement = select(schema.outbox.c.id).where(
            schema.outbox.c.channel == "mail", schema.outbox.c.account == "support", outbox.claimable(START)
        )
        compiled = statement.order_by(schema.outbox.c.due_at, schema.outbox.c.id).compile(
            conn, compile_kwargs={"literal_binds": True, "render_postcompile": True}
        )
        return "\n".join(str(row) for row in conn.execute(text(f"EXPLAIN QUERY PLAN {compiled}")))

    shown = await db.read(plan)
    assert "outbox_due" in shown and "outbox_lane" in shown
    assert "SCAN" not in shown and "TEMP B-TREE" not in shown


async def test_who_is_being_written_to(db: Database) -> None:
    def work(conn: Connection) -> list[bool]:
        outbox.put(conn, draft("a"), START)
        seen = [outbox.is_sending(conn, "mail", "ann@client.example")]
        claim(conn)
        people = [("mail", "ann@client.example"), ("mail", "eve@client.example"), ("sms", "ann@client.example")]
        return seen + [outbox.is_sending(conn, *person) for person in people]

    assert await db.write(work) == [False, True, False, False]
