"""Staff's acts as functions on a Connection: what each does to ticket, history, clocks and notices."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

import pytest
from sqlalchemy import Connection

from gateway import desk
from gateway.store import people, tickets
from gateway.store.database import Database
from tests.gateway.conftest import START, FrozenClock
from tests.gateway.outgoing import open_ticket
from tests.gateway.staffed import count, desk_context, rows

T = TypeVar("T")
CTX = desk_context()


class Acts:
    """Runs acts one by one in transactions of their own."""

    def __init__(self, db: Database, clock: FrozenClock) -> None:
        self._db, self._clock = db, clock

    async def open(self, **columns: Any) -> int:
        return await self._db.write(lambda conn: open_ticket(conn, self._clock(), **columns))

    async def do(
        self, act: Callable[..., desk.Done], ticket: int, actor: str = "agent:olena", **more: Any
    ) -> desk.Done:
        now = self._clock()
        return await self._db.write(lambda conn: act(conn, CTX, ticket, actor=actor, now=now, **more))

    async def row(self, ticket: int) -> Any:
        return await self._db.read(lambda conn: tickets.get(conn, ticket))

    async def read(self, job: Callable[[Connection], T]) -> T:
        return await self._db.read(job)


@pytest.fixture
def acts(db: Database, clock: FrozenClock) -> Acts:
    return Acts(db, clock)


async def test_the_table_of_transitions_is_what_is_allowed(acts: Acts) -> None:
    for before, allowed in desk.TRANSITIONS.items():
        for after in desk.TRANSITIONS:
            if after == "resolved":
                continue
            ticket = await acts.open(status=before)
            if after in allowed:
                await acts.do(desk.set_status, ticket, status=after)
                assert (await acts.row(ticket)).status == after
            else:
                with pytest.raises(desk.Conflict):
                    await acts.do(desk.set_status, ticket, status=after)
                assert (await acts.row(ticket)).status == before


@pytest.mark.parametrize("before", ["new", "open", "waiting", "held"])
async def test_resolving_takes_a_result_and_counts(acts: Acts, before: str) -> None:
    ticket = await acts.open(status=before)
    await acts.do(desk.resolve, ticket, result=" Cable replaced ")
    row = await acts.row(ticket)
    assert (row.status, row.result, row.resolutions, row.resolved_at) == ("resolved", "Cable replaced", 1, START)
    with pytest.raises(desk.Conflict, match="already"):
        await acts.do(desk.resolve, ticket, result="")
    await acts.do(desk.set_status, ticket, status="open")
    row = await acts.row(ticket)
    assert (row.status, row.resolved_at) == ("open", None)
    await acts.do(desk.resolve, ticket, result="")
    assert (await acts.row(ticket)).resolutions == 2
    kinds = [event.kind for event in await acts.read(lambda conn: tickets.history(conn, ticket))]
    assert kinds == ["opened", "resolved", "reopened", "resolved"]


async def test_only_a_persons_answer_is_a_reaction(acts: Acts, clock: FrozenClock) -> None:
    ticket = await acts.open(class_=4, contract="acme")
    await acts.do(desk.note, ticket, text="looking")
    assert (await acts.row(ticket)).reaction_due == START + timedelta(minutes=30)
    await acts.do(desk.reply, ticket, actor="rule:robot", text="we got it")
    await acts.do(desk.set_line, ticket, line="L2", reason="engineer")
    assert (await acts.row(ticket)).reaction_met_at is None
    answered = clock.forward(timedelta(minutes=10))
    await acts.do(desk.reply, ticket, text="Hello, I am on it")
    row = await acts.row(ticket)
    assert (row.reaction_met_at, row.reaction_due) == (answered, None)


async def test_the_resolution_clock_stops_while_we_wait(acts: Acts, clock: FrozenClock) -> None:
    ticket = await acts.open(class_=4, contract="acme")
    clock.forward(timedelta(hours=1))
    await acts.do(desk.ask, ticket, text="Which room?")
    row = await acts.row(ticket)
    assert (row.status, row.resolution_due) == ("waiting", None)
    clock.forward(timedelta(hours=10))
    await acts.do(desk.set_status, ticket, status="open")
    assert (await acts.row(ticket)).resolution_due == START + timedelta(hours=14)


async def test_changing_the_class_recomputes_from_the_beginning(acts: Acts, clock: FrozenClock) -> None:
    ticket = await acts.open(class_=6, contract="acme")
    clock.forward(timedelta(hours=2))
    await acts.do(desk.set_class, ticket, class_=4)
    assert (await acts.row(ticket)).resolution_due == START + timedelta(hours=4)


async def test_a_contract_brings_its_deadlines_from_the_beginning(acts: Acts, clock: FrozenClock) -> None:
    ticket = await acts.open(class_=4, line="L4")
    clock.forward(timedelta(hours=1))
    with pytest.raises(desk.Invalid, match="L4"):
        await acts.do(desk.set_contract, ticket, contract="acme")
    await acts.do(desk.set_line, ticket, line="L2", reason="ours after all")
    await acts.do(desk.set_contract, ticket, contract="acme")
    assert (await acts.row(ticket)).resolution_due == START + timedelta(hours=4)
    await acts.do(desk.set_contract, ticket, contract=None)
    assert (await acts.row(ticket)).resolution_due is None


async def test_a_key_makes_an_act_happen_once(acts: Acts) -> None:
    ticket, other = await acts.open(), await acts.open()
    first = await acts.do(desk.reply, ticket, text="hello", key="mail:7")
    again = await acts.do(desk.reply, ticket, text="hello", key="mail:7")
    assert (first.repeated, again.repeated, again.event_id) == (False, True, first.event_id)
    assert await acts.read(lambda conn: count(conn, "message")) == 1
    assert await acts.read(lambda conn: count(conn, "outbox")) == 1
    with pytest.raises(desk.Conflict, match="another ticket"):
        await acts.do(desk.reply, other, text="hello", key="mail:7")


async def test_a_reply_takes_a_ticket_up(acts: Acts) -> None:
    for before, after in (("new", "open"), ("held", "open"), ("waiting", "waiting"), ("resolved", "resolved")):
        ticket = await acts.open(status=before)
        await acts.do(desk.reply, ticket, text="hello")
        assert (await acts.row(ticket)).status == after


@pytest.mark.parametrize("status", ["resolved", "closed"])
async def test_a_settled_ticket_is_not_asked_about(acts: Acts, status: str) -> None:
    ticket = await acts.open(status=status)
    with pytest.raises(desk.Conflict, match="open first"):
        await acts.do(desk.ask, ticket, text="?")


async def test_lines_are_those_of_the_contract_and_need_a_reason(acts: Acts) -> None:
    ticket, stranger = await acts.open(contract="acme"), await acts.open()
    with pytest.raises(desk.Invalid, match="L1, L2, L3"):
        await acts.do(desk.set_line, ticket, line="L4", reason="the vendor")
    with pytest.raises(desk.Invalid, match="reason"):
        await acts.do(desk.set_line, ticket, line="L2", reason=" ")
    await acts.do(desk.set_line, stranger, line="L4", reason="the provider")
    (event,) = [e for e in await acts.read(lambda conn: tickets.history(conn, stranger)) if e.kind == "line"]
    assert event.data == {"line": "L4", "before": "L1", "reason": "the provider", "policy": "test"}
    assert event.actor == "agent:olena"


async def test_a_visit_keeps_what_is_not_said_again(acts: Acts) -> None:
    ticket = await acts.open()
    wanted = (START + timedelta(days=1), START + timedelta(days=1, hours=2))
    agreed = (START + timedelta(days=2), START + timedelta(days=2, hours=1))
    await acts.do(desk.set_visit, ticket, wanted=wanted, office="kyiv")
    await acts.do(desk.set_visit, ticket, agreed=agreed)
    row = await acts.row(ticket)
    assert row.onsite
    assert row.visit == {
        "wanted": [time.isoformat() for time in wanted], "agreed": [time.isoformat() for time in agreed],
        "office": "kyiv",
    }  # fmt: skip


async def test_another_requester_and_the_former_one_stays(acts: Acts) -> None:
    ticket = await acts.open()
    await acts.do(desk.set_requester, ticket, address=" Bob@Client.example ", name="Bob")
    row = await acts.row(ticket)
    assert row.requester == "bob@client.example"
    people = {p["address"]: p["role"] for p in await acts.read(lambda conn: rows(conn, "participant"))}
    assert people == {"bob@client.example": "requester", "ann@client.example": "cc"}
    names = {c["id"]: c["name"] for c in await acts.read(lambda conn: rows(conn, "contact"))}
    assert names[row.requester_id] == "Bob"


async def test_an_act_on_nothing_is_not_found(acts: Acts) -> None:
    with pytest.raises(desk.NotFound):
        await acts.do(desk.reply, 4711, text="hello")
    with pytest.raises(desk.NotFound):
        await acts.do(desk.ask_survey, 4711)


async def test_a_survey_is_asked_after_the_resolution_only(acts: Acts) -> None:
    ticket = await acts.open()
    with pytest.raises(desk.Conflict, match="resolve"):
        await acts.do(desk.ask_survey, ticket)
    await acts.do(desk.resolve, ticket, result="done")
    done = await acts.do(desk.ask_survey, ticket, key="k")
    assert (await acts.do(desk.ask_survey, ticket, key="k")).event_id == done.event_id
    assert await acts.read(lambda conn: count(conn, "survey")) == 1


async def test_a_person_who_wants_no_surveys_is_not_asked(acts: Acts, db: Database) -> None:
    ticket = await acts.open()
    await acts.do(desk.resolve, ticket, result="done")
    contact = (await acts.row(ticket)).requester_id
    await db.write(lambda conn: people.set_no_surveys(conn, contact, True))
    with pytest.raises(desk.Conflict, match="wants no surveys"):
        await acts.do(desk.ask_survey, ticket)


async def test_an_act_that_fails_leaves_its_transaction_as_it_was(acts: Acts) -> None:
    ticket = await acts.open(status="closed")
    for act, more in ((desk.reply, {"text": " "}), (desk.close, {}), (desk.assign, {"agent": "stranger"})):
        with pytest.raises(desk.DeskError):
            await acts.do(act, ticket, **more)
    assert await acts.read(lambda conn: (count(conn, "event"), count(conn, "message"), count(conn, "outbox"))) == (
        1,
        0,
        0,
    )


@pytest.mark.parametrize(
    ("act", "more", "error"),
    [
        (desk.set_class, {"class_": 9}, desk.Invalid),
        (desk.set_class, {"class_": None}, desk.Conflict),
        (desk.set_line, {"line": "L9", "reason": "x"}, desk.Invalid),
        (desk.assign, {"agent": None}, desk.Conflict),
        (desk.set_requester, {"address": " "}, desk.Invalid),
        (desk.set_requester, {"address": "Ann@client.example"}, desk.Conflict),
        (desk.reply, {"text": "x" * 1_000_001}, desk.Invalid),
        (desk.set_status, {"status": "lost"}, desk.Invalid),
        (desk.accept_proposal, {}, desk.Conflict),
    ],
)
async def test_what_makes_no_sense_is_named(
    acts: Acts, act: Callable[..., desk.Done], more: dict[str, Any], error: type[desk.DeskError]
) -> None:
    ticket = await acts.open()
    with pytest.raises(error):
        await acts.do(act, ticket, **more)
    assert await acts.read(lambda conn: count(conn, "event")) == 1


async def test_accepting_a_proposal_twice_with_one_key_is_once(acts: Acts) -> None:
    ticket = await acts.open(proposed_class=4, proposed_line="L2")
    first = await acts.do(desk.accept_proposal, ticket, key="k")
    assert (await acts.do(desk.accept_proposal, ticket, key="k")).event_id == first.event_id
    row = await acts.row(ticket)
    assert (row.class_, row.line) == (4, "L2")
