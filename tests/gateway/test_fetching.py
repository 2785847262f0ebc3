"""Files are fetched after their message is filed: bounded, repeated, given up, and never in anybody's way."""

from __future__ import annotations

import asyncio
import errno
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from channels.contract import FetchFailed
from gateway.circuit import FAILURES
from gateway.store import media
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from tests.gateway.conftest import FrozenClock
from tests.gateway.fetching_desk import ACCOUNT, FetchingDesk, photo
from tests.gateway.filing_desk import context
from tests.gateway.patience import PATIENCE, eventually, seen


def later(text: str = "busy", **values: Any) -> FetchFailed:
    return FetchFailed(text, permanent=False, **values)


@pytest.fixture
def desk(db: Database, blobs: Blobs, clock: FrozenClock, tmp_path: Path) -> FetchingDesk:
    return FetchingDesk(db, blobs, clock, context(), tmp_path)


async def test_a_file_becomes_a_blob_and_the_history_says_so(desk: FetchingDesk) -> None:
    filed = await desk.with_files(photo())
    assert [file.state for file in await desk.files()] == ["pending"]
    await desk.once()
    (file,) = await desk.files()
    assert (file.state, file.size, file.content_type) == ("here", 6, "image/jpeg")
    assert desk.blobs.path(file.blob).read_bytes() == b"a roof"
    assert await desk.data(filed.ticket_id, "media") == [
        {"attachment": file.id, "message": filed.message_id, "state": "here"}
    ]
    assert list(desk.spool.iterdir()) == []
    (row,) = await desk.media()
    assert (row.state, row.owner) == ("here", None)
    assert await desk.loop.claim() == 0


async def test_what_is_not_here_yet_is_counted(desk: FetchingDesk, clock: FrozenClock) -> None:
    assert await desk.db.read(media.waiting_since) == (0, None)
    put_at = clock()
    await desk.with_files(photo())
    assert await desk.db.read(media.waiting_since) == (1, put_at)
    await desk.once()
    assert await desk.db.read(media.waiting_since) == (0, None)


async def test_a_failed_try_is_repeated_later_and_later(desk: FetchingDesk, clock: FrozenClock) -> None:
    desk.far.plan["photo"] = [later() for _ in range(3)]
    await desk.with_files(photo())
    pauses = []
    for attempt in range(1, 4):
        await desk.once()
        (row,) = await desk.media()
        assert (row.state, row.attempts, row.detail) == ("waiting", attempt, "busy")
        pauses.append((row.due_at - clock()).total_seconds())
        clock.now = row.due_at - timedelta(seconds=0.1)
        assert await desk.loop.claim() == 0
        clock.now = row.due_at
    await desk.once()
    assert [file.state for file in await desk.files()] == ["here"]
    for number, pause in enumerate(pauses):
        assert 5 * 2**number <= pause <= 10 * 2**number


async def test_the_far_side_says_how_long_to_wait(desk: FetchingDesk, clock: FrozenClock) -> None:
    desk.far.plan["photo"] = [later(retry_after=77.0)]
    await desk.with_files(photo())
    await desk.once()
    (row,) = await desk.media()
    assert row.due_at - clock() == timedelta(seconds=77)


@pytest.mark.parametrize(
    ("error", "template"),
    [
        (FetchFailed("over 20 MB", permanent=True, too_big=True), "bot_too_big"),
        (FetchFailed("wrong file_id", permanent=True), "bot_file_failed"),
    ],
)
async def test_what_will_not_come_is_told_once_for_a_message(
    desk: FetchingDesk, error: FetchFailed, template: str
) -> None:
    for name in ("one", "two"):
        desk.far.plan[name] = [error]
    filed = await desk.with_files(photo("one"), photo("two"))
    await desk.once()
    assert [file.state for file in await desk.files()] == ["failed", "failed"]
    assert {event["detail"] for event in await desk.data(filed.ticket_id, "media")} == {str(error)}
    told = [row for row in await desk.outbox() if row.template == template]
    assert [(row.recipient, row.ticket_id) for row in told] == [("ann@client.example", filed.ticket_id)]
    assert told[0].variables.get("limit") == (20 if error.too_big else None)
    assert desk.woken > 0


@pytest.mark.parametrize(("size", "too_big"), [(30_000_000, True), (3000, False)])
async def test_a_file_that_came_without_a_name_to_fetch_it_by_is_given_up_in_its_turn(
    desk: FetchingDesk, size: int, too_big: bool
) -> None:
    filed = await desk.with_files(photo("", size=size))
    await desk.once()
    assert desk.far.asked == []
    assert [event["too_big"] for event in await desk.data(filed.ticket_id, "media")] == [too_big]


async def test_an_old_message_is_not_told_that_its_file_is_gone(desk: FetchingDesk, clock: FrozenClock) -> None:
    desk.far.plan["photo"] = [FetchFailed("gone", permanent=True)]
    from dataclasses import replace

    from tests.gateway.planted import said

    event = replace(said(), attachments=(photo(),))
    filed = await desk.receive(event, received_at=clock() - timedelta(days=2))
    await desk.once()
    assert await desk.data(filed.ticket_id, "media") != []
    assert [row.template for row in await desk.outbox() if row.template.startswith("bot_")] == []


async def test_after_a_day_a_file_is_given_up_also_when_its_account_is_gone(
    desk: FetchingDesk, clock: FrozenClock
) -> None:
    filed = await desk.with_files(photo())
    desk.loop.fetchers = {}
    assert await desk.loop.claim() == 0
    clock.forward(timedelta(days=1, seconds=1))
    await desk.loop.claim()
    assert [file.state for file in await desk.files()] == ["failed"]
    assert (await desk.data(filed.ticket_id, "media"))[0]["detail"] == "it could not be fetched in time"


async def test_only_so_many_at_a_time(db: Database, blobs: Blobs, clock: FrozenClock, tmp_path: Path) -> None:
    desk = FetchingDesk(db, blobs, clock, context(media={"concurrency": 2, "per_account": 5}), tmp_path)
    desk.far.contents = {str(number): b"x" for number in range(6)}
    await desk.with_files(*(photo(str(number)) for number in range(6)))
    await desk.once()
    assert desk.far.most <= 2
    assert {file.state for file in await desk.files()} == {"here"}


async def test_a_far_side_that_is_down_is_left_alone_and_operators_hear_of_it(
    desk: FetchingDesk, clock: FrozenClock
) -> None:
    for number in range(FAILURES):
        desk.far.plan[str(number)] = [later() for _ in range(9)]
    await desk.with_files(*(photo(str(number)) for number in range(FAILURES)))
    assert desk.loop.trouble().trouble() == ""
    await desk.once()
    assert desk.loop.trouble().trouble() == f"files cannot be fetched by {ACCOUNT[0]}/{ACCOUNT[1]}"
    await desk.with_files(photo())
    asked = len(desk.far.asked)
    assert await desk.loop.claim() == 0
    clock.forward(timedelta(minutes=1))
    desk.far.plan.clear()
    desk.far.contents |= {str(number): b"x" for number in range(FAILURES)}
    await desk.once()
    assert len(desk.far.asked) > asked
    assert desk.loop.trouble().trouble() == ""


async def test_files_that_are_not_there_yet_hold_up_no_others(desk: FetchingDesk) -> None:
    for number in range(FAILURES):
        desk.far.plan[str(number)] = [later("not there yet", absent=True)]
    await desk.with_files(*(photo(str(number)) for number in range(FAILURES)))
    await desk.once()
    assert desk.loop.trouble().trouble() == ""
    await desk.with_files(photo())
    await desk.once()
    assert [file.state for file in await desk.files()].count("here") == 1


async def test_our_disk_is_our_trouble_and_the_file_is_tried_again(desk: FetchingDesk, clock: FrozenClock) -> None:
    desk.far.plan["photo"] = [OSError(errno.ENOSPC, "No space left on device")]
    await desk.with_files(photo())
    await desk.once()
    (row,) = await desk.media()
    assert (row.state, row.detail) == ("waiting", "our disk: No space left on device")
    clock.now = row.due_at
    await desk.once()
    assert [file.state for file in await desk.files()] == ["here"]


async def test_nothing_waits_for_a_file_and_stopping_puts_it_back(desk: FetchingDesk) -> None:
    desk.far.gate = asyncio.Event()
    stop = asyncio.Event()
    filed = await desk.with_files(photo())
    running = asyncio.create_task(desk.loop.run(stop))
    await seen(lambda: desk.far.asked, what="a question for the file")
    more = await desk.mail(sender="bob@client.example")
    assert (await desk.ticket(filed.ticket_id)).status == "new"
    assert more.kind == "opened"
    stop.set()
    await asyncio.wait_for(running, PATIENCE)
    (row,) = await desk.media()
    assert row.state == "waiting"
    desk.far.gate = None
    desk.loop = desk.fetching()
    await desk.once()
    assert [file.state for file in await desk.files()] == ["here"]


async def test_a_loop_that_runs_is_woken_by_a_new_file(desk: FetchingDesk) -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(desk.loop.run(stop))
    await desk.with_files(photo())
    desk.loop.wake()
    await eventually(desk.files, lambda files: files[0].state == "here", "the file")
    stop.set()
    await asyncio.wait_for(running, PATIENCE)
