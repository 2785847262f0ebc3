"""What changed in Redmine: the history of issues that were touched since the last look.

Redmine lists no changes, only issues by the second of their last one. A sweep goes through all that were touched since
a moment, by their numbers (which do not change under it), and hears what is new in the history of each. The next sweep
begins two minutes before the newest thing that this one saw: what is committed late, or in the same second, is met
again; of what was heard nothing comes twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import cast

from pydantic import BaseModel, ConfigDict, ValidationError

from gateway.feeds import plain
from gateway.feeds.contract import Change, Changes, File, Heard, Name, Replied, Set
from gateway.feeds.redmine_rest import Attachment, Detail, Issue, Journal, Named, Rest
from gateway.feeds.redmine_settings import RedmineSettings

OVERLAP = timedelta(minutes=2)
"""How late a change may be committed, counted from the time that it bears."""
OF_A_PAGE = 20
"""Issues; each needs a call for its history."""
MOST_BYTES = 48_000_000
MOST_KEPT = 150
"""Issues whose last change heard is remembered; what is forgotten may be heard again under its old name."""


class Cursor(BaseModel):
    """Where we are."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    since: datetime
    """This sweep: issues touched then and later."""
    newest: datetime
    """The last touch that this sweep saw."""
    issue: int = 0
    """The last issue that this sweep is done with."""
    heard: dict[int, int] = {}
    """Issue -> the last line of its history that was heard; lines of one issue come in their order."""


class Listening:
    """Reads histories."""

    def __init__(self, settings: RedmineSettings, rest: Rest) -> None:
        self._settings, self._rest, self._maps = settings, rest, settings.statuses()

    async def changes(self, cursor: str | None) -> Changes:
        """A page of what changed. Raises FeedError."""
        with plain.reading():
            me = await self._rest.me()
            at = _parsed(cursor)
            if at is None:
                return Changes(heard=[], cursor=(await self._start()).model_dump_json())
            query = {"updated_on": f">={_second(at.since)}", "issue_id": f">={at.issue + 1}", "limit": str(OF_A_PAGE)}
            page = (await self._rest.issues(query)).issues
            heard, odd, last = list[Heard](), list[str](), dict(at.heard)
            done, newest, size = at.issue, at.newest, 0
            for row in page:
                if size >= MOST_BYTES:
                    break
                # What was touched before the overlap and heard to its end has nothing new, whatever it says.
                found = await self._heard(row, at, last, me.id, odd)
                heard += found
                size += sum(
                    file.size for each in found if isinstance(each.change, Replied) for file in each.change.files
                )
                done, newest = int(row.id), max(newest, row.updated_on)
        more = len(page) == OF_A_PAGE or done != (int(page[-1].id) if page else at.issue)
        kept = dict(sorted(last.items(), key=lambda pair: pair[1])[-MOST_KEPT:])
        if more:
            after = Cursor(since=at.since, newest=newest, issue=done, heard=kept)
        else:
            after = Cursor(since=max(at.since, newest - OVERLAP), newest=newest, heard=kept)
        return Changes(heard=heard, cursor=after.model_dump_json(), more=more, odd=odd)

    async def _start(self) -> Cursor:
        """Now, by Redmine's own clock: the newest touch. What was done in that very second is not told."""
        newest = (await self._rest.issues({"sort": "updated_on:desc", "limit": "1"})).issues
        if not newest:
            return Cursor(since=datetime(1970, 1, 1, tzinfo=UTC), newest=datetime(1970, 1, 1, tzinfo=UTC))
        when, heard, after = newest[0].updated_on, dict[int, int](), 0
        while True:
            query = {"updated_on": f">={_second(when)}", "issue_id": f">={after + 1}"}
            page = (await self._rest.issues(query)).issues
            for row in page:
                after = int(row.id)
                heard[after] = max((each.id for each in (await self._rest.issue(row.id)).journals), default=0)
            if len(page) < 100 or len(heard) >= MOST_KEPT:
                return Cursor(since=when, newest=when, heard=heard)

    async def _heard(self, row: Issue, at: Cursor, last: dict[int, int], me: str, odd: list[str]) -> list[Heard]:
        try:
            issue = await self._rest.issue(row.id)
        except plain.NotGood as error:
            if error.answer.status not in {403, 404}:
                raise
            odd.append(f"issue {row.id}: {error}")
            return []
        number, heard = int(row.id), list[Heard]()
        known = last.get(number, 0)
        for journal in issue.journals:
            if journal.id <= known or journal.created_on < at.since:
                continue
            last[number] = max(last.get(number, 0), journal.id)
            heard += await self._told(issue, journal, journal.user.id == me, odd)
        return heard

    async def _told(self, issue: Issue, journal: Journal, ours: bool, odd: list[str]) -> list[Heard]:
        found = list[Change]()
        for detail in journal.details:
            change = await self._detail(issue, detail)
            found += [change] if change is not None else []
        files = list(self._files(issue, journal)) if not ours else []
        if (journal.notes or files) and not ours:
            public = self._settings.public_notes and not journal.private_notes
            brought = [each for file in files if (each := await self._bring(file, odd)) is not None]
            found.append(Replied(text=plain.clean(journal.notes or "").strip(), public=public and bool(journal.notes),
                                 files=brought))  # fmt: skip
        return [
            Heard(
                id=f"{journal.id}.{at}", ref=issue.id, at=journal.created_on, actor=journal.user.name, ours=ours,
                change=change,
            )
            for at, change in enumerate(found)
        ]  # fmt: skip

    def _files(self, issue: Issue, journal: Journal) -> Iterator[Attachment]:
        by_id = {each.id: each for each in issue.attachments}
        for detail in journal.details:
            if detail.kind == "attachment" and detail.new and detail.name in by_id:
                yield by_id[detail.name]

    async def _bring(self, file: Attachment, odd: list[str]) -> File | None:
        if file.filesize > self._settings.largest_file:
            odd.append(f"attachment {file.id} {file.filename}: {file.filesize} bytes were left out")
            return None
        try:
            content = await self._rest.download(file.id, file.filename)
        except plain.NotGood as error:
            if error.answer.status not in {403, 404, 410}:
                raise
            odd.append(f"attachment {file.id} {file.filename}: {error}")
            return None
        return plain.received(file.filename, file.content_type or "", content)

    async def _detail(self, issue: Issue, detail: Detail) -> Change | None:
        """A field of ours, if it is one. Redmine tells numbers."""
        new = detail.new or ""
        if detail.kind == "cf":
            ours = self._ours(f"field {detail.name}")
            return None if ours is None else self._set(ours, new)
        if detail.kind != "attr":
            return None
        match detail.name:
            case "status_id":
                return self._set("status", _name(await self._rest.statuses(), new))
            case "assigned_to_id":
                who = [issue.assigned_to, *await self._rest.members(issue.project.id)]
                return self._person(new, _name(who, new))
            case "subject":
                return Set(field="subject", value=new, raw=new)
            case "project_id" | "tracker_id" | "priority_id":
                column = detail.name.removesuffix("_id")
                ours = self._ours(column)
                return None if ours is None else self._set(ours, await self._word(column, issue, new))
            case _:
                return None

    def _ours(self, place: str) -> Name | None:
        found = next((ours for ours, where in self._settings.fields.places().items() if where == place), None)
        return cast(Name, found) if found is not None else None

    async def _word(self, column: str, issue: Issue, number: str) -> str:
        match column:
            case "priority":
                return _name(await self._rest.priorities(), number)
            case "tracker":
                return _name([issue.tracker, *(await self._rest.project(issue.project.id)).trackers], number)
            case _:
                return (await self._rest.project(number)).identifier if number else ""

    def _person(self, number: str, name: str) -> Set:
        """A map may name people by their number, too."""
        if not number:
            return Set(field="assignee", value="", raw="")
        ours = self._maps.ours("assignee", name)
        if ours is None:
            ours = self._maps.ours("assignee", number)
        return Set(field="assignee", value=ours or "", raw=name, known=ours is not None)

    def _set(self, field: Name, raw: str) -> Set:
        if field == "onsite":
            return Set(field=field, value="yes" if raw == "1" else "no", raw=raw)
        value = self._maps.ours(field, raw) if raw else ""
        return Set(field=field, value=value or "", raw=raw, known=value is not None)


def _name(listed: Sequence[Named], number: str) -> str:
    return next((each.name for each in listed if each.id == number and each.name), number)


def _second(when: datetime) -> str:
    """As Redmine's filters take it."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _parsed(cursor: str | None) -> Cursor | None:
    try:
        return Cursor.model_validate_json(cursor) if cursor is not None else None
    except ValidationError:
        return None
