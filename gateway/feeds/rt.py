"""Request Tracker 5 as a feed, by REST2: `rt_writing`, `rt_changes`, `rt_check` and `rt_import` are its parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from channels.credentials import reveal
from gateway.feeds import plain
from gateway.feeds.contract import Feed, Finding, Page, Ref
from gateway.feeds.kind import Wiring
from gateway.feeds.rt_changes import Listening
from gateway.feeds.rt_check import Checking
from gateway.feeds.rt_import import Importing
from gateway.feeds.rt_rest import Rest
from gateway.feeds.rt_settings import RtSettings
from gateway.feeds.rt_writing import Writing
from gateway.feeds.settings import FeedSettings
from gateway.feeds.ticket_system import TicketSystem
from gateway.feeds.wire import Wire


class RtFeed(TicketSystem):
    """One Request Tracker (`Feed`, `Sweeps`, `Imports`)."""

    def __init__(self, settings: RtSettings, wiring: Wiring) -> None:
        wire = Wire(
            settings.url + "/REST/2.0",
            headers={"Authorization": f"token {reveal(settings.token)}", "Accept": "application/json"},
            seconds=settings.timeout.total_seconds(), certificates=plain.trusting(settings.certificate),
        )  # fmt: skip
        self._rest = Rest(plain.Calls(wire))
        listening = Listening(settings, self._rest, wiring.clock)
        super().__init__(self._rest.calls, Writing(settings, self._rest), listening)
        self._settings = settings
        self._importing = Importing(settings, self._rest)

    async def check(self) -> Sequence[Finding]:
        """Connection, token, queues, rights, fields, statuses, users, and whether RT mails people itself."""
        return await Checking(self._settings, self._rest).findings()

    async def doubles(self) -> Mapping[str, Sequence[Ref]]:
        """Keys of the last two weeks that more than one ticket has."""
        return await self._importing.doubles()

    async def existing(self, cursor: str | None) -> Page:
        """Open tickets of our queues, with the Message-IDs of their mails."""
        return await self._importing.existing(cursor)


def build(_name: str, settings: FeedSettings, wiring: Wiring) -> Feed:
    """For the registry. Raises KeyError or OSError for a token or certificate that is absent."""
    return RtFeed(cast(RtSettings, settings), wiring)
