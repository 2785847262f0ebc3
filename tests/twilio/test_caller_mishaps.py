"""What the stand-in's calls do with answers that are late, broken or none, and what goes wrong on their own side."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from aiohttp import web

from gateway.demo.twilio_api import Person, Press
from tests.twilio.provider import OURS
from tests.twilio.twiml_desk import Answer, twiml_desk

END = "<Hangup/>"
MENU = '<Gather action="/keys" numDigits="1"><Say>Press</Say></Gather>'


def answering(text: str = "", status: int = 200, kind: str = "text/xml", **headers: str) -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(text=text, status=status, content_type=kind, headers=headers)

    return answer


async def never(_: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def broken_off(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Length": "500", "Content-Type": "text/xml"})
    await answer.prepare(request)
    await answer.write(b"<Response><Say>Half")
    assert request.transport is not None
    request.transport.abort()
    return answer


def in_chunks(size: int) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        stream = web.StreamResponse(headers={"Content-Type": "text/xml"})
        stream.enable_chunked_encoding()
        await stream.prepare(request)
        for piece in ("<Response><Say>", "x" * size, "</Say></Response>"):
            await stream.write(piece.encode())
        return stream

    return answer


PAGE = "<html><head><title>503</title><meta></head></html>"
BAD: tuple[tuple[str, Callable[[], Answer], str], ...] = (
    ("5xx", lambda: answering(status=500), "11200"),
    ("4xx", lambda: answering("<Response/>", status=404), "11200"),
    ("broken off", lambda: broken_off, "11200"),
    ("HTML", lambda: answering(PAGE, kind="text/html"), "12100"),
    ("HTML that is XML", lambda: answering("<html/>", kind="text/html"), "12102"),
    ("JSON", lambda: answering("{}", kind="application/json"), "12300"),
    ("nothing", lambda: answering(""), "12100"),
    ("half XML", lambda: answering("<Response><Say>"), "12100"),
    ("too large", lambda: answering(f"<Response><!--{'x' * 65536}--></Response>"), "11750"),
    ("too large in chunks", lambda: in_chunks(70_000), "11750"),
    ("not in the schema", lambda: answering("<Response><Say colour='red'>x</Say></Response>"), "12200"),
    ("another scheme", lambda: answering("<Response><Redirect>ftp://a.example/x</Redirect></Response>"), "12200"),
    ("a circle", lambda: answering(status=302, Location="/begin"), "11200"),
)


@pytest.mark.parametrize(("make", "code"), [one[1:] for one in BAD], ids=[one[0] for one in BAD])
async def test_what_is_no_document_ends_the_call_with_its_number(make: Callable[[], Answer], code: str) -> None:
    async with twiml_desk(begin=make()) as desk:
        call = await desk.call()
        assert (call.codes, call.status, call.said) == ([code], "completed", [])
        assert len(desk.fields("/ended")) == 1


@pytest.mark.parametrize(("make", "code"), [one[1:] for one in BAD[:5]], ids=[one[0] for one in BAD[:5]])
async def test_the_other_address_goes_on_with_the_call_without_its_keys(make: Callable[[], Answer], code: str) -> None:
    async with twiml_desk(fallback=True, begin=MENU, keys=make(), rescue="<Say>Still here</Say>") as desk:
        call = await desk.call(Press(keys="1"))
        (asked,) = desk.fields("/rescue")
        assert (asked["ErrorCode"], asked["ErrorUrl"]) == (code, f"{desk.url}/keys")
        assert (asked["CallSid"], "Digits" in asked) == (call.sid, False)
        assert (call.words, call.codes) == ("Press\nStill here", [code])


async def test_the_other_address_may_be_the_same_one() -> None:
    async with twiml_desk() as desk:
        desk.telephony.number(OURS, f"{desk.url}/begin", fallback=f"{desk.url}/begin")

        async def once(_: web.Request) -> web.StreamResponse:
            good = "ErrorUrl" in desk.asked[-1][1]
            return web.Response(
                status=200 if good else 503, text=f"<Response>{END}</Response>", content_type="text/xml"
            )

        desk.answers["/begin"] = once
        call = await desk.call()
        assert (call.codes, desk.paths) == (["11200"], ["/begin", "/begin"])


async def test_an_other_address_that_fails_too_ends_the_call() -> None:
    async with twiml_desk(fallback=True, begin=answering(status=500), rescue=answering(PAGE, kind="text/html")) as desk:
        assert (await desk.call()).codes == ["11200", "12100"]
        desk.answers["/rescue"] = "<Redirect>/begin</Redirect>"
        desk.asked.clear()
        desk.answers["/begin"] = END
        assert (await desk.call()).codes == [] and desk.fields("/rescue") == []


async def test_an_answer_that_is_late_is_none_however_the_time_was_spent() -> None:
    async with twiml_desk(patience=0.3, begin=never) as desk:
        assert (await desk.call()).codes == ["11200"]

        async def slow(_: web.Request) -> web.StreamResponse:
            await asyncio.sleep(0.05)
            return web.Response(status=302, headers={"Location": "/begin"})

        desk.answers["/begin"] = slow  # The limit is that of all redirects together.
        assert (await desk.call()).codes == ["11200"]
        assert len(desk.fields("/begin")) < 9


async def test_nobody_there(nobody: str) -> None:
    async with twiml_desk() as desk:
        desk.telephony.number(OURS, f"{nobody}/begin", fallback=f"{desk.url}/rescue")
        desk.answers["/rescue"] = "<Say>Still here</Say>"
        call = await desk.call()
        assert (call.codes, call.words, desk.fields("/rescue")[0]["ErrorCode"]) == (["11205"], "Still here", "11205")


async def test_plain_text_is_said_and_chunks_are_read() -> None:
    async with twiml_desk(begin=answering("Hello & good-bye", kind="text/plain")) as desk:
        assert (await desk.call()).words == "Hello & good-bye"
        desk.answers["/begin"] = in_chunks(1000)
        assert (await desk.call()).words == "x" * 1000


async def test_a_redirect_of_http_is_followed_by_get_and_the_keys_are_lost() -> None:
    async with twiml_desk(begin=MENU, keys=answering(status=302, Location="/elsewhere?s=2"), elsewhere=END) as desk:
        call = await desk.call(Press(keys="1"))
        assert desk.fields("/elsewhere") == [{"s": "2"}]
        assert [one.method for one in call.asked] == ["POST", "POST", "GET"]
        desk.answers["/keys"] = answering(status=307, Location="/elsewhere?s=3")
        await desk.call(Press(keys="1"))
        assert desk.fields("/elsewhere")[1]["Digits"] == "1"


async def test_mishaps_of_the_network_meet_calls_too() -> None:
    async with twiml_desk(begin=MENU, keys="<Say>Thanks</Say>") as desk:
        network = desk.telephony.network
        network.plan += ["late", "twice"]
        call = await desk.call(Press(keys="1"))
        assert (call.words, len(desk.fields("/keys")), call.codes) == ("Press\nThanks", 2, [])
        network.plan += ["lost"]
        assert (await desk.call()).codes == ["11200"]
        network.plan += ["lost", "reset", "half"]
        network.repeats = 3
        call = await desk.call(Press(keys="1"))
        assert (call.words, call.codes, len(call.asked)) == ("Press\nThanks", [], 5)


async def test_a_fragment_asks_for_repeats_and_is_not_sent() -> None:
    async with twiml_desk(begin="<Redirect>/flaky?s=1#rc=2&amp;rp=all</Redirect>") as desk:

        async def flaky(_: web.Request) -> web.StreamResponse:
            good = len(desk.fields("/flaky")) == 3
            return web.Response(status=200 if good else 503, text="<Response/>", content_type="text/xml")

        desk.answers["/flaky"] = flaky
        assert (await desk.call()).codes == []
        assert desk.paths == ["/begin", *["/flaky?s=1"] * 3]
        desk.answers["/flaky"] = answering(status=503)
        assert (await desk.call()).codes == ["11200"]
        assert len(desk.fields("/flaky")) == 6


async def test_many_calls_at_once_do_not_mix() -> None:
    async with twiml_desk(begin=MENU, keys=END) as desk:
        calls = await asyncio.gather(*(desk.call(Press(keys=str(number % 10))) for number in range(20)))
        digits = {fields["CallSid"]: fields["Digits"] for fields in desk.fields("/keys")}
        assert digits == {call.sid: str(number % 10) for number, call in enumerate(calls)}
        assert {len(call.told) for call in calls} == {1}


async def test_an_outgoing_call_is_led_from_our_number() -> None:
    async with twiml_desk(begin="<Say>We ask</Say>") as desk:
        call = await desk.telephony.call(
            Person(), sender=OURS, to="+380670000009", direction="outbound-api", AnsweredBy="human"
        )
        (first,) = desk.fields("/begin")
        assert (first["Direction"], first["AnsweredBy"], first["From"]) == ("outbound-api", "human", OURS)
        assert call.words == "We ask"
