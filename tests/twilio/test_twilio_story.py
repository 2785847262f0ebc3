"""A whole gateway with a number for text messages and one for WhatsApp: what people send stands in one ticket, once."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.demo.twilio_api import Network
from gateway.demo.twilio_api.network import post
from gateway.demo.twilio_api.signing import encoded, signed_form
from tests.mailboxes.desk import Running, running
from tests.twilio.provider import ANNA, ANSWERED, OURS, ROOM, SID, TOKEN


@asynccontextmanager
async def desk(
    var: Path, monkeypatch: pytest.MonkeyPatch, *more: str, **account: Any
) -> AsyncIterator[tuple[Network, Running]]:
    """A gateway, and the account of Twilio's that writes to it."""
    monkeypatch.setenv("TWILIO_TOKEN", TOKEN)
    said = {
        "account_sid": SID,
        "auth_token": "env:TWILIO_TOKEN",
        "numbers": [OURS],
        "language": "ru",
        "outbound": "capture",
        "reconcile": "0s",
        **account,
    }
    accounts = (f"channels.sms.main={json.dumps(said)}", f"channels.whatsapp.main={json.dumps(said)}")
    async with running(var, ("smtp.port=0", "http.port=0", ROOM, *accounts, *more)) as gateway:
        network = Network(account_sid=SID, token=TOKEN, timeout=ANSWERED)
        network.number(OURS, f"http://{gateway.listening['http']}/channels/sms/main")
        yield network, gateway


def done(gateway: Running) -> list[str]:
    rows = gateway.store.rows("SELECT state, sha256 FROM entry WHERE channel IN ('sms', 'whatsapp') ORDER BY id")
    assert not any(state == "quarantined" for state, _ in rows), rows
    return [sha256 for state, sha256 in rows if state == "done"]


async def test_what_a_person_writes_becomes_one_ticket_and_its_answer_is_captured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with desk(tmp_path / "var", monkeypatch) as (network, gateway):
        network.repeats = 5
        for mishap in ("late", "twice", "half", "lost", "reset"):
            network.plan.append(mishap)  # type: ignore[arg-type]
            assert await network.say(f"Не печатает принтер: {mishap}", sender=ANNA, to=OURS)
        await gateway.until(lambda: len(done(gateway)) == 5, "five messages")
        wanted = [hashlib.sha256(encoded(list(one.items()))).hexdigest() for one in network.kept]
        assert sorted(done(gateway)) == sorted(wanted)
        await gateway.tickets(1)
        number = str(gateway.store.one("SELECT number FROM ticket"))
        captured = tmp_path / "var" / "outgoing" / "captured"
        (file,) = await gateway.until(lambda: list(captured.glob("*.json")), "the acknowledgement")
        told = json.loads(file.read_text(encoding="utf-8"))
        assert (told["channel"], told["recipient"]["address"]) == ("sms", ANNA)
        assert number in told["text"]
        assert len(told["text"]) <= 70
        assert told["destination"] == {"to": ANNA, "from": OURS}


async def test_out_of_order_and_never_loses_nothing_that_came(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with desk(tmp_path / "var", monkeypatch) as (network, gateway):
        letters = [network.message(f"Часть {number}", sender=ANNA, to=OURS) for number in range(12)]
        brought = [letters[number] for number in (7, 3, 11, 0, 1, 2, 10, 4)]
        assert all(await asyncio.gather(*(network.bring(one) for one in brought)))
        assert all(await asyncio.gather(*(network.bring(one) for one in brought[:4])))
        await gateway.until(lambda: len(done(gateway)) == 8, "eight messages")
        wanted = [hashlib.sha256(encoded(list(one.items()))).hexdigest() for one in brought]
        assert sorted(done(gateway)) == sorted(wanted)
        await gateway.tickets(1)


async def test_a_stop_and_a_report_about_nothing_open_no_ticket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with desk(tmp_path / "var", monkeypatch) as (network, gateway):
        assert await network.say("СТОП", sender=ANNA, to=OURS)
        assert await network.report(network.new_sid(), "delivered", sender=OURS, to=ANNA, query="o=1")
        await gateway.until(lambda: len(done(gateway)) == 2, "both")
        assert gateway.store.rows("SELECT channel, endpoint, peer, wish FROM consent") == [("sms", OURS, ANNA, "stop")]
        rows = gateway.store.rows("SELECT template, recipient FROM outbox")
        assert rows == [("word_stop", ANNA)]
        assert gateway.store.tickets() == 0
        outcomes = [json.loads(row[0])["kind"] for row in gateway.store.rows("SELECT outcome FROM entry ORDER BY id")]
        assert outcomes == ["consent", "status"]


async def test_nothing_that_is_posted_is_a_500_a_429_or_a_redirect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with desk(tmp_path / "var", monkeypatch) as (network, gateway):
        base = f"http://{gateway.listening['http']}/channels/sms/main"
        message = list(network.message("Один раз", sender=ANNA, to=OURS).items())
        body, headers = signed_form(TOKEN, base, message)
        bad = [b"", b"\xff", b"{", b"Body=%FF", b"=" * 9000, b"&".join(b"a%d=" % n for n in range(20_000))]
        statuses = {await post(base + path, one, headers, seconds=ANSWERED) for one in bad for path in ("", "/status")}
        assert statuses == {403}
        assert await post(base, b"x" * (12 * 1024 * 1024), {}, seconds=ANSWERED) in (413, None)
        assert await asyncio.gather(*(post(base, body, headers, seconds=ANSWERED) for _ in range(40))) == [200] * 40
        async with aiohttp.ClientSession() as http:
            for path, method in (("/", "POST"), ("//", "POST"), ("/STATUS", "POST"), ("", "PUT")):
                async with http.request(method, base + path, data=body, headers=headers, allow_redirects=False) as got:
                    assert got.status in (404, 405)
        await gateway.until(lambda: len(done(gateway)) == 1, "the one message")


async def test_what_came_while_the_address_was_wrong_is_taken_in_when_it_is_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    var, public = tmp_path / "var", "https://intake.desk.example/support"
    async with desk(var, monkeypatch, public_url="https://wrong.example") as (network, gateway):
        inside = f"http://{gateway.listening['http']}/channels/sms/main"
        body, headers = signed_form(
            TOKEN, f"{public}/channels/sms/main", list(network.message("Раньше", sender=ANNA, to=OURS).items())
        )
        assert await post(inside, body, headers, seconds=ANSWERED) == 403
        assert gateway.store.entries() == 0
    async with desk(var, monkeypatch, public_url=public) as (_, gateway):
        allowed = {"Authorization": f"Bearer {(var / 'token').read_text().strip()}"}
        url = f"http://{gateway.listening['http']}/api/v1/unverified/replay"
        async with aiohttp.ClientSession(headers=allowed) as http, http.post(url, json={}) as answer:
            said = await answer.json()
            assert (answer.status, said["believed"], said["messages"]) == (200, 1, 1)
        await gateway.until(lambda: done(gateway) == [hashlib.sha256(body).hexdigest()], "the message")
        # Twilio's console can send it once more; it is known.
        again = f"http://{gateway.listening['http']}/channels/sms/main"
        assert await post(again, body, headers, seconds=ANSWERED) == 200
        assert gateway.store.entries() == 1
