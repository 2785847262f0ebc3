"""The first token, and the answers that are kept for a repeat."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Connection

from gateway.store import tokens
from gateway.store.database import Database
from gateway.store.tokens import KEEP_ANSWERS, Answer, KeyReused
from tests.gateway.conftest import START
from tests.gateway.staffed import count

FIRST = tokens.make("ab" * 24)


async def test_the_first_token_opens_everything_and_is_made_once(db: Database) -> None:
    assert await db.write(lambda conn: tokens.ensure(conn, FIRST, now=START))
    assert not await db.write(lambda conn: tokens.ensure(conn, FIRST, now=START))
    caller = await db.read(lambda conn: tokens.find(conn, FIRST, START))
    assert caller is not None
    assert (caller.agent, caller.may("admin"), caller.sees(None), caller.actor) == ("admin", True, True, "agent:admin")


@pytest.mark.parametrize("scopes", [(), ("root",), ("read", "root")])
async def test_a_token_without_a_known_scope_is_not_made(db: Database, scopes: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="scopes"):
        await db.write(lambda conn: tokens.create(conn, FIRST, agent="a", scopes=scopes, now=START))
    assert await db.read(lambda conn: count(conn, "token")) == 0


async def test_answers_are_kept_for_a_week_and_then_forgotten(db: Database) -> None:
    kept = Answer(status=200, body='{"id":1}')

    def first(conn: Connection) -> None:
        assert tokens.reserve(conn, 1, "k", "f", START) is None
        tokens.keep(conn, 1, "k", kept)

    await db.write(first)
    assert await db.write(lambda conn: tokens.reserve(conn, 1, "k", "f", START)) == kept
    with pytest.raises(KeyReused):
        await db.write(lambda conn: tokens.reserve(conn, 1, "k", "other", START))
    later = START + KEEP_ANSWERS + timedelta(seconds=1)
    assert await db.write(lambda conn: tokens.reserve(conn, 1, "k2", "f", later)) is None
    assert await db.read(lambda conn: count(conn, "idempotency")) == 1
