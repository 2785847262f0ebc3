"""A desk behind a number for text messages and one for WhatsApp: requests of Twilio, journalled, read and filed."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from channels.twilio.inbound import Kind, raw_message
from channels.twilio.signature import fields_of
from gateway.demo.twilio_api import Network
from gateway.demo.twilio_api.signing import encoded
from gateway.filing import Filed, file_entry
from gateway.store import journal, outbox, people, schema, threads
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from gateway.worker import read_entry
from gateway.worker_protocol import Parsed
from normalizer.message import InlineBody
from router.policy import Policy
from tests.gateway.conftest import FrozenClock
from tests.gateway.filing_desk import SUPPORT, Desk, context
from tests.twilio.provider import ACCOUNT, ANNA, OURS, SID, TOKEN

BOB = "+380670000002"
OTHER = "+380440000002"


class TextDesk(Desk):
    """`say` and `report` are what the webhooks do."""

    network = Network(account_sid=SID, token=TOKEN)

    async def say(self, text: str, *, sender: str = ANNA, to: str = OURS, channel: str = "sms", **more: str) -> Filed:
        """Somebody writes."""
        prefix = "whatsapp:" if channel == "whatsapp" else ""
        fields = self.network.message(text, sender=prefix + sender, to=prefix + to, **more)
        return await self.request(fields, "message", channel)

    async def report(self, sid: str, state: str, *, to: str = ANNA, channel: str = "sms", **more: str) -> Filed:
        """Twilio says what has become of a message of ours; `o` names the row of the outbox."""
        query = f"o={more.pop('o')}" if "o" in more else ""
        fields = {"MessageSid": sid, "MessageStatus": state, "To": to, "From": OURS, "AccountSid": SID, **more}
        return await self.request(fields, "status", channel, query=query)

    async def request(self, fields: dict[str, str], kind: Kind, channel: str, query: str = "") -> Filed:
        entry_id = await self.taken(fields, kind, channel, query)
        return await self.filed(entry_id)

    async def taken(self, fields: dict[str, str], kind: Kind, channel: str, query: str = "") -> int:
        """Journal a request."""
        content = encoded(list(fields.items()))
        account = self.ctx.settings.account(channel, "main")
        assert account is not None
        facts: dict[str, Any] = {"transport": "webhook", **account.reading()}
        raw = raw_message(
            fields_of(content), hashlib.sha256(content).hexdigest(), kind=kind, channel=channel, account="main",
            body=InlineBody(content=content), now=self.clock(), facts={**facts, "query": query} if query else facts,
        )  # fmt: skip
        now, blobs = self.clock(), self.blobs
        [accepted] = await self.db.write(lambda conn: journal.record(conn, [raw], None, now=now, blobs=blobs))
        return accepted.entry

    async def filed(self, entry_id: int) -> Filed:
        """Read and file an entry."""
        entry = await self.entry(entry_id)
        parsed = read_entry(entry.raw, Policy(), self.blobs)
        assert isinstance(parsed, Parsed), parsed
        now = self.clock()
        return await self.db.write(lambda conn: file_entry(conn, self.ctx, entry, parsed, now))

    async def sent(self, filed: Filed, sid: str, *, state: str = "sent", attempts: int = 1) -> int:
        """A reply to this ticket that went out and is called `sid` there; its row."""
        ticket, now = await self.ticket(filed.ticket_id), self.clock()
        draft = outbox.Draft(
            key=f"reply:{sid}", lane="", kind="reply", ticket_id=ticket.id, channel=ticket.channel,
            account=ticket.account, recipient=ticket.requester, language="ru", template="reply",
            variables={"text": "Починили."}, repeatable=True, automatic=False,
        )  # fmt: skip
        row = await self.do(lambda conn: outbox.put(conn, draft, now))
        assert row is not None
        key = f"{ticket.channel}:main:{sid}"
        values = {"state": state, "attempts": attempts, "external_ids": [key] if state == "sent" else None}
        await self.do(lambda conn: conn.execute(update(schema.outbox).where(schema.outbox.c.id == row).values(values)))
        if state == "sent":
            await self.do(
                lambda conn: threads.add_key(conn, ticket.id, "external", key, issued=True, recipient=ticket.requester)
            )
        return row

    async def row(self, row_id: int) -> outbox.Row:
        found = await self.db.read(lambda conn: outbox.get(conn, row_id))
        assert found is not None
        return found

    async def wishes(self) -> list[tuple[str, str, str, str]]:
        def look(conn: Any) -> Any:
            table = schema.consent.c
            return conn.execute(select(table.channel, table.endpoint, table.peer, table.wish)).all()

        return [tuple(row) for row in await self.db.read(look)]

    async def answers(self) -> list[tuple[str, str, str]]:
        """(template, recipient, state) of what was said by itself."""
        return [(row.template, row.recipient, row.state) for row in await self.outbox() if row.kind == "answer"]

    async def also_by_mail(self, address: str = "anna@client.example", number: str = ANNA) -> None:
        """The person with this number has an address, too."""

        def link(conn: Any) -> None:
            contact = people.contact_for(conn, "phone", number, "", self.clock())
            values = {"kind": "mail", "value": address, "contact_id": contact}
            conn.execute(insert(schema.identity).values(values))

        await self.do(link)

    def later(self, **by: float) -> None:
        self.clock.now += timedelta(**by)


@pytest.fixture
def texts(db: Database, blobs: Blobs, clock: FrozenClock) -> TextDesk:
    numbers = {**ACCOUNT, "numbers": [OURS, OTHER], "language": "ru"}
    channels = {
        "mail": {"support": {"addresses": [SUPPORT], "outbound": "on"}}, "sms": {"main": numbers},
        "whatsapp": {"main": numbers},
    }  # fmt: skip
    return TextDesk(db, blobs, clock, context(channels=channels))
