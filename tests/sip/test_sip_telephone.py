"""The telephone without a desk behind it: a database that is away, limits, the exchange's door, and being killed."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from channels.contract import Accepted, Cursor, Unavailable, Wiring
from channels.registry import CHANNELS
from channels.voice.sip.listener import SipPhone
from normalizer.call import Act, Collect, HangUp, Line, Record
from normalizer.message import InlineBody, RawMessage
from tests.mailboxes.desk import Store, child, until
from tests.services import sipp
from tests.services.ports import free_port
from tests.services.sipp import Ends, Press, Refused, Speak, Wait, tone
from tests.services.sipp import HangUp as Leaves
from tests.sip.desk import account, overrides, said_at_start, short_words, telephones

pytestmark = pytest.mark.services("sipp", "espeak-ng")
CHILD = Path(__file__).with_name("child.py")
FROM = "<sip:+380671112233@pbx.desk.example>"


@dataclass
class Desk:
    """What stands behind the telephone: a journal that may be away, and answers in order."""

    answers: list[Act]
    away: bool = False
    journal: dict[str, dict[str, Any]] = field(default_factory=dict)

    async def intake(self, raws: Sequence[RawMessage], cursor: Cursor | None = None, /) -> Sequence[Accepted]:
        if self.away:
            raise Unavailable("the database is away")
        for raw in raws:
            assert isinstance(raw.body, InlineBody)
            self.journal.setdefault(raw.external_id, json.loads(raw.body.content))
        return [Accepted(entry=len(self.journal), duplicate=False) for _ in raws]

    async def dialog(self, channel: str, name: str, accepted: Accepted, /) -> Sequence[Act]:
        return [self.answers.pop(0) if self.answers else HangUp()]

    def kinds(self) -> list[str]:
        return [said["kind"] for said in self.journal.values()]


@asynccontextmanager
async def ringing(desk: Desk, var: Path, **settings: Any) -> AsyncIterator[tuple[SipPhone, str]]:
    """A telephone of this desk, and where it rings."""
    model = CHANNELS["voice"].providers["sip"].model_validate(account(**settings))
    wiring = Wiring(
        clock=lambda: datetime.now(UTC), spool=var, outgoing=var, upload_url="", data=var, dialog=desk.dialog
    )
    (phone,) = CHANNELS["voice"].build({"main": model}, wiring).listeners
    assert isinstance(phone, SipPhone)
    await phone.start(desk.intake)
    try:
        yield phone, phone.listening()["voice/main"]
    finally:
        await phone.stop()
    assert phone.listening() == {}


async def call(to: str, folder: Path, *doings: sipp.Doing, **more: Any) -> None:
    async with sipp.ear() as (_, port):
        await sipp.call(to, doings, folder, sender=FROM, port=port, **more)


async def test_while_the_database_is_away_the_caller_is_recorded_and_all_of_it_is_brought_later(tmp_path: Path) -> None:
    voice = tone(tmp_path / "voice.alaw", 90.0)
    desk = Desk(answers=[], away=True)
    async with ringing(desk, tmp_path / "var") as (_, address):
        await call(address, tmp_path / "sipp", Wait(seconds=0.8), Speak(file=voice, seconds=5), Leaves())
    assert desk.journal == {}
    desk.away = False
    async with ringing(desk, tmp_path / "var"):
        await until(lambda: desk.kinds() == ["begun", "recorded", "ended"], "the call")
        folder = tmp_path / "var" / "voice" / "main"
        await until(lambda: not list(folder.glob("*.call")), "the end of its file")
        (kept,) = folder.glob("*.wav")
        recorded = next(said for said in desk.journal.values() if said["kind"] == "recorded")
        assert recorded["recording"] == kept.name


async def test_a_gateway_that_stops_in_the_middle_of_a_call_keeps_what_was_said(tmp_path: Path) -> None:
    voice = tone(tmp_path / "voice.alaw", 90.0)
    desk = Desk(answers=[Record(lines=())])
    async with ringing(desk, tmp_path / "var") as (_, address):
        doings = (Wait(seconds=0.5), Speak(file=voice, seconds=0.1), Ends())
        cut = asyncio.create_task(call(address, tmp_path / "sipp", *doings))
        folder = tmp_path / "var" / "voice" / "main"
        await until(lambda: [path for path in folder.glob("*.part") if path.stat().st_size > 10_000], "a recording")
    await cut
    assert desk.kinds() == ["begun", "recorded", "ended"]
    assert [path.suffix for path in folder.iterdir()] == [".wav"]


async def test_a_telephone_that_stands_still_for_a_while_takes_nobody_for_silent(tmp_path: Path) -> None:
    voice = tone(tmp_path / "voice.alaw", 90.0)
    desk = Desk(answers=[Record(lines=(), longest=300, silence=2)])
    async with ringing(desk, tmp_path / "var") as (_, address):
        doings = (Wait(seconds=0.5), Speak(file=voice, seconds=0.1), Ends())
        cut = asyncio.create_task(call(address, tmp_path / "sipp", *doings))
        folder = tmp_path / "var" / "voice" / "main"
        (part,) = await until(
            lambda: [path for path in folder.glob("*.part") if path.stat().st_size > 10_000], "speech"
        )
        for pid in telephones():
            os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(3.0)  # longer than anybody may be silent
        size = part.stat().st_size
        for pid in telephones():
            os.kill(pid, signal.SIGCONT)
        await until(lambda: not part.exists() or part.stat().st_size > size + 80_000, "more of it than was kept for us")
        assert part.exists(), desk.kinds()
    await cut
    assert desk.kinds() == ["begun", "recorded", "ended"]


async def test_limits_of_calls_and_of_time_hold_and_what_is_refused_is_counted(tmp_path: Path) -> None:
    listen = Record(lines=(), longest=300, silence=300)
    desk = Desk(answers=[listen])
    async with ringing(desk, tmp_path / "var", most_calls=1) as (phone, address):
        first = asyncio.create_task(call(address, tmp_path / "one", Ends()))
        # Not before it is taken up and recorded: one that ends before that has no BYE that its caller would expect.
        await until(lambda: list((tmp_path / "var" / "voice" / "main").glob("*.part")), "the first call is listened to")
        await call(address, tmp_path / "two", Refused(status=486))
        await until(lambda: phone.refused == {"busy": 1}, "the refusal")
    await first
    desk = Desk(answers=[listen])
    async with ringing(desk, tmp_path / "long", longest_call="12s") as (_, address):
        await call(address, tmp_path / "four", Ends())
        await until(lambda: desk.kinds() == ["begun", "recorded", "ended"], "the end")
    desk = Desk(answers=[])
    async with ringing(desk, tmp_path / "full", free_disk="900000GB") as (phone, address):
        await call(address, tmp_path / "three", Refused(status=486))
        await until(lambda: phone.refused == {"disk": 1}, "the refusal")
    assert desk.journal == {}


async def test_quick_keys_are_kept_and_a_key_ends_what_is_said(tmp_path: Path) -> None:
    long = (Line(language="en", words="A very long story that nobody wants to hear to its end, " * 5),)
    desk = Desk(answers=[Collect(lines=long), Collect(lines=long, most=4, finish="#"), Collect(lines=long)])
    async with ringing(desk, tmp_path / "var") as (_, address):
        keys = [Press(key=key, info=True, wait=0.05) for key in "142#"]
        await call(address, tmp_path / "sipp", *keys, Press(key="*", info=True, wait=0), Ends())
        await until(lambda: "ended" in desk.kinds(), "the end")
    pressed = [said["digits"] for said in desk.journal.values() if said["kind"] == "pressed"]
    assert pressed == ["1", "42", "*"]


REGISTRAR = """<?xml version="1.0" encoding="UTF-8" ?>
<scenario name="registrar">
<recv request="REGISTER"/>
<send><![CDATA[
SIP/2.0 401 Unauthorized
[last_Via:]
[last_From:]
[last_To:];tag=1
[last_Call-ID:]
[last_CSeq:]
WWW-Authenticate: Digest realm="pbx", nonce="0a4f113b", algorithm=MD5
Content-Length: 0

]]></send>
<recv request="REGISTER" auth="true">
<action><verifyauth assign_to="good" username="101" password="invented-secret"/></action></recv>
<nop hide="true" test="good" next="1"/>
<nop hide="true" next="2"/>
<label id="2"/>
<send><![CDATA[
SIP/2.0 403 Forbidden
[last_Via:]
[last_From:]
[last_To:];tag=1
[last_Call-ID:]
[last_CSeq:]
Content-Length: 0

]]></send>
<label id="1"/>
<send><![CDATA[
SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:];tag=1
[last_Call-ID:]
[last_CSeq:]
[last_Contact:]
Expires: 300
Content-Length: 0

]]></send>
</scenario>
"""


@asynccontextmanager
async def exchange(folder: Path) -> AsyncIterator[tuple[dict[str, str], asyncio.subprocess.Process]]:
    """One that lets 101 in by its password, and what an account says to register there; it ends after one try."""
    (folder / "registrar.xml").write_text(REGISTRAR, encoding="utf-8")
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        "sipp", "-sf", "registrar.xml", "-i", "127.0.0.1", "-p", str(port), "-m", "1", "-nostdin", "-timeout", "180",
        cwd=folder, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield {"registrar": f"127.0.0.1:{port}", "user": "101"}, process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_it_registers_at_the_exchange_and_its_password_is_nowhere_to_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SIP_PASSWORD", "invented-secret")
    caplog.set_level(logging.DEBUG)
    async with exchange(tmp_path) as (told, process):
        told = {**told, "password": "env:SIP_PASSWORD"}
        async with ringing(Desk(answers=[]), tmp_path / "var", **told) as (phone, _):
            assert await asyncio.wait_for(process.wait(), 180) == 0
            commands = [
                said for path in Path("/proc").glob("[0-9]*/cmdline") if b"sip.phone" in (said := said_at_start(path))
            ]
            assert commands
            assert not any(b"invented-secret" in command for command in commands)
            assert await phone.troubles() == {}
    assert "invented-secret" not in caplog.text


async def test_an_exchange_that_does_not_let_us_in_is_a_trouble_that_operators_hear_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIP_PASSWORD", "another-invented-secret")
    async with exchange(tmp_path) as (told, process):
        told = {**told, "password": "env:SIP_PASSWORD"}
        async with ringing(Desk(answers=[]), tmp_path / "var", **told) as (phone, _):
            assert await asyncio.wait_for(process.wait(), 180) == 0
            await until(lambda: phone.trouble_with("registration"), "the trouble")
            assert list(await phone.troubles()) == ["voice/main registration"]


async def test_a_reload_that_does_not_concern_the_telephone_leaves_its_calls_alone(tmp_path: Path) -> None:
    def built(**settings: Any) -> SipPhone:
        model = CHANNELS["voice"].providers["sip"].model_validate(account(**settings))
        wiring = Wiring(
            clock=lambda: datetime.now(UTC), spool=tmp_path, outgoing=tmp_path, upload_url="", data=tmp_path
        )
        (phone,) = CHANNELS["voice"].build({"main": model}, wiring).listeners
        assert isinstance(phone, SipPhone)
        return phone

    mine = built()
    assert mine.serves(built(language="uk", brand="Desk", numbers=["102"]))
    for change in ({"peers": ["192.0.2.1"]}, {"transfer_to": ""}, {"most_calls": 3}, {"country": "+7"}):
        assert not mine.serves(built(**change))


async def test_a_port_that_is_taken_is_said_at_the_start(tmp_path: Path) -> None:
    async with ringing(Desk(answers=[]), tmp_path / "var") as (_, address):
        with pytest.raises(OSError, match=r"channels\.voice\.main"):
            async with ringing(Desk(answers=[]), tmp_path / "other", port=int(address.rpartition(":")[2])):
                pass


async def test_a_kill_in_the_middle_of_a_recording_leaves_a_ticket_with_what_was_said(tmp_path: Path) -> None:
    short_words(tmp_path)
    var, voice = tmp_path / "var", tone(tmp_path / "voice.alaw", 90.0)
    settings = overrides(recorded=str(tmp_path / "recorded"))
    folder = var / "voice" / "main"
    async with child(var, settings, str(tmp_path / "config"), script=CHILD) as process:
        address = (await until(lambda: listening(var), "the start"))["voice/main"]
        doings = (Press(key="2", info=True), Wait(seconds=1.2), Speak(file=voice, seconds=20))
        cut = asyncio.create_task(call(address, tmp_path / "sipp", *doings))
        await until(lambda: [path for path in folder.glob("*.part") if path.stat().st_size > 20_000], "a recording")
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()
        cut.cancel()
    async with child(var, settings, str(tmp_path / "config"), script=CHILD):
        store = Store(var)
        await until(lambda: store.rows("SELECT 1 FROM attachment WHERE state = 'here'"), "the recording")
        assert store.rows("SELECT outcome FROM call") == [("ticket",)]
        assert store.tickets() == 1
        assert store.one("SELECT size FROM attachment") > 16_000


def listening(var: Path) -> dict[str, str]:
    try:
        said: dict[str, str] = json.loads((var / "listening.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return said
