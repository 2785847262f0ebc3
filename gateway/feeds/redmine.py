"""Redmine 5 as a feed: `redmine_writing`, `redmine_changes` and `redmine_check` are its parts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import cast

from channels.contract import Clock
from channels.credentials import reveal
from gateway.feeds import plain
from gateway.feeds.contract import Existing, Feed, Finding, Page, Person, Ref
from gateway.feeds.kind import Wiring
from gateway.feeds.redmine_changes import Listening
from gateway.feeds.redmine_check import Checking
from gateway.feeds.redmine_rest import MOST, Issue, Rest
from gateway.feeds.redmine_settings import RedmineSettings
from gateway.feeds.redmine_writing import Writing
from gateway.feeds.settings import FeedSettings
from gateway.feeds.ticket_system import TicketSystem
from gateway.feeds.wire import Wire

SWEPT = timedelta(days=14)
"""A double can only come of a write that was repeated, and writes are repeated for days at most."""


class RedmineFeed(TicketSystem):
    """One Redmine (`Feed`, `Sweeps`, `Imports`)."""

    def __init__(self, settings: RedmineSettings, wiring: Wiring) -> None:
        wire = Wire(
            settings.url,
            headers={"X-Redmine-API-Key": reveal(settings.api_key), "Accept": "application/json"},
            seconds=settings.timeout.total_seconds(), certificates=plain.trusting(settings.certificate),
        )  # fmt: skip
        self._rest = Rest(plain.Calls(wire), lambda: wiring.clock().timestamp())
        self._writing = Writing(settings, self._rest)
        super().__init__(self._rest.calls, self._writing, Listening(settings, self._rest))
        self._clock: Clock = wiring.clock
        self._settings, self._maps = settings, settings.statuses()

    async def check(self) -> Sequence[Finding]:
        """Connection, key, projects, rights, fields, statuses, people."""
        return await Checking(self._settings, self._rest).findings()

    async def doubles(self) -> Mapping[str, Sequence[Ref]]:
        """Keys of the last two weeks that more than one issue has."""
        found: dict[str, list[Ref]] = defaultdict(list)
        since, after = (self._clock() - SWEPT).strftime("%Y-%m-%d"), 0
        with plain.reading():
            while True:
                page = await self._rest.issues({"created_on": f">={since}", "issue_id": f">={after + 1}"})
                for each in page.issues:
                    after = int(each.id)
                    if key := each.value(self._settings.fields.key):
                        found[key].append(self._writing.ref(each.id))
                if len(page.issues) < MOST:
                    return {key: refs for key, refs in found.items() if len(refs) > 1}

    async def existing(self, cursor: str | None) -> Page:
        """Open issues of the project. Redmine keeps no Message-IDs, and its authors are users of its own."""
        after = int(cursor) if cursor and cursor.isdigit() else 0
        query = {"status_id": "open", "issue_id": f">={after + 1}", "project_id": self._settings.project}
        odd = list[str]()
        with plain.reading():
            page = await self._rest.issues(query)
        tickets = [self._existing(each, odd) for each in page.issues]
        last = page.issues[-1].id if len(page.issues) == MOST else None
        return Page(tickets=tickets, cursor=last, total=page.total_count, odd=odd)

    def _existing(self, issue: Issue, odd: list[str]) -> Existing:
        def ours(field: str, said: str) -> str:
            found = self._maps.ours(field, said) if said else ""
            if found is None:
                odd.append(f"issue {issue.id}: {field} {said} has no word in map.{field}")
            return found or ""

        places = self._settings.fields.places()
        columns = {"project": issue.project.name, "tracker": issue.tracker.name, "priority": issue.priority.name}

        def stands(field: str) -> str:
            place = places.get(field, "")
            number = place.removeprefix("field ")
            return (issue.value(int(number)) or "") if number.isdigit() else columns.get(place, "")

        class_, line = ours("class", stands("class")), ours("line", stands("line"))
        return Existing(
            ref=self._writing.ref(issue.id), subject=issue.subject,
            requester=Person(address="", name=issue.author.name), status=ours("status", issue.status.name) or "open",
            class_=int(class_) if class_ in set("123456") else None,
            line=line if line in {"L1", "L2", "L3", "L4"} else "L1", assignee=ours("assignee", issue.assigned_to.name),
            opened_at=issue.created_on,
        )  # fmt: skip


def build(_name: str, settings: FeedSettings, wiring: Wiring) -> Feed:
    """For the registry. Raises KeyError or OSError for a key or certificate that is absent."""
    return RedmineFeed(cast(RedmineSettings, settings), wiring)
