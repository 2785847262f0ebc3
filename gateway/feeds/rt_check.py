"""What `gateway check --online` says of a Request Tracker. Writes nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from urllib.parse import quote

from gateway.feeds.contract import Finding
from gateway.feeds.plain import NotGood
from gateway.feeds.rt_rest import Rest, RtQueueFull, RtTicket, RtTransaction, RtUser, RtVersion, literal
from gateway.feeds.rt_settings import RtSettings
from gateway.feeds.wire import Unanswered, Unsent

_RIGHTS = {"correspond": "ReplyToTicket", "comment": "CommentOnTicket", "lifecycle": "ModifyTicket"}
_CAUSES = frozenset({"Create", "Correspond", "Comment"})
_NEAR = 12
"""Transactions that may lie between a message and the record of the mail about it."""
_SEEN = 10


class Checking:
    """The findings, one after the other."""

    def __init__(self, settings: RtSettings, rest: Rest) -> None:
        self._settings, self._rest = settings, rest

    async def findings(self) -> Sequence[Finding]:
        """All of them; the first that makes the rest senseless is the last."""
        host = self._rest.calls.host
        try:
            version = await self._rest.calls.read(RtVersion, "GET", "/rt")
        except (Unsent, Unanswered) as error:
            return [Finding(good=False, what=f"connection: {error}", mend="url, certificate, and whether RT runs")]
        except NotGood as error:
            return [_refused(error)]
        found = [Finding(good=True, what=f"connection and token: {host} is RT {version.version}")]
        try:
            async for each in self._all():
                found.append(each)
        except (Unsent, Unanswered, NotGood) as error:
            found.append(Finding(good=False, what=f"the check broke off: {error}", mend="try again"))
        return found

    async def _all(self) -> AsyncIterator[Finding]:
        me = await self._user(self._settings.user)
        yield self._owner_of_token(me)
        tickets = list[RtTicket]()
        for name in self._settings.queues():
            async for each in self._queue(name, tickets):
                yield each
        yield self._statuses(tickets)
        for words in self._settings.map.assignee.values():
            user = await self._user(words[0])
            good = user is not None and user.privileged
            yield Finding(
                good=good, what=f"user {words[0]} of map.assignee" + ("" if good else " is no privileged user of RT's"),
                mend="" if good else "correct map.assignee, or let the user be granted rights in RT",
            )  # fmt: skip
        yield await self._mails()

    async def _user(self, name: str) -> RtUser | None:
        try:
            return await self._rest.calls.read(RtUser, "GET", f"/user/{quote(name, safe='')}")
        except NotGood:
            return None

    def _owner_of_token(self, me: RtUser | None) -> Finding:
        user = self._settings.user
        if me is not None and me.memberships is not None:
            return Finding(good=True, what=f"the token is {user}'s")
        what = f"the token is not {user}'s" if me is not None else f"RT has no user {user}, or shows it to no one"
        return Finding(good=False, what=what, mend="make `user` the name of the user whose token it is: what that user"
                       " does is not taken for news")  # fmt: skip

    async def _queue(self, name: str, tickets: list[RtTicket]) -> AsyncIterator[Finding]:
        try:
            queue = await self._rest.queue(name)
        except NotGood:
            what = f"queue {name}: there is none, or the right SeeQueue on it is missing"
            yield Finding(good=False, what=what, mend=f"correct the name, or grant SeeQueue on {name}")
            return
        yield Finding(good=True, what=f"queue {name}: right SeeQueue")
        creates = any(link.ref == "create" for link in queue.links)
        yield _right("CreateTicket", name, creates)
        for finding in self._fields(queue, name):
            yield finding
        page = await self._rest.tickets(f"Queue = {literal(name)}", order="DESC", per_page=str(_SEEN))
        tickets += page.items
        if not page.items:
            what = f"queue {name}: no ticket yet to see the rights on tickets by"
            yield Finding(good=False, warning=True, what=what, mend="gateway feeds try writes one, then check again")
            return
        newest, _ = await self._rest.ticket(page.items[0].id)
        tickets.append(newest)
        refs = {link.ref for link in newest.links}
        for ref, right in _RIGHTS.items():
            yield _right(right, name, ref in refs)

    def _fields(self, queue: RtQueueFull, name: str) -> list[Finding]:
        has = {field.name.casefold() for field in queue.ticket_fields}
        wanted = [self._settings.fields.key, *self._settings.fields.written().values()]
        return [
            Finding(good=True, what=f"queue {name}: custom field {field}")
            if field.casefold() in has
            else Finding(
                good=False, what=f"queue {name}: custom field {field} is not seen",
                mend=f"make it for tickets, apply it to {name}, grant SeeCustomField and ModifyCustomField",
            )
            for field in wanted
        ]  # fmt: skip

    def _statuses(self, tickets: Sequence[RtTicket]) -> Finding:
        """RT tells no list of statuses; those that are seen on tickets and in their links are surely right."""
        seen = {status for ticket in tickets for link in ticket.links for status in (link.begins, link.to)}
        seen |= {ticket.status for ticket in tickets}
        mapped = {words[0] for words in self._settings.statuses().status.values()}
        unseen = sorted(each for each in mapped if each.casefold() not in {status.casefold() for status in seen})
        if not unseen:
            return Finding(good=True, what="every status of map.status is one of RT's")
        what = f"map.status: {', '.join(unseen)}: not seen on tickets yet, so they may be misspelt"
        return Finding(good=False, warning=True, what=what, mend="compare with Admin > Lifecycles in RT")

    async def _mails(self) -> Finding:
        """RT's scrips cannot be read by REST2; whom they mailed because of us stands in the history."""
        sent = await self._rest.transactions(
            [{"field": "Type", "operator": "=", "value": "EmailRecord"}], order="DESC", per_page=str(_SEEN)
        )
        told = [each.object_id for each in sent if await self._because_of_us(each)]
        if not told:
            what = "RT has mailed no requester because of what we wrote, as far as we see (right ShowOutgoingEmail)"
            return Finding(good=True, what=what)
        what = f"RT itself mails requesters about what we write: ticket {', '.join(dict.fromkeys(told))}"
        return Finding(good=False, warning=True, what=what, mend="docs/feeds/rt.md, scrips")

    async def _because_of_us(self, sent: RtTransaction) -> bool:
        limits = [
            {"field": "id", "operator": "<", "value": str(sent.id)},
            {"field": "id", "operator": ">=", "value": str(sent.id - _NEAR), "entry_aggregator": "AND"},
        ]
        before = await self._rest.transactions(limits, order="DESC")
        causes = (each for each in before if each.object_id == sent.object_id and each.type in _CAUSES)
        cause = next(causes, None)
        if cause is None or cause.creator != self._settings.user:
            return False
        ticket, _ = await self._rest.ticket(sent.object_id)
        people = {each.id.casefold() for each in (*ticket.requestors, *ticket.copies)}
        headers = " ".join(part.headers for part in await self._rest.parts(f"/transaction/{sent.id}")).casefold()
        return any(address in headers for address in people)


def _right(right: str, queue: str, granted: bool) -> Finding:
    what = f"queue {queue}: right {right}"
    return Finding(
        good=granted,
        what=what if granted else f"{what} is missing",
        mend="" if granted else f"grant {right} on {queue}",
    )


def _refused(error: NotGood) -> Finding:
    status = error.answer.status
    if status in {401, 403}:
        return Finding(good=False, what=f"credentials: {error}", mend="a token of RT's for our user (Preferences > Auth"
                       " tokens), and RT's REST2 open to us")  # fmt: skip
    if status == 404:
        return Finding(good=False, what=f"connection: {error}", mend="url: RT's address without /REST/2.0")
    return Finding(good=False, what=f"connection: {error}", mend="RT's log")
