"""A desk that people write to by chat, and what they say there."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row

from gateway.filing import Filed
from gateway.store import outbox
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from gateway.store.journal import Entry
from normalizer.message import Address, Attachment, Conversation, KeyKind, Message, ThreadKey
from router.assignment import Assignment
from tests.gateway.conftest import START, FrozenClock
from tests.gateway.filing_desk import Desk, context

ANN, BOB = "101", "202"
GROUP = "-500"
LINE = "line1@staff.example"


def key(number: int, chat: str = ANN) -> str:
    """The far side's name of a message."""
    return f"chat:{chat}:{number}"


def spoken(text: str, number: int, *, who: str = ANN, group: bool = False, **more: Any) -> Message:
    """What somebody says in private, or in the group; `answers` names a message, `edited` is in seconds."""
    place = GROUP if group else who
    answers, edited, album = more.pop("answers", ""), more.pop("edited", None), more.pop("album", "")
    photo = Attachment(filename=f"{number}.jpg", content_type="image/jpeg", size=1, sha256="0" * 64, content=b"x")
    return Message(
        sender=Address(address=who, name={ANN: "Ann", BOB: "Bob"}.get(who, "")),
        text=text,
        visible_text=text,
        conversation=Conversation(
            id=f"{GROUP}:{who}" if group else who, private=not group, answer_to={"chat": int(place)}
        ),
        external_key=key(number, place),
        thread_keys=(ThreadKey(kind=KeyKind.EXTERNAL, value=answers),) if answers else (),
        edited_at=START + timedelta(seconds=edited) if edited is not None else None,
        group=f"chat:{place}:album:{album}" if album else "",
        attachments=(photo,) if album else more.pop("attachments", ()),
        **more,
    )


class ChatDesk(Desk):
    """Files what is said; its account and format are mail's, since a conversation is all that makes a chat."""

    async def hear(self, text: str, number: int, *, at: datetime | None = None, **more: Any) -> Filed:
        """Journal and file what somebody says."""
        assignment = more.pop("assignment", None)
        return await self.receive(spoken(text, number, **more), assignment, received_at=at or self.clock())

    async def heard(self, text: str, number: int, **more: Any) -> tuple[Entry, Message]:
        """Journal it only."""
        message = spoken(text, number, **more)
        return await self.accept(message, received_at=self.clock()), message

    async def texts(self, ticket_id: int | None) -> list[str]:
        """What a reader of the ticket sees."""
        return [row.text for row in await self.messages(ticket_id)]

    async def sent(self, ticket_id: int | None, template: str, external: str, destination: Any = None) -> Row[Any]:
        """A notice goes out to the ticket's requester and is known by `external`."""
        from gateway.store import schema, threads

        ticket = await self.ticket(ticket_id)
        draft = outbox.Draft(
            key=f"test:{external}", lane="", kind=template, channel=ticket.channel, account=ticket.account,
            recipient=ticket.requester, language="en", template=template, repeatable=False, automatic=False,
            ticket_id=ticket.id, destination=destination or ticket.conversation["answer_to"],
        )  # fmt: skip
        now = self.clock()

        def job(conn: Any) -> Any:
            row = outbox.put(conn, draft, now)
            assert row is not None
            conn.execute(schema.outbox.update().where(schema.outbox.c.id == row).values(state="sent", sending_at=now))
            threads.add_key(conn, ticket.id, "external", external, issued=True, recipient=ticket.requester)
            return conn.execute(schema.outbox.select().where(schema.outbox.c.id == row)).one()

        return await self.do(job)


def chat_desk(db: Database, blobs: Blobs, clock: FrozenClock, **settings: Any) -> ChatDesk:
    """A desk whose first line hears of everything by mail."""
    return ChatDesk(db, blobs, clock, context(lines={"L1": {"recipients": [LINE]}}, **settings))


def routed(class_: int | None, line: str = "L2") -> Assignment:
    """What the rules say of a text."""
    return replace(Assignment(), class_=class_, line=line)
