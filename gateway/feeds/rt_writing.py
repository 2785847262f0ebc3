"""One try of a write to Request Tracker."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from gateway.feeds import plain
from gateway.feeds.contract import Alter, File, Name, Open, Outcome, Person, Pushed, Ref, Said, Say, Ticket, Write
from gateway.feeds.rt_rest import Rest, RtMade, RtTicket, literal
from gateway.feeds.rt_settings import NOBODY, RtSettings
from gateway.feeds.ticket_system import TicketWriting
from gateway.feeds.wire import Unanswered, Unsent

SEARCHED = "EffectiveId > 0"
"""Without these words RT's search passes over tickets that were merged. It always passes over deleted ones."""
TURNS = 3
"""How often a change is tried on a ticket that others change at the same moment."""
PROVEN = 100
"""Tickets for which a queue is believed to keep our key after it was seen to."""
_LONGEST_SUBJECT = 200
_DENIED = "permission denied"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a ticket in RT should say: RT's columns and custom fields, and in words what has no counterpart."""

    columns: Mapping[str, str]
    fields: Mapping[str, str]
    left_out: Sequence[str]


def mailbox(person: Person, stand_in: str) -> str | None:
    """An address that RT takes (ASCII; a domain in its A-label form, RFC 5890); None: there is none."""
    if person.channel != "mail" and person.address:
        local = "".join(
            each if each.isascii() and (each.isalnum() or each in "+-_.") else "-" for each in person.address
        )
        return f"{person.channel}.{local}@{stand_in}" if stand_in else None
    local, _, domain = person.address.rpartition("@")
    try:
        domain = domain.encode("idna").decode("ascii")
    except UnicodeError:
        return None
    good = local and domain and local.isascii() and not any(each in local for each in ' <>,;:"\\')
    return f"{local}@{domain}" if good else None


def with_name(person: Person, address: str) -> str:
    """The address with the name before it."""
    name = "".join(each for each in plain.one_line(person.name, 100) if each not in '"\\<>@,;:()')
    return f'"{name}" <{address}>' if name else address


class Writing(TicketWriting):
    """Pushes and finds."""

    def __init__(self, settings: RtSettings, rest: Rest) -> None:
        self._settings, self._rest, self._maps = settings, rest, settings.statuses()
        self._kept: dict[str, int] = {}
        self._keyless: dict[str, tuple[str, str]] = {}

    # -- what it should be ---------------------------------------------------------------

    def wanted(self, ticket: Ticket, names: frozenset[Name] | None = None) -> Wanted:
        """These fields of a ticket in RT's words; None: all that a new one starts with."""
        columns, fields, left = dict[str, str](), dict[str, str](), list[str]()

        def mapped(field: str, ours: str) -> str:
            theirs = self._maps.theirs(field, ours)
            if theirs is None:
                left.append(f"{field} {ours}: map.{field} has no word for it")
            return theirs or ""

        every = names is None
        if every or (names and "subject" in names):
            columns["Subject"] = plain.one_line(ticket.subject, _LONGEST_SUBJECT) or f"[{ticket.number}]"
        if (every or (names and "status" in names)) and (status := mapped("status", ticket.status)):
            columns["Status"] = status
        if every or (names and "line" in names):
            columns |= self._queue(ticket, left, every)
        if (every and ticket.assignee) or (names and "assignee" in names):
            owner = mapped("assignee", ticket.assignee) if ticket.assignee else NOBODY
            columns |= {"Owner": owner} if owner else {}
        for ours, theirs in self._settings.fields.written().items():
            if every or (names and ours in names):
                fields[theirs] = self._value(ours, ticket, mapped)
        return Wanted(columns, fields, left)

    def _queue(self, ticket: Ticket, left: list[str], every: bool) -> Mapping[str, str]:
        queue = self._maps.theirs("line", ticket.line) if self._maps.line else None
        if queue is None and self._maps.line:
            left.append(f"line {ticket.line}: map.line has no queue for it")
        if queue is not None or every:
            return {"Queue": queue or self._settings.queue}
        return {}

    def _value(self, field: str, ticket: Ticket, mapped: Any) -> str:
        match field:
            case "class":
                return str(mapped("class", str(ticket.class_))) if ticket.class_ is not None else ""
            case "contract":
                return str(mapped("contract", ticket.contract)) if ticket.contract else ""
            case "onsite":
                return "yes" if ticket.onsite else "no"
            case _:
                return ticket.line

    # -- writes --------------------------------------------------------------------------

    async def _open(self, write: Open) -> Pushed:
        wanted = self.wanted(write.ticket)
        queue = wanted.columns["Queue"]
        if (trouble := await self._loses_keys(queue)) is not None:
            return trouble
        files, left = await plain.fitting(write.first.files, self._settings.largest_file)
        words = [*wanted.left_out, *left]
        people, unwritten = self._people(write.ticket)
        intro = plain.heading(write.ticket) if unwritten else write.ticket.url
        text = "\n\n".join(part for part in (intro, plain.body(write.first, words)) if part)
        sent = {
            **wanted.columns, **people, "CustomFields": {**wanted.fields, self._settings.fields.key: write.ticket.key},
            **message(write.ticket, write.first, text, files),
        }  # fmt: skip
        try:
            made = await self._rest.calls.read(RtMade, "POST", "/ticket", json=sent)
        except plain.NotGood as error:
            if error.answer.status != 400:
                return _denied(error, queue, "CreateTicket and SeeQueue")
            # RT refuses the whole for one word of it; what it must have is the message and the key.
            words.append(f"status and owner: {error.answer.words()}")
            bare = {each: said for each, said in sent.items() if each not in {"Status", "Owner"}}
            made = await self._rest.calls.read(RtMade, "POST", "/ticket", json=bare)
        self._kept[queue] = self._kept.get(queue, 0) - 1
        if self._kept[queue] < 0 and (lost := await self._keeps(queue, made.id, write.ticket.key)):
            words.append(lost)
        return Pushed(outcome=Outcome.DONE, ref=self.ref(made.id), left_out=[*words, *unwritten])

    def _people(self, ticket: Ticket) -> tuple[dict[str, Any], list[str]]:
        said, left, mailed = dict[str, Any](), list[str](), list[str]()
        for role, people in (("Requestor", [ticket.requester]), ("Cc", ticket.copies)):
            listed = list[str]()
            for person in people:
                address = mailbox(person, self._settings.stand_in)
                if address is None:
                    left.append(f"{role} {plain.named(person)}: RT takes no such address")
                else:
                    listed.append(with_name(person, address))
                    mailed.append(address)
            if listed:
                said[role] = listed
        if mailed and self._settings.squelch:
            # RT drops a list here, but not one inside of what looks like a link to a record.
            said["SquelchMailTo"] = {"type": "user", "id": mailed, "_url": "-"} if len(mailed) > 1 else mailed[0]
        return said, left

    async def _say(self, write: Say) -> Pushed:
        found = await self._live(write.ref)
        if isinstance(found, Pushed):
            return found
        ticket, _ = found
        files, left = await plain.fitting(write.said.files, self._settings.largest_file)
        url = write.ticket.url if left else ""
        sent = message(write.ticket, write.said, plain.body(write.said, left, url), files)
        way, right = ("correspond", "ReplyToTicket") if write.said.public else ("comment", "CommentOnTicket")
        try:
            await self._rest.calls.ask("POST", f"/ticket/{quote(ticket.id, safe='')}/{way}", json=sent)
        except plain.NotGood as error:
            return _denied(error, ticket.queue.name, right)
        return Pushed(outcome=Outcome.DONE, ref=self.ref(ticket.id), left_out=left)

    async def _alter(self, write: Alter) -> Pushed:
        wanted = self.wanted(write.ticket, write.fields)
        said = ""
        for _ in range(TURNS):
            found = await self._live(write.ref)
            if isinstance(found, Pushed):
                return found
            ticket, etag = found
            change = self._difference(ticket, wanted, write)
            if not change:
                return Pushed(outcome=Outcome.DONE, ref=self.ref(ticket.id), left_out=wanted.left_out)
            if said and not etag:
                break
            try:
                answer = await self._rest.alter(ticket.id, change, etag)
            except plain.NotGood as error:
                if error.answer.status not in {409, 412}:
                    return _denied(error, ticket.queue.name, "ModifyTicket")
                continue
            said = answer.words()
            after, _ = await self._rest.ticket(ticket.id)
            lost = self._difference(after, wanted, write)
            if lost and _DENIED in answer.body.decode("utf-8", "replace").casefold():
                return _needs(
                    said, after.queue.name, "ModifyTicket (and ModifyCustomField, CreateTicket in the new queue)"
                )
            words = [*wanted.left_out, *(f"{each}: RT did not take it: {said}" for each in lost)]
            return Pushed(outcome=Outcome.DONE, ref=self.ref(after.id), left_out=words)
        detail = f"ticket {write.ref.number} changed in RT {TURNS} times while it was being changed"
        return Pushed(outcome=Outcome.RETRY, detail=detail, of_ticket=True)

    def _difference(self, ticket: RtTicket, wanted: Wanted, write: Alter) -> dict[str, Any]:
        has = {
            "Subject": ticket.subject, "Status": ticket.status, "Owner": ticket.owner, "Queue": ticket.queue.name
        }  # fmt: skip
        change: dict[str, Any] = {
            column: value for column, value in wanted.columns.items() if has[column].casefold() != value.casefold()
        }
        fields = {name: value for name, value in wanted.fields.items() if ticket.value(name) != value}
        if fields:
            change["CustomFields"] = fields
        address = mailbox(write.ticket.requester, self._settings.stand_in) if "requester" in write.fields else None
        others = [each.id for each in ticket.requestors]
        if address is not None and address.casefold() not in {each.casefold() for each in others}:
            change["Requestor"] = [address, *others]
        return change

    async def _live(self, ref: Ref) -> tuple[RtTicket, str] | Pushed:
        """The ticket as it is, wherever it was merged to."""
        try:
            ticket, etag = await self._rest.ticket(ref.id)
        except plain.NotGood as error:
            if error.answer.status == 404:
                return Pushed(outcome=Outcome.VANISHED, detail=error.answer.words())
            if error.answer.status != 403:
                raise
            words = f"ticket {ref.number} cannot be seen: the right ShowTicket on its queue is missing"
            return Pushed(outcome=Outcome.RETRY, detail=words, of_ticket=True)
        if ticket.status == "deleted":
            return Pushed(outcome=Outcome.VANISHED, detail=f"ticket {ticket.id} is deleted in RT")
        return ticket, etag

    # -- the key -------------------------------------------------------------------------

    async def _loses_keys(self, queue: str) -> Pushed | None:
        """Why no ticket may be made in this queue: it would bear no key, and could come twice."""
        if self._kept.get(queue, 0) > 0:
            return None
        key = self._settings.fields.key
        try:
            seen = await self._rest.queue(queue)
        except plain.NotGood as error:
            return _denied(error, queue, "SeeQueue")
        if key.casefold() not in {field.name.casefold() for field in seen.ticket_fields}:
            words = f"queue {queue} has no custom field {key} that {self._settings.user} sees: apply it to the queue," \
                    " and give the right SeeCustomField"  # fmt: skip
            return Pushed(outcome=Outcome.RETRY, detail=words)
        if queue in self._keyless and (lost := await self._keeps(queue, *self._keyless[queue])):
            return Pushed(outcome=Outcome.RETRY, detail=lost)
        return None

    async def _keeps(self, queue: str, ref: str, key: str) -> str:
        """Does RT keep the key of this ticket? "" when it does; RT takes a ticket without its fields, and says so in
        its log alone."""
        name = self._settings.fields.key
        try:
            ticket, _ = await self._rest.ticket(ref)
            if ticket.value(name) != key:
                await self._rest.alter(ref, {"CustomFields": {name: key}})
                ticket, _ = await self._rest.ticket(ref)
        except (plain.NotGood, Unanswered, Unsent):
            return ""  # The ticket is made; the next one is looked at again.
        if ticket.value(name) == key:
            self._kept[queue] = PROVEN
            self._keyless.pop(queue, None)
            return ""
        self._keyless[queue] = (ref, key)
        return f"{name} of ticket {ref} stays empty: give {self._settings.user} ModifyCustomField on queue {queue}"

    async def shut(self, ref: Ref) -> str | None:
        """Close it, and look whether it is closed."""
        status = self._maps.theirs("status", "closed") or "resolved"
        await self._rest.alter(ref.id, {"Status": status})
        ticket, _ = await self._rest.ticket(ref.id)
        if ticket.status.casefold() == status.casefold():
            return None
        return f"ticket {ref.number} stays {ticket.status}: {status} needs the right ModifyTicket"

    async def find(self, write: Write) -> Ref | None:
        """Was it done?"""
        if isinstance(write, Open):
            query = f"CF.{{{self._settings.fields.key}}} = {literal(write.ticket.key)} AND {SEARCHED}"
            page = await self._rest.tickets(query)
            # RT compares as its database does, in which "a" may be "A".
            found = [each for each in page.items if each.value(self._settings.fields.key) == write.ticket.key]
            return self.ref(found[0].effective or found[0].id) if found else None
        if isinstance(write, Alter):
            return None
        limits = [{"field": "Headers", "operator": "LIKE", "value": mark(write.ticket, write.said)}]
        parts = await self._rest.parts(f"/ticket/{quote(write.ref.id, safe='')}", limits)
        return write.ref if parts else None

    def ref(self, number: str) -> Ref:
        """A ticket of RT's."""
        return Ref(id=number, number=number, url=f"{self._settings.url}/Ticket/Display.html?id={number}")


def mark(ticket: Ticket, said: Said) -> str:
    """Our key of a message, in a form that nothing has to escape, fold or shorten."""
    return plain.digest(f"{ticket.key}/{said.key}")


def message(ticket: Ticket, said: Said, text: str, files: Sequence[tuple[File, bytes]]) -> dict[str, Any]:
    """A message for RT. Our key is a parameter of its Content-Type (RFC 2045 section 5.1), which RT keeps with the
    text in one transaction of its database and shows nobody."""
    attached = list[dict[str, str]]()
    for file, content in files:
        kind = _type(file, content)
        encoded = base64.b64encode(content).decode()
        attached.append({"FileName": _name(file.filename), "FileType": kind, "FileContent": encoded})
    marked = f'text/plain; gateway-key="{mark(ticket, said)}"'
    return {"Content": text, "ContentType": marked, **({"Attachments": attached} if attached else {})}


def _name(filename: str) -> str:
    """RT wants the bytes of a name's UTF-8 one by one, and answers 500 to letters beyond Latin 1."""
    name = plain.one_line(filename, 200).replace('"', "'") or "file"
    return name.encode().decode("latin-1")


def _type(file: File, content: bytes) -> str:
    """RT guesses at the character set of text and writes it anew: only what is UTF-8 may be called text."""
    kind = file.content_type.partition(";")[0].strip().casefold()
    if not re.fullmatch(r"[a-z0-9.+-]+/[a-z0-9.+-]+", kind) or kind.startswith(("message/", "multipart/")):
        return "application/octet-stream"
    if not kind.startswith("text/"):
        return kind
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return "application/octet-stream"
    return "application/octet-stream" if b"\0" in content else f"{kind}; charset=utf-8"


def _denied(error: plain.NotGood, queue: str, rights: str) -> Pushed:
    """An answer that is not good; one about rights names them."""
    said = error.answer.words()
    if error.answer.status == 403 or (error.answer.status == 400 and _DENIED in said.casefold()):
        return _needs(said, queue, rights)
    return error.answer.failure()


def _needs(said: str, queue: str, rights: str) -> Pushed:
    words = f"{said}; our user needs on queue {queue}: {rights}"
    return Pushed(outcome=Outcome.RETRY, detail=words[: plain.MOST_DETAIL], of_ticket=True)
