"""Reading tickets: the item, filters, pages, messages with revisions, downloads, the trace of decisions."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, insert

from gateway.store import schema, tickets
from normalizer.message import Attachment
from tests.gateway.conftest import START
from tests.gateway.staffed import Site

ITEM_KEYS = {
    "id", "number", "channel", "requester", "subject", "status", "class", "line", "onsite", "deadlines", "messages",
}  # fmt: skip


def _attachment(content: bytes, filename: str, content_type: str = "text/html", **more: Any) -> Attachment:
    digest = hashlib.sha256(content).hexdigest()
    return Attachment(
        filename=filename, content_type=content_type, size=len(content), sha256=digest, content=content, **more
    )


def _say(conn: Connection, ticket_id: int, text: str, *attachments: Attachment, **columns: Any) -> int:
    message = tickets.add_message(
        conn, ticket_id, direction="in", kind="message", author="ann@client.example", text=text, at=START, **columns
    )
    tickets.add_attachments(conn, message, attachments)
    return message


async def test_an_item_has_the_public_keys_and_its_messages(site: Site) -> None:
    ticket = await site.ticket(class_=4, line="L2", contract="acme", onsite=True)
    await site.db.write(lambda conn: _say(conn, ticket, "Не друкує", _attachment(b"<b>log</b>", "лог.html")))
    status, page = await site.get("/tickets", await site.token(("read",)))
    assert status == 200
    (item,) = page["items"]
    assert item.keys() >= ITEM_KEYS
    assert item["requester"] == {"address": "ann@client.example", "name": "Ann"}
    assert (item["class"], item["line"], item["onsite"], item["status"]) == (4, "L2", True, "new")
    (message,) = item["messages"]
    assert (message["direction"], message["text"], message["verified"]) == ("in", "Не друкує", True)
    assert message["at"] == "2026-03-02T09:30:00Z"
    assert [(a["filename"], a["size"]) for a in message["attachments"]] == [("лог.html", 10)]
    assert set(item["deadlines"]) == {"reaction", "resolution"}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", "abc"),
        ("channel=mail", "abc"),
        ("channel=telegram", ""),
        ("requester=Ann@Client.example", "abc"),
        ("requester=bob@client.example", ""),
        ("status=waiting", "b"),
        ("line=L2", "a"),
        ("contract=acme", "a"),
        ("class=4", "a"),
        ("class=6", "c"),
        ("assignee=olena", "b"),
        ("status=waiting&line=L2", ""),
    ],
)
async def test_every_filter_filters(site: Site, query: str, expected: str) -> None:
    ids = {
        await site.ticket(class_=4, line="L2", contract="acme"): "a",
        await site.ticket(status="waiting", assignee="olena"): "b",
        await site.ticket(class_=6): "c",
    }
    status, page = await site.get(f"/tickets?{query}", await site.token(("read",)))
    assert status == 200
    assert sorted(ids[item["id"]] for item in page["items"]) == list(expected)


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=201", "class=7", "status=lost", "colour=red", "cursor=x", "line=L5"]
)
async def test_a_query_that_makes_no_sense_is_422_and_says_where(site: Site, query: str) -> None:
    status, problem = await site.get(f"/tickets?{query}", await site.token(("read",)))
    assert status == 422
    assert problem["status"] == 422
    assert query.partition("=")[0] in str(problem)


async def test_pages_are_stable_while_tickets_arrive(site: Site) -> None:
    token = await site.token(("read",))
    before = [await site.ticket() for _ in range(7)]
    seen, cursor = [], ""
    while True:
        _, page = await site.get(f"/tickets?limit=3{cursor}", token)
        seen += [item["id"] for item in page["items"]]
        await site.ticket()
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == sorted(before, reverse=True)


async def test_a_ticket_is_found_by_number_and_by_id(site: Site) -> None:
    ticket = await site.ticket(because=[{"what": "class", "value": "4", "cause": "rule:x"}])
    token = await site.token(("read",))
    _, by_id = await site.get(f"/tickets/{ticket}", token)
    status, by_number = await site.get(f"/tickets/{by_id['number']}", token)
    assert status == 200
    assert by_number == by_id
    assert by_id["because"][0]["cause"] == "rule:x"
    assert by_id["participants"] == [{"address": "ann@client.example", "name": "Ann", "role": "requester"}]


@pytest.mark.parametrize("reference", ["99999999", "4711", "none", "1" * 30, "%00", "..%2Ftokens"])
async def test_what_is_not_there_is_404(site: Site, reference: str) -> None:
    status, _ = await site.get(f"/tickets/{reference}", await site.token(("read",)))
    assert status == 404


def _entry(conn: Connection, **values: Any) -> int:
    row = {
        "channel": "mail", "account": "support", "format": "mail/1", "external_id": "a@b", "fingerprint": "0" * 64,
        "dedupe": hashlib.sha256(repr(values).encode()).digest(), "peer": "ann@client.example", "received_at": START,
        "accepted_at": START, "size": 4, "sha256": "1" * 64, "facts": {"tls": True}, **values,
    }  # fmt: skip
    return int(conn.execute(insert(schema.entry).values(row).returning(schema.entry.c.id)).scalar_one())


async def test_revisions_of_a_message_and_unverified_ones(site: Site) -> None:
    ticket = await site.ticket()

    def write(conn: Connection) -> None:
        entry = _entry(conn, generation=1)
        for generation, text in enumerate(("����", "Привіт")):
            tickets.add_revision(
                conn, ticket, entry_id=entry, generation=generation, direction="in", kind="message",
                author="ann@client.example", text=text, at=START, verified=False,
            )  # fmt: skip

    await site.db.write(write)
    _, found = await site.get(f"/tickets/{ticket}", await site.token(("read",)))
    (message,) = found["messages"]
    assert (message["text"], message["verified"]) == ("Привіт", False)
    assert [revision["text"] for revision in message["revisions"]] == ["����"]


async def test_the_decision_trace_names_rules_and_entries(site: Site) -> None:
    reason = {"what": "line", "value": "L2", "cause": "rule:printer", "detail": "printer"}
    ticket = await site.ticket(class_=4, line="L2", because=[reason])

    def write(conn: Connection) -> int:
        entry = _entry(conn, state="done", outcome={"kind": "opened"})
        tickets.add_revision(
            conn, ticket, entry_id=entry, generation=0, direction="in", kind="message", author="a@b", text="x", at=START
        )
        return entry

    entry = await site.db.write(write)
    status, decision = await site.get(f"/tickets/{ticket}/decision", await site.token(("read",)))
    assert status == 200
    assert decision["because"] == [reason]
    assert [(e["entry"], e["outcome"]) for e in decision["entries"]] == [(entry, {"kind": "opened"})]
    assert [event["kind"] for event in decision["changes"]] == ["opened"]


# -- downloads ----------------------------------------------------------------------------


async def _download(site: Site, path: str, token: str, **headers: str) -> tuple[int, bytes, Any]:
    headers["Authorization"] = f"Bearer {token}"
    async with site.session.get(f"{site.url}{path}", headers=headers) as response:
        return response.status, await response.read(), response.headers


async def test_a_download_can_do_no_harm_in_a_browser(site: Site) -> None:
    ticket = await site.ticket()
    evil = _attachment(b"<script>alert(1)</script>", 'a"b\\ звіт.html')
    await site.db.write(lambda conn: _say(conn, ticket, "see", evil))
    token = await site.token(("read",))
    _, found = await site.get(f"/tickets/{ticket}", token)
    status, body, headers = await _download(site, found["messages"][0]["attachments"][0]["url"], token)
    assert (status, body) == (200, b"<script>alert(1)</script>")
    assert headers["Content-Disposition"].startswith("attachment; filename=\"a_b_ ____.html\"; filename*=UTF-8''a%22b")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"] == "sandbox; default-src 'none'"


@pytest.mark.parametrize("size", [10, 300_000])
@pytest.mark.parametrize(
    ("asked", "status", "part"),
    [("bytes=2-4", 206, slice(2, 5)), ("bytes=-3", 206, slice(-3, None)), ("bytes=5-", 206, slice(5, None))],
)
async def test_ranges_from_row_and_blob(site: Site, size: int, asked: str, status: int, part: slice) -> None:
    content = bytes(index % 251 for index in range(size))
    attachment = _attachment(content, "dump.bin", "application/octet-stream")
    if size > 100_000:
        site.services.blobs.put(content)
        attachment = Attachment(filename="dump.bin", content_type="x/y", size=size, sha256=attachment.sha256)
    ticket = await site.ticket()
    await site.db.write(lambda conn: _say(conn, ticket, "see", attachment))
    token = await site.token(("read",))
    _, found = await site.get(f"/tickets/{ticket}", token)
    url = found["messages"][0]["attachments"][0]["url"]
    assert (await _download(site, url, token))[1] == content
    got, body, headers = await _download(site, url, token, Range=asked)
    assert (got, body) == (status, content[part])
    assert headers["Content-Range"].endswith(f"/{size}")
    assert (await _download(site, url, token, Range=f"bytes={size + 5}-"))[0] == 416


async def test_an_attachment_belongs_to_its_ticket(site: Site) -> None:
    mine, other = await site.ticket(), await site.ticket()
    await site.db.write(lambda conn: _say(conn, mine, "see", _attachment(b"x", "x.txt")))
    token = await site.token(("read",))
    assert (await site.get(f"/tickets/{mine}/attachments/1", token))[0] == 200
    assert (await site.get(f"/tickets/{other}/attachments/1", token))[0] == 404
    assert (await site.get(f"/tickets/{mine}/attachments/2", token))[0] == 404


async def test_ratings_are_listed_with_the_survey(site: Site) -> None:
    ticket = await site.ticket(status="resolved")

    def write(conn: Connection) -> None:
        survey = {
            "ticket_id": ticket, "contact_id": 1, "recipient": "ann@client.example", "resolution": 1, "nonce": "n",
            "token_hash": "h", "channel": "mail", "language": "uk", "asked_at": START,
            "expires_at": START + timedelta(days=9),
        }  # fmt: skip
        survey_id = conn.execute(insert(schema.survey).values(survey).returning(schema.survey.c.id)).scalar_one()
        vote = {
            "survey_id": survey_id,
            "ticket_id": ticket,
            "score": 4,
            "comment": "добре",
            "channel": "mail",
            "at": START,
        }
        conn.execute(insert(schema.rating).values(vote))

    await site.db.write(write)
    _, found = await site.get(f"/tickets/{ticket}/ratings", await site.token(("read",)))
    assert [(r["score"], r["comment"], r["recipient"]) for r in found["items"]] == [(4, "добре", "ann@client.example")]
    assert len(found["surveys"]) == 1
