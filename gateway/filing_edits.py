"""Messages of chats that come in several pieces: edits, and the parts of albums (rule 10).

Each piece is an entry, and a row of the table `message`. Nothing is written over: an edit is a newer reading, whatever
order the readings come in, and a part joins its album, however late it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row

from gateway import clocks, updates
from gateway.actors import is_person
from gateway.filing_append import is_requester
from gateway.filing_case import Case, Filed, keep_files
from gateway.filing_replay import reroute
from gateway.filing_threads import own_key, tie
from gateway.store import chats, tickets
from gateway.store.threads import key_value
from gateway.subjects import first_words, subject_of


def file_piece(conn: Connection, case: Case) -> Filed | None:
    """File another reading of a message that we have, or another part of an album; None: it is neither."""
    key, group = key_value(case.message.external_key), key_value(case.message.group)
    known = chats.readings(conn, key) if key else []
    if known:
        return _reading(conn, case, known, group)
    album = chats.whole(conn, group) if group else None
    return _part(conn, case, album) if album is not None else None


def begin_album(conn: Connection, case: Case, filed: Filed) -> None:
    """The message just filed is the first part of an album: what is shown from now on is the album."""
    if case.message.group and filed.message_id is not None:
        chats.begin_album(conn, filed.message_id)


# -- an edit, or the text before it ---------------------------------------------------------


def _reading(conn: Connection, case: Case, known: Sequence[Row[Any]], group: str) -> Filed:
    last = max(known, key=chats.age)
    ticket = tickets.lock(conn, last.ticket_id)
    if any(row.edited_at == case.message.edited_at and row.text == case.message.text for row in known):
        # The far side said it under another id (its numbering began anew): nothing new.
        return Filed(kind="repeated", ticket_id=ticket.id, number=ticket.number, message_id=last.id)
    message_id = _add(conn, case, ticket.id, verified=last.verified)
    if message_id is None:
        return Filed(kind="repeated", ticket_id=ticket.id, number=ticket.number, message_id=last.id)
    chats.settle(conn, last.external_key, group)
    newer = (case.message.edited_at or chats.NEVER, case.entry.id, case.entry.generation) > chats.age(last)
    if newer and (case.message.text != last.text or _files(conn, message_id) != _files(conn, last.id)):
        _changed(conn, case, ticket, message_id, last)
    because = "its author edited it" if newer else "older than what is known"
    return Filed(kind="revised", ticket_id=ticket.id, number=ticket.number, message_id=message_id, because=because)


def _files(conn: Connection, message_id: int) -> list[tuple[str, str, int]]:
    return [(file.filename, file.content_type, file.size) for file in tickets.attachments_of(conn, [message_id])]


def _changed(conn: Connection, case: Case, ticket: Row[Any], message_id: int, before: Row[Any]) -> None:
    """What staff have read is not what it says now. The ticket's state stays, whatever it is."""
    album = chats.whole(conn, before.group_key) if before.group_key else None
    readings = chats.readings(conn, before.external_key)
    data: dict[str, Any] = {
        "message": album.id if album is not None else message_id,
        "before": before.id,
        "shown": album.id if album is not None else min(row.id for row in readings),
    }
    if not before.verified:
        data["verified"] = False
    opening = any(row.entry_id == ticket.entry_id for row in readings)
    _tell(conn, case, ticket, "edited", data)
    if opening:
        route_again(conn, case, ticket)


# -- albums -----------------------------------------------------------------------------------


def _part(conn: Connection, case: Case, album: Row[Any]) -> Filed:
    ticket = tickets.lock(conn, album.ticket_id)
    message_id = _add(conn, case, ticket.id, verified=album.verified)
    if message_id is None:
        return Filed(kind="repeated", ticket_id=ticket.id, number=ticket.number, message_id=album.id)
    chats.settle(conn, key_value(case.message.external_key), album.group_key)
    if first_words(case.message.visible_text):
        # The words that say what the pictures are about: the first part had none, or they are not all.
        data: dict[str, Any] = {"message": album.id, "shown": album.id}
        _tell(conn, case, ticket, "edited", data if album.verified else {**data, "verified": False})
        if not first_words(album.visible_text) and _opened_by(conn, ticket, album):
            route_again(conn, case, ticket)
    else:
        _event(conn, case, ticket, "part", {"message": album.id})
    tickets.update(conn, ticket.id, updated_at=case.now)
    return Filed(
        kind="joined", ticket_id=ticket.id, number=ticket.number, message_id=message_id, because="a part of an album"
    )


def _opened_by(conn: Connection, ticket: Row[Any], album: Row[Any]) -> bool:
    """The album is what the ticket was opened with."""
    first = tickets.messages(conn, ticket.id)[0]
    return bool(first.id == album.id)


# -- both -------------------------------------------------------------------------------------


def _add(conn: Connection, case: Case, ticket_id: int, *, verified: bool) -> int | None:
    message_id = tickets.add_revision(
        conn, ticket_id, direction="in", kind="message", verified=verified, **case.revision()
    )
    if message_id is not None:
        keep_files(conn, case, ticket_id, message_id)
        own = own_key(case.message)
        tie(conn, ticket_id, [own] if own else [])
    return message_id


def _event(conn: Connection, case: Case, ticket: Row[Any], kind: str, data: dict[str, Any]) -> int | None:
    actor = "requester" if is_requester(conn, case, ticket) else "participant"
    at = max(case.entry.raw.received_at, ticket.opened_at)
    return tickets.add_event(conn, ticket.id, at=at, actor=actor, kind=kind, data=data, key=case.key(kind))


def _tell(conn: Connection, case: Case, ticket: Row[Any], kind: str, data: dict[str, Any]) -> None:
    event_id = _event(conn, case, ticket, kind, data)
    tickets.update(conn, ticket.id, updated_at=case.now)
    change = updates.Change(
        ticket_id=ticket.id, event_id=event_id, kind=kind, actor="requester", data=data, automatic_ok=False
    )
    updates.compose(conn, case.ctx, change, case.now)


def route_again(conn: Connection, case: Case, ticket: Row[Any]) -> None:
    """Decide by the new text, as long as nobody of staff has had a hand in it: what people decided stands."""
    if ticket.status not in ("new", "held") or ticket.reaction_met_at is not None:
        return
    if any(is_person(event.actor) for event in tickets.history(conn, ticket.id)):
        return
    tickets.update(conn, ticket.id, subject=subject_of(case.message, ticket.language))
    made = reroute(conn, case, ticket)
    clocks.recompute(conn, case.ctx, ticket.id, case.now)
    for kind, event_id, data in made:
        change = updates.Change(
            ticket_id=ticket.id, event_id=event_id, kind=kind, actor="gateway", data=data, automatic_ok=False
        )
        updates.compose(conn, case.ctx, change, case.now)
