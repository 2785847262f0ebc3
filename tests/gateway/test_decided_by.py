"""Every decision names the policy that was in force: class, contract, line, and whatever moved a deadline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gateway import desk
from gateway.context import Context
from gateway.store import tickets
from gateway.store.database import Database
from router.policy import Terms
from tests.gateway.conftest import FrozenClock
from tests.gateway.outgoing import open_ticket
from tests.gateway.staffed import POLICY, desk_context

BEFORE = desk_context()
SLOWER = replace(
    POLICY.contracts["acme"], terms={**POLICY.contracts["acme"].terms, 4: Terms(reaction=timedelta(hours=2))}
)
AFTER = replace(BEFORE, policy=replace(POLICY, version="next", contracts={**POLICY.contracts, "acme": SLOWER}))


class History:
    """A ticket of Acme's, and what each act on it recorded."""

    def __init__(self, db: Database, clock: FrozenClock) -> None:
        self._db, self._clock = db, clock
        self._ticket = 0

    async def open(self, **columns: Any) -> History:
        now = self._clock()
        self._ticket = await self._db.write(lambda conn: open_ticket(conn, now, contract="acme", **columns))
        return self

    async def do(self, ctx: Context, act: Any, **more: Any) -> Mapping[str, Any]:
        """Carry out an act under a configuration; the data of the event that it left last."""
        now = self._clock()
        await self._db.write(lambda conn: act(conn, ctx, self._ticket, actor="agent:olena", now=now, **more))
        events = await self._db.read(lambda conn: tickets.history(conn, self._ticket))
        return dict(events[-1].data)


@pytest.fixture
async def history(db: Database, clock: FrozenClock) -> History:
    return await History(db, clock).open(class_=6)


@pytest.mark.parametrize(
    ("act", "more"),
    [
        (desk.set_class, {"class_": 4}),
        (desk.set_class, {"class_": None}),
        (desk.set_contract, {"contract": "borealis"}),
        (desk.set_contract, {"contract": None}),
        (desk.set_line, {"line": "L2", "reason": "the network"}),
    ],
)
@pytest.mark.parametrize("ctx", [BEFORE, AFTER])
async def test_what_staff_decide_names_the_policy(
    history: History, ctx: Context, act: Any, more: dict[str, Any]
) -> None:
    assert (await history.do(ctx, act, **more))["policy"] == ctx.policy.version


async def test_an_accepted_proposal_names_it_in_both_events(db: Database, clock: FrozenClock) -> None:
    proposed = await History(db, clock).open(proposed_class=4, proposed_line="L2")
    last = await proposed.do(AFTER, desk.accept_proposal)
    assert (last["line"], last["policy"]) == ("L2", "next")
    events = await db.read(lambda conn: tickets.history(conn, proposed._ticket))
    assert [event.data["policy"] for event in events if event.kind == "class"] == ["next"]


async def test_whatever_moves_a_deadline_names_the_policy_that_it_was_computed_by(
    db: Database, clock: FrozenClock
) -> None:
    acme = await History(db, clock).open()
    assert (await acme.do(BEFORE, desk.set_class, class_=4))["policy"] == "test"
    assert "policy" not in await acme.do(BEFORE, desk.note, text="nothing moves"), "no decision, no deadline"
    moved = await acme.do(AFTER, desk.note, text="the contract has other times now")
    assert moved["policy"] == "next", "the first act after a reload brings the new times, and says whose they are"
    assert "policy" not in await acme.do(AFTER, desk.note, text="nothing moves any more")
    assert (await acme.do(AFTER, desk.reply, text="We are on it."))["policy"] == "next", "the reaction is met"
