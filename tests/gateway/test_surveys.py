"""Who is asked for a rating and when, and what becomes of the answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Row, select

from gateway import surveys
from gateway.checks import CHECKS
from gateway.store import people, schema, timers
from gateway.store import surveys as store
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from gateway.survey_policy import SurveyPolicy, load
from tests.gateway.conftest import FrozenClock
from tests.gateway.people_desk import BOSS, CONFIG, IRA, LINE1, OLENA, Desk, context

DAY = timedelta(days=1)


@pytest.fixture
def desk(db: Database, blobs: Blobs, clock: FrozenClock) -> Desk:
    return Desk(db, blobs, clock)


def policy(desk: Desk, **changes: Any) -> None:
    desk.configure(surveys=SurveyPolicy.model_validate(changes))


async def resolved(desk: Desk, **columns: Any) -> int:
    ticket = await desk.open(**columns)
    await desk.act("resolve", ticket, result="Cable.")
    return ticket


async def all_surveys(desk: Desk) -> Sequence[Row[Any]]:
    return await desk.do(lambda conn: conn.execute(select(schema.survey).order_by(schema.survey.c.id)).all())


async def votes(desk: Desk, survey: int = 1) -> list[tuple[int, str, bool]]:
    found = await desk.do(lambda conn: store.votes(conn, survey))
    return [(vote.score, vote.comment, vote.current) for vote in found]


async def vote(desk: Desk, score: int, comment: str = "", channel: str = "mail", key: str | None = None) -> Any:
    now = desk.clock()
    return await desk.do(lambda conn: surveys.rate(conn, desk.ctx, 1, score, comment, channel, key, now))


async def fire(desk: Desk, kind: str) -> list[str]:
    """Fire the timers of a kind that are due, as the loop does."""

    def job(conn: Connection) -> list[str]:
        now = desk.clock()
        outcomes = []
        for timer_id in timers.due(conn, now, 100):
            timer = timers.unfired(conn, timer_id)
            if timer is not None and timer.kind == kind:
                outcomes.append(CHECKS[kind](conn, desk.ctx, timer, now))
                timers.fired(conn, timer_id, outcomes[-1], now)
        return outcomes

    found: list[str] = await desk.do(job)
    return found


# -- asking -------------------------------------------------------------------------------


async def test_the_resolved_notice_asks(desk: Desk) -> None:
    await resolved(desk)
    [survey] = await all_surveys(desk)
    notice = (await desk.sent_to())[-1]
    token = surveys.token_of(desk.ctx, survey.nonce)
    assert f"https://help.example/rate/{token}?score=5" in notice.text
    assert survey.token_hash == desk.ctx.keyring.hash(token)
    assert survey.expires_at == desk.clock() + 30 * DAY
    assert await desk.do(lambda conn: surveys.by_token(conn, desk.ctx, token)) == survey
    assert await desk.do(lambda conn: surveys.by_token(conn, desk.ctx, survey.nonce)) is None


async def test_the_token_is_nowhere_in_the_database(desk: Desk) -> None:
    await resolved(desk)
    [survey] = await all_surveys(desk)
    token = surveys.token_of(desk.ctx, survey.nonce)

    def dump(conn: Connection) -> str:
        return "".join(str(conn.execute(select(table)).all()) for table in schema.metadata.sorted_tables)

    assert token not in await desk.do(dump)


def _unreachable(conn: Connection, desk: Desk) -> None:
    people.mark_unreachable(conn, "mail", IRA, "mail", "5.1.1", desk.clock())


def _no_surveys(conn: Connection, desk: Desk) -> None:
    people.set_no_surveys(conn, people.contact_for(conn, "mail", IRA, "", desk.clock()), True)


NOT_ASKED: dict[str, tuple[dict[str, Any], Callable[[Connection, Desk], None] | None]] = {
    "staff": ({"requester": OLENA}, None),
    "own address": ({"requester": "help@desk.example"}, None),
    "unreadable": ({"tags": ["unreadable"]}, None),
    "held": ({"status": "held"}, None),
    "wants no surveys": ({}, _no_surveys),
    "unreachable": ({}, _unreachable),
}


@pytest.mark.parametrize("reason", NOT_ASKED)
async def test_who_is_never_asked(desk: Desk, reason: str) -> None:
    columns, prepare = NOT_ASKED[reason]
    ticket = await desk.open(**columns)
    if prepare is not None:
        await desk.do(lambda conn: prepare(conn, desk))
    now = desk.clock()
    row = await desk.ticket(ticket)
    for by_staff in (False, True):
        assert await desk.do(lambda conn, by=by_staff: surveys.why_not(conn, desk.ctx, row, now, by_staff=by)) == reason


async def test_a_resolved_ticket_of_somebody_who_is_not_asked_has_no_links(desk: Desk) -> None:
    await desk.do(lambda conn: _no_surveys(conn, desk))
    await resolved(desk)
    assert await all_surveys(desk) == []
    notice = (await desk.sent_to())[-1]
    assert notice.kind == "resolved"
    assert "/rate/" not in notice.text


async def test_nobody_is_asked_when_surveys_are_off_but_by_staff(desk: Desk) -> None:
    policy(desk, enabled=False)
    ticket = await resolved(desk)
    assert await all_surveys(desk) == []
    await desk.act("ask_survey", ticket)
    assert len(await all_surveys(desk)) == 1
    assert (await desk.told())[-1] == "survey"


async def test_one_person_is_left_in_peace_for_the_cooldown(desk: Desk) -> None:
    policy(desk, cooldown="7d")
    await resolved(desk)
    await resolved(desk)
    assert len(await all_surveys(desk)) == 1
    desk.clock.forward(7 * DAY)
    await resolved(desk)
    assert len(await all_surveys(desk)) == 2


async def test_a_reopened_ticket_asks_again_after_the_next_resolution(desk: Desk) -> None:
    ticket = await resolved(desk)
    await desk.change(ticket, "reopened", actor="requester")
    await desk.act("set_status", ticket, status="open")
    await desk.act("resolve", ticket, result="Really.")
    assert [survey.resolution for survey in await all_surveys(desk)] == [1, 2]


async def test_staff_ask_once_for_each_resolution(desk: Desk) -> None:
    ticket = await resolved(desk)
    refused = await desk.do(lambda conn: surveys.ask(conn, desk.ctx, ticket, desk.clock()))
    assert refused == surveys.Asked(refused="asked before")


# -- timers -------------------------------------------------------------------------------


async def test_a_delayed_survey_is_asked_when_it_is_still_resolved(desk: Desk) -> None:
    policy(desk, when="delayed", delay="1d")
    await resolved(desk)
    assert await desk.told() == ["acknowledgement", "resolved"]
    assert await fire(desk, "survey") == []
    desk.clock.forward(DAY)
    assert await fire(desk, "survey") == ["asked"]
    assert (await desk.told())[-1] == "survey"


async def test_a_delayed_survey_of_a_reopened_ticket_is_not(desk: Desk) -> None:
    policy(desk, when="delayed", delay="1d")
    ticket = await resolved(desk)
    await desk.act("set_status", ticket, status="open")
    desk.clock.forward(DAY)
    assert await fire(desk, "survey") == ["not resolved any more"]
    assert await all_surveys(desk) == []


async def test_a_question_that_still_waits_is_taken_back_when_the_ticket_is_reopened(desk: Desk) -> None:
    desk.configure(surveys=SurveyPolicy(enabled=False))
    ticket = await desk.open()
    await desk.act("resolve", ticket, result="Done.")
    await desk.sent_to(seconds=1)
    await desk.act("ask_survey", ticket)
    assert await desk.told() == ["survey"]  # the relay is away
    await desk.act("set_status", ticket, status="open")
    assert await desk.told() == ["reopened"]


async def test_a_result_that_waits_is_not_told_of_a_ticket_that_a_robot_reopened(desk: Desk) -> None:
    ticket = await desk.open()
    await desk.act("resolve", ticket, result="Done.")
    await desk.change(ticket, "reopened", actor="requester", ok=False, message=1)
    assert await desk.told() == ["acknowledgement"]


async def test_who_was_not_told_of_the_result_was_not_asked_either(
    db: Database, blobs: Blobs, clock: FrozenClock
) -> None:
    desk = Desk(db, blobs, clock, context(SurveyPolicy(cooldown=timedelta(0)), caps={"per_address_minute": 1}))
    first, second = await desk.open(), await desk.open()
    await desk.act("resolve", first, result="Done.")
    await desk.act("resolve", second, result="Done.")
    assert (await desk.told()).count("resolved") == 1
    clock.forward(timedelta(minutes=2))
    await desk.act("ask_survey", second)
    assert (await desk.told())[-1] == "survey"


async def test_a_delayed_survey_looks_again_at_who_is_asked(desk: Desk) -> None:
    policy(desk, when="delayed", delay="1d")
    await resolved(desk)
    await desk.do(lambda conn: _no_surveys(conn, desk))
    desk.clock.forward(DAY)
    assert await fire(desk, "survey") == ["wants no surveys"]


async def test_one_reminder_unless_answered(desk: Desk) -> None:
    policy(desk, reminder=1, reminder_after="3d")
    await resolved(desk)
    desk.clock.forward(3 * DAY)
    assert await fire(desk, "survey_reminder") == ["reminded"]
    assert (await desk.told())[-1] == "survey_reminder"
    desk.clock.forward(30 * DAY)
    assert await fire(desk, "survey_reminder") == []


async def test_no_reminder_after_a_vote_or_when_switched_off(desk: Desk) -> None:
    policy(desk, reminder=1, reminder_after="3d")
    await resolved(desk)
    await vote(desk, 5)
    desk.clock.forward(3 * DAY)
    assert await fire(desk, "survey_reminder") == ["answered"]
    policy(desk, reminder=0)
    assert "survey_reminder" not in await desk.told()


async def test_no_reminder_by_default(desk: Desk) -> None:
    await resolved(desk)
    desk.clock.forward(30 * DAY)
    assert await fire(desk, "survey_reminder") == []


# -- votes --------------------------------------------------------------------------------


async def test_the_last_vote_counts_and_the_others_are_its_history(desk: Desk) -> None:
    ticket = await resolved(desk)
    for score in (5, 3, 4):
        assert (await vote(desk, score)).outcome == "counted"
    assert await votes(desk) == [(5, "", False), (3, "", False), (4, "", True)]
    assert [event["score"] for event in await desk.events(ticket, "rating")] == [5, 3, 4]


async def test_the_same_vote_again_is_nothing_new(desk: Desk) -> None:
    ticket = await resolved(desk)
    await vote(desk, 5)
    assert (await vote(desk, 5)).outcome == "repeated"
    assert len(await desk.events(ticket, "rating")) == 1


async def test_a_key_makes_a_vote_happen_once(desk: Desk) -> None:
    await resolved(desk)
    await vote(desk, 5, key="rating:17")
    await vote(desk, 4, key="rating:18")
    again = await vote(desk, 5, key="rating:17")
    assert (again.outcome, again.score) == ("repeated", 4)
    assert await votes(desk) == [(5, "", False), (4, "", True)]


async def test_a_vote_can_be_changed_for_some_days(desk: Desk) -> None:
    await resolved(desk)
    await vote(desk, 5)
    desk.clock.forward(7 * DAY - timedelta(seconds=1))
    assert (await vote(desk, 4)).outcome == "counted"
    desk.clock.forward(timedelta(seconds=1))
    late = await vote(desk, 1)
    assert (late.outcome, late.score) == ("fixed", 4)
    assert (await vote(desk, 4, "Still fine.")).outcome == "counted"  # words are welcome for longer


async def test_an_expired_survey_takes_nothing(desk: Desk) -> None:
    await resolved(desk)
    desk.clock.forward(30 * DAY)
    assert (await vote(desk, 5)).outcome == "expired"
    assert await votes(desk) == []


async def test_scores_are_one_to_five(desk: Desk) -> None:
    await resolved(desk)
    for score in (0, 6, -1):
        with pytest.raises(ValueError, match="1 to 5"):
            await vote(desk, score)


async def test_a_comment_belongs_to_the_vote_that_counts(desk: Desk) -> None:
    await resolved(desk)
    now = desk.clock()

    async def say(text: str) -> Any:
        return await desk.do(lambda conn: surveys.comment(conn, desk.ctx, 1, text, "web", None, now))

    assert (await say("Too early.")).outcome == "expired"
    await vote(desk, 2)
    assert (await say("Slow.")).outcome == "counted"
    assert (await votes(desk))[-1] == (2, "Slow.", True)
    await vote(desk, 4)
    assert (await votes(desk))[-1] == (4, "", True)  # said about another score


async def test_digits_by_mail_find_the_open_survey(desk: Desk) -> None:
    ticket = await resolved(desk)

    async def found(address: str = "IRA@acme.example", at: int = ticket) -> Any:
        now = desk.clock()
        return await desk.do(lambda conn: surveys.open_survey_for(conn, at, address, now))

    assert (await found()).id == 1
    assert await found("oleh@acme.example") is None
    assert await found(at=4711) is None
    await desk.act("set_status", ticket, status="open")
    assert await found() is None  # reopened: "5" is about something else now
    desk.clock.forward(31 * DAY)
    assert await found() is None


async def test_do_not_ask_me_again(desk: Desk) -> None:
    ticket = await resolved(desk)
    await desk.do(lambda conn: surveys.opt_out(conn, 1, desk.clock()))
    await desk.do(lambda conn: surveys.opt_out(conn, 1, desk.clock()))
    assert len(await desk.events(ticket, "no_surveys")) == 1
    desk.clock.forward(30 * DAY)
    await resolved(desk)
    assert len(await all_surveys(desk)) == 1


# -- low scores and scanners --------------------------------------------------------------


async def test_a_low_score_reaches_the_watchers_with_the_comment_that_follows(desk: Desk) -> None:
    await resolved(desk)
    await vote(desk, 1)
    desk.clock.forward(timedelta(seconds=60))
    now = desk.clock()
    await desk.do(lambda conn: surveys.comment(conn, desk.ctx, 1, "Nobody came.", "web", None, now))
    for recipient in (BOSS, LINE1):
        assert (await desk.told(recipient)).count("staff_rating") == 1
    [notice] = await desk.sent_to(BOSS, seconds=61)
    assert "1 of 5" in notice.text
    assert "Nobody came." in notice.text


@pytest.mark.parametrize(("score", "told"), [(1, 1), (2, 1), (3, 0), (5, 0)])
async def test_which_scores_are_low(desk: Desk, score: int, told: int) -> None:
    await resolved(desk)
    await vote(desk, score)
    assert (await desk.told(BOSS)).count("staff_rating") == told


async def test_a_burst_of_different_scores_counts_for_nothing_and_alarms_nobody(desk: Desk) -> None:
    await resolved(desk)
    outcomes = []
    for score in (5, 4, 3, 2, 1):
        outcomes.append((await vote(desk, score, channel="web")).outcome)
        desk.clock.forward(timedelta(milliseconds=200))
    assert outcomes == ["counted", "burst", "burst", "burst", "burst"]
    assert not any(current for _, _, current in await votes(desk))
    assert "staff_rating" not in await desk.told(BOSS)


async def test_a_burst_that_begins_low_takes_its_alert_back(desk: Desk) -> None:
    await resolved(desk)
    await vote(desk, 1, channel="web")
    assert "staff_rating" in await desk.told(BOSS)
    await vote(desk, 5, channel="web")
    assert "staff_rating" not in await desk.told(BOSS)


async def test_after_a_burst_the_person_can_vote(desk: Desk) -> None:
    await resolved(desk)
    for score in (5, 1):
        await vote(desk, score, channel="web")
    assert (await vote(desk, 4, channel="web")).outcome == "burst"
    desk.clock.forward(timedelta(seconds=3))
    assert (await vote(desk, 4, channel="web")).outcome == "counted"
    assert [score for score, _, current in await votes(desk) if current] == [4]


async def test_a_burst_takes_no_earlier_vote_of_the_person_away(desk: Desk) -> None:
    await resolved(desk)
    await vote(desk, 5, channel="web")
    desk.clock.forward(timedelta(hours=1))
    for score in (1, 2, 3):
        await vote(desk, score, channel="web")
    assert [score for score, _, current in await votes(desk) if current] == [5]


async def test_a_quick_vote_with_two_quick_comments_is_no_burst(desk: Desk) -> None:
    await resolved(desk)
    assert (await vote(desk, 5, channel="web")).outcome == "counted"
    assert (await vote(desk, 5, "Fine.", channel="web")).outcome == "counted"
    assert (await vote(desk, 5, "Fine.", channel="web")).outcome == "repeated"
    assert (await vote(desk, 5, "Very fine.", channel="web")).outcome == "counted"


async def test_changing_ones_mind_slowly_is_no_burst(desk: Desk) -> None:
    await resolved(desk)
    await vote(desk, 5, channel="web")
    desk.clock.forward(timedelta(seconds=4))
    assert (await vote(desk, 2, channel="web")).outcome == "counted"


steps = st.lists(st.tuples(st.integers(1, 5), st.integers(0, 6), st.sampled_from(["web", "mail"])), max_size=12)


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(steps)
async def test_at_most_one_vote_counts_whatever_comes(desk: Desk, steps: list[tuple[int, int, str]]) -> None:
    desk.configure(surveys=SurveyPolicy(cooldown=timedelta(0)))
    await resolved(desk)
    number = (await all_surveys(desk))[-1].id
    for score, seconds, channel in steps:
        now = desk.clock.forward(timedelta(seconds=seconds))

        def job(conn: Connection, score: int = score, channel: str = channel, now: Any = now) -> surveys.Rated:
            return surveys.rate(conn, desk.ctx, number, score, "", channel, None, now)

        rated = await desk.do(job)
        current = [found for found, _, counts in await votes(desk, number) if counts]
        assert len(current) <= 1
        assert rated.score == (current[0] if current else None)


# -- the file -----------------------------------------------------------------------------


def test_the_shipped_policy_is_read() -> None:
    found, problems = load(CONFIG)
    assert problems == []
    assert found == SurveyPolicy()


def test_faults_of_the_policy_are_named(tmp_path: Any) -> None:
    (tmp_path / "surveys.yaml").write_text("enabled: true\nreminder: 2\ncooldwon: 1d\n", encoding="utf-8")
    found, problems = load(tmp_path)
    assert found is None
    assert [problem.line for problem in problems] == [2, 3]
    assert "did you mean cooldown" in str(problems[1])


def test_the_timers_are_in_the_table_of_checks() -> None:
    assert {"survey", "survey_reminder"} <= set(CHECKS)
