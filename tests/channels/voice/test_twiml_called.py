"""Our documents, followed by a caller of the stand-in's: each act ends in what the vocabulary says of it."""

from __future__ import annotations

from aiohttp import web

from channels.voice.twiml import document
from gateway.demo.twilio_api import Leave, Person, Press, Rung, Silent, Talk
from normalizer.call import Act, Collect, Connect, HangUp, Line, Record, Speak
from tests.twilio.twiml_desk import Answer, twiml_desk

MENU = (Line(language="uk", words="Натисніть 1."), Line(language="ru", words="Нажмите 2."))


def leading(*acts: tuple[Act, ...]) -> Answer:
    """The acts of one step after another; each document leads to the next one."""

    async def answer(request: web.Request) -> web.StreamResponse:
        step = int(request.query.get("s", "0"))
        made = document(acts[step], next_url=f"/begin?s={step + 1}", recorded_url="/recorded")
        return web.Response(body=made, content_type="text/xml")

    return answer


async def test_a_whole_call() -> None:
    steps: tuple[tuple[Act, ...], ...] = (
        (Collect(lines=MENU),),
        (Collect(lines=MENU, most=12, finish="#"),),
        (Speak(lines=MENU[:1]), Connect(lines=(), number="+380440000001", seconds=25)),
        (Record(lines=MENU[:1]),),
        (Record(lines=MENU[:1]),),
        (HangUp(lines=MENU[:1]),),
    )
    person = Person(
        doings=(Silent(), Press(keys="4071#"), Silent(), Talk(seconds=20, key="#")), rung=(Rung(outcome="busy"),)
    )
    async with twiml_desk(begin=leading(*steps)) as desk:
        call = await desk.call(person=person)
        wanted = ("Digits", "DialCallStatus", "RecordingDuration")
        came = [{name: fields[name] for name in wanted if name in fields} for fields in desk.fields("/begin")]
        assert came == [
            {}, {}, {"Digits": "4071"}, {"DialCallStatus": "busy"}, {}, {"Digits": "#", "RecordingDuration": "20"},
        ]  # fmt: skip
        assert [told["RecordingStatus"] for told in desk.fields("/recorded")] == ["absent", "completed"]
        assert (call.codes, call.hung_up, call.status) == ([], False, "completed")
        assert [one.language for one in call.said if one.kind == "say"][:2] == ["uk-UA", "ru-RU"]


async def test_a_key_in_the_middle_of_the_words_and_a_hang_up_behind() -> None:
    async with twiml_desk(begin=leading((Collect(lines=MENU),), (Collect(lines=MENU),))) as desk:
        call = await desk.call(Press(keys="*", wait=0.2), Leave(0.3))
        assert [fields.get("Digits") for fields in desk.fields("/begin")] == [None, "*"]
        assert (call.hung_up, [one.cut for one in call.said]) == (True, [True, True])
