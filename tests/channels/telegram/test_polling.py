"""Polling: nothing is confirmed before it is committed, nothing stalls, and operators hear what only they can mend."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from channels.contract import Unavailable
from channels.rounds import Pace
from channels.telegram import polling
from channels.telegram.inbound import ALLOWED_UPDATES
from channels.telegram.polling import Poller
from gateway.demo.bot_api import RECEIVING, Bot, BotApi, Call, Fault, Method
from normalizer.message import SpooledBody
from tests.channels.telegram.bots import NOW, PATIENCE, Journal, Time, polled, poller
from tests.telegram.standin import TOKEN, said, standin


def push(bot: Bot, count: int, first: int = 1) -> list[int]:
    numbers = [bot.push(said(f"{number}", message_id=number)) for number in range(first, first + count)]
    return [number for number in numbers if number is not None]


async def confirmed(api: BotApi) -> None:
    """Wait until Telegram knows that everything was taken."""
    await api.until(lambda: not api.bot().waiting)


def asked(api: BotApi) -> list[dict[str, Any]]:
    return [dict(call.parameters) for call in api.calls if call.method == "getUpdates"]


async def test_an_answer_and_its_offset_are_one_commit_and_the_next_call_confirms_it(tmp_path: Path) -> None:
    journal = Journal(gate=asyncio.Event())
    async with standin() as api:
        numbers = push(api.bot(), 3)
        texts = [one.text.encode() for one in api.bot().waiting]
        async with polled(api.api_url, tmp_path, journal):
            await asyncio.wait_for(journal.news.wait(), PATIENCE)
            # While the commit is not there nothing is confirmed, nor is anything else asked for.
            assert (len(api.bot().waiting), api.count("getUpdates")) == (3, 1)
            assert journal.gate is not None
            journal.gate.set()
            await confirmed(api)
        assert journal.calls == [3]
        assert json.loads(journal.reached or "") == {"offset": numbers[-1] + 1, "seen": NOW.isoformat()}
        assert list(journal.kept.values()) == texts
        assert asked(api)[0] == {"timeout": 50, "limit": 100, "allowed_updates": list(ALLOWED_UPDATES)}
        assert asked(api)[1]["offset"] == numbers[-1] + 1
        assert journal.raws[0].facts == {"transport": "polling", "bot_id": 100200300, "bot_name": "desk_bot"}


async def test_a_start_goes_on_where_the_cursor_stands(tmp_path: Path) -> None:
    journal = Journal()
    async with standin() as api:
        push(api.bot(), 2)
        made = poller(api.api_url, tmp_path, journal)
        for count in (2, 4):
            await made.start(journal)
            await journal.until(count)
            await confirmed(api)
            await made.stop()
            push(api.bot(), 2, first=3)
        again = asked(api)[-1]
        assert again["offset"] == json.loads(journal.reached or "")["offset"]
    assert len(journal.raws) == 4


async def test_more_than_one_answer_holds_comes_in_the_next(tmp_path: Path) -> None:
    journal = Journal()
    async with standin() as api:
        push(api.bot(), 250)
        async with polled(api.api_url, tmp_path, journal):
            await confirmed(api)
    assert journal.calls == [100, 100, 50]
    assert len(journal.kept) == 250


@pytest.mark.parametrize("failure", [Unavailable("locked"), RuntimeError("a bug"), OSError(28, "full")])
async def test_what_could_not_be_committed_comes_again(failure: Exception, tmp_path: Path) -> None:
    journal = Journal(failures=[failure, failure])
    async with standin() as api:
        push(api.bot(), 3)
        async with polled(api.api_url, tmp_path, journal):
            await confirmed(api)
        # The two calls that failed, the one that did not, and the one that confirms.
        assert [call.get("offset") for call in asked(api)[:3]] == [None, None, None]
    assert len(journal.raws) == 3


async def test_a_poison_update_between_good_ones_is_kept_like_them(tmp_path: Path) -> None:
    journal = Journal()
    poison = [
        (2001, '{"update_id":2001,"message":' + "[" * 100_000 + "]" * 100_000 + "}"),
        (2002, '{"update_id":2002,"message":{"x":' + "9" * 5000 + "}}"),
        (2003, '{"update_id":2003,"poll":{"id":null}}'),
        (2004, r'{"update_id":2004,"message":{"text":"\ud83d\u0000"}}'),
        (2005, '{"update_id":2005,"message":{"text":"' + "x" * 300_000 + '"}}'),
    ]
    async with standin() as api:
        bot = api.bot()
        push(bot, 1)
        for number, text in poison:
            bot.push_text(number, text)
        push(bot, 1, first=2)
        wanted = [one.text.encode() for one in bot.waiting]
        async with polled(api.api_url, tmp_path, journal, unique=iter(map(str, range(9))).__next__):
            await confirmed(api)
    assert list(journal.kept.values()) == wanted
    assert [raw.external_id for raw in journal.raws[1:6]] == [f"main:{number}" for number, _ in poison]
    assert isinstance(journal.raws[5].body, SpooledBody)
    assert list(tmp_path.iterdir()) == []


async def test_an_update_without_a_number_is_kept_and_told(tmp_path: Path) -> None:
    journal, time = Journal(), Time()
    async with standin() as api:
        api.bot().push_text(2001, '{"message":{}}')
        async with polled(api.api_url, tmp_path, journal, clock=time) as made:
            await api.called("getUpdates", 3)
            time.move(minutes=6)
            assert "without a number" in made.trouble()
            api.bot().push_text(2002, '{"update_id":2002}')
            await confirmed(api)
            await api.called("getUpdates", api.count("getUpdates"))
    assert len(journal.kept) == 2


async def test_after_six_silent_days_it_is_asked_without_the_offset(tmp_path: Path) -> None:
    journal, time = Journal(), Time()
    async with standin() as api:
        bot = api.bot()
        push(bot, 1)
        async with polled(api.api_url, tmp_path, journal, clock=time):
            await confirmed(api)
            time.move(days=5, hours=23)
            calls = api.count("getUpdates")
            bot.wake(False)
            await api.called("getUpdates", calls + 1)
            assert asked(api)[-1]["offset"] == 1001
            time.move(hours=1)
            bot.wake(False)
            await api.called("getUpdates", calls + 2)
            assert "offset" not in asked(api)[-1]
            # The numbers begin anew, below the old offset, which would have confirmed them unseen.
            bot.next_update = 17
            assert push(bot, 2, first=8) == [17, 18]
            await confirmed(api)
            assert asked(api)[-1]["offset"] == 19
    assert len(journal.kept) == 3
    assert json.loads(journal.reached or "")["offset"] == 19


async def test_six_silent_days_count_over_a_restart(tmp_path: Path) -> None:
    journal, time = Journal(), Time()
    async with standin() as api:
        bot = api.bot()
        push(bot, 1)
        async with polled(api.api_url, tmp_path, journal, clock=time):
            await confirmed(api)
        for away, offset in (({"days": 5, "hours": 23}, 1001), ({"hours": 1}, None)):
            time.move(**away)
            calls = api.count("getUpdates")
            async with polled(api.api_url, tmp_path, journal, clock=time):
                await api.called("getUpdates", calls + 1)
            assert asked(api)[calls].get("offset") == offset
        bot.next_update = 17
        assert push(bot, 1, first=8) == [17]
        async with polled(api.api_url, tmp_path, journal, clock=time):
            await journal.until(2)
            await confirmed(api)
    assert json.loads(journal.reached or "")["offset"] == 18


async def test_who_does_not_wait_as_asked_is_not_asked_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "HASTY", 3600.0)  # or a machine that stands still makes a hasty answer a slow one

    async def at_once(call: Call) -> list[object]:
        return []

    methods = {**RECEIVING, "getUpdates": Method(run=at_once, parameters=RECEIVING["getUpdates"].parameters)}
    async with standin(methods) as api:
        async with polled(api.api_url, tmp_path, Journal(), pace=Pace(first=3600)):
            await api.called("getUpdates")
            # The next one comes after an hour; without a pause it would be there by now.
            with pytest.raises(TimeoutError):
                await api.called("getUpdates", 2, within=0.5)
        calls = api.count("getUpdates")
        # It is no failure: the pause does not grow, and nobody hears of it.
        async with polled(api.api_url, tmp_path, Journal(), pace=Pace(first=0.01)) as made:
            await api.called("getUpdates", calls + 20)
            assert made.trouble() == ""


@pytest.mark.parametrize("value", ["", "null", "[]", "7", "{", '{"offset":"x","seen":"y"}', '{"offset":7}'])
async def test_a_cursor_that_cannot_be_read_is_none(value: str, tmp_path: Path) -> None:
    journal = Journal(cursors={("telegram", "main", "updates"): value})
    async with standin() as api:
        push(api.bot(), 1)
        async with polled(api.api_url, tmp_path, journal):
            await confirmed(api)
        assert "offset" not in asked(api)[0]


@pytest.mark.parametrize(
    "kind", ["error", "html", "reset", "lost", "slow", "half", "never", "too_many", "late", "twice"]
)
async def test_whatever_the_far_side_does_each_update_is_kept_once(kind: Any, tmp_path: Path) -> None:
    journal = Journal()
    async with standin() as api:
        push(api.bot(), 2)
        api.plan(Fault(kind=kind, method="getUpdates", seconds=0.05, retry_after=0))
        api.go_on()
        async with polled(api.api_url, tmp_path, journal, poll="1s", grace=-0.5):
            await journal.until(2)
            push(api.bot(), 2, first=3)
            await journal.until(4)
            await confirmed(api)
    assert len(journal.kept) == 4


async def test_a_pause_that_is_asked_for_is_made(tmp_path: Path) -> None:
    async with standin() as api:
        api.plan(Fault(kind="too_many", retry_after=3600, method="getUpdates"))
        async with polled(api.api_url, tmp_path, Journal()):
            await api.called("getUpdates")
            # The next one would come after 0.03 s; this one comes after an hour.
            with pytest.raises(TimeoutError):
                await api.called("getUpdates", 2, within=0.5)


async def in_trouble(made: Poller, words: str) -> str:
    ends = asyncio.get_running_loop().time() + PATIENCE
    while words not in made.trouble():
        assert asyncio.get_running_loop().time() < ends, f"{words!r} is no part of {made.trouble()!r}"
        await asyncio.sleep(0.01)
    assert TOKEN not in made.trouble()
    return made.trouble()


async def test_a_revoked_token_is_told_at_once_and_tried_slowly(tmp_path: Path) -> None:
    journal, time = Journal(), Time()
    async with standin() as api:
        api.bot().revoked = True
        async with polled(api.api_url, tmp_path, journal, clock=time) as made:
            assert "@BotFather" in await in_trouble(made, "refuses the token")
            assert made.name == "bot telegram/main"
            api.bot().revoked = False
            push(api.bot(), 1)
            await confirmed(api)
            assert made.trouble() == ""


async def test_a_webhook_that_is_set_is_named(tmp_path: Path) -> None:
    journal, time = Journal(), Time()
    async with standin() as api, aiohttp.ClientSession() as http:
        url = {"url": "http://other.example/its/own/secret"}
        async with http.post(f"{api.api_url}{TOKEN}/setWebhook", json=url) as answer:
            assert answer.status == 200
        async with polled(api.api_url, tmp_path, journal, clock=time) as made:
            told = await in_trouble(made, "a webhook is set at other.example;")
            assert "`gateway telegram setup main`" in told
            assert "secret" not in told
            async with http.post(f"{api.api_url}{TOKEN}/deleteWebhook") as answer:
                assert answer.status == 200
            push(api.bot(), 1)
            await confirmed(api)
            assert made.trouble() == ""


async def test_a_stop_waits_for_no_explanation(tmp_path: Path) -> None:
    async with standin() as api, aiohttp.ClientSession() as http:
        async with http.post(f"{api.api_url}{TOKEN}/setWebhook", json={"url": "http://other.example/x"}) as answer:
            assert answer.status == 200
        api.plan(Fault(kind="never", method="getWebhookInfo"))
        made = poller(api.api_url, tmp_path, Journal())
        await made.start(Journal())
        await api.called("getWebhookInfo")
        await asyncio.wait_for(made.stop(), PATIENCE)
        assert made.trouble() == "", "the call was waited for until it was over"


async def test_another_poller_is_named_and_nothing_is_lost(tmp_path: Path) -> None:
    journal, time = Journal(), Time()
    async with (
        standin() as api,
        aiohttp.ClientSession() as http,
        polled(api.api_url, tmp_path, journal, clock=time) as made,
    ):
        await api.called("getUpdates")
        async with http.post(f"{api.api_url}{TOKEN}/getUpdates", json={"timeout": 50}) as answer:
            # Ours came back after its pause and ended the other's.
            assert answer.status == 409
        await in_trouble(made, "another program polls this bot")
        push(api.bot(), 1)
        await confirmed(api)
        assert made.trouble() == ""
    assert len(journal.kept) == 1


async def test_a_far_side_that_is_away_is_no_news_before_five_minutes(tmp_path: Path) -> None:
    journal, time = Journal(), Time()
    api = BotApi({})
    async with api.running():
        closed = api.api_url
    async with polled(closed, tmp_path, journal, clock=time) as made:
        await asyncio.sleep(0.1)
        assert made.trouble() == ""
        time.move(minutes=5)
        assert "127.0.0.1" in await in_trouble(made, "since 2026-05-04 09:30 UTC")


async def test_a_stop_gives_the_poll_up_and_lets_a_commit_finish(tmp_path: Path) -> None:
    journal = Journal(gate=asyncio.Event())
    async with standin() as api:
        made = poller(api.api_url, tmp_path, journal)
        push(api.bot(), 1)
        await made.start(journal)
        await asyncio.wait_for(journal.news.wait(), PATIENCE)
        stopping = asyncio.create_task(made.stop())
        done, _ = await asyncio.wait({stopping}, timeout=0.2)
        assert not done
        assert journal.gate is not None
        journal.gate.set()
        await asyncio.wait_for(stopping, PATIENCE)
        assert len(journal.kept) == 1
        # Committed and not confirmed: it comes again, and is known.
        assert len(api.bot().waiting) == 1
        await made.start(journal)
        await confirmed(api)
        await asyncio.wait_for(made.stop(), PATIENCE)
    assert len(journal.kept) == 1
