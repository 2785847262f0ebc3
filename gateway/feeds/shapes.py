"""Writes as plain JSON: what `webhook` sends, and what the templates of `rest` are filled in with."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from gateway.feeds.contract import Alter, File, Open, Person, Ref, Said, Say, Ticket, Write
from gateway.feeds.settings import Maps

_MAPPED = (
    ("status", "status"),
    ("class", "class_"),
    ("line", "line"),
    ("contract", "contract"),
    ("assignee", "assignee"),
)
"""A field with a map, and what it is called in a ticket."""


def instant(at: datetime | None) -> str | None:
    """RFC 3339 in UTC."""
    if at is None:
        return None
    shown = (at if at.tzinfo is UTC else at.astimezone(UTC)).isoformat()
    return shown.removesuffix("+00:00") + "Z"


def person(one: Person) -> Mapping[str, Any]:
    """Somebody."""
    return {"address": one.address, "name": one.name, "channel": one.channel}


def ticket(one: Ticket, maps: Maps) -> Mapping[str, Any]:
    """A ticket. Fields with a value map are in the store's words; what its map has no word for is null."""
    class_ = "" if one.class_ is None else str(one.class_)
    return {
        "key": one.key, "number": one.number, "subject": one.subject, "requester": person(one.requester),
        "copies": [person(each) for each in one.copies], "status": maps.theirs("status", one.status),
        "class": maps.theirs("class", class_) if class_ else None, "line": maps.theirs("line", one.line),
        "onsite": one.onsite, "contract": maps.theirs("contract", one.contract) if one.contract else None,
        "assignee": maps.theirs("assignee", one.assignee) if one.assignee else None, "language": one.language,
        "tags": list(one.tags), "result": one.result, "opened_at": instant(one.opened_at),
        "updated_at": instant(one.updated_at), "reaction_due": instant(one.reaction_due),
        "resolution_due": instant(one.resolution_due), "url": one.url,
    }  # fmt: skip


def unmapped(one: Ticket, shown: Mapping[str, Any]) -> Sequence[str]:
    """Words for staff about values that a map has no word for; `shown`: the ticket as JSON."""
    missing = {name: getattr(one, attribute) for name, attribute in _MAPPED if shown[name] is None}
    return [f"map.{name} has no word for {str(value)!r}" for name, value in missing.items() if value not in ("", None)]


def said(one: Said, *, files: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """A message."""
    return {
        "key": one.key, "author": person(one.author), "text": one.text, "at": instant(one.at), "public": one.public,
        "inward": one.inward, "message_id": one.message_id, "files": list(files),
    }  # fmt: skip


def ref(one: Ref) -> Mapping[str, Any]:
    """A ticket of the store."""
    return {"id": one.id, "number": one.number, "url": one.url}


def file(one: File, *, limit: int) -> Mapping[str, Any]:
    """An attachment with its bytes in base64; null when it is over `limit` bytes. Blocks. Raises OSError."""
    content = base64.b64encode(one.read()).decode("ascii") if one.size <= limit else None
    return {
        "filename": one.filename, "content_type": one.content_type, "size": one.size, "sha256": one.sha256,
        "content": content,
    }  # fmt: skip


def message_of(write: Write) -> Said | None:
    """The message that a write carries."""
    match write:
        case Open():
            return write.first
        case Say():
            return write.said
        case Alter():
            return None


def blocks(write: Write) -> bool:
    """Making it into JSON reads files."""
    message = message_of(write)
    return message is not None and bool(message.files)
