"""Writes as the engine makes them, for tests of one feed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime

from gateway.feeds.contract import Alter, File, Name, Open, Person, Ref, Said, Say, Ticket

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)


def file(name: str = "звіт.txt", content: bytes = b"report") -> File:
    """An attachment."""
    digest = hashlib.sha256(content).hexdigest()
    return File(filename=name, content_type="text/plain", size=len(content), sha256=digest, read=lambda: content)


def ticket(number: str = "10000017", **fields: object) -> Ticket:
    """A ticket of class 2 on the second line."""
    made = Ticket(
        key=f"0a1b2c3d-{number}", number=number, subject="Не працює сервер «Альфа»",
        requester=Person(address="olena@client.example", name="Олена Коваль"),
        copies=[Person(address="boss@client.example", name="")], status="new", class_=2, line="L2", onsite=False,
        contract="alpha", assignee="", language="uk", tags=["urgent"], result="", opened_at=NOW, updated_at=NOW,
        reaction_due=None, resolution_due=None, url="",
    )  # fmt: skip
    return replace(made, **fields)  # type: ignore[arg-type]  # names of fields, checked by the class


def said(key: str = "m1", text: str = "Не відкривається з 9:00 📎", **fields: object) -> Said:
    """A message of the requester's."""
    author = Person(address="olena@client.example", name="Олена Коваль")
    made = Said(key=key, author=author, text=text, at=NOW, public=True, inward=True)
    return replace(made, **fields)  # type: ignore[arg-type]  # as above


def opened(one: Ticket | None = None, first: Said | None = None) -> Open:
    """The write that makes a ticket."""
    one = one or ticket()
    return Open(key=f"{one.key}:open", ticket=one, first=first or said())


def say(ref: Ref, message: Said, one: Ticket | None = None) -> Say:
    """The write that appends a message."""
    one = one or ticket()
    return Say(key=f"{one.key}:{message.key}", ticket=one, ref=ref, said=message)


def alter(ref: Ref, fields: Iterable[Name], one: Ticket) -> Alter:
    """The write that brings fields in step."""
    return Alter(key=f"{one.key}:alter", ticket=one, ref=ref, fields=frozenset(fields))
