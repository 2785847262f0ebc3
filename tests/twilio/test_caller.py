"""The caller of the stand-in does with every verb of TwiML what the documentation says."""

from __future__ import annotations

import pytest

from gateway.demo.twilio_api import Did, EndlessCall, Leave, Person, Press, Rung, Silent, Talk
from tests.twilio.provider import ANNA, OURS, SID
from tests.twilio.twiml_desk import twiml_desk

END = "<Hangup/>"
MENU = '<Gather action="/keys" timeout="6"{}><Say language="uk-UA">{}</Say></Gather><Redirect>/none</Redirect>'


async def test_words_are_written_down_with_their_language_and_the_end_of_a_document_ends_the_call() -> None:
    words = (
        '<Say language="uk-UA" voice="Google.uk-UA-Wavenet-A">Вітаємо</Say><Pause length="2"/><Play>/a.mp3</Play>'
        '<Say language="en-US">Bye</Say>'
    )
    async with twiml_desk(begin=words) as desk:
        call = await desk.call()
        assert [(one.kind, one.words, one.language) for one in call.said] == [
            ("say", "Вітаємо", "uk-UA"), ("play", "/a.mp3", ""), ("say", "Bye", "en-US"),
        ]  # fmt: skip
        assert call.words == "Вітаємо\nBye"
        assert (call.status, call.hung_up, call.codes, desk.paths) == ("completed", False, [], ["/begin"])
        assert 5.0 < call.seconds < 7.0


async def test_what_was_heard_and_done_is_told_in_order() -> None:
    listen = '<Record action="/heard" finishOnKey="#"/><Say>Still here</Say>'
    async with twiml_desk(
        begin=MENU.format("", "Натисніть"), none=MENU.format(' numDigits="2"', "Ще раз"), keys=listen, heard=listen
    ) as desk:
        call = await desk.call(Silent(), Press(keys="12"), Talk(seconds=9, key="#"), Talk(seconds=4, leaves=True))
        told = [(one.kind, one.keys if isinstance(one, Did) else one.words) for one in call.story]
        assert told == [
            ("say", "Натисніть"), ("silent", ""), ("say", "Ще раз"), ("press", "12"), ("beep", ""), ("talk", ""),
            ("press", "#"), ("beep", ""), ("talk", ""), ("hang_up", ""),
        ]  # fmt: skip
        assert [one.kind for one in call.said] == ["say", "say", "beep", "beep"]


async def test_somebody_may_go_by_what_they_hear() -> None:
    again = MENU.format(' numDigits="1"', "Перше")
    knows = (("Перше", Press(keys="1")), ("сигналу", Talk(seconds=3, key="#")))
    speak = '<Say language="uk-UA">Після сигналу</Say><Record action="/heard" finishOnKey="#"/>'
    async with twiml_desk(begin=again, keys=speak, heard=END) as desk:
        call = await desk.call(person=Person(knows=knows))
        assert [one.keys for one in call.story if isinstance(one, Did)] == ["1", "", "#"]
        desk.answers["/heard"] = '<Gather action="/bye" timeout="6"><Say>Інше</Say></Gather>'
        call = await desk.call(person=Person(knows=knows, doings=(Press(keys="7"),)))
        assert [one.keys for one in call.story if isinstance(one, Did)] == ["1", "", "#", "7"]


async def test_the_first_request_and_the_last_one_say_what_is_documented() -> None:
    async with twiml_desk(begin='<Pause length="61"/>') as desk:
        call = await desk.call(ForwardedFrom="+380440000009")
        (path, first), (_, ended) = desk.asked
        assert path == "/begin"
        assert {name: first[name] for name in ("CallSid", "AccountSid", "From", "To", "Caller", "Called")} == {
            "CallSid": call.sid, "AccountSid": SID, "From": ANNA, "To": OURS, "Caller": ANNA, "Called": OURS,
        }  # fmt: skip
        assert (first["CallStatus"], first["Direction"], first["ApiVersion"]) == ("ringing", "inbound", "2010-04-01")
        assert (first["ForwardedFrom"], first["FromCity"], "CallDuration" in first) == ("+380440000009", "", False)
        assert call.sid.startswith("CA") and len(call.sid) == 34
        assert (ended["CallSid"], ended["CallStatus"], ended["CallDuration"]) == (call.sid, "completed", "61")
        assert (ended["Duration"], ended["SequenceNumber"]) == ("2", "0")
        assert ended["CallbackSource"] == "call-progress-events"
        assert ended["Timestamp"] == "Mon, 04 May 2026 09:01:01 +0000"


@pytest.mark.parametrize(
    ("more", "pressed", "digits", "finished"),
    [
        ('numDigits="1"', Press(keys="2"), "2", ""),
        ('numDigits="1" finishOnKey=""', Press(keys="#"), "#", ""),
        ('numDigits="2"', Press(keys="123"), "12", ""),
        ("", Press(keys="123#9"), "123", "#"),
        ('finishOnKey="*"', Press(keys="1#*"), "1#", "*"),
        ("", Press(keys="12"), "12", ""),
        ("", Press(keys="12", gap=7.0), "1", ""),
        ("", Press(keys="5#", wait=0.2), "5", "#"),
    ],
)
async def test_keys_are_asked_about(more: str, pressed: Press, digits: str, finished: str) -> None:
    async with twiml_desk(begin=MENU.format(" " + more, "Натисніть"), keys=END) as desk:
        await desk.call(pressed)
        (asked,) = desk.fields("/keys")
        assert (asked["Digits"], asked.get("FinishedOnKey", ""), asked["msg"]) == (digits, finished, "Gather End")
        assert (asked["CallStatus"], desk.paths) == ("in-progress", ["/begin", "/keys"])


@pytest.mark.parametrize("pressed", [Silent(), Press(keys="#"), Press(keys="1", wait=60.0), Talk(seconds=3)])
async def test_without_a_key_in_time_it_falls_through(pressed: Press | Silent | Talk) -> None:
    async with twiml_desk(begin=MENU.format("", "Натисніть"), none=END) as desk:
        call = await desk.call(pressed)
        assert desk.paths == ["/begin", "/none"]
        assert "Digits" not in desk.asked[1][1]
        assert call.seconds >= (1.0 if isinstance(pressed, Press) and pressed.wait is None else 6.0)


async def test_an_empty_result_is_asked_about_where_the_verb_says_so() -> None:
    async with twiml_desk(begin=MENU.format(' actionOnEmptyResult="true"', "Натисніть"), keys=END) as desk:
        await desk.call()
        assert desk.fields("/keys")[0]["Digits"] == "" and desk.paths == ["/begin", "/keys"]


async def test_a_key_cuts_the_words() -> None:
    async with twiml_desk(begin=MENU.format(' numDigits="1"', "слово " * 50), keys=END) as desk:
        call = await desk.call(Press(keys="1", wait=4.0))
        assert [one.cut for one in call.said] == [True] and call.seconds == 4.0


async def test_without_an_action_the_document_is_asked_for_again_and_a_call_without_an_end_is_seen() -> None:
    async with twiml_desk(begin='<Gather numDigits="1"/>', round="<Redirect>/round</Redirect>") as desk:
        await desk.call(Press(keys="7"), Press(keys="8"))
        assert [fields.get("Digits") for fields in desk.fields("/begin")] == [None, "7", "8"]
        desk.answers["/begin"] = "<Redirect>/round</Redirect>"
        with pytest.raises(EndlessCall, match="/round"):
            await desk.call()


async def test_addresses_count_from_the_current_one_and_get_puts_everything_into_the_query() -> None:
    async with twiml_desk(begin="<Redirect>deep/one?s=1</Redirect>") as desk:
        desk.answers |= {
            "/deep/one": '<Gather action="?s=2&amp;l=uk" numDigits="1"/>',
            "/deep/two": '<Redirect method="GET">../three?s=3</Redirect>',
            "/three": END,
        }
        await desk.call(Press(keys="1"), Silent())
        assert desk.paths == ["/begin", "/deep/one?s=1", "/deep/one?s=2&l=uk"]
        desk.asked.clear()
        desk.answers["/deep/one"] = "<Redirect>two</Redirect>"
        call = await desk.call()
        assert desk.paths == ["/begin", "/deep/one?s=1", "/deep/two", "/three"]
        (last,) = desk.fields("/three")
        assert (last["s"], last["CallSid"], call.asked[-1].method) == ("3", call.sid, "GET")


async def test_a_redirect_behind_what_waits_is_not_reached_after_a_hang_up_verb() -> None:
    async with twiml_desk(begin="<Hangup/><Redirect>/never</Redirect>") as desk:
        await desk.call()
        assert desk.paths == ["/begin"]


@pytest.mark.parametrize(("reason", "status"), [("busy", "busy"), ("rejected", "no-answer")])
async def test_a_rejected_call_was_never_answered(reason: str, status: str) -> None:
    async with twiml_desk(begin=f'<Reject reason="{reason}"/>') as desk:
        call = await desk.call()
        assert call.status == status
        assert [desk.fields("/ended")[0][name] for name in ("CallStatus", "CallDuration")] == [status, "0"]


# -- ringing somebody ------------------------------------------------------------------------

DIAL = '<Dial{} timeout="20"><Number>+380440000077</Number></Dial><Say>Nobody.</Say>'


@pytest.mark.parametrize(
    ("rung", "status", "lasts", "seconds"),
    [
        (Rung(outcome="completed", seconds=75), "completed", "75", 75.0),
        (Rung(), "no-answer", None, 20.0),
        (Rung(outcome="busy", seconds=2), "busy", None, 2.0),
    ],
)
async def test_what_came_of_ringing_is_asked_about(rung: Rung, status: str, lasts: str | None, seconds: float) -> None:
    async with twiml_desk(begin=DIAL.format(' action="/rung"'), rung=END) as desk:
        call = await desk.call(person=Person(rung=(rung,)))
        (asked,) = desk.fields("/rung")
        assert (asked["DialCallStatus"], asked.get("DialCallDuration"), call.words) == (status, lasts, "")
        assert (asked["CallStatus"], call.seconds) == ("in-progress", seconds)


async def test_without_an_action_it_goes_on_behind_the_dial() -> None:
    async with twiml_desk(begin=DIAL.format("")) as desk:
        call = await desk.call()
        assert (call.words, desk.paths) == ("Nobody.", ["/begin"])


@pytest.mark.parametrize(("outcome", "status"), [("completed", "completed"), ("no-answer", "canceled")])
async def test_who_hangs_up_in_a_dial_has_its_action_asked_for(outcome: str, status: str) -> None:
    async with twiml_desk(begin=DIAL.format(' action="/rung"'), rung="<Say>Unheard.</Say>") as desk:
        rung = Rung(outcome=outcome, seconds=9, leaves=True)  # type: ignore[arg-type]
        call = await desk.call(person=Person(rung=(rung,)))
        (asked,) = desk.fields("/rung")
        assert (asked["CallStatus"], asked["DialCallStatus"], call.hung_up) == ("completed", status, True)
        assert (call.words, call.seconds) == ("", 9.0)


# -- hanging up ------------------------------------------------------------------------------

TALK = f"<Say>{'слово ' * 20}</Say><Redirect>/menu</Redirect>"


@pytest.mark.parametrize("moment", [0.0, 3.0, 8.0, 9.5, 15.5])
async def test_a_hang_up_at_any_moment_ends_it_there(moment: float) -> None:
    async with twiml_desk(begin=TALK, menu=MENU.format("", "Натисніть"), none="<Pause/><Say>End</Say>") as desk:
        call = await desk.call(person=Person(leave_at=moment))
        assert (call.hung_up, call.seconds, call.status) == (True, moment, "completed")
        assert len(desk.paths) == 1 + (moment > 7.9) + (moment > 15.0)
        assert len(desk.fields("/ended")) == 1
        if moment in (3.0, 8.0):
            assert call.said[-1].cut


@pytest.mark.parametrize("number", [1, 2])
async def test_a_hang_up_while_an_answer_is_awaited_lets_nothing_of_it_be_heard(number: int) -> None:
    async with twiml_desk(begin=MENU.format("", "One"), keys="<Say>Two</Say>") as desk:
        call = await desk.call(person=Person(doings=(Press(keys="1"),), leave_asking=number))
        assert call.words == ("" if number == 1 else "One")
        assert (call.hung_up, len(desk.paths)) == (True, number)
        assert desk.fields("/ended")[0]["CallStatus"] == ("no-answer" if number == 1 else "completed")


async def test_who_hangs_up_in_a_menu_asks_for_nothing_more() -> None:
    async with twiml_desk(begin=MENU.format("", "One")) as desk:
        call = await desk.call(Leave(3.0))
        assert (call.hung_up, call.seconds, desk.paths) == (True, 3.0, ["/begin"])
