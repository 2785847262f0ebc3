"""A hold keeps every notice from going out; what is claimed is looked at in the claim's own transaction."""

from __future__ import annotations

from sqlalchemy import Connection

from gateway.store import hold, outbox
from gateway.store.database import Database
from tests.gateway.conftest import START
from tests.gateway.outgoing import draft


def _claimed(conn: Connection) -> int:
    return len(outbox.claim(conn, outbox.due(conn, "mail", "support", START, 10), "me", START))


async def test_nothing_is_claimed_while_everything_is_held(db: Database) -> None:
    await db.write(lambda conn: outbox.put(conn, draft("a"), START))
    assert await db.write(lambda conn: hold.put(conn, "restored", START))
    assert not await db.write(lambda conn: hold.put(conn, "a second reason", START))
    assert await db.read(hold.get) == hold.Held(since=START, why="restored")
    assert await db.write(_claimed) == 0
    assert await db.write(hold.release)
    assert not await db.write(hold.release)
    assert await db.write(_claimed) == 1


async def test_a_hold_between_the_look_and_the_claim_is_seen(db: Database) -> None:
    await db.write(lambda conn: outbox.put(conn, draft("a"), START))
    found = await db.read(lambda conn: outbox.due(conn, "mail", "support", START, 10))
    await db.write(lambda conn: hold.put(conn, "by hand", START))
    assert await db.write(lambda conn: outbox.claim(conn, found, "me", START)) == []


async def test_what_waits_can_be_given_up(db: Database) -> None:
    for key in ("a", "b"):
        await db.write(lambda conn, key=key: outbox.put(conn, draft(key), START))
    await db.write(lambda conn: hold.put(conn, "restored", START))
    assert await db.write(lambda conn: hold.give_up_waiting(conn, why="dropped by admin", now=START)) == 2
    await db.write(hold.release)
    assert await db.write(_claimed) == 0
    assert {row.detail for row in await db.read(lambda conn: outbox.listing(conn))} == {"dropped by admin"}
