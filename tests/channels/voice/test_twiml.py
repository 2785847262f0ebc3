"""What is done in a call, as TwiML that holds to its grammar."""

from __future__ import annotations

from xml.etree.ElementTree import fromstring

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.voice.twiml import LONGEST_SAY, document, redirect
from gateway.demo.twilio_api.twiml_grammar import faults
from normalizer.call import Act, Collect, Connect, HangUp, Line, Record, Speak

NEXT, DONE = "/channels/voice/main?s=4&l=uk", "/channels/voice/main/recorded"
MENU = (Line(language="uk", words="Натисніть 1."), Line(language="ru", words="Нажмите 2 & ждите <тихо>."))


def made(*acts: Act) -> bytes:
    return document(acts, next_url=NEXT, recorded_url=DONE)


def test_keys_may_be_pressed_while_it_is_said_and_silence_is_asked_about_too() -> None:
    root = fromstring(made(Collect(lines=MENU, seconds=7)))
    assert [each.tag for each in root] == ["Gather", "Redirect"]
    gather, redirect = root
    assert [each.tag for each in gather] == ["Say", "Pause", "Say"]
    assert gather.attrib == {
        "input": "dtmf", "action": NEXT, "method": "POST", "timeout": "7", "numDigits": "1", "finishOnKey": "",
    }  # fmt: skip
    assert [(each.get("language"), each.get("voice"), each.text) for each in gather if each.tag == "Say"] == [
        ("uk-UA", "Google.uk-UA-Wavenet-A", "Натисніть 1."),
        ("ru-RU", "Google.ru-RU-Wavenet-A", "Нажмите 2 & ждите <тихо>."),
    ]
    assert redirect.text == NEXT


def test_a_recording_is_told_of_and_silence_goes_on() -> None:
    root = fromstring(made(Record(lines=MENU[:1], longest=90, silence=4)))
    assert [each.tag for each in root] == ["Say", "Record", "Redirect"]
    assert root[1].attrib["recordingStatusCallback"] == DONE and root[1].attrib["action"] == NEXT
    assert (root[1].attrib["maxLength"], root[1].attrib["timeout"], root[1].attrib["finishOnKey"]) == ("90", "4", "#")


def test_a_person_is_rung_and_what_came_of_it_is_asked_about() -> None:
    root = fromstring(made(Connect(lines=(), number="+380440000001", seconds=25)))
    assert root[0].tag == "Dial" and root[0].attrib == {"action": NEXT, "method": "POST", "timeout": "25"}
    assert root[0][0].text == "+380440000001"


def test_nothing_stands_behind_what_waits() -> None:
    root = fromstring(made(Speak(lines=MENU), Collect(lines=MENU), HangUp()))
    assert [each.tag for each in root] == ["Say", "Pause", "Say", "Gather", "Redirect"]


def test_words_alone_go_on() -> None:
    assert [each.tag for each in fromstring(made(Speak(lines=MENU[:1])))] == ["Say", "Redirect"]
    assert [each.tag for each in fromstring(made())] == ["Redirect"]


def test_long_words_are_said_in_pieces_cut_between_words() -> None:
    words = "слово " * 2000
    said = [each.text or "" for each in fromstring(made(HangUp(lines=(Line(language="ru", words=words),))))][:-1]
    assert len(said) == 4 and max(map(len, said)) <= LONGEST_SAY
    assert " ".join(said).split() == words.split()


def test_the_grammar_finds_what_is_wrong() -> None:
    assert faults(b"<Response><Gather><Redirect>/x</Redirect></Gather></Response>") == [
        "<Redirect> may not stand in <Gather>", "it ends in the middle of the call",
    ]  # fmt: skip
    assert faults(b"<Response/>") == ["it does nothing"]
    assert faults(b'<Response><Say voice="a b"></Say><Hangup/></Response>') == [
        "<Say voice> cannot be 'a b'", "<Say> is empty",
    ]  # fmt: skip
    assert faults(b"<Response><Hangup/><Hangup/></Response>") == ["nothing behind <Hangup> is reached"]
    assert faults(b"<Response><Dial><Number>1</Number></Dial></Response>") == ["it ends in the middle of the call"]
    assert faults(b"<Response><Redirect>ftp://a.example/x</Redirect></Response>") == [
        "<Redirect> cannot go to 'ftp://a.example/x'"
    ]
    assert faults(b"<Response><Bark/><Hangup/></Response>")[-1] == "there is no <Bark>"


LINES = st.lists(st.builds(Line, language=st.sampled_from(["uk", "ru", "en"]), words=st.text(max_size=60)), max_size=4)
ACTS = st.one_of(
    st.builds(Speak, lines=LINES.map(tuple)),
    st.builds(Collect, lines=LINES.map(tuple), most=st.integers(1, 16), finish=st.sampled_from(["", "#"])),
    st.builds(Record, lines=LINES.map(tuple)),
    st.builds(Connect, lines=LINES.map(tuple), number=st.just("+380440000001")),
    st.builds(HangUp, lines=LINES.map(tuple)),
)


@given(st.lists(ACTS, max_size=5))
def test_whatever_is_done_the_document_is_right(acts: list[Act]) -> None:
    assert faults(made(*acts)) == []


def test_a_language_without_a_voice_is_a_fault_of_ours() -> None:
    with pytest.raises(KeyError):
        made(HangUp(lines=(Line(language="fr", words="Bonjour"),)))


@pytest.mark.parametrize(("language", "written"), [("en", True), ("uk", False)])
def test_only_what_the_provider_understands_is_written_down_there(language: str, written: bool) -> None:
    said = Record(lines=(Line(language=language, words="Speak."),))
    asked = document([said], next_url=NEXT, recorded_url=DONE, transcribed_url="/channels/voice/main/transcribed")
    assert faults(asked) == []
    record = fromstring(asked)[1]
    assert (record.get("transcribe") == "true", "transcribeCallback" in record.attrib) == (written, written)
    assert "transcribe" not in fromstring(made(said))[1].attrib


def test_somebody_is_led_elsewhere_without_a_word() -> None:
    assert faults(redirect(NEXT)) == [] and fromstring(redirect(NEXT)).findtext("Redirect") == NEXT
