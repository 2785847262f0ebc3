"""SIGKILL in every step of a telephone call, and at random moments while many call: who calls goes on or calls again,
each call leaves one ticket or its reason, and no recording that we were told of is lost or kept twice."""

from __future__ import annotations

import asyncio
import json
import random
import re
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import chain, product, repeat
from pathlib import Path

import pytest

from gateway.demo.twilio_api import (
    Call,
    Leave,
    Manner,
    Network,
    Person,
    Press,
    Silent,
    Talk,
    Telephony,
    Told,
    TwilioApi,
)
from gateway.dialogs.ivr import spoken
from gateway.store.failpoints import ACCEPTING, CALLING, FILING
from tests.chaos.door import Door
from tests.chaos.test_kill import LONGEST, PATIENCE, Server, query, settled
from tests.twilio.provider import OURS, SID, TOKEN

POINTS = (*CALLING, *CALLING, "before-commit", "after-commit", *(point for point in FILING if point not in ACCEPTING))
CALLERS = 5
PER_ROUND = 2.0
"""Seconds that a round lasts at most before the gateway is killed."""
AT_A_POINT = 20.0
STEPS = 5
"""Requests of a call in which a problem is told: its beginning, two keys, a recording, a key."""
LANGUAGE, MENU, TONE, BACK = "Українська мова", "Повідомити про проблему", "сигналу", "Передзвонити на цей номер"
TALKS = Talk(seconds=7, key="#")
KNOWS = ((BACK, Press(keys="1")), (TONE, TALKS), (LANGUAGE, Press(keys="1")), (MENU, Press(keys="2")))
"""What is asked last comes first: one document may say two of them."""
WAYS: dict[str, Person] = {
    "told": Person(knows=KNOWS),
    "told and hung up": Person(knows=(KNOWS[0], (TONE, replace(TALKS, leaves=True)), *KNOWS[2:])),
    "nothing pressed": Person(knows=((TONE, TALKS),)),
    "hung up in the menu": Person(knows=((MENU, Leave(1.0)), *KNOWS[2:])),
    "hung up at the tone": Person(knows=((TONE, Leave()), *KNOWS[2:])),
    "nothing said": Person(knows=((TONE, Silent()), *KNOWS[2:])),
}
_NUMBER = re.compile(r"заявки: ([0-9 ,]+)\.")


@dataclass
class Provider:
    """Twilio's side, and the address that it knows us by."""

    telephony: Telephony
    door: Door
    server: Server
    called: list[Call] = field(default_factory=list)

    async def start(self, *point: str) -> None:
        await self.server.start(*point)
        if self.server.site:
            self.door.leads_to(self.server.site)

    async def ended(self, within: float) -> bool:
        """The gateway came to its end by itself."""
        assert self.server.process is not None
        try:
            code = await asyncio.wait_for(self.server.process.wait(), within)
        except TimeoutError:
            return False
        assert code == -signal.SIGKILL, self.server.log()
        self.door.shut()
        return True

    async def stop(self) -> None:
        self.door.shut()
        await self.server.stop()

    async def kill(self) -> None:
        self.door.shut()
        if self.server.process is not None:
            await self.server.kill()

    async def call(self, person: Person, number: str, manner: Manner | None = None) -> Call:
        call = await self.telephony.call(person, sender=number, to=OURS, manner=manner)
        self.called.append(call)
        return call


@asynccontextmanager
async def provider(var: Path) -> AsyncIterator[Provider]:
    telephony = Telephony(network=Network(account_sid=SID, token=TOKEN, timeout=40.0, pause=0.1))
    telephony.recordings.missing = 1
    async with TwilioApi(telephony.network, more=telephony.routes()).running() as api, Door().opened() as door:
        telephony.recordings.api_url = api.url
        url = f"{door.url}/channels/voice/main"
        telephony.number(OURS, url, fallback=f"{url}#rc=3&rp=all", status_url=f"{url}/status#rc=3&rp=all")
        account = "GATEWAY__CHANNELS__VOICE__MAIN__"
        said = {
            "ACCOUNT_SID": SID,
            "AUTH_TOKEN": "env:STANDIN_TOKEN",
            "NUMBERS": json.dumps([OURS]),
            "API_URL": api.url,
        }
        environment = {
            "STANDIN_TOKEN": TOKEN, "GATEWAY__HTTP__PUBLIC_URL": door.url, "GATEWAY__MEDIA__BACKOFF": "1s",
            "GATEWAY__MEDIA__BACKOFF_LIMIT": "1s", **{account + key: value for key, value in said.items()},
        }  # fmt: skip
        made = Provider(telephony, door, Server(var, environment))
        try:
            yield made
        finally:
            await made.kill()


def number_of(call: Call) -> str:
    """The number that the caller was told; "": none."""
    found = _NUMBER.findall(call.words)
    assert len({*found}) <= 1, call.words
    return re.sub("[^0-9]", "", found[0]) if found else ""


@pytest.mark.timeout(1200)
async def test_who_calls_goes_on_after_a_kill_in_any_step(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    kills: int = request.config.getoption("--kills")
    every = list(product(CALLING, range(1, STEPS + 1)))
    chosen = every if kills >= 2 * len(every) else every[1 :: max(1, 2 * len(every) // kills)]
    async with provider(tmp_path) as twilio:
        for count, (point, step) in enumerate(chosen):
            await twilio.start(point, str(step))
            calling = asyncio.create_task(twilio.call(WAYS["told"], f"+38067{count:07}"))
            assert await twilio.ended(PATIENCE), f"it never came to {point} in step {step}: {twilio.server.log()}"
            await twilio.start()
            call = await calling
            assert not call.hung_up
            # The first request has no repeats of its own: it goes to the other address. All later ones have both.
            assert len(call.codes) <= 1
            assert call.words.count(spoken(number_of(call))) == 2, call.words
            await twilio.kill()
        await checked(twilio, tmp_path, Counter(ticket=len(chosen)))
    print(f"\n{len(chosen)} kills in a call: all went on, each with one ticket")


@pytest.mark.timeout(1200)
async def test_no_call_is_lost_or_doubled_by_kills(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    kills: int = request.config.getoption("--kills")
    chance, done = random.Random(20261122), asyncio.Event()
    kills = kills - min(10, kills // 2)
    async with provider(tmp_path) as twilio:
        callers = [
            asyncio.create_task(keeps_calling(twilio, number, random.Random(number), done)) for number in range(CALLERS)
        ]
        came_to = Counter[str]()
        try:
            for kill in range(kills):
                point = POINTS[kill // 2 % len(POINTS)] if kill % 2 else ""
                twilio.door.patient = chance.random() < 0.5
                await twilio.start(*((point, str(chance.randrange(1, 12))) if point else ()))
                if await twilio.ended(AT_A_POINT if point else chance.uniform(0.2, PER_ROUND)):
                    came_to[point] += 1
                else:
                    await twilio.kill()
            twilio.door.patient = True
            await twilio.start()
            done.set()
            await asyncio.wait_for(asyncio.gather(*callers), LONGEST)
            await twilio.telephony.settle()
            await checked(twilio, tmp_path)
            await twilio.stop()
        finally:
            done.set()
            await twilio.kill()
            for caller in callers:
                caller.cancel()
            await asyncio.gather(*callers, return_exceptions=True)
    mended = sum(bool(call.codes) and led(call) for call in twilio.called)
    again = sum(not led(call) for call in twilio.called)
    heard = sum(len(call.recordings) for call in twilio.called)
    print(
        f"\n{kills} kills, at points {dict(came_to)}: {len(twilio.called)} calls, {mended} went on by the other"
        f" address, {again} were cut and made again, {heard} recordings: 0 lost, 0 doubled"
    )


def led(call: Call) -> bool:
    """The call came to its end as the caller or the gateway wanted; nobody was cut off."""
    return call.hung_up or not call.codes or "побачення" in call.words


async def keeps_calling(twilio: Provider, caller: int, chance: random.Random, done: asyncio.Event) -> None:
    """Call after call; who is cut off calls again until it goes well."""
    number = 0
    while not done.is_set() or number < 2:
        number += 1
        person = WAYS[chance.choice(list(WAYS))]
        manner = Manner(
            recorded=Told(when=chance.choice(("before", "after", "end", "held")), twice=chance.random() < 0.2),
            ended=Told(when=chance.choice(("end", "held")), twice=chance.random() < 0.2),
        )
        for pause in chain((0.1, 0.5), repeat(1.0)):
            if led(await twilio.call(person, f"+38067{caller}{number:06}", manner)):
                break
            await asyncio.sleep(pause)
        await asyncio.sleep(chance.uniform(0, 0.2))


async def checked(twilio: Provider, var: Path, outcomes: Counter[str] | None = None) -> None:
    """What every call left behind, while the gateway runs or after it ended."""
    if twilio.server.process is None or twilio.server.process.returncode is not None:
        await twilio.start()
    await settled(var)
    told = {call.sid: recordings_told(call) for call in twilio.called}
    await fetched(var, sum(map(len, told.values())))
    rows = query(var, "SELECT call, ticket_id, outcome, ended_at FROM call")
    known = {str(row[0]): row for row in rows}
    assert len(known) == len(rows)
    tickets = [row[1] for row in rows if row[1] is not None]
    assert len({*tickets}) == len(tickets), "two calls with one ticket"
    assert query(var, "SELECT count(*) FROM ticket")[0][0] == len(tickets), "a call with two tickets"
    kept = Counter(row[0] for row in query(var, "SELECT recording FROM call_recording"))
    wanted = Counter(sid for sids in told.values() for sid in sids)
    assert wanted - kept == Counter(), "recordings are lost"
    assert not [sid for sid, count in kept.items() if count > 1]
    shas = query(var, "SELECT count(*) FROM attachment WHERE state = 'here'")[0][0]
    assert shas == len(kept)
    numbers = dict(query(var, "SELECT c.call, t.number FROM call c JOIN ticket t ON t.id = c.ticket_id"))
    for call in twilio.called:
        said = number_of(call)
        assert not said or str(numbers.get(call.sid)) == said, "another number was said"
        if any(asked.status and 200 <= asked.status < 300 for asked in call.told if "/status" in asked.url):
            assert known[call.sid][2] in ("ticket", "silent", "unfinished"), known[call.sid]
            assert (known[call.sid][2] == "silent") == (call.sid not in numbers), known[call.sid]
    assert not query(var, "SELECT id, error FROM entry WHERE state = 'quarantined'")
    if outcomes is not None:
        assert Counter(str(row[2]) for row in rows) == outcomes


def recordings_told(call: Call) -> set[str]:
    """Those that we answered for."""
    return {
        asked.fields["RecordingSid"]
        for asked in (*call.asked, *call.told)
        if asked.status in (200, 204) and asked.fields.get("RecordingStatus", "completed") == "completed"
        and "/status" not in asked.url and "RecordingSid" in asked.fields
    }  # fmt: skip


async def fetched(var: Path, least: int) -> None:
    ends = time.monotonic() + LONGEST
    while True:
        states = dict(query(var, "SELECT state, count(*) FROM attachment GROUP BY state"))
        if set(states) <= {"here"} and int(str(states.get("here", 0))) >= least:
            return
        assert time.monotonic() < ends, f"{states}, not {least} files"
        await asyncio.sleep(0.1)
