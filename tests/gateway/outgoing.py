"""Small real senders, and what the tests of the outbox are built from."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from channels.contract import CannotTell
from gateway.context import Context
from gateway.keyring import Keyring
from gateway.settings import Settings
from gateway.store import people, tickets
from gateway.store.outbox import Draft, Row
from gateway.updates import Change
from normalizer.message import Address, Delivery, Notice, Receipt
from router.policy import Policy

SENT = Receipt(delivery=Delivery.SENT, external_ids=("<taken@relay.example>",))


def context(policy: Policy | None = None, **settings: Any) -> Context:
    """Settings with the accounts `support` and `sales`, and whatever else is given."""
    accounts = {name: {"addresses": [f"{name}@desk.example"]} for name in ("support", "sales")}
    given = {"channels": {"mail": accounts}, **settings}
    return Context(settings=Settings.model_validate(given), policy=policy or Policy(), keyring=Keyring(b"k" * 32))


def with_outbound(support: str) -> dict[str, Any]:
    """Settings in which `support` has this `outbound`."""
    return {
        "channels": {
            "mail": {
                "support": {"addresses": ["support@desk.example"], "outbound": support},
                "sales": {"addresses": ["sales@desk.example"]},
            }
        }
    }


def draft(key: str, **values: Any) -> Draft:
    """A draft of an acknowledgement to one person."""
    given: dict[str, Any] = {
        "lane": "",
        "kind": "acknowledgement",
        "channel": "mail",
        "account": "support",
        "recipient": "ann@client.example",
        "language": "en",
        "template": "acknowledgement",
        "repeatable": False,
        "automatic": True,
        **values,
    }
    return Draft(key=key, **given)


def open_ticket(conn: Connection, now: datetime, **columns: Any) -> int:
    """A ticket of Ann's, with its event `opened`."""
    contact = people.contact_for(conn, "mail", "ann@client.example", "Ann", now)
    ticket_id = tickets.open_ticket(
        conn,
        channel="mail",
        account="support",
        requester_id=contact,
        requester="ann@client.example",
        requester_name="Ann",
        subject="Printer",
        language="en",
        opened_at=now,
        now=now,
        **columns,
    )
    data = {"class": columns.get("class_"), "contract": columns.get("contract")}
    tickets.add_event(conn, ticket_id, at=now, actor="requester", kind="opened", data=data)
    return ticket_id


def render(conn: Connection, row: Row) -> Notice:
    """A notice whose text is its key; rows of the templates "broken" and "unreadable" cannot be rendered."""
    if row.template == "broken":
        raise KeyError("no such variable")
    if row.template == "unreadable":
        raise PermissionError("the blob of an attachment")
    return Notice(
        id=row.id,
        channel=row.channel,
        account=row.account,
        recipient=Address(address=row.recipient),
        kind=row.kind,
        language=row.language,
        text=row.key,
        message_id=row.message_id or "",
    )


class Told:
    """Stands where `updates.compose` stands, and keeps what it was told."""

    def __init__(self) -> None:
        self.changes: list[Change] = []

    def __call__(self, conn: Connection, ctx: Context, change: Change, now: datetime) -> None:
        self.changes.append(change)


class FileSender:
    """Appends a line for each send to a file that outlives the process."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def send(self, notice: Notice) -> Receipt:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{notice.text}\n")
        return SENT


class ScriptedSender:
    """Answers as the script says for a notice's text; keeps what began and how many were under way at once."""

    def __init__(self, script: Mapping[str, Callable[[Notice], Any]] | None = None) -> None:
        self.script = dict(script or {})
        self.began: list[str] = []
        self.under_way = 0
        self.most = 0

    async def send(self, notice: Notice) -> Receipt:
        self.began.append(notice.text)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            answer = self.script.get(notice.text, lambda _: SENT)(notice)
            return await answer if asyncio.iscoroutine(answer) else answer
        finally:
            self.under_way -= 1


async def never(_: Notice) -> Receipt:
    """Never answers, and does not let itself be cancelled either."""
    while True:
        try:
            await asyncio.sleep(0.3)
        except asyncio.CancelledError:
            await asyncio.sleep(0.3)
            raise


async def half(_: Notice) -> Receipt:
    """The connection breaks in the middle: nobody knows what the far side took."""
    raise ConnectionResetError("connection reset by peer")


class ScriptedProber:
    """Says about each notice's text what the script says."""

    def __init__(self, found: Mapping[str, Receipt | CannotTell | None]) -> None:
        self._found = found
        self.asked: list[str] = []

    async def find(self, notice: Notice, since: datetime) -> Receipt | CannotTell | None:
        self.asked.append(notice.text)
        return self._found[notice.text]
