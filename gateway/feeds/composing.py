"""From a claimed row to the write that a feed is asked for, with the ticket's state of this moment. Only reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import Connection, Select, select
from sqlalchemy import Row as Found

from gateway import actors
from gateway.context import Context
from gateway.feeds import reached
from gateway.feeds.contract import Alter, File, Name, Open, Person, Ref, Said, Say, Ticket, Write
from gateway.feeds.queueing import differing, fields_of, is_kept_back, is_public
from gateway.store import chats, schema, tickets
from gateway.store import feeds as store
from gateway.store.blobs import Blobs
from gateway.store.feeds import Link, Row

FILES_WAIT = timedelta(minutes=1)
"""How long a message waits for files that are still fetched; what comes later is written by itself."""
LOOK_AGAIN = timedelta(seconds=3)
LOOK_SOON = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What is to be written."""

    write: Write
    fields: dict[str, str]
    """The ticket's fields as they are written, or as they were when it was opened."""
    files: tuple[int, ...] = ()
    """Attachments that go with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotNow:
    """It has to wait for something of ours."""

    until: datetime
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Needless:
    """There is nothing to write any more."""

    why: str


def compose(conn: Connection, ctx: Context, blobs: Blobs, row: Row, now: datetime) -> Made | NotNow | Needless:
    """What this row asks the store for. Raises NoResultFound without a ticket."""
    link = store.link_of(conn, row.ticket_id)
    if link is None or link.state == "vanished":
        return Needless(why="the store no longer has the ticket")
    ticket = tickets.get(conn, row.ticket_id)
    told = ticket_of(conn, ctx, ticket)
    if row.kind == "alter":
        return _alter(link, row, ticket, told)
    message = _message(conn, row)
    if row.kind == "open":
        if link.ref is not None:
            return Needless(why="the ticket is there already")
        if not row.uncertain and is_kept_back(conn, ctx.settings.feeds[row.feed], ticket):
            return NotNow(until=now + LOOK_AGAIN, why="the ticket is held, or was thrown away")
        if reached.is_awaited(conn, ctx.settings.feeds[row.feed], row, now):
            return NotNow(until=now + LOOK_SOON, why="the store could not be read yet")
        return _with_message(conn, ctx, blobs, row, ticket, message, now, lambda said: Open(
            key=told.key, ticket=told, first=said))  # fmt: skip
    ref = _ref(link)
    if ref is None or message is None:
        return Needless(why="there is nothing to say" if ref is not None else "the ticket is not there")
    if not (ctx.settings.feeds[row.feed].notes or is_public(message)):
        return Needless(why="it is for staff alone by now, and `notes` is off")
    return _with_message(conn, ctx, blobs, row, ticket, message, now, lambda said: Say(
        key=said.key, ticket=told, ref=ref, said=said))  # fmt: skip


def _ref(link: Link) -> Ref | None:
    target = link.target
    return None if target is None else Ref(id=target, number=link.number or "", url=link.url)


def _alter(link: Link, row: Row, ticket: Found[Any], told: Ticket) -> Made | Needless:
    present = fields_of(ticket)
    # A value that is over by now is a later row's: "resolved" must not get there before the reply that it follows.
    wanted = {name for name in differing(link, present) if row.fields.get(name) == present[name]}
    ref = _ref(link)
    if not wanted or ref is None:
        return Needless(why="the store says the same")
    names = cast("frozenset[Name]", frozenset(wanted))
    written = {name: present[name] for name in wanted}
    return Made(write=Alter(key=f"{told.key}-{row.id}", ticket=told, ref=ref, fields=names), fields=written)


# -- the ticket ---------------------------------------------------------------------------


def ticket_key(ctx: Context, number: str) -> str:
    """Ours for ever: a restored copy of this installation makes the same, another installation another."""
    return f"{ctx.keyring.hash(ctx.keyring.token('installation'))[:8]}-{number}"


def ticket_of(conn: Connection, ctx: Context, ticket: Found[Any]) -> Ticket:
    """The ticket as it is now, in our words."""
    people = tickets.participants(conn, ticket.id)
    names = {person.address: person.name for person in people}
    copies = [person for person in people if person.role == tickets.CC]
    return Ticket(
        key=ticket_key(ctx, ticket.number),
        number=ticket.number,
        subject=ticket.subject,
        requester=Person(address=ticket.requester, name=names.get(ticket.requester, ""), channel=ticket.channel),
        copies=[Person(address=person.address, name=person.name, channel=ticket.channel) for person in copies],
        status=ticket.status,
        class_=ticket.class_,
        line=ticket.line,
        onsite=bool(ticket.onsite),
        contract=ticket.contract or "",
        assignee=ticket.assignee or "",
        language=ticket.language,
        tags=tuple(ticket.tags or ()),
        result=ticket.result or "",
        opened_at=ticket.opened_at,
        updated_at=ticket.updated_at,
        reaction_due=ticket.reaction_due,
        resolution_due=ticket.resolution_due,
        url="",
    )


# -- messages -----------------------------------------------------------------------------


def _message(conn: Connection, row: Row) -> Found[Any] | None:
    """What it says now, should it have been edited or read again."""
    if row.message_id is None:
        return None
    found = _with_entry(conn, row.message_id)
    newest = chats.present(conn, found)
    return found if newest.id == found.id else _with_entry(conn, newest.id)


def _with_entry(conn: Connection, message_id: int) -> Found[Any]:
    table, entry = schema.message, schema.entry
    wanted: Select[Any] = select(table, entry.c.external_id, entry.c.channel).join(
        entry, entry.c.id == table.c.entry_id, isouter=True
    )
    return conn.execute(wanted.where(table.c.id == message_id)).one()


def _with_message(
    conn: Connection,
    ctx: Context,
    blobs: Blobs,
    row: Row,
    ticket: Found[Any],
    message: Found[Any] | None,
    now: datetime,
    make: Callable[[Said], Write],
) -> Made | NotNow:
    fields = fields_of(ticket)
    if message is None or (row.kind == "open" and not is_public(message)):
        nobody = Said(
            key=f"{ticket_key(ctx, ticket.number)}-0", author=Person(address=ticket.requester, channel=ticket.channel),
            text=ticket.subject, at=ticket.opened_at, public=True, inward=True,
        )  # fmt: skip
        return Made(write=make(nobody), fields=fields)
    files, pending = _files(conn, message.id, row, blobs)
    if pending and now < row.created_at + FILES_WAIT:
        return NotNow(until=now + LOOK_AGAIN, why="its files are still being fetched")
    said = _said(ctx, ticket, message, row, [file for _, file in files])
    return Made(write=make(said), fields=fields, files=tuple(file_id for file_id, _ in files))


def _said(ctx: Context, ticket: Found[Any], message: Found[Any], row: Row, files: Sequence[File]) -> Said:
    own = f"{ticket_key(ctx, ticket.number)}-{message.id}"
    inward = message.direction == "in"
    return Said(
        key=f"{own}-{row.id}" if row.kind == "file" else own,
        author=_author(ctx, ticket, message),
        text="" if row.kind == "file" else message.visible_text.strip() or message.text,
        at=message.at,
        public=is_public(message),
        inward=inward,
        message_id=_message_id(message) if inward else "",
        files=tuple(files),
    )


def _author(ctx: Context, ticket: Found[Any], message: Found[Any]) -> Person:
    key = message.author.removeprefix(actors.AGENT)
    agent = ctx.settings.agents.get(key) if message.author.startswith(actors.AGENT) else None
    if agent is not None:
        return Person(address=next(iter(agent.addresses), ""), name=agent.name)
    user = actors.user_of(message.author)
    if user:
        return Person(address="", name=user)
    return Person(address=message.author, name=message.author_name, channel=message.channel or ticket.channel)


def _message_id(message: Found[Any]) -> str:
    said = message.external_id or ""
    named = message.channel == "mail" and "@" in said and not said.startswith("smtp:")
    return said.strip("<>") if named else ""


# -- files --------------------------------------------------------------------------------


def _files(conn: Connection, message_id: int, row: Row, blobs: Blobs) -> tuple[list[tuple[int, File]], bool]:
    """(attachment, file) of those that are here and were not written before; and whether others are on their way."""
    table = schema.attachment
    went = _went(conn, row)
    ids = [found.id for found in tickets.attachments_of(conn, [message_id]) if found.id not in went]
    if not ids:
        return [], False
    rows = {found.id: found for found in conn.execute(select(table).where(table.c.id.in_(ids)))}
    here = [(one, _file(rows[one], blobs)) for one in ids if one in rows and rows[one].state == "here"]
    return here, any(found.state == tickets.PENDING for found in rows.values())


def _went(conn: Connection, row: Row) -> set[int]:
    write = schema.feed_write
    mine = (write.c.feed == row.feed, write.c.message_id == row.message_id, write.c.state == "done")
    return {one for files in conn.scalars(select(write.c.files).where(*mine)) for one in files or ()}


def _file(found: Found[Any], blobs: Blobs) -> File:
    content, name = found.content, found.blob

    def read() -> bytes:
        return bytes(content) if content is not None else blobs.local(name).read_bytes()

    return File(
        filename=found.filename, content_type=found.content_type, size=found.size, sha256=found.sha256, read=read
    )
