"""One try of a write to Redmine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.feeds import plain
from gateway.feeds.contract import Alter, Name, Open, Outcome, Pushed, Ref, Said, Say, Ticket, Write
from gateway.feeds.redmine_rest import Issue, Named, Rest, by_name
from gateway.feeds.redmine_settings import RedmineSettings
from gateway.feeds.ticket_system import TicketWriting

_LONGEST_SUBJECT = 255
_PRIVATE = frozenset({"set_notes_private", "view_private_notes"})
_NOTES = frozenset({"edit_issues", "add_issue_notes"})
_SENT_AS = {"status": "status_id", "tracker": "tracker_id", "project": "project_id", "priority": "priority_id"}


@dataclass(slots=True)
class Wanted:
    """What an issue should say: Redmine's columns with a number and a name, fields by number, and what has no word."""

    columns: dict[str, Named] = field(default_factory=dict)
    fields: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    subject: str | None = None

    def sent(self) -> dict[str, Any]:
        """For Redmine."""
        said: dict[str, Any] = {_SENT_AS.get(name, name): each.id for name, each in self.columns.items()}
        if self.subject is not None:
            said["subject"] = self.subject
        if self.fields:
            said["custom_fields"] = [{"id": int(number), "value": value} for number, value in self.fields.items()]
        return said


class Writing(TicketWriting):
    """Pushes and finds."""

    def __init__(self, settings: RedmineSettings, rest: Rest) -> None:
        self._settings, self._rest, self._maps = settings, rest, settings.statuses()
        self._keyless = ""

    # -- what it should be ---------------------------------------------------------------

    async def wanted(self, ticket: Ticket, names: frozenset[Name] | None = None) -> Wanted:
        """These fields of a ticket in Redmine's words; None: all that a new one starts with."""
        wanted = Wanted()
        for ours, place in self._settings.fields.places().items():
            if names is None or ours in names:
                await self._place(wanted, ours, place, _ours(ticket, ours))
        if names is None or "status" in names:
            await self._column(wanted, "status", "status", ticket.status)
        if (names is None and ticket.assignee) or (names is not None and "assignee" in names):
            await self._assignee(wanted, ticket.assignee)
        if names is None or "subject" in names:
            wanted.subject = plain.one_line(ticket.subject, _LONGEST_SUBJECT) or f"[{ticket.number}]"
        return wanted

    async def _place(self, wanted: Wanted, ours: str, place: str, value: str) -> None:
        if place.startswith("field "):
            theirs = value if ours == "onsite" else self._maps.theirs(ours, value) if value else ""
            if theirs is None:
                wanted.left_out.append(f"{ours} {value}: map.{ours} has no word for it")
            else:
                wanted.fields[place.removeprefix("field ")] = theirs
        elif value:
            await self._column(wanted, ours, place, value)

    async def _column(self, wanted: Wanted, ours: str, column: str, value: str) -> None:
        theirs = self._maps.theirs(ours, value)
        if theirs is None:
            wanted.left_out.append(f"{ours} {value}: map.{ours} has no word for it")
            return
        found = await self._named(column, theirs)
        if found is None:
            wanted.left_out.append(f"{ours} {value}: Redmine has no {column} {theirs}")
        else:
            wanted.columns[column] = found

    async def _named(self, column: str, said: str) -> Named | None:
        match column:
            case "status":
                return by_name(await self._rest.statuses(), said)
            case "priority":
                return by_name(await self._rest.priorities(), said)
            case "tracker":
                return by_name((await self._rest.project(self._settings.project)).trackers, said)
            case _:
                try:
                    project = await self._rest.project(said)
                except plain.NotGood as error:
                    if error.answer.status in {403, 404}:
                        return None
                    raise
                return Named(id=project.id, name=project.name)

    async def _assignee(self, wanted: Wanted, agent: str) -> None:
        if not agent:
            wanted.columns["assigned_to_id"] = Named(id="", name="")
            return
        theirs = self._maps.theirs("assignee", agent)
        project = wanted.columns.get("project")
        members = await self._rest.members(project.id if project is not None else self._settings.project)
        found = by_name(members, theirs) if theirs is not None else None
        if found is not None:
            wanted.columns["assigned_to_id"] = found
        else:
            what = "map.assignee has no word for it" if theirs is None else f"{theirs} is no member of the project"
            wanted.left_out.append(f"assignee {agent}: {what}")

    # -- writes --------------------------------------------------------------------------

    async def _open(self, write: Open) -> Pushed:
        if self._keyless and not await self._healed():
            return Pushed(outcome=Outcome.RETRY, detail=self._no_key(self._keyless))
        fields, wanted = self._settings.fields, await self.wanted(write.ticket)
        uploads, left = await self._uploads(write.first)
        words = [*wanted.left_out, *left]
        wanted.fields |= dict(self._settings.constants)
        wanted.fields |= {str(fields.key): write.ticket.key, str(fields.message): write.first.key}
        if "project" not in wanted.columns:
            project = await self._rest.project(self._settings.project)
            wanted.columns["project"] = Named(id=project.id, name=project.name)
        if "tracker" not in wanted.columns and self._settings.tracker:
            await self._tracker(wanted, words)
        text = f"{plain.heading(write.ticket)}\n\n{plain.body(write.first, left)}"
        sent = {**wanted.sent(), "description": text, "uploads": uploads}
        try:
            made = await self._rest.create(sent)
        except plain.NotGood as error:
            if error.answer.status != 422:
                return self._denied(error, "add_issues")
            # Redmine refuses the whole for one word of it; what it must have is the message and the key.
            words.append(f"status, assignee and fields: {error.answer.words()}")
            kept = {str(fields.key), str(fields.message), *self._settings.constants}
            bare = Wanted(
                columns={name: each for name, each in wanted.columns.items() if name in {"project", "tracker"}},
                fields={number: value for number, value in wanted.fields.items() if number in kept},
                subject=wanted.subject,
            )
            wanted = bare
            made = await self._rest.create({**bare.sent(), "description": text, "uploads": uploads})
        if made.value(fields.key) != write.ticket.key:
            self._keyless = made.id
            words.append(self._no_key(made.id))
        return Pushed(outcome=Outcome.DONE, ref=self.ref(made.id), left_out=[*words, *self._lost(made, wanted)])

    async def _tracker(self, wanted: Wanted, words: list[str]) -> None:
        found = await self._named("tracker", self._settings.tracker)
        if found is None:
            words.append(f"the project has no tracker {self._settings.tracker}")
        else:
            wanted.columns["tracker"] = found

    async def _say(self, write: Say) -> Pushed:
        issue = await self._live(write.ref)
        if isinstance(issue, Pushed):
            return issue
        said, fields = write.said, self._settings.fields
        wanted = _NOTES if said.public else _NOTES | _PRIVATE
        rights = await self._rest.rights(issue.project.id)
        missing = sorted(wanted - rights) if rights is not None else []
        if missing:
            # Redmine would take a private note of ours without the right, and show it to everybody.
            words = f"our role in project {issue.project.name} lacks: {', '.join(missing)}"
            return Pushed(outcome=Outcome.RETRY, detail=words, of_ticket=True)
        # Files of an issue are shown to all who see it: those of a private note stay with us.
        uploads, left = await self._uploads(said) if said.public else ([], _withheld(said))
        text = plain.body(said, left, write.ticket.url if left else "")
        marked = [{"id": fields.message, "value": said.key}]
        note = {"notes": text, "private_notes": not said.public, "custom_fields": marked, "uploads": uploads}
        try:
            await self._rest.alter(issue.id, note)
        except plain.NotGood as error:
            return self._denied(error, ", ".join(sorted(wanted)))
        return Pushed(outcome=Outcome.DONE, ref=self.ref(issue.id), left_out=left)

    async def _alter(self, write: Alter) -> Pushed:
        issue = await self._live(write.ref)
        if isinstance(issue, Pushed):
            return issue
        wanted = await self.wanted(write.ticket, write.fields)
        if not self._lost(issue, wanted):
            return Pushed(outcome=Outcome.DONE, ref=self.ref(issue.id), left_out=wanted.left_out)
        words = list(wanted.left_out)
        try:
            await self._rest.alter(issue.id, wanted.sent())
        except plain.NotGood as error:
            if error.answer.status != 422:
                return self._denied(error, "edit_issues")
            words.append(error.answer.words())
        after = await self._rest.issue(issue.id)
        return Pushed(outcome=Outcome.DONE, ref=self.ref(issue.id), left_out=[*words, *self._lost(after, wanted)])

    def _lost(self, issue: Issue, wanted: Wanted) -> list[str]:
        """What Redmine left as it was, without a word: a status that the workflow does not lead to, a field that the
        tracker has not."""
        has = {
            "status": issue.status, "project": issue.project, "tracker": issue.tracker, "priority": issue.priority,
            "assigned_to_id": issue.assigned_to,
        }  # fmt: skip
        lost = [
            f"{name.removesuffix('_to_id')} stays {has[name].name or 'nobody'}, not {each.name or 'nobody'}: the"
            " workflow or a right of our role does not allow it"
            for name, each in wanted.columns.items()
            if has[name].id != each.id
        ]
        if wanted.subject is not None and issue.subject != wanted.subject:
            lost.append("subject stays as it was: the right edit_issues is missing")
        mine = {str(self._settings.fields.key), str(self._settings.fields.message)}
        for number, value in wanted.fields.items():
            if number not in mine and (issue.value(int(number)) or "") != value:
                lost.append(f"custom field {number} does not take {value!r}")
        return lost

    async def _live(self, ref: Ref) -> Issue | Pushed:
        try:
            return await self._rest.issue(ref.id)
        except plain.NotGood as error:
            if error.answer.status in {404, 410}:
                return Pushed(outcome=Outcome.VANISHED, detail=error.answer.words())
            if error.answer.status != 403:
                raise
            words = f"issue {ref.number} cannot be seen: view_issues is missing in its project"
            return Pushed(outcome=Outcome.RETRY, detail=words, of_ticket=True)

    async def _uploads(self, said: Said) -> tuple[list[dict[str, str]], list[str]]:
        """Bring the files; Redmine's own limits (size, extensions) leave one out, not the message."""
        files, left = await plain.fitting(said.files, self._settings.largest_file)
        uploads = list[dict[str, str]]()
        for file, content in files:
            name = plain.one_line(file.filename, 200) or "file"
            try:
                token = await self._rest.upload(name, content)
            except plain.NotGood as error:
                if error.answer.status not in {413, 422}:
                    raise
                left.append(f"file {name}: {error.answer.words()}")
            else:
                uploads.append({"token": token, "filename": name, "content_type": file.content_type})
        return uploads, left

    # -- the key -------------------------------------------------------------------------

    async def _healed(self) -> bool:
        """Does an issue that has no key have one now? Then the field is there."""
        try:
            issue = await self._rest.issue(self._keyless)
        except plain.NotGood:
            self._keyless = ""
            return True
        if issue.value(self._settings.fields.key) is None:
            return False
        self._keyless = ""
        return True

    def _no_key(self, ref: str) -> str:
        number = self._settings.fields.key
        return f"issue {ref} has no custom field {number}: give it to the tracker and the project, visible to our role"

    async def shut(self, ref: Ref) -> str | None:
        """Close it, and look whether it is closed."""
        wanted = by_name(await self._rest.statuses(), self._maps.theirs("status", "closed") or "Closed")
        if wanted is not None:
            await self._rest.alter(ref.id, {"status_id": wanted.id})
        issue = await self._rest.issue(ref.id)
        if wanted is not None and issue.status.id == wanted.id:
            return None
        return f"issue {ref.number} stays {issue.status.name}: the workflow does not let it be closed"

    async def find(self, write: Write) -> Ref | None:
        """Was it done?"""
        if isinstance(write, Open):
            return await self._opened(write.ticket.key)
        if isinstance(write, Alter):
            return None
        try:
            issue = await self._rest.issue(write.ref.id)
        except plain.NotGood as error:
            if error.answer.status in {404, 410}:
                return None
            raise
        number = str(self._settings.fields.message)
        changes = (each for journal in issue.journals for each in journal.details)
        wrote = any(each.kind == "cf" and each.name == number and each.new == write.said.key for each in changes)
        return write.ref if wrote else None

    async def _opened(self, key: str) -> Ref | None:
        # A filter that Redmine does not know is passed over, and everything comes: values are compared here.
        page = await self._rest.issues({f"cf_{self._settings.fields.key}": key})
        found = next((each for each in page.issues if each.value(self._settings.fields.key) == key), None)
        return self.ref(found.id) if found is not None else None

    def ref(self, number: str) -> Ref:
        """An issue."""
        return Ref(id=number, number=number, url=f"{self._settings.url}/issues/{number}")

    def _denied(self, error: plain.NotGood, rights: str) -> Pushed:
        if error.answer.status == 403:
            words = f"{error}; our role needs: {rights}"
            return Pushed(outcome=Outcome.RETRY, detail=words[: plain.MOST_DETAIL], of_ticket=True)
        return error.answer.failure()


def _ours(ticket: Ticket, field_: str) -> str:
    words: Mapping[str, str] = {
        "class": str(ticket.class_) if ticket.class_ is not None else "", "line": ticket.line,
        "contract": ticket.contract, "onsite": "1" if ticket.onsite else "0",
    }  # fmt: skip
    return words[field_]


def _withheld(said: Said) -> list[str]:
    return [
        f"file {plain.one_line(each.filename, 200)}: not here, since Redmine has no private files"
        for each in said.files
    ]
