"""sip_call/1: what happened in a call of our own telephone, and who called."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from normalizer.call import Begun, Connected, Ended, Happening, Pressed, Recorded
from normalizer.message import CallEvent, Event, Ignored, InlineBody, RawMessage
from normalizer.normalize import normalize

UKRAINE = {"country": "+380", "trunk": "0"}


def event(content: bytes, facts: dict[str, Any] | None = None) -> Event:
    raw = RawMessage(
        channel="voice", account="main", format="sip_call/1", external_id="1", fingerprint="0" * 64, peer="c1",
        received_at=datetime(2026, 5, 4, tzinfo=UTC), body=InlineBody(content=content), facts=facts or UKRAINE,
    )  # fmt: skip
    return normalize(raw)


def read(facts: dict[str, Any] | None = None, /, **fields: Any) -> CallEvent:
    found = event(json.dumps({"call": "c1", "kind": "begun", **fields}).encode(), facts)
    assert isinstance(found, CallEvent)
    return found


HAPPENED: list[tuple[dict[str, Any], Happening]] = [
    ({"kind": "begun"}, Begun()),
    ({"kind": "pressed", "digits": "12#A\n"}, Pressed(digits="12#")),
    ({"kind": "pressed"}, Pressed(digits="")),
    ({"kind": "recorded", "recording": "ab-1.wav", "seconds": 7, "hung_up": True},
     Recorded(recording="ab-1.wav", seconds=7, hung_up=True)),
    ({"kind": "recorded", "recording": "", "seconds": -3}, Recorded()),
    ({"kind": "connected", "answered": True}, Connected(answered=True)),
    ({"kind": "connected", "answered": "yes"}, Connected(answered=False)),
    ({"kind": "ended", "state": "failed", "seconds": 61}, Ended(state="failed", seconds=61)),
    ({"kind": "ended", "state": "vanished"}, Ended(state="completed")),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "happening"), HAPPENED)
def test_what_happened(fields: dict[str, Any], happening: Happening) -> None:
    found = read(**fields, step=3)
    assert found.happening == happening
    assert found.step == 3
    assert found.aside is isinstance(happening, Ended)


@pytest.mark.parametrize(
    ("sender", "number"),
    [
        ('"Olena" <sip:+380671112233@pbx.example:5060>;tag=1', "+380671112233"),
        ("<sip:0671112233@pbx.example>", "+380671112233"),
        ("sip:380671112233@pbx.example", "+380671112233"),
        ("<sip:00380671112233;phone-context=x@pbx.example>", "+380671112233"),
        ("<tel:+38-067-111.22.33>", "+380671112233"),
        ("<sip:204@pbx.example>", "204"),
        ("<sip:olena@Pbx.Example;transport=udp>", "sip:olena@pbx.example"),
        ("<sip:anonymous@anonymous.invalid>", ""),
        ("Restricted <sip:restricted@pbx.example>", ""),
        ('"x" <sip:7@anonymous.invalid>', ""),
        ('"<sip:+380991112233@x>" <sip:+380671112233@x>', "+380671112233"),
        ("<sip:pbx.example>", ""),
        ("nobody", ""),
        ("", ""),
    ],
)
def test_who_called(sender: str, number: str) -> None:
    assert read({**UKRAINE}, **{"from": sender}).caller.address == number


def test_numbers_are_meant_as_the_country_writes_them() -> None:
    said = {"from": "<sip:89161234567@x>"}
    assert read({"country": "+7", "trunk": "8"}, **said).caller.address == "+79161234567"
    assert read({"country": ""}, **said).caller.address == "89161234567"


def test_the_exchange_knows_better_than_the_caller_and_who_wants_to_be_hidden_is() -> None:
    said = {"from": '"A \\"B\\"" <sip:1@x>', "asserted": "<sip:+380671112233@x>", "diversion": "<sip:0442223344@x>"}
    found = read(**said, to="<sip:101@x>")
    assert (found.caller.address, found.caller.name) == ("+380671112233", 'A "B"')
    assert (found.called, found.forwarded_from) == ("101", "+380442223344")
    for word in ("id", "header;id", "user; critical"):
        assert (read(**said, privacy=word).caller.address, read(**said, privacy=word).caller.name) == ("", "")
    assert read(**said, privacy="none").caller.address == "+380671112233"


def test_only_a_recording_of_ours_is_fetched() -> None:
    assert read(kind="recorded", recording="0a1b-2.wav").source == "0a1b-2.wav"
    for name in ("../../etc/passwd", "x.wav/..", "0a.mp3", "/0a.wav"):
        assert read(kind="recorded", recording=name).source == ""


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b'{"kind": "begun"}', b'{"call": "1", "kind": "sung"}'])
def test_what_nobody_wrote_is_ignored(content: bytes) -> None:
    assert isinstance(event(content), Ignored)


@given(
    st.dictionaries(
        st.sampled_from(
            ["call", "kind", "step", "from", "to", "asserted", "privacy", "diversion", "digits", "recording"]
        ),
        st.one_of(st.text(), st.integers(), st.none(), st.booleans(), st.sampled_from(["begun", "pressed", "ended"])),
    )
)
def test_nothing_raises(fields: dict[str, Any]) -> None:
    assert isinstance(event(json.dumps(fields).encode()), CallEvent | Ignored)


@given(st.binary())
def test_no_bytes_raise(content: bytes) -> None:
    assert isinstance(event(content), CallEvent | Ignored)
