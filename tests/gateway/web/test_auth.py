"""Who may do what: tokens, scopes, contracts, expiry, revoking."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from gateway.store import tokens
from gateway.web.api import ROUTES
from tests.gateway.conftest import FrozenClock
from tests.gateway.staffed import Site, rows

NUMBERED = ("ticket", "attachment", "entry", "notice", "token", "incident", "contact", "change")
PATHS = {**dict.fromkeys(NUMBERED, "1"), "write": "1", "feed": "desk"}
GUARDED = [route for route in ROUTES if route.scope is not None]


@pytest.mark.parametrize("route", GUARDED, ids=lambda route: f"{route.method} {route.path}")
async def test_every_route_wants_a_token_with_its_scope(site: Site, route: Any) -> None:
    path = route.path.format(**PATHS)
    async with site.session.request(route.method, f"{site.url}/api/v1{path}") as response:
        assert response.status == 401
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
    below = {"read": (), "reply": ("read",), "admin": ("reply",)}[route.scope]
    if below:
        status, problem = await site.ask(route.method, path, await site.token(below))
        assert status == 403
        assert route.scope in problem["detail"]
    status, _ = await site.ask(route.method, path, await site.token((route.scope,)))
    assert status not in (401, 403)


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Basic Z3c6eA==", "Bearer gw_00000000_" + "0" * 40, "Bearer gw_x", "Bearer кл"],
)  # fmt: skip
async def test_a_token_that_is_none_is_401(site: Site, header: str) -> None:
    async with site.session.get(f"{site.url}/api/v1/tickets", headers={"Authorization": header}) as response:
        assert response.status == 401
        assert (await response.json(content_type=None))["title"] == "Unauthorized"


async def test_a_token_ends_by_time_and_by_hand(site: Site, clock: FrozenClock) -> None:
    admin, short = await site.token(), await site.token(("read",), expires_in=timedelta(hours=1))
    assert (await site.get("/tickets", short))[0] == 200
    clock.forward(timedelta(hours=1))
    assert (await site.get("/tickets", short))[0] == 401
    mine = await site.token(("read",))
    listed = (await site.get("/tokens", admin))[1]["items"]
    assert (await site.post(f"/tokens/{listed[0]['id']}/revoke", admin))[0] == 200
    assert (await site.get("/tickets", mine))[0] == 401
    assert (await site.post("/tokens/999/revoke", admin))[0] == 404


async def test_a_token_of_an_agent_who_left_opens_nothing(site: Site) -> None:
    token = await site.token(("reply",), agent="oleh")
    assert (await site.get("/tickets", token))[0] == 401
    assert (await site.get("/tickets", await site.token(("reply",), agent=tokens.ADMIN)))[0] == 200


async def test_a_token_of_a_contract_sees_only_its_tickets(site: Site) -> None:
    mine, other, stranger = (
        await site.ticket(contract="acme"),
        await site.ticket(contract="borealis"),
        await site.ticket(),
    )
    token = await site.token(("reply",), contracts=("acme",))
    _, page = await site.get("/tickets", token)
    assert [item["id"] for item in page["items"]] == [mine]
    assert (await site.get(f"/tickets/{mine}/events", token))[0] == 200
    for hidden in (other, stranger):
        for path in ("", "/events", "/decision", "/notices", "/ratings", "/attachments/1"):
            assert (await site.get(f"/tickets/{hidden}{path}", token))[0] == 404
        assert (await site.post(f"/tickets/{hidden}/note", token, {"text": "x"}))[0] == 404
    for contract in ("borealis", None):
        assert (await site.post(f"/tickets/{mine}/contract", token, {"contract": contract}))[0] == 403
    body = {"account": "support", "requester": {"address": "a@b.example"}, "subject": "s", "text": "t"}
    assert (await site.post("/tickets", token, body))[0] == 403
    assert (await site.post("/tickets", token, body | {"contract": "acme"}))[0] == 201


@pytest.mark.parametrize("path", ["/status", "/tokens", "/journal", "/quarantine", "/outbox"])
async def test_a_token_of_a_contract_does_not_operate(site: Site, path: str) -> None:
    status, problem = await site.get(path, await site.token(("admin",), contracts=("acme",)))
    assert status == 403
    assert "contracts" in problem["detail"]


async def test_a_secret_is_shown_once_and_stored_nowhere(site: Site) -> None:
    admin = await site.token()
    body = {"agent": "pavlo", "scopes": ["read"], "contracts": ["acme"], "note": "his laptop"}
    status, made = await site.post("/tokens", admin, body, key="k")
    assert (status, made["agent"]) == (200, "pavlo")
    assert (await site.get("/tickets", made["token"]))[0] == 200
    repeated = await site.post("/tokens", admin, body, key="k")
    assert repeated == (200, {**made, "token": None})
    for table in ("token", "idempotency"):
        stored = repr(await site.db.read(lambda conn, table=table: rows(conn, table)))
        assert made["token"] not in stored
        assert made["token"].rpartition("_")[2] not in stored
    _, listed = await site.get("/tokens", admin)
    assert listed["items"][0]["prefix"] == made["token"].split("_")[1]
    assert "token_hash" not in listed["items"][0]


@pytest.mark.parametrize(
    "change",
    [{"agent": "stranger"}, {"scopes": []}, {"scopes": ["root"]}, {"contracts": ["nobody"]},
     {"expires_at": "2020-01-01T00:00:00Z"}],
)  # fmt: skip
async def test_a_token_that_makes_no_sense_is_422(site: Site, change: dict[str, Any]) -> None:
    assert (await site.post("/tokens", await site.token(), {"agent": "olena", "scopes": ["read"], **change}))[0] == 422


async def test_last_use_is_written_once_an_hour(site: Site, clock: FrozenClock) -> None:
    token = await site.token(("read",))
    used = []
    for minutes in (0, 30, 29, 2):
        clock.forward(timedelta(minutes=minutes))
        await site.get("/tickets", token)
        used.append((await site.db.read(lambda conn: rows(conn, "token")))[0]["used_at"])
    assert used[0] == used[1] == used[2] < used[3]


def test_tokens_are_made_from_random_bits_only() -> None:
    text = tokens.make("0123456789abcdef" * 3)
    assert text == "gw_01234567_89abcdef0123456789abcdef0123456789abcdef"
    with pytest.raises(ValueError, match="48"):
        tokens.make("abc")
