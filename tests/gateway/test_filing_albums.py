"""Albums: however many parts, in whatever order they come, they are one message."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from gateway.store import queries, schema, tickets
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from tests.gateway.chat_desk import ANN, BOB, LINE, ChatDesk, chat_desk, key, routed
from tests.gateway.conftest import FrozenClock


@pytest.fixture
def desk(db: Database, blobs: Blobs, clock: FrozenClock) -> ChatDesk:
    return chat_desk(db, blobs, clock)


async def shown(desk: ChatDesk, ticket_id: int | None) -> list[tuple[str, list[str]]]:
    """Text and files of each message, as the API and the requester's page read them."""
    assert ticket_id is not None

    def look(conn: Any) -> list[tuple[str, list[str]]]:
        rows = queries.messages(conn, [ticket_id]).get(ticket_id, [])
        files = queries.attachments(conn, [row.id for row in rows])
        flat = tickets.attachments_of(conn, [row.id for row in rows])
        for row in rows:
            assert [file.id for file in files.get(row.id, [])] == [f.id for f in flat if f.message_id == row.id]
        return [(row.text, [file.filename for file in files.get(row.id, [])]) for row in rows]

    return await desk.db.read(look)


async def test_parts_are_one_message_with_the_caption_of_whichever_has_one(desk: ChatDesk) -> None:
    first = await desk.hear("", 12, album="a")
    for number, text in ((9, ""), (10, "Look at this."), (11, "")):
        part = await desk.hear(text, number, album="a")
        assert (part.kind, part.ticket_id) == ("joined", first.ticket_id)
    assert await shown(desk, first.ticket_id) == [("Look at this.", ["9.jpg", "10.jpg", "11.jpg", "12.jpg"])]
    assert await desk.to(ANN) == ["acknowledgement"]


async def test_an_album_without_a_caption_is_called_what_it_is(desk: ChatDesk) -> None:
    first = await desk.hear("", 1, album="a")
    assert (await desk.ticket(first.ticket_id)).subject == "Photo"
    await desk.hear("The site is down, see the picture.", 2, album="a", assignment=routed(3))
    ticket = await desk.ticket(first.ticket_id)
    assert (ticket.subject, ticket.class_) == ("The site is down, see the picture.", 3)
    told = [row for row in await desk.outbox() if row.recipient == LINE]
    [message] = await desk.messages(first.ticket_id)
    assert {row.variables.get("message", message.id) for row in told} == {message.id}


async def test_parts_filed_at_once_are_one_message(desk: ChatDesk) -> None:
    entries = [await desk.heard("Look." if number == 3 else "", number, album="a") for number in range(1, 6)]
    filed = await asyncio.gather(*(desk.file(*entry) for entry in entries))
    assert len({one.ticket_id for one in filed}) == 1
    assert await shown(desk, filed[0].ticket_id) == [("Look.", [f"{number}.jpg" for number in range(1, 6)])]


async def test_a_late_part_and_a_repeated_one_join(desk: ChatDesk) -> None:
    first = await desk.hear("Look.", 1, album="a")
    await desk.hear("Another matter.", 5)
    desk.clock.forward(timedelta(days=2))
    late = await desk.hear("", 2, album="a")
    assert (late.kind, late.ticket_id) == ("joined", first.ticket_id)
    assert (await desk.hear("", 2, album="a")).kind == "repeated"
    assert await shown(desk, first.ticket_id) == [("Look.", ["1.jpg", "2.jpg"]), ("Another matter.", [])]
    assert (await desk.hear("What now?", 6)).kind == "opened", "a late part keeps no conversation fresh"


async def test_a_part_answers_as_well_as_the_whole(desk: ChatDesk) -> None:
    first = await desk.hear("Look.", 1, album="a")
    await desk.hear("", 2, album="a")
    desk.clock.forward(timedelta(days=2))
    assert (await desk.hear("This one.", 3, answers=key(2))).ticket_id == first.ticket_id


async def test_a_caption_is_edited(desk: ChatDesk) -> None:
    first = await desk.hear("", 1, album="a")
    await desk.hear("Lok.", 2, album="a")
    assert (await desk.hear("Look.", 2, album="a", edited=10)).kind == "revised"
    assert await shown(desk, first.ticket_id) == [("Look.", ["1.jpg", "2.jpg"])]
    early = await desk.hear("Early.", 3, album="a", edited=20)
    await desk.hear("Erly.", 3, album="a")
    assert early.ticket_id == first.ticket_id
    assert await shown(desk, first.ticket_id) == [("Look.\n\nEarly.", ["1.jpg", "2.jpg", "3.jpg"])]


async def test_an_album_in_an_open_ticket_is_one_message_of_it(desk: ChatDesk) -> None:
    first = await desk.hear("It burns.", 1)
    await desk.set_status(first.ticket_id, "waiting")
    for number in (2, 3):
        assert (await desk.hear("", number, album="a")).ticket_id == first.ticket_id
    assert await shown(desk, first.ticket_id) == [("It burns.", []), ("", ["2.jpg", "3.jpg"])]
    assert (await desk.ticket(first.ticket_id)).status == "open"


async def test_replay_and_processing_twice_change_nothing(desk: ChatDesk) -> None:
    entries = [await desk.heard("Look." if number == 2 else "", number, album="a") for number in (1, 2, 3)]
    filed = [await desk.file(*entry) for entry in entries]
    before = await shown(desk, filed[0].ticket_id)
    for entry in entries:
        assert (await desk.file(*entry)).kind == "repeated"
    for entry, message in entries:
        assert (await desk.file(await desk.replay(entry.id), message)).kind == "revised"
    assert await shown(desk, filed[0].ticket_id) == before == [("Look.", ["1.jpg", "2.jpg", "3.jpg"])]
    assert await desk.count(schema.ticket) == 1


async def test_albums_of_two_people_are_two(desk: ChatDesk) -> None:
    ann, bob = await desk.hear("", 1, album="a"), await desk.hear("", 1, album="a", who=BOB)
    assert ann.ticket_id != bob.ticket_id
