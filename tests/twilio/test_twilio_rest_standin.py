"""The stand-in of the REST API does what the documentation says, and goes wrong by plan."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from gateway.demo.twilio_api import NEVER, Fault, Network, Reports, TwilioApi
from tests.twilio.provider import ANNA, OURS, SID, TOKEN
from tests.twilio.standin import standin

GOOD = {"To": ANNA, "From": OURS, "Body": "Здравствуйте!"}


async def asked(api: TwilioApi, method: str = "POST", what: str = "/Messages.json", token: str = TOKEN,
                **said: str) -> tuple[int, Any]:  # fmt: skip
    headers = {"Authorization": "Basic " + base64.b64encode(f"{SID}:{token}".encode()).decode()}
    place = "data" if method == "POST" else "params"
    more: dict[str, Any] = {place: said, "headers": headers}
    async with (
        aiohttp.ClientSession() as http,
        http.request(method, f"{api.url}/2010-04-01/Accounts/{SID}{what}", **more) as got,
    ):
        return got.status, await got.json()


async def test_a_message_is_made_fetched_and_listed() -> None:
    async with standin() as api:
        status, made = await asked(api, **GOOD)
        assert (status, made["status"], made["direction"], made["date_sent"]) == (201, "queued", "outbound-api", None)
        assert (made["to"], made["from"], made["body"]) == (ANNA, OURS, GOOD["Body"])
        _, fetched = await asked(api, "GET", f"/Messages/{made['sid']}.json")
        assert fetched["sid"] == made["sid"]
        _, listed = await asked(api, "GET", To=ANNA, From=OURS)
        assert [one["sid"] for one in listed["messages"]] == [made["sid"]]
        assert (await asked(api, "GET", "/Messages/SM0.json"))[0] == 404


async def test_a_list_has_pages_the_newest_first_and_days() -> None:
    now = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)
    network = Network(account_sid=SID, token=TOKEN, clock=lambda: now)
    async with standin(network) as api:
        old = network.message("Вчера", sender=ANNA, to=OURS)["MessageSid"]
        now += timedelta(days=1)
        new = [network.message(f"{number}", sender=ANNA, to=OURS)["MessageSid"] for number in range(5)]
        found, what, more = [], "/Messages.json", {"To": OURS, "DateSent>": "2026-05-05", "PageSize": "2"}
        while what:
            _, page = await asked(api, "GET", what, **more)
            found += [one["sid"] for one in page["messages"]]
            more, what = {}, (page["next_page_uri"] or "").removeprefix(f"/2010-04-01/Accounts/{SID}")
        assert found == new[::-1]
        _, page = await asked(api, "GET", **{"DateSent": "2026-05-04"})
        assert [one["sid"] for one in page["messages"]] == [old]
        assert page["messages"][0]["direction"] == "inbound"
        _, page = await asked(api, "GET", **{"DateSent<": "2026-05-04", "From": ANNA})
        assert [one["sid"] for one in page["messages"]] == [old]
        # What waits in the queue was not sent on any day.
        api.report(NEVER)
        await asked(api, **GOOD)
        assert (await asked(api, "GET", To=ANNA, **{"DateSent>": "2026-05-01"}))[1]["messages"] == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"To": ""}, 21604), ({"To": "Anna"}, 21211), ({"From": ""}, 21603), ({"From": "+380440000099"}, 21606),
        ({"Body": ""}, 21619), ({"Body": "я" * 1601}, 21617), ({"StatusCallback": "http://a_b.example/"}, 21609),
        ({"ValidityPeriod": "36001"}, 21626), ({"From": f"whatsapp:{OURS}"}, 21910), ({"ContentSid": "X"}, 21655),
        ({"ContentVariables": "{}"}, 21656), ({"To": "+380440000002"}, 21614), ({"To": "+380440000003"}, 21610),
        ({"To": "+79110000001"}, 21408), ({"SmartEncoded": "maybe"}, 20001),
    ],
)  # fmt: skip
async def test_what_is_not_taken_has_its_code(change: dict[str, str], code: int) -> None:
    async with standin() as api:
        api.people.landlines.add("+380440000002")
        api.people.stopped.add((OURS, "+380440000003"))
        api.people.refused_prefixes.add("+7")
        status, said = await asked(api, **{**GOOD, **change})
        assert (status, said["code"]) == (400, code)
        assert api.sent == []


async def test_an_unknown_parameter_is_refused_and_remembered() -> None:
    api = TwilioApi(Network(account_sid=SID, token=TOKEN))
    async with api.running():
        assert (await asked(api, Text="?", **GOOD))[0] == 400
        assert (await asked(api, "GET", DateSentAfter="2026-05-04"))[0] == 400
    assert api.complaints == ["create: no parameter Text", "list: no parameter DateSentAfter"]


async def test_another_token_is_refused() -> None:
    async with standin() as api:
        assert await asked(api, token="another", **GOOD) == (
            401,
            {
                "code": 20003,
                "message": "Authenticate",
                "more_info": "https://www.twilio.com/docs/errors/20003",
                "status": 401,
            },
        )


async def test_it_goes_wrong_by_plan() -> None:
    async with standin() as api:
        api.plan(Fault(kind="too_many"), Fault(kind="server"), Fault(kind="error", code=30001, on="create"))
        assert [(await asked(api, **GOOD))[0] for _ in range(3)] == [429, 500, 400]
        for kind in ("html", "empty", "reset", "lost", "half"):
            api.plan(Fault(kind=kind))  # type: ignore[arg-type]
            with pytest.raises(aiohttp.ClientError):
                await asked(api, **GOOD)
        assert len(api.sent) == 2


async def test_states_are_told_as_planned(nobody: str) -> None:
    async with standin() as api:
        callback = f"{nobody}/"
        api.report(Reports(states=("delivered", "sent"), twice=True), Reports(early=True), Reports(late=True), NEVER)
        for _ in range(4):
            await asked(api, StatusCallback=callback, **GOOD)
        await api.until(lambda: len(api.reporter.told) == 6)
        told = [(sid, state) for sid, state, _ in api.reporter.told]
        first, second, third, _ = (one.sid for one in api.sent)
        assert [state for sid, state in told if sid == first] == ["delivered", "delivered", "sent", "sent"]
        assert [state for sid, state in told if sid == second] == ["sent", "delivered"]
        api.go_on()
        await api.until(lambda: len(api.reporter.told) == 8)
        assert {sid for sid, _, _ in api.reporter.told[6:]} == {third}
        api.people.off.add(ANNA)
        await asked(api, StatusCallback=callback, **GOOD)
        await api.until(lambda: api.sent[-1].status == "undelivered")
        assert api.sent[-1].error == "30003"
