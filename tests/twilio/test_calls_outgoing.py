"""The stand-in's own calls: made, listed and led as the service does, by its documents."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from gateway.demo.twilio_api import Manner, Person, Press, Rings, Told
from tests.twilio.provider import ANNA, OURS, SID, TOKEN
from tests.twilio.twiml_desk import Desk, twiml_desk

ASK = '<Gather input="dtmf" action="/done" timeout="5" numDigits="1"><Say>One?</Say></Gather><Hangup/>'


class Client:
    """The API by hand."""

    def __init__(self, desk: Desk, http: aiohttp.ClientSession) -> None:
        self.desk, self._http = desk, http
        self._url = f"{desk.api.url}/2010-04-01/Accounts/{SID}/Calls.json"

    async def create(self, **fields: Any) -> tuple[int, Mapping[str, Any]]:
        said = {"To": ANNA, "From": OURS, "Url": f"{self.desk.url}/begin", **fields}
        async with self._http.post(self._url, data={k: v for k, v in said.items() if v is not None}) as answer:
            return answer.status, await answer.json()

    async def list(self, **filters: str) -> list[Mapping[str, Any]]:
        async with self._http.get(self._url, params=filters) as answer:
            found: list[Mapping[str, Any]] = (await answer.json())["calls"]
            return found

    async def over(self, count: int = 1) -> None:
        made = self.desk.api.outgoing.made
        await self.desk.api.until(lambda: sum(one.ended is not None for one in made) >= count)


@asynccontextmanager
async def client(**rings: Rings) -> AsyncIterator[Client]:
    async with (
        twiml_desk(begin=ASK, done="<Hangup/>") as desk,
        aiohttp.ClientSession(headers={"Authorization": aiohttp.encode_basic_auth(SID, TOKEN)}) as http,
    ):
        desk.api.numbers = {OURS}
        if rings:
            desk.api.outgoing.telephones[ANNA] = list(rings.values())
        yield Client(desk, http)


def told(desk: Desk) -> list[dict[str, str]]:
    return desk.fields("/told")


async def test_a_person_is_led_by_the_documents_and_the_end_is_told() -> None:
    async with client(one=Rings(answers="person", person=Person(doings=(Press(keys="4"),)))) as api:
        status, made = await api.create(StatusCallback=f"{api.desk.url}/told", MachineDetection="Enable")
        assert (status, made["status"], made["direction"], made["start_time"]) == (201, "queued", "outbound-api", None)
        await api.over()
        begun, done = api.desk.fields("/begin")[0], api.desk.fields("/done")[0]
        assert (begun["CallSid"], begun["Direction"], begun["AnsweredBy"]) == (made["sid"], "outbound-api", "human")
        assert (begun["To"], begun["From"], begun["CallStatus"], done["Digits"]) == (ANNA, OURS, "in-progress", "4")
        (end,) = told(api.desk)
        assert (end["CallStatus"], end["CallSid"], end["AnsweredBy"]) == ("completed", made["sid"], "human")
        assert (await api.list())[0]["status"] == "completed"


@pytest.mark.parametrize("answers", ["busy", "no-answer", "failed", "canceled"])
async def test_who_does_not_answer_is_asked_nothing(answers: Any) -> None:
    async with client(one=Rings(answers=answers, manner=Manner(ended=Told(twice=True)))) as api:
        await api.create(StatusCallback=f"{api.desk.url}/told", StatusCallbackEvent="completed")
        await api.over()
        assert [one["CallStatus"] for one in told(api.desk)] == [answers, answers]
        assert api.desk.fields("/begin") == []


async def test_a_machine_is_named_only_where_it_was_to_be_found_out() -> None:
    async with client(one=Rings(answers="machine"), two=Rings(answers="machine"), three=Rings(answers="fax")) as api:
        for more in ({"MachineDetection": "Enable"}, {}, {"MachineDetection": "Enable"}):
            await api.create(**more)
            await api.over(len(api.desk.api.outgoing.made))
        found = [one.get("AnsweredBy", "") for one in api.desk.fields("/begin")]
        assert found == ["machine_start", "", "fax"]
        # Nobody is told of an end that was not asked for.
        assert told(api.desk) == []


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"To": None}, 21201), ({"From": None}, 21213), ({"To": "12"}, 21211), ({"From": "12"}, 21212),
        ({"From": "+380449999999"}, 21210), ({"Url": "ftp://x"}, 21205), ({"StatusCallback": "x"}, 21609),
        ({"StatusCallbackEvent": "never"}, 21626), ({"Timeout": "0"}, 20001), ({"Timeout": "601"}, 20001),
        ({"MachineDetection": "true"}, 20001), ({"TimeLimit": "x"}, 20001), ({"Colour": "red"}, 20001),
        ({"To": "+380670000007"}, 21211), ({"To": "+79000000000"}, 21215), ({"To": "+380670000008"}, 21216),
    ],
)  # fmt: skip
async def test_what_is_not_as_documented_is_refused_with_its_code(fields: dict[str, Any], code: int) -> None:
    async with client() as api:
        people = api.desk.api.people
        people.missing.add("+380670000007")
        people.refused_calls.add("+380670000008")
        people.refused_prefixes.add("+7")
        status, answer = await api.create(**fields)
        assert (status, answer["code"]) == (400, code)
        assert api.desk.api.outgoing.made == []
        api.desk.api.complaints.clear()


async def test_the_list_has_the_newest_first_and_its_filters() -> None:
    async with client(one=Rings(answers="busy"), two=Rings(wait=True)) as api:
        _, first = await api.create()
        await api.over()
        _, second = await api.create()
        assert [one["sid"] for one in await api.list()] == [second["sid"], first["sid"]]
        assert [one["sid"] for one in await api.list(Status="busy")] == [first["sid"]]
        assert [one["sid"] for one in await api.list(PageSize="1")] == [second["sid"]]
        assert await api.list(To="+380670000009") == [] and len(await api.list(To=ANNA, From=OURS)) == 2
        # What is not dialled yet has no such time.
        day = first["date_created"]
        assert day
        assert [one["sid"] for one in await api.list(**{"StartTime>": "2026-01-01"})] == [first["sid"]]
        assert await api.list(**{"StartTime<": "2026-01-01"}) == []
        api.desk.api.outgoing.go_on.set()
        await api.over(2)
