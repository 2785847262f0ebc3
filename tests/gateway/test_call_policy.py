"""What `ivr.yaml` may say beside what each step shows: announcements and hours."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway import call_policy
from gateway.call_policy import CallPolicy
from gateway.dialogs import ivr
from gateway.dialogs.ivr_states import Ask, Bye, Known, State
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from normalizer.call import Pressed
from router.policy import Policy
from tests.gateway.call_desk import CallDesk, called
from tests.gateway.conftest import FrozenClock
from tests.router.building import ALWAYS, NEVER, Calendar

HOLIDAY = {"uk": "Сьогодні свято.", "ru": "Сегодня праздник.", "en": "Today is a holiday."}
CLOSED = Calendar(key="closed", zone="Europe/Kyiv", week=NEVER)


def written(folder: Path, words: str) -> Path:
    (folder / "ivr.yaml").write_text(words, encoding="utf-8")
    return folder


def test_an_announcement_is_heard_once_behind_the_outage_in_the_callers_language(tmp_path: Path) -> None:
    found, problems = call_policy.load(written(tmp_path, f"announcement: {HOLIDAY}"))
    assert found is not None and problems == []
    plan = found.plan()
    state, (asked,) = ivr.step(plan, State(), Known(language="ru", incident={"ru": "почта"}))
    assert isinstance(asked, Ask)
    assert [prompt.text for prompt in asked.prompts[:3]] == ["greeting", "incident", "announcement"]
    assert asked.prompts[2].variables == {"announcement": "Сегодня праздник."}
    _, (again,) = ivr.step(plan, state, Pressed(digits="*"))
    assert isinstance(again, Ask) and again.prompts[0].text == "option_urgent"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ('announcement: {uk: "Свято.", ru: ""}', "announcement lacks words in ru, en"),
        ("announcement: {de: Feiertag}", "announcement"),
        ("limits: {answers: 9}", "limits.answers: "),
        ("limits: {answers: 12}", "limits.answers should be 16 or more: with 3 attempts and 0 people"),
        ('{limits: {answers: 21}, attempts: 4, people: ["+380440000009"]}', "limits.answers should be 22 or more"),
        ("limits: {calls: 3}", "limits.calls"),
        ("hours: never", "hours: there is no such calendar; there are always"),
    ],
)
def test_what_some_callers_would_not_hear_or_nobody_knows_is_a_problem(tmp_path: Path, words: str, said: str) -> None:
    found, problems = call_policy.load(written(tmp_path, words), calendars=["always"])
    assert found is None and any(said in str(problem) for problem in problems), problems


def test_a_call_takes_as_many_answers_as_the_policy_says(tmp_path: Path) -> None:
    assert CallPolicy().plan().steps == 40
    found, problems = call_policy.load(written(tmp_path, "limits: {answers: 17}"))
    assert found is not None and problems == []
    state, _ = ivr.step(found.plan(), State(), Known(language="en"))
    for answers in range(1, 18):
        # The same again, in a menu that may be asked for so often.
        state, actions = ivr.step(found.plan(), replace(state, tries=0), Pressed(digits="*"))
        assert state.steps == answers and state.node == "menu"
    state, actions = ivr.step(found.plan(), replace(state, tries=0), Pressed(digits="*"))
    assert state.node == "over" and isinstance(actions[-1], Bye)
    assert [prompt.text for prompt in actions[-1].prompts] == ["goodbye"]


@pytest.mark.parametrize(("hours", "closed"), [("", False), ("closed", True)])
async def test_hours_of_their_own_hold_for_every_call(
    db: Database, blobs: Blobs, clock: FrozenClock, hours: str, closed: bool
) -> None:
    policy = Policy(calendars={"always": ALWAYS, "closed": CLOSED}, default_calendar="always")
    desk = CallDesk(db, blobs, clock, called(policy, calls=call_policy.CallPolicy(hours=hours)))
    await desk.begins("CA" + "1" * 32)
    assert (await desk.call("CA" + "1" * 32)).state["closed"] is closed
