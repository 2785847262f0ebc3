"""What travels between the gateway and its workers arrives as it was."""

from __future__ import annotations

import dataclasses
import pickle
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pytest

from gateway.worker_protocol import Broken, Lost, Parsed, Task, UsePolicy, packed, read_frame, write_frame
from normalizer.mail.read import read
from normalizer.message import InlineBody, RawMessage
from router.policy import Policy
from router.route import route
from tests.router.building import shipped

CASES = sorted((Path(__file__).parent.parent / "normalizer" / "cases").glob("*.eml"))
NOW = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)


def raw(content: bytes) -> RawMessage:
    return RawMessage(
        channel="mail", account="support", format="mail/1", external_id="1", fingerprint="f", peer="ann@client.example",
        received_at=NOW, body=InlineBody(content=content), facts={"rcpt_to": ["support@desk.example"], "tls": False},
        deliveries=(("support", "support@desk.example"),),
    )  # fmt: skip


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_every_event_comes_back_equal(path: Path) -> None:
    task = Task(id=7, raw=raw(path.read_bytes()))
    event = read(task.raw)
    parsed = Parsed(event=event)
    assert pickle.loads(packed([task, (7, parsed)])) == [task, (7, parsed)]


def test_an_assignment_comes_back_and_stays_frozen() -> None:
    said = read(raw(b"From: ann@client.example\r\n\r\nThe server is down\r\n"))
    assert dataclasses.is_dataclass(said)
    parsed = Parsed(event=said, assignment=route(said, shipped(), NOW, channel="mail", account="support"))  # type: ignore[arg-type]
    again = pickle.loads(packed(parsed))
    assert again == parsed and again.assignment.because
    with pytest.raises(dataclasses.FrozenInstanceError):
        again.assignment.line = "L4"


def test_a_policy_searches_with_the_phrases_of_its_vocabulary() -> None:
    policy = pickle.loads(packed(UsePolicy(version=1, policy=shipped()))).policy
    assert isinstance(policy, Policy)
    assert any(policy.classifier is not None and part is policy.classifier.concepts for part in policy.vocabulary.parts)


def test_frames_follow_each_other() -> None:
    pipe = BytesIO()
    write_frame(pipe, [(1, Broken(reason="a")), (2, Lost(reason="b"))])
    write_frame(pipe, "ready")
    pipe.seek(0)
    assert read_frame(pipe) == [(1, Broken(reason="a")), (2, Lost(reason="b"))]
    assert read_frame(pipe) == "ready"
    with pytest.raises(EOFError):
        read_frame(pipe)
