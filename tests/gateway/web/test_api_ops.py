"""What operators do: journal and quarantine, replay, outbox, status."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, insert

from gateway.store import outbox, schema
from tests.gateway.conftest import START
from tests.gateway.outgoing import draft
from tests.gateway.staffed import Site, rows

RAW = b"Subject: x\r\n\r\nhello"


def _entry(conn: Connection, name: str, **values: Any) -> int:
    row = {
        "channel": "mail", "account": "support", "format": "mail/1", "external_id": name, "fingerprint": "0" * 64,
        "dedupe": hashlib.sha256(name.encode()).digest(), "peer": "ann@client.example", "received_at": START,
        "accepted_at": START, "size": len(RAW), "sha256": hashlib.sha256(RAW).hexdigest(), "facts": {}, **values,
    }  # fmt: skip
    entry_id = int(conn.execute(insert(schema.entry).values(row).returning(schema.entry.c.id)).scalar_one())
    conn.execute(insert(schema.raw).values(entry_id=entry_id, content=RAW))
    return entry_id


async def _journal(site: Site) -> dict[str, int]:
    def write(conn: Connection) -> dict[str, int]:
        return {
            "done": _entry(conn, "done", state="done", outcome={"kind": "opened"}),
            "bad": _entry(conn, "bad", state="quarantined", attempts=3, error="time: 10 s"),
            "late": _entry(conn, "late", state="done", accepted_at=START + timedelta(hours=1)),
            "pending": _entry(conn, "pending"),
        }

    return await site.db.write(write)


async def test_quarantine_is_listed_and_shown_with_its_reason_and_bytes(site: Site) -> None:
    ids, token = await _journal(site), await site.token()
    _, page = await site.get("/quarantine", token)
    assert [(e["id"], e["error"], e["attempts"]) for e in page["items"]] == [(ids["bad"], "time: 10 s", 3)]
    status, found = await site.get(f"/journal/{ids['bad']}", token)
    assert (status, found["state"]) == (200, "quarantined")
    assert await site.get(f"/journal/{ids['bad']}/raw", token) == (200, RAW)
    assert (await site.get("/journal/4711", token))[0] == (await site.get("/journal/4711/raw", token))[0] == 404


async def test_bytes_that_are_not_kept_any_more_are_410(site: Site) -> None:
    entry = await site.db.write(lambda conn: _entry(conn, "old", state="done"))
    await site.db.write(lambda conn: conn.execute(schema.raw.delete()).rowcount)
    assert (await site.get(f"/journal/{entry}/raw", await site.token()))[0] == 410


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"entries": ["done"]}, ["done"]),
        ({"quarantined": True}, ["bad"]),
        ({"since": "2026-03-02T10:00:00Z"}, ["late"]),
        ({"since": "2026-03-02T09:30:00Z", "until": "2026-03-02T10:00:00Z"}, ["done", "bad"]),
        ({"entries": ["pending"]}, []),
        ({"entries": ["done", "bad"], "quarantined": True}, ["bad"]),
    ],
)
async def test_replay_takes_those_that_were_named(site: Site, body: dict[str, Any], expected: list[str]) -> None:
    ids, token = await _journal(site), await site.token()
    if "entries" in body:
        body = {**body, "entries": [ids[name] for name in body["entries"]]}
    status, answer = await site.post("/journal/replay", token, {**body, "reroute": True})
    assert (status, answer) == (200, {"count": len(expected)})
    again = {e["id"]: e for e in await site.db.read(lambda conn: rows(conn, "entry")) if e["generation"]}
    assert sorted(again) == sorted(ids[name] for name in expected)
    assert all((e["state"], e["reroute"], e["notify"]) == ("pending", True, False) for e in again.values())
    assert "journal" in site.woken


async def test_replay_of_nothing_in_particular_is_422(site: Site) -> None:
    assert (await site.post("/journal/replay", await site.token(), {}))[0] == 422


async def _notices(site: Site) -> dict[str, int]:
    def write(conn: Connection) -> dict[str, int]:
        found = {}
        for state in ("waiting", "dead", "sent"):
            notice = outbox.put(conn, draft(state, message_id=f"{state}@desk.example"), START)
            assert notice is not None
            conn.execute(schema.outbox.update().where(schema.outbox.c.id == notice).values(state=state))
            found[state] = notice
        return found

    return await site.db.write(write)


async def test_the_outbox_lists_what_needs_somebody(site: Site) -> None:
    await _notices(site)
    token = await site.token()
    shown = {
        query: sorted(item["state"] for item in (await site.get(f"/outbox{query}", token))[1]["items"])
        for query in ("", "?state=dead", "?state=sent", "?state=all")
    }
    assert shown == {
        "": ["dead", "waiting"], "?state=dead": ["dead"], "?state=sent": ["sent"],
        "?state=all": ["dead", "sent", "waiting"],
    }  # fmt: skip
    _, page = await site.get("/outbox?state=all&limit=2", token)
    assert len((await site.get(f"/outbox?state=all&limit=2&cursor={page['next_cursor']}", token))[1]["items"]) == 1
    assert (await site.get("/outbox?state=lost", token))[0] == 422


async def test_a_dead_notice_is_sent_again_or_dropped(site: Site) -> None:
    ids, token = await _notices(site), await site.token()
    assert (await site.post(f"/outbox/{ids['dead']}/retry", token))[1]["state"] == "waiting"
    assert "outbox" in site.woken
    assert (await site.post(f"/outbox/{ids['waiting']}/drop", token))[1]["state"] == "suppressed"
    status, problem = await site.post(f"/outbox/{ids['sent']}/drop", token)
    assert status == 409
    assert "sent" in problem["detail"]
    assert (await site.post("/outbox/4711/retry", token))[0] == 404


async def test_status_has_everything_on_one_screen(site: Site) -> None:
    await _journal(site)
    await _notices(site)
    await site.ticket()
    await site.ticket(status="closed")
    status, found = await site.get("/status", await site.token())
    assert status == 200
    assert found["journal"] == {"pending": 1, "quarantined": 1, "oldest": "2026-03-02T09:30:00Z"}
    assert {name: found["outbox"][name] for name in ("waiting", "due", "dead")} == {"waiting": 1, "due": 1, "dead": 1}
    assert found["tickets"] == {"new": 1}
    assert found["last_accepted"] == {"mail/support": "2026-03-02T10:30:00Z"}
    assert found["ready"]
    assert found["database_schema"]
    assert found["disk_free"] > 0
