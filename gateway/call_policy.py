"""What `config/ivr.yaml` may say: how telephone calls are led, and which of them become tickets."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from channels.described import Described
from gateway import yaml_files
from gateway.dialogs.ivr_states import Plan, Way
from gateway.yaml_files import Problem

FILE = "ivr.yaml"
Number: TypeAlias = Annotated[str, StringConstraints(pattern=r"^\+[1-9][0-9]{6,14}$")]
Menu: TypeAlias = Annotated[tuple[Way, ...], Field(min_length=1, max_length=4)]


class CallLimits(Described, BaseModel):
    """What no call goes beyond."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    answers: int = Field(default=40, ge=10, le=500)
    """The most answers of a caller (keys, a recording, silence, the end of ringing somebody) in one call, so that none
    goes on for ever; behind the last one the caller hears a farewell. What was said or chosen by then has a ticket."""


class CallPolicy(Described, BaseModel):
    """One policy for every number. Hours are those of the caller's contract, of strangers the desk's own; the number of
    the engineer on duty is the contract's `emergency_phone`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    languages: tuple[Literal["uk", "ru", "en"], ...] = Field(default=("uk", "ru", "en"), min_length=1)
    """In the order of their keys, the first one's key is 1. Who chose one before is not asked again; with one language
    nobody is."""
    menu: Menu = ("urgent", "report", "status")
    """What the keys 1, 2 … lead to. urgent: everything has stopped, somebody is rung first; report: a message is
    recorded; status: what is with a ticket; person: somebody is rung. 0 is always a person, * says it again."""
    closed_menu: Menu = ("urgent", "report", "status")
    """The same out of hours."""
    announcement: Mapping[Literal["uk", "ru", "en"], Annotated[str, StringConstraints(max_length=500)]] = {}
    """What every caller hears behind the greeting: language -> words, in each language or in none. Outages are said by
    themselves (`gateway incidents`)."""
    hours: str = ""
    """Calendar (calendars.yaml) by which calls are taken, whoever calls. Empty: that of the caller's contract, of
    strangers the desk's own."""
    people: tuple[Number, ...] = ()
    """Numbers that are rung for a caller in hours, one after another; then the caller is recorded. Empty: at once."""
    attempts: int = Field(default=3, ge=1, le=5)
    """How often something is asked before the caller is recorded instead."""
    wait: int = Field(default=6, ge=5, le=30)
    """Seconds that a caller has to press one key."""
    wait_number: int = Field(default=8, ge=5, le=30)
    """Seconds between the keys of a number."""
    ring: int = Field(default=20, ge=5, le=120)
    """Seconds that each number is rung."""
    longest: int = Field(default=180, ge=10, le=3600)
    """Seconds of one recording."""
    silence: int = Field(default=5, ge=2, le=30)
    """Seconds of silence that end a recording."""
    call_back: bool = True
    """Whether callers are asked which number they want to be called back on."""
    limits: CallLimits = CallLimits()
    missed: Literal["reason", "ticket"] = "reason"
    """What a call leaves behind in which nothing was chosen and nothing said. reason: a line in the list of calls;
    ticket: a ticket, so that somebody calls back."""

    @model_validator(mode="after")
    def _has_each_once(self) -> Self:
        for name, said in (("languages", self.languages), ("menu", self.menu), ("closed_menu", self.closed_menu)):
            if len({*said}) != len(said):
                raise ValueError(f"{name} should have each once: a key leads to one thing")
        if self.announcement and (
            silent := [one for one in self.languages if not self.announcement.get(one, "").strip()]
        ):
            raise ValueError(f"announcement lacks words in {', '.join(silent)}: some callers would hear nothing")
        return self

    @model_validator(mode="after")
    def _leads_everybody_to_an_end(self) -> Self:
        # The language, the menu, a recording, the call back and its number; everybody who is rung, one on duty besides.
        wanted = 5 * self.attempts + len(self.people) + 1
        if self.limits.answers < wanted:
            raise ValueError(
                f"limits.answers should be {wanted} or more: with {self.attempts} attempts and {len(self.people)} "
                "people a caller would be cut off before they are recorded"
            )
        return self

    def plan(self) -> Plan:
        """As the steps of a call want it."""
        return self._plan

    @cached_property
    def _plan(self) -> Plan:
        # Every answer to a caller asks for it.
        return Plan(**self.model_dump(exclude={"missed", "hours", "limits"}), steps=self.limits.answers)


def load(folder: Path, *, calendars: Collection[str] | None = None) -> tuple[CallPolicy | None, list[Problem]]:
    """Read `ivr.yaml` of a configuration folder; an absent file means the defaults.

    `calendars`: keys of those that there are; None: nobody knows.
    """
    path = folder / FILE
    if not path.exists():
        return CallPolicy(), []
    document = yaml_files.read(path)
    found, problems = yaml_files.check(document, CallPolicy)
    if found is not None and found.hours and calendars is not None and found.hours not in calendars:
        document.problem(("hours",), f"there is no such calendar; there are {', '.join(sorted(calendars))}")
        return None, document.problems
    return found, problems
