"""Never two calls for one: lost answers, refusals, and SIGKILL between the call and its settlement."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from channels.contract import Unavailable
from gateway.demo.twilio_api import Fault, Manner, Person, Press, Rings, Told
from tests.mailboxes.desk import child, running
from tests.twilio.calling import KYIV, LANDLINE, Clock, Story, config, kyiv, settings, story, telephones
from tests.twilio.provider import LONG

PATIENCE = pytest.mark.timeout(LONG)
CHILD = Path(__file__).with_name("calling_child.py")
ANSWERS = Rings(answers="person", person=Person(doings=(Press(keys="5"),)))


def waits_for(fault: str) -> dict[str, str]:
    """Only who is never answered waits for the end of it: longer than a machine may stand still."""
    return {"timeout": "12s"} if fault in ("never", "mute") else {}


@PATIENCE
@pytest.mark.parametrize("fault", ["too_many", "server", "reset", "never"])
async def test_what_was_not_made_is_made_once_it_is_known_that_it_was_not(tmp_path: Path, fault: Any) -> None:
    # The next try is due when the clock is set, and not while we look at what the first one came to.
    async with story(tmp_path, "outbox.backoff=30m", **waits_for(fault)) as desk:
        desk.rings(LANDLINE, ANSWERS)
        desk.api.plan(Fault(kind=fault, on="call"))
        await desk.solved()
        await desk.later(kyiv(5, 4, 13, 5))
        await desk.until("SELECT 1 FROM outbox WHERE kind = 'rating_call' AND state = 'waiting' AND attempts = 1")
        # Only a refusal is certain without a look at the list.
        assert (desk.api.count("calls") > 0) == (fault != "too_many")
        await desk.later(kyiv(5, 4, 14))
        await desk.called(1)
        assert desk.api.count("call") == 2 and desk.states() == ["sent"]


@PATIENCE
@pytest.mark.parametrize("fault", ["broken", "lost", "half"])
async def test_what_was_made_and_answered_badly_is_found_and_not_made_again(tmp_path: Path, fault: Any) -> None:
    async with story(tmp_path) as desk:
        desk.rings(LANDLINE, ANSWERS)
        desk.api.plan(Fault(kind=fault, on="call"))
        await desk.solved()
        await desk.later(kyiv(5, 4, 13, 5))
        (made,) = await desk.called(1)
        await desk.until("SELECT 1 FROM rating WHERE score = 5")
        await desk.desk.until(lambda: desk.states() == ["sent"], "it is known")
        assert desk.rows("SELECT external_ids FROM outbox WHERE kind = 'rating_call'") == [
            (json.dumps([f"voice:main:{made.sid}"]),)
        ]
        assert desk.api.count("call") == 1


@PATIENCE
async def test_what_nobody_can_tell_is_unknown_and_not_made_again(tmp_path: Path) -> None:
    async with story(tmp_path) as desk:
        desk.rings(LANDLINE, Rings(wait=True))
        desk.api.plan(Fault(kind="lost", on="call"), *(Fault(kind="server", on="calls") for _ in range(9)))
        await desk.solved()
        await desk.later(kyiv(5, 4, 13, 5))
        await desk.desk.until(lambda: desk.states() == ["unknown"], "unknown")
        await desk.later(kyiv(5, 4, 15))
        await desk.idle()
        assert desk.api.count("call") == 1 and desk.states() == ["unknown"]


@PATIENCE
@pytest.mark.parametrize(
    ("point", "deaf", "calls", "states"),
    [
        ("sent-unsettled", False, 1, ["sent"]),
        ("sending-committed", False, 1, ["sent"]),
        ("sent-unsettled", True, 1, ["unknown"]),
    ],
)
async def test_killed_around_the_call_there_is_one_and_none_where_nobody_can_tell(
    tmp_path: Path, point: str, deaf: bool, calls: int, states: Sequence[str]
) -> None:
    """`deaf`: the list cannot be had."""
    var, clock = tmp_path / "var", Clock()
    async with telephones() as api:
        api.outgoing.telephones[LANDLINE] = [Rings(wait=True)]
        said, folder = settings(api, tmp_path / "token", reconcile="0s"), config(tmp_path)
        async with running(var, said, clock=clock, config=folder) as gateway:
            await Story(api, gateway, var, clock).solved()
        due = kyiv(5, 4, 13, 5).isoformat()
        async with child(var, said, point, str(folder), due, script=CHILD) as process:
            assert await asyncio.wait_for(process.wait(), 120) == -signal.SIGKILL
        assert len(api.outgoing.made) == (point == "sent-unsettled")
        if deaf:
            api.plan(*(Fault(kind="server", on="calls") for _ in range(9)))
        clock.set(kyiv(5, 4, 13, 10))
        async with running(var, said, clock=clock, config=folder) as gateway:
            desk = Story(api, gateway, var, clock)
            await gateway.until(lambda: desk.states() == states, str(states))
            await desk.idle()
        assert len(api.outgoing.made) == calls and desk.states() == states


@PATIENCE
async def test_killed_while_sending_and_recovered_at_night_a_call_that_was_made_is_not_put_off(tmp_path: Path) -> None:
    var, clock = tmp_path / "var", Clock()
    async with telephones() as api:
        api.outgoing.telephones[LANDLINE] = [Rings(wait=True)]
        said, folder = settings(api, tmp_path / "token", reconcile="0s"), config(tmp_path)
        async with running(var, said, clock=clock, config=folder) as gateway:
            await Story(api, gateway, var, clock).solved()
        due = kyiv(5, 4, 18, 30).isoformat()
        async with child(var, said, "sent-unsettled", str(folder), due, script=CHILD) as process:
            assert await asyncio.wait_for(process.wait(), 120) == -signal.SIGKILL
        clock.set(kyiv(5, 4, 22))
        async with running(var, said, clock=clock, config=folder) as gateway:
            desk = Story(api, gateway, var, clock)
            await gateway.until(lambda: desk.states() == ["sent"], "it was found")
        assert len(api.outgoing.made) == 1


@PATIENCE
async def test_what_is_told_of_a_call_twice_or_before_its_request_returned_settles_it_once(tmp_path: Path) -> None:
    async with story(tmp_path, **waits_for("mute")) as desk:
        twice = Manner(ended=Told(twice=True))
        desk.rings(LANDLINE, Rings(answers="busy", manner=twice), Rings(answers="busy", manner=twice))
        # It waits a moment with the answer, and the line is busy before that.
        desk.api.plan(Fault(kind="mute", on="call"))
        await desk.solved()
        await desk.later(kyiv(5, 4, 13, 5))
        await desk.until("SELECT 1 FROM timer WHERE kind = 'rating_call_again'")
        assert [note["state"] for note in desk.notes()] == ["busy"]
        assert desk.rows("SELECT count(*) FROM timer WHERE kind = 'rating_call_again'") == [(1,)]
        assert len(desk.api.outgoing.made) == 1


@PATIENCE
async def test_each_refusal_ends_it_and_no_second_call_is_tried(tmp_path: Path) -> None:
    async with story(tmp_path) as desk:
        people, numbers = desk.api.people, [f"+38044300000{count}" for count in range(3)]
        people.missing.add(numbers[0])
        people.refused_calls.add(numbers[1])
        people.refused_prefixes.add(numbers[2])
        for number in numbers:
            await desk.solved(number)
        await desk.later(kyiv(5, 4, 13, 5))
        await desk.desk.until(lambda: desk.states() == ["unreachable"] * 3, "refused")
        await desk.later(kyiv(5, 5, 12))
        await desk.idle()
        assert desk.api.count("call") == 3 and desk.api.outgoing.made == []
        codes = " ".join(row[0] for row in desk.rows("SELECT detail FROM outbox WHERE kind = 'rating_call'"))
        assert all(code in codes for code in ("21211", "21215", "21216"))
        assert desk.rows("SELECT value, channel FROM unreachable") == [(numbers[0], "voice")]


@PATIENCE
async def test_whom_we_called_is_let_go_where_nobody_can_tell_what_to_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise Unavailable("the database is locked")

    async with story(tmp_path) as desk:
        desk.rings(LANDLINE, ANSWERS)
        await desk.solved()
        monkeypatch.setattr("gateway.calls.answered", broken)
        desk.clock.set(kyiv(5, 4, 13, 5))
        await desk.act(await desk.number(), "note", text="x")
        await desk.called(1)
        call = desk.phone.calls[-1]
        assert (call.words, call.codes, call.recordings) == ("", [], [])
        assert desk.rows("SELECT count(*) FROM ticket") == [(1,)]


def test_the_clock_of_these_tests_is_a_working_day() -> None:
    assert Clock()().astimezone(KYIV).weekday() == 0
