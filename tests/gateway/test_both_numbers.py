"""A ticket has our number and perhaps the store's: in subjects, in short messages, and on the telephone."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Connection

from gateway import both_numbers, surveys
from gateway.dialogs import ivr
from gateway.dialogs.ivr_states import Find, Plan, State
from gateway.notices import view_token
from gateway.store import feeds, tickets
from gateway.store import surveys as survey_store
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from normalizer.call import Pressed
from normalizer.mail.threads import keys
from tests.gateway.conftest import FrozenClock
from tests.gateway.feeds_desk import Rig, feeds_context
from tests.gateway.people_desk import IRA, Desk, context
from tests.gateway.staffed import served
from tests.gateway.web.page_reader import PageReader


@pytest.mark.parametrize(
    ("subject", "numbers"),
    [
        ("Re: [#10000016] Printer", ["10000016"]),
        ("[desk.example #77] Printer", ["77"]),
        ("[Support - Bug #9] (New) Printer", ["9"]),
        ("Re: [#W-12] and [# 1234]", ["W-12", "1234"]),
        ("[JIRA] no number, #12 neither", []),
        ("[#]", []),
    ],
)
def test_numbers_of_stores_are_read_from_subjects(subject: str, numbers: list[str]) -> None:
    found = keys(recipients=(), in_reply_to=(), references=(), subject=subject)
    assert [key.value for key in found] == numbers


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("#77 is still broken", ["77"]),
        ("any news about 10000016?", ["10000016"]),
        ("№ 1234", ["1234"]),
        ("call me: +380670000001, flat 12, https://a.example/#77", []),
        ("10000016.", ["10000016"]),
    ],
)
def test_numbers_in_a_short_message(text: str, numbers: list[str]) -> None:
    assert both_numbers.in_text(text) == numbers


async def test_where_a_number_fits_two_tickets_only_the_writers_own_counts(
    db: Database, clock: FrozenClock, tmp_path: Path
) -> None:
    rig = Rig(db=db, clock=clock, folder=tmp_path / "blobs", ctx=feeds_context())
    first, second = await rig.open(), await rig.open()
    await rig.push(rig.pushing())
    ours = (await rig.ticket(first)).number

    def job(conn: Connection) -> list[list[str]]:
        link = feeds.link_of(conn, second)
        assert link is not None
        # The store has given the second ticket what is the first one's number here.
        feeds.change_link(conn, link, number=ours)
        tickets.add_participant(conn, second, "cc@client.example", tickets.CC)
        return [
            both_numbers.named(conn, [ours], sender)
            for sender in ("cc@client.example", "stranger@nowhere.example", "ann@client.example")
        ]

    theirs = (await rig.ticket(second)).number
    assert await rig.write(job) == [[theirs], [], [ours, theirs]]


def test_a_stores_number_is_keyed_in_on_the_telephone_where_there_is_a_store() -> None:
    state = State(node="number")
    keyed = Pressed(digits="77")
    _, plain = ivr.step(Plan(), state, keyed)
    _, beside_a_store = ivr.step(Plan(other_numbers=True), state, keyed)
    assert beside_a_store == (Find(number="77"),)
    assert plain != beside_a_store


@pytest.mark.parametrize("number", [None, "77"])
async def test_the_pages_of_a_ticket_show_the_stores_number_beside_ours(
    number: str | None, db: Database, blobs: Blobs, clock: FrozenClock, tmp_path: Path
) -> None:
    store = {"kind": "rt", "url": "https://rt.desk.example", "token": "env:RT", "user": "gateway"}
    desk = Desk(db, blobs, clock, context(feeds={"rt": store}))
    ticket = await desk.open()

    def linked(conn: Connection) -> None:
        feeds.change_link(
            conn, feeds.link_of(conn, ticket) or feeds.make_link(conn, "rt", ticket, clock()), number=number
        )

    await db.write(linked)
    await desk.act("resolve", ticket, result="Cable.")
    ours = (await desk.ticket(ticket)).number
    nonce = (await desk.do(lambda conn: survey_store.get(conn, 1))).nonce
    paths = {
        "ticket": f"/t/{view_token(desk.ctx, await desk.ticket(ticket), IRA)}",
        "mark": f"/rate/{surveys.token_of(desk.ctx, nonce)}",
    }
    shown = {}
    async with served(db, blobs, clock, tmp_path, desk.ctx) as site:
        for name, path in paths.items():
            async with site.session.get(site.url + path) as response:
                assert response.status == 200
                shown[name] = PageReader(await response.text()).text
    wanted = f"Заявка {ours} ({number})" if number else f"Заявка {ours}"
    for name, text in shown.items():
        assert wanted in text, name
        assert ("(" in text[text.index(ours) : text.index(ours) + len(ours) + 2]) == (number is not None), name
