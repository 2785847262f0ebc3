"""The one place where a change of a ticket becomes notices.

Two tables say who is told of what: `REQUESTER` here, `STAFF` in `gateway.updates_staff`. Nothing is rendered
here: a row holds a template's name and what a person wrote, the rest is read when it goes out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from sqlalchemy import Connection, select

from gateway import actors, next_channel, notices, rating_calls, survey_asking
from gateway.automatic import is_robots, within_caps
from gateway.context import Context
from gateway.feeds import queueing
from gateway.log import get_logger
from gateway.notices import STATUS, Change, Letter, Scene
from gateway.store import consents, incidents, outbox, people, schema, surveys, tickets
from gateway.updates_staff import STAFF, low_rating_mark
from normalizer.message import RATING_CALL
from router.assignment import Line

__all__ = ["REQUESTER", "Change", "compose", "low_rating_mark"]

Composer: TypeAlias = Callable[[Scene], Iterable[Letter]]
AFTER_THE_END = ("resolved", "closed", "survey", "survey_reminder", RATING_CALL)
"""Templates that are wrong in a ticket that is open again."""
MINUTES = timedelta(minutes=5)
"""A deadline that moves by less is not worth a message."""

log = get_logger(__name__)


def compose(conn: Connection, ctx: Context, change: Change, now: datetime) -> None:
    """Queue whatever notices and writes to a ticket store this change makes, in the caller's transaction.

    May be called twice (rule 6).
    """
    if change.event_id is not None:
        _compose(conn, ctx, change, now)
    queueing.ticket_changed(conn, ctx, change.ticket_id, now)


def _compose(conn: Connection, ctx: Context, change: Change, now: datetime) -> None:
    ticket = tickets.get(conn, change.ticket_id)
    scene = Scene(conn=conn, ctx=ctx, change=change, ticket=ticket, now=now)
    if change.kind == "reopened":
        surveys.close_all(conn, ticket.id, now)
        outbox.take_back(conn, ticket.id, AFTER_THE_END, now, why="the ticket was reopened")
    for letter in STAFF.get(change.kind, _nobody)(scene):
        notices.put(scene, letter)
    if not change.automatic_ok:
        return
    for written in REQUESTER.get(change.kind, _nobody)(scene):
        letter = next_channel.instead(scene, written)
        if letter is not written:
            _note_way(scene, written, letter)
        if letter.automatic and (reason := _why_silent(scene, letter)):
            _note_silence(scene, letter, reason)
            if isinstance(survey := letter.variables.get("survey"), int):
                surveys.take_back(conn, survey)  # who did not hear the question was not asked
            continue
        notices.put(scene, letter)
        if letter.template == "resolved":
            outbox.take_back(conn, ticket.id, ("works_again",), now, why="the ticket is resolved, and was told so")


def _nobody(_scene: Scene) -> Iterable[Letter]:
    return ()


def _why_silent(scene: Scene, letter: Letter) -> str:
    """Rule 9 for what goes to the requester by itself; "" when it may go out.

    What opens or reopens a ticket by mail was looked at, and counted, when it was filed.
    """
    ctx, ticket = scene.ctx, scene.ticket
    # The last word of who has just opened the ticket was looked at when it was filed.
    opened = scene.change.kind == "opened" and _counted_before(scene)
    tests = (
        ("no address", not letter.recipient),
        ("no account", ctx.settings.account(letter.channel, letter.account) is None),
        ("held", ticket.status == "held"),
        ("own address", ctx.settings.is_own(letter.recipient)),
        ("staff", ctx.settings.agent_by_address(letter.recipient) is not None),
        ("robot", not opened and is_robots(scene.conn, ticket.id)),
        (letter.barred, bool(letter.barred)),
        ("stopped", letter.kind in UNASKED and _stopped(scene, letter)),
    )
    found = next((reason for reason, holds in tests if holds), "")
    if found or _counted_before(scene):
        return found
    within = within_caps(scene.conn, ctx, letter.channel, letter.account, letter.recipient, scene.now)
    return "" if within else "cap"


UNASKED = ("status", "reminder", "survey")
"""Kinds of notices that end for who said stop. What answers their own words still comes: the acknowledgement, what
people write, and the result."""


def _stopped(scene: Scene, letter: Letter) -> bool:
    ours = notices.our_end(scene.ctx.settings, letter.channel, letter.account, letter.destination)
    return consents.stopped(scene.conn, letter.channel, ours, letter.recipient)


def _counted_before(scene: Scene) -> bool:
    return scene.change.kind in ("opened", "reopened", "revised") and not actors.is_person(scene.change.actor)


def _note_way(scene: Scene, written: Letter, letter: Letter) -> None:
    """Staff see that it goes another way than the ticket came, and why."""
    data = {
        "notice": letter.template,
        "reason": written.barred,
        "channel": written.channel,
        "next": {"channel": letter.channel, "recipient": letter.recipient},
    }
    key = f"redirected:{letter.key}"[:128]
    tickets.add_event(scene.conn, scene.ticket.id, at=scene.now, actor="gateway", kind="redirected", data=data, key=key)


def _note_silence(scene: Scene, letter: Letter, reason: str) -> None:
    data = {"notice": letter.template, "reason": reason}
    key = f"silent:{letter.key}"[:128]
    tickets.add_event(scene.conn, scene.ticket.id, at=scene.now, actor="gateway", kind="silent", data=data, key=key)


# -- the requester ------------------------------------------------------------------------


def _received(scene: Scene) -> tuple[str, dict[str, Any]]:
    """(template, variables) of an acknowledgement. What was promised stands in the row, so that a later time can be
    told; who writes about a known incident is promised no time, but word when it is over."""
    incident = incidents.open_of(scene.conn, scene.ticket.id)
    if incident is not None:
        return "known_incident", {"promised": None, "incident": incident.id}
    due = scene.ticket.reaction_due
    return "acknowledgement", {"promised": due.isoformat() if due else None}


def _acknowledgement(scene: Scene) -> Iterable[Letter]:
    """One per ticket."""
    if scene.ticket.status == "held":
        return
    template, variables = _received(scene)
    yield notices.to_requester(
        scene,
        "acknowledgement",
        template,
        f"ack:{scene.ticket.id}",
        variables=variables,
        due_at=scene.now + max(_pause(scene), _wait_for_number(scene)),
    )


def _pause(scene: Scene) -> timedelta:
    """How long a burst may last before it is answered."""
    rules = scene.ctx.settings.outbox
    usual = rules.acknowledgement_delay
    return usual if scene.ticket.conversation is None else max(usual, rules.chat_acknowledgement_delay)


def _wait_for_number(scene: Scene) -> timedelta:
    """How long it waits for the number that a store gives the ticket."""
    return queueing.acknowledgement_wait(scene.ctx.settings, scene.ticket.id, scene.ticket.contract, scene.conn)


def _new_requester(scene: Scene) -> Iterable[Letter]:
    template, variables = _received(scene)
    yield notices.to_requester(
        scene, "acknowledgement", template, scene.key("ack"), variables={**variables, "registered": True}
    )


def _status(scene: Scene, template: str, **variables: Any) -> Letter:
    """Status notices of one ticket within the debounce time are one, with the last state."""
    return notices.to_requester(
        scene,
        "status",
        template,
        scene.key(template),
        variables=variables,
        replaces=STATUS,
        due_at=scene.now + scene.ctx.settings.outbox.debounce,
    )


def _reply(scene: Scene) -> Iterable[Letter]:
    """What a person wrote, at once, to the requester and everybody who was in copy."""
    said = {"text": scene.change.data.get("text", ""), "message": scene.change.data.get("message")}
    words: dict[str, Any] = {"variables": said, "automatic": False, "repeatable": True}
    first = notices.to_requester(scene, "reply", "reply", scene.key("reply"), **words)
    if first.recipient:
        yield first
    if notices.is_overheard(scene.ticket):
        return  # everybody there has read it
    skipped = {people.normal(scene.ticket.requester), *scene.ctx.settings.own_addresses()}
    for person in tickets.participants(scene.conn, scene.ticket.id):
        if person.role != tickets.CC or person.address in skipped:
            continue
        if scene.ctx.settings.agent_by_address(person.address) is not None:
            continue
        known = notices.person(scene.conn, scene.ticket.channel, person.address)
        yield Letter(
            key=notices.numbered(scene, "reply", person.address),
            kind="reply",
            template="reply",
            recipient=person.address,
            recipient_name=person.name,
            channel=scene.ticket.channel,
            account=scene.ticket.account,
            language=notices.language_for(known, scene.ticket.language),
            **words,
        )


def _question(scene: Scene) -> Iterable[Letter]:
    data = scene.change.data
    said = {"text": data.get("text", ""), "message": data.get("message")}
    if data.get("reminder"):
        variables = {**said, "closes_at": data.get("closes_at")}
        yield notices.to_requester(scene, "reminder", "question_reminder", scene.key("reminder"), variables=variables)
        return
    yield notices.to_requester(
        scene, "question", "question", scene.key("question"), variables=said, automatic=False, repeatable=True
    )


def _resolved(scene: Scene) -> Iterable[Letter]:
    """At once, unless a status notice went out a moment ago; what was still waiting gives way to it."""
    last = notices.last_status_at(scene)
    pause = scene.ctx.settings.outbox.debounce
    due_at = scene.now if last is None else max(scene.now, last + pause)
    survey = survey_asking.with_resolved(scene.conn, scene.ctx, scene.ticket, scene.now)
    rating_calls.plan(scene.conn, scene.ctx, scene.ticket, scene.now)
    apart = survey is not None and survey_asking.private_place(scene) is not None
    yield notices.to_requester(
        scene,
        "resolved",
        "resolved",
        scene.key("resolved"),
        variables={"survey": survey} if survey is not None and not apart else {},
        replaces=STATUS,
        due_at=due_at,
    )
    if survey is not None and apart:
        yield replace(survey_asking.letter(scene, "survey", survey), due_at=due_at)


def _closed(scene: Scene) -> Iterable[Letter]:
    """Not after "resolved": that notice said all there is to say."""
    before, _ = scene.change.data.get("status", ["", ""])
    if before not in ("resolved", "held"):
        yield _status(scene, "closed")


def _reopened(scene: Scene) -> Iterable[Letter]:
    yield _status(scene, "reopened")


def _in_work(scene: Scene) -> Iterable[Letter]:
    """Staff took it up; letting a held ticket go is the acknowledgement that it did not get."""
    before, after = scene.change.data.get("status", ["", ""])
    if after != "open":
        return
    if before == "held":
        young = scene.now - scene.ticket.opened_at <= scene.ctx.settings.tickets.automatic_age
        yield from _acknowledgement(scene) if young else ()
    elif before == "new" and not _word_waits(scene):
        yield _status(scene, "in_work")


HANDED: Mapping[Line, str] = {"L2": "handed_engineer", "L3": "handed_developers", "L4": "handed_provider"}
"""Line -> template. Nobody hears of the first line: that is where every ticket begins."""
AT_WORK = ("in_work", *HANDED.values())
"""Templates that say no more than that somebody is at work."""


def _line(scene: Scene) -> Iterable[Letter]:
    """Handed on to a specialist; handing back is nobody's business but ours."""
    line, before = scene.change.data.get("line", ""), scene.change.data.get("before", "")
    if line > before and line in HANDED and scene.ticket.status not in ("resolved", "closed"):
        yield from () if _word_waits(scene) else (_status(scene, HANDED[line]),)


def _works_again(scene: Scene) -> Iterable[Letter]:
    """The word that the acknowledgement promised. No later status takes its place, or the promise would be broken;
    it takes the place of those that only say that somebody is at work."""
    if scene.ticket.status in ("resolved", "closed"):
        return
    outbox.take_back(scene.conn, scene.ticket.id, AT_WORK, scene.now, why="the incident is over")
    yield notices.to_requester(
        scene,
        "status",
        "works_again",
        f"over:{scene.change.data.get('incident')}:{scene.ticket.id}",
        variables={"incident": scene.change.data.get("incident")},
        due_at=scene.now + scene.ctx.settings.outbox.debounce,
    )


def _word_waits(scene: Scene) -> bool:
    """That an incident is over is about to be told: "somebody is at work" would be a second message of that minute."""
    wanted = select(schema.outbox.c.id).where(
        schema.outbox.c.ticket_id == scene.ticket.id,
        schema.outbox.c.template == "works_again",
        schema.outbox.c.state == "waiting",
    )
    return scene.conn.execute(wanted.limit(1)).one_or_none() is not None


def _later(scene: Scene) -> Iterable[Letter]:
    """The time of reply that we told is later now. An earlier one is our own affair."""
    due, promised = scene.ticket.reaction_due, _promised(scene)
    if promised is None or due is None or scene.ticket.reaction_met_at is not None:
        return
    if due >= promised + MINUTES:
        yield _status(scene, "later", promised=due.isoformat())


def _missed(scene: Scene) -> Iterable[Letter]:
    """The time of reply that we told has passed."""
    if scene.change.data.get("clock") == "reaction" and _promised(scene) is not None:
        yield _status(scene, "later", promised=None)


def _promised(scene: Scene) -> datetime | None:
    """The time of reply that the requester was last told; None: none."""
    rows = scene.conn.scalars(
        select(schema.outbox.c.variables)
        .where(
            schema.outbox.c.ticket_id == scene.ticket.id,
            schema.outbox.c.recipient == scene.ticket.requester,
            schema.outbox.c.template.in_(("acknowledgement", "later")),
            schema.outbox.c.state.not_in(notices.GONE),
        )
        .order_by(schema.outbox.c.id.desc())
    )
    told = next((variables["promised"] for variables in rows if variables.get("promised")), None)
    return datetime.fromisoformat(told) if told else None


def _visit(scene: Scene) -> Iterable[Letter]:
    # After the end it would take the place of the result.
    if scene.change.data.get("agreed") and scene.ticket.status not in ("resolved", "closed"):
        yield _status(scene, "visit")


def _class(scene: Scene) -> Iterable[Letter]:
    yield from _later(scene)


def _file_missing(scene: Scene) -> Iterable[Letter]:
    """A file of theirs will not come. Several of one message are one notice."""
    data = scene.change.data
    template = "bot_too_big" if data.get("too_big") else "bot_file_failed"
    variables: dict[str, Any] = {"answers": data.get("answers", "")}
    if data.get("too_big"):
        variables["limit"] = scene.ctx.settings.media.limit // 2**20
    key = f"{template}:{data.get('message')}"
    yield notices.to_requester(scene, "status", template, key, variables=variables)


REQUESTER: Mapping[str, Composer] = {
    "opened": _acknowledgement,
    "reply": _reply,
    "question": _question,
    "resolved": _resolved,
    "closed": _closed,
    "reopened": _reopened,
    "status": _in_work,
    "line": _line,
    "class": _class,
    "breach": _missed,
    "visit": _visit,
    "requester": _new_requester,
    "incident_over": _works_again,
    "media": _file_missing,
}
"""Kind of change -> what the requester is told. Kinds that are absent are not their business."""
