"""Known incidents over the API: who may open, see and close which."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.store import schema
from tests.gateway.staffed import Site, rows

MAIL = {"text": {"uk": "не працює пошта"}, "contracts": ["acme"], "classes": [4], "words": ["пошта"]}


def ticket(subject: str) -> dict[str, Any]:
    return {
        "account": "support", "requester": {"address": "ira@acme.example"}, "subject": subject, "text": "Не працює.",
        "contract": "acme",
    }  # fmt: skip


async def test_an_incident_is_opened_linked_shown_and_closed_once(site: Site) -> None:
    token = await site.token(("reply",))
    status, made = await site.post("/incidents", token, MAIL, key="one")
    assert status == 201
    assert (await site.post("/incidents", token, MAIL, key="one"))[1] == made
    assert (made["opened_by"], made["closed_at"], made["linked"]) == ("agent:olena", None, 0)
    _, opened = await site.post("/tickets", token, ticket("Пошта"))
    _, shown = await site.get(f"/tickets/{opened['id']}", token)
    assert shown["incident"] == made["id"]
    assert shown["tags"] == [f"incident:{made['id']}"]
    _, decision = await site.get(f"/tickets/{opened['id']}/decision", token)
    assert "incident" in [event["kind"] for event in decision["changes"]]
    _, page = await site.get("/incidents?open=true", token)
    assert [(item["id"], item["linked"]) for item in page["items"]] == [(made["id"], 1)]
    path = f"/incidents/{made['id']}"
    assert (await site.get(path, token))[1]["tickets"] == [opened["number"]]
    status, done = await site.post(f"{path}/close", token, {"text": {"uk": "Замінили диск."}})
    assert (status, done["closed_by"], done["outcome"]) == (200, "agent:olena", {"uk": "Замінили диск."})
    assert (await site.post(f"{path}/close", token))[0] == 409
    assert (await site.get("/incidents?open=true", token))[1]["items"] == []
    timers = await site.db.read(lambda conn: rows(conn, schema.timer.name))
    assert [(row["ticket_id"], row["version"]) for row in timers if row["kind"] == "incident"] == [
        (opened["id"], made["id"])
    ]


@pytest.mark.parametrize(
    "body",
    [
        {**MAIL, "text": {}},
        {**MAIL, "text": {"de": "x"}},
        {**MAIL, "text": {"uk": "x" * 301}},
        {**MAIL, "classes": [7]},
        {**MAIL, "contracts": ["nobody"]},
        {**MAIL, "words": ["!"]},
        {"text": {"en": "x"}},
    ],
)
async def test_what_makes_no_sense_is_refused(site: Site, body: dict[str, Any]) -> None:
    assert (await site.post("/incidents", await site.token(), body))[0] == 422


async def test_a_token_of_a_contract_speaks_to_its_people_only(site: Site) -> None:
    admin, acme = await site.token(), await site.token(("reply",), contracts=["acme"])
    for contracts in ([], ["borealis"], ["acme", "borealis"]):
        assert (await site.post("/incidents", acme, {**MAIL, "contracts": contracts}))[0] == 403
    ids = {}
    for name, contracts in {"all": [], "other": ["borealis"], "both": ["acme", "borealis"], "own": ["acme"]}.items():
        ids[name] = (await site.post("/incidents", admin, {**MAIL, "contracts": contracts}))[1]["id"]
    _, page = await site.get("/incidents", acme)
    assert {item["id"]: item["contracts"] for item in page["items"]} == {
        ids["all"]: [], ids["both"]: ["acme"], ids["own"]: ["acme"],
    }  # fmt: skip
    closed = {name: (await site.post(f"/incidents/{number}/close", acme))[0] for name, number in ids.items()}
    assert closed == {"all": 403, "other": 404, "both": 403, "own": 200}
    assert (await site.get(f"/incidents/{ids['other']}", acme))[0] == 404
