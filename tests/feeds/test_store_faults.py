"""Request Tracker and Redmine behind a network that breaks: nothing twice, nothing lost, and words that say why."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from gateway.feeds.contract import CannotTell, FeedError, Open, Outcome, Ref, Say
from gateway.feeds.redmine import RedmineFeed
from gateway.feeds.rt import RtFeed
from tests.channels.mail.certificates import make
from tests.feeds import redmine_desk, rt_desk
from tests.feeds.faulty import Fault, Faulty, Way, faulty
from tests.feeds.servers_redmine import Redmine
from tests.feeds.servers_rt import Rt
from tests.feeds.writes import alter, file, opened, said

pytestmark = pytest.mark.timeout(600)
RT = [pytest.mark.services("rt-setup-database-5"), pytest.mark.xdist_group("rt")]
REDMINE = [pytest.mark.services("puma", "bundle"), pytest.mark.xdist_group("redmine")]
CREATES = {"rt": ("POST", r"/ticket$"), "redmine": ("POST", r"/issues\.json$")}
SAYS = {"rt": ("POST", r"/correspond$"), "redmine": ("PUT", r"/issues/\d+\.json$")}
READS = {"rt": ("POST", r"/transactions$"), "redmine": ("GET", r"/issues\.json$")}


@dataclass
class Store:
    """One of the two."""

    kind: str
    server: Rt | Redmine

    @asynccontextmanager
    async def feed(self, **over: Any) -> AsyncIterator[RtFeed | RedmineFeed]:
        """A feed of it."""
        if isinstance(self.server, Rt):
            async with rt_desk.feed_of(self.server, **over) as feed:
                yield feed
        else:
            async with redmine_desk.feed_of(self.server, **over) as other:
                yield other

    def opening(self) -> Open:
        """A ticket that is not there."""
        return opened(rt_desk.fresh() if self.kind == "rt" else redmine_desk.fresh())

    def messages(self, ref: Ref, word: str) -> int:
        """How many messages of a ticket have this word."""
        if isinstance(self.server, Rt):
            parts = self.server.ask("GET", f"/ticket/{ref.id}/attachments?fields=Headers&per_page=100")["items"]
            return sum("gateway-key" in part["Headers"] for part in parts)
        journals = self.server.ask("GET", f"/issues/{ref.id}.json?include=journals", user="admin")["issue"]["journals"]
        return sum(word in (each["notes"] or "") for each in journals)


@pytest.fixture(params=[pytest.param("rt", marks=RT), pytest.param("redmine", marks=REDMINE)])
def store(request: pytest.FixtureRequest) -> Store:
    return Store(request.param, request.getfixturevalue(request.param))


@asynccontextmanager
async def broken(store: Store, **over: Any) -> AsyncIterator[tuple[Faulty, RtFeed | RedmineFeed, RtFeed | RedmineFeed]]:
    """The proxy, a feed through it, and one that goes straight."""
    async with faulty(store.server.url) as proxy, store.feed(url=proxy.url, **over) as feed, store.feed() as straight:
        yield proxy, feed, straight


@pytest.mark.parametrize("way", [Way.CUT_AFTER, Way.HALF, Way.HTML], ids=lambda way: way.name)
async def test_a_ticket_whose_answer_is_lost_is_found_and_not_made_again(store: Store, way: Way) -> None:
    write = store.opening()
    async with broken(store) as (proxy, feed, straight):
        proxy.faults = [Fault(way, *CREATES[store.kind])]
        lost = await feed.push(write)
        assert proxy.broken == 1
        assert lost.outcome is Outcome.RETRY and lost.uncertain and lost.detail
        found = await feed.find(write)
        assert isinstance(found, Ref)
        assert write.ticket.key not in await straight.doubles()


@pytest.mark.parametrize("way", [Way.CUT_AFTER, Way.CUT_BEFORE], ids=lambda way: way.name)
async def test_a_message_whose_answer_is_lost(store: Store, way: Way) -> None:
    opening = store.opening()
    async with broken(store) as (proxy, feed, straight):
        ref = (await straight.push(opening)).ref
        assert ref is not None
        before = store.messages(ref, "знову")
        write = Say(key="k", ticket=opening.ticket, ref=ref, said=said("m2", "знову", files=[file("a.txt")]))
        proxy.faults = [Fault(way, *SAYS[store.kind])]
        lost = await feed.push(write)
        assert lost.outcome is Outcome.RETRY and lost.uncertain
        found = await feed.find(write)
        assert (found == ref) is (way is Way.CUT_AFTER)
        if found is None:
            assert (await feed.push(write)).outcome is Outcome.DONE
        assert store.messages(ref, "знову") == before + 1


async def test_what_a_status_means(store: Store) -> None:
    meanings = {
        401: (Outcome.RETRY, False), 429: (Outcome.RETRY, False), 502: (Outcome.RETRY, True),
        409: (Outcome.REFUSED, False), 422: (Outcome.REFUSED, False), 302: (Outcome.RETRY, False),
    }  # fmt: skip
    write = store.opening()
    async with broken(store) as (proxy, feed, _):
        for status, meaning in meanings.items():
            after = {"Retry-After": "17", "Location": "/login"}
            proxy.faults = [
                Fault(Way.STATUS, *CREATES[store.kind], times=2, status=status, headers=after, body="not now")
            ]
            came = await feed.push(write)
            assert (came.outcome, came.uncertain) == meaning
            assert str(status) in came.detail and "not now" in came.detail
            assert came.retry_after == (17 if status in {401, 429, 502} else None)
        proxy.faults = []
        assert await feed.find(write) is None
        assert (await feed.push(write)).outcome is Outcome.DONE


async def test_nobody_can_tell_while_the_store_says_nothing(store: Store) -> None:
    async with broken(store) as (proxy, feed, _):
        proxy.faults = [Fault(Way.STATUS, "GET", "", times=99, status=503), Fault(Way.STATUS, "POST", "", 99, 503)]
        assert isinstance(await feed.find(store.opening()), CannotTell)


async def test_a_store_that_hangs_costs_its_time_limit(store: Store) -> None:
    async with broken(store, timeout="1s") as (proxy, feed, _):
        proxy.faults = [Fault(Way.HANG, *CREATES[store.kind])]
        slow = await feed.push(store.opening())
        assert slow.outcome is Outcome.RETRY and slow.uncertain and "in time" in slow.detail


async def test_reading_says_whether_to_come_again(store: Store) -> None:
    async with broken(store) as (proxy, feed, straight):
        cursor = (await straight.changes(None)).cursor
        for status, again in {500: True, 401: False, 429: True}.items():
            proxy.faults = [Fault(Way.STATUS, *READS[store.kind], status=status)]
            with pytest.raises(FeedError) as caught:
                await feed.changes(cursor)
            assert caught.value.again is again and str(status) in str(caught.value)
        proxy.faults = [Fault(Way.HTML, *READS[store.kind])]
        with pytest.raises(FeedError, match="not JSON"):
            await feed.changes(cursor)
        await feed.changes(cursor)


async def test_a_certificate_that_nobody_vouches_for(store: Store, tmp_path: Path) -> None:
    made = make(tmp_path)
    write = store.opening()
    async with faulty(store.server.url, made.server()) as proxy:
        async with store.feed(url=proxy.url) as feed:
            refused = await feed.push(write)
            assert refused.outcome is Outcome.RETRY and not refused.uncertain
            assert "certificate is not good" in refused.detail
            [only] = await feed.check()
            assert not only.good and "certificate is not good" in only.what
        async with store.feed(url=proxy.url, certificate=str(made.certificate)) as feed:
            assert (await feed.push(write)).outcome is Outcome.DONE


async def test_a_file_of_ours_that_is_gone_holds_up_its_ticket_alone(store: Store) -> None:
    def gone() -> bytes:
        raise FileNotFoundError(2, "No such file or directory")

    write = store.opening()
    async with store.feed() as feed:
        first = replace(write.first, files=[replace(file(), read=gone)])
        waits = await feed.push(replace(write, first=first))
        assert waits.outcome is Outcome.RETRY and waits.of_ticket and "звіт.txt" in waits.detail
        assert await feed.find(write) is None


@pytest.mark.services("rt-setup-database-5")
@pytest.mark.xdist_group("rt")
async def test_a_ticket_that_others_change_meanwhile_is_read_again(rt: Rt) -> None:
    """RT's own 412: somebody writes between our reading and our change."""
    store = Store("rt", rt)
    opening = store.opening()
    async with broken(store) as (proxy, feed, straight):
        ref = (await straight.push(opening)).ref
        assert ref is not None

        async def meddle() -> None:
            rt.ask("PUT", f"/ticket/{ref.id}", {"Priority": "7"})

        proxy.before = ("PUT", "/ticket/", meddle)
        done = await feed.push(alter(ref, ["status"], replace(opening.ticket, status="waiting")))
        assert done.outcome is Outcome.DONE and proxy.before is None
        shown = rt.ask("GET", f"/ticket/{ref.id}")
        assert (shown["Status"], shown["Priority"]) == ("stalled", "7")
        proxy.faults = [Fault(Way.STATUS, "PUT", "/ticket/", times=9, status=412)]
        busy = await feed.push(alter(ref, ["status"], replace(opening.ticket, status="open")))
        assert busy.outcome is Outcome.RETRY and busy.of_ticket
