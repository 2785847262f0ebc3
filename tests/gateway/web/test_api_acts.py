"""Acts over the API: each has its effect after the commit, once per `Idempotency-Key`."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest

from gateway.store import tickets
from tests.gateway.staffed import Site, count, rows

ACTS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("reply", {"text": "Вітаю"}, {"status": "open"}),
    ("note", {"text": "look at the switch"}, {"status": "new"}),
    ("ask", {"text": "Which room?"}, {"status": "waiting"}),
    ("resolve", {"result": "Картридж замінено"}, {"status": "resolved"}),
    ("status", {"status": "held"}, {"status": "held"}),
    ("class", {"class": 4}, {"class": 4}),
    ("contract", {"contract": "acme"}, {"line": "L1"}),
    ("line", {"line": "L2", "reason": "needs an engineer"}, {"line": "L2"}),
    ("onsite", {"onsite": True}, {"onsite": True}),
    ("visit", {"agreed": {"from": "2026-03-03T09:00:00+02:00", "to": "2026-03-03T11:00:00+02:00"}}, {"onsite": True}),
    ("assignee", {"agent": "pavlo"}, {"assignee": "pavlo"}),
    ("requester", {"address": "Bob@Client.example", "name": "Bob"}, {"status": "new"}),
]


@pytest.mark.parametrize(("act", "body", "expected"), ACTS, ids=[act for act, *_ in ACTS])
async def test_an_act_changes_the_ticket_and_its_history(
    site: Site, act: str, body: dict[str, Any], expected: dict[str, Any]
) -> None:
    ticket, token = await site.ticket(), await site.token(("reply",))
    status, state = await site.post(f"/tickets/{ticket}/{act}", token, body)
    assert status == 200, state
    assert state.items() >= expected.items()
    assert "outbox" in site.woken
    _, found = await site.get(f"/tickets/{ticket}/events", token)
    last = found["items"][-1]
    assert (last["id"], last["actor"]) == (state["event"], "agent:olena")


BAD: list[tuple[str, dict[str, Any], int]] = [
    ("reply", {"text": "  "}, 422),
    ("reply", {}, 422),
    ("reply", {"text": "x", "colour": "red"}, 422),
    ("reply", {"text": "x", "attachments": [{"filename": "../x", "content": "eA=="}]}, 422),
    ("reply", {"text": "x", "attachments": [{"filename": "x", "content": "%%%"}]}, 422),
    ("resolve", {}, 422),
    ("status", {"status": "resolved"}, 422),
    ("status", {"status": "new"}, 409),
    ("class", {"class": 7}, 422),
    ("class", {}, 422),
    ("contract", {"contract": "nobody"}, 422),
    ("contract", {"contract": None}, 409),
    ("line", {"line": "L2"}, 422),
    ("line", {"line": "L1", "reason": "x"}, 409),
    ("onsite", {"onsite": False}, 409),
    ("visit", {}, 422),
    ("visit", {"wanted": {"from": "2026-03-03T09:00:00", "to": "2026-03-03T11:00:00"}}, 422),
    ("visit", {"wanted": {"from": "2026-03-03T09:00:00Z", "to": "2026-03-03T08:00:00Z"}}, 422),
    ("assignee", {"agent": "nobody-we-know"}, 422),
    ("requester", {"address": "support@desk.example"}, 422),
    ("requester", {"address": "no address"}, 422),
    ("proposal", {}, 409),
    ("survey", {}, 409),
]


@pytest.mark.parametrize(("act", "body", "expected"), BAD)
async def test_what_makes_no_sense_changes_nothing(site: Site, act: str, body: dict[str, Any], expected: int) -> None:
    ticket, token = await site.ticket(), await site.token(("reply",))
    before = await site.db.read(lambda conn: tickets.get(conn, ticket))
    status, problem = await site.post(f"/tickets/{ticket}/{act}", token, body)
    assert (status, problem["status"]) == (expected, expected)
    assert problem["detail"]
    assert await site.db.read(lambda conn: tickets.get(conn, ticket)) == before
    assert await site.db.read(lambda conn: count(conn, "event")) == 1
    assert await site.db.read(lambda conn: count(conn, "message")) == 0
    assert site.woken == []


async def test_a_reply_with_files_small_and_big(site: Site) -> None:
    ticket, token = await site.ticket(), await site.token(("reply",))
    contents = {"note.txt": b"small", "dump.bin": bytes(200_000)}
    files = [{"filename": name, "content": base64.b64encode(data).decode()} for name, data in contents.items()]
    assert (await site.post(f"/tickets/{ticket}/reply", token, {"text": "see", "attachments": files}))[0] == 200
    _, found = await site.get(f"/tickets/{ticket}", token)
    for item in found["messages"][0]["attachments"]:
        url = item["url"].removeprefix("/api/v1")
        assert (await site.get(url, token))[1] == contents[item["filename"]]


async def test_a_proposal_is_accepted_as_class_and_line(site: Site) -> None:
    ticket, token = (
        await site.ticket(proposed_class=4, proposed_line="L2", contract="acme"),
        await site.token(("reply",)),
    )
    _, state = await site.post(f"/tickets/{ticket}/proposal", token)
    assert (state["class"], state["line"]) == (4, "L2")
    _, found = await site.get(f"/tickets/{ticket}", token)
    assert (found["proposed_class"], found["proposed_line"]) == (None, None)
    _, found = await site.get(f"/tickets/{ticket}/events", token)
    assert [event["kind"] for event in found["items"]] == ["opened", "class", "line"]


# -- once ---------------------------------------------------------------------------------


async def test_the_same_key_and_body_give_the_stored_answer(site: Site) -> None:
    ticket, token = await site.ticket(), await site.token(("reply",))
    first = await site.post(f"/tickets/{ticket}/reply", token, {"text": "hello"}, key="k1")
    again = await site.post(f"/tickets/{ticket}/reply", token, {"text": "hello"}, key="k1")
    assert first == again
    assert await site.db.read(lambda conn: count(conn, "message")) == 1
    other_key = await site.post(f"/tickets/{ticket}/reply", token, {"text": "hello"}, key="k2")
    assert other_key[1]["event"] != first[1]["event"]


async def test_the_same_key_with_another_request_is_422(site: Site) -> None:
    ticket, token = await site.ticket(), await site.token(("reply",))
    await site.post(f"/tickets/{ticket}/reply", token, {"text": "hello"}, key="k1")
    for path, body in (("reply", {"text": "good bye"}), ("note", {"text": "hello"})):
        status, problem = await site.post(f"/tickets/{ticket}/{path}", token, body, key="k1")
        assert status == 422
        assert "Idempotency-Key" in problem["detail"]
    assert await site.db.read(lambda conn: count(conn, "message")) == 1


async def test_one_key_at_once_has_one_effect(site: Site) -> None:
    ticket, token = await site.ticket(), await site.token(("reply",))
    answers = await asyncio.gather(
        *(site.post(f"/tickets/{ticket}/reply", token, {"text": "hello"}, key="k") for _ in range(12))
    )
    assert {status for status, _ in answers} == {200}
    assert len({body["event"] for _, body in answers}) == 1
    assert await site.db.read(lambda conn: count(conn, "message")) == 1


async def test_keys_of_two_tokens_are_two_keys(site: Site) -> None:
    ticket = await site.ticket()
    for agent in ("olena", "pavlo"):
        token = await site.token(("reply",), agent)
        assert (await site.post(f"/tickets/{ticket}/note", token, {"text": agent}, key="k"))[0] == 200
    assert await site.db.read(lambda conn: count(conn, "message")) == 2


async def test_an_act_that_failed_does_not_use_up_its_key(site: Site) -> None:
    ticket, token = await site.ticket(status="closed"), await site.token(("reply",))
    assert (await site.post(f"/tickets/{ticket}/ask", token, {"text": "?"}, key="k"))[0] == 409
    await site.post(f"/tickets/{ticket}/status", token, {"status": "open"})
    assert (await site.post(f"/tickets/{ticket}/ask", token, {"text": "?"}, key="k"))[0] == 200


@pytest.mark.parametrize("key", ["with space", "x" * 129, "ключ"])
async def test_a_key_is_short_ascii(site: Site, key: str) -> None:
    ticket, token = await site.ticket(), await site.token(("reply",))
    status, _ = await site.post(f"/tickets/{ticket}/note", token, {"text": "x"}, key=key)
    assert status == 422


# -- registering --------------------------------------------------------------------------


async def test_a_ticket_is_registered_for_a_caller(site: Site) -> None:
    token = await site.token(("reply",))
    body = {
        "account": "support", "requester": {"address": "Ivan@Acme.example", "name": "Іван"}, "subject": "Принтер",
        "text": "Не друкує другий день", "language": "uk", "class": 4,
    }  # fmt: skip
    status, state = await site.post("/tickets", token, body, key="call-1")
    assert (status, state["status"], state["class"]) == (201, "new", 4)
    assert (await site.post("/tickets", token, body, key="call-1"))[1] == state
    _, found = await site.get(f"/tickets/{state['number']}", token)
    assert (found["requester"]["address"], found["contract"]) == ("ivan@acme.example", "acme")
    assert found["registered_by"] == "olena"
    assert found["messages"][0]["text"] == "Не друкує другий день"
    assert found["deadlines"]["reaction"]["due"] == "2026-03-02T10:00:00Z"
    assert any(reason["cause"] == "staff" for reason in found["because"])
    assert len(await site.db.read(lambda conn: rows(conn, "ticket"))) == 1


@pytest.mark.parametrize(
    "change", [{"account": "nowhere"}, {"contract": "nobody"}, {"requester": {"address": "support@desk.example"}},
               {"subject": ""}, {"text": " "}, {"contract": "acme", "line": "L4"},
               *({"requester": {"address": address}} for address in (
                   "not an address", "a@b.example, c@d.example", "a@b.example\r\nBcc: c@d.example", "a@b.example\u202e"
               ))],
)  # fmt: skip
async def test_a_registration_that_makes_no_sense_is_422(site: Site, change: dict[str, Any]) -> None:
    body = {"account": "support", "requester": {"address": "a@b.example"}, "subject": "s", "text": "t", **change}
    assert (await site.post("/tickets", await site.token(("reply",)), body))[0] == 422
    assert await site.db.read(lambda conn: count(conn, "ticket")) == 0
