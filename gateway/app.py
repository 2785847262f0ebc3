"""The composition root: the only file that names concrete parts and puts them together."""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from channels.contract import Clock, Listener, Parts, Unavailable, Wiring
from channels.registry import CHANNELS
from gateway import certificates, health, nodes, reload_steps, timers
from gateway.alerts import Alerts
from gateway.calls import Calls
from gateway.canary import Canary
from gateway.capture import CaptureSender
from gateway.checks import CHECKS
from gateway.context import Context
from gateway.erasing import Erasing
from gateway.feeds import running
from gateway.fetching import Fetching
from gateway.folders import Folders
from gateway.housekeeping import Housekeeping
from gateway.leases import Leases, Work
from gateway.ledger import StoreLedger
from gateway.listening import CannotListen, Ports, bind, shown, troubles, write_listening
from gateway.log import get_logger
from gateway.metrics import Metrics
from gateway.outbox import Outbox
from gateway.pipeline import Pipeline
from gateway.recalling import Recalling
from gateway.reload import Close, Follower, Reloader
from gateway.reload_steps import by_account
from gateway.rendering import render
from gateway.settings import Log, Settings, database_url
from gateway.settings_files import Configuration, load
from gateway.sources import Sources
from gateway.store import hold, tokens
from gateway.store.blobs import Blobs
from gateway.store.database import Database, SchemaTooNew, UnsafeDatabase, migrate, open_database
from gateway.store.failpoints import FailPoint, nowhere
from gateway.store.leases import troubles as node_troubles
from gateway.store.lock import AlreadyRunning
from gateway.suspects import StoreSuspects
from gateway.trend import Trend
from gateway.trend import check as disk_full
from gateway.vault import StoreVault
from gateway.waiting import gathered
from gateway.web.application import open_site
from gateway.web.closing import close
from gateway.web.services import Services
from gateway.web.short_way import ShortWay
from gateway.web.upload import UploadAnswers
from gateway.workers import Limits, WorkerPool

log = get_logger(__name__)
UNHURRIED = 0.1
"""Seconds after which loops look that nobody waits for."""


class CannotStart(Exception):
    """The gateway did not start; the text says what to do."""


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Core:
    """What the rest stands on."""

    ctx: Context
    db: Database
    metrics: Metrics
    blobs: Blobs
    calls: Calls
    parts: Mapping[str, Parts]
    pool: WorkerPool
    ports: Ports
    feeds: running.Stores
    sources: Sources
    leases: Leases | None
    """Where this is one of several nodes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loops:
    """What runs all the time."""

    outbox: Outbox
    timers: timers.Timers
    pipeline: Pipeline
    alerts: Alerts
    housekeeping: Housekeeping
    fetching: Fetching
    erasing: Erasing
    recalling: Recalling
    canary: Canary
    feeds: running.Feeds
    sources: Sources
    leases: Leases | None

    def followers(self) -> Sequence[Follower]:
        """Those that work with the present configuration."""
        parts = (self.outbox, self.timers, self.pipeline, self.alerts)
        return (*parts, self.housekeeping, self.fetching, self.canary, self.feeds)

    def by_name(self) -> Mapping[str, Work]:
        """In the order in which they start; they end in the opposite one."""
        first = {} if self.leases is None else {"leases": self.leases.run}
        return {
            **first, "sources": self.sources.run, "outbox": self.outbox.run, "timers": self.timers.run,
            "pipeline": self.pipeline.run,
            "alerts": nodes.by_one_node(self.leases, "alerts", self.alerts.run),
            "housekeeping": self.housekeeping.run, "fetching": self.fetching.run,
            "erasing": nodes.by_one_node(self.leases, "erasing", self.erasing.run),
            "recalling": nodes.by_one_node(self.leases, "recalling", self.recalling.run),
            "canary": nodes.by_one_node(self.leases, "canary", self.canary.run), "feeds": self.feeds.run,
        }  # fmt: skip


class Gateway:
    """One running gateway."""

    def __init__(
        self,
        configuration: Configuration,
        *,
        var: Path,
        clock: Clock = utc_now,
        failpoint: FailPoint = nowhere,
        new_secret: Callable[[], str] = lambda: secrets.token_hex(24),
        confirmed: bool = False,
        held: bool = False,
        set_log: Callable[[Log], None] = lambda _: None,
    ) -> None:
        """`confirmed`: an operator has said yes to answering many people at a first start.

        `held`: everything is held before anything goes out or is read, as in a restored copy.
        `set_log` brings settings of the log into force when they are changed while the gateway runs.
        """
        self._set_log = set_log
        self._configuration = configuration
        self._folders = Folders(var=var)
        self._clock = self._own_clock = clock
        self._failpoint = failpoint
        self._new_secret = new_secret
        self._confirmed, self._held = confirmed, held
        self._died = asyncio.Event()

    async def run(self, stop: asyncio.Event, *, started: Callable[[dict[str, str]], None] = lambda _: None) -> None:
        """Start everything, run until `stop` is set, then finish what is under way. Raises CannotStart."""
        async with AsyncExitStack() as stack:
            try:
                listening = await self._start(stack)
            except (AlreadyRunning, CannotListen, SchemaTooNew, UnsafeDatabase, nodes.NoCommonKey) as error:
                raise CannotStart(str(error)) from error
            except KeyError as error:
                raise CannotStart(f"the environment has no {error}") from error
            except (OSError, ValueError, SQLAlchemyError, Unavailable) as error:
                raise CannotStart(f"{type(error).__name__}: {error}") from error
            log.info("started", **listening)
            started(listening)
            await _first(stop, self._died)
            log.info("stopping")
        log.info("stopped")
        if self._died.is_set():
            raise CannotStart("a part of the gateway ended by itself; the log says which and why")

    async def _start(self, stack: AsyncExitStack) -> dict[str, str]:
        core = await self._open(stack)
        loops = self._loops(core)
        for name, loop in loops.by_name().items():
            stack.push_async_callback(self._running(name, loop))
        wakened = {
            "journal": loops.pipeline.wake,
            "outbox": loops.outbox.wake,
            "timers": loops.timers.wake,
            "feeds": loops.feeds.wake,
        }
        nodes.listen_to_others(stack, core.db, wakened)
        return await self._serve(stack, core, loops)

    async def _open(self, stack: AsyncExitStack) -> _Core:
        """Everything that the rest stands on; closed in the opposite order."""
        folders = self._folders
        folders.make()
        nodes.lock_folder(stack, folders.var)
        (folders.var / "listening.json").unlink(missing_ok=True)
        bound = bind(self._configuration.settings)
        stack.callback(bound.close)
        settings = _with_public_url(self._configuration.settings, bound)
        ctx = Context(
            settings=settings, policy=self._configuration.policy, keyring=nodes.common_keyring(settings, folders.var),
            surveys=self._configuration.surveys, calls=self._configuration.calls, texts=self._configuration.texts,
        )  # fmt: skip
        db = await self._database(stack, settings)
        sources = Sources(db)
        await sources.look()
        metrics = Metrics()
        blobs = nodes.open_blobs(stack, db, folders.blobs, self._failpoint)
        leases = await nodes.join(stack, db, settings)
        self._clock = await nodes.common_clock(db, self._own_clock, leases)
        calls = Calls(db, blobs, ctx, self._clock, failpoint=self._failpoint, metrics=metrics)
        parts = self._channels(ctx, db, metrics, calls)
        feeds = await running.opened(stack, settings, clock=self._clock, random=random.Random())
        pool = WorkerPool(
            count=settings.workers.count,
            limits=Limits(seconds=settings.workers.seconds, memory=settings.workers.memory),
            blobs=folders.blobs,
            policy=ctx.policy,
            on_loss=metrics.worker_lost,
        )
        await pool.start()
        stack.push_async_callback(pool.stop)
        ports = Ports(bound, [listener for part in parts.values() for listener in part.listeners])
        return _Core(
            ctx=ctx, db=db, metrics=metrics, blobs=blobs, calls=calls, parts=parts, pool=pool, ports=ports,
            feeds=feeds, sources=sources, leases=leases,
        )  # fmt: skip

    def _loops(self, core: _Core) -> _Loops:
        """What runs all the time, not yet running."""
        ctx, db, var = core.ctx, core.db, self._folders.var
        outbox = self._outbox(core)
        feeds = running.loops(
            core.feeds, db=db, ctx=ctx, blobs=core.blobs, clock=self._clock, random=random.Random(),
            owner=f"{socket.gethostname()}:{os.getpid()}", metrics=core.metrics, told=outbox.wake,
            failpoint=self._failpoint, leases=core.leases, reads=core.sources.when_free,
        )  # fmt: skip

        def told() -> None:
            outbox.wake()
            feeds.wake()

        fetching = self._fetching(core, told)
        fired = timers.Timers(db, ctx, CHECKS, self._clock, after=told)

        # Timers and files are not in a hurry, and a look at them after each message costs more than the message.
        timers_soon, files_soon = gathered(fired.wake, UNHURRIED), gathered(fetching.wake, UNHURRIED)

        def filed() -> None:
            told()
            timers_soon()
            files_soon()

        # Most answers to callers leave nothing to carry out.
        core.calls.after = gathered(filed, UNHURRIED)
        pipeline = Pipeline(
            db=db, blobs=core.blobs, pool=core.pool, ctx=ctx, clock=self._clock, metrics=core.metrics,
            failpoint=self._failpoint, after=filed, owner=core.leases.owner if core.leases else None,
            answering=core.calls.answering,
        )  # fmt: skip
        trend = Trend(var / "disk-trend.json", lambda: health.free_bytes(var), self._clock)
        # Operators hear of these long before readiness says no, or although it never does.
        ahead = (
            health.database(db),
            health.workers(lambda: core.pool.stats()["alive"], lambda: core.pool.width),
            health.disk(var, lambda: alerts.ctx.settings.alerts.free_disk),
            certificates.check(
                lambda: _chain(alerts.ctx.settings), lambda: alerts.ctx.settings.alerts.certificate, self._clock
            ),
            disk_full(trend, lambda: alerts.ctx.settings.alerts.disk_full_in),
            fetching.trouble(),
        )

        async def here() -> Mapping[str, str]:
            return (
                await asyncio.to_thread(health.look, ahead)
                | await troubles([*core.ports.listeners, *outbox.senders.values()])
                | await erasing.troubles()
                | await core.sources.troubles()
                | feeds.troubles()
            )

        if core.leases is None:
            alerts = Alerts(db, ctx, self._clock, watched=here, metrics=core.metrics, after=outbox.wake)
        else:  # each node says what is wrong with it, and the one that tells operators tells it of all
            core.leases.trouble = here
            alerts = Alerts(
                db, ctx, self._clock, metrics=core.metrics, after=outbox.wake, elsewhere=node_troubles,
            )  # fmt: skip
        erasing = Erasing(db, fetchers=lambda: fetching.fetchers, clock=self._clock)
        fetching.fetched = erasing.wake
        core.sources.released += [fetching.wake, erasing.wake]
        housekeeping = Housekeeping(db, ctx, core.blobs, self._folders.spool, self._clock)
        recalling = Recalling(
            db, fetchers=lambda: fetching.fetchers, intake=pipeline.accept, clock=self._clock,
            held=lambda: core.sources.held, failpoint=self._failpoint,
        )  # fmt: skip
        canary = Canary(db, ctx, senders=lambda: outbox.senders, clock=self._clock)
        return _Loops(
            outbox=outbox, timers=fired, pipeline=pipeline, alerts=alerts, housekeeping=housekeeping,
            fetching=fetching, erasing=erasing, recalling=recalling, canary=canary, feeds=feeds,
            sources=core.sources, leases=core.leases,
        )  # fmt: skip

    async def _serve(self, stack: AsyncExitStack, core: _Core, loops: _Loops) -> dict[str, str]:
        """Open the site and the ports: the last thing at the start, the first to end."""
        wanted = ["http"]

        def told() -> None:
            loops.outbox.wake()
            loops.feeds.wake()

        reloader = self._reloader(core, loops)
        services = Services(
            ctx=core.ctx, db=core.db, blobs=core.blobs, clock=self._clock, metrics=core.metrics,
            intake=loops.pipeline.accept, begin=loops.pipeline.begin, processed=loops.pipeline.processed,
            webhooks=by_account({name: part.webhooks for name, part in core.parts.items()}),
            checks=self._ready(core, loops, wanted), listening=core.ports.open, workers=core.pool.stats,
            var=self._folders.var, started_at=self._clock(), wake_outbox=told, feeds=loops.feeds,
            wake_journal=loops.pipeline.wake, wake_timers=loops.timers.wake, new_secret=self._new_secret,
            reload=reloader,
        )  # fmt: skip
        reloader.follow(services)
        reloader.follow(core.calls)
        reloader.include(partial(reload_steps.remount, services))
        await self._site(stack, services, core.ports.http)
        stack.push_async_callback(core.ports.stop)
        await core.ports.start(partial(self._begin, loops))
        path = self._folders.var / "listening.json"

        def published() -> dict[str, str]:
            listening = core.ports.open()
            wanted.extend(name for name in listening if name not in wanted)
            write_listening(path, listening)
            return listening

        core.sources.begun = published
        stack.callback(path.unlink, missing_ok=True)
        return published()

    def _ready(self, core: _Core, loops: _Loops, wanted: Sequence[str]) -> Sequence[health.Check]:
        """What `/readyz` looks at. `wanted` grows as ports are opened."""
        return (
            health.database(core.db),
            health.workers(lambda: core.pool.stats()["alive"], lambda: core.pool.width),
            health.listeners(core.ports.open, wanted),
            health.disk(self._folders.var, lambda: loops.alerts.ctx.settings.alerts.free_disk // 10),
        )

    def _reloader(self, core: _Core, loops: _Loops) -> Reloader:
        return Reloader(
            replace(self._configuration, settings=core.ctx.settings),
            read=lambda: load(self._configuration.folder, overrides=self._configuration.overrides),
            completed=lambda fresh: _with_public_url(fresh, core.ports.http),
            build=lambda fresh: self._channels(replace(core.ctx, settings=fresh), core.db, core.metrics, core.calls),
            parts=core.parts,
            followers=loops.followers(),
            prepare=(
                *reload_steps.steps(core.pool, loops.outbox, loops.fetching, core.ports, self._set_log),
                partial(reload_steps.exchange_feeds, loops.feeds, self._clock),
            ),
        )

    async def _database(self, stack: AsyncExitStack, settings: Settings) -> Database:
        url = database_url(settings, self._folders.var.resolve())
        await asyncio.to_thread(migrate, url, backup_to=self._folders.var / "backups")
        options = settings.database
        db = open_database(url, readers=options.readers, writers=options.writers, failpoint=self._failpoint)
        stack.push_async_callback(db.close)
        if self._held:
            await db.write(
                lambda conn: hold.put(conn, "started by `gateway serve --held`", self._clock(), sources=True)
            )
        token_file = self._folders.var / "token"
        if not token_file.exists():
            _write_secret(token_file, tokens.make(self._new_secret()))
        text = token_file.read_text(encoding="ascii").strip()
        now = self._clock()
        await db.write(lambda conn: tokens.ensure(conn, text, now=now))
        return db

    def _channels(self, ctx: Context, db: Database, metrics: Metrics, calls: Calls) -> dict[str, Parts]:
        settings = ctx.settings
        wiring = Wiring(
            clock=self._clock,
            spool=self._folders.spool,
            outgoing=self._folders.outgoing,
            data=self._folders.var,
            upload_url=f"{settings.http.public_url}/upload",
            answer=UploadAnswers(),
            options={"smtp": settings.smtp},
            ledger=StoreLedger(db, self._clock),
            vault=StoreVault(db, ctx.keyring, self._clock),
            answer_age=settings.tickets.automatic_age,
            confirmed=self._confirmed,
            suspects=StoreSuspects(db, self._clock, metrics),
            dialog=calls,
            public_url=settings.http.public_url,
        )
        return {
            name: channel.build(settings.accounts(name), wiring)
            for name, channel in CHANNELS.items()
            if settings.accounts(name)
        }

    def _outbox(self, core: _Core) -> Outbox:
        # The outbox's own context is the present one; a reload replaces it.
        outbox = Outbox(
            core.db,
            core.ctx,
            senders=by_account({name: part.senders for name, part in core.parts.items()}),
            probers=by_account({name: part.probers for name, part in core.parts.items()}),
            capture=CaptureSender(self._folders.outgoing / "captured"),
            render=lambda conn, row: render(conn, outbox.ctx, row, core.blobs),
            clock=self._clock,
            random=random.Random(),
            owner=f"{socket.gethostname()}:{os.getpid()}",
            metrics=core.metrics,
            failpoint=self._failpoint,
            leases=core.leases,
        )
        return outbox

    def _fetching(self, core: _Core, told: Callable[[], None]) -> Fetching:
        return Fetching(
            core.db,
            core.ctx,
            fetchers=by_account({name: part.fetchers for name, part in core.parts.items()}),
            blobs=core.blobs,
            spool=self._folders.spool,
            clock=self._clock,
            random=random.Random(),
            owner=f"{socket.gethostname()}:{os.getpid()}",
            after=told,
            failpoint=self._failpoint,
            held=lambda: core.sources.held,
        )

    def _running(self, name: str, loop: Work) -> Close:
        """Run a loop. Returns what ends it. A loop that ends by itself ends the gateway: no half-alive server."""
        stop = asyncio.Event()

        async def guarded() -> None:
            try:
                await loop(stop)
            except Exception:
                log.exception("a loop ended by itself", loop=name)
                self._died.set()

        task = asyncio.create_task(guarded(), name=name)

        async def finish() -> None:
            stop.set()
            await task

        return finish

    async def _site(self, stack: AsyncExitStack, services: Services, bound: socket.socket) -> None:
        runner = await open_site(services)
        stack.push_async_callback(close, runner, bound)
        await ShortWay(runner, services, bound).start()

    async def _begin(self, loops: _Loops, listener: Listener) -> Close:
        """Start a listener. Returns what ends it. Raises OSError when a port is taken."""
        return await loops.sources.begin(listener, loops.pipeline.accept, leases=loops.leases, running=self._running)


async def _first(*events: asyncio.Event) -> None:
    waits = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()


def _with_public_url(settings: Settings, bound: socket.socket) -> Settings:
    if settings.http.public_url:
        return settings
    http = settings.http.model_copy(update={"public_url": f"http://{shown(bound)}"})
    return settings.model_copy(update={"http": http})


def _chain(settings: Settings) -> Sequence[Path]:
    chain: Path | None = getattr(settings.smtp, "certificate", None)
    return [chain] if chain else []


def _write_secret(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text + "\n")
