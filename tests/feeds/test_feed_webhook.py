"""Signed webhooks against a store that checks them, in both directions."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.feeds.contract import Forged, Merged, Outcome, Ref, Replied, Set, Unreadable, Vanished
from gateway.feeds.signing import key_of, signed
from gateway.feeds.webhook import Webhook, WebhookFeed
from tests.feeds.receiver import BACK, OUT, Fault, Receiver, receiver
from tests.feeds.writes import NOW, alter, file, opened, said, say, ticket

ODD_FILE = json.dumps(
    {"changes": [{"id": "1", "ref": "r", "reply": {"text": "t", "files": [{"filename": "a", "content": "%"}]}}]}
).encode()


def settings(url: str, **over: Any) -> WebhookFeed:
    """A feed of this store."""
    return WebhookFeed.model_validate({"kind": "webhook", "url": url, "secret": OUT, "answer_secrets": [BACK], **over})


@asynccontextmanager
async def feed_of(store: Receiver, **over: Any) -> AsyncIterator[Webhook]:
    """A feed that is open."""
    made = Webhook("store", settings(store.url, **over), clock=lambda: NOW)
    await made.open()
    try:
        yield made
    finally:
        await made.close()


async def test_a_ticket_goes_out_signed_and_its_number_comes_back() -> None:
    async with receiver(NOW) as store, feed_of(store) as feed:
        pushed = await feed.push(opened(first=said(files=[file()])))
    assert (pushed.outcome, pushed.ref) == (Outcome.DONE, Ref(id="id-1", number="X-1", url="https://x.example/1"))
    [body] = store.taken.values()
    assert body["type"] == "ticket.opened"
    assert (body["data"]["ticket"]["class"], body["data"]["ticket"]["requester"]["name"]) == ("2", "Олена Коваль")
    [sent] = body["data"]["message"]["files"]
    assert base64.b64decode(sent["content"]) == b"report"


async def test_messages_and_fields_follow_with_what_the_store_calls_the_ticket() -> None:
    ref = Ref(id="id-1", number="X-1")
    async with receiver(NOW) as store, feed_of(store) as feed:
        await feed.push(say(ref, said("m2", "note", public=False)))
        await feed.push(alter(ref, {"status", "line"}, ticket(status="resolved")))
    first, second = store.taken.values()
    assert (first["type"], first["data"]["message"]["public"], first["data"]["ref"]["id"]) == (
        "ticket.message",
        False,
        "id-1",
    )
    assert (second["type"], second["data"]["fields"]) == ("ticket.changed", ["line", "status"])


@pytest.mark.parametrize("fault", ["done and 500", "done and cut"])
async def test_a_lost_answer_is_repeated_under_the_same_name(fault: Fault) -> None:
    async with receiver(NOW) as store, feed_of(store) as feed:
        store.faults.append(fault)
        pushed = await feed.push(opened())
        assert (pushed.outcome, pushed.uncertain) == (Outcome.RETRY, True)
        assert await feed.find(opened()) is None
        assert (await feed.push(opened())).outcome is Outcome.DONE
    assert (len(store.taken), store.repeats) == (1, 1)


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ("500", Outcome.RETRY),
        ("429", Outcome.RETRY),
        ("403", Outcome.RETRY),
        ("redirect", Outcome.RETRY),
        ("410", Outcome.VANISHED),
    ],
)
async def test_a_fault_is_what_it_is(fault: Fault, outcome: Outcome) -> None:
    async with receiver(NOW) as store, feed_of(store) as feed:
        store.faults.append(fault)
        assert (await feed.push(opened())).outcome is outcome
    assert store.taken == {}


async def test_an_answer_without_a_word_of_the_ticket_keeps_our_number() -> None:
    async with receiver(NOW) as store, feed_of(store) as feed:
        store.faults.append("html")
        pushed = await feed.push(opened())
    assert pushed.ref == Ref(id="0a1b2c3d-10000017", number="10000017")


async def test_a_big_file_is_named_and_told_of() -> None:
    async with receiver(NOW) as store, feed_of(store, file_limit=10) as feed:
        pushed = await feed.push(opened(first=said(files=[file("big.bin", b"x" * 11), file("small.txt")])))
    assert list(pushed.left_out) == ["big.bin: over 10 bytes"]
    [body] = store.taken.values()
    assert [each["content"] is None for each in body["data"]["message"]["files"]] == [True, False]


async def test_a_file_that_is_gone_is_ours_to_repeat() -> None:
    def gone() -> bytes:
        raise FileNotFoundError

    lost = file()
    object.__setattr__(lost, "read", gone)
    async with receiver(NOW) as store, feed_of(store) as feed:
        pushed = await feed.push(opened(first=said(files=[lost])))
    assert (pushed.outcome, pushed.uncertain, pushed.of_ticket) == (Outcome.RETRY, False, True)


async def test_check_sends_a_ping_and_names_a_wrong_secret() -> None:
    async with receiver(NOW) as store:
        async with feed_of(store) as feed:
            assert [each.good for each in await feed.check()] == [True]
        async with feed_of(store, secret="whsec_" + "d3Jv" * 8, answer_secrets=[]) as feed:
            [finding] = await feed.check()
    assert not finding.good
    assert "answers 401" in finding.what
    assert finding.mend == "compare `secret` on both sides"
    assert store.taken == {}


def told(*changes: Any, **over: Any) -> tuple[dict[str, str], bytes]:
    """A request of the store's, signed."""
    body = json.dumps({"changes": list(changes), **over}).encode()
    return dict(signed(key_of(BACK), name="in-1", at=NOW, body=body)), body


async def test_what_staff_do_there_is_heard() -> None:
    maps = {"status": {"resolved": ["Done", "Fixed"], "open": "Doing"}}
    at = "2026-11-20T11:00:00+02:00"
    content = base64.b64encode(b"hi").decode()
    reply = {"text": "Готово", "public": True, "files": [{"filename": "a.txt", "content": content}]}
    headers, body = told(
        {"id": "1", "ref": "id-1", "at": at, "actor": "olha", "set": {"status": "fixed", "onsite": True}},
        {"id": "2", "ref": "id-1", "reply": reply},
        {"id": "3", "ref": "id-1", "reply": {"text": "між нами"}},
        {"id": "4", "ref": "id-1", "set": {"status": "Weird", "assignee": None}},
        {"id": "5", "ref": "id-1", "merged": {"id": "id-9", "number": "X-9"}},
        {"id": "6", "ref": "id-1", "vanished": True},
    )
    async with receiver(NOW) as store, feed_of(store, map=maps) as feed:
        heard = (await feed.heard({name.title(): value for name, value in headers.items()}, {}, body, NOW)).heard
    assert [one.id for one in heard] == ["1:status", "1:onsite", "2", "3", "4:status", "4:assignee", "5", "6"]
    assert heard[0].change == Set(field="status", value="resolved", raw="fixed")
    assert heard[1].change == Set(field="onsite", value="true", raw="true")
    assert heard[0].at.isoformat() == "2026-11-20T09:00:00+00:00"
    answer, note = heard[2].change, heard[3].change
    assert isinstance(answer, Replied)
    assert (answer.public, answer.files[0].read()) == (True, b"hi")
    assert isinstance(note, Replied)
    assert not note.public
    assert heard[4].change == Set(field="status", value="", raw="Weird", known=False)
    assert heard[5].change == Set(field="assignee", value="", raw="")
    assert heard[6].change == Merged(into=Ref(id="id-9", number="X-9"))
    assert heard[7].change == Vanished()


async def test_a_forged_request_says_nothing() -> None:
    headers, body = told({"id": "1", "ref": "x", "vanished": True})
    async with receiver(NOW) as store, feed_of(store) as feed:
        with pytest.raises(Forged):
            await feed.heard({**headers, "webhook-id": "in-2"}, {}, body, NOW)
    async with receiver(NOW) as store, feed_of(store, answer_secrets=[]) as feed:
        with pytest.raises(Forged):
            await feed.heard(headers, {}, body, NOW)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "body"),
        (b"[]", "body"),
        (b"\xff\xfe", "body"),
        (b"{}", "changes"),
        (b'{"changes": [{"id": "1", "ref": "r"}]}', "exactly one"),
        (b'{"changes": [{"id": "1", "ref": "r", "vanished": false}]}', "vanished"),
        (b'{"changes": [{"id": "", "ref": "r", "vanished": true}]}', "changes.0.id"),
        (b'{"changes": [{"id": "1", "ref": "r", "set": {"password": "x"}}]}', "set.password"),
        (b'{"changes": [{"id": "1", "ref": "r", "at": "2026-11-20T10:00:00", "vanished": true}]}', "changes.0.at"),
        (ODD_FILE, "base64"),
        (json.dumps({"changes": [{"id": "1", "ref": "r", "vanished": True}] * 201}).encode(), "changes"),
    ],
)
async def test_what_makes_no_sense_is_refused_by_its_place(body: bytes, words: str) -> None:
    headers = signed(key_of(BACK), name="in-1", at=NOW, body=body)
    async with receiver(NOW) as store, feed_of(store) as feed:
        with pytest.raises(Unreadable, match=words):
            await feed.heard(headers, {}, body, NOW)


def test_secrets_that_cannot_be_ones_are_named() -> None:
    odd = settings("https://x.example/hook", secret="short", answer_secrets=[BACK, "whsec_!"])
    assert sorted(odd.wrong_secrets()) == ["answer_secrets.1", "secret"]
