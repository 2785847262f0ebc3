"""Sending by the REST API: who gets which words from which number, and what each failure comes to."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from channels.contract import CannotTell, Divides, Surroundings, Watched
from channels.registry import CHANNELS
from channels.segments import segments
from channels.twilio.errors import CODES, MEANINGS
from channels.twilio.online import look
from channels.twilio.outbound import Line, TwilioProber, TwilioSender
from gateway.demo.twilio_api import NEVER, Fault, Network, Reports, TwilioApi
from gateway.demo.twilio_api.rest import Kind
from normalizer.message import Address, Attachment, Delivery, Notice, Receipt
from normalizer.message import Fault as Whose
from tests.twilio.provider import ACCOUNT, ANNA, ANSWERED, OURS, SID, TOKEN
from tests.twilio.standin import standin

SECOND = "+380440000002"
TEMPLATE = {"content_sid": "HX" + "b" * 32}


def present() -> datetime:
    return datetime.now(UTC)


def notice(text: str = "Ваша заявка 4172835 принята.", **otherwise: Any) -> Notice:
    made = Notice(
        id=7, channel="sms", account="main", recipient=Address(address=ANNA), kind="acknowledgement", language="uk",
        text=text, created_at=present(), destination={"to": ANNA, "from": OURS},
    )  # fmt: skip
    return replace(made, **otherwise)


def account(api_url: str, channel: str = "sms", **said: Any) -> Any:
    told = {**ACCOUNT, "numbers": [OURS, SECOND], "api_url": api_url, **said}
    return CHANNELS[channel].settings.model_validate(told)


class Phones:
    """The account's sender and prober, and the API."""

    def __init__(self, api: TwilioApi, channel: str = "sms", *, url: str = "", **said: Any) -> None:
        made = account(url or api.url, channel, **said)
        line, self.api, self.now = Line(made, TOKEN), api, present
        self.waits: list[float] = []
        self.sender = TwilioSender(
            channel, "main", made, line, public_url="https://intake.desk.example", clock=lambda: self.now()
        )
        self.prober = TwilioProber(channel, "main", made, line, clock=lambda: self.now(), sleep=self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    async def send(self, what: Notice) -> Receipt:
        return await asyncio.wait_for(self.sender.send(what), ANSWERED)


@asynccontextmanager
async def phones(channel: str = "sms", **said: Any) -> AsyncIterator[Phones]:
    async with standin(numbers=(OURS, SECOND)) as api:
        api.reporter.usual = NEVER
        yield Phones(api, channel, **said)


# -- what is sent -------------------------------------------------------------------------


async def test_a_call_says_who_what_how_long_and_where_to_report() -> None:
    async with phones() as desk:
        receipt = await desk.send(notice())
        (sent,) = desk.api.sent
        assert sent.asked == {
            "To": ANNA, "From": OURS, "Body": "Ваша заявка 4172835 принята.", "ValidityPeriod": "14400",
            "SmartEncoded": "false", "StatusCallback": "https://intake.desk.example/channels/sms/main/status?o=7",
        }  # fmt: skip
        assert receipt == Receipt(
            delivery=Delivery.SENT, external_ids=(f"sms:main:{sent.sid}",), detail="queued at Twilio, 1 part"
        )


@pytest.mark.parametrize(
    ("destination", "ours"),
    [
        ({"from": SECOND}, SECOND), ({}, OURS), ({"from": "+380449999999"}, OURS),
        ({"from": f"whatsapp:{SECOND}"}, SECOND),
    ],
)  # fmt: skip
async def test_it_goes_out_from_the_number_that_was_written_to(destination: dict[str, str], ours: str) -> None:
    async with phones() as desk:
        await desk.send(notice(destination=destination))
        assert desk.api.sent[0].sender == ours


@pytest.mark.parametrize(
    ("person", "said", "about"),
    [
        ("+380671112233", {}, None),
        ("+48601112233", {}, "channel"),
        ("+48601112233", {"prefixes": ["+48"]}, None),
        ("+380671112233", {"prefixes": ["+4860"]}, "channel"),
        ("+14155550100", {}, "channel"),
        ("4422", {}, "address"),
        ("BANK", {}, "address"),
        ("hidden:SM1", {}, "address"),
        ("", {}, "address"),
    ],
)
async def test_only_some_numbers_are_written_to(person: str, said: dict[str, Any], about: str | None) -> None:
    async with phones(**said) as desk:
        receipt = await desk.send(notice(recipient=Address(address=person)))
        wanted = Delivery.SENT if about is None else Delivery.UNREACHABLE
        assert (receipt.delivery, receipt.about) == (wanted, about or "address")
        assert len(desk.api.sent) == (about is None)


async def test_long_words_of_people_go_on_and_ours_are_cut_with_a_link() -> None:
    async with phones() as desk:
        text = "\n\n".join(f"{n}. Відкрийте панель і натисніть кнопку." for n in range(1, 30))
        assert isinstance(desk.sender, Divides)
        pieces = desk.sender.divide(notice(text, automatic=False))
        assert len(pieces) > 1
        assert all(segments(piece.text) <= 3 for piece in pieces)
        assert [piece.part for piece in pieces] == list(range(len(pieces)))
        assert "".join("".join(piece.text for piece in pieces).split()) == "".join(text.split())
        link = "https://desk.example/t/abc"
        (piece,) = desk.sender.divide(notice(text, link=link))
        assert segments(piece.text) <= 3
        assert piece.text.endswith(f"... {link}")
        for within in (f"{text} {link}", f"{text[:300]} {link} {text}"):
            (piece,) = desk.sender.divide(notice(within, link=link))
            assert segments(piece.text) <= 3
            assert piece.text.endswith(f"... {link}")
            assert piece.text.count(link) == 1
        assert [one.text for one in desk.sender.divide(notice("Коротко", link=link))] == ["Коротко"]


async def test_a_file_goes_as_a_link_or_staff_hear_of_it() -> None:
    async with phones() as desk:
        file = Attachment(filename="a.pdf", content_type="application/pdf", size=1, sha256="0", content=b"x")
        link = "https://desk.example/t/abc"
        (piece,) = desk.sender.divide(notice("Ось файл", automatic=False, attachments=(file,), link=link))
        assert (await desk.send(piece)).delivery is Delivery.SENT
        assert desk.api.sent[0].body == f"Ось файл\n{link}"
        (piece,) = desk.sender.divide(notice("Ось файл", automatic=False, attachments=(file,)))
        refused = await desk.send(piece)
        assert (refused.delivery, refused.detail) == (Delivery.REFUSED, "a file, and no link to it")


@pytest.mark.parametrize("otherwise", [{"act": "edit", "target": "sms:main:SM1"}, {"text": " \n"}])
async def test_what_is_no_message_is_refused_without_a_call(otherwise: dict[str, Any]) -> None:
    async with phones() as desk:
        (piece,) = desk.sender.divide(notice(**otherwise))
        assert (await desk.send(piece)).delivery is Delivery.REFUSED
        assert desk.api.calls == []


# -- WhatsApp -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ends", "templates", "about", "asked"),
    [
        (1, {}, "address", {"Body": "Прийнято,\nномер 4172835"}),
        (-1, {}, "channel", None),
        (None, {}, "channel", None),
        (-1, {"acknowledgement": {"uk": TEMPLATE}}, "address",
         {"ContentVariables": '{"1": "Прийнято, номер 4172835"}'}),
        (-1, {"any": {"en": TEMPLATE}}, "address", {"ContentSid": TEMPLATE["content_sid"]}),
        (-1, {"any": {"ru": TEMPLATE}, "reply": {"uk": TEMPLATE}}, "channel", None),
        (-1, {"any": {"uk": {**TEMPLATE, "variables": {"1": "link", "2": "text"}}}}, "address",
         {"ContentVariables": '{"1": "-", "2": "Прийнято, номер 4172835"}'}),
    ],
)  # fmt: skip
async def test_after_a_day_only_approved_texts_go_to_whatsapp(
    ends: int | None, templates: dict[str, Any], about: str, asked: dict[str, str] | None
) -> None:
    async with phones("whatsapp", templates=templates) as desk:
        window = {} if ends is None else {"window_until": (present() + timedelta(hours=ends)).isoformat()}
        receipt = await desk.send(
            notice("Прийнято,\nномер 4172835", channel="whatsapp", destination={"from": f"whatsapp:{OURS}", **window})
        )
        assert receipt.about == about
        assert (receipt.delivery is Delivery.SENT) == (asked is not None)
        if asked is not None:
            (sent,) = desk.api.sent
            assert (sent.to, sent.sender) == (f"whatsapp:{ANNA}", f"whatsapp:{OURS}")
            assert asked.items() <= sent.asked.items()
            assert {"ValidityPeriod", "SmartEncoded"}.isdisjoint(sent.asked)


# -- what goes wrong ----------------------------------------------------------------------


@pytest.mark.parametrize("code", sorted(CODES))
async def test_each_code_has_its_receipt_and_its_alarm(code: int) -> None:
    async with phones() as desk:
        desk.api.plan(Fault(kind="error", code=code, message="as it says"))
        receipt = await desk.send(notice())
        what, says = CODES[code]
        meant = MEANINGS[what]
        assert (receipt.delivery, receipt.about, receipt.fault) == (meant.delivery, meant.about, meant.fault)
        assert receipt.detail == f"{says} ({code})"
        assert not receipt.uncertain
        assert isinstance(desk.sender, Watched)
        troubles = await desk.sender.troubles()
        assert bool(troubles) == (what in ("setup", "denied"))
        assert all(cause.endswith("sms/main") and str(code) in why for cause, why in troubles.items())


@pytest.mark.parametrize(
    ("fault", "delivery", "uncertain", "whose"),
    [
        (Fault(kind="too_many"), Delivery.RETRY, False, Whose.FAR_SIDE),
        (Fault(kind="server"), Delivery.RETRY, True, Whose.FAR_SIDE),
        (Fault(kind="html"), Delivery.RETRY, True, Whose.FAR_SIDE),
        (Fault(kind="empty"), Delivery.RETRY, True, Whose.FAR_SIDE),
        (Fault(kind="reset"), Delivery.RETRY, True, Whose.FAR_SIDE),
        (Fault(kind="lost"), Delivery.RETRY, True, Whose.FAR_SIDE),
        (Fault(kind="half"), Delivery.RETRY, True, Whose.FAR_SIDE),
        (Fault(kind="never"), Delivery.RETRY, True, Whose.FAR_SIDE),
        (Fault(kind="error", status=401, code=401), Delivery.RETRY, False, Whose.OURS),
        (Fault(kind="error", code=29999, message="never\x00 heard of"), Delivery.REFUSED, False, Whose.MESSAGE),
    ],
)
async def test_what_breaks_on_the_way_is_never_taken_for_surely_not_sent(
    fault: Fault, delivery: Delivery, uncertain: bool, whose: Whose
) -> None:
    async with phones() as desk:
        desk.api.plan(fault)
        # Only who is never answered waits for the end of it.
        quick = Phones(desk.api, timeout="1s") if fault.kind == "never" else desk
        receipt = await quick.send(notice())
        assert (receipt.delivery, receipt.uncertain, receipt.fault) == (delivery, uncertain, whose)
        assert "\x00" not in receipt.detail
        assert (await desk.send(notice())).delivery is Delivery.SENT


async def test_where_nothing_listens_nothing_was_sent(nobody: str) -> None:
    async with phones(url=nobody) as desk:
        receipt = await desk.send(notice())
        assert (receipt.delivery, receipt.uncertain) == (Delivery.RETRY, False)
        assert "cannot be reached" in receipt.detail


@pytest.mark.parametrize("status", [302, 307])
async def test_a_redirect_is_not_followed_with_our_token(status: int) -> None:
    asked: list[str] = []

    async def elsewhere(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=status, headers={"Location": "/stolen"})

    site = web.Application()
    site.router.add_route("*", "/{path:.*}", elsewhere)
    runner = web.AppRunner(site, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with phones(url=f"http://127.0.0.1:{runner.addresses[0][1]}/proxy") as desk:
            receipt = await desk.send(notice())
            assert (receipt.delivery, receipt.fault) == (Delivery.RETRY, Whose.OURS)
            assert asked == [f"/proxy/2010-04-01/Accounts/{SID}/Messages.json"]
            assert list(await desk.sender.troubles()) == ["twilio sms/main"]
    finally:
        await runner.cleanup()


async def test_an_address_for_reports_that_twilio_refuses_costs_the_reports_and_not_the_message() -> None:
    async with phones() as desk:
        desk.api.plan(Fault(kind="error", code=21609))
        assert (await desk.send(notice())).delivery is Delivery.SENT
        (sent,) = desk.api.sent
        assert sent.callback == ""
        assert list(await desk.sender.troubles()) == ["twilio 21609 sms/main"]


async def test_while_tokens_are_changed_either_of_the_two_sends() -> None:
    async with standin(numbers=(OURS, SECOND)) as api:
        api.reporter.usual = NEVER
        made, begun = account(api.url), present()
        line = Line(made, "promoted-already", TOKEN)
        sender = TwilioSender("sms", "main", made, line, public_url="", clock=present)
        prober = TwilioProber("sms", "main", made, line, clock=present)
        for _ in range(2):
            assert (await sender.send(notice())).delivery is Delivery.SENT
        assert isinstance(await prober.find(notice(), begun), Receipt)
        assert [call.error for call in api.calls] == [20003, 0, 0, 0, 0], "the good one is used from then on"
        api.network.token = "promoted-already"
        assert (await sender.send(notice())).delivery is Delivery.SENT
        api.network.token = "neither"
        denied = await sender.send(notice())
        assert (denied.delivery, denied.uncertain) == (Delivery.RETRY, False)
        assert list(await sender.troubles()) == ["twilio sms/main"]
        with pytest.raises(ValueError, match="without a token"):
            Line(made, "")


async def test_a_trouble_ends_when_it_is_mended_or_long_over() -> None:
    async with phones() as desk:
        desk.api.plan(Fault(kind="error", status=401, code=20003), Fault(kind="error", code=21408))
        await desk.send(notice())
        await desk.send(notice())
        assert set(await desk.sender.troubles()) == {"twilio sms/main", "twilio 21408 sms/main"}
        await desk.send(notice())
        assert set(await desk.sender.troubles()) == {"twilio 21408 sms/main"}
        desk.now = lambda: present() + timedelta(hours=2)
        assert await desk.sender.troubles() == {}


async def test_nothing_that_is_logged_holds_a_text_a_number_or_a_token(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with phones() as desk:
        desk.api.plan(Fault(kind="server"), Fault(kind="reset"), Fault(kind="html"))
        for _ in range(4):
            await desk.send(notice("Таємниця"))
        await desk.prober.find(notice("Таємниця"), present())
    for secret in (TOKEN, "Таємниця", ANNA):
        assert secret not in caplog.text


# -- did it go out? -----------------------------------------------------------------------


@pytest.mark.parametrize("state", ["queued", "sent", "delivered"])
async def test_what_went_out_is_found_in_the_queue_too(state: str) -> None:
    async with phones() as desk:
        desk.api.report(Reports(states=() if state == "queued" else (state,)))
        begun = present()
        receipt = await desk.send(notice())
        await desk.api.until(lambda: desk.api.sent[0].status == state)
        found = await desk.prober.find(notice(), begun)
        assert isinstance(found, Receipt)
        assert found.external_ids == receipt.external_ids
        assert desk.waits == []


@pytest.mark.parametrize(
    ("code", "delivery"),
    [("30006", Delivery.UNREACHABLE), ("30001", Delivery.RETRY), ("30003", Delivery.REFUSED), ("", Delivery.REFUSED)],
)
async def test_what_is_found_and_has_failed_did_not_go_out(code: str, delivery: Delivery) -> None:
    async with phones() as desk:
        desk.api.report(Reports(states=("failed",), code=code))
        begun = present()
        await desk.send(notice())
        await desk.api.until(lambda: desk.api.sent[0].status == "failed")
        found = await desk.prober.find(notice(), begun)
        assert isinstance(found, Receipt)
        assert (found.delivery, found.uncertain, found.external_ids) == (delivery, False, ())


@pytest.mark.parametrize(
    "other", [{"text": "Інше"}, {"recipient": Address(address="+380671112233")}, {"destination": {"from": SECOND}}]
)
async def test_another_message_is_not_taken_for_it(other: dict[str, Any]) -> None:
    async with phones() as desk:
        begun = present()
        await desk.send(notice(**other))
        assert await desk.prober.find(notice(), begun) is None
        assert len(desk.waits) == 1, "a list may be a moment behind"


async def test_the_same_words_of_before_are_not_taken_for_it_however_clocks_go() -> None:
    async with phones() as desk:
        network: Network = desk.api.network
        network.clock = lambda: present() - timedelta(minutes=5)
        await desk.send(notice())
        network.clock = present
        assert await desk.prober.find(notice(), present()) is None
        # Our clock is an hour ahead; what counts is Twilio's.
        desk.now = lambda: present() + timedelta(hours=1)
        begun = desk.now()
        await desk.send(notice())
        assert isinstance(await desk.prober.find(notice(), begun), Receipt)


async def test_a_slow_list_makes_no_older_message_of_the_same_words_the_one_that_is_looked_for() -> None:
    async with phones() as desk:
        network: Network = desk.api.network
        network.clock = lambda: present() - timedelta(minutes=5)
        assert (await desk.send(notice())).delivery is Delivery.SENT
        begun = len(desk.api.calls)
        # The second list takes ten minutes to come.
        desk.now = lambda: present() + timedelta(minutes=10 * (len(desk.api.calls) - begun >= 2))
        assert await desk.prober.find(notice(), present() - timedelta(seconds=25)) is None


async def test_a_list_that_is_a_moment_behind_is_asked_again() -> None:
    async with phones() as desk:
        hidden: list[Any] = []

        async def appear(seconds: float) -> None:
            desk.api.messages.made += hidden

        prober = TwilioProber("sms", "main", account(desk.api.url), Line(account(desk.api.url), TOKEN), clock=present,
                              sleep=appear)  # fmt: skip
        begun = present()
        await desk.send(notice())
        hidden.append(desk.api.messages.made.pop())
        assert isinstance(await prober.find(notice(), begun), Receipt)


@pytest.mark.parametrize("kind", ["server", "html", "empty", "reset", "half"])
async def test_a_list_that_does_not_come_says_nothing(kind: Kind) -> None:
    async with phones() as desk:
        # What was cut at once is asked for once more: nothing is doubled by a question.
        desk.api.plan(*[Fault(kind=kind, on="list")] * 4)
        assert isinstance(await desk.prober.find(notice(), present()), CannotTell)


async def test_a_template_cannot_be_compared() -> None:
    async with phones("whatsapp", templates={"any": {"uk": TEMPLATE}}) as desk:
        begun, told = present(), notice(channel="whatsapp")
        assert await desk.prober.find(told, begun) is None
        await desk.send(told)
        assert isinstance(await desk.prober.find(told, begun), CannotTell)


async def test_too_many_messages_to_look_through_are_no_proof() -> None:
    async with phones() as desk:
        begun = present()
        desk.api.reporter.usual = Reports(states=("sent",))
        for number in range(201):
            desk.api.messages.advance(desk.api.messages.send({"From": OURS, "To": ANNA}, f"{number}"), "sent")
        assert isinstance(await desk.prober.find(notice(), begun), CannotTell)


# -- gateway check --online ---------------------------------------------------------------


async def test_a_look_names_a_wrong_token_a_wrong_number_and_a_closed_account(nobody: str) -> None:
    async with standin(numbers=(OURS,)) as api:
        good = account(api.url, numbers=[OURS])
        online = CHANNELS["sms"].online
        assert online is not None
        (found,) = await online({"main": good}, Surroundings(clock=present))
        assert (found.what, found.trouble) == ("sms/main", "")
        assert SID in found.good
        _, number = await look("sms", {"main": account(api.url)}, numbers=True)
        assert (number.what, number.trouble) == (f"sms/main {SECOND}", "the account has no such number")
        (token,) = await look("sms", {"main": account(api.url, auth_token="another")}, numbers=True)
        assert "token" in token.trouble and "another" not in token.trouble
        api.state = "suspended"
        online = CHANNELS["whatsapp"].online
        assert online is not None
        (closed,) = await online({"main": account(api.url, "whatsapp")}, Surroundings(clock=present))
        assert "suspended" in closed.trouble
        (gone,) = await look("sms", {"main": account(nobody)}, numbers=True)
        assert "Connect" in gone.trouble or "refused" in gone.trouble
        assert api.sent == []
