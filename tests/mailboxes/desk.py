"""A gateway that reads a mailbox, in this process or in one of its own, and what it has made of the mail."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import psycopg

from channels.contract import Clock, Parts, Wiring
from channels.mail.build import build
from gateway.alerts import Alerts
from gateway.app import Gateway, utc_now
from gateway.context import Context
from gateway.folders import Folders
from gateway.keyring import Keyring
from gateway.ledger import StoreLedger
from gateway.listening import troubles
from gateway.metrics import Metrics
from gateway.nodes import open_blobs
from gateway.pipeline import Pipeline
from gateway.settings import database_url
from gateway.settings_files import load
from gateway.store import outbox
from gateway.store.database import Database, migrate, open_database
from gateway.store.failpoints import nowhere
from gateway.vault import StoreVault
from gateway.workers import Limits, WorkerPool
from tests import ready
from tests.services.dovecot import Dovecot

ROOT = Path(__file__).parents[2]
PATIENCE = 90.0
"""Seconds: the machine may stand still in between, and what broke meanwhile is tried again."""
MAILBOX_CHILD = Path(__file__).with_name("child.py")
T = TypeVar("T")


class Shifted:
    """The wall clock, so much further on."""

    def __init__(self) -> None:
        self.by = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.by


def letter(
    number: int, *, subject: str = "", text: str = "The printer is broken.", message_id: str | None = ""
) -> bytes:
    """A mail of its own. `message_id` None: without one."""
    own = f"mailbox-{number}@client.example" if message_id == "" else message_id
    return (
        f"From: Client {number} <client{number}@client.example>\r\nTo: support@desk.example\r\n"
        f"Subject: {subject or f'Request {number}'}\r\n"
        + (f"Message-ID: <{own}>\r\n" if own else "")
        + f"\r\n{text}\r\n"
    ).encode()


def overrides(
    server: Dovecot, *more: str, account: str = "support", port: int = 0, imap: Mapping[str, Any] | None = None
) -> tuple[str, ...]:
    """Settings of a gateway whose account reads its mailbox on the server, or through a proxy at `port`.

    In `imap`, None takes a setting away.
    """
    said = {
        "host": "127.0.0.1", "port": port or server.imap, "tls": "none", "user": account,
        "password": f"file:{server.secret}", "retry": "0s", "poll": "30s", "existing": "all", **(imap or {}),
    }  # fmt: skip
    said = {key: value for key, value in said.items() if value is not None}
    brakes = ("caps.per_account_minute=1000000", "caps.per_address_minute=1000000")
    ports = ("smtp.port=0", "http.port=0")
    return (*ports, *brakes, f"channels.mail.{account}.imap={json.dumps(said)}", *more)


class Store:
    """What is in the database: that of the settings, or the file in the data folder."""

    def __init__(self, var: Path, settings: tuple[str, ...] = ()) -> None:
        self._path = var / "gateway.db"
        urls = [word.removeprefix("database.url=") for word in settings if word.startswith("database.url=")]
        self._postgres = urls[0].replace("+psycopg", "") if urls else ""

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Of a query whose values are written as question marks."""
        if self._postgres:
            with psycopg.connect(self._postgres, autocommit=True) as postgres:
                asked = query.replace("%", "%%").replace("?", "%s") if values else query
                return postgres.execute(asked.encode(), values or None).fetchall()
        with closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, timeout=PATIENCE)) as conn:
            return conn.execute(query, values).fetchall()

    def change(self, *statements: str) -> None:
        """Behind the gateway's back, and whatever refers to what is changed."""
        if self._postgres:
            with psycopg.connect(self._postgres) as postgres:
                for statement in ("SET session_replication_role = replica", *statements):
                    postgres.execute(statement.encode())
            return
        with closing(sqlite3.connect(self._path, timeout=PATIENCE)) as conn, conn:
            for statement in statements:
                conn.execute(statement)

    def one(self, query: str, *values: object) -> Any:
        return self.rows(query, *values)[0][0]

    def facts(self) -> list[dict[str, Any]]:
        """What the journal says of each message beside its bytes."""
        found = [row[0] for row in self.rows("SELECT facts FROM entry ORDER BY id")]
        return [json.loads(one) if isinstance(one, str) else one for one in found]

    def move_cursor(self, by: int) -> None:
        """Let the mailbox's cursor say that so many more numbers were passed."""
        place = json.loads(self.one("SELECT value FROM cursor"))
        place[1] += by
        self.change(f"UPDATE cursor SET value = '{json.dumps(place)}'")

    def entries(self) -> int:
        return int(self.one("SELECT count(*) FROM entry"))

    def tickets(self) -> int:
        return int(self.one("SELECT count(*) FROM ticket"))

    def acknowledgements(self) -> int:
        return int(
            self.one("SELECT count(*) FROM outbox WHERE kind = 'acknowledgement' OR template = 'acknowledgement'")
        )

    async def filed(self, **states: int) -> None:
        """Wait until the ledger says exactly this: state -> how many."""
        await until(lambda: self.states() == states, f"{states} in the ledger", shown=self.shown)

    def shown(self) -> str:
        """What is there, for a wait that fails."""
        kinds = "SELECT state, count(*) FROM entry GROUP BY state"
        doubts = "SELECT uid, state, attempts, reason FROM imap_seen WHERE state NOT IN ('settled', 'old') LIMIT 10"
        return f"ledger {self.states()}, journal {dict(self.rows(kinds))}, open {self.rows(doubts)}"

    def states(self) -> dict[str, int]:
        return dict(self.rows("SELECT state, count(*) FROM imap_seen GROUP BY state"))


class Running:
    """A gateway under test."""

    def __init__(self, gateway: Gateway, var: Path, settings: tuple[str, ...]) -> None:
        self.gateway = gateway
        self.store = Store(var, settings)
        self.listening: dict[str, str] = {}

    async def until(self, look: Callable[[], T], what: str = "it") -> T:
        """Wait until `look` gives something true."""
        return await until(look, what, shown=self.store.shown)

    async def tickets(self, count: int) -> None:
        """Wait for exactly so many tickets."""
        await self.until(lambda: self.store.tickets() >= count, f"{count} tickets")
        assert self.store.tickets() == count


async def until(
    look: Callable[[], T], what: str = "it", seconds: float = PATIENCE, shown: Callable[[], object] = lambda: ""
) -> T:
    """Wait until `look` gives something true. `shown`: what a failure says was there instead."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if found := look():
            return found
        await asyncio.sleep(0.02)
    raise AssertionError(f"{what} did not happen within {seconds:.0f} s; there is {shown()}")


@asynccontextmanager
async def running(
    var: Path, settings: tuple[str, ...], *, confirmed: bool = False, clock: Clock = utc_now, config: Path | None = None
) -> AsyncIterator[Running]:
    """A gateway in this process; `config`: its folder, where it is not the project's."""
    configuration = load(config or ROOT / "config", overrides=settings)
    gateway = Gateway(configuration, var=var, confirmed=confirmed, clock=clock)
    desk = Running(gateway, var, settings)
    stop, started = asyncio.Event(), asyncio.Event()

    def begun(listening: dict[str, str]) -> None:
        desk.listening = listening
        started.set()

    task = asyncio.create_task(gateway.run(stop, started=begun))
    try:
        begins = asyncio.create_task(started.wait())
        await asyncio.wait({task, begins}, return_when=asyncio.FIRST_COMPLETED)
        begins.cancel()
        if task.done():
            task.result()
        yield desk
    finally:
        stop.set()
        await task


class Alarms:
    """What operators are told of the parts of a gateway."""

    def __init__(self, db: Database, ctx: Context, clock: Clock, parts: Parts) -> None:
        watched = [*parts.listeners, *parts.senders.values()]
        self._db = db
        self._alerts = Alerts(
            db, ctx, clock, checks=(), metrics=Metrics(), after=lambda: None, watched=lambda: troubles(watched)
        )

    async def told(self) -> list[tuple[str, str]]:
        """(alert, state) of every mail to operators, after another look."""
        await self._alerts.look()
        rows = await self._db.read(lambda conn: [row for row in outbox.listing(conn) if row.kind == "alert"])
        return [(row.variables["alert"], row.variables["state"]) for row in rows]

    async def until(self, *told: tuple[str, str]) -> None:
        """Look until operators were told exactly this."""
        ends = time.monotonic() + PATIENCE
        while (now := await self.told()) != list(told):
            assert time.monotonic() < ends, f"{now} was told, not {list(told)}"
            await asyncio.sleep(0.05)


class ReadingStore(Store):
    """A store with the alarms of what reads into it."""

    alarms: Alarms


@asynccontextmanager
async def reading(var: Path, settings: tuple[str, ...], *, clock: Clock = utc_now) -> AsyncIterator[ReadingStore]:
    """The mailbox, the journal and the ledger of a gateway without the parts that make tickets: it starts at once."""
    configuration = load(ROOT / "config", overrides=settings)
    folders = Folders(var=var)
    folders.make()
    url = database_url(configuration.settings, var)
    await asyncio.to_thread(migrate, url, backup_to=var / "backups")
    db, stack = open_database(url, readers=2), AsyncExitStack()
    blobs = open_blobs(stack, db, folders.blobs, nowhere)
    ctx = Context(
        settings=configuration.settings, policy=configuration.policy, keyring=Keyring.load(var / "key"),
        surveys=configuration.surveys, texts=configuration.texts,
    )  # fmt: skip
    idle = WorkerPool(count=1, limits=Limits(seconds=1, memory=1 << 30), blobs=folders.blobs, policy=ctx.policy)
    pipeline = Pipeline(db=db, blobs=blobs, pool=idle, ctx=ctx, clock=clock)
    wiring = Wiring(
        clock=clock, spool=folders.spool, outgoing=folders.outgoing, upload_url="",
        ledger=StoreLedger(db, clock), vault=StoreVault(db, ctx.keyring, clock),
        options={"smtp": configuration.settings.smtp},
    )  # fmt: skip
    parts = build(configuration.settings.accounts("mail"), wiring)  # type: ignore[arg-type]
    listeners = parts.listeners
    for listener in listeners:
        await listener.start(pipeline.accept)
    try:
        store = ReadingStore(var, settings)
        store.alarms = Alarms(db, ctx, clock, parts)
        yield store
    finally:
        for listener in listeners:
            await listener.stop()
        await db.close()
        await stack.aclose()


@asynccontextmanager
async def child(
    var: Path, settings: tuple[str, ...], *point: str, script: Path = MAILBOX_CHILD
) -> AsyncIterator[ready.Process]:
    """A gateway in a process group of its own, which kills itself at a fail point of the script's."""
    var.mkdir(exist_ok=True)
    with (var / "child.log").open("ab") as log:
        process = ready.process(
            str(script), str(var), json.dumps(settings), *point, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield process
    except BaseException:
        print(f"the end of its log:\n{(var / 'child.log').read_text(errors='replace')[-6000:]}")
        raise
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
