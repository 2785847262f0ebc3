"""What `config/surveys.yaml` may say: when people are asked for a rating, and when they are left alone."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from channels.described import Described
from channels.durations import Duration
from gateway import yaml_files
from gateway.yaml_files import Problem

FILE = "surveys.yaml"
DAY = timedelta(days=1)


class SurveyPolicy(Described, BaseModel):
    """One policy for every channel."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = True
    """false: nobody is asked automatically; staff still can."""
    when: Literal["with_resolved", "delayed"] = "with_resolved"
    """with_resolved: the question stands in the notice that says the ticket is done; delayed: it comes by itself."""
    delay: Duration = DAY
    """Time after the resolution when `when` is delayed."""
    cooldown: Duration = timedelta(0)
    """One person is asked at most once in this time; 0s: after every resolution.

    A question that stands in a notice which goes out anyway costs nobody a message; with `delayed` set some days."""
    expires: Duration = 30 * DAY
    """Links and digits count for this long."""
    changeable: Duration = 7 * DAY
    """A vote can be changed for this long after the first one."""
    changeable_by_phone: Duration = DAY
    """The same for a vote by text message, WhatsApp or keys: a digit has nothing in it that names the question, and
    numbers change hands. Not longer than `changeable`."""
    reminder: Literal[0, 1] = 0
    """How many times a question without an answer is repeated."""
    reminder_after: Duration = 3 * DAY
    """Time without an answer after which the question is repeated."""
    calls: bool = False
    """true: who asked by telephone and can be asked in no other way (a landline, a number that gets no text messages)
    is called and asked, once more where nobody answers or the line is busy; between 10:00 and 19:00 of their zone on
    working days. Never: numbers of several people, who said STOP, who pressed 9 in such a call. The account says how
    many calls a day (`daily_limit`) and to which countries (`prefixes`)."""
    calls_after: Duration = timedelta(hours=1)
    """Time from the resolution to such a call; with `delayed` not less than `delay`."""
    call_again: Duration = timedelta(hours=3)
    """Time from a call that nobody answered to the second one."""
    low_score: int = Field(default=2, ge=0, le=4)
    """Scores up to this one are told to the watchers at once; 0: none is."""
    burst: Duration = timedelta(seconds=3)
    """Different scores for one survey within this time come from a mail scanner, and none of them counts."""


def load(folder: Path) -> tuple[SurveyPolicy | None, list[Problem]]:
    """Read `surveys.yaml` of a configuration folder; an absent file means the defaults."""
    path = folder / FILE
    return yaml_files.load(path, SurveyPolicy) if path.exists() else (SurveyPolicy(), [])
