"""A gateway with a telephone of its own, which says little, and callers with another SIP stack."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from channels.speech import DIGIT, Speech
from channels.voice.sip import sound
from gateway.texts import LANGUAGES
from normalizer.call import Piece
from tests.mailboxes.desk import ROOT, Running, running
from tests.services import sipp
from tests.services.sipp import Doing, Ear

ANNA, BORIS = "+380671112233", "+380672223344"
EXCHANGE = "pbx.desk.example"
SHORT = {
    "number_told": "{digits}. So {digits}.", "call_back": "{this}, {another}.", "confirm": "{score}. {key}.",
    "state_resolved": "{digits}, {date}.", "rate": "Rate.",
}  # fmt: skip
"""What is said for a long time otherwise."""


def short_words(folder: Path) -> None:
    """Copy the configuration; whatever can be said shortly is."""
    shutil.copytree(ROOT / "config", folder / "config")
    for language in LANGUAGES:
        path = folder / "config" / "texts" / language / "calls.yaml"
        said: dict[str, str] = YAML(typ="safe").load(path)
        for name, words in said.items():
            places = "".join(f" {{{place}}}" for place in ("key",) if f"{{{place}}}" in words)
            said[name] = SHORT.get(name) or (words if "{" in words and not places else f"So{places}.")
        lines = (f"{name}: {json.dumps(words)}\n" for name, words in said.items())
        path.write_text("".join(lines), encoding="utf-8")
    (folder / "config" / "ivr.yaml").write_text(
        "languages: [en]\nwait: 5\nwait_number: 5\nlongest: 10\nsilence: 2\npeople: ['+380440000009']\n",
        encoding="utf-8",
    )
    hours = folder / "config" / "calendars.yaml"
    # Whenever this runs, the desk is open.
    hours.write_text(
        hours.read_text(encoding="utf-8").replace("default: weekdays", "default: always"), encoding="utf-8"
    )


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

    def speech(self) -> Speech:
        """Where its sounds are."""
        return Speech(made=self.folder / "var" / "voice" / "prompts", voices={"en": "en-gb"}, speed=300)

    def spoken(self, number: str) -> list[int]:
        """Where each digit was heard, in order; -1 for one that was not."""
        at, found = 0, []
        for digit in number:
            file = self.speech().of_piece("en", Piece(name=DIGIT.format(digit), words=digit))
            found.append(self.ear.position(sound.samples(file), at))
            at = max(at, found[-1] + 1)
        return found

    def outcomes(self) -> list[str]:
        return [row[0] for row in self.gateway.store.rows("SELECT outcome FROM call ORDER BY id")]

    async def until_outcomes(self, *wanted: str) -> None:
        """Wait until every call is over and left this."""
        over = "SELECT count(*) FROM call WHERE ended_at IS NULL"
        await self.gateway.until(
            lambda: self.outcomes() == list(wanted) and self.gateway.store.one(over) == 0, f"{wanted}"
        )


def account(**more: Any) -> dict[str, Any]:
    """An account of the kind."""
    return {
        "provider": "sip", "port": 0, "numbers": ["101"], "country": "+380", "speed": 300, "free_disk": "1MB",
        "transfer_to": EXCHANGE, **more,
    }  # fmt: skip


def overrides(**more: Any) -> tuple[str, ...]:
    """Settings of a gateway with that account."""
    return ("smtp.port=0", "http.port=0", "media.backoff=1s", f"channels.voice.main={json.dumps(account(**more))}")


@asynccontextmanager
async def telephone(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, more: Sequence[str] = (), **settings: Any
) -> AsyncIterator[Telephone]:
    """It rings when this is entered."""
    if not (folder / "config").exists():
        short_words(folder)
    monkeypatch.setattr("tests.mailboxes.desk.ROOT", folder)
    async with sipp.ear() as (ear, port), running(folder / "var", (*overrides(**settings), *more)) as gateway:
        yield Telephone(gateway=gateway, folder=folder, ear=ear, ear_port=port)
