"""Tickets that Request Tracker has: the open ones of before us, and those of one key."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import quote

from gateway.feeds import plain
from gateway.feeds.contract import Existing, Page, Person, Ref
from gateway.feeds.rt_rest import MOST, Rest, RtPerson, RtTicket, literal
from gateway.feeds.rt_settings import NOBODY, RtSettings

OF_A_PAGE = 25
"""Tickets; each needs a call for its Message-IDs."""
SWEPT_DAYS = 14
"""A double can only come of a write that was repeated, and writes are repeated for days at most."""


class Importing:
    """Reads tickets."""

    def __init__(self, settings: RtSettings, rest: Rest) -> None:
        self._settings, self._rest, self._maps = settings, rest, settings.statuses()

    async def existing(self, cursor: str | None) -> Page:
        """Open tickets of our queues. Raises FeedError."""
        queues = " OR ".join(f"Queue = {literal(name)}" for name in self._settings.queues())
        after = int(cursor) if cursor and cursor.isdigit() else 0
        query = f"Status = '__Active__' AND id > {after} AND ({queues})"
        with plain.reading():
            page = await self._rest.tickets(query, per_page=str(OF_A_PAGE))
            odd = list[str]()
            tickets = [await self._existing(each, odd) for each in page.items]
        last = page.items[-1].id if len(page.items) == OF_A_PAGE else None
        return Page(tickets=tickets, cursor=last, total=page.total, odd=odd)

    async def _existing(self, ticket: RtTicket, odd: list[str]) -> Existing:
        people = [_person(each) for each in ticket.requestors if each.address]
        if not people:
            odd.append(f"ticket {ticket.id}: no requester with an address")
        class_ = self._ours(ticket, "class", self._settings.fields.class_, odd)
        return Existing(
            ref=Ref(id=ticket.id, number=ticket.id, url=f"{self._settings.url}/Ticket/Display.html?id={ticket.id}"),
            subject=ticket.subject, requester=people[0] if people else Person(address=""),
            copies=[*people[1:], *(_person(each) for each in ticket.copies if each.address)],
            status=self._status(ticket, odd), class_=int(class_) if class_ in set("123456") else None,
            line=self._line(ticket, odd), assignee=self._owner(ticket, odd),
            opened_at=ticket.created or datetime.now(UTC), message_ids=await self._message_ids(ticket.id),
        )  # fmt: skip

    def _status(self, ticket: RtTicket, odd: list[str]) -> str:
        status = self._maps.ours("status", ticket.status)
        if status is None:
            odd.append(f"ticket {ticket.id}: status {ticket.status} has no word in map.status")
        return status or "open"

    def _line(self, ticket: RtTicket, odd: list[str]) -> str:
        if self._maps.line and (line := self._maps.ours("line", ticket.queue.name)) is not None:
            return line
        said = ticket.value(self._settings.fields.line) if self._settings.fields.line else ""
        if said and said not in {"L1", "L2", "L3", "L4"}:
            odd.append(f"ticket {ticket.id}: {said} is no line")
        return said if said in {"L1", "L2", "L3", "L4"} else "L1"

    def _owner(self, ticket: RtTicket, odd: list[str]) -> str:
        if ticket.owner in {"", NOBODY}:
            return ""
        owner = self._maps.ours("assignee", ticket.owner)
        if owner is None:
            odd.append(f"ticket {ticket.id}: owner {ticket.owner} has no agent in map.assignee")
        return owner or ""

    def _ours(self, ticket: RtTicket, field: str, name: str, odd: list[str]) -> str:
        said = ticket.value(name) if name else ""
        ours = self._maps.ours(field, said) if said else ""
        if ours is None:
            odd.append(f"ticket {ticket.id}: {field} {said} has no word in map.{field}")
        return ours or ""

    async def _message_ids(self, ref: str) -> Sequence[str]:
        limits = [{"field": "MessageId", "operator": "!=", "value": ""}]
        parts = await self._rest.parts(f"/ticket/{quote(ref, safe='')}", limits)
        return list(dict.fromkeys(part.message_id.strip("<> ") for part in parts if part.message_id))

    async def doubles(self) -> Mapping[str, Sequence[Ref]]:
        """Keys of the last two weeks that more than one ticket has. Raises FeedError."""
        name = self._settings.fields.key
        found: dict[str, list[Ref]] = defaultdict(list)
        last = 0
        with plain.reading():
            while True:
                query = f"CF.{{{name}}} IS NOT NULL AND Created > '{SWEPT_DAYS} days ago' AND id > {last}"
                items = (await self._rest.tickets(query)).items
                for each in items:
                    if key := each.value(name):
                        found[key].append(Ref(id=each.id, number=each.id))
                if len(items) < MOST:
                    return {key: refs for key, refs in found.items() if len(refs) > 1}
                last = int(items[-1].id)


def _person(said: RtPerson) -> Person:
    return Person(address=said.address, name=said.name)
