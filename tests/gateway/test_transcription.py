"""Voice messages are written down by a program: bounded in time and output, and routing hears what is said."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway import desk_fields
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from gateway.transcription import NoTranscript, transcribe
from router.policy import Conditions, Policy, Rule
from tests.gateway.conftest import FrozenClock
from tests.gateway.fetching_desk import FetchingDesk, photo, voice
from tests.gateway.filing_desk import context
from tests.gateway.patience import PATIENCE, seen
from tests.gateway.planted import said

SAYS = """
import pathlib, sys
heard = pathlib.Path(sys.argv[-1]).read_bytes().decode()
print("Сервер недоступен,\\n  ничего", heard.split()[-1], pathlib.Path(sys.argv[-1]).suffix, *sys.argv[1:-1])
"""
ENDLESS = """
import sys
while True:
    sys.stdout.write("слово " * 10000)
"""
MANY = "print('слово ' * 10_000_000)"
HANGS = """
import subprocess, sys, time, pathlib
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
pathlib.Path(sys.argv[1]).write_text(str(child.pid))
time.sleep(3600)
"""
FAILS = "raise SystemExit(3)"
SILENT = "print('   ')"


def program(folder: Path, code: str, *arguments: str) -> list[str]:
    """A command that runs this code."""
    script = folder / "program.py"
    script.write_text(code, encoding="utf-8")
    return [sys.executable, str(script), *arguments]


async def heard(command: Sequence[str], folder: Path, seconds: float = PATIENCE) -> str:
    file = folder / "blob"
    file.write_bytes(b"OggS words")
    work = folder / "work"
    work.mkdir(exist_ok=True)
    try:
        return await transcribe(command, file, "voice.ogg", languages=("ru", "uk"), seconds=seconds, work=work)
    finally:
        assert list(work.iterdir()) == []
        assert file.read_bytes() == b"OggS words"


def state(pid: int) -> str:
    """Of a process; "" when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except OSError:
        return ""


async def gone(pid: int) -> bool:
    """The process ended, or ends soon."""
    return bool(await seen(lambda: state(pid) in ("", "Z"), what=f"the end of process {pid}"))


async def test_what_it_prints_is_the_text(tmp_path: Path) -> None:
    text = await heard(program(tmp_path, SAYS, "-l", "{languages}"), tmp_path)
    assert text == "Сервер недоступен, ничего words .ogg -l ru,uk"


async def test_the_file_stands_where_the_command_says(tmp_path: Path) -> None:
    code = "import sys, pathlib; print(sys.argv[2], pathlib.Path(sys.argv[1][3:]).read_text())"
    assert await heard(program(tmp_path, code, "in={file}", "-x"), tmp_path) == "-x OggS words"


async def test_no_secret_of_ours_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOT_TOKEN", "100200300:secret")
    code = "import os; print(sorted(os.environ.values()))"
    assert "100200300" not in await heard(program(tmp_path, code), tmp_path)


@pytest.mark.parametrize("code", [ENDLESS, MANY])
async def test_a_program_that_never_stops_talking_is_killed(code: str, tmp_path: Path) -> None:
    with pytest.raises(NoTranscript, match="printed more"):
        await heard(program(tmp_path, code), tmp_path)


async def test_a_program_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    note = tmp_path / "child.pid"
    async with asyncio.timeout(5 * PATIENCE):  # and the program hangs for longer
        for seconds in (2.0, 10.0, 30.0):
            with pytest.raises(NoTranscript, match=f"longer than {seconds:.0f} s"):
                await heard(program(tmp_path, HANGS, str(note)), tmp_path, seconds)
            if note.exists():
                break  # else it was killed before it had a child: the machine is slow
    assert await gone(int(note.read_text(encoding="ascii")))


async def test_a_child_that_left_its_group_does_not_keep_us(tmp_path: Path) -> None:
    note = tmp_path / "child.pid"
    code = """
import subprocess, sys, pathlib
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"], start_new_session=True)
pathlib.Path(sys.argv[1]).write_text(str(child.pid))
"""
    try:
        with pytest.raises(NoTranscript, match="longer than 2 s"):
            await heard(program(tmp_path, code, str(note)), tmp_path, 2.0)
    finally:
        if note.exists() and (left := note.read_text(encoding="ascii")):
            os.kill(int(left), signal.SIGKILL)


@pytest.mark.parametrize(
    ("command", "why"),
    [(["/nowhere/listen"], "cannot be started: No such file"), ([sys.executable, "-c", FAILS], "ended with 3")],
)
async def test_a_program_that_fails_says_why(command: list[str], why: str, tmp_path: Path) -> None:
    with pytest.raises(NoTranscript, match=why):
        await heard(command, tmp_path)


# -- in the loop ----------------------------------------------------------------------------


@pytest.fixture
def routing() -> Policy:
    """A server that is down is class 2, and for line 2."""
    when = Conditions(patterns=(re.compile("сервер недоступен"),))
    return Policy(rules=(Rule(id="server", why="a server", when=when, class_=2, line="L2"),))


def listening(folder: Path, code: str, **more: Any) -> dict[str, Any]:
    return {"transcription": {"command": program(folder, code), **more}}


@pytest.fixture
def make(db: Database, blobs: Blobs, clock: FrozenClock, tmp_path: Path) -> Any:
    def make(policy: Policy | None = None, **settings: Any) -> FetchingDesk:
        return FetchingDesk(db, blobs, clock, context(policy, **settings), tmp_path)

    return make


async def test_a_voice_message_is_here_first_and_then_written_down(make: Any, tmp_path: Path) -> None:
    desk = make(**listening(tmp_path, SAYS))
    filed = await desk.with_files(voice(), photo())
    assert await desk.loop.claim() == 2
    await asyncio.gather(*desk.loop._tasks)
    assert [(file.state, file.transcript) for file in await desk.files()] == [("here", None), ("here", None)]
    await desk.once()
    spoken, picture = await desk.files()
    assert spoken.transcript == "Сервер недоступен, ничего words .ogg"
    assert picture.transcript is None
    assert await desk.data(filed.ticket_id, "transcript") == [{"attachment": spoken.id, "message": filed.message_id}]
    assert [row.state for row in await desk.media()] == ["here", "here"]


@pytest.mark.parametrize(("spoken", "text"), [({"note"}, "Сервер недоступен, ничего words .mp4"), (set(), None)])
async def test_a_video_is_written_down_when_the_channel_knows_that_somebody_speaks(
    make: Any, tmp_path: Path, spoken: set[str], text: str | None
) -> None:
    desk = make(**listening(tmp_path, SAYS))
    desk.far.spoken = spoken
    await desk.with_files(photo("note", filename="note.mp4", content_type="video/mp4"))
    await desk.once()
    assert [(file.state, file.transcript) for file in await desk.files()] == [("here", text)]


async def test_without_a_program_nobody_waits_for_one(make: Any) -> None:
    desk = make()
    await desk.with_files(voice())
    await desk.once()
    assert [(file.state, file.transcript) for file in await desk.files()] == [("here", None)]
    assert [row.state for row in await desk.media()] == ["here"]


@pytest.mark.parametrize(("code", "reason"), [(FAILS, "the program ended with 3"), (SILENT, "nothing is said in it")])
async def test_what_cannot_be_written_down_is_said_once(
    make: Any, tmp_path: Path, clock: FrozenClock, code: str, reason: str
) -> None:
    desk = make(**listening(tmp_path, code, attempts=2))
    filed = await desk.with_files(voice())
    for _ in range(3):
        await desk.once()
        clock.forward(timedelta(minutes=10))
    (event,) = await desk.data(filed.ticket_id, "transcript")
    assert event["failed"] == reason
    assert [(row.state, row.detail) for row in await desk.media()] == [("here", reason)]
    assert [(file.state, file.transcript) for file in await desk.files()] == [("here", None)]


async def test_routing_hears_what_is_said(make: Any, tmp_path: Path, routing: Policy) -> None:
    desk = make(routing, lines={"L2": {"recipients": ["l2@staff.example"]}}, **listening(tmp_path, SAYS))
    filed = await desk.with_files(voice(), text="[voice message, 0:34]")
    await desk.once()
    ticket = await desk.ticket(filed.ticket_id)
    assert (ticket.class_, ticket.line) == (2, "L2")
    assert any(reason["cause"] == "rule:server" for reason in ticket.because)
    assert (await desk.data(filed.ticket_id, "class"))[0]["reason"] == "the transcript"
    assert "l2@staff.example" in [row.recipient for row in await desk.outbox()]


async def test_what_staff_decided_stays(make: Any, tmp_path: Path, routing: Policy) -> None:
    desk = make(routing, **listening(tmp_path, SAYS))
    filed = await desk.with_files(voice(), text="[voice message, 0:34]")
    now = desk.clock()
    await desk.do(
        lambda conn: desk_fields.set_class(conn, desk.ctx, filed.ticket_id, actor="agent:olena", now=now, class_=6)
    )
    await desk.once()
    ticket = await desk.ticket(filed.ticket_id)
    assert (ticket.class_, ticket.line) == (6, "L1")
    assert (await desk.files())[0].transcript


async def test_a_voice_message_in_a_ticket_that_is_under_way_decides_nothing(
    make: Any, tmp_path: Path, routing: Policy
) -> None:
    desk = make(routing, **listening(tmp_path, SAYS))
    first = await desk.mail(text="Печать", message_id="one@client.example", trust="verified")
    answer = said(text="[voice]", thread_keys=["message_id:one@client.example"], trust="verified")
    event = replace(answer, attachments=(voice(),))
    filed = await desk.receive(event)
    assert filed.ticket_id == first.ticket_id
    await desk.once()
    assert (await desk.files())[0].transcript
    assert (await desk.ticket(first.ticket_id)).class_ is None


async def test_a_server_that_stops_kills_the_program_and_listens_again(make: Any, tmp_path: Path) -> None:
    note = tmp_path / "child.pid"
    code = HANGS.replace("sys.argv[1]", repr(str(note)))
    desk = make(**listening(tmp_path, code))
    await desk.with_files(voice())
    stop = asyncio.Event()
    running = asyncio.create_task(desk.loop.run(stop))
    await seen(lambda: note.exists() and note.read_text(encoding="ascii"), what="the program's child")
    stop.set()
    await asyncio.wait_for(running, PATIENCE)
    assert await gone(int(note.read_text(encoding="ascii")))
    assert [row.state for row in await desk.media()] == ["waiting"]
    (tmp_path / "program.py").write_text(SAYS, encoding="utf-8")
    desk.loop = desk.fetching()
    await desk.once()
    assert (await desk.files())[0].transcript
