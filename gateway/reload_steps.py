"""What a reload changes beside the configuration that everybody reads: processes, senders, mailboxes, the log."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from random import Random
from typing import TypeVar

from channels.contract import Clock, Parts
from gateway.feeds import running
from gateway.fetching import Fetching
from gateway.listening import Ports
from gateway.outbox import Outbox
from gateway.reload import CannotAdopt, Close, Prepare, Step, nothing
from gateway.settings import Log
from gateway.settings_files import Configuration
from gateway.web.hooks import mounted_anew
from gateway.web.services import Services
from gateway.workers import CannotStart, Limits, WorkerPool

T = TypeVar("T")


def steps(
    pool: WorkerPool, outbox: Outbox, fetching: Fetching, ports: Ports, set_log: Callable[[Log], None]
) -> Sequence[Prepare]:
    """Each in the order in which it is made ready."""
    return (
        partial(_resize, pool),
        partial(_rewire, outbox, fetching),
        partial(_replace_listeners, ports),
        partial(_log_anew, set_log),
    )


async def _resize(pool: WorkerPool, fresh: Configuration, _parts: Mapping[str, Parts]) -> Step:
    """The workers' policy, and as many processes as are wanted, with their limits."""
    wanted = fresh.settings.workers
    try:
        made = await pool.prepare(wanted.count, Limits(seconds=wanted.seconds, memory=wanted.memory))
    except CannotStart as error:
        raise CannotAdopt(f"{error}; nothing was changed") from error

    def adopt() -> Sequence[Close]:
        pool.use(fresh.policy)
        return [pool.adopt(made)] if made is not None else []

    async def discard() -> None:
        if made is not None:
            await pool.discard(made)

    return Step(adopt=adopt, discard=discard)


async def _rewire(outbox: Outbox, fetching: Fetching, _fresh: Configuration, parts: Mapping[str, Parts]) -> Step:
    """The senders and the fetchers."""

    def adopt() -> Sequence[Close]:
        senders = by_account({name: part.senders for name, part in parts.items()})
        outbox.rewire(senders, by_account({name: part.probers for name, part in parts.items()}))
        fetching.fetchers = by_account({name: part.fetchers for name, part in parts.items()})
        return []

    return Step(adopt=adopt, discard=nothing)


async def _replace_listeners(ports: Ports, _fresh: Configuration, parts: Mapping[str, Parts]) -> Step:
    """Mailboxes."""

    def adopt() -> Sequence[Close]:
        exchange = ports.replace([listener for part in parts.values() for listener in part.listeners])
        return [exchange] if exchange is not None else []

    return Step(adopt=adopt, discard=nothing)


async def exchange_feeds(feeds: running.Feeds, clock: Clock, fresh: Configuration, _parts: Mapping[str, Parts]) -> Step:
    """Ticket stores that came, went, are described in another way or have another secret."""
    try:
        taken = await running.exchanged(feeds, fresh.settings, clock=clock, random=Random())
    except ValueError as error:
        raise CannotAdopt(f"feeds: {error}; nothing was changed") from error
    made = [feed for feed in taken.by_name.values() if feed not in feeds.by_name.values()]

    def adopt() -> Sequence[Close]:
        feeds.adopt(taken.by_name, taken.secrets)
        return []

    return Step(adopt=adopt, discard=partial(running.let_go, made))


async def remount(services: Services, _fresh: Configuration, parts: Mapping[str, Parts]) -> Step:
    """The webhooks of accounts that came, went or changed."""
    fresh = by_account({name: part.webhooks for name, part in parts.items()})

    def adopt() -> Sequence[Close]:
        services.webhooks = mounted_anew(services.webhooks, fresh)
        return []

    return Step(adopt=adopt, discard=nothing)


async def _log_anew(set_log: Callable[[Log], None], fresh: Configuration, _parts: Mapping[str, Parts]) -> Step:
    """Level and form of the log."""

    def adopt() -> Sequence[Close]:
        set_log(fresh.settings.log)
        return []

    return Step(adopt=adopt, discard=nothing)


def by_account(found: Mapping[str, Mapping[str, T]]) -> dict[tuple[str, str], T]:
    """(channel, account) -> part, of parts by channel and account."""
    return {(channel, account): part for channel, parts in found.items() for account, part in parts.items()}
