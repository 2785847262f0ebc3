"""Redmine's REST interface, as far as we use it (https://www.redmine.org/projects/redmine/wiki/Rest_api)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, ClassVar
from urllib.parse import quote

from pydantic import BeforeValidator, Field

from gateway.feeds.plain import Calls, Told
from gateway.feeds.wire import Answer

MOST = 100
"""Rows of a page; Redmine gives no more."""


class Named(Told):
    """Something with a number and a name."""

    id: str
    name: str = ""


class RedmineField(Named):
    """A custom field of an issue; one with several values has a list."""

    value: Annotated[str, BeforeValidator(lambda said: "" if said is None or isinstance(said, list) else str(said))] = (
        ""
    )


class Detail(Told):
    """One change of a journal."""

    kind: str = Field(alias="property")
    """attr, cf, attachment, relation."""
    name: str = ""
    old: str | None = Field(default=None, alias="old_value")
    new: str | None = Field(default=None, alias="new_value")


class Journal(Told):
    """One line of an issue's history. Private ones are shown to who has the right alone."""

    id: int
    user: Named = Named(id="0")
    notes: str | None = None
    created_on: datetime
    private_notes: bool = False
    details: Sequence[Detail] = ()


class Attachment(Told):
    """A file of an issue."""

    id: str
    filename: str
    filesize: int = 0
    content_type: str | None = None


class Issue(Told):
    """An issue."""

    id: str
    project: Named
    tracker: Named
    status: Named
    priority: Named = Named(id="0")
    author: Named = Named(id="0")
    assigned_to: Named = Named(id="")
    subject: str = ""
    created_on: datetime
    updated_on: datetime
    custom_fields: Sequence[RedmineField] = ()
    journals: Sequence[Journal] = ()
    attachments: Sequence[Attachment] = ()

    def value(self, field: int) -> str | None:
        """Of a custom field; None when the issue has no such field, or we do not see it."""
        return next((each.value for each in self.custom_fields if each.id == str(field)), None)


class Issues(Told):
    """A page."""

    issues: Sequence[Issue]
    total_count: int = 0


class _Issue(Told):
    issue: Issue


class Membership(Told):
    """What we are in a project."""

    project: Named = Named(id="0")
    roles: Sequence[Named] = ()


class User(Told):
    """Ourselves."""

    id: str
    login: str = ""
    admin: bool = False
    memberships: Sequence[Membership] = ()


class _User(Told):
    user: User


class Role(Told):
    """Rights by Redmine's names."""

    permissions: Sequence[str] = ()


class _Role(Told):
    role: Role


class Project(Told):
    """A project."""

    id: str
    name: str = ""
    identifier: str = ""
    trackers: Sequence[Named] = ()
    enabled_modules: Sequence[Named] = ()


class _Project(Told):
    project: Project


class _Statuses(Told):
    issue_statuses: Sequence[Named]


class _Priorities(Told):
    issue_priorities: Sequence[Named]


class _Member(Told):
    user: Named | None = None
    group: Named | None = None


class _Members(Told):
    memberships: Sequence[_Member]


class _Token(Told):
    token: str


class _Upload(Told):
    upload: _Token


class Rest:
    """The calls. All raise Unsent, Unanswered and NotGood."""

    KEPT: ClassVar[float] = 300.0
    """Seconds for which lists of names are believed."""

    def __init__(self, calls: Calls, now: Any) -> None:
        """`now`: seconds, as of the clock."""
        self.calls = calls
        self._now = now
        self._lists: dict[str, tuple[float, Any]] = {}

    async def _kept(self, name: str, kind: type[Any], path: str) -> Any:
        when, found = self._lists.get(name, (0.0, None))
        if found is None or not 0 <= self._now() - when < self.KEPT:
            found = await self.calls.read(kind, "GET", path)
            self._lists[name] = (self._now(), found)
        return found

    async def me(self) -> User:
        """Ourselves. Redmine lets a wrong key read what is public, but not this."""
        return (await self.calls.read(_User, "GET", "/users/current.json?include=memberships")).user

    async def rights(self, project: str) -> frozenset[str] | None:
        """What we may do in the project of this number, asked now; None: everything."""
        me = await self.me()
        if me.admin:
            return None
        found = set[str]()
        for membership in me.memberships:
            if membership.project.id == project:
                for role in membership.roles:
                    found |= set((await self.calls.read(_Role, "GET", f"/roles/{role.id}.json")).role.permissions)
        return frozenset(found)

    async def issue(self, ref: str) -> Issue:
        """The issue with its history."""
        path = f"/issues/{quote(ref, safe='')}.json?include=journals,attachments"
        return (await self.calls.read(_Issue, "GET", path)).issue

    async def issues(self, query: Mapping[str, str]) -> Issues:
        """A page of issues, open and closed, by number."""
        asked = {"status_id": "*", "sort": "id", "limit": str(MOST), **query}
        return await self.calls.read(Issues, "GET", "/issues.json", query=asked)

    async def create(self, issue: Mapping[str, Any]) -> Issue:
        """Make one."""
        return (await self.calls.read(_Issue, "POST", "/issues.json", json={"issue": dict(issue)})).issue

    async def alter(self, ref: str, issue: Mapping[str, Any]) -> Answer:
        """Change one."""
        return await self.calls.ask("PUT", f"/issues/{quote(ref, safe='')}.json", json={"issue": dict(issue)})

    async def upload(self, filename: str, content: bytes) -> str:
        """Bring a file; its token. One that no issue takes is thrown away by Redmine itself."""
        answer = await self.calls.read(
            _Upload, "POST", "/uploads.json", query={"filename": filename}, body=content,
            headers={"Content-Type": "application/octet-stream"},
        )  # fmt: skip
        return answer.upload.token

    async def download(self, attachment: str, filename: str) -> bytes:
        """The bytes of a file."""
        path = f"/attachments/download/{quote(attachment, safe='')}/{quote(filename, safe='')}"
        return (await self.calls.ask("GET", path)).body

    async def project(self, identifier: str) -> Project:
        """By identifier or number."""
        path = f"/projects/{quote(identifier, safe='')}.json?include=trackers,enabled_modules"
        found: _Project = await self._kept(f"project {identifier}", _Project, path)
        return found.project

    async def statuses(self) -> Sequence[Named]:
        """All of them."""
        found: _Statuses = await self._kept("statuses", _Statuses, "/issue_statuses.json")
        return found.issue_statuses

    async def priorities(self) -> Sequence[Named]:
        """All of them."""
        found: _Priorities = await self._kept("priorities", _Priorities, "/enumerations/issue_priorities.json")
        return found.issue_priorities

    async def members(self, project: str) -> Sequence[Named]:
        """Who may have issues of this project (the first hundred)."""
        path = f"/projects/{quote(project, safe='')}/memberships.json?limit={MOST}"
        found: _Members = await self._kept(f"members {project}", _Members, path)
        return [who for each in found.memberships if (who := each.user or each.group) is not None]


def by_name(listed: Sequence[Named], said: str) -> Named | None:
    """The one of this name, letter case aside, or of this number."""
    wanted = said.casefold()
    named = next((each for each in listed if each.name.casefold() == wanted), None)
    return named or next((each for each in listed if each.id == said), None)
