"""`gateway check --online`: what only the machine and the network can tell. Nobody is written to."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import stat
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

import aiohttp
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from channels.contract import Clock, Finding, Surroundings, Vault
from channels.registry import CHANNELS
from gateway import certificates, health
from gateway.feeds import looking as feeds
from gateway.keyring import Keyring
from gateway.log import get_logger
from gateway.settings import Settings, database_url
from gateway.settings_files import secret_files
from gateway.store.database import open_database
from gateway.store.dialect import UnsafeDatabase
from gateway.store.lock import AlreadyRunning, ServerLock
from gateway.store.postgres_url import is_postgres_url
from gateway.vault import StoreVault

log = get_logger(__name__)
TIMEX_BYTES = 512
"""More than any `struct timex`."""
_ERROR = 5
"""TIME_ERROR of adjtimex(2): the clock is not synchronised."""
_NEWEST = timedelta(minutes=1)
FAR_SECONDS = 60.0
"""Further apart than this is no matter of the way that an answer takes."""
WEB_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What is looked at."""

    settings: Settings
    config: Path
    var: Path
    clock: Clock


Look: TypeAlias = Callable[[Place], Finding]


def _data(place: Place) -> Finding:
    what = f"data in {place.var}"
    folder = next(each for each in (place.var.absolute(), *place.var.absolute().parents) if each.exists())
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return Finding(what=what, trouble=f"{folder} cannot be written to by this user: {error.strerror}")
    open_to_others = [
        path.name
        for path in (place.var, *(place.var / name for name in ("gateway.db", "key", "token", "blobs", "spool")))
        if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077
    ]
    if open_to_others:
        return Finding(what=what, trouble=f"others can read {', '.join(open_to_others)}: chmod -R go= {place.var}")
    strange = [path.name for path in _inside(place.var) if path.stat().st_uid != os.geteuid()]
    if strange:
        return Finding(what=what, trouble=f"another user owns {', '.join(strange[:5])}; run this as the gateway's user")
    return Finding(what=what, good="writable, and nobody else's")


def _inside(folder: Path) -> list[Path]:
    return [folder, *folder.iterdir()] if folder.is_dir() else []


def _secrets(place: Place) -> Finding:
    shown = [str(path) for path in secret_files(place.settings) if path.stat().st_mode & 0o007]
    if shown:
        return Finding(what="secrets", trouble=f"everybody can read {', '.join(sorted(shown))}: chmod 600")
    return Finding(what="secrets", good="readable by us alone, or in the environment")


def _disk(place: Place) -> Finding:
    folder = next(each for each in (place.var.absolute(), *place.var.absolute().parents) if each.exists())
    free, least = health.free_bytes(folder), place.settings.alerts.free_disk
    if free < least:
        return Finding(what="disk", trouble=f"{free // 1024**2} MB free; below {least // 1024**2} MB is an alert")
    return Finding(what="disk", good=f"{free / 1024**3:.1f} GB free")


def _clock(place: Place, told: Mapping[str, float]) -> Finding:
    """By the kernel's own word (adjtimex), never before what was written here last, and beside those who tell the time.

    `told`: who -> seconds that their clock is ahead of ours.
    """
    newest = max((path.stat().st_mtime for path in _inside(place.var)), default=0.0)
    now = place.clock()
    if now + _NEWEST < datetime.fromtimestamp(newest, tz=now.tzinfo):
        return Finding(what="clock", trouble=f"it says {now:%Y-%m-%d %H:%M} UTC, but files here are newer: set it")
    if far := {who: ahead for who, ahead in told.items() if abs(ahead) > FAR_SECONDS}:
        apart = ", ".join(f"{who} {abs(by):.0f} s {'ahead' if by > 0 else 'behind'}" for who, by in sorted(far.items()))
        return Finding(what="clock", trouble=f"others tell another time: {apart}; set it, deadlines need it")
    if not synchronised():
        return Finding(
            what="clock", trouble="it is not synchronised; deadlines need it: install chrony or systemd-timesyncd"
        )
    beside = f", at one with {', '.join(sorted(told))}" if told else ""
    return Finding(what="clock", good=f"synchronised{beside}")


def synchronised() -> bool:
    """Whether something keeps the clock right; True where the kernel cannot be asked."""
    try:
        ask = ctypes.CDLL(None).adjtimex
    except (OSError, AttributeError):
        return True
    # All zero: modes = 0 only reads.
    return bool(ask(ctypes.create_string_buffer(TIMEX_BYTES)) != _ERROR)


def _certificate(place: Place) -> Finding:
    chain: Path | None = getattr(place.settings.smtp, "certificate", None)
    if chain is None:
        return Finding(what="smtp", good="no certificate, so STARTTLS is not offered")
    limit = place.settings.alerts.certificate
    if trouble := certificates.check(lambda: [chain], lambda: limit, place.clock).trouble():
        return Finding(what="smtp", trouble=trouble)
    return Finding(what="smtp", good=f"the certificate {chain} lasts")


LOOKS: Sequence[Look] = (_data, _secrets, _disk, _certificate)


async def look(place: Place) -> list[Finding]:
    """Every finding, good and bad. What cannot be looked at is a trouble of its own."""
    found = [_looked(each.__name__, partial(each, place)) for each in LOOKS]
    async with _surroundings(place) as around:
        for name, channel in CHANNELS.items():
            accounts = place.settings.accounts(name)
            if accounts and channel.online is not None:
                found += await channel.online(accounts, around)
    found += await feeds.look(place.settings, place.clock)
    if (database := await asyncio.to_thread(_database, place)) is not None:
        found.append(database)
    told = {each.what: each.ahead for each in found if each.ahead is not None}
    told |= await _web_times(place)
    return [*found, _looked("clock", partial(_clock, place, told))]


def _looked(what: str, each: Callable[[], Finding]) -> Finding:
    try:
        return each()
    except OSError as error:
        return Finding(what=what.strip("_"), trouble=f"{error.filename or ''}: {error.strerror}")


@asynccontextmanager
async def _surroundings(place: Place) -> AsyncIterator[Surroundings]:
    """What a running gateway listens on; where none runs, its vault, so that a token that is renewed is kept."""
    around = Surroundings(clock=place.clock, options={"smtp": place.settings.smtp})
    if not (place.var / "lock").exists():  # it never ran here, and nothing is made before it does
        yield around
        return
    try:
        lock = ServerLock(place.var / "lock")
    except AlreadyRunning:
        yield replace(around, listening=_listening(place.var))
        return
    # Held only where it must be: a gateway that is started meanwhile would be refused.
    async with AsyncExitStack() as stack:
        if _has_tokens(place.settings):
            stack.enter_context(lock)
            around = replace(around, vault=await _vault(stack, place))
        else:
            lock.release()
        yield around


def _has_tokens(settings: Settings) -> bool:
    return any(account.web_servers() for name in CHANNELS for account in settings.accounts(name).values())


def _listening(var: Path) -> Mapping[str, str]:
    try:
        found = json.loads((var / "listening.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # it is starting or stopping
    return {str(name): str(where) for name, where in found.items()} if isinstance(found, dict) else {}


async def _vault(stack: AsyncExitStack, place: Place) -> Vault | None:
    """The vault of a gateway that does not run, when its files are this user's: another's would be in its way."""
    database, key = place.var / "gateway.db", place.var / "key"
    if place.settings.database.url or not database.exists() or not key.exists():
        return None
    if database.stat().st_uid != os.geteuid():
        return None
    db = open_database(database_url(place.settings, place.var.resolve()))
    stack.push_async_callback(db.close)
    return StoreVault(db, Keyring.load(key), place.clock)


async def _web_times(place: Place) -> dict[str, float]:
    """The Date of web servers that the configuration names (RFC 9110 section 6.6.1); nothing is asked of them."""
    urls = {place.settings.http.public_url} | {
        url for name in CHANNELS for account in place.settings.accounts(name).values() for url in account.web_servers()
    }
    timeout = aiohttp.ClientTimeout(total=WEB_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        return dict(chain.from_iterable(await asyncio.gather(*(_date(session, url, place) for url in urls if url))))


async def _date(session: aiohttp.ClientSession, url: str, place: Place) -> list[tuple[str, float]]:
    try:
        async with session.head(url, allow_redirects=False) as answer:
            said = parsedate_to_datetime(answer.headers.get("Date", ""))
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return []  # whoever needs it says so; here it is a clock that is not there
    return [(urlsplit(url).hostname or url, (said.astimezone(UTC) - place.clock().astimezone(UTC)).total_seconds())]


def _one_line(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).strip().partition("\n")[0]


def _database(place: Place) -> Finding | None:
    """PostgreSQL: settings that lose nothing, and its clock, by which leases are counted. None on SQLite."""
    try:
        url = database_url(place.settings, place.var.resolve())
        if not is_postgres_url(url):
            return None
    except (KeyError, OSError) as error:
        return Finding(what="database", trouble=f"its secret is not there: {error}")
    except UnsafeDatabase as error:
        return Finding(what="database", trouble=str(error))
    from gateway.store.postgres import make_engine  # loads the driver

    engine = make_engine(url, "reader")
    try:
        with engine.connect() as conn:
            now = conn.execute(select(func.clock_timestamp())).scalar_one()
    except (SQLAlchemyError, UnsafeDatabase) as error:
        return Finding(what="database", trouble=f"it cannot be used: {_one_line(error)}")
    finally:
        engine.dispose()
    ahead = (now.astimezone(UTC) - place.clock().astimezone(UTC)).total_seconds()
    return Finding(what="database", good="PostgreSQL answers, and keeps what it commits", ahead=ahead)
