"""A new configuration for a running gateway: read and checked whole, then taken over whole, or not at all.

Every part keeps one `Context` and reads it anew for each piece of work, so replacing that one reference
between two turns of the event loop changes everything at once. What cannot change while the gateway
runs (ports, database) is refused by name, and then nothing changes. What can fail (a certificate that
cannot be read, a process that does not start, a secret that is not there) is done before; what takes time
(ending an old mailbox, starting the new one) comes after, and no message is lost by it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol, TypeAlias

from channels.contract import AccountSettings, Parts, Prepares, Reloads
from gateway.context import Context
from gateway.log import get_logger
from gateway.settings import Settings
from gateway.settings_files import Configuration

FIXED: tuple[tuple[str, ...], ...] = (
    ("http", "host"), ("http", "port"), ("http", "trusted_proxies"), ("http", "max_body"),
    ("database",), ("secret_key",), ("smtp", "host"), ("smtp", "port"), ("smtp", "lmtp"),
    ("outbox", "concurrency"), ("outbox", "per_account"),
)  # fmt: skip
"""What is built once at the start."""

log = get_logger(__name__)


class Follower(Protocol):
    """A part that works with the present configuration."""

    ctx: Context


class NeedsRestart(Exception):
    """The new configuration is good but changes what is built at the start; `keys` names it."""

    def __init__(self, keys: Sequence[str]) -> None:
        super().__init__(f"only a restart can change {', '.join(keys)}; nothing was changed")
        self.keys = tuple(keys)


class CannotAdopt(Exception):
    """The new configuration is good, but something that it names is not there; nothing was changed."""


Close: TypeAlias = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A part of the change that is ready to be made."""

    adopt: Callable[[], Sequence[Close]]
    """Makes it, at once and without fail. Returns what is to be ended and begun afterwards."""
    discard: Close
    """Undoes the getting ready."""


Prepare: TypeAlias = Callable[[Configuration, Mapping[str, Parts]], Awaitable[Step]]
"""Does everything of a change that can fail. Raises CannotAdopt or OSError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reloaded:
    """What is in force now."""

    policy: str
    """Version of contracts, calendars and rules; decisions record it."""
    policy_changed: bool
    accounts: int
    feeds: int


class Reloader:
    """Brings a changed configuration into force."""

    def __init__(
        self,
        current: Configuration,
        *,
        read: Callable[[], Configuration],
        completed: Callable[[Settings], Settings],
        build: Callable[[Settings], Mapping[str, Parts]],
        parts: Mapping[str, Parts],
        followers: Sequence[Follower],
        prepare: Sequence[Prepare],
    ) -> None:
        """`read` loads and checks the files (raises ConfigurationError); `completed` fills in what the start fills in;
        `build` makes a channel's parts; `prepare` is for those that keep something of their own."""
        self._current, self._read, self._completed, self._build = current, read, completed, build
        self._parts, self._followers, self._prepare = parts, list(followers), [*prepare, self._ports]
        self._one_at_a_time = asyncio.Lock()

    def follow(self, part: Follower) -> None:
        """One more part that works with the present configuration."""
        self._followers.append(part)

    def include(self, prepare: Prepare) -> None:
        """One more part that keeps something of its own."""
        self._prepare.append(prepare)

    async def __call__(self) -> Reloaded:
        """Read, check and take over. Raises ConfigurationError, NeedsRestart, CannotAdopt; then nothing has changed."""
        async with self._one_at_a_time:
            before = self._current
            found = await asyncio.to_thread(self._read)
            fresh = replace(found, settings=self._completed(found.settings))
            if keys := fixed_changes(before.settings, fresh.settings):
                raise NeedsRestart(keys)
            steps = await self._ready(fresh)
            # From here to the end of the loop nothing else runs: all of it, or none.
            for follower in self._followers:
                follower.ctx = replace(
                    follower.ctx, settings=fresh.settings, policy=fresh.policy, surveys=fresh.surveys,
                    calls=fresh.calls, texts=fresh.texts,
                )  # fmt: skip
            after = [close for step in steps for close in step.adopt()]
            self._current = fresh
            for close in after:
                await _carry_out(close)
        changed = before.policy.version != fresh.policy.version
        accounts = sum(map(len, fresh.settings.channels.values()))
        done = Reloaded(
            policy=fresh.policy.version, policy_changed=changed, accounts=accounts, feeds=len(fresh.settings.feeds)
        )
        log.info("configuration taken over", **asdict(done))
        return done

    async def _ready(self, fresh: Configuration) -> list[Step]:
        """Every step of the change, or none of them. Raises CannotAdopt."""
        steps: list[Step] = []
        try:
            parts = self._build(fresh.settings)
            for prepare in self._prepare:
                steps.append(await prepare(fresh, parts))
        except BaseException as error:
            for step in steps:
                await step.discard()
            match error:
                case OSError():
                    named = f"{error.filename}: " if error.filename else ""
                    raise CannotAdopt(f"{named}{error.strerror or error}; nothing was changed") from error
                case KeyError():
                    raise CannotAdopt(f"the environment has no {error.args[0]}; nothing was changed") from error
                case _:
                    raise
        return steps

    async def _ports(self, _fresh: Configuration, parts: Mapping[str, Parts]) -> Step:
        """Listeners that stay and serve the new accounts under the new limits."""
        pairs = [pair for name, part in self._parts.items() for pair in _pairs(part, parts.get(name))]
        for _, successor in pairs:
            if isinstance(successor, Prepares):
                await successor.prepare()
        return Step(adopt=lambda: [close for old, new in pairs for close in old.adopt(new)], discard=nothing)


async def nothing() -> None:
    """Of a step that has nothing to undo."""


async def _carry_out(close: Close) -> None:
    """The new configuration is in force already: what goes wrong now is told, and keeps nothing else from happening."""
    try:
        await close()
    except Exception:
        log.exception("the new configuration is in force, but what it replaces did not end as it should")


def _pairs(old: Parts, new: Parts | None) -> list[tuple[Reloads, Reloads]]:
    """Listeners that can take over, each with the one of its kind that the new configuration made."""
    if new is None:
        return []
    old_ones: list[object] = list(old.listeners)
    new_ones: list[object] = list(new.listeners)
    return [
        (listener, successor)
        for listener in old_ones
        for successor in new_ones
        if type(listener) is type(successor) and isinstance(listener, Reloads) and isinstance(successor, Reloads)
    ]


def fixed_changes(before: Settings, after: Settings) -> list[str]:
    """Keys whose change only a restart brings into force."""
    old, new = before.model_dump(), after.model_dump()
    found = [".".join(path) for path in FIXED if _at(old, path) != _at(new, path)]
    for channel in sorted({*before.channels, *after.channels}):
        found += _channel_changes(channel, before.accounts(channel), after.accounts(channel))
    return found


def _at(dump: Mapping[str, Any], path: Sequence[str]) -> Any:
    for key in path:
        dump = dump[key]
    return dump


def _channel_changes(
    channel: str, before: Mapping[str, AccountSettings], after: Mapping[str, AccountSettings]
) -> list[str]:
    if bool(before) != bool(after):
        return [f"channels.{channel}"]  # its ports open, or close
    old, new = _built_once(before), _built_once(after)
    return [f"channels.{channel}.{'.'.join(key)}" for key in sorted({*old, *new}) if old.get(key) != new.get(key)]


def _built_once(accounts: Mapping[str, AccountSettings]) -> dict[tuple[str, str], object]:
    found: dict[tuple[str, str], object] = {}
    for name, account in accounts.items():
        dump = account.model_dump()
        found |= {(name, key): dump[key] for key in account.BUILT_ONCE if dump.get(key) is not None}
    return found
