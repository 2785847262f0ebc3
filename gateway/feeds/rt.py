"""Request Tracker 5 as a feed, by REST2: `rt_writing`, `rt_changes`, `rt_check` and `rt_import` are its parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from channels.contract import CannotTell
from channels.credentials import reveal
from gateway.feeds import plain
from gateway.feeds.contract import Changes, Feed, Finding, Outcome, Page, Pushed, Ref, Write
from gateway.feeds.kind import Wiring
from gateway.feeds.rt_changes import Listening
from gateway.feeds.rt_check import Checking
from gateway.feeds.rt_import import Importing
from gateway.feeds.rt_rest import Rest
from gateway.feeds.rt_settings import RtSettings
from gateway.feeds.rt_writing import Writing
from gateway.feeds.settings import FeedSettings
from gateway.feeds.wire import Unanswered, Unsent, Wire


class RtFeed:
    """One Request Tracker (`Feed`, `Sweeps`, `Imports`)."""

    def __init__(self, settings: RtSettings, wiring: Wiring) -> None:
        wire = Wire(
            settings.url + "/REST/2.0",
            headers={"Authorization": f"token {reveal(settings.token)}", "Accept": "application/json"},
            seconds=settings.timeout.total_seconds(), certificates=plain.trusting(settings.certificate),
        )  # fmt: skip
        self._rest = Rest(plain.Calls(wire))
        self._settings = settings
        self._writing = Writing(settings, self._rest)
        self._listening = Listening(settings, self._rest, wiring.clock)
        self._importing = Importing(settings, self._rest)

    async def open(self) -> None:
        """Nothing to make: connections come with the first call."""

    async def close(self) -> None:
        """Close the connections."""
        await self._rest.calls.close()

    async def push(self, write: Write) -> Pushed:
        """One try."""
        try:
            return await self._writing.push(write)
        except (plain.NotGood, Unsent, Unanswered, plain.FileGone) as error:
            return plain.failed(error)

    async def find(self, write: Write) -> Ref | CannotTell | None:
        """By the custom field of the key, or by the key in a message's headers."""
        try:
            return await self._writing.find(write)
        except (plain.NotGood, Unsent, Unanswered) as error:
            return CannotTell(str(error))

    async def changes(self, cursor: str | None) -> Changes:
        """Transactions after `cursor`."""
        return await self._listening.changes(cursor)

    async def check(self) -> Sequence[Finding]:
        """Connection, token, queues, rights, fields, statuses, users, and whether RT mails people itself."""
        return await Checking(self._settings, self._rest).findings()

    async def undo(self, ref: Ref) -> Pushed:
        """Close it."""
        status = self._settings.statuses().theirs("status", "closed") or "resolved"
        try:
            await self._rest.alter(ref.id, {"Status": status})
            ticket, _ = await self._rest.ticket(ref.id)
        except (plain.NotGood, Unsent, Unanswered) as error:
            return plain.failed(error)
        done = ticket.status.casefold() == status.casefold()
        left = [] if done else [f"ticket {ref.number} stays {ticket.status}: {status} needs the right ModifyTicket"]
        return Pushed(outcome=Outcome.DONE, ref=ref, left_out=left)

    async def doubles(self) -> Mapping[str, Sequence[Ref]]:
        """Keys of the last two weeks that more than one ticket has."""
        return await self._importing.doubles()

    async def existing(self, cursor: str | None) -> Page:
        """Open tickets of our queues, with the Message-IDs of their mails."""
        return await self._importing.existing(cursor)


def build(_name: str, settings: FeedSettings, wiring: Wiring) -> Feed:
    """For the registry. Raises KeyError or OSError for a token or certificate that is absent."""
    return RtFeed(cast(RtSettings, settings), wiring)
