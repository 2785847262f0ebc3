"""What is written in a chat in pieces is told to staff at once."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Connection, update

from gateway.rendering import render
from gateway.store import outbox, schema
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from tests.gateway.chat_desk import BOB, GROUP, LINE, ChatDesk, chat_desk, key
from tests.gateway.conftest import FrozenClock


@pytest.fixture
def desk(db: Database, blobs: Blobs, clock: FrozenClock) -> ChatDesk:
    return chat_desk(db, blobs, clock)


async def told(desk: ChatDesk) -> list[tuple[str, str]]:
    """(template, text) of what goes out to the line now; it is sent."""
    now = desk.clock()

    def job(conn: Connection) -> list[tuple[str, str]]:
        texts = []
        # One of a lane at a time.
        while ids := outbox.due(conn, "mail", "support", now, 50):
            for row in filter(None, [outbox.get(conn, one) for one in ids]):
                if row.recipient == LINE:
                    texts.append((row.template, render(conn, desk.ctx, row, desk.blobs).text))
            conn.execute(update(schema.outbox).where(schema.outbox.c.id.in_(ids)).values(state="sent"))
        return texts

    return await desk.do(job)


async def test_a_burst_is_one_notice_with_all_its_pieces(desk: ChatDesk) -> None:
    for number, text in enumerate(("Good morning, a problem.", "The printer burns.", "Please come.")):
        await desk.hear(text, number + 1)
        desk.clock.forward(timedelta(seconds=1))
    desk.clock.forward(timedelta(seconds=3))
    [(template, text)] = await told(desk)
    assert template == "staff_new"
    assert "Good morning, a problem." in text and "The printer burns." in text and "Please come." in text
    for number, more in enumerate(("It burns brighter.", "Nobody came.")):
        await desk.hear(more, number + 10)
    assert await told(desk) == []
    desk.clock.forward(timedelta(seconds=3))
    [(template, text)] = await told(desk)
    assert template == "staff_message"
    assert "It burns brighter." in text and "Nobody came." in text and "Good morning" not in text


async def test_an_edit_before_staff_were_told_is_told_with_it(desk: ChatDesk) -> None:
    await desk.hear("The printre burns.", 1)
    await desk.hear("The printer burns.", 1, edited=1)
    desk.clock.forward(timedelta(minutes=5))
    [(template, text)] = await told(desk)
    assert template == "staff_new" and "The printer burns." in text and "printre" not in text


async def test_an_edit_of_a_piece_that_waits_is_told_with_it(desk: ChatDesk) -> None:
    await desk.hear("The printer burns.", 1)
    desk.clock.forward(timedelta(seconds=3))
    await told(desk)
    await desk.hear("It burns brihgter.", 2)
    await desk.hear("", 3, album="a")
    await desk.hear("It burns brighter.", 2, edited=1)
    await desk.hear("See for yourself.", 4, album="a")
    desk.clock.forward(timedelta(minutes=5))
    [(_, text)] = await told(desk)
    assert "It burns brighter." in text and "brihgter" not in text and "See for yourself." in text


async def test_a_strangers_words_are_told_apart(desk: ChatDesk) -> None:
    await desk.hear("The printer burns.", 1, group=True)
    await desk.hear("Mine, too.", 2, group=True, who=BOB, answers=key(1, GROUP))
    desk.clock.forward(timedelta(seconds=3))
    (first, text), (second, stranger) = await told(desk)
    assert (first, second) == ("staff_new", "staff_message")
    assert "Mine, too." not in text and "Mine, too." in stranger
