"""One call as the gateway sees it: what happens is written down, committed, and then the dialog says what is done.

What the database could not take yet lies in a file of the call's own, and is brought again: while the call lasts, and
after a restart. So a call that is cut off anywhere leaves what was said in it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from channels.contract import Accepted, Intake, Unavailable
from channels.speech import Speech
from channels.voice.sip import sound
from normalizer.call import Act, Collect, Connect, HangUp, Lines, Record, Speak
from normalizer.message import Facts, InlineBody, RawMessage

FORMAT = "sip_call/1"
LIVE = ".call"
SAFE: Sequence[Act] = (Record(lines=()),)
"""A tone, and somebody who listens."""
ABOUT = ("from", "to", "asserted", "privacy", "diversion", "sip_id")
_KINDS: Mapping[type[Act], str] = {Collect: "collect", Record: "record", Connect: "connect", HangUp: "hang_up"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What every call of an account needs."""

    account: str
    folder: Path
    """Of recordings and of calls that are not over."""
    facts: Facts
    speech: Speech


class Story:
    """What happened in one call so far."""

    def __init__(self, desk: Desk, call: str, about: Mapping[str, str]) -> None:
        self.call = call
        self._desk, self._about = desk, dict(about)
        self._path = desk.folder / f"{call}{LIVE}"
        self._said: list[tuple[datetime, dict[str, Any]]] = []
        self._brought = 0
        """How many of them are committed."""

    @classmethod
    def left_behind(cls, desk: Desk, path: Path) -> Story:
        """The story of a call that nobody is on any more. Raises OSError; what cannot be read in the file is left."""
        story = cls(desk, path.stem, {})
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                said = json.loads(line)
                story._said.append((datetime.fromisoformat(said.pop("at")), said))
            except (ValueError, KeyError, TypeError, AttributeError):
                continue  # the machine lost its power in the middle of a line
        if story._said:
            story._about = {name: story._said[0][1].get(name, "") for name in ABOUT}
        return story

    # -- what happened ----------------------------------------------------------------------

    def add(self, at: datetime, kind: str, step: int, **more: Any) -> None:
        """One more thing. Raises OSError."""
        said = {"call": self.call, "kind": kind, "step": step, **self._about, **more}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"at": at.isoformat(), **said}, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._said.append((at, said))

    def rescue(self, at: datetime) -> None:
        """Nobody is on the line any more, and the end was not told: keep what was recorded, and end it. Raises
        OSError."""
        told = {said.get("recording") for _, said in self._said}
        step = max((said["step"] for _, said in self._said), default=0)
        for part in self._desk.folder.glob(f"{self.call}-*{sound.PART}"):
            sound.finish(part)
        for done in sorted(self._desk.folder.glob(f"{self.call}-*{sound.WHOLE}")):
            if done.name not in told:
                step += 1
                self.add(at, "recorded", step, recording=done.name, seconds=sound.seconds(done), hung_up=True)
        if not any(said["kind"] == "ended" for _, said in self._said):
            began = min((when for when, _ in self._said), default=at)
            self.add(at, "ended", 0, state="failed", seconds=max(0, round((at - began).total_seconds())))

    async def bring(self, intake: Intake) -> Accepted:
        """Commit what is not yet committed, in order; a repeat changes nothing. Raises Unavailable."""
        until = len(self._said)
        accepted = await intake([self._raw(at, said) for at, said in self._said[self._brought : until]])
        # The file keeps everything: who finds it after a crash brings it all again.
        self._brought = until
        return accepted[-1]

    @property
    def waits(self) -> bool:
        """Something is not yet committed."""
        return self._brought < len(self._said)

    def over(self) -> None:
        """Everything is committed: the file is not needed any more. Raises OSError."""
        self._path.unlink(missing_ok=True)

    def _raw(self, at: datetime, said: Mapping[str, Any]) -> RawMessage:
        about = said["kind"] if said["kind"] == "ended" else said["step"]
        named = f"sip:{self.call}:{about}"
        return RawMessage(
            channel="voice",
            account=self._desk.account,
            format=FORMAT,
            external_id=named,
            fingerprint=hashlib.sha256(named.encode()).hexdigest(),
            peer=self.call,
            received_at=at,
            body=InlineBody(content=json.dumps(said, ensure_ascii=False).encode()),
            facts=self._desk.facts,
        )


# -- what is done -------------------------------------------------------------------------


def for_phone(acts: Sequence[Act], speech: Speech) -> tuple[Mapping[str, Any], list[str]]:
    """The acts as one for the process that telephones, and why some sounds are missing. May take seconds."""
    lines: list[list[str]] = []
    missing: list[str] = []
    last: Act = HangUp()
    for act in acts:
        lines += _files(act.lines, speech, missing)
        if not isinstance(act, Speak):
            last = act
            break
    told = {name: value for name, value in asdict(last).items() if name != "lines"}
    return {"kind": _KINDS[type(last)], **told, "lines": lines}, missing


def _files(said: Lines, speech: Speech, missing: list[str]) -> list[list[str]]:
    lines = []
    for line in said:
        files, absent = speech.of_line(line)
        lines.append([str(file) for file in files])
        missing += absent
    return lines


async def told(story: Story, intake: Intake) -> Accepted | None:
    """Commit; None when the database takes nothing now."""
    try:
        return await story.bring(intake)
    except Unavailable:
        return None
