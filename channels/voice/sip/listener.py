"""The gateway's side of a telephone: a process that telephones, started again when it dies, and a task a call."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from channels.contract import Clock, Dialog, Intake, Suspects, Unavailable, Unverified
from channels.voice.sip.fetch import sweep
from channels.voice.sip.settings import SipAccount
from channels.voice.sip.story import ABOUT, LIVE, SAFE, Desk, Story, for_phone, told
from normalizer.call import Again

MODULE = "channels.voice.sip.phone"
STARTING, STOPPING, PREDECESSOR = 30.0, 10.0, 3.0
"""Seconds: until it rings, until it has hung up, and until one of an earlier run has."""
AGAIN = (0.5, 30.0)
"""Seconds until a telephone that died is started again: the first time, and at most."""
STEADY = 60.0
"""Seconds after which one that dies is started again as if it were the first time."""
LATE, SWEEPING = 5.0, 3600.0
"""Seconds between two tries to commit what the database did not take, and between two looks at old recordings."""
LINE_LIMIT = 1 << 20
INHERITED = frozenset({"PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH", "LD_LIBRARY_PATH"})
"""Of our environment; the rest has secrets that are none of the telephone's."""
ELSEWHERE = frozenset({"language", "timezone", "brand", "outbound", "numbers"})
"""Keys of an account that the telephone itself does not know."""

log = logging.getLogger(__name__)


@dataclass
class Live:
    """A call that is on the line."""

    story: Story
    queue: asyncio.Queue[Mapping[str, Any]] = field(default_factory=asyncio.Queue)


class SipPhone:
    """One account's telephone; `channels.contract.Listener`, `Watched`, `Reaches` and `Replaced`."""

    def __init__(
        self, account: SipAccount, desk: Desk, *, password: str, clock: Clock, dialog: Dialog | None,
        suspects: Suspects | None,
    ) -> None:  # fmt: skip
        """`dialog`: who says what the caller hears next; None: everybody is recorded."""
        self._account, self._desk, self._password = account, desk, password
        self._clock, self._dialog, self._suspects = clock, dialog, suspects
        self._intake: Intake | None = None
        self._process: Process | None = None
        self._ready: asyncio.Future[str] | None = None
        self._listening = ""
        self._calls: dict[str, Live] = {}
        self._late: list[Story] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._running: list[asyncio.Task[None]] = []
        self._stopping = False
        self._troubles: dict[str, str] = {}
        self.refused: Counter[str] = Counter()
        """Why calls were not taken -> how many since the start."""

    # -- what a listener is -----------------------------------------------------------------

    @property
    def name(self) -> str:
        """What it serves."""
        return f"voice/{self._desk.account}"

    @property
    def reaches(self) -> bool:
        """Where it registers: calls would ring here from then on."""
        return bool(self._account.registrar)

    def serves(self, successor: SipPhone) -> bool:
        """Whether the telephone can go on as it is."""
        mine, new = (one._account.model_dump(exclude=set(ELSEWHERE)) for one in (self, successor))
        return mine == new and self._password == successor._password

    def listening(self) -> dict[str, str]:
        """Where SIP comes in."""
        return {self.name: self._listening} if self._listening else {}

    async def troubles(self) -> Mapping[str, str]:
        """The telephone, its registration, and sounds that nobody can make."""
        return {f"{self.name} {cause}": why for cause, why in self._troubles.items()}

    def trouble_with(self, cause: str) -> str:
        """Why; "" where all is well."""
        return self._troubles.get(cause, "")

    async def start(self, intake: Intake) -> None:
        """Bring what an earlier run left behind, and ring. Raises OSError when the port is taken, or the stack does
        not start."""
        self._intake, self._stopping = intake, False
        self._desk.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        await asyncio.to_thread(self._find_left_behind)
        await self._begin()
        self._running = [asyncio.create_task(self._supervise()), asyncio.create_task(self._look_after())]

    async def _begin(self) -> None:
        """The telephone of a gateway that was killed holds the port for a moment yet. Raises OSError."""
        until = time.monotonic() + PREDECESSOR
        while True:
            try:
                return await self._spawn()
            except OSError:
                if time.monotonic() > until:
                    raise
            await asyncio.sleep(AGAIN[0])

    async def stop(self) -> None:
        """Hang up; what was said so far is kept."""
        self._stopping = True
        for task in self._running:  # nothing is started again from here on
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        process = self._process
        if process is not None and process.returncode is None:
            self._send({"do": "stop"})
            try:
                await asyncio.wait_for(process.wait(), STOPPING)
            except TimeoutError:
                process.kill()
                await process.wait()
        self._listening = ""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STOPPING)
        for task in tuple(self._tasks):
            task.cancel()

    # -- the process ------------------------------------------------------------------------

    async def _spawn(self) -> None:
        """Start it and wait until it rings. Raises OSError."""
        loop = asyncio.get_running_loop()
        self._ready = loop.create_future()
        # A session of its own: what ends the gateway from a keyboard reaches it by the end of its input.
        self._process = process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", MODULE, stdin=PIPE, stdout=PIPE, limit=LINE_LIMIT, start_new_session=True,
            env={name: value for name, value in os.environ.items() if name in INHERITED},
        )  # fmt: skip
        reading = asyncio.create_task(self._read(process))
        self._tasks.add(reading)
        reading.add_done_callback(self._tasks.discard)
        self._send(self._settings())
        try:
            self._listening = await asyncio.wait_for(self._ready, STARTING)
        except (TimeoutError, OSError) as error:
            process.kill()
            await process.wait()
            raise OSError(f"channels.{self.name.replace('/', '.')}: {error or 'the SIP stack did not start'}") from None

    def _settings(self) -> Mapping[str, Any]:
        account = self._account
        keys = ("host", "port", "peers", "user", "registrar", "auth_user", "transfer_to", "most_calls", "free_disk",
                "rtp_ports")  # fmt: skip
        return {
            **{key: getattr(account, key) for key in keys}, "password": self._password,
            "reg_interval": int(account.reg_interval.total_seconds()),
            "longest_call": account.longest_call.total_seconds(), "recordings": str(self._desk.folder.absolute()),
        }  # fmt: skip

    async def _supervise(self) -> None:
        pause = AGAIN[0]
        while True:
            began, process = time.monotonic(), self._process
            code = await process.wait() if process is not None else 0
            self._listening = ""
            pause = AGAIN[0] if time.monotonic() - began > STEADY else pause
            log.error("the telephone %s died (%s); it is started again", self.name, code)
            self._troubles["telephone"] = f"its process died ({code}); calls are not taken until it is there again"
            await asyncio.sleep(pause)
            pause = min(pause * 2, AGAIN[1])
            try:
                await self._spawn()
            except OSError as error:
                self._troubles["telephone"] = str(error)
            else:
                del self._troubles["telephone"]

    def _send(self, line: Mapping[str, Any]) -> None:
        process = self._process
        if process is not None and process.stdin is not None and not process.stdin.is_closing():
            process.stdin.write(json.dumps(line).encode() + b"\n")

    async def _read(self, process: Process) -> None:
        assert process.stdout is not None
        with suppress(ValueError):  # a line longer than any of ours: the process is not itself any more
            while said := await process.stdout.readline():
                try:
                    self._heard(json.loads(said))
                except (ValueError, KeyError) as error:
                    log.error("the telephone %s said what nobody understands: %s", self.name, type(error).__name__)
        if process.returncode is None and not self._stopping:
            with suppress(ProcessLookupError):
                process.kill()
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(OSError("the process that telephones ended at once"))
        for live in tuple(self._calls.values()):
            live.queue.put_nowait({"event": "gone"})

    # -- what it says -----------------------------------------------------------------------

    def _heard(self, line: Mapping[str, Any]) -> None:
        _HEARD[line["event"]](self, line)

    def _is_ready(self, line: Mapping[str, Any]) -> None:
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(line["listening"])

    def _failed(self, line: Mapping[str, Any]) -> None:
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(OSError(line["why"]))

    def _comes_in(self, line: Mapping[str, Any]) -> None:
        about = {name: str(line[name]) for name in ABOUT}
        live = self._calls[line["call"]] = Live(story=Story(self._desk, line["call"], about))
        task = asyncio.create_task(self._talk(live))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _goes_on(self, line: Mapping[str, Any]) -> None:
        live = self._calls.get(line["call"])
        if live is not None:
            live.queue.put_nowait(line)

    def _was_refused(self, line: Mapping[str, Any]) -> None:
        self.refused[line["why"]] = count = self.refused[line["why"]] + 1
        if count & (count - 1) == 0:  # the 1st, 2nd, 4th, 8th …: whoever calls a thousand times does not fill the log
            log.warning("a call to %s was refused: %s (%d so far)", self.name, line["why"], count)
        if line["why"] == "peer" and self._suspects is not None:
            task = asyncio.create_task(self._suspected(self._suspects, line))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _suspected(self, suspects: Suspects, line: Mapping[str, Any]) -> None:
        headers = {"from": str(line["from"]), "source": ", ".join(line["hosts"])}
        request = Unverified(method="INVITE", path="sip:", headers=headers, body=b"", reason="foreign peer")
        with suppress(Unavailable):  # it is counted already
            await suspects("voice", self._desk.account, request)

    def _registration(self, line: Mapping[str, Any]) -> None:
        if line["trouble"]:
            self._troubles["registration"] = f"the exchange does not let us register: {line['trouble']}"
        else:
            self._troubles.pop("registration", None)

    def _said(self, line: Mapping[str, Any]) -> None:
        log.warning("telephone %s: %s: %s", self.name, line["from"], line["text"])

    # -- one call ---------------------------------------------------------------------------

    async def _talk(self, live: Live) -> None:
        """From the first ring to the end; whatever breaks in it ends this call and no other."""
        story, step = live.story, 0
        try:
            await self._happened(story, "begun", step)
            while (line := await live.queue.get())["event"] == "happened":
                step += 1
                more = {name: line[name] for name in ("digits", "recording", "seconds", "hung_up", "answered")
                        if name in line}  # fmt: skip
                await self._happened(story, line["kind"], step, **more)
            await self._is_over(story, line)
        except OSError as error:
            log.error("a call to %s is given up: our disk: %s", self.name, error)
            self._send({"do": "reject", "call": story.call})
        except Exception as error:
            log.exception("a call to %s is given up", self.name, exc_info=error)
            self._send({"do": "reject", "call": story.call})
        finally:
            self._calls.pop(story.call, None)
            if story.waits:
                self._late.append(story)

    async def _happened(self, story: Story, kind: str, step: int, **more: Any) -> None:
        """Commit it, and tell the telephone what is done next."""
        assert self._intake is not None
        await asyncio.to_thread(story.add, self._clock(), kind, step, **more)
        accepted = await told(story, self._intake)
        acts = SAFE
        if accepted is not None and self._dialog is not None:
            said = await self._dialog("voice", self._desk.account, accepted)
            # `Again` is for those who ask from the beginning; this line asks in turn.
            acts = SAFE if isinstance(said, Again) else tuple(said)
        act, missing = await asyncio.to_thread(for_phone, acts, self._desk.speech)
        if missing:
            log.error("callers of %s do not hear everything: %s", self.name, "; ".join(missing[:5]))
            self._troubles["sounds"] = f"callers do not hear everything: {missing[0]}"
        else:
            self._troubles.pop("sounds", None)
        self._send({"do": "act", "call": story.call, "turn": step, "act": act})

    async def _is_over(self, story: Story, line: Mapping[str, Any]) -> None:
        assert self._intake is not None
        if line["event"] == "ended":
            await asyncio.to_thread(story.add, self._clock(), "ended", 0, state=line["state"], seconds=line["seconds"])
        else:
            await asyncio.to_thread(story.rescue, self._clock())
        if await told(story, self._intake) is not None:
            await asyncio.to_thread(story.over)

    # -- what was left behind ---------------------------------------------------------------

    def _find_left_behind(self) -> None:
        for path in sorted(self._desk.folder.glob(f"*{LIVE}")):
            story = Story.left_behind(self._desk, path)
            if story.waits:
                story.rescue(self._clock())
                self._late.append(story)
            else:
                path.unlink()

    async def _look_after(self) -> None:
        swept = 0.0
        while True:
            await self._bring_late()
            if time.monotonic() - swept > SWEEPING:
                swept = time.monotonic()
                with suppress(OSError):
                    await asyncio.to_thread(sweep, self._desk.folder, self._account.keep, time.time())
            await asyncio.sleep(LATE)

    async def _bring_late(self) -> None:
        assert self._intake is not None
        while self._late:
            if await told(self._late[0], self._intake) is None:
                return
            story = self._late.pop(0)
            with suppress(OSError):
                await asyncio.to_thread(story.over)


_HEARD: Mapping[str, Callable[[SipPhone, Mapping[str, Any]], None]] = {
    "ready": SipPhone._is_ready, "failed": SipPhone._failed, "incoming": SipPhone._comes_in,
    "happened": SipPhone._goes_on, "ended": SipPhone._goes_on, "refused": SipPhone._was_refused,
    "registration": SipPhone._registration, "log": SipPhone._said,
}  # fmt: skip
