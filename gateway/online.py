"""`gateway check --online`: what only the machine and the network can tell. Nobody is written to."""

from __future__ import annotations

import ctypes
import os
import stat
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeAlias

from channels.contract import Clock, Finding
from channels.registry import CHANNELS
from gateway import certificates, health
from gateway.settings import Settings
from gateway.settings_files import secret_files

TIMEX_BYTES = 512
"""More than any `struct timex`."""
_ERROR = 5
"""TIME_ERROR of adjtimex(2): the clock is not synchronised."""
_NEWEST = timedelta(minutes=1)


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


def _clock(place: Place) -> Finding:
    """By the kernel's own word (adjtimex), and never before what was written here last."""
    newest = max((path.stat().st_mtime for path in _inside(place.var)), default=0.0)
    now = place.clock()
    if now + _NEWEST < datetime.fromtimestamp(newest, tz=now.tzinfo):
        return Finding(what="clock", trouble=f"it says {now:%Y-%m-%d %H:%M} UTC, but files here are newer: set it")
    if not synchronised():
        return Finding(
            what="clock", trouble="it is not synchronised; deadlines need it: install chrony or systemd-timesyncd"
        )
    return Finding(what="clock", good="synchronised")


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


LOOKS: Sequence[Look] = (_data, _secrets, _disk, _clock, _certificate)


async def look(place: Place) -> list[Finding]:
    """Every finding, good and bad. What cannot be looked at is a trouble of its own."""
    found = []
    for each in LOOKS:
        try:
            found.append(each(place))
        except OSError as error:
            found.append(Finding(what=each.__name__.strip("_"), trouble=f"{error.filename or ''}: {error.strerror}"))
    for name, channel in CHANNELS.items():
        accounts = place.settings.accounts(name)
        if accounts and channel.online is not None:
            found += await channel.online(accounts)
    return found
