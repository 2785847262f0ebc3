"""The contract that every feed keeps, against its real store. A kind adds a row to `FEED_ADAPTERS` and nothing here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from gateway.feeds.contract import (
    CannotTell,
    Changes,
    FeedError,
    Finding,
    Open,
    Outcome,
    Pushed,
    Ref,
    Replied,
    Set,
    Write,
)
from gateway.feeds.registry import FEEDS
from tests.contract.adapters.feeds import FEED_ADAPTERS
from tests.contract.feed_adapter import FeedStore, Mark, fresh, news, opening, saying
from tests.feeds.test_sql_composite import pg
from tests.feeds.test_sql_osticket import maria
from tests.feeds.writes import alter, file

__all__ = ["maria", "pg"]

pytestmark = pytest.mark.timeout(600)
NONSENSE = ((200, "<html>Please log in</html>"), (200, "[]"), (200, "null"), (200, '"yes"'), (200, "{}"),
            (200, '{"id": [], "items": 7, "issues": {"a": 1}, "count": "many", "pages": -1}'), (204, ""),
            (200, '{"id": 1'), (404, "nothing here"), (500, "broken"))  # fmt: skip


def every(*has: Mark, lacks: Mark | None = None) -> pytest.MarkDecorator:
    """All stores that have this."""
    rows = [
        pytest.param(name, id=name, marks=list(adapter.marks)) for name, adapter in FEED_ADAPTERS.items()
        if adapter.has >= set(has) and lacks not in adapter.has
    ]  # fmt: skip
    return pytest.mark.parametrize("name", rows)


@pytest.fixture
async def store(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[FeedStore]:
    async with FEED_ADAPTERS[name].store(request, tmp_path) as there:
        yield there


async def pushed(feed: Any, write: Write) -> Ref:
    """It is taken; where."""
    done = await feed.push(write)
    assert done.outcome is Outcome.DONE, done
    if isinstance(write, Open):
        assert done.ref is not None
        assert 0 < len(done.ref.id) <= 255 and 0 < len(done.ref.number) <= 64
    return done.ref or write.ref  # type: ignore[union-attr]  # an Open has its own, see above


def test_every_kind_is_under_the_suite() -> None:
    assert {adapter.kind for adapter in FEED_ADAPTERS.values()} == {*FEEDS, "shelf"}


# -- out ----------------------------------------------------------------------------------


@every("finds")
async def test_what_was_opened_is_found_by_its_key_and_nothing_else_is(store: FeedStore) -> None:
    write, other = opening(), opening()
    async with store.feed() as feed:
        assert await feed.find(write) is None
        ref = await pushed(feed, write)
        assert await feed.find(write) == ref
        assert await feed.find(other) is None
        note = saying(write, ref, 2, "перевіряємо")
        assert await feed.find(note) is None
        await pushed(feed, note)
        assert await feed.find(note) == ref
        assert await feed.find(saying(write, ref, 3, "ні")) is None
    async with store.feed() as again:
        assert await again.find(write) == ref


@every()
async def test_the_same_ticket_twice_is_one(store: FeedStore, name: str) -> None:
    """By the engine's way: `find` first, and where it says none, once more under the same key."""
    write = opening()
    async with store.feed() as feed:
        first = await pushed(feed, write)
        found = await feed.find(write)
        assert found == (first if "finds" in FEED_ADAPTERS[name].has else None)
        if found is None:
            await pushed(feed, write)
    assert await store.keys(write.key) == 1


@every()
async def test_messages_go_with_their_files_and_private_ones_stay_private(store: FeedStore) -> None:
    write = opening(name="first.txt")
    async with store.feed() as feed:
        ref = await pushed(feed, write)
        reply = saying(write, ref, 2, "Дивимось «зараз» 📎", files=[file("second.txt", b"\x00\xffbytes")])
        note = saying(write, ref, 3, "між нами", public=False, inward=False)
        done = [await feed.push(each) for each in (reply, note)]
        assert [each.outcome for each in done] == [Outcome.DONE] * 2, done
    shown = await store.shown(ref)
    texts = [(("Не відкривається" in text, "Дивимось" in text, "між нами" in text), public)
             for text, public in shown.said]  # fmt: skip
    assert texts == [((True, False, False), True), ((False, True, False), True), ((False, False, True), False)]
    assert "«зараз»" in shown.said[1][0]
    left = " ".join(done[0].left_out)
    assert "second.txt" in shown.files or "attachment" in left, (shown, left)


@every("files")
async def test_files_arrive_by_their_names(store: FeedStore) -> None:
    write = opening(name="first.txt")
    async with store.feed() as feed:
        ref = await pushed(feed, write)
        await pushed(feed, saying(write, ref, 2, "з файлом", files=[file("second.txt", b"\x00\xffbytes")]))
    assert set((await store.shown(ref)).files) == {"first.txt", "second.txt"}


@every()
async def test_fields_are_brought_in_step_and_twice_does_no_harm(store: FeedStore) -> None:
    write = opening()
    async with store.feed() as feed:
        ref = await pushed(feed, write)
        before = await store.shown(ref)
        change = alter(ref, ["status"], replace(write.ticket, status="resolved"))
        for _ in range(2):
            await pushed(feed, change)
    after = await store.shown(ref)
    assert (before.status in ("new", "open"), after.status) == (True, "resolved")
    assert len(after.said) == len(before.said)


# -- a network that breaks ----------------------------------------------------------------


@every("lost")
async def test_a_lost_answer_is_uncertain_and_what_was_done_is_there_once(store: FeedStore, name: str) -> None:
    write = opening()
    finds = "finds" in FEED_ADAPTERS[name].has
    async with store.feed() as feed:
        store.lose("open")
        lost = await feed.push(write)
        assert (lost.outcome, lost.uncertain, lost.of_ticket) == (Outcome.RETRY, True, False), lost
        found = await feed.find(write)
        assert isinstance(found, Ref) is finds, found
        ref = found if isinstance(found, Ref) else await pushed(feed, write)
        more = saying(write, ref, 2, "знову")
        store.lose("say")
        lost = await feed.push(more)
        assert (lost.outcome, lost.uncertain) == (Outcome.RETRY, True), lost
        if await feed.find(more) is None:
            assert not finds
            await pushed(feed, more)
    assert await store.keys(write.key) == 1
    assert sum("знову" in text for text, _ in (await store.shown(ref)).said) == 1


@every("late")
async def test_a_store_that_never_answers_costs_its_time_limit(store: FeedStore) -> None:
    async with store.feed(timeout="1s") as feed:
        store.hang("open")
        slow = await feed.push(opening())
    assert (slow.outcome, slow.uncertain) == (Outcome.RETRY, True), slow
    assert slow.detail


@every()
async def test_a_store_that_is_away_was_surely_not_written_to(store: FeedStore, name: str) -> None:
    async with store.away() as feed:
        away = await feed.push(opening())
        assert (away.outcome, away.uncertain, away.of_ticket) == (Outcome.RETRY, False, False), away
        assert 0 < len(away.detail) <= 500
        [*findings] = await feed.check()
        assert [each for each in findings if not each.good], findings
        if "finds" in FEED_ADAPTERS[name].has:
            assert isinstance(await feed.find(opening()), CannotTell)
        if "asks" in FEED_ADAPTERS[name].has:
            with pytest.raises(FeedError) as caught:
                await feed.changes((await feed.changes(None)).cursor)
            # A file that is not there is for a person; a server comes back.
            assert caught.value.again is (name != "sqlite")


@every("secret")
async def test_wrong_credentials_are_named_and_not_shown(store: FeedStore, name: str) -> None:
    made, secret = store.stranger()
    async with made as feed:
        refused = await feed.push(opening())
        assert (refused.outcome, refused.uncertain) == (Outcome.RETRY, False), refused
        found = [*await feed.check()]
        assert [each for each in found if not each.good and not each.warning], found
        said = f"{refused.detail} {found}"
        if "asks" in FEED_ADAPTERS[name].has:
            with pytest.raises(FeedError) as caught:
                await feed.changes((await feed.changes(None)).cursor)
            assert not caught.value.again
            said += str(caught.value)
    assert secret not in said
    assert refused.detail


@asynccontextmanager
async def odd_server(answers: Sequence[tuple[int, str]]) -> AsyncIterator[str]:
    """A web server that answers each call with one of these."""
    turn = iter(answers * 50)

    async def answer(_request: web.Request) -> web.Response:
        status, text = next(turn)
        return web.Response(status=status, text=text, content_type="application/json")

    app = web.Application(client_max_size=2**26)
    app.router.add_route("*", "/{rest:.*}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@every("wire")
async def test_a_store_that_is_something_else_breaks_nothing(store: FeedStore, name: str) -> None:
    write, ref = opening(), Ref(id="1", number="1")
    writes: list[Write] = [
        write,
        saying(write, ref, 2, "знову", files=[file()]),
        alter(ref, ["status"], fresh()),
    ]
    rounds = [*([one] for one in NONSENSE), list(NONSENSE)]
    if FEED_ADAPTERS[name].kind == "sql":
        # A database's client does not get as far as the answer, and waits for a greeting.
        writes, rounds = writes[:1], rounds[:1]
    for nonsense in rounds:
        async with odd_server(nonsense) as url, store.odd(url) as feed:
            for each in writes:
                came = await feed.push(each)
                assert isinstance(came, Pushed), nonsense
                found = await feed.find(each)
                assert found is None or isinstance(found, Ref | CannotTell), nonsense
            assert all(isinstance(each, Finding) for each in await feed.check())
            assert isinstance(await feed.undo(ref), Pushed)
            for cursor in (None, "", "17"):
                try:
                    page = await feed.changes(cursor)
                except FeedError as error:
                    assert str(error)
                else:
                    assert isinstance(page, Changes)


# -- back ---------------------------------------------------------------------------------


@every()
async def test_reading_begins_now(store: FeedStore) -> None:
    async with store.feed() as feed:
        await pushed(feed, opening())
        first = await store.changes(feed, None)
    assert not first.heard
    assert isinstance(first.cursor, str)


@every()
async def test_what_staff_do_is_heard_once_and_what_we_do_is_ours(store: FeedStore, name: str) -> None:
    write = opening()
    async with store.feed() as feed:
        ref = await pushed(feed, write)
        cursor = (await store.changes(feed, None)).cursor
        await pushed(feed, saying(write, ref, 2, "наше повідомлення"))
        await store.write(ref, "Спробуйте інший кабель", public=True)
        await store.write(ref, "клієнт знову плутає", public=False)
        await store.resolve(ref)
        start = cursor
        heard, cursor = await news(store, feed, start, ref)
        assert len({each.id for each in heard}) == len(heard)
        if "asks" in FEED_ADAPTERS[name].has:
            twice, _ = await news(store, feed, start, ref)
            assert [each.id for each in twice] == [each.id for each in heard], "another name for the same change"
        theirs = [each.change for each in heard if not each.ours]
        replies = [change for change in theirs if isinstance(change, Replied)]
        assert [(change.text.strip(), change.public) for change in replies] == [
            ("Спробуйте інший кабель", True), ("клієнт знову плутає", False),
        ]  # fmt: skip
        states = [change.value for change in theirs if isinstance(change, Set) and change.field == "status"]
        # RT has a robot that opens a ticket when somebody answers.
        assert [state for state in states if state != "open" or name != "rt"] == ["resolved"]
        assert (await news(store, feed, cursor, ref))[0] == []
    async with store.feed() as again:
        assert (await news(store, again, cursor, ref))[0] == []
        await store.write(ref, "ще одне", public=True)
        heard, _ = await news(store, again, cursor, ref)
        assert [each.change.text.strip() for each in heard if isinstance(each.change, Replied)] == ["ще одне"]


# -- the rest -----------------------------------------------------------------------------


@every("check")
async def test_the_check_is_content_and_writes_nothing(store: FeedStore) -> None:
    write = opening()
    async with store.feed() as feed:
        ref = await pushed(feed, write)
        before = await store.shown(ref)
        found = [*await feed.check()]
    assert found
    assert [each for each in found if not each.good and not each.warning] == []
    assert await store.shown(ref) == before
    assert await store.keys(write.key) == 1


@every()
async def test_what_a_try_made_is_closed(store: FeedStore) -> None:
    async with store.feed() as feed:
        ref = await pushed(feed, opening())
        undone = await feed.undo(ref)
        assert (undone.outcome, list(undone.left_out)) == (Outcome.DONE, [])
    assert (await store.shown(ref)).status in ("closed", "resolved")
