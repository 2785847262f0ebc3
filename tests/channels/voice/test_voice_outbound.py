"""Calls by the REST API: whom, from which number, led from where, and whether one was made when nobody knows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from channels.contract import CannotTell, Prober, Sender, Watched
from channels.registry import CHANNELS
from channels.twilio.outbound import Line
from channels.voice.outbound import CallProber, CallSender
from channels.voice.webhook import REPEATED
from gateway.demo.twilio_api import Fault, Network, Rings, TwilioApi
from gateway.demo.twilio_api.rest import Kind
from normalizer.message import RATING_CALL, Address, Delivery, Notice, Receipt
from normalizer.message import Fault as Whose
from tests.twilio.provider import ACCOUNT, ANSWERED, OURS, SID, TOKEN
from tests.twilio.standin import standin

ANNA, SECOND = "+380442000001", "+380440000002"
PUBLIC = "https://intake.desk.example"


def present() -> datetime:
    return datetime.now(UTC)


def notice(**otherwise: Any) -> Notice:
    made = Notice(
        id=7, channel="voice", account="main", recipient=Address(address=ANNA), kind=RATING_CALL, language="uk",
        text="Вітаємо!", created_at=present(), destination={"to": ANNA, "from": OURS},
    )  # fmt: skip
    return replace(made, **otherwise)


class Desk:
    """The account's sender and prober, and the API."""

    def __init__(self, api: TwilioApi, *, url: str = "", public_url: str = PUBLIC, **said: Any) -> None:
        told = {**ACCOUNT, "numbers": [OURS, SECOND], "api_url": url or api.url, **said}
        account: Any = CHANNELS["voice"].settings.model_validate(told)
        line, self.api, self.now = Line(account, TOKEN), api, present
        self.waits: list[float] = []
        self.sender = CallSender("main", account, line, public_url=public_url, clock=lambda: self.now())
        self.prober = CallProber("main", account, line, clock=lambda: self.now(), sleep=self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    async def send(self, what: Notice) -> Receipt:
        return await asyncio.wait_for(self.sender.send(what), ANSWERED)


@asynccontextmanager
async def desk(**said: Any) -> AsyncIterator[Desk]:
    async with standin(numbers=(OURS, SECOND)) as api:
        api.outgoing.telephones[ANNA] = [Rings(wait=True)]
        yield Desk(api, **said)


async def test_a_call_says_whom_from_where_and_what_it_is_led_by() -> None:
    async with desk() as one:
        sender: Sender = one.sender
        prober: Prober = one.prober
        assert isinstance(sender, Watched) and prober is one.prober
        receipt = await one.send(notice())
        (made,) = one.api.outgoing.made
        assert made.asked == {
            "To": ANNA, "From": OURS, "Url": f"{PUBLIC}/channels/voice/main?o=7{REPEATED}", "Method": "POST",
            "StatusCallback": f"{PUBLIC}/channels/voice/main/status?o=7{REPEATED}", "StatusCallbackMethod": "POST",
            "StatusCallbackEvent": "completed", "Timeout": "30", "TimeLimit": "300", "MachineDetection": "Enable",
        }  # fmt: skip
        ids = (f"voice:main:{made.sid}",)
        assert receipt == Receipt(delivery=Delivery.SENT, external_ids=ids, detail="queued at Twilio")


@pytest.mark.parametrize(
    ("otherwise", "said"),
    [
        ({"kind": "acknowledgement"}, {}),
        ({"kind": "reply", "automatic": False}, {}),
        ({"act": "edit"}, {}),
        ({"recipient": Address(address="hidden:ca1")}, {}),
        ({"recipient": Address(address="+493012345678")}, {}),
        ({}, {"prefixes": ["+38067"]}),
        ({}, {"public_url": ""}),
    ],
)
async def test_nobody_is_called_for_anything_else_nor_elsewhere(
    otherwise: dict[str, Any], said: dict[str, Any]
) -> None:
    async with desk(**said) as one:
        receipt = await one.send(notice(**otherwise))
        assert (receipt.delivery, receipt.about) == (Delivery.UNREACHABLE, "channel")
        assert one.api.calls == []
        if otherwise:
            assert await one.prober.find(notice(**otherwise), present()) is None


async def test_the_call_is_from_the_number_that_they_called() -> None:
    async with desk() as one:
        for place in ({"from": SECOND}, {"from": "+380449999999"}, {}):
            await one.send(notice(destination=place))
        assert [made.asked["From"] for made in one.api.outgoing.made] == [SECOND, OURS, OURS]


@pytest.mark.parametrize(
    ("code", "status", "delivery", "about", "alarm"),
    [
        (21211, 400, Delivery.UNREACHABLE, "address", False),
        (21214, 400, Delivery.UNREACHABLE, "address", False),
        (21217, 400, Delivery.UNREACHABLE, "address", False),
        (21215, 400, Delivery.UNREACHABLE, "channel", True),
        (21216, 400, Delivery.UNREACHABLE, "channel", False),
        (21219, 400, Delivery.UNREACHABLE, "channel", True),
        (21210, 400, Delivery.UNREACHABLE, "channel", True),
        (21205, 400, Delivery.UNREACHABLE, "channel", True),
        (21220, 400, Delivery.REFUSED, "address", False),
        (10004, 429, Delivery.RETRY, "address", False),
        (20429, 429, Delivery.RETRY, "address", False),
        (20003, 401, Delivery.RETRY, "address", True),
    ],
)
async def test_each_refusal_has_its_receipt_and_none_is_in_doubt(
    code: int, status: int, delivery: Delivery, about: str, alarm: bool
) -> None:
    async with desk() as one:
        one.api.plan(Fault(kind="error", on="call", status=status, code=code))
        receipt = await one.send(notice())
        assert (receipt.delivery, receipt.about, receipt.uncertain) == (delivery, about, False)
        assert bool(await one.sender.troubles()) == alarm
        assert one.api.outgoing.made == []
        await one.send(notice())
        later = present() + timedelta(hours=2)
        one.now = lambda: later
        assert await one.sender.troubles() == {}


@pytest.mark.parametrize(
    ("kind", "made"),
    [("server", False), ("html", False), ("empty", False), ("reset", False), ("never", False), ("lost", True),
     ("half", True), ("mute", True), ("broken", True)],
)  # fmt: skip
async def test_what_breaks_on_the_way_is_in_doubt_and_the_list_tells(kind: Kind, made: bool) -> None:
    # Only who is never answered waits for the end of it. A call that is made takes longer than a machine stands still.
    more = {"never": {"timeout": "1s"}, "mute": {"timeout": "12s"}}.get(kind, {})
    async with desk() as one:
        one.api.plan(Fault(kind=kind, on="call"))
        begun = present()
        receipt = await Desk(one.api, **more).send(notice())
        assert receipt.delivery is Delivery.RETRY and receipt.uncertain
        found = await one.prober.find(notice(), begun if made else present())
        if made:
            (call,) = one.api.outgoing.made
            assert isinstance(found, Receipt) and found.external_ids == (f"voice:main:{call.sid}",)
        else:
            assert found is None and one.waits == [2.0]


async def test_a_call_of_before_to_others_or_from_another_number_is_not_taken_for_it() -> None:
    async with desk() as one:
        await one.send(notice())
        await one.send(notice(recipient=Address(address="+380442000009")))
        await one.send(notice(destination={"from": SECOND}))
        one.api.outgoing.made[0] = replace(one.api.outgoing.made[0], created=present() - timedelta(minutes=1))
        assert await one.prober.find(notice(), present()) is None
        # A clock of ours that is an hour behind changes nothing: Twilio says what time it is.
        hour = timedelta(hours=1)
        one.now = lambda: present() - hour
        assert await one.prober.find(notice(), present() - hour) is None
        begun = one.now()
        await one.send(notice())
        assert isinstance(await one.prober.find(notice(), begun), Receipt)


async def test_one_that_still_waits_to_be_dialled_is_found() -> None:
    async with desk() as one:
        begun = present()
        await one.send(notice())
        assert one.api.outgoing.made[0].started is None
        assert isinstance(await one.prober.find(notice(), begun), Receipt)


async def test_a_list_that_cannot_be_had_tells_nothing() -> None:
    async with desk() as one:
        one.api.plan(Fault(kind="server", on="calls"))
        assert isinstance(await one.prober.find(notice(), present()), CannotTell)


async def test_who_is_not_there_was_told_nothing(nobody: str) -> None:
    api = TwilioApi(Network(account_sid=SID, token=TOKEN))
    one = Desk(api, url=nobody)
    receipt = await one.send(notice())
    assert (receipt.delivery, receipt.uncertain, receipt.fault) == (Delivery.RETRY, False, Whose.FAR_SIDE)
    assert isinstance(await one.prober.find(notice(), present()), CannotTell)


@pytest.mark.parametrize("wrong", [{"ring": "5s"}, {"ring": "2m"}, {"daily_limit": 0}, {"prefixes": ["380"]}])
def test_settings_that_cannot_be_meant(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        CHANNELS["voice"].settings.model_validate({**ACCOUNT, **wrong})


def test_only_calls_that_are_made_count_for_the_limit_of_a_day() -> None:
    account = CHANNELS["voice"].settings.model_validate({**ACCOUNT, "daily_limit": 3})
    assert account.most_a_day() == 3
    assert account.costs(RATING_CALL, "+380440000009") and not account.costs("acknowledgement", "+380440000009")
    assert not account.costs(RATING_CALL, "+493012345678")
