"""What staff are told: the recipients of lines, assignees, watchers.

An answer by mail to a notice that carries a customer's words goes to the customer; alerts are not answerable,
so that "I'll look" under a warning reaches nobody by mistake.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import Row, Select, select

from gateway import notices
from gateway.actors import is_person
from gateway.notices import LANGUAGES, Letter, Scene
from gateway.store import people, schema
from normalizer.message import Json
from router.assignment import Line

MAIL = "mail"
LINES: tuple[Line, ...] = ("L1", "L2", "L3", "L4")
Composer: TypeAlias = Callable[[Scene], Iterable[Letter]]


def low_rating_mark(survey_id: int) -> str:
    """What alerts about one survey replace each other by: a comment that follows the vote is told with it."""
    return f"rating:{survey_id}"


# -- whom ---------------------------------------------------------------------------------


def _line(scene: Scene, line: str) -> Sequence[str]:
    """The recipients of a line; where nobody is named, those of the nearest line below, so that somebody hears."""
    lines = scene.ctx.settings.lines
    below = [name for name in reversed(LINES) if name <= line]
    return next((lines[name].recipients for name in below if name in lines and lines[name].recipients), ())


def _assignee(scene: Scene) -> Sequence[str]:
    agent = scene.ctx.settings.agents.get(scene.ticket.assignee or "")
    return agent.addresses[:1] if agent is not None else ()


def _owner(scene: Scene) -> Sequence[str]:
    """Whoever works on it: the assignee, else the line."""
    return _assignee(scene) or _line(scene, scene.ticket.line)


def _watchers(scene: Scene) -> Sequence[str]:
    return scene.ctx.settings.watchers


def _letters(
    scene: Scene, template: str, recipients: Iterable[str], *, answerable: bool = False, **more: Any
) -> Iterable[Letter]:
    """One notice to each, but not to the one who made the change."""
    way = _way_out(scene)
    if way is None:
        return
    actor = scene.ctx.settings.agents.get(scene.change.actor.removeprefix("agent:"))
    own = {people.normal(address) for address in actor.addresses} if actor is not None else set()
    own |= scene.ctx.settings.own_addresses()
    for recipient in dict.fromkeys(map(people.normal, recipients)):
        if recipient in own:
            continue
        agent = scene.ctx.settings.agent_by_address(recipient)
        yield Letter(
            key=notices.numbered(scene, template, recipient),
            kind=template,
            template=template,
            recipient=recipient,
            recipient_name=scene.ctx.settings.agents[agent].name if agent else "",
            channel=MAIL,
            account=way,
            language=_language(scene, agent, way),
            answerable=answerable and agent is not None,
            **more,
        )


def _way_out(scene: Scene) -> str | None:
    """The mail account to write from: the ticket's own, else any that sends."""
    sending = [name for name, account in scene.ctx.settings.accounts(MAIL).items() if account.outbound != "off"]
    if scene.ticket.channel == MAIL and scene.ticket.account in sending:
        return str(scene.ticket.account)
    return next(iter(sending), None)


def _language(scene: Scene, agent: str | None, account: str) -> str:
    spoken = scene.ctx.settings.agents[agent].languages if agent else ()
    usual = scene.ctx.settings.accounts(MAIL)[account].language
    return next((language for language in spoken if language in LANGUAGES), usual)


# -- what ---------------------------------------------------------------------------------


def _severe(scene: Scene, class_: Any) -> bool:
    return class_ is not None and class_ in scene.ctx.settings.tickets.severe_classes


def _opened(scene: Scene) -> Iterable[Letter]:
    ticket = scene.ticket
    for letter in _letters(scene, "staff_new", _line(scene, ticket.line), answerable=True):
        # What is said until it goes out is told with it.
        yield letter if ticket.conversation is None else replace(letter, due_at=_end_of_burst(scene))
    if _severe(scene, ticket.class_) or (ticket.class_ is None and _severe(scene, ticket.proposed_class)):
        told = set(map(people.normal, _line(scene, ticket.line)))
        yield from _letters(scene, "staff_severe", [who for who in _watchers(scene) if people.normal(who) not in told])


def _escalated(scene: Scene) -> Iterable[Letter]:
    variables = {"before": scene.change.data.get("before"), "reason": scene.change.data.get("reason", "")}
    line = scene.change.data.get("line", scene.ticket.line)
    yield from _letters(scene, "staff_escalated", _line(scene, line), answerable=True, variables=variables)


def _class(scene: Scene) -> Iterable[Letter]:
    data = scene.change.data
    if _severe(scene, data.get("class")) and not _severe(scene, data.get("before")):
        yield from _letters(scene, "staff_severe", _watchers(scene))


def _message(scene: Scene) -> Iterable[Letter]:
    data = scene.change.data
    if data.get("rated") or is_person(scene.change.actor):
        return
    # 0: reopened by a button, without a word.
    variables: dict[str, Json] = {"message": data.get("message", 0), "verified": data.get("verified", True)}
    letters = _letters(scene, "staff_message", _owner(scene), answerable=True, variables=variables)
    if scene.ticket.conversation is None or not variables["message"]:
        yield from letters
        return
    for letter in letters:
        yield from _with_its_burst(scene, letter)


def _end_of_burst(scene: Scene) -> datetime:
    return scene.now + scene.ctx.settings.outbox.chat_acknowledgement_delay


def _waiting(scene: Scene, recipient: str, template: str) -> Sequence[Row[Any]]:
    """Notices to this person about this ticket that nobody has begun to send."""
    outbox = schema.outbox
    wanted: Select[Any] = select(outbox.c.variables, outbox.c.replaces).where(
        outbox.c.ticket_id == scene.ticket.id,
        outbox.c.recipient == recipient,
        outbox.c.template == template,
        outbox.c.state == "waiting",
    )
    return scene.conn.execute(wanted.order_by(outbox.c.id)).all()


def _with_its_burst(scene: Scene, letter: Letter) -> Iterable[Letter]:
    """What is written in pieces is told at once: with the word of the new ticket, else with the pieces that wait."""
    verified = bool(letter.variables["verified"])
    if verified and _waiting(scene, letter.recipient, "staff_new"):
        return
    mark = f"said:{verified:d}:{scene.ctx.keyring.token('recipient', letter.recipient)[:16]}"
    before = [row for row in _waiting(scene, letter.recipient, letter.template) if row.replaces == mark]
    messages = [*(before[-1].variables["messages"] if before else ()), letter.variables["message"]]
    variables = {**letter.variables, "messages": messages}
    yield replace(letter, variables=variables, replaces=mark, due_at=_end_of_burst(scene))


def _edited(scene: Scene) -> Iterable[Letter]:
    """Somebody wrote it differently. However often they do within the debounce time, staff hear of it once."""
    mark, due_at = f"edited:{scene.change.data.get('shown', 0)}", scene.now + scene.ctx.settings.outbox.debounce
    variables: dict[str, Json] = {name: scene.change.data.get(name, True) for name in ("message", "verified")}
    for letter in _letters(scene, "staff_message", _owner(scene), answerable=True, variables=variables):
        if _will_be_told(scene, letter.recipient):
            continue
        own = scene.ctx.keyring.token("recipient", letter.recipient)[:16]
        yield replace(letter, replaces=f"{mark}:{own}", due_at=due_at)


def _will_be_told(scene: Scene, recipient: str) -> bool:
    """A notice that waits will say what the edited message says by then."""
    readings = {scene.change.data.get(name) for name in ("message", "before", "shown")}
    waiting = _waiting(scene, recipient, "staff_message")
    pieces = {message for row in waiting for message in row.variables.get("messages", ())}
    return bool(readings & pieces or _waiting(scene, recipient, "staff_new"))


def _assigned(scene: Scene) -> Iterable[Letter]:
    if scene.change.data.get("agent"):
        yield from _letters(scene, "staff_assigned", _assignee(scene), answerable=True)


def _deadline(template: str) -> Composer:
    def compose(scene: Scene) -> Iterable[Letter]:
        data = scene.change.data
        variables = {"clock": data.get("clock"), "due": data.get("due")}
        who = (*_assignee(scene), *_line(scene, scene.ticket.line), *_watchers(scene))
        yield from _letters(scene, template, who, variables=variables)

    return compose


def _rating(scene: Scene) -> Iterable[Letter]:
    """A low score; what is said about it within the debounce time is told with it."""
    data = scene.change.data
    if data.get("score", 5) > scene.ctx.surveys.low_score:
        return
    survey_id = int(data["survey"])
    mark, due_at = low_rating_mark(survey_id), scene.now + scene.ctx.settings.outbox.debounce
    for letter in _letters(scene, "staff_rating", (*_watchers(scene), *_owner(scene)), variables={"survey": survey_id}):
        # One mark for each recipient, or the second would take the place of the first.
        own = scene.ctx.keyring.token("recipient", letter.recipient)[:16]
        yield replace(letter, replaces=f"{mark}:{own}", due_at=due_at)


def _unreadable(scene: Scene) -> Iterable[Letter]:
    variables = {"reason": scene.change.data.get("reason", "")}
    yield from _letters(
        scene, "staff_unreadable", _line(scene, "L1") or scene.ctx.settings.operator_addresses(), variables=variables
    )


def _undelivered(scene: Scene) -> Iterable[Letter]:
    """Something did not arrive. The one it did not reach is not told by the same way."""
    data = scene.change.data
    failed = people.normal(str(data.get("recipient", "")))
    variables = {name: data.get(name) for name in ("recipient", "detail", "diagnostic", "status", "notice")}
    variables["kind"] = _kind_of(scene)
    who = [recipient for recipient in _owner(scene) if people.normal(recipient) != failed]
    for letter in _letters(scene, "staff_undelivered", who, variables=variables):
        yield replace(letter, kind="undelivered")


def _kind_of(scene: Scene) -> str:
    """What kind of notice it was that did not arrive."""
    found = scene.change.data.get("outbox") or scene.change.data.get("notice")
    if not isinstance(found, int):
        return ""
    return scene.conn.scalar(select(schema.outbox.c.kind).where(schema.outbox.c.id == found)) or ""


STAFF: Mapping[str, Composer] = {
    "opened": _opened,
    "line": _escalated,
    "class": _class,
    "message": _message,
    "reopened": _message,
    "revised": _message,
    "edited": _edited,
    "assigned": _assigned,
    "warning": _deadline("staff_warning"),
    "breach": _deadline("staff_breach"),
    "rating": _rating,
    "unreadable": _unreadable,
    "undelivered": _undelivered,
}
"""Kind of change -> which of staff are told what."""
