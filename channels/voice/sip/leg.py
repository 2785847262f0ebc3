"""One call in the process that telephones: what the gateway says is done, and what comes of it is told.

Time runs here: how long nobody presses a key or speaks. Whether somebody is there to hear is asked every 20 ms, so a
caller who hangs up ends whatever is being done.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from baresip.call import Call, CallState
from baresip.errors import AudioNotActive, AudioRestarted, BaresipError, StaleHandleError, TransferFailed
from baresip.events import Event, StackEvent

from channels.voice.sip import sound

TICK = 0.02
AHEAD = 10 * sound.FRAME
"""Bytes that wait to be sent at most: what is said is stopped so soon when a key is pressed."""
BETWEEN_LINES = 0.25
"""Seconds between two lines."""
READ = 16 * 1024
KEYS = frozenset("0123456789*#")
TYPED_AHEAD = 64
"""Keys that are kept while nobody asks for them."""
ANSWERING = 15.0
"""Seconds for the far end to acknowledge that we took the call up (RFC 3261 section 13.3.1.4: 32)."""

STOOD_STILL = 0.5
"""Seconds between two ticks, at most, that count: in what is longer the machine stood still, and heard nobody."""

Told: TypeAlias = Callable[[Mapping[str, Any]], None]
log = logging.getLogger("sip.leg")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What holds for every call of an account."""

    recordings: Path
    transfer_to: str
    """Host of the exchange for "sip:<number>@<host>"; "": nobody is rung."""
    free: int
    """Bytes that must stay free on the disk."""


class Heard:
    """How long somebody could have been heard: nobody is silent, and no key late, while it is we who stand still."""

    def __init__(self, now: Callable[[], float]) -> None:
        """`now` gives seconds."""
        self._now, self._last = now, now()
        self.seconds = 0.0

    def tick(self) -> float:
        """The seconds until now."""
        now = self._now()
        self.seconds += min(now - self._last, STOOD_STILL)
        self._last = now
        return self.seconds


class Leg:
    """A call that came in."""

    def __init__(self, call: Call, name: str, rules: Rules, tell: Told) -> None:
        """`name` is ours; `tell` brings one line to the gateway."""
        self.call, self.name, self._rules, self._tell = call, name, rules, tell
        self._keys: deque[str] = deque(maxlen=TYPED_AHEAD)
        self._closed = asyncio.Event()
        self._recordings = 0
        self.established_at: float | None = None
        call.on(self._pressed)

    def close(self) -> None:
        """The stack says that the line is closed."""
        self._closed.set()

    async def wait_closed(self) -> None:
        """Until the line is closed."""
        await self._closed.wait()

    @property
    def open(self) -> bool:
        """Somebody is there."""
        return not self._closed.is_set()

    def seconds(self) -> int:
        """Since the call was taken up."""
        if self.established_at is None:
            return 0
        return round(asyncio.get_running_loop().time() - self.established_at)

    def _pressed(self, event: StackEvent) -> None:
        # By when it goes down: the library's own digits come when a key is let go, and one of two quick ones is lost.
        if event.event is Event.CALL_DTMF_START and event.text in KEYS:
            self._keys.append(event.text)

    # -- what is done -----------------------------------------------------------------------

    async def do(self, turn: int, act: Mapping[str, Any]) -> None:
        """Take the call up where it is not yet, and carry out one act; tell what came of it, if anything did."""
        if self.call.state is CallState.INCOMING:
            await self.call.answer()
            await self.call.wait_established(ANSWERING)
            self.established_at = asyncio.get_running_loop().time()
        happened = await self._carried_out(act)
        if happened is not None:
            self._tell({"event": "happened", "call": self.name, "turn": turn, **happened})

    async def _carried_out(self, act: Mapping[str, Any]) -> Mapping[str, Any] | None:
        lines: Sequence[Sequence[str]] = act["lines"]
        match act["kind"]:
            case "collect":
                return await self._collect(lines, act["most"], act["finish"], act["seconds"])
            case "record":
                return await self._record(lines, act["longest"], act["silence"], act["finish"])
            case "connect":
                return await self._connect(lines, act["number"], act["seconds"])
            case _:
                await self._say(lines, until_key=False)
                await self.hang_up()
                return None

    async def hang_up(self) -> None:
        """Close the line; one that is closed stays so, and one that the stack knows nothing of any more is."""
        try:
            await self.call.hangup()
        except BaresipError as error:
            if not isinstance(error, StaleHandleError):
                log.warning("a call could not be hung up: %s", type(error).__name__)
            self.close()

    # -- keys -------------------------------------------------------------------------------

    async def _collect(
        self, lines: Sequence[Sequence[str]], most: int, finish: str, wait: int
    ) -> Mapping[str, Any] | None:
        await self._say(lines, until_key=True)
        digits = ""
        while self.open and (key := await self._key(wait)) and key != finish:
            digits += key
            if len(digits) >= most:
                break
        return {"kind": "pressed", "digits": digits} if self.open or digits else None

    async def _key(self, wait: float) -> str:
        waited = Heard(asyncio.get_running_loop().time)
        while self.open and not self._keys and waited.tick() < wait:
            self._heard()  # what nobody listens to must not be heard in a recording later
            await asyncio.sleep(TICK)
        return self._keys.popleft() if self._keys else ""

    # -- sound ------------------------------------------------------------------------------

    async def _say(self, lines: Sequence[Sequence[str]], *, until_key: bool) -> None:
        for number, files in enumerate(lines):
            if number:
                await self._play(sound.silence(BETWEEN_LINES), until_key=until_key)
            for file in files:
                if not self.open or (until_key and self._keys):
                    break
                await self._play(_samples(file), until_key=until_key)
        await self._drained(until_key=until_key)

    async def _play(self, pcm: bytes, *, until_key: bool) -> None:
        at = 0
        while at < len(pcm) and self.open:
            if until_key and self._keys:
                self._hush()
                return
            self._heard()
            room = AHEAD - self._waiting()
            if room >= sound.FRAME:
                at += self._write(pcm[at : at + room // sound.WIDTH * sound.WIDTH])
            await asyncio.sleep(TICK)

    async def _drained(self, *, until_key: bool) -> None:
        while self.open and self._waiting() > 0:
            if until_key and self._keys:
                self._hush()
                return
            self._heard()
            await asyncio.sleep(TICK)

    def _waiting(self) -> int:
        try:
            return self.call.audio.info().tx_buffered
        except (AudioNotActive, AudioRestarted):
            return 0

    def _write(self, pcm: bytes) -> int:
        try:
            return self.call.audio.write(pcm)
        except (AudioNotActive, AudioRestarted):
            return 0  # not yet there, or agreed upon anew: it is said a moment later

    def _hush(self) -> None:
        try:
            self.call.audio.flush_tx()
        except (AudioNotActive, AudioRestarted):
            return

    def _heard(self) -> bytes:
        try:
            return self.call.audio.read(READ)
        except (AudioNotActive, AudioRestarted):
            return b""

    # -- recording --------------------------------------------------------------------------

    async def _record(
        self, lines: Sequence[Sequence[str]], longest: float, silence: float, finish: str
    ) -> Mapping[str, Any]:
        await self._say(lines, until_key=False)
        await self._play(sound.beep(), until_key=False)
        await self._drained(until_key=False)
        self._keys.clear()
        self._recordings += 1
        part = self._rules.recordings / f"{self.name}-{self._recordings}{sound.PART}"
        spoken = await self._listened(part, longest, silence, finish) if self.open else False
        done = sound.finish(part) if part.exists() else None
        if done is not None and not spoken:
            done.unlink()
            done = None
        if done is None:
            return {"kind": "recorded", "recording": "", "hung_up": not self.open}
        length = sound.seconds(done)
        return {"kind": "recorded", "recording": done.name, "seconds": length, "hung_up": not self.open}

    async def _listened(self, part: Path, longest: float, silence: float, finish: str) -> bool:
        """Whether anybody spoke."""
        heard = Heard(asyncio.get_running_loop().time)
        quiet_since = 0.0
        spoken = False
        with part.open("wb", buffering=0) as file:
            file.write(sound.header(0))
            while self.open and heard.tick() < longest and heard.seconds - quiet_since < silence:
                pcm = self._heard()
                if pcm:
                    file.write(pcm)
                    if sound.is_speech(pcm):
                        spoken, quiet_since = True, heard.seconds
                if self._keys and (not finish or self._keys.popleft() == finish):
                    break
                if shutil.disk_usage(part.parent).free < self._rules.free:
                    log.warning("a recording was ended: the disk is full")
                    break
                await asyncio.sleep(TICK)
        return spoken

    # -- somebody else ----------------------------------------------------------------------

    async def _connect(self, lines: Sequence[Sequence[str]], number: str, wait: int) -> Mapping[str, Any]:
        if not self._rules.transfer_to:
            return {"kind": "connected", "answered": False}
        await self._say(lines, until_key=False)
        try:
            await self.call.transfer(f"sip:{number}@{self._rules.transfer_to}", timeout=float(wait))
        except TransferFailed as error:
            log.info("nobody took a call over: %s", error.status or "no answer")
            return {"kind": "connected", "answered": False}
        except BaresipError as error:
            log.warning("a call could not be handed on: %s", type(error).__name__)
            return {"kind": "connected", "answered": False}
        return {"kind": "connected", "answered": True}


def _samples(file: str) -> bytes:
    try:
        return sound.samples(Path(file))
    except (OSError, ValueError) as error:
        log.warning("a sound cannot be played: %s: %s", Path(file).name, error)
        return b""
