"""Tickets a second through the push of a feed, against the store's own interface in a bare loop.

Both write the same tickets to the same server, and rounds alternate: real servers of Request Tracker and Redmine, small
ones of ours, each a process of its own, for webhooks and a described interface. The bare loop sends what has to be sent
to make a ticket, waits for the answer, and forgets; the feed also finds words, proves once that the store keeps its
key, and says what the answer came to. The feed makes as many tickets at a time as its settings say by default (4), and
in another column one at a time, as the bare loop does. Behind Request Tracker and Redmine is SQLite here, where several
at a time lock each other out: there it is one in either column. What the queue before a feed costs is not in it. Stores
whose programs are absent are passed over.

    python -m benchmarks.feeds [--rounds 5] [--tickets 24] [--at-once N] [--only rt redmine] [--save]
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import multiprocessing
import shutil
import signal
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import aiohttp

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent))

from endtoend.machine import spin

from gateway.feeds.contract import Open, Outcome
from gateway.feeds.settings import FeedSettings
from gateway.feeds.signing import key_of, signed
from gateway.feeds.webhook import Webhook
from tests.feeds import redmine_desk, rt_desk
from tests.feeds.onec import PASSWORD, USER, onec
from tests.feeds.onec import Store as OneC
from tests.feeds.receiver import OUT, receiver
from tests.feeds.servers_redmine import redmine_server
from tests.feeds.servers_rt import request_tracker
from tests.feeds.test_described_rest import feed_of as rest_feed_of
from tests.feeds.test_feed_webhook import settings as hook_settings
from tests.feeds.writes import opened, said, ticket

RESULTS = Path(__file__).parent / "results"
TEXT = "Не відкривається з 9:00, у всіх трьох офісах.\n" * 20
_numbers = count(50000001)


@dataclass(frozen=True, slots=True)
class Pair:
    """The two ways to make one ticket."""

    ours: Callable[[Open], Awaitable[None]]
    bare: Callable[[Open], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Round:
    """Tickets a second."""

    ours: float
    alone: float
    bare: float
    spin: float


@asynccontextmanager
async def _rt() -> AsyncIterator[Pair]:
    async with AsyncExitStack() as stack:
        server = stack.enter_context(request_tracker())
        feed = await stack.enter_async_context(rt_desk.feed_of(server))
        token = (server.root / "token-gateway").read_text()
        session = await stack.enter_async_context(aiohttp.ClientSession(headers={"Authorization": f"token {token}"}))

        async def ours(write: Open) -> None:
            _done((await feed.push(write)).outcome)

        async def bare(write: Open) -> None:
            sent = {
                "Queue": "Engineers", "Subject": write.ticket.subject, "Requestor": write.ticket.requester.address,
                "Cc": write.ticket.copies[0].address, "Content": write.first.text, "ContentType": "text/plain",
                "CustomFields": {"GatewayKey": write.ticket.key, "SupportClass": "server", "SupportLine": "L2"},
                "SquelchMailTo": write.ticket.requester.address,
            }  # fmt: skip
            async with session.post(f"{server.url}/REST/2.0/ticket", json=sent) as answer:
                await answer.read()
                answer.raise_for_status()

        yield Pair(ours, bare)


@asynccontextmanager
async def _redmine() -> AsyncIterator[Pair]:
    async with AsyncExitStack() as stack:
        server = stack.enter_context(redmine_server())
        feed = await stack.enter_async_context(redmine_desk.feed_of(server))
        headers = {"X-Redmine-API-Key": server.key()}
        session = await stack.enter_async_context(aiohttp.ClientSession(headers=headers))

        async def ours(write: Open) -> None:
            _done((await feed.push(write)).outcome)

        async def bare(write: Open) -> None:
            fields = {"GatewayKey": write.ticket.key, "Class": "server", "Contract": "A", "OnSite": "0"}
            values = [{"id": server.field(name), "value": value} for name, value in fields.items()]
            issue = {
                "project_id": 2, "tracker_id": 3, "status_id": 1, "subject": write.ticket.subject,
                "description": write.first.text, "custom_fields": values,
            }  # fmt: skip
            async with session.post(f"{server.url}/issues.json", json={"issue": issue}) as answer:
                await answer.read()
                answer.raise_for_status()

        yield Pair(ours, bare)


@asynccontextmanager
async def _webhook() -> AsyncIterator[Pair]:
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(_apart("webhook"))
        feed = Webhook("store", hook_settings(url), clock=_now)
        stack.push_async_callback(feed.close)
        session = await stack.enter_async_context(aiohttp.ClientSession())

        async def ours(write: Open) -> None:
            _done((await feed.push(write)).outcome)

        async def bare(write: Open) -> None:
            one, first = write.ticket, write.first
            data = {
                "ticket": {
                    "key": one.key, "number": one.number, "subject": one.subject, "requester": asdict(one.requester),
                    "copies": [asdict(each) for each in one.copies], "status": one.status, "class": one.class_,
                    "line": one.line, "opened_at": one.opened_at.isoformat(),
                },
                "message": {"key": first.key, "author": asdict(first.author), "text": first.text},
            }  # fmt: skip
            body = json.dumps({"type": "ticket.opened", "data": data}).encode()
            headers = signed(key_of(OUT), name=write.key, at=_now(), body=body)
            async with session.post(url, data=body, headers=headers) as answer:
                await answer.read()
                answer.raise_for_status()

        yield Pair(ours, bare)


@asynccontextmanager
async def _rest() -> AsyncIterator[Pair]:
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(_apart("rest"))
        feed = await stack.enter_async_context(rest_feed_of(OneC(url=url)))
        login = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        session = await stack.enter_async_context(aiohttp.ClientSession(headers={"Authorization": login}))

        async def ours(write: Open) -> None:
            _done((await feed.push(write)).outcome)

        async def bare(write: Open) -> None:
            one = write.ticket
            sent = {
                "Ключ": write.key, "НомерШлюза": one.number, "Тема": one.subject, "Класс": "Сервер", "Линия": "Вторая",
                "Заявитель": {"Адрес": one.requester.address, "Имя": one.requester.name}, "Срок": "",
                "Описание": write.first.text, "Файлы": [],
            }  # fmt: skip
            async with session.post(f"{url}/requests", json=sent) as answer:
                await answer.read()
                answer.raise_for_status()

        yield Pair(ours, bare)


SMALL: Mapping[str, Callable[[], AbstractAsyncContextManager[Any]]] = {
    "webhook": lambda: receiver(None), "rest": onec,
}  # fmt: skip
"""Kind -> a small store of ours."""


@asynccontextmanager
async def _apart(kind: str) -> AsyncIterator[str]:
    """The address of a small store in a process of its own."""
    context = multiprocessing.get_context("spawn")
    near, far = context.Pipe()
    child = context.Process(target=_serve, args=(kind, far), daemon=True)
    child.start()
    far.close()
    try:
        yield await asyncio.to_thread(near.recv)
    finally:
        near.close()
        await asyncio.to_thread(child.join, 10)


def _serve(kind: str, pipe: Connection) -> None:
    """Serve until the other end of the pipe is closed."""

    async def run() -> None:
        async with SMALL[kind]() as store:
            pipe.send(store.url)
            await asyncio.to_thread(pipe.poll, None)

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever began it ends it
    asyncio.run(run())


def _now() -> datetime:
    return datetime.now(UTC)


STORES = {
    "rt": (_rt, "rt-setup-database-5"), "redmine": (_redmine, "puma"), "webhook": (_webhook, "python3"),
    "rest": (_rest, "python3"),
}  # fmt: skip
"""Kind -> how its pair is made, and the program that it needs."""
ONE_BY_ONE = frozenset({"rt", "redmine"})
"""Their databases are SQLite here."""


def _done(outcome: Outcome) -> None:
    if outcome is not Outcome.DONE:
        raise RuntimeError(f"a ticket came to {outcome}")


def writes(number: int) -> list[Open]:
    """Tickets, no two alike."""
    return [opened(ticket(str(next(_numbers))), said(text=TEXT)) for _ in range(number)]


async def rate(make: Callable[[Open], Awaitable[None]], number: int, at_once: int) -> float:
    """Tickets a second. Raises RuntimeError or ClientError when one is not made."""
    waiting = writes(number)
    begun = time.perf_counter()

    async def work() -> None:
        while waiting:
            await make(waiting.pop())

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(work())
    return number / (time.perf_counter() - begun)


async def measured(kind: str, rounds: int, number: int, at_once: int) -> list[Round]:
    """Rounds by turns; the first of each, which loads the store's code, is not counted."""
    async with STORES[kind][0]() as pair:
        ways = {"alone": (pair.ours, 1), "bare": (pair.bare, 1), "ours": (pair.ours, at_once)}
        for make, _ in ways.values():
            await rate(make, number, 1)
        found = list[Round]()
        for turn in range(rounds):
            speed = spin()
            order = sorted(ways, reverse=turn % 2 == 1)
            got = {way: await rate(ways[way][0], number, ways[way][1]) for way in order}
            found.append(Round(**got, spin=speed))
        return found


def shown(kind: str, rounds: list[Round]) -> str:
    """The line of the table: medians, and the ratios of paired rounds."""
    mid = {name: statistics.median(getattr(each, name) for each in rounds) for name in Round.__slots__}
    ratios, alone = [each.ours / each.bare for each in rounds], [each.alone / each.bare for each in rounds]
    return (
        f"{kind}: bare loop {mid['bare']:.1f}/s, feed {mid['ours']:.1f}/s"
        f" x {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f}),"
        f" one at a time {mid['alone']:.1f}/s x {statistics.median(alone):.2f} ({min(alone):.2f}-{max(alone):.2f});"
        f" spin {mid['spin']:.1f} ms"
    )


def main() -> None:
    """Print a line for each store; with --save also write benchmarks/results/feeds-<time>.json."""
    parser = argparse.ArgumentParser(description="creations a second through feeds")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tickets", type=int, default=24, help="of a round")
    parser.add_argument(
        "--at-once", type=int, help="tickets at a time of the feed; what its settings say, one for SQLite behind it"
    )
    parser.add_argument("--only", nargs="*", choices=sorted(STORES), default=sorted(STORES))
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/feeds-*.json")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped, too
    results: dict[str, list[Mapping[str, float]]] = {}
    for kind in given.only:
        if shutil.which(STORES[kind][1]) is None:
            print(f"{kind}: passed over, {STORES[kind][1]} is not installed (make services)")
            continue
        usual = 1 if kind in ONE_BY_ONE else FeedSettings.model_fields["concurrency"].default
        rounds = asyncio.run(measured(kind, given.rounds, given.tickets, given.at_once or usual))
        print(shown(kind, rounds), flush=True)
        results[kind] = [asdict(each) for each in rounds]
    if given.save:
        RESULTS.mkdir(exist_ok=True)
        now = datetime.now(UTC)
        path = RESULTS / f"feeds-{now:%Y%m%d-%H%M%S}.json"
        path.write_text(json.dumps({"at": now.isoformat(), "at_once": given.at_once, **results}, indent=1) + "\n")
        print(f"written to {path}")


if __name__ == "__main__":
    main()
