"""A whole gateway that was down while people wrote: the webhooks came to nobody, and nothing is lost."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from gateway.demo.twilio_api import Fault, Network, TwilioApi
from gateway.demo.twilio_api.attached import Attached
from gateway.demo.twilio_api.media import MediaHost
from tests.mailboxes.desk import Running, Store, running
from tests.twilio.provider import ANNA, ANSWERED, OURS, ROOM, SID, TOKEN

BORIS = "+380670000002"
JPEG = b"\xff\xd8\xff\xe0" + b"a roof" * 900
OPERATORS = ('operators=["ops@desk.example"]', "alerts.interval=1s")


class Town:
    """The provider and the people; it goes on while the gateway is down."""

    def __init__(self, var: Path, network: Network, api: TwilioApi, attached: Attached) -> None:
        self.var, self.network, self.api, self.attached = var, network, api, attached
        self.store = Store(var)

    @asynccontextmanager
    async def gateway(self, *more: str, **account: Any) -> AsyncIterator[Running]:
        said = {
            "account_sid": SID, "auth_token": "env:TWILIO_TOKEN", "numbers": [OURS], "api_url": self.api.url,
            "reconcile_back": "3d", "language": "uk", "outbound": "capture", **account,
        }  # fmt: skip
        accounts = (f"channels.sms.main={json.dumps(said)}", f"channels.whatsapp.main={json.dumps(said)}")
        async with running(self.var, ("smtp.port=0", "http.port=0", ROOM, *OPERATORS, *accounts, *more)) as desk:
            yield desk

    async def lost(self, text: str, *, ago: float, sender: str = ANNA, **more: str) -> str:
        """Somebody wrote so many minutes ago; the webhook is tried and nobody is there. The message's SID."""
        prefix = "whatsapp:" if sender.startswith("whatsapp:") else ""
        said = self.network.message(text, sender=sender, to=prefix + OURS, **more)
        sid = said["MessageSid"]
        self.network.dates[sid] = (datetime.now(UTC) - timedelta(minutes=ago)).replace(microsecond=0)
        self.network.number(OURS, "http://127.0.0.1:9/channels/sms/main")
        assert not await self.network.bring(said)
        return sid

    def digests(self) -> dict[str, str]:
        """SID -> SHA-256 of the words that the journal has of it."""
        rows = self.store.rows("SELECT e.external_id, r.content FROM entry e JOIN raw r ON r.entry_id = e.id")
        return {row[0]: digest(parse_qs(row[1].decode())["Body"][0]) for row in rows}


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
async def town(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Town]:
    monkeypatch.setenv("TWILIO_TOKEN", TOKEN)
    network = Network(account_sid=SID, token=TOKEN, timeout=ANSWERED)
    async with MediaHost().opened() as host:
        attached = Attached(network, host)
        async with TwilioApi(network, more=attached.routes()).running() as api:
            yield Town(tmp_path / "var", network, api, attached)
        assert api.complaints == []
        assert set(host.passwords()) <= {""}


async def test_what_came_while_the_gateway_was_down_is_there_once(town: Town) -> None:
    async with town.gateway() as first:
        await first.until(lambda: town.store.one("SELECT count(*) FROM cursor") == 2, "both lists")
    # Two days pass.
    for (value,) in town.store.rows("SELECT value FROM cursor"):
        until = json.loads(value)["until"]
        before = (datetime.fromisoformat(until) - timedelta(days=2)).isoformat()
        town.store.change(f"UPDATE cursor SET value = replace(value, '{until}', '{before}')")
    mms = town.network.new_sid("MM")
    files = town.attached.files(town.api.url, mms, (JPEG, "image/jpeg"))
    sent = {
        await town.lost("Не друкує принтер", ago=30): "Не друкує принтер",
        await town.lost("І сканер також", ago=29): "І сканер також",
        await town.lost("Ось він", ago=28, sid=mms, **files): "Ось він",
        await town.lost("Сайт не відкривається", ago=27, sender=BORIS): "Сайт не відкривається",
        await town.lost("Вотсап", ago=26, sender=f"whatsapp:{BORIS}"): "Вотсап",
        await town.lost("Позавчора", ago=26 * 60, sender="+380670000003"): "Позавчора",
    }
    town.api.plan(Fault(kind="html", on="list"), Fault(kind="too_many", on="list"))
    async with town.gateway() as second:
        await second.tickets(4)
        await second.until(lambda: len(town.digests()) == 6, "six messages")
        assert town.digests() == {sid: digest(text) for sid, text in sent.items()}
        texts = "SELECT visible_text FROM message WHERE direction = 'in' ORDER BY id"
        await second.until(lambda: len(second.store.rows(texts)) == 6, "six messages in tickets")
        filed = second.store.rows(texts)
        await second.until(lambda: second.store.rows("SELECT state, size FROM attachment") == [("here", len(JPEG))])
        assert [row[0] for row in filed if row[0] in ("Не друкує принтер", "І сканер також", "Ось він")] == [
            "Не друкує принтер", "І сканер також", "Ось він",
        ]  # fmt: skip
        alarms = "SELECT name FROM alert WHERE name LIKE 'reconciliation%' ORDER BY name"
        wanted = [("reconciliation sms/main",), ("reconciliation whatsapp/main",)]
        await second.until(lambda: second.store.rows(alarms) == wanted, "the alarms")
        acknowledged = "SELECT recipient FROM outbox WHERE template = 'acknowledgement' ORDER BY recipient"
        told = {row[0] for row in second.store.rows(acknowledged)}
        assert told == {ANNA, BORIS}, "who wrote the day before yesterday is not answered by a robot now"
        # The webhooks come after all, by hand or by the other address: they are known.
        for channel in ("sms", "whatsapp"):
            town.network.number(OURS, f"http://{second.listening['http']}/channels/{channel}/main")
            prefix = "whatsapp:" if channel == "whatsapp" else ""
            for one in town.network.kept:
                if one["From"].startswith("whatsapp:") == bool(prefix):
                    assert await town.network.bring(one)
        assert second.store.entries() == 6
    async with town.gateway() as third:
        await third.until(lambda: third.store.rows(alarms) == [], "the end of the alarms")
        assert third.store.entries() == 6
        assert third.store.tickets() == 4


async def test_a_stop_that_is_found_late_does_not_undo_a_start(town: Town) -> None:
    async with town.gateway() as first:
        await first.until(lambda: town.store.one("SELECT count(*) FROM cursor") == 2, "both lists")
        town.network.number(OURS, f"http://{first.listening['http']}/channels/sms/main")
        assert await town.network.say("СТАРТ", sender=BORIS, to=OURS)
        await first.until(lambda: wishes(first) == {BORIS: "start"}, "the wishes")
    await town.lost("СТОП", ago=30)
    await town.lost("СТОП", ago=20, sender=BORIS)
    async with town.gateway() as second:
        await second.until(lambda: second.store.entries() == 3, "both words")
        await second.until(lambda: second.store.one("SELECT count(*) FROM entry WHERE state = 'done'") == 3, "filing")
        assert wishes(second) == {ANNA: "stop", BORIS: "start"}
        assert second.store.tickets() == 0


def wishes(gateway: Running) -> dict[str, str]:
    return dict(gateway.store.rows("SELECT peer, wish FROM consent"))
