"""A state machine over feeds: tickets, messages and fields change while tries end in every way and servers die.

Invariants: no ticket and no message is ever twice in the store (it makes whatever it is told to); a ticket's messages
are there in the order in which they were said; and when all is well again everything is there, and says what we say.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway import desk
from gateway.desk_acts import DeskError
from gateway.feeds.contract import Set
from gateway.store import feeds
from gateway.store.database import open_database
from tests.gateway.conftest import FrozenClock
from tests.gateway.feeds_desk import Fate, Rig, feeds_context

FATES: tuple[Fate, ...] = ("done", "retry", "lost", "done lost", "refused", "killed before", "killed after")
LINES = ("L1", "L2", "L3")


class FeedsMachine(RuleBasedStateMachine):
    emptied: ClassVar[Callable[[], str]]
    """Gives the URL of an empty database."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp(prefix="feeds-machine-"))
        self.said: dict[int, list[str]] = {}
        self.words = 0

    def do(self, work: Any) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(work, 120))

    @initialize()
    def start(self) -> None:
        url = type(self).emptied()

        async def opened() -> Any:
            return open_database(url, readers=1, writers=2)

        self.db = self.do(opened())
        self.rig = Rig(db=self.db, clock=FrozenClock(), folder=self.folder, ctx=feeds_context(max_age="400d"))
        self.life = self.rig.pushing()

    def word(self) -> str:
        self.words += 1
        return f"word {self.words}"

    # -- steps ----------------------------------------------------------------------------

    @precondition(lambda self: len(self.said) < 4)
    @rule()
    def open(self) -> None:
        text = self.word()
        self.said[self.do(self.rig.open(text))] = [text]

    @precondition(lambda self: self.said)
    @rule(data=st.data())
    def say(self, data: st.DataObject) -> None:
        ticket, text = data.draw(st.sampled_from(sorted(self.said))), self.word()
        self.do(self.rig.say(ticket, text))
        self.said[ticket].append(text)

    @precondition(lambda self: self.said)
    @rule(data=st.data(), line=st.sampled_from(LINES))
    def move(self, data: st.DataObject, line: str) -> None:
        ticket = data.draw(st.sampled_from(sorted(self.said)))
        try:
            self.do(self.rig.act(desk.set_line, ticket, line=line, reason="so"))
        except DeskError:
            return

    # What is there already hangs on which of two pushes at once was quicker: nothing may be drawn by it.
    @rule(place=st.integers(0, 3), line=st.sampled_from(LINES))
    def moved_there(self, place: int, line: str) -> None:
        """Staff move it in the store, and we hear of it at once."""
        if place >= len(self.rig.store.tickets):
            return
        self.rig.store.tickets[place]["line"] = line
        self.do(self.rig.hear(Set(field="line", value=line, raw=line), ref=str(place)))

    @rule(fates=st.lists(st.sampled_from(FATES), max_size=4), tells=st.booleans())
    def push(self, fates: list[Fate], tells: bool) -> None:
        self.rig.store.fates, self.rig.store.tells = fates, tells
        self.do(self.rig.push(self.life))
        self.rig.store.fates, self.rig.store.tells = [], True

    @rule(seconds=st.sampled_from([1, 60, 119, 120, 180, 3600, 86400]))
    def wait(self, seconds: int) -> None:
        self.rig.clock.forward(timedelta(seconds=seconds))

    @rule()
    def start_again(self) -> None:
        self.life = self.rig.pushing()
        self.do(self.life.recover())

    @rule()
    def run_again(self) -> None:
        """Somebody looks at what was refused."""
        for row in self.do(self.rig.rows()):
            if row.state in ("refused", "dead"):
                self.do(self.rig.write(lambda conn, one=row.id: feeds.retry(conn, one, self.rig.clock())))

    # -- what holds -----------------------------------------------------------------------

    @invariant()
    def nothing_is_there_twice_and_the_order_is_kept(self) -> None:
        store = self.rig.store if hasattr(self, "rig") else None
        if store is None:
            return
        keys = store.keys()
        assert len(keys) == len(set(keys)), "something is there twice"
        for place in range(len(store.tickets)):
            texts = store.texts(place)
            ours = next(said for said in self.said.values() if said[0] == texts[0])
            assert texts == ours[: len(texts)], "out of order"

    def teardown(self) -> None:
        try:
            if hasattr(self, "rig"):
                self.all_is_well()
        finally:
            if hasattr(self, "db"):
                self.do(self.db.close())
            self.loop.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    def all_is_well(self) -> None:
        """From now on every try is done: then everything is there."""
        rig = self.rig
        rig.store.fates, rig.store.tells, rig.store.dying = [], True, False
        self.start_again()
        for _ in range(6):
            self.run_again()
            self.do(rig.hear())  # what was put off
            rig.clock.forward(timedelta(days=1))
            self.do(rig.push(self.life))
        assert {state for _, state in self.do(rig.states())} <= {"done", "skipped"}
        assert sorted(rig.store.texts(place) for place in range(len(rig.store.tickets))) == sorted(self.said.values())
        for ticket in self.said:
            link, row = self.do(rig.link(ticket)), self.do(rig.ticket(ticket))
            assert rig.store.tickets[int(link.ref)]["line"] == row.line
            assert link.told["line"] == row.line


@pytest.mark.timeout(600)
def test_feeds_under_any_order_of_events(emptied: Callable[[], str], request: pytest.FixtureRequest) -> None:
    examples = 20 if "sqlite" in request.node.name else 6
    FeedsMachine.emptied = staticmethod(emptied)
    case = FeedsMachine.TestCase
    case.settings = settings(
        max_examples=examples, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
    )
    case().runTest()
