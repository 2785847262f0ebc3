"""A desk without wires: messages are accepted into a real journal and filed in a real database."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, Row, select

from gateway.context import Context
from gateway.filing import Filed, file_entry, give_up
from gateway.keyring import Keyring
from gateway.settings import Settings
from gateway.store import journal, schema, tickets
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from gateway.store.journal import Entry
from gateway.worker_protocol import Parsed
from normalizer.message import Event, InlineBody, Message, RawMessage
from router.assignment import Assignment
from router.policy import Policy
from tests.gateway.conftest import FrozenClock
from tests.gateway.planted import said

T = TypeVar("T")
SUPPORT = "support@desk.example"
AGENTS = {
    "olena": {"name": "Olena", "addresses": ["olena@staff.example"]},
    "petro": {"name": "Petro", "addresses": ["petro@staff.example"], "trust_unknown": True},
}


def context(policy: Policy | None = None, *, outbound: str = "on", **settings: Any) -> Context:
    """Settings with one mail account, two agents, and whatever else is given."""
    account = {"addresses": [SUPPORT], "outbound": outbound, "language": "en"}
    given = {"channels": {"mail": {"support": account}}, "agents": AGENTS, **settings}
    return Context(settings=Settings.model_validate(given), policy=policy or Policy(), keyring=Keyring(b"k" * 32))


class Desk:
    """Receives messages and lets a test look at what they became."""

    def __init__(self, db: Database, blobs: Blobs, clock: FrozenClock, ctx: Context) -> None:
        self.db, self.blobs, self.clock, self.ctx = db, blobs, clock, ctx
        self._count = 0

    async def accept(self, event: Event, **raw: Any) -> Entry:
        """Journal an entry that will mean `event`."""
        self._count += 1
        sender = event.sender.address if isinstance(event, Message) else "MAILER-DAEMON@client.example"
        own = event.message_id if isinstance(event, Message) else ""
        content = raw.pop("content", None) or f"{self._count} {event}".encode()
        values: dict[str, Any] = {
            "channel": "mail",
            "account": "support",
            "format": "mail/1",
            "external_id": own or f"smtp:{self._count}",
            "fingerprint": hashlib.sha256(content).hexdigest(),
            "peer": sender,
            "received_at": self.clock(),
            "body": InlineBody(content=content),
            "facts": {"mail_from": sender},
            "deliveries": (("support", SUPPORT),),
            **raw,
        }
        made = RawMessage(**values)
        now, blobs = self.clock(), self.blobs
        prepared = await asyncio.to_thread(journal.prepare, [made], blobs)
        [accepted] = await self.db.write(
            lambda conn: journal.record(conn, prepared, None, now=now, blobs=blobs), urgent=True
        )
        return await self.entry(accepted.entry)

    async def entry(self, entry_id: int) -> Entry:
        """An entry as the pipeline claims it."""
        [loaded] = await self.db.read(lambda conn: journal.load(conn, [entry_id], self.blobs))
        return loaded

    async def file(self, entry: Entry, event: Event, assignment: Assignment | None = None, **parsed: Any) -> Filed:
        """File an entry as `event`."""
        result = Parsed(event=event, assignment=assignment or Assignment(), **parsed)
        now = self.clock()
        return await self.db.write(lambda conn: file_entry(conn, self.ctx, entry, result, now))

    async def receive(self, event: Event, assignment: Assignment | None = None, **raw: Any) -> Filed:
        """Journal and file."""
        parsed = {"forwarded_assignment": raw.pop("inside")} if "inside" in raw else {}
        return await self.file(await self.accept(event, **raw), event, assignment, **parsed)

    async def mail(self, **values: Any) -> Filed:
        """Journal and file an ordinary message; keys as of `said`."""
        return await self.receive(said(**values))

    async def give_up(self, entry: Entry, reason: str = "time limit") -> bool:
        """One failed attempt."""
        now = self.clock()
        return await self.db.write(lambda conn: give_up(conn, self.ctx, entry, reason, now))

    async def replay(self, entry_id: int, *, reroute: bool = False, notify: bool = False) -> Entry:
        """Ask for another reading."""
        now = self.clock()
        count = await self.db.write(
            lambda conn: journal.replay(conn, [entry_id], reroute=reroute, notify=notify, now=now)
        )
        assert count == 1
        return await self.entry(entry_id)

    async def do(self, job: Callable[[Connection], T]) -> T:
        """Run something in a transaction."""
        return await self.db.write(job)

    # -- looking ----------------------------------------------------------------------------

    async def ticket(self, ticket_id: int | None) -> Row[Any]:
        assert ticket_id is not None
        return await self.db.read(lambda conn: tickets.get(conn, ticket_id))

    async def messages(self, ticket_id: int | None, *, every_revision: bool = False) -> Sequence[Row[Any]]:
        assert ticket_id is not None
        return await self.db.read(lambda conn: tickets.messages(conn, ticket_id, every_revision=every_revision))

    async def events(self, ticket_id: int | None) -> list[Row[Any]]:
        assert ticket_id is not None
        return await self.db.read(lambda conn: tickets.history(conn, ticket_id))

    async def kinds(self, ticket_id: int | None) -> list[str]:
        return [event.kind for event in await self.events(ticket_id)]

    async def outbox(self) -> Sequence[Row[Any]]:
        return await self.db.read(lambda conn: conn.execute(select(schema.outbox).order_by(schema.outbox.c.id)).all())

    async def to(self, recipient: str) -> list[str]:
        """Kinds of the notices for somebody."""
        return [row.kind for row in await self.outbox() if row.recipient == recipient]

    async def count(self, table: Any) -> int:
        return len(await self.db.read(lambda conn: conn.execute(select(table)).all()))

    async def issued(self, ticket_id: int | None, value: str = "", recipient: str = "ann@client.example") -> str:
        """A Message-ID of ours for a ticket, as if a notice had been queued."""
        from gateway.store import threads

        assert ticket_id is not None
        value = value or f"issued-{ticket_id}@desk.example"
        await self.do(
            lambda conn: threads.add_key(conn, ticket_id, "message_id", value, issued=True, recipient=recipient)
        )
        return value

    async def set_status(self, ticket_id: int | None, status: str, at: datetime | None = None) -> None:
        assert ticket_id is not None
        await self.do(lambda conn: tickets.update(conn, ticket_id, status=status))


def later(entry: Entry, **changes: Any) -> Entry:
    """The entry with some facts changed."""
    return replace(entry, **changes)
