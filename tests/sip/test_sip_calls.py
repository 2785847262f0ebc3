"""Real calls by SIP and RTP, made by another stack: keys, recordings, the number, a mark, and whatever goes wrong."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

import aiohttp
import pytest

from tests.mailboxes.desk import until
from tests.services.ports import free_port
from tests.services.sipp import Doing, Ends, HangUp, Press, Refused, Speak, Transferred, Wait, tone
from tests.sip.desk import ANNA, BORIS, Telephone, telephone, telephones

# SIPp sends tones through a raw socket.
pytestmark = [pytest.mark.services("sipp", "espeak-ng"), pytest.mark.as_root]
TALK = 5.5
"""Seconds; a recording of ten is the longest."""
ALONE = "<sip:anonymous@anonymous.invalid>"


def reports(voice: Path, *then: Doing) -> tuple[Doing, ...]:
    """Somebody says what is wrong, for so long that a busy machine hears it, too."""
    return (Press(key="2"), Wait(seconds=1.2), Speak(file=voice, seconds=TALK), *then)


async def resolve(phone: Telephone, number: str) -> None:
    allowed = {"Authorization": f"Bearer {(phone.folder / 'var' / 'token').read_text().strip()}"}
    url = f"http://{phone.gateway.listening['http']}/api/v1/tickets/{number}/resolve"
    async with aiohttp.ClientSession(headers=allowed) as http, http.post(url, json={"result": "done"}) as done:
        assert done.status < 300


async def test_who_reports_a_problem_hears_the_number_and_rates_in_the_next_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    voice = tone(tmp_path / "voice.alaw", 90.0)
    async with telephone(tmp_path, monkeypatch) as phone:
        store = phone.gateway.store
        await phone.call(*reports(voice, Press(key="#"), Wait(seconds=4), Press(key="1"), Ends()))
        await phone.until_outcomes("ticket")
        await phone.gateway.tickets(1)
        number = store.one("SELECT number FROM ticket")
        assert -1 not in phone.spoken(number + number)
        assert "call_back" in [row[0] for row in store.rows("SELECT kind FROM event")]
        await phone.gateway.until(lambda: store.rows("SELECT 1 FROM attachment WHERE state = 'here'"), "the recording")
        kept = phone.folder / "var" / "blobs"
        sha = store.one("SELECT sha256 FROM attachment")
        assert [path.read_bytes()[:4] for path in kept.rglob(f"{sha}*")] == [b"RIFF"]
        assert store.rows("SELECT filename, content_type FROM attachment") == [("recording.wav", "audio/wav")]
        await resolve(phone, number)
        keyed = [Press(key=digit, info=True, wait=0.1) for digit in f"3{number}"]
        await phone.call(*keyed, Press(key="#", wait=1.5), Press(key="5", wait=1.0), Press(key="1"), Ends())
        await phone.until_outcomes("ticket", "no_ticket_needed")
        assert store.rows("SELECT score FROM rating WHERE current") == [(5,)]
        await phone.gateway.tickets(1)


async def test_calls_at_the_same_time_end_in_any_way_and_each_leaves_what_it_should(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    voice = tone(tmp_path / "voice.alaw", 90.0)
    async with telephone(tmp_path, monkeypatch) as phone:
        await asyncio.gather(
            phone.call(*reports(voice, HangUp()), sender="+380670000001"),
            phone.call(Press(key="2", wait=1.5), HangUp(), sender="+380670000002"),
            phone.call(Wait(seconds=0.5), HangUp(), sender="+380670000003"),
            phone.call(*reports(voice, Press(key="#"), Wait(seconds=2), HangUp()), sender=ALONE),
            # Who presses nothing is recorded in the end, and speaks all the time.
            phone.call(Speak(file=voice, seconds=21 + TALK), HangUp(), sender="0670000005"),
            phone.call(
                *reports(voice, HangUp()), sender=BORIS, headers=[f"P-Asserted-Identity: <sip:{ANNA}@desk.example>"]
            ),
            phone.call(
                *reports(voice, HangUp()), sender=BORIS, headers=["P-Asserted-Identity: <sip:1@x>", "Privacy: id"]
            ),
            phone.call(Refused(status=486), source="127.0.0.2"),
            phone.call(Press(key="0"), Transferred(line="SIP/2.0 200 OK"), Ends(), sender="+380670000008"),
            phone.call(
                Press(key="0"),
                Transferred(line="SIP/2.0 486 Busy Here"),
                Wait(seconds=1.2),
                Speak(file=voice, seconds=TALK),
                HangUp(),
                sender="+380670000009",
            ),
        )
        store = phone.gateway.store
        over = "SELECT count(*) FROM call WHERE ended_at IS NOT NULL"
        await phone.gateway.until(lambda: store.one(over) == 9, "the ends")
        left = dict(store.rows("SELECT caller, outcome FROM call WHERE caller NOT LIKE 'hidden:%'"))
        assert left == {
            "+380670000001": "ticket", "+380670000002": "unfinished", "+380670000003": "silent",
            "+380670000005": "ticket", ANNA: "ticket",
            "+380670000008": "put_through", "+380670000009": "ticket",
        }  # fmt: skip
        assert store.rows("SELECT outcome FROM call WHERE caller LIKE 'hidden:%'") == [("ticket",), ("ticket",)]
        await phone.gateway.tickets(8)
        assert store.one("SELECT count(DISTINCT requester_id) FROM ticket") == 8
        heard = "SELECT count(*) FROM attachment WHERE state = 'here'"
        await phone.gateway.until(lambda: store.one(heard) == 6, "the recordings")
        assert [json.loads(row[0])["source"] for row in store.rows("SELECT headers FROM unverified")] == ["127.0.0.2"]


def rings(address: str) -> bool:
    """Whether somebody listens there (proc(5): /proc/net/udp)."""
    port = f":{int(address.rpartition(':')[2]):04X}"
    lines = Path("/proc/net/udp").read_text(encoding="ascii").splitlines()[1:]
    return any(line.split()[1].endswith(port) for line in lines)


async def test_the_death_of_the_stack_costs_no_word_that_was_said_and_the_next_call_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    voice = tone(tmp_path / "voice.alaw", 90.0)
    async with telephone(tmp_path, monkeypatch, port=free_port(), longest_call="12s") as phone:
        store = phone.gateway.store
        cut = asyncio.create_task(phone.call(*reports(voice, Wait(seconds=30), HangUp())))
        folder = phone.folder / "var" / "voice" / "main"
        await phone.gateway.until(
            lambda: [path for path in folder.glob("*.part") if path.stat().st_size > 20_000], "a recording"
        )
        for pid in telephones():
            os.kill(pid, signal.SIGSEGV)
        await phone.gateway.tickets(1)
        await phone.until_outcomes("ticket")
        cut.cancel()
        await phone.gateway.until(lambda: store.rows("SELECT 1 FROM attachment WHERE state = 'here'"), "the recording")
        assert store.one("SELECT size FROM attachment") > 16_000
        await until(lambda: rings(phone.address), "the next telephone")
        await phone.call(Wait(seconds=0.3), HangUp(), sender=BORIS)
        await phone.until_outcomes("ticket", "silent")
