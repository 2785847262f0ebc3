"""Calls that ask for a mark, through the whole gateway: who is called, when, how often, and what comes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.demo.twilio_api import Fault, Manner, Person, Press, Rings, Silent, Talk, Told
from tests.twilio.calling import LANDLINE, MOBILE, SECOND, kyiv, story
from tests.twilio.provider import LONG

PATIENCE = pytest.mark.timeout(LONG)


def person(*keys: str) -> Rings:
    """Somebody who takes the call up and presses these, one at each question."""
    return Rings(answers="person", person=Person(doings=tuple(Press(keys=key) if key else Silent() for key in keys)))


@PATIENCE
async def test_who_asked_from_a_landline_is_called_and_the_mark_counts(tmp_path: Path) -> None:
    async with story(tmp_path) as desk:
        desk.rings(LANDLINE, person("4", "2", "5", ""))
        await desk.solved()
        # Each request of the call comes two times, at once.
        desk.api.network.plan += [*["twice"] * 12]
        await desk.later(kyiv(5, 4, 13, 5))
        (made,) = await desk.called(1)
        call = desk.phone.calls[-1]
        assert call.codes == [] and made.status == "completed"
        assert "автоматичний дзвінок, Example Desk" in call.words and "4 травня" in call.words
        assert "блок живлення" not in call.words and "П'ять — відмінно" in call.words
        await desk.until("SELECT 1 FROM rating WHERE current AND score = 5 AND channel = 'voice'")
        assert desk.rows("SELECT score, current FROM rating ORDER BY id") == [(4, 0), (5, 1)]
        await desk.until("SELECT 1 FROM event WHERE kind = 'rating_call'")
        assert [note["state"] for note in desk.notes()] == ["answered"] and desk.states() == ["sent"]
        assert desk.rows("SELECT status FROM ticket") == [("resolved",)]
        assert desk.rows("SELECT outcome FROM call WHERE caller = ? ORDER BY id", LANDLINE) == [
            ("ticket",), ("no_ticket_needed",)
        ]  # fmt: skip
        assert made.asked["MachineDetection"] == "Enable" and made.asked["From"] == "+380440000001"


@PATIENCE
async def test_nobody_is_called_unless_the_policy_says_so_nor_who_gets_a_text_message(tmp_path: Path) -> None:
    (tmp_path / "off").mkdir()
    async with story(tmp_path / "off", surveys="enabled: true\n") as desk:
        await desk.solved()
        await desk.later(kyiv(5, 5, 12))
        await desk.idle()
        assert desk.api.outgoing.made == []
    async with story(tmp_path) as desk:
        await desk.solved(MOBILE)
        await desk.until("SELECT 1 FROM outbox WHERE channel = 'sms' AND template = 'resolved' AND state = 'sent'")
        await desk.later(kyiv(5, 5, 12))
        await desk.until("SELECT 1 FROM timer WHERE kind = 'rating_call' AND outcome = 'asked another way'")
        assert desk.api.outgoing.made == []


@PATIENCE
async def test_an_account_that_only_captures_calls_nobody_and_shows_what_would_be_said(tmp_path: Path) -> None:
    async with story(tmp_path, outbound="capture") as desk:
        await desk.solved()
        await desk.later(kyiv(5, 4, 13, 5))
        await desk.desk.until(lambda: desk.states() == ["captured"], "captured")
        assert desk.api.outgoing.made == []
        kept = [path.read_text(encoding="utf-8") for path in desk.var.rglob("*.json")]
        assert any("автоматичний дзвінок, Example Desk" in each for each in kept)


@PATIENCE
async def test_a_mobile_number_that_no_text_message_reaches_is_called(tmp_path: Path) -> None:
    async with story(tmp_path, sms={"prefixes": ["+48"]}) as desk:
        desk.rings(MOBILE, person("5"))
        await desk.solved(MOBILE)
        await desk.later(kyiv(5, 4, 13, 5))
        await desk.called(1, to=MOBILE)
        await desk.until("SELECT 1 FROM rating WHERE score = 5")


@PATIENCE
async def test_who_does_not_answer_is_called_once_more_and_then_left_alone(tmp_path: Path) -> None:
    async with story(tmp_path) as desk:
        desk.rings(LANDLINE, Rings(answers="no-answer"), Rings(answers="busy"))
        await desk.solved()
        await desk.later(kyiv(5, 4, 13, 5))
        await desk.called(1)
        await desk.until("SELECT 1 FROM timer WHERE kind = 'rating_call_again'")
        await desk.later(kyiv(5, 4, 15))
        await desk.called(1)
        await desk.later(kyiv(5, 4, 16, 30))
        await desk.called(2)
        await desk.desk.until(lambda: desk.states() == ["unreachable", "unreachable"], "both in vain")
        for day in (5, 6, 7):
            await desk.later(kyiv(5, day, 12))
            await desk.called(2)
        states = [(note["call"], note["state"], "again" in note) for note in desk.notes()]
        assert states == [(1, "no_answer", True), (2, "busy", False)]
        assert desk.rows("SELECT count(*) FROM ticket") == [(1,)]
        # Nobody on the desk has to do anything about it.
        assert desk.rows("SELECT 1 FROM outbox WHERE template = 'staff_undelivered'") == []


@PATIENCE
async def test_nobody_is_called_in_the_evening_at_the_weekend_or_on_a_holiday(tmp_path: Path) -> None:
    # A Thursday; Friday is the first of May.
    async with story(tmp_path, began=kyiv(4, 30, 18, 30)) as desk:
        desk.rings(LANDLINE, person("5"))
        await desk.solved()
        for at in (kyiv(4, 30, 20), kyiv(5, 1, 12), kyiv(5, 2, 12), kyiv(5, 3, 12), kyiv(5, 4, 9, 30)):
            await desk.later(at)
            await desk.idle()
            assert desk.api.outgoing.made == []
        await desk.later(kyiv(5, 4, 10, 1))
        await desk.called(1)


@PATIENCE
async def test_a_call_that_could_not_be_made_in_time_waits_for_the_next_morning(tmp_path: Path) -> None:
    # The next try is due when the clock is set, and not while we look at what the first one came to.
    async with story(tmp_path, "outbox.backoff=1h") as desk:
        desk.rings(LANDLINE, person("5"))
        await desk.solved()
        desk.api.plan(Fault(kind="too_many", on="call"))
        await desk.later(kyiv(5, 4, 18, 45))
        await desk.until("SELECT 1 FROM outbox WHERE kind = 'rating_call' AND attempts = 1 AND state = 'waiting'")
        await desk.later(kyiv(5, 4, 21))
        await desk.until("SELECT 1 FROM outbox WHERE kind = 'rating_call' AND detail LIKE 'nobody is called%'")
        assert desk.api.outgoing.made == []
        await desk.later(kyiv(5, 5, 10, 1))
        await desk.called(1)


@PATIENCE
async def test_a_machine_is_told_nothing_and_who_got_a_mobile_since_is_asked_by_text_message(tmp_path: Path) -> None:
    async with story(tmp_path) as desk:
        desk.rings(LANDLINE, Rings(answers="machine"))
        await desk.solved()
        desk.give_mobile()
        await desk.later(kyiv(5, 4, 13, 5))
        await desk.called(1)
        assert desk.phone.calls[-1].words == ""
        await desk.until("SELECT 1 FROM outbox WHERE channel = 'sms' AND template = 'survey' AND state = 'sent'")
        (text,) = [one for one in desk.api.sent if one.to == MOBILE]
        assert "1" in text.body and "5" in text.body
        await desk.until("SELECT 1 FROM call WHERE outcome = 'machine' AND ended_at IS NOT NULL")
        await desk.later(kyiv(5, 5, 12))
        await desk.called(1)
        assert len([one for one in desk.api.sent if one.to == MOBILE]) == 1


@PATIENCE
async def test_a_call_whose_end_nobody_tells_goes_by_the_next_channel(tmp_path: Path) -> None:
    async with story(tmp_path) as desk:
        desk.rings(LANDLINE, Rings(answers="no-answer", manner=Manner(ended=Told(when="never"))))
        await desk.solved()
        desk.give_mobile()
        await desk.later(kyiv(5, 4, 13, 5))
        await desk.called(1)
        assert desk.states() == ["sent"]
        await desk.later(kyiv(5, 5, 12))
        await desk.until("SELECT 1 FROM outbox WHERE channel = 'sms' AND template = 'survey' AND state = 'sent'")
        await desk.called(1)
        assert desk.states() == ["unreachable"]


@PATIENCE
async def test_nine_ends_such_calls_for_ever_and_nothing_else(tmp_path: Path) -> None:
    async with story(tmp_path) as desk:
        desk.rings(LANDLINE, person("9"))
        await desk.solved()
        await desk.later(kyiv(5, 4, 13, 5))
        await desk.called(1)
        assert "Більше не телефонуватимемо" in desk.phone.calls[-1].words
        assert desk.rows("SELECT channel, peer, wish, how FROM consent") == [("voice", LANDLINE, "stop", "key")]
        assert desk.rows("SELECT no_surveys FROM contact WHERE no_surveys") == []
        await desk.later(kyiv(5, 6, 12))
        await desk.solved()
        await desk.later(kyiv(5, 7, 12))
        await desk.until("SELECT 1 FROM timer WHERE kind = 'rating_call' AND outcome = 'stopped'")
        await desk.called(1)


@PATIENCE
@pytest.mark.parametrize("told", ["before", "end"])
async def test_a_low_mark_is_explained_after_the_tone_and_opens_nothing_again(tmp_path: Path, told: str) -> None:
    async with story(tmp_path) as desk:
        manner = Manner(recorded=Told(when=told, twice=True), ended=Told(twice=True))  # type: ignore[arg-type]
        doings = (Press(keys="1"), Silent(), Talk(seconds=12))
        desk.rings(LANDLINE, Rings(answers="person", person=Person(doings=doings), manner=manner))
        await desk.solved()
        await desk.later(kyiv(5, 4, 13, 5))
        await desk.called(1)
        assert desk.phone.calls[-1].codes == []
        await desk.until("SELECT 1 FROM rating WHERE current AND score = 1 AND comment != ''")
        await desk.until("SELECT 1 WHERE (SELECT count(*) FROM attachment WHERE state = 'here') = 2")
        assert desk.rows("SELECT comment FROM rating WHERE current") == [("[голосове повідомлення, 0:12]",)]
        assert desk.rows("SELECT status FROM ticket") == [("resolved",)]
        assert desk.rows("SELECT count(*) FROM message WHERE text LIKE '[голосове повідомлення, 0:12]%'") == [(1,)]


@PATIENCE
async def test_above_the_limit_of_a_day_and_in_other_countries_nobody_is_called(tmp_path: Path) -> None:
    german = "+493012345678"
    async with story(tmp_path, daily_limit=1) as desk:
        # What goes by text message instead of a call counts for no calls.
        await desk.asks(MOBILE)
        await desk.until("SELECT 1 FROM outbox WHERE channel = 'sms' AND state = 'sent'")
        for number in (LANDLINE, SECOND, german):
            desk.rings(number, person("5"))
        for number in (german, LANDLINE, SECOND):
            await desk.solved(number)
        await desk.later(kyiv(5, 4, 13, 5))
        await desk.desk.until(lambda: len(desk.states()) == 3 and "waiting" not in desk.states(), "three ends")
        await desk.idle()
        assert len(desk.api.outgoing.made) == 1 and desk.api.outgoing.to(german) == []
        assert sorted(desk.states()) == ["sent", "unreachable", "unreachable"]
        details = " ".join(row[0] for row in desk.rows("SELECT detail FROM outbox WHERE state = 'unreachable'"))
        assert "daily_limit" in details and "prefixes" in details


@PATIENCE
async def test_a_number_of_several_people_or_one_that_said_stop_is_never_called(tmp_path: Path) -> None:
    async with story(tmp_path) as desk:
        for number in (LANDLINE, SECOND):
            await desk.solved(number)
        desk.desk.store.change(
            f"INSERT INTO phone_fact (value, shared, why, actor, at) VALUES ('{LANDLINE}', 1, 'two contacts', 'x', 1)",
            "INSERT INTO consent (channel, endpoint, peer, wish, how, at) VALUES"
            f" ('sms', '+380440000001', '{SECOND}', 'stop', 'word', 1)",
        )
        await desk.later(kyiv(5, 4, 13, 5))
        await desk.until("SELECT 1 WHERE (SELECT count(*) FROM timer WHERE kind = 'rating_call' AND outcome != '') = 2")
        outcomes = desk.rows("SELECT outcome FROM timer WHERE kind = 'rating_call' ORDER BY id")
        assert outcomes == [("a shared number",), ("stopped",)]
        assert desk.api.outgoing.made == []


@PATIENCE
async def test_a_ticket_that_is_open_again_is_not_asked_about(tmp_path: Path) -> None:
    async with story(tmp_path) as desk:
        ticket = await desk.solved()
        await desk.act(ticket, "status", status="open")
        await desk.later(kyiv(5, 4, 13, 5))
        await desk.until("SELECT 1 FROM timer WHERE kind = 'rating_call' AND outcome = 'not resolved any more'")
        assert desk.api.outgoing.made == []


@PATIENCE
async def test_a_mark_is_offered_once_at_the_end_of_a_status_call(tmp_path: Path) -> None:
    async with story(tmp_path, surveys="when: delayed\n") as desk:
        ticket = await desk.solved(MOBILE)
        asks = (Press(keys="3"), Press(keys=f"{ticket}#"))
        first = await desk.phone.call(Person(doings=(*asks, Press(keys="5"))), sender=MOBILE, to="+380440000001")
        assert first.codes == [] and "Оцініть" in first.words
        await desk.until("SELECT 1 FROM rating WHERE current AND score = 5")
        again = await desk.phone.call(Person(doings=asks), sender=MOBILE, to="+380440000001")
        assert again.codes == [] and "Оцініть" not in again.words and "виконано" in again.words.lower()
        assert desk.rows("SELECT count(*) FROM rating") == [(1,)]
        assert desk.rows("SELECT count(*) FROM survey") == [(1,)]
