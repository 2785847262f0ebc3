"""Contacts over the API and from a terminal: found, invited, linked, given back."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway import identities
from gateway.context import Context
from gateway.identities import Identity
from gateway.store import people
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from tests.gateway.cli.test_cli_api import Run, run
from tests.gateway.conftest import FrozenClock
from tests.gateway.staffed import Site, desk_context, served

__all__ = ["run"]
IRA, CHAT = "ira@acme.example", Identity(kind="telegram", value="4711")
BOT = {"telegram": {"bot": {"token": "env:NO_SUCH_TOKEN", "username": "acme_bot"}}}


def bots() -> Context:
    """A desk with a bot."""
    return desk_context(channels={"mail": {"support": {"addresses": ["support@desk.example"]}}, **BOT})


@pytest.fixture
async def site(db: Database, blobs: Blobs, clock: FrozenClock, tmp_path: Path) -> AsyncIterator[Site]:
    async with served(db, blobs, clock, tmp_path, ctx=bots()) as running:
        address = running.url.removeprefix("http://")
        (tmp_path / "listening.json").write_text(json.dumps({"http": address}), encoding="utf-8")
        (tmp_path / "token").write_text(await running.token() + "\n", encoding="ascii")
        yield running


async def contact(site: Site, value: str = IRA) -> int:
    now = site.services.clock()
    return await site.db.write(lambda conn: people.contact_for(conn, "mail", value, "Ira", now))


async def known(site: Site, token: str, value: str = IRA) -> dict[str, Any]:
    status, found = await site.get(f"/contacts?kind=mail&value={value}", token)
    assert status == 200
    return dict(found)


async def test_a_link_is_made_shown_once_and_used_once(site: Site) -> None:
    token, ira = await site.token(("reply",)), await contact(site)
    status, made = await site.post(f"/contacts/{ira}/links", token, {}, key="one")
    assert status == 201
    base, _, secret = made["url"].partition("?start=")
    assert base == "https://t.me/acme_bot"
    assert len(secret) == 48 and secret.isalnum()
    assert (await site.post(f"/contacts/{ira}/links", token, {}, key="one"))[1]["url"] is None
    now = site.services.clock()
    assert await site.db.write(lambda conn: identities.use_link(conn, site.services.ctx, CHAT, secret, now=now))
    assert not await site.db.write(lambda conn: identities.use_link(conn, site.services.ctx, CHAT, secret, now=now))
    shown = await known(site, token)
    assert [f"{item['kind']}:{item['value']}" for item in shown["identities"]] == [f"mail:{IRA}", str(CHAT)]
    assert [(change["how"], change["actor"]) for change in shown["changes"]] == [("deep link", "agent:olena")]


async def test_staff_link_and_take_back_what_they_name(site: Site) -> None:
    token, ira = await site.token(("reply",)), await contact(site)
    body = {"kind": "telegram", "value": "4711"}
    status, linked = await site.post(f"/contacts/{ira}/identities", token, body)
    assert status == 200 and len(linked["identities"]) == 2
    change = linked["changes"][0]["id"]
    status, back = await site.post(f"/contacts/changes/{change}/undo", token)
    assert status == 200 and [item["kind"] for item in back["identities"]] == ["telegram"]
    assert (await site.post(f"/contacts/changes/{change}/undo", token))[0] == 409
    assert len((await known(site, token))["identities"]) == 1


async def test_what_is_nobodys_or_makes_no_sense_is_refused(site: Site) -> None:
    token, ira = await site.token(("reply",)), await contact(site)
    for kind, value in (("pigeon", "1"), ("phone", "12"), ("mail", "nobody")):
        assert (await site.post(f"/contacts/{ira}/identities", token, {"kind": kind, "value": value}))[0] == 422
    assert (await site.get("/contacts?kind=mail&value=no@body.example", token))[0] == 404
    assert (await site.get("/contacts/99", token))[0] == 404
    assert (await site.post("/contacts/99/links", token, {}))[0] == 404
    assert (await site.post(f"/contacts/{ira}/links", token, {"account": "other"}))[0] == 422
    assert (await site.post(f"/contacts/{ira}/links", token, {"channel": "mail"}))[0] == 409
    assert (await site.post("/contacts/changes/99/undo", token))[0] == 404


async def test_only_staff_without_limits_look_at_contacts(site: Site) -> None:
    ira = await contact(site)
    assert (await site.get(f"/contacts/{ira}", await site.token(("read",))))[0] == 403
    limited = await site.token(("reply",), contracts=["acme"])
    assert (await site.get(f"/contacts/{ira}", limited))[0] == 403


async def test_a_person_is_looked_up_linked_and_invited_from_the_terminal(site: Site, run: Run) -> None:
    await contact(site)
    code, out, _ = await run("contacts", "link", f"mail:{IRA}", "telegram:4711")
    assert code == 0 and "telegram:4711" in out and "staff" in out
    code, out, err = await run("contacts", "invite", f"mail:{IRA}")
    assert code == 0 and out.startswith("https://t.me/acme_bot?start=") and "once" in err
    _, out, _ = await run("contacts", "show", "telegram:4711", "--json")
    change = json.loads(out)["changes"][0]["id"]
    code, out, _ = await run("contacts", "undo", str(change))
    assert code == 0 and IRA not in out
    assert (await run("contacts", "show", "anna"))[0] == 2
    assert (await run("contacts", "show", "mail:no@body.example"))[0] == 1


async def test_staff_say_whether_a_number_is_one_persons(site: Site, run: Run) -> None:
    token, ira = await site.token(("reply",)), await contact(site)
    _, shown = await site.post(f"/contacts/{ira}/identities", token, {"kind": "phone", "value": "+380670000001"})
    assert [item["shared"] for item in shown["identities"]] == ["", ""]
    _, alone = await site.post("/contacts/phones", token, {"value": "+380 67 000 00 01", "shared": True})
    assert [(item["value"], item["shared"]) for item in alone["identities"]] == [("+380670000001", "staff say so")]
    assert alone["changes"][0]["how"] == "shared number"
    assert alone["id"] != ira
    code, out, _ = await run("contacts", "shared", "phone:+380670000001", "no")
    assert code == 0 and "shared" not in out.replace("shared number", "")
    code, out, _ = await run("contacts", "shared", "phone:+380440000001", "seen")
    assert code == 0 and "shared: no mobile" in out
    assert (await run("contacts", "shared", "mail:anna@client.example", "yes"))[0] == 2
    assert (await run("contacts", "shared", "phone:+380440000001", "maybe"))[0] == 2
    assert (await site.post("/contacts/phones", token, {"value": "nobody", "shared": True}))[0] == 422


async def test_a_mark_shows_the_channel_that_nothing_arrives_by(site: Site, run: Run) -> None:
    token, ira = await site.token(("reply",)), await contact(site)
    gone = ("mail", IRA, "mail", "5.1.1 no such user", site.services.clock())
    assert await site.db.write(lambda conn: people.mark_unreachable(conn, *gone))
    _, shown = await site.get(f"/contacts/{ira}", token)
    (item,) = shown["identities"]
    assert [(mark["channel"], mark["why"]) for mark in item["unreachable"]] == [("mail", "5.1.1 no such user")]
    assert item["unreachable_at"] == item["unreachable"][0]["at"]
    _, out, _ = await run("contacts", "show", f"mail:{IRA}")
    assert "unreachable by mail since" in out


async def test_a_link_that_nobody_opened_in_time_is_worth_nothing(site: Site, clock: FrozenClock) -> None:
    token, ira = await site.token(("reply",)), await contact(site)
    _, made = await site.post(f"/contacts/{ira}/links", token, {})
    secret = made["url"].partition("?start=")[2]
    now = clock.forward(timedelta(hours=24))
    assert not await site.db.write(lambda conn: identities.use_link(conn, site.services.ctx, CHAT, secret, now=now))
