"""What `gateway check --online` says of a Redmine. Writes nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from gateway.feeds.contract import Finding
from gateway.feeds.plain import NotGood
from gateway.feeds.redmine_rest import Issue, Project, Rest, User, by_name
from gateway.feeds.redmine_settings import RedmineSettings
from gateway.feeds.wire import Unanswered, Unsent

RIGHTS = ("view_issues", "add_issues", "edit_issues", "add_issue_notes", "view_private_notes", "set_notes_private")


class Checking:
    """The findings, one after the other."""

    def __init__(self, settings: RedmineSettings, rest: Rest) -> None:
        self._settings, self._rest, self._maps = settings, rest, settings.statuses()

    async def findings(self) -> Sequence[Finding]:
        """All of them; the first that makes the rest senseless is the last."""
        try:
            me = await self._rest.me()
        except (Unsent, Unanswered) as error:
            return [_bad(f"connection: {error}", "url, certificate, and whether Redmine runs")]
        except NotGood as error:
            return [_refused(error)]
        found = [_good(f"connection and key: {self._rest.calls.host}, user {me.login or me.id}")]
        try:
            async for each in self._all(me):
                found.append(each)  # one by one: what was found stands when the next call fails
        except (Unsent, Unanswered, NotGood) as error:
            found.append(_bad(f"the check broke off: {error}", "try again"))
        return found

    async def _all(self, me: User) -> AsyncIterator[Finding]:
        if me.admin:
            mend = "a user with a role in these projects alone; then a key that is lost opens no more"
            yield Finding(good=False, warning=True, what="our user is an administrator", mend=mend)
        for identifier in self._projects():
            async for each in self._project(identifier):
                yield each
        for each in await self._words():
            yield each

    def _projects(self) -> Sequence[str]:
        mapped = list[str]()
        for ours, place in self._settings.fields.places().items():
            if place == "project":
                words = {"class": self._maps.class_, "line": self._maps.line, "contract": self._maps.contract}[ours]
                mapped += [said[0] for said in words.values()]
        return list(dict.fromkeys((self._settings.project, *mapped)))

    async def _project(self, identifier: str) -> AsyncIterator[Finding]:
        try:
            project = await self._rest.project(identifier)
        except NotGood:
            yield _bad(f"project {identifier}: there is none, or our user is no member", "the identifier, a membership")
            return
        yield _good(f"project {identifier}")
        if project.enabled_modules and "issue_tracking" not in {each.name for each in project.enabled_modules}:
            yield _bad(f"project {identifier}: issue tracking is off", "Settings > Project > Modules")
        if self._settings.tracker:
            yield _one(f"project {identifier}: tracker {self._settings.tracker}",
                       by_name(project.trackers, self._settings.tracker) is not None)  # fmt: skip
        rights = await self._rest.rights(project.id)
        for right in RIGHTS:
            yield _one(f"project {identifier}: right {right}", rights is None or right in rights)
        async for each in self._fields(project, identifier):
            yield each
        members = await self._rest.members(project.id)
        for words in self._settings.map.assignee.values():
            yield _one(
                f"project {identifier}: member {words[0]} of map.assignee", by_name(members, words[0]) is not None
            )

    async def _fields(self, project: Project, identifier: str) -> AsyncIterator[Finding]:
        page = await self._rest.issues({"project_id": project.id, "sort": "id:desc", "limit": "1"})
        if not page.issues:
            what = f"project {identifier}: no issue yet to see its custom fields by"
            yield Finding(good=False, warning=True, what=what, mend="gateway feeds try makes one, then check again")
            return
        newest, fields = page.issues[0], self._settings.fields
        wanted = {
            str(fields.key): "key",
            str(fields.message): "message",
            **{each: "constant" for each in self._settings.constants},
        }
        wanted |= {
            place.removeprefix("field "): ours for ours, place in fields.places().items() if place.startswith("field ")
        }
        for number, ours in wanted.items():
            yield self._field(newest, identifier, number, ours)
        none = await self._rest.issues(
            {f"cf_{fields.key}": "no-issue-has-this", "project_id": project.id, "limit": "1"}
        )
        what = f"custom field {fields.key} (key) can be searched for"
        yield _good(what) if not none.total_count else _bad(f"{what}: no", 'tick "Used as a filter" in the field')

    def _field(self, newest: Issue, identifier: str, number: str, ours: str) -> Finding:
        said = f"project {identifier}: custom field {number} ({ours})"
        if newest.value(int(number)) is None:
            return _bad(f"{said} is not seen in issue {newest.id}", "give it to the tracker and the project; visible to"
                        " our role")  # fmt: skip
        return _good(said)

    async def _words(self) -> list[Finding]:
        statuses = await self._rest.statuses()
        found = [
            _one(f"status {words[0]} of map.status", by_name(statuses, words[0]) is not None)
            for words in self._maps.status.values()
        ]
        if "priority" in self._settings.fields.places().values():
            priorities = await self._rest.priorities()
            ours = next(ours for ours, place in self._settings.fields.places().items() if place == "priority")
            mapped = {"class": self._maps.class_, "line": self._maps.line, "contract": self._maps.contract}[ours]
            found += [_one(f"priority {said[0]} of map.{ours}", by_name(priorities, said[0]) is not None)
                      for said in mapped.values()]  # fmt: skip
        return found


def _good(what: str) -> Finding:
    return Finding(good=True, what=what)


def _bad(what: str, mend: str) -> Finding:
    return Finding(good=False, what=what, mend=mend)


def _one(what: str, there: bool) -> Finding:
    return _good(what) if there else _bad(f"{what} is missing", "docs/feeds/redmine.md")


def _refused(error: NotGood) -> Finding:
    match error.answer.status:
        case 401:
            return _bad(f"credentials: {error}", "the API access key of our user (My account)")
        case 403:
            return _bad(f"credentials: {error}", "Administration > Settings > API: enable REST web service")
        case _:
            return _bad(f"connection: {error}", "url, and Redmine's log")
