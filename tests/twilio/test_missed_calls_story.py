"""A whole gateway that was away while people called: they heard the provider's error, and nobody else knew."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.demo.twilio_api import Fault, Person, TwilioApi
from tests.gateway.held_desk import api as staff
from tests.gateway.held_desk import put_hold
from tests.mailboxes.desk import Running, child, running, until
from tests.twilio.calling import MONDAY, OURS, Clock, Story, config, settings, telephones
from tests.twilio.missed_desk import begins
from tests.twilio.provider import ANNA, SID

CHILD = Path(__file__).with_name("calling_child.py")
LATER = MONDAY + timedelta(minutes=40)
BORIS = "+380670000002"
NOBODY = "http://127.0.0.1:9/channels/voice/main"
PATIENCE = 90.0

pytestmark = pytest.mark.timeout(400)


class Town:
    """The provider and people; it goes on while the gateway is away."""

    def __init__(self, tmp_path: Path, api: TwilioApi, **voice: Any) -> None:
        self.api, self.var, self.folder = api, tmp_path / "var", config(tmp_path)
        self.clock, self.phone = Clock(), api.outgoing.telephony
        api.network.clock, api.network.pause = self.clock, 0.0
        self.settings = settings(api, tmp_path / "token", **{"reconcile": "15m", **voice})

    def gateway(self) -> Any:
        return running(self.var, self.settings, clock=self.clock, config=self.folder)

    async def begins(self) -> None:
        """A gateway starts for the first time, and ends."""
        async with self.gateway() as first:
            await see(first, lambda: first.store.rows("SELECT 1 FROM cursor WHERE name LIKE 'calls%'"))
            begins(first.store, MONDAY - timedelta(days=1))

    async def away(self, at: datetime, sender: str = ANNA) -> str:
        """Somebody calls a number whose addresses nobody answers. The call's SID."""
        self.clock.set(at)
        self.phone.number(OURS, NOBODY, fallback=NOBODY, status_url=f"{NOBODY}/status")
        call = await self.phone.call(Person(), sender=sender, to=OURS)
        assert call.codes and call.status == "completed"
        return call.sid

    def remembered(self, at: datetime, **said: Any) -> str:
        return self.phone.remembered.came(to=OURS, begun=at, **{"sender": ANNA, **said})


async def see(gateway: Running, look: Callable[[], Any]) -> Any:
    """Wait for it, and say what was there instead."""
    try:
        return await until(look, "it", PATIENCE)
    except AssertionError as error:
        there = [gateway.store.rows(f"SELECT * FROM {table}") for table in ("call", "cursor", "attachment", "alert")]
        filed = gateway.store.rows("SELECT external_id, state, error, outcome FROM entry")
        raise AssertionError(f"{error}: {there}, {filed}") from None


async def filed(gateway: Running) -> None:
    """Whatever came is filed."""
    await see(gateway, lambda: not gateway.store.rows("SELECT 1 FROM entry WHERE state = 'pending'"))


async def compared(gateway: Running, at: datetime) -> None:
    """The list is read up to this time."""
    wanted = (at - timedelta(minutes=3)).astimezone(tz=MONDAY.tzinfo)

    def reached() -> bool:
        said = gateway.store.rows("SELECT value FROM cursor WHERE name LIKE 'calls%'")
        return any(datetime.fromisoformat(row[0].split('"')[-2]) >= wanted for row in said)

    await see(gateway, reached)
    await filed(gateway)


def words(gateway: Running) -> list[str]:
    return [row[0] for row in gateway.store.rows("SELECT text FROM message WHERE direction = 'in' ORDER BY id")]


def told(gateway: Running) -> list[str]:
    """The call of each entry about one; what becomes of texts to callers is told, too, at any time."""
    return [row[0] for row in gateway.store.rows("SELECT peer FROM entry WHERE channel = 'voice' ORDER BY id")]


def sent(gateway: Running) -> list[tuple[str, str]]:
    """(kind, recipient) of every notice to people."""
    return gateway.store.rows("SELECT kind, recipient FROM outbox WHERE kind != 'alert' ORDER BY id")


def texted(api: TwilioApi) -> list[str]:
    """Who got a text message."""
    return sorted(one.to for one in api.sent)


async def test_who_called_while_the_gateway_was_away_has_a_ticket_after_the_start(tmp_path: Path) -> None:
    async with telephones() as api:
        town = Town(tmp_path, api, brand="Desk")
        await town.begins()
        sid = await town.away(MONDAY + timedelta(minutes=10))
        town.remembered(MONDAY + timedelta(minutes=12), sender=BORIS, seconds=75, heard=(20,))
        town.remembered(MONDAY + timedelta(minutes=13), Direction="outbound-api", sender=OURS)
        town.clock.set(LATER)
        async with town.gateway() as second:
            await see(second, lambda: second.store.rows("SELECT 1 FROM attachment WHERE state = 'here'"))
            await second.tickets(2)
            said = words(second)
            assert said[0].startswith(f"[дзвінок: з номера {ANNA};") and "12:10" in said[0]
            assert "телефонували, поки шлюз не працював, 0:0" in said[0]
            assert f"{BORIS}" in said[1] and "12:12" in said[1] and "1:15" in said[1]
            assert said[2] == "[голосове повідомлення, 0:20]" and len(said) == 3
            assert second.store.rows("SELECT requester FROM ticket ORDER BY id") == [(ANNA,), (BORIS,)]
            kept = second.store.rows("SELECT caller, outcome, seconds FROM call WHERE outcome != 'silent' ORDER BY id")
            assert [(who, outcome) for who, outcome, _ in kept] == [(ANNA, "ticket"), (BORIS, "ticket")]
            # The hours count from the call: an outage of ours extends no deadline.
            opened = second.store.one("SELECT opened_at FROM ticket ORDER BY id")
            assert opened < int((MONDAY + timedelta(minutes=12)).timestamp() * 1_000_000)
            await Story(api, second, town.var, town.clock).idle()
            assert texted(api) == [ANNA, BORIS], "as after other calls, by the next channel"
            # The requests come after all: they are known.
            call = next(one for one in town.phone.calls if one.sid == sid)
            late = {**call.standard(), "CallStatus": "completed", "CallDuration": "1"}
            url = f"http://{second.listening['http']}/channels/voice/main/status"
            assert await call.later.web.tell(url, tuple(late.items()))
            await filed(second)
            assert second.store.tickets() == 2 and words(second) == said
        for minutes in (60, 24 * 60):
            town.clock.set(MONDAY + timedelta(minutes=minutes))
            async with town.gateway() as again:
                await compared(again, town.clock())
                await Story(api, again, town.var, town.clock).idle()
                assert again.store.tickets() == 2 and words(again) == said
                assert texted(api) == [ANNA, BORIS]


async def test_a_call_of_which_only_the_end_reached_us_is_a_missed_one_and_others_are_not_doubled(
    tmp_path: Path,
) -> None:
    async with telephones() as api:
        town = Town(tmp_path, api)
        async with town.gateway() as first:
            desk = Story(api, first, town.var, town.clock)
            await desk.asks(ANNA)
            # The first question finds nobody, neither the other address; the gateway is back for the end.
            town.phone.number(OURS, NOBODY, fallback=NOBODY, status_url=f"{desk.url}/status")
            await town.phone.call(Person(), sender=BORIS, to=OURS)
            await first.tickets(2)
            await filed(first)
            await desk.idle()
            assert "телефонували, поки шлюз не працював" in words(first)[-1]
            before = (words(first), sent(first), told(first))
        town.clock.set(LATER)
        async with town.gateway() as second:
            await compared(second, LATER)
            await Story(api, second, town.var, town.clock).idle()
            assert (words(second), sent(second), told(second)) == before


@pytest.mark.parametrize("point", ["before-commit", "after-commit"])
async def test_killed_between_the_list_and_its_commit_no_call_is_lost_or_doubled(tmp_path: Path, point: str) -> None:
    async with telephones() as api:
        town = Town(tmp_path, api)
        await town.begins()
        sids = {await town.away(MONDAY + timedelta(minutes=minute)) for minute in (10, 12)}
        flag = tmp_path / "flag"
        api.plan(Fault(kind="late", on="calls"))
        asked = api.count("calls")
        arguments = (point, str(town.folder), LATER.isoformat(), str(flag))
        town.clock.set(LATER)
        async with child(town.var, town.settings, *arguments, script=CHILD) as process:
            await until(lambda: api.count("calls") > asked, "the list is asked for", PATIENCE)
            flag.touch()
            api.go_on()
            assert await asyncio.wait_for(process.wait(), PATIENCE) == -signal.SIGKILL
        async with town.gateway() as second:
            await compared(second, LATER)
            await second.tickets(2)
            assert len(words(second)) == 2
            assert sorted(told(second)) == sorted(sids)


async def test_a_held_copy_asks_for_no_calls_until_it_is_released(tmp_path: Path) -> None:
    async with telephones() as api:
        town = Town(tmp_path, api, reconcile_back="1h")
        town.var.mkdir()
        await put_hold(town.var)
        sid = town.remembered(MONDAY, sender=BORIS)
        town.clock.set(LATER)
        async with town.gateway() as gateway:
            # It would ask at once where it may.
            assert (await staff(gateway, town.var, "GET", "/status"))["outbox"]["held_sources"]
            assert api.count("calls") == 0 and gateway.store.entries() == 0
            await staff(gateway, town.var, "POST", "/outbox/release", {})
            await see(gateway, lambda: told(gateway) == [sid])
            await gateway.tickets(1)


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("uk", "телефонували, поки шлюз не працював, 0:30"),
        ("ru", "звонили, пока шлюз не работал, 0:30"),
        ("en", "called while the gateway was away, 0:30"),
    ],
)
async def test_staff_reads_of_it_in_the_language_of_the_desk(tmp_path: Path, language: str, said: str) -> None:
    async with telephones() as api:
        town = Town(tmp_path, api, language=language, reconcile_back="1h")
        town.remembered(MONDAY, sender="anonymous")
        town.clock.set(LATER)
        async with town.gateway() as gateway:
            await see(gateway, lambda: gateway.store.tickets())
            await filed(gateway)
            (written,) = words(gateway)
            assert said in written
            hidden = {"uk": "номер прихований", "ru": "номер скрыт", "en": "from a hidden number"}[language]
            assert hidden in written
            assert sent(gateway) == [], "nobody knows whom to answer"
            assert gateway.store.rows("SELECT account FROM entry") == [("main",)]
            assert SID in str(gateway.store.rows("SELECT content FROM raw"))
