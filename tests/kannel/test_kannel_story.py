"""A whole gateway behind a real Kannel: what people write is in, once; what we write is out, with its reports."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from channels.sms.kannel_online import look
from channels.sms.kannel_settings import KannelAccount
from gateway.circuit import LONGEST as LONGEST_PAUSE
from tests.kannel.house import ANNA, BORIS, OURS, SECRET, house, secrets, texts
from tests.mailboxes.desk import Running, until
from tests.services import kannel as service
from tests.services.kannel import FAKESMSC
from tests.services.smsc import PATIENCE, Smsc, smsc

pytestmark = [
    pytest.mark.services("bearerbox", "smsbox"),
    pytest.mark.xdist_group("kannel"),
]


def rows(gateway: Running, template: str) -> list[tuple[Any, ...]]:
    return gateway.store.rows("SELECT state, recipient FROM outbox WHERE template = ? ORDER BY id", template)


async def bound(network: Smsc) -> None:
    await asyncio.wait_for(network.bound.wait(), PATIENCE)


async def reply(gateway: Running, folder: Path, text: str) -> None:
    """A person of the desk answers the ticket."""
    number = gateway.store.one("SELECT number FROM ticket")
    allowed = {"Authorization": f"Bearer {(folder / 'var' / 'token').read_text().strip()}"}
    url = f"http://{gateway.listening['http']}/api/v1/tickets/{number}/reply"
    async with aiohttp.ClientSession(headers=allowed) as http, http.post(url, json={"text": text}) as answer:
        assert answer.status < 300, await answer.text()


@pytest.mark.services(FAKESMSC)
async def test_the_networks_own_stand_in_writes_and_is_answered(tmp_path: Path) -> None:
    async with house(tmp_path) as place, place.desk() as gateway:
        place.kannel.people(f"{ANNA} {OURS} text Не печатает принтер на складе")
        await gateway.tickets(1)
        assert texts(gateway) == ["Не печатает принтер на складе"]
        shown = "SELECT state FROM send_status"
        await gateway.until(lambda: gateway.store.rows(shown) == [("delivered",)], "the report of the acknowledgement")
        assert rows(gateway, "acknowledgement") == [("sent", ANNA)]
        heard = (place.kannel.root / "fakesmsc-0.log").read_text(errors="replace")
        assert f"<{OURS} {ANNA} ucs-2 " in heard
        assert gateway.store.rows("SELECT kind FROM event WHERE kind = 'delivered'") == [("delivered",)]


async def test_cyrillic_in_parts_comes_whole_and_a_long_answer_goes_out_in_parts(tmp_path: Path) -> None:
    async with smsc() as network, house(tmp_path, smpp=network.port) as place, place.desk(language="uk") as gateway:
        await bound(network)
        # The second part overtakes the first.
        network.deliver(ANNA.lstrip("+"), OURS.lstrip("+"), "на складі 😀", header=bytes([5, 0, 3, 7, 2, 2]))
        network.deliver(ANNA.lstrip("+"), OURS.lstrip("+"), "Не друкує принтер ", header=bytes([5, 0, 3, 7, 2, 1]))
        await gateway.tickets(1)
        assert texts(gateway) == ["Не друкує принтер на складі 😀"]
        assert gateway.store.rows("SELECT requester FROM ticket") == [(ANNA,)]
        await gateway.until(lambda: len(network.got) == 1, "the acknowledgement")
        number = str(gateway.store.one("SELECT number FROM ticket"))
        assert number in network.got[0].text
        assert len(network.got[0].text) <= 70
        assert (network.got[0].source, network.got[0].destination) == (OURS.lstrip("+"), ANNA.lstrip("+"))
        network.report(network.got[0], "DELIVRD")
        # By text message an answer is a link to it, and with a long address that is two parts.
        await reply(gateway, tmp_path, "Перезавантажте, будь ласка, принтер і спробуйте ще раз. " * 5)
        await gateway.until(lambda: len(network.got) == 3, "both parts of the answer")
        assert "/t/" in "".join(part.text for part in network.got[1:])
        assert [part.header[4:] for part in network.got[1:]] == [b"\x02\x01", b"\x02\x02"]
        await gateway.until(lambda: rows(gateway, "reply") == [("sent", ANNA)], "both parts settled")
        await gateway.until(
            lambda: "delivered" in {row[0] for row in gateway.store.rows("SELECT state FROM send_status")}, "the report"
        )


async def test_what_does_not_arrive_is_seen_by_the_desk(tmp_path: Path) -> None:
    async with smsc() as network, house(tmp_path, smpp=network.port) as place, place.desk() as gateway:
        await bound(network)
        network.deliver(ANNA.lstrip("+"), OURS.lstrip("+"), "Не печатает принтер")
        await gateway.until(lambda: len(network.got) == 1, "the acknowledgement")
        network.report(network.got[0], "UNDELIV", "001")
        await gateway.until(lambda: rows(gateway, "acknowledgement")[0][0] == "refused", "the report")
        network.statuses.append(0x0B)
        network.deliver(BORIS.lstrip("+"), OURS.lstrip("+"), "Не работает почта")
        await gateway.until(lambda: rows(gateway, "acknowledgement")[-1] == ("unreachable", BORIS), "the refusal")
        details = [
            row[0] for row in gateway.store.rows("SELECT detail FROM send_status WHERE verdict <> '' ORDER BY at")
        ]
        assert details == ["UNDELIV 001 the network could not deliver it", "0x0000000b there is no such number"]


async def test_what_comes_while_the_gateway_is_down_is_in_when_it_is_back_and_once(tmp_path: Path) -> None:
    async with smsc() as network, house(tmp_path, smpp=network.port) as place:
        await bound(network)
        for number in range(5):
            network.deliver(ANNA.lstrip("+"), OURS.lstrip("+"), f"Пока вас нет {number}")
        await network.taken(5)
        async with place.desk() as gateway:
            await gateway.until(lambda: len(texts(gateway)) == 5, "five messages")
            assert sorted(texts(gateway)) == [f"Пока вас нет {number}" for number in range(5)]
            assert gateway.store.entries() == 5
            await gateway.tickets(1)


async def test_what_comes_while_smsbox_is_down_waits_in_the_store_even_if_bearerbox_is_killed(tmp_path: Path) -> None:
    async with smsc() as network, house(tmp_path, smpp=network.port, boxes=("bearerbox",)) as place:
        await bound(network)
        for number in range(3):
            network.deliver(ANNA.lstrip("+"), OURS.lstrip("+"), f"Ждёт {number}")
        await network.taken(3)
        assert "(3 queued)" in await asyncio.to_thread(place.kannel.status)
        await asyncio.to_thread(place.kannel.stop_bearerbox, signal.SIGKILL)
        async with place.desk() as gateway:
            await asyncio.to_thread(place.kannel.start_bearerbox)
            await asyncio.to_thread(place.kannel.start_smsbox)
            await gateway.until(lambda: len(texts(gateway)) == 3, "three messages")
            assert sorted(texts(gateway)) == [f"Ждёт {number}" for number in range(3)]
            assert gateway.store.entries() == 3


@pytest.mark.timeout(600)
async def test_kannel_is_down_while_we_write_and_gets_it_when_it_is_back(tmp_path: Path) -> None:
    async with smsc() as network, house(tmp_path, smpp=network.port) as place, place.desk() as gateway:
        await bound(network)
        await asyncio.to_thread(place.kannel.stop_smsbox)
        url = f"http://{gateway.listening['http']}/channels/sms/main"
        said = {"secret": SECRET, "id": "one", "from": ANNA, "to": OURS, "text": "Не печатает", "coding": "0"}
        async with aiohttp.ClientSession() as http:
            for _ in range(3):
                async with http.get(url, params=said) as answer:
                    assert (answer.status, await answer.read()) == (200, b"")
        tried = "SELECT attempts, state, detail FROM outbox"
        await gateway.until(lambda: gateway.store.rows(tried) and gateway.store.one(tried) > 0, "a try")
        await gateway.until(lambda: "cannot be reached" in str(gateway.store.rows(tried)[0][2] or ""), "the reason")
        assert not network.got
        await asyncio.to_thread(place.kannel.start_smsbox)
        # The longer it was down, the longer is the pause before it is tried again.
        patience = LONGEST_PAUSE.total_seconds() + PATIENCE
        await until(lambda: len(network.got) == 1, "the acknowledgement", patience, gateway.store.shown)
        await gateway.until(lambda: rows(gateway, "acknowledgement") == [("sent", ANNA)], "the row")
        assert gateway.store.entries() >= 1
        assert texts(gateway) == ["Не печатает"]


async def test_what_a_wrong_secret_refused_is_taken_in_when_it_is_mended(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    wrong = "another-secret-of-no-worth"
    async with smsc() as network, house(tmp_path, smpp=network.port, secret=wrong) as place:
        async with place.desk() as gateway:
            await bound(network)
            network.deliver(ANNA.lstrip("+"), OURS.lstrip("+"), "Не печатает принтер")
            kept = "SELECT count(*) FROM unverified"
            await gateway.until(lambda: gateway.store.one(kept) >= 2, "the refused request and its repeat")
            assert gateway.store.entries() == 0
            await asyncio.to_thread(place.kannel.stop)
        mended = tmp_path / "secrets" / "next"
        mended.write_text(wrong)
        async with place.desk(next_secret=f"file:{mended}") as gateway:
            allowed = {"Authorization": f"Bearer {(tmp_path / 'var' / 'token').read_text().strip()}"}
            url = f"http://{gateway.listening['http']}/api/v1/unverified/replay"
            async with aiohttp.ClientSession(headers=allowed) as http, http.post(url, json={}) as answer:
                said = await answer.json()
                assert (answer.status, said["messages"], said["still"]) == (200, 1, [])
            await gateway.tickets(1)
            assert texts(gateway) == ["Не печатает принтер"]
        journalled = gateway.store.rows("SELECT content, facts FROM entry JOIN raw ON raw.entry_id = entry.id")
        assert journalled
        assert not any(word in str(journalled) for word in (wrong, SECRET, service.PASSWORD))
    logged = "".join(capfd.readouterr())
    assert not any(word in logged for word in (wrong, SECRET, service.PASSWORD))


async def test_a_stop_is_kept_and_answered_once_and_opens_nothing(tmp_path: Path) -> None:
    async with smsc() as network, house(tmp_path, smpp=network.port) as place, place.desk() as gateway:
        await bound(network)
        network.deliver(ANNA.lstrip("+"), OURS.lstrip("+"), "СТОП")
        await gateway.until(lambda: len(network.got) == 1, "the answer")
        assert gateway.store.rows("SELECT channel, endpoint, peer, wish FROM consent") == [("sms", OURS, ANNA, "stop")]
        assert gateway.store.tickets() == 0


async def test_a_look_finds_sendsms_and_a_wrong_password(tmp_path: Path) -> None:
    async with house(tmp_path) as place:
        named = secrets(tmp_path / "secrets")
        said = {
            "provider": "kannel",
            "numbers": [OURS],
            "api_url": place.kannel.api_url,
            "username": service.USER,
            **named,
        }
        (good,) = await look({"main": KannelAccount.model_validate(said)})
        (bad,) = await look({"main": KannelAccount.model_validate({**said, "username": "other"})})
        (lost,) = await look({"main": KannelAccount.model_validate({**said, "api_url": place.kannel.api_url + "x"})})
    assert (good.trouble, good.good) == ("", "takes our password")
    assert "403" in bad.trouble
    assert "404" in lost.trouble


def test_the_settings_of_both_providers_stand_beside_each_other(tmp_path: Path) -> None:
    from gateway.settings_files import load_settings

    given = secrets(tmp_path / "secrets")
    said = {
        "one": {"provider": "kannel", "numbers": [OURS], "outbound": "capture", "secret": given["secret"]},
        "two": {"account_sid": "AC" + "0" * 32, "auth_token": given["password"], "numbers": ["+380440000002"]},
    }
    (tmp_path / "gateway.yaml").write_text(json.dumps({"channels": {"sms": said}}))
    settings, problems = load_settings(tmp_path, environment={})
    assert problems == []
    assert settings is not None
    assert [type(one).__name__ for one in settings.accounts("sms").values()] == ["KannelAccount", "SmsAccount"]
