"""A gateway with a telephone of its own, which says little, and callers with another SIP stack."""

from __future__ import annotations

import json
import math
import os
import shutil
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from channels.speech import DIGIT, PAUSE
from channels.voice.sip import sound
from gateway import call_words
from tests.mailboxes.desk import ROOT, Running, running
from tests.services import sipp
from tests.services.sipp import Doing, Ear
from tests.twilio.provider import HELD, ROOM, until_there

ANNA, BORIS = "+380671112233", "+380672223344"
EXCHANGE = "pbx.desk.example"
SOUND = 0.06
"""Seconds of each sound."""


def short_words(folder: Path) -> None:
    """Copy the configuration; every text is a short tone that somebody recorded, every digit has one of its own."""
    shutil.copytree(ROOT / "config", folder / "config")
    texts: dict[str, str] = YAML(typ="safe").load(folder / "config" / "texts" / "en" / "calls.yaml")
    parts = {part.name for name, template in texts.items() for part in call_words.parts(name, template) if part.name}
    own = folder / "recorded" / "en"
    own.mkdir(parents=True)
    for name in (*parts, PAUSE):
        _tone(own / f"{name}.wav", 500)
    for digit in range(10):
        _tone(own / f"{DIGIT.format(digit)}.wav", 650 + 70 * digit)
    (folder / "config" / "ivr.yaml").write_text(
        "languages: [en]\nwait: 5\nwait_number: 5\nlongest: 10\nsilence: 2\npeople: ['+380440000009']\n",
        encoding="utf-8",
    )
    hours = folder / "config" / "calendars.yaml"
    # Whenever this runs, the desk is open.
    hours.write_text(
        hours.read_text(encoding="utf-8").replace("default: weekdays", "default: always"), encoding="utf-8"
    )


def _tone(path: Path, hertz: int) -> None:
    samples = (int(8000 * math.sin(2 * math.pi * hertz * at / sound.RATE)) for at in range(int(SOUND * sound.RATE)))
    pcm = b"".join(struct.pack("<h", sample) for sample in samples)
    path.write_bytes(sound.header(len(pcm)) + pcm)


@dataclass
class Telephone:
    """A gateway that can be called."""

    gateway: Running
    folder: Path
    ear: Ear
    ear_port: int
    calls: int = 0

    @property
    def address(self) -> str:
        return self.gateway.listening["voice/main"]

    async def call(self, *doings: Doing, sender: str = ANNA, **more: Any) -> None:
        """One call of somebody's."""
        self.calls += 1
        said = f'"Somebody" <sip:{sender}@{EXCHANGE}>' if "<" not in sender else sender
        folder = self.folder / f"sipp-{self.calls}"
        await sipp.call(self.address, doings, folder, sender=said, **{"port": self.ear_port, **more})

    def spoken(self, number: str) -> list[int]:
        """Where each digit was heard, in order; -1 for one that was not."""
        at, found = 0, []
        for digit in number:
            file = self.folder / "recorded" / "en" / f"{DIGIT.format(digit)}.wav"
            found.append(self.ear.position(sound.samples(file), at))
            at = max(at, found[-1] + 1)
        return found

    def outcomes(self) -> list[str]:
        return [row[0] for row in self.gateway.store.rows("SELECT outcome FROM call ORDER BY id")]

    async def until_outcomes(self, *wanted: str) -> None:
        """Wait until every call is over and left this."""
        query = "SELECT outcome, ended_at IS NOT NULL FROM call ORDER BY id"
        over = [(one, 1) for one in wanted]
        await until_there(lambda: self.gateway.store.rows(query), over, "what the calls left, and whether each is over")


def telephones() -> list[int]:
    """Process ids of telephones that this process started."""
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text(encoding="ascii").split()
    return [int(pid) for pid in children if b"sip.phone" in said_at_start(Path(f"/proc/{pid}/cmdline"))]


def said_at_start(cmdline: Path) -> bytes:
    """The words of a process; none of one that has ended."""
    try:
        return cmdline.read_bytes()
    except OSError:
        return b""


def account(**more: Any) -> dict[str, Any]:
    """An account of the kind."""
    return {
        "provider": "sip", "port": 0, "numbers": ["101"], "country": "+380", "speed": 300, "free_disk": "1MB",
        "transfer_to": EXCHANGE, **more,
    }  # fmt: skip


def overrides(**more: Any) -> tuple[str, ...]:
    """Settings of a gateway with that account."""
    return (
        "smtp.port=0",
        "http.port=0",
        ROOM,
        "media.backoff=1s",
        f"channels.voice.main={json.dumps(account(**more))}",
    )


@asynccontextmanager
async def telephone(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, more: Sequence[str] = (), **settings: Any
) -> AsyncIterator[Telephone]:
    """It rings when this is entered."""
    if not (folder / "config").exists():
        short_words(folder)
    monkeypatch.setattr("tests.mailboxes.desk.ROOT", folder)
    # A machine that is busy with other tests is not what is tested.
    monkeypatch.setattr("gateway.calls.WITHIN", HELD)
    settings = {"recorded": str(folder / "recorded"), **settings}
    async with sipp.ear() as (ear, port), running(folder / "var", (*overrides(**settings), *more)) as gateway:
        yield Telephone(gateway=gateway, folder=folder, ear=ear, ear_port=port)
