"""A desk for tests of what people are told: two agents, two lines, a watcher, one contract in Kyiv."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, select

from gateway import clocks, desk, texts, updates
from gateway.context import Context
from gateway.keyring import Keyring
from gateway.notices import Change
from gateway.rendering import render
from gateway.settings import Settings
from gateway.store import outbox, people, schema, tickets
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from gateway.survey_policy import SurveyPolicy
from normalizer.message import Notice
from router.policy import Calendar, Contract, Office, Policy, Terms
from tests.gateway.conftest import FrozenClock

CONFIG = Path(__file__).parents[2] / "config"
IRA = "ira@acme.example"
LINE1, LINE2, BOSS = "line1@desk.example", "line2@desk.example", "boss@client-of-none.example"
OLENA, PAVLO = "olena@desk.example", "pavlo@desk.example"
WEEK = (((540, 1080),),) * 5 + ((),) * 2
POLICY = Policy(
    version="test",
    calendars={"kyiv": Calendar(key="kyiv", zone="Europe/Kyiv", week=WEEK)},
    default_calendar="kyiv",
    contracts={
        "acme": Contract(
            key="acme",
            name="Acme",
            domains=("acme.example",),
            calendar="kyiv",
            lines=("L1", "L2", "L3", "L4"),
            emergency_phone="+380 44 000 00 99",
            offices=(Office(key="lviv", name="Lviv", zone="Europe/Kyiv"),),
            terms={
                3: Terms(reaction=timedelta(minutes=15), resolution=timedelta(hours=4)),
                4: Terms(reaction=timedelta(hours=2), resolution=timedelta(hours=8)),
                6: Terms(reaction=timedelta(hours=7), resolution=timedelta(days=5)),
            },
        )
    },
)
SETTINGS: dict[str, Any] = {
    "http": {"public_url": "https://help.example"},
    "desk": {"name": "Example desk", "phone": "+380 44 000 00 00"},
    "channels": {
        "mail": {
            "support": {
                "addresses": ["support@desk.example", "help@desk.example"],
                "language": "en",
                "timezone": "Europe/Kyiv",
                "brand": "Acme care",
            }
        }
    },
    "agents": {
        "olena": {"name": "Olena", "addresses": [OLENA], "lines": ["L1"], "languages": ["uk"]},
        "pavlo": {"name": "Pavlo", "addresses": [PAVLO], "lines": ["L2"]},
    },
    "lines": {"L1": {"recipients": [LINE1]}, "L2": {"recipients": [LINE2]}},
    "watchers": [BOSS],
}


def context(surveys: SurveyPolicy | None = None, policy: Policy = POLICY, **settings: Any) -> Context:
    """The desk's context, with the shipped texts."""
    loaded, problems = texts.load(CONFIG)
    assert loaded is not None, problems
    return Context(
        settings=Settings.model_validate({**SETTINGS, **settings}),
        policy=policy,
        keyring=Keyring(b"k" * 32),
        surveys=surveys or SurveyPolicy(),
        texts=loaded,
    )


class Desk:
    """Opens tickets, lets staff act, and shows who would be told what."""

    def __init__(self, db: Database, blobs: Blobs, clock: FrozenClock, ctx: Context | None = None) -> None:
        self.db, self.blobs, self.clock, self.ctx = db, blobs, clock, ctx or context()

    async def open(
        self, *, automatic_ok: bool = True, actor: str = "requester", text: str = "It prints nothing.", **columns: Any
    ) -> int:
        """A new ticket of Ira's, announced."""
        now = self.clock()
        row: dict[str, Any] = {
            "contract": "acme",
            "class_": 4,
            "subject": "Re: Printer [#10452873]",
            "language": "ru",
            "requester": IRA,
            **columns,
        }

        def job(conn: Connection) -> int:
            contact = people.contact_for(conn, "mail", row["requester"], "Ira", now)
            ticket_id = tickets.open_ticket(
                conn,
                channel="mail",
                account="support",
                requester_id=contact,
                requester_name="Ira",
                opened_at=now,
                now=now,
                **row,
            )
            message = tickets.add_message(
                conn, ticket_id, direction="in", kind="message", author=row["requester"], text=text, at=now
            )
            data = {
                "class": row["class_"], "contract": row["contract"], "line": row.get("line", "L1"), "message": message,
            }  # fmt: skip
            event = tickets.add_event(conn, ticket_id, at=now, actor=actor, kind="opened", data=data)
            clocks.recompute(conn, self.ctx, ticket_id, now)
            change = Change(
                ticket_id=ticket_id, event_id=event, kind="opened", actor=actor, data=data, automatic_ok=automatic_ok
            )
            updates.compose(conn, self.ctx, change, now)
            return ticket_id

        return await self.db.write(job)

    async def act(self, act_name: str, ticket_id: int, /, *, actor: str = "agent:olena", **given: Any) -> desk.Done:
        """An act of staff."""
        act, now = getattr(desk, act_name), self.clock()
        done: desk.Done = await self.db.write(
            lambda conn: act(conn, self.ctx, ticket_id, actor=actor, now=now, **given)
        )
        return done

    async def change(self, ticket_id: int, kind: str, *, actor: str = "gateway", ok: bool = True, **data: Any) -> None:
        """Something happened to a ticket."""
        now = self.clock()

        def job(conn: Connection) -> None:
            event = tickets.add_event(conn, ticket_id, at=now, actor=actor, kind=kind, data=data)
            change = Change(ticket_id=ticket_id, event_id=event, kind=kind, actor=actor, data=data, automatic_ok=ok)
            updates.compose(conn, self.ctx, change, now)

        await self.db.write(job)

    async def do(self, job: Any) -> Any:
        """Run something in a transaction."""
        return await self.db.write(job)

    def configure(self, **changes: Any) -> None:
        """Another version of the context."""
        self.ctx = replace(self.ctx, **changes)

    # -- looking ----------------------------------------------------------------------------

    async def rows(self, *states: str) -> Sequence[Row[Any]]:
        """Notices of these states (waiting), by id."""
        wanted = select(schema.outbox).where(schema.outbox.c.state.in_(states or ("waiting",)))
        return await self.db.read(lambda conn: conn.execute(wanted.order_by(schema.outbox.c.id)).all())

    async def told(self, recipient: str = IRA) -> list[str]:
        """Templates of what waits to go to somebody."""
        return [row.template for row in await self.rows() if row.recipient == recipient]

    async def send(self, seconds: float = 0) -> list[Notice]:
        """Claim, render and settle everything that is due then, as the outbox would. By id."""
        now = self.clock.forward(timedelta(seconds=seconds))

        def job(conn: Connection) -> list[Notice]:
            made = []
            while ids := outbox.due(conn, "mail", "support", now, 100):
                for row in outbox.claim(conn, ids, "test", now):
                    made.append(render(conn, self.ctx, row, self.blobs))
                    done = outbox.Settlement(id=row.id, owner="test", attempts=row.attempts, state="sent")
                    assert outbox.settle(conn, done, now)
            return sorted(made, key=lambda notice: notice.id)

        return await self.db.write(job)

    async def sent_to(self, recipient: str = IRA, seconds: float = 0) -> list[Notice]:
        """What goes out to somebody."""
        return [notice for notice in await self.send(seconds) if notice.recipient.address == recipient]

    async def ticket(self, ticket_id: int) -> Row[Any]:
        return await self.db.read(lambda conn: tickets.get(conn, ticket_id))

    async def events(self, ticket_id: int, kind: str) -> list[Any]:
        """Data of the events of a kind."""
        return [
            event.data
            for event in await self.db.read(lambda conn: tickets.history(conn, ticket_id))
            if event.kind == kind
        ]
