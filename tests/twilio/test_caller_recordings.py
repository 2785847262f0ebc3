"""Recordings of the stand-in's calls: made, told of at any moment, given out, deleted."""

from __future__ import annotations

import io
import wave

import aiohttp
import pytest

from gateway.demo.twilio_api import Leave, Manner, Person, Press, Silent, Talk, Told
from tests.twilio.provider import SID, TOKEN
from tests.twilio.twiml_desk import Desk, twiml_desk

RECORD = (
    '<Record action="/done" maxLength="60" timeout="5" finishOnKey="#" recordingStatusCallback="/recorded"'
    ' recordingStatusCallbackEvent="completed absent"{}/><Redirect>/none</Redirect>'
)
END = "<Hangup/>"


async def got(desk: Desk, url: str, method: str = "GET", token: str = TOKEN) -> tuple[int, bytes]:
    headers = {"Authorization": aiohttp.encode_basic_auth(SID, token)}
    async with aiohttp.ClientSession(headers=headers) as http, http.request(method, url) as answer:
        return answer.status, await answer.read()


@pytest.mark.parametrize(
    ("talk", "digits", "length", "seconds"),
    [
        (Talk(seconds=12, key="#"), "#", "12", 12.5),
        (Talk(seconds=12), "", "12", 17.5),
        (Talk(seconds=12, key="1"), "", "12", 17.5),
        (Talk(seconds=90), "", "60", 60.5),
        (Talk(seconds=12, leaves=True), "hangup", "12", 12.5),
    ],
)
async def test_speech_is_recorded_and_asked_about(talk: Talk, digits: str, length: str, seconds: float) -> None:
    async with twiml_desk(begin=RECORD.format(""), done="<Say>Thanks</Say>") as desk:
        call = await desk.call(talk)
        (asked,) = desk.fields("/done")
        (made,) = call.recordings
        assert (asked["Digits"], asked["RecordingDuration"], asked["RecordingSid"]) == (digits, length, made.sid)
        assert asked["RecordingUrl"].endswith(f"/2010-04-01/Accounts/{SID}/Recordings/{made.sid}")
        left = digits == "hangup"
        assert asked["CallStatus"] == ("completed" if left else "in-progress")
        assert call.words == ("" if left else "Thanks") and call.hung_up is left
        assert call.said[0].kind == "beep" and seconds <= call.seconds < seconds + 1
        (told,) = desk.fields("/recorded")
        assert (told["RecordingStatus"], told["RecordingSid"], told["RecordingDuration"]) == (
            "completed", made.sid, length,
        )  # fmt: skip
        assert told["RecordingSource"] == "RecordVerb"
        assert desk.fields("/ended")[0]["RecordingSid"] == made.sid


@pytest.mark.parametrize("doing", [Silent(), Press(keys="#"), Talk(seconds=0)])
async def test_silence_asks_for_nothing_and_goes_on(doing: Silent) -> None:
    async with twiml_desk(begin=RECORD.format(""), none=END) as desk:
        call = await desk.call(doing)
        assert desk.paths == ["/begin", "/recorded", "/none"] and call.recordings == []
        assert desk.fields("/recorded")[0]["RecordingStatus"] == "absent"


async def test_who_hangs_up_without_a_word_leaves_no_recording() -> None:
    async with twiml_desk(begin=RECORD.format("")) as desk:
        call = await desk.call(Leave(2.0))
        assert call.hung_up and call.recordings == [] and desk.fields("/done") == []
        assert [told["RecordingStatus"] for told in desk.fields("/recorded")] == ["absent"]


async def test_a_hang_up_in_the_middle_keeps_what_was_said_so_far() -> None:
    async with twiml_desk(begin=RECORD.format("")) as desk:
        call = await desk.call(person=Person(doings=(Talk(seconds=30),), leave_at=10.5))
        assert (desk.fields("/done")[0]["RecordingDuration"], desk.fields("/done")[0]["Digits"]) == ("10", "hangup")
        assert call.seconds == 10.5


async def test_a_record_without_an_action_asks_for_its_document_again_and_any_key_ends_it() -> None:
    async with twiml_desk(begin="<Record/>") as desk:
        await desk.call(Talk(seconds=3, key="5"))
        first, second = desk.fields("/begin")
        assert "RecordingSid" not in first and second["Digits"] == "5" and second["RecordingDuration"] == "3"
        assert desk.fields("/recorded") == []


@pytest.mark.parametrize(
    ("told", "paths"),
    [
        (Told(when="before"), ["/recorded", "/done", "/more", "/ended"]),
        (Told(when="after"), ["/done", "/recorded", "/more", "/ended"]),
        (Told(when="after", twice=True), ["/done", "/recorded", "/recorded", "/more", "/ended"]),
        (Told(when="end"), ["/done", "/more", "/recorded", "/ended"]),
        (Told(when="held"), ["/done", "/more", "/ended", "/recorded"]),
        (Told(when="never"), ["/done", "/more", "/ended"]),
    ],
)
async def test_a_recording_is_told_of_at_any_moment_once_twice_or_never(told: Told, paths: list[str]) -> None:
    async with twiml_desk(begin=RECORD.format(""), done="<Redirect>/more</Redirect>", more=END) as desk:
        await desk.call(Talk(seconds=3, key="#"), manner=Manner(recorded=told))
        await desk.telephony.settle()
        assert desk.paths_and_end() == ["/begin", *paths]


async def test_the_beginning_of_a_recording_is_told_where_it_was_asked_for() -> None:
    begin = RECORD.format("").replace("completed absent", "in-progress completed")
    async with twiml_desk(begin=begin, done=END) as desk:
        await desk.call(Talk(seconds=3))
        assert [told["RecordingStatus"] for told in desk.fields("/recorded")] == ["in-progress", "completed"]
        assert len({told["RecordingSid"] for told in desk.fields("/recorded")}) == 1


@pytest.mark.parametrize("text", ["Сервер не працює", None])
async def test_a_transcript_comes_later(text: str | None) -> None:
    async with twiml_desk(begin=RECORD.format(' transcribe="true" transcribeCallback="/text"'), done=END) as desk:
        call = await desk.call(Talk(seconds=3), manner=Manner(transcript=text))
        (told,) = desk.fields("/text")
        assert (told["TranscriptionText"], told["TranscriptionStatus"]) == (
            text or "", "completed" if text else "failed",
        )  # fmt: skip
        assert (told["RecordingSid"], told["CallSid"]) == (call.recordings[0].sid, call.sid)
        assert told["TranscriptionSid"].startswith("TR")


async def test_the_end_is_told_late_and_twice_too() -> None:
    async with twiml_desk(begin=END) as desk:
        await desk.call(manner=Manner(ended=Told(when="held", twice=True)))
        assert desk.fields("/ended") == []
        await desk.telephony.settle()
        assert [told["CallStatus"] for told in desk.fields("/ended")] == ["completed"] * 2


async def test_a_recording_is_not_there_at_once_needs_a_password_and_can_be_deleted() -> None:
    async with twiml_desk(begin=RECORD.format(""), done=END) as desk:
        desk.telephony.recordings.missing = 2
        await desk.call(Talk(seconds=3))
        url = desk.fields("/done")[0]["RecordingUrl"]
        assert [(await got(desk, url))[0] for _ in range(2)] == [404, 404]
        assert (await got(desk, url, token="wrong"))[0] == 401
        for ending in ("", ".wav"):
            status, content = await got(desk, url + ending)
            with wave.open(io.BytesIO(content)) as sound:
                assert (status, sound.getnframes() / sound.getframerate()) == (200, 3.0)
        status, content = await got(desk, url + ".mp3")
        assert status == 200 and content[:2] == b"\xff\xf3" and len(content) > 1000
        assert b'"duration": "3"' in (await got(desk, url + ".json"))[1]
        assert (await got(desk, url + ".json", "DELETE"))[0] == 204
        assert [(await got(desk, url, method))[0] for method in ("GET", "DELETE")] == [404, 404]
        assert [status for _, _, status in desk.telephony.recordings.asked][:3] == [404, 404, 401]


async def test_a_file_of_ones_own_is_given_out_as_it_is() -> None:
    async with twiml_desk(begin=RECORD.format(""), done=END) as desk:
        await desk.call(Talk(seconds=3, sound=b"RIFF of ours"))
        assert await got(desk, desk.fields("/done")[0]["RecordingUrl"]) == (200, b"RIFF of ours")
