"""The process that telephones: `python -m channels.voice.sip.phone`. One JSON object a line comes in and goes out.

In: first the settings, then `{"do": "act", "call", "turn", "act"}`, `{"do": "reject", "call"}`, `{"do": "stop"}`; the
end of the input is the same as stop. Out: `ready`, `incoming`, `happened`, `ended`, `refused`, `registration`, `log`.

The SIP stack is native, alpha, has one loop in a process and cannot be started twice in one; so it has a process of its
own, whose death costs the calls that are on the line and nothing else.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import secrets
import shutil
import sys
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

from baresip.call import Call
from baresip.config import Account, Config
from baresip.errors import BaresipError, RegistrationError, StaleHandleError
from baresip.events import Event, StackEvent
from baresip.runtime import Runtime
from baresip.ua import UserAgent

from channels.voice.sip.leg import Leg, Rules
from channels.voice.sip.port import port_of

SHOWN = ("P-Asserted-Identity", "Privacy", "Diversion", "From", "To")
"""Headers that the gateway is told of."""
KNOWN_SOURCES = 4096
SOURCE_WITHIN = 2.0
"""Seconds until it is known where a call came from: the trace comes by another thread."""
UNTOLD = 20.0
"""Seconds that a caller hears ringing while the gateway says nothing."""
BEYOND = 8
"""Calls above the most that are taken, so that the stack lets us refuse and count them."""
REGISTER_AGAIN = (5.0, 300.0)
STOPPING = 5.0
_ID = re.compile(r"^(?:call-id|i)[ \t]*:(?:[ \t]|\r?\n[ \t])*([^\s]+)", re.IGNORECASE | re.MULTILINE)
"""Also on a line of its own (RFC 3261 section 7.3.1)."""
_FROM = re.compile(r"RX \S+ (?P<host>\S+):\d+ -> ")
log = logging.getLogger("sip.phone")


class Sources(logging.Handler):
    """Which address each call's INVITE came from. The stack tells it by its trace alone, in a thread of its own."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self._hosts: OrderedDict[str, set[str]] = OrderedDict()
        self._guard = threading.Lock()

    def emit(self, record: logging.LogRecord) -> None:
        """One message of the wire."""
        first, _, rest = record.getMessage().partition("\n")
        sent = _FROM.match(first)
        rest = rest.lstrip("\r\n")  # RFC 3261 section 7.5
        if sent is None or not rest.startswith("INVITE "):
            return
        head = rest.partition("\r\n\r\n")[0]
        with self._guard:
            for call_id in _ID.findall(head):
                self._hosts.setdefault(call_id, set()).add(sent["host"].strip("[]"))
                while len(self._hosts) > KNOWN_SOURCES:
                    self._hosts.popitem(last=False)

    async def of(self, call_id: str) -> frozenset[str]:
        """Every address that sent an INVITE of this call; none when nobody knows."""
        for _ in range(int(SOURCE_WITHIN / 0.01)):
            with self._guard:
                if found := self._hosts.get(call_id):
                    return frozenset(found)
            await asyncio.sleep(0.01)
        return frozenset()


class Tells(logging.Handler):
    """Warnings of this process and of the stack, for the gateway's log."""

    def emit(self, record: logging.LogRecord) -> None:
        """One line."""
        tell({"event": "log", "from": record.name, "text": record.getMessage()[:500]})


def tell(line: Mapping[str, Any]) -> None:
    """One line to the gateway; when it has gone, nobody is told and the end of the input ends us."""
    try:
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        sys.stdin.close()


@dataclass
class Phone:
    """Everything on the line."""

    settings: Mapping[str, Any]
    rules: Rules
    sources: Sources
    legs: dict[str, Leg] = field(default_factory=dict)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    doing: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    def later(self, work: Any) -> asyncio.Task[None]:
        """Run it beside everything else."""
        task: asyncio.Task[None] = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    # -- a call comes in --------------------------------------------------------------------

    def incoming(self, call: Call) -> None:
        """The stack rings."""
        self.later(self._incoming(call))

    async def _incoming(self, call: Call) -> None:
        name = secrets.token_hex(16)
        hosts = await self.sources.of(call.call_id or "")
        why = self._refusal(hosts)
        if why:
            await _rejected(call)
            caller = call.headers.get("From", call.peer or "")
            tell({"event": "refused", "why": why, "hosts": sorted(hosts), "from": caller[:400]})
            return
        leg = self.legs[name] = Leg(call, name, self.rules, tell)
        closed = asyncio.create_task(self._closed(leg))
        self.tasks.add(closed)
        closed.add_done_callback(self.tasks.discard)
        call.on(lambda event: leg.close() if event.event is Event.CALL_CLOSED else None)
        headers = {shown: call.headers.get(shown, "")[:400] for shown in SHOWN}
        tell(
            {"event": "incoming", "call": name, "sip_id": (call.call_id or "")[:200], "from": headers["From"],
             "to": headers["To"], "asserted": headers["P-Asserted-Identity"], "privacy": headers["Privacy"],
             "diversion": headers["Diversion"]}
        )  # fmt: skip
        self.doing[name] = self.later(self._untold(leg))

    def _refusal(self, hosts: frozenset[str]) -> str:
        if not hosts or not all(self._is_peer(host) for host in hosts):
            return "peer"
        if len(self.legs) >= self.settings["most_calls"]:
            return "busy"
        free = shutil.disk_usage(self.rules.recordings).free
        return "disk" if free < self.rules.free else ""

    def _is_peer(self, host: str) -> bool:
        try:
            address = ip_address(host)
        except ValueError:
            return False
        return any(address in ip_network(peer, strict=False) for peer in self.settings["peers"])

    async def _untold(self, leg: Leg) -> None:
        await asyncio.sleep(UNTOLD)
        log.warning("the gateway said nothing about a call")
        await _rejected(leg.call)

    # -- and goes on, and ends --------------------------------------------------------------

    def told(self, line: Mapping[str, Any]) -> None:
        """A line of the gateway's about a call."""
        leg = self.legs.get(line["call"])
        if leg is None:
            return
        if (before := self.doing.pop(leg.name, None)) is not None:
            before.cancel()
        work = self._acted(leg, line["turn"], line["act"]) if line["do"] == "act" else _rejected(leg.call)
        self.doing[leg.name] = self.later(work)

    async def _acted(self, leg: Leg, turn: int, act: Mapping[str, Any]) -> None:
        try:
            await leg.do(turn, act)
        except (BaresipError, OSError) as error:
            log.warning("a call is ended: %s: %s", type(error).__name__, error)
            await _rejected(leg.call)

    async def _closed(self, leg: Leg) -> None:
        limit = self.settings["longest_call"]
        try:
            async with asyncio.timeout(limit):
                await leg.wait_closed()
        except TimeoutError:
            log.warning("a call was as long as calls may be")
            await leg.hang_up()
            await leg.wait_closed()
        if (doing := self.doing.pop(leg.name, None)) is not None:
            if leg.established_at is not None:
                await asyncio.wait([doing], timeout=STOPPING)
            doing.cancel()
        del self.legs[leg.name]
        state = "canceled" if leg.established_at is None else "completed"
        tell({"event": "ended", "call": leg.name, "state": state, "seconds": leg.seconds()})

    async def stop(self) -> None:
        """Hang up; what is being recorded is kept."""
        for leg in list(self.legs.values()):
            await leg.hang_up()
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=STOPPING)


async def _rejected(call: Call) -> None:
    try:
        await call.hangup()
    except (StaleHandleError, BaresipError):
        return


async def _registered(agent: UserAgent) -> None:
    """Registered until the end; the stack itself registers again in time once it was let in."""
    pause = REGISTER_AGAIN[0]
    while True:
        try:
            await agent.register()
        except RegistrationError as error:
            tell({"event": "registration", "trouble": f"{error.status or ''} {error.reason or error}".strip()[:200]})
            await asyncio.sleep(pause)
            pause = min(pause * 2, REGISTER_AGAIN[1])
            continue
        return


def _registration(event: StackEvent) -> None:
    if event.event is Event.REGISTER_OK:
        tell({"event": "registration", "trouble": ""})
    elif event.event is Event.REGISTER_FAIL:
        tell({"event": "registration", "trouble": (event.text or "no answer")[:200]})


async def run(settings: Mapping[str, Any], lines: asyncio.StreamReader) -> None:
    """Telephone until the gateway says stop, or goes. Raises OSError for a port that is taken, BaresipError."""
    host, sources = settings["host"], Sources()
    port = port_of(host, settings["port"])
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    wire = logging.getLogger("baresip.native.sip")
    wire.setLevel(logging.DEBUG)
    wire.propagate = False
    wire.addHandler(sources)
    runtime, gone = Runtime(), asyncio.Event()
    runtime.on_dead = gone.set  # type: ignore[assignment]
    everywhere = ip_address(host).is_unspecified
    await runtime.start(
        Config(
            net_interface=None if everywhere else host,
            max_concurrent_calls=settings["most_calls"] + BEYOND,
            sip_trace=True,
            expose_headers=SHOWN,
            extra_config_text=f"sip_listen {shown}\nrtp_ports {settings['rtp_ports']}\n",
        )
    )
    runtime.subscribe(_registration)
    try:
        registrar, every = settings["registrar"], settings["reg_interval"]
        agent = await UserAgent.create(
            runtime,
            Account(
                settings["user"], registrar or shown, settings["password"], reg_interval=every if registrar else 0,
                auth_user=settings["auth_user"] or None, audio_codecs=("pcma", "pcmu"),
                extra_params=("catchall=yes",),
            ),
            transfer_policy="reject",
        )  # fmt: skip
        rules = Rules(
            recordings=Path(settings["recordings"]), transfer_to=settings["transfer_to"], free=settings["free_disk"]
        )
        phone = Phone(settings, rules, sources)
        agent.on_incoming(phone.incoming)
        tell({"event": "ready", "listening": shown})
        if registrar:
            registering = asyncio.create_task(_registered(agent))
            phone.tasks.add(registering)
        reading = asyncio.create_task(_read(phone, lines))
        dead = asyncio.create_task(gone.wait())
        await asyncio.wait({reading, dead}, return_when=asyncio.FIRST_COMPLETED)
        if registrar:
            registering.cancel()
        await phone.stop()
    finally:
        await runtime.close()


async def _read(phone: Phone, lines: asyncio.StreamReader) -> None:
    while said := await lines.readline():
        line = json.loads(said)
        if line["do"] == "stop":
            return
        phone.told(line)


async def main() -> int:
    """0 after stop; 3 with a line that says why for what cannot be started."""
    logging.getLogger().addHandler(Tells(logging.WARNING))
    lines = asyncio.StreamReader(limit=4 * 1024 * 1024)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    try:
        await run(json.loads(await lines.readline()), lines)
    except (OSError, BaresipError) as error:
        tell({"event": "failed", "why": f"{type(error).__name__}: {error}"[:300]})
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
