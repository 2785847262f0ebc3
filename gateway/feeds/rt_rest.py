"""Request Tracker's REST2 interface, as far as we use it (https://docs.bestpractical.com/rt/5.0.3/RT/REST2.html)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, TypeAlias
from urllib.parse import quote

from pydantic import BeforeValidator, Field

from gateway.feeds.plain import Calls, NotGood, Told, parsed
from gateway.feeds.wire import Answer

MOST = 100
"""Rows of a page; RT gives no more."""
FULL = "Subject,Status,Owner,Queue,Requestor,Cc,Created,CustomFields,EffectiveId"
_EXPANDED = {
    "fields[Queue]": "Name", "fields[Requestor]": "EmailAddress,RealName", "fields[Cc]": "EmailAddress,RealName"
}  # fmt: skip


def _name(value: object) -> object:
    """RT gives another record as {"id": …}, and here and there as the bare id."""
    return value.get("id", "") if isinstance(value, Mapping) else value


def _text(value: object) -> object:
    """A value in RT's history is a text, a record, or nothing, as the kind of the change is."""
    found = _name(value)
    return found if isinstance(found, str | int) else ""


Id: TypeAlias = Annotated[str, BeforeValidator(_name)]
Text: TypeAlias = Annotated[str, BeforeValidator(_text)]


class RtField(Told):
    """A custom field of a ticket, or of a queue."""

    id: str
    name: str = ""
    values: Sequence[str] = ()


class RtPerson(Told):
    """Somebody who has a role in a ticket; a group has no address."""

    id: str
    address: str = Field(default="", alias="EmailAddress")
    name: str = Field(default="", alias="RealName")


class RtLink(Told):
    """What may be done with a record."""

    ref: str = ""
    begins: str = Field(default="", alias="from")
    to: str = ""


class RtQueue(Told):
    """Of a ticket."""

    id: str
    name: str = Field(default="", alias="Name")


class RtTicket(Told):
    """A ticket."""

    id: str
    subject: str = Field(default="", alias="Subject")
    status: str = Field(alias="Status")
    queue: RtQueue = Field(alias="Queue")
    owner: Id = Field(default="", alias="Owner")
    effective: Id = Field(default="", alias="EffectiveId")
    requestors: Sequence[RtPerson] = Field(default=(), alias="Requestor")
    copies: Sequence[RtPerson] = Field(default=(), alias="Cc")
    created: datetime | None = Field(default=None, alias="Created")
    fields: Annotated[Sequence[RtField], BeforeValidator(lambda said: said or ())] = Field(
        default=(), alias="CustomFields"
    )
    links: Sequence[RtLink] = Field(default=(), alias="_hyperlinks")

    def value(self, field: str) -> str:
        """Of a custom field; "" when it has none, or we do not see it."""
        found = next((each for each in self.fields if each.name.casefold() == field.casefold()), None)
        return found.values[0] if found is not None and found.values else ""


class RtQueueFull(RtQueue):
    """A queue by itself."""

    ticket_fields: Sequence[RtField] = Field(default=(), alias="TicketCustomFields")
    links: Sequence[RtLink] = Field(default=(), alias="_hyperlinks")


class RtUser(Told):
    """A user. Only who asks for himself, or may manage users, sees the memberships."""

    id: str = ""
    name: str = Field(default="", alias="Name")
    privileged: bool = Field(default=False, alias="Privileged")
    memberships: object = Field(default=None, alias="Memberships")


class RtTransaction(Told):
    """One line of a ticket's history."""

    id: int
    type: Text = Field(default="", alias="Type")
    field: Text = Field(default="", alias="Field")
    old: Text = Field(default="", alias="OldValue")
    new: Text = Field(default="", alias="NewValue")
    created: datetime = Field(alias="Created")
    creator: Text = Field(default="", alias="Creator")
    object_type: Text = Field(default="", alias="ObjectType")
    object_id: Text = Field(default="", alias="ObjectId")


class RtPart(Told):
    """A part of a message."""

    id: str
    content_type: str = Field(default="", alias="ContentType")
    filename: str = Field(default="", alias="Filename")
    headers: str = Field(default="", alias="Headers")
    size: int = Field(default=0, alias="ContentLength")
    message_id: str = Field(default="", alias="MessageId")
    transaction: Id = Field(default="", alias="TransactionId")


class RtTickets(Told):
    """A page of tickets."""

    items: Sequence[RtTicket]
    total: int | None = None


class RtTransactions(Told):
    """A page of transactions."""

    items: Sequence[RtTransaction]


class RtParts(Told):
    """A page of parts."""

    items: Sequence[RtPart]


class _Content(Told):
    content: str = Field(default="", alias="Content")


class RtMade(Told):
    """A new ticket."""

    id: str


class RtVersion(Told):
    """RT itself."""

    version: str = Field(default="", alias="Version")


class Rest:
    """The calls. All raise Unsent, Unanswered and NotGood."""

    def __init__(self, calls: Calls, organisation: str = "") -> None:
        self.calls = calls
        self._queues: dict[str, str] = {}
        self._users: dict[str, str] = {}
        self._fields: dict[str, str] = {}

    async def ticket(self, ref: str) -> tuple[RtTicket, str]:
        """The ticket, with the name of its queue, and its ETag. One that was merged comes as what it is a part of."""
        answer = await self.calls.ask("GET", f"/ticket/{quote(ref, safe='')}")
        found = parsed(RtTicket, answer)
        for field in found.fields:
            self._fields[field.id] = field.name
        named = found.queue.model_copy(update={"name": await self.queue_name(found.queue.id)})
        return found.model_copy(update={"queue": named}), answer.headers.get("ETag", "")

    async def queue(self, name: str) -> RtQueueFull:
        """A queue by its name or number."""
        found = await self.calls.read(RtQueueFull, "GET", f"/queue/{quote(name, safe='')}")
        self._queues[found.id] = found.name
        return found

    async def queue_name(self, number: str) -> str:
        """Name of a queue; its number where we may not see it."""
        if number not in self._queues:
            try:
                await self.queue(number)
            except NotGood:
                return number
        return self._queues.get(number, number)

    async def user_name(self, number: str) -> str:
        """Name of a user; "" where we may not see it."""
        if number not in self._users:
            try:
                found = await self.calls.read(RtUser, "GET", f"/user/{quote(number, safe='')}")
            except NotGood:
                return ""
            self._users[number] = found.name
        return self._users[number]

    async def field_name(self, number: str, ticket: str) -> str:
        """Name of a custom field that changed in this ticket; "" where we may not see it."""
        if number not in self._fields:
            try:
                await self.ticket(ticket)
            except NotGood:
                return ""
        return self._fields.get(number, "")

    async def tickets(self, query: str, fields: str = FULL, **more: str) -> RtTickets:
        """Search with TicketSQL. Custom fields are compared in the tables, no index of texts is asked."""
        asked = {"query": query, "fields": fields, "per_page": str(MOST), "orderby": "id", "order": "ASC"}
        return await self.calls.read(RtTickets, "GET", "/tickets", query={**asked, **_EXPANDED, **more})

    async def transactions(self, limits: Sequence[Mapping[str, str]], **more: str) -> Sequence[RtTransaction]:
        """Transactions within these limits, those that we may see; a page may so be shorter than it says."""
        fields = "Type,Field,OldValue,NewValue,Created,Creator,ObjectType,ObjectId"
        asked = {"fields": fields, "per_page": str(MOST), "orderby": "id", "order": "ASC", **more}
        found = await self.calls.read(RtTransactions, "POST", "/transactions", query=asked, json=list(limits))
        return found.items

    async def parts(self, path: str, limits: Sequence[Mapping[str, str]] = (), **more: str) -> Sequence[RtPart]:
        """Parts of the messages of a ticket or of a transaction: `path` is "/ticket/7", "/transaction/42"."""
        fields = "ContentType,Filename,Headers,ContentLength,MessageId,TransactionId"
        asked = {"fields": fields, "per_page": str(MOST), "orderby": "id", "order": "ASC", **more}
        found = await self.calls.read(RtParts, "POST", f"{path}/attachments", query=asked, json=list(limits))
        return found.items

    async def content(self, part: str) -> str:
        """The bytes of a part, in base64."""
        return (await self.calls.read(_Content, "GET", f"/attachment/{part}")).content

    async def alter(self, ref: str, change: Mapping[str, Any], etag: str = "") -> Answer:
        """Change a ticket; only if it is still what we read, when there is an ETag (RFC 9110 section 13.1.1)."""
        headers = {"If-Match": etag} if etag else {}
        return await self.calls.ask("PUT", f"/ticket/{quote(ref, safe='')}", json=dict(change), headers=headers)


def literal(text: str) -> str:
    """A text in TicketSQL. Quotes and backslashes have no business in our keys and names."""
    return "'" + re.sub(r"""['"\\]""", "", text) + "'"
