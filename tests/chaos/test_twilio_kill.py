"""SIGKILL while text messages come, files are fetched and answers go out: none is lost, none is doubled.

Twilio repeats no webhook here that was not answered, as by default: what we were down for, only its list has.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from gateway.demo.twilio_api import Network, Reports, TwilioApi
from gateway.demo.twilio_api.attached import Attached
from gateway.demo.twilio_api.media import MediaHost
from gateway.store.failpoints import FETCHING, NAMES
from tests.chaos.test_kill import ENOUGH, LONGEST, Server, query, settled
from tests.twilio.provider import OURS, SID, TOKEN

POINTS = (*NAMES, *FETCHING)
"""Between every two steps of what is promised."""
PER_ROUND = 2.5
"""Seconds that a round lasts at most before the gateway is killed."""
AT_A_POINT = 20.0
"""Seconds that it gets to come to a point at which it kills itself."""
PEOPLE = 200
RARE = ("blob-", "media-")
"""Beginnings of points that only few messages pass: the first pass counts."""
OPERATIONS = {
    "messages": "SELECT count(*) FROM entry WHERE format = 'twilio_message/1'",
    "reports": "SELECT count(*) FROM entry WHERE format = 'twilio_status/1'",
    "files": "SELECT count(*) FROM attachment WHERE state = 'here'",
}


@dataclass
class Written:
    """What people sent."""

    words: dict[str, str] = field(default_factory=dict)
    """SID -> SHA-256 of the words."""
    files: dict[str, str] = field(default_factory=dict)
    """SID -> SHA-256 of the file."""
    taken: set[str] = field(default_factory=set)
    """SIDs whose webhook was answered with 2xx."""


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


async def write(
    network: Network, attached: Attached, url: str, chance: random.Random, done: asyncio.Event, written: Written
) -> None:
    """People write until `done`; a webhook is tried once, or as its address says."""
    number = 0
    while not done.is_set() or number <= ENOUGH:
        number += 1
        size = 50_000 if chance.random() < 0.05 else chance.randrange(10, 500)
        text, sender = f"{number} " + "Сервер не відповідає. " * (size // 20), f"+38067{chance.randrange(PEOPLE):07}"
        more = {}
        sid = network.new_sid("SM")
        if chance.random() < 0.1:
            content = b"\xff\xd8\xff" + chance.randbytes(chance.randrange(10, 400_000))
            more, written.files[sid] = attached.files(url, sid, (content, "image/jpeg")), digest(content)
        said = network.message(text[:1600] if size < 1000 else text, sender=sender, to=OURS, sid=sid, **more)
        # Lists leave out what is younger than two minutes: it was sent earlier than it came.
        network.dates[sid] -= timedelta(minutes=10)
        written.words[sid] = digest(said["Body"].encode())
        network.plan += ["lost"] if chance.random() < 0.05 else ["twice"] if chance.random() < 0.05 else []
        if await network.bring(said):
            written.taken.add(sid)
        await asyncio.sleep(chance.uniform(0, 0.3))


def environment(api: TwilioApi) -> dict[str, str]:
    account = "GATEWAY__CHANNELS__SMS__MAIN__"
    told = {
        "ACCOUNT_SID": SID, "AUTH_TOKEN": "env:STANDIN_TOKEN", "NUMBERS": json.dumps([OURS]), "API_URL": api.url,
        "RECONCILE": "1m", "DAILY_LIMIT": "1000000", "OUTBOUND": "on",
    }  # fmt: skip
    fetching = {"GATEWAY__MEDIA__BACKOFF": "1s", "GATEWAY__MEDIA__BACKOFF_LIMIT": "1s"}
    return {"STANDIN_TOKEN": TOKEN, **fetching} | {account + key: said for key, said in told.items()}


async def killed(server: Server, network: Network, kills: int, chance: random.Random) -> set[str]:
    """Start it and kill it so often, in turns at a random moment and at the next point. The points that it came to.

    One that it did not come to has another turn.
    """
    came_to, points = set[str](), deque(chance.sample(POINTS, len(POINTS)))
    for kill in range(kills):
        point = points[0] if kill % 2 else ""
        passes = 1 if point.startswith(RARE) else chance.randrange(1, 30)
        await server.start(*((point, str(passes)) if point else ()))
        network.number(OURS, f"{server.site}/channels/sms/main")
        assert server.process is not None
        try:
            await asyncio.wait_for(server.process.wait(), AT_A_POINT if point else chance.uniform(0.2, PER_ROUND))
            came_to.add(point)
            points.rotate(-1 if point else 0)
        except TimeoutError:
            await (server.stop() if kill % 4 == 2 else server.kill())
    return came_to


@pytest.mark.timeout(1200)
async def test_no_text_message_is_lost_or_doubled_by_kills(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    kills: int = request.config.getoption("--kills")
    chance, done, written = random.Random(20261122), asyncio.Event(), Written()
    network = Network(account_sid=SID, token=TOKEN, timeout=5.0)
    network.number(OURS, "http://127.0.0.1:9/channels/sms/main")  # nobody listens there yet
    async with MediaHost().opened() as host:
        attached = Attached(network, host)
        async with TwilioApi(network, more=attached.routes()).running() as api:
            api.reporter.usual = Reports(states=("sent", "delivered"), twice=True)
            server = Server(tmp_path, environment(api))
            writing = asyncio.create_task(write(network, attached, api.url, chance, done, written))
            try:
                came_to = await killed(server, network, kills, chance)
                done.set()
                await writing
                await server.start()
                network.number(OURS, f"{server.site}/channels/sms/main")
                await everything(tmp_path, written)
                await settled(tmp_path)
                await server.stop()
            finally:
                done.set()
                await asyncio.gather(writing, return_exceptions=True)
                if server.process is not None and server.process.returncode is None:
                    await server.kill()
            assert api.complaints == []
            answers = Counter((one.to, one.body) for one in api.sent)
            listed = api.count("list")
    assert kills < 2 * len(POINTS) or came_to >= {*POINTS}, f"never killed at {sorted({*POINTS} - came_to)}"
    verify(tmp_path, written)
    verify_answers(tmp_path, answers)
    found = {name: query(tmp_path, sql)[0][0] for name, sql in OPERATIONS.items()}
    missed = len(written.words) - len(written.taken)
    print(
        f"\n{kills} kills, {len(came_to)} points: {len(written.words)} messages, {missed} of them without an answer to"
        f" Twilio, {len(written.files)} with files, {sum(answers.values())} answers, {listed} pages of lists, {found}:"
        " 0 lost, 0 doubled"
    )


async def everything(var: Path, written: Written) -> None:
    """All messages are there, and their files."""
    wanted, ends = (len(written.words), 0, len(written.files)), time.monotonic() + LONGEST
    while True:
        known = query(var, "SELECT count(*) FROM entry WHERE format = 'twilio_message/1'")[0][0]
        pending = query(var, "SELECT count(*) FROM entry WHERE state = 'pending'")[0][0]
        here = query(var, "SELECT count(*) FROM attachment WHERE state = 'here'")[0][0]
        if (known, pending, here) == wanted:
            return
        assert isinstance(known, int)
        assert known <= len(written.words), "more messages than were sent"
        states = query(var, "SELECT id, state FROM attachment WHERE state <> 'here' LIMIT 5")
        assert time.monotonic() < ends, f"messages, pending, files: {(known, pending, here)}, not {wanted}; {states}"
        await asyncio.sleep(0.1)


def verify(var: Path, written: Written) -> None:
    assert len(written.words) > ENOUGH, "the test sent too little to mean anything"
    assert len(written.taken) < len(written.words), "nothing came while the gateway was down"
    rows = query(
        var,
        "SELECT e.external_id, r.content, e.blob, e.sha256, e.id FROM entry e LEFT JOIN raw r ON r.entry_id = e.id"
        " WHERE e.format = 'twilio_message/1'",
    )
    kept = Counter(str(row[0]) for row in rows)
    lost = [sid for sid in written.words if not kept[sid]]
    assert not lost, f"{len(lost)} of {len(written.words)} are lost"
    assert max(kept.values()) == 1, "kept twice"
    for sid, content, blob, sha256, _ in rows:
        body = content if isinstance(content, bytes) else stored(var, str(blob))
        assert digest(body) == sha256
        assert digest(parse_qs(body.decode())["Body"][0].encode()) == written.words[str(sid)]
    filed = Counter(row[0] for row in query(var, "SELECT sha256 FROM message WHERE direction = 'in' AND current"))
    wrong = [row[0] for row in rows if filed[row[3]] != 1]
    assert not wrong, f"{len(wrong)} stand in no ticket, or twice: {wrong[:5]}"
    found = query(
        var,
        "SELECT e.external_id, a.sha256 FROM attachment a JOIN message m ON a.message_id = m.id"
        " JOIN entry e ON m.entry_id = e.id",
    )
    assert dict(found) == written.files
    assert len(found) == len(written.files)


def stored(var: Path, blob: str) -> bytes:
    return next((var / "blobs").rglob(blob)).read_bytes()


def verify_answers(var: Path, answers: Counter[tuple[str, str]]) -> None:
    """Nobody got the same twice, and what the gateway takes for sent was sent."""
    assert answers, "nothing was answered"
    doubled = [key for key, count in answers.items() if count > 1]
    assert not doubled, f"answered twice: {doubled[:5]}"
    sent = query(var, "SELECT count(*) FROM outbox WHERE channel = 'sms' AND state = 'sent'")[0][0]
    unsure = query(var, "SELECT count(*) FROM outbox WHERE channel = 'sms' AND state = 'unknown'")[0][0]
    assert isinstance(sent, int)
    assert isinstance(unsure, int)
    assert sent <= sum(answers.values()) <= sent + unsure
