"""What texts may say about a ticket: the values that templates are filled in with, in the reader's words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, select

from channels.contract import AccountSettings
from gateway import both_numbers, identities, notices, survey_asking, wording
from gateway.context import Context
from gateway.store import chats, incidents, outbox, schema, surveys
from gateway.text_names import BOT_TEXTS, CODE_TEXTS, TO_STAFF, WORD_TEXTS
from router.hours import is_open, next_opening
from router.policy import Calendar

STAFF_TEMPLATES = frozenset(TO_STAFF)
MOST_PIECES = 50
"""Messages of a chat that are looked at for an excerpt."""
EXCERPT = 4000
"""Characters of a customer's words that staff get by mail; the rest is in the ticket."""
_PREFIX = re.compile(r"\A(?:\s*(?:re|aw|sv|fwd?|отв|отн|ответ|ha|вiдп|відп|пересл)\s*(?:\[\d{1,3}\])?\s*[:：])+", re.I)
_TAG = re.compile(r"\[#[A-Za-z0-9-]{1,16}\]")


def of_row(
    conn: Connection,
    ctx: Context,
    row: outbox.Row,
    ticket: Row[Any] | None,
    account: AccountSettings | None,
    now: datetime,
) -> dict[str, Any]:
    """The values for one notice; which names there are depends on the template's reader only."""
    values: dict[str, Any] = {"desk": desk_name(ctx, account)}
    said = ({**BOT_TEXTS, **CODE_TEXTS, **WORD_TEXTS}).get(row.template)
    if said is not None:
        return dict.fromkeys(said, "") | values | _for_bot(conn, ctx, row, ticket, said)
    if ticket is None:
        return values | _about_us(row, account, now)
    values |= {"number": both_numbers.shown(conn, ctx, ticket), "subject": plain_subject(ticket.subject)}
    if row.template in STAFF_TEMPLATES:
        return values | _for_staff(conn, ctx, row, ticket, account, now)
    return values | _for_people(conn, ctx, row, ticket, account, now)


def _for_bot(
    conn: Connection, ctx: Context, row: outbox.Row, ticket: Row[Any] | None, said: Sequence[str]
) -> dict[str, Any]:
    """What the row gives, and what of the rest a text of the bot may say of its ticket and the desk."""
    if row.template in CODE_TEXTS:
        return identities.code_values(ctx, row.variables)
    known: dict[str, Any] = {"phone": ctx.settings.desk.phone}
    if ticket is not None:
        known |= {
            "number": both_numbers.shown(conn, ctx, ticket),
            "result": (ticket.result or "") if _in_private(row, ticket) else "",
        }
    return {name: value for name, value in known.items() if name in said} | dict(row.variables)


def desk_name(ctx: Context, account: AccountSettings | None) -> str:
    """The desk as the reader knows it: the account's brand, else the desk's name."""
    return (account.brand if account else "") or ctx.settings.desk.name


def plain_subject(subject: str) -> str:
    """The subject without "Re:" and number tags, on one line."""
    bare = " ".join(_TAG.sub(" ", subject[:1000]).split())
    return _PREFIX.sub("", bare).strip()


# -- the requester ------------------------------------------------------------------------


def _for_people(
    conn: Connection,
    ctx: Context,
    row: outbox.Row,
    ticket: Row[Any],
    account: AccountSettings | None,
    now: datetime,
) -> dict[str, Any]:
    contract = ctx.policy.contracts.get(ticket.contract or "")
    given = row.variables
    due, due_short = reply_due(ctx, ticket, account, row.language, now)
    visit, visit_short = visit_window(ctx, ticket, account, row.language, now)
    return {
        # People in copy and in a group get what was written, but the ticket is the requester's to look at.
        "url": view_url(ctx, ticket, ticket.requester) if is_requesters(row, ticket) and not row.overheard else "",
        "phone": ctx.settings.desk.phone,
        "due": due,
        "due_short": due_short,
        "private": _in_private(row, ticket),
        **_hours(ctx, ticket, account, row.language, now),
        "emergency": contract.emergency_phone if contract else "",
        "registered": bool(given.get("registered") or ticket.registered_by),
        "text": given.get("text", ""),
        "author": _author(conn, given.get("message")),
        "result": ticket.result or "",
        "date": _closing_day(ctx, ticket, account, given.get("closes_at"), row.language, now),
        "visit": visit,
        "visit_short": visit_short,
        "survey": _survey(conn, ctx, given.get("survey"), now),
        **_incident(conn, given.get("incident"), row.language),
    }


def _in_private(row: outbox.Row, ticket: Row[Any]) -> bool:
    """It was asked in private, and goes nowhere where others are."""
    return bool((ticket.conversation or {}).get("private", True)) and not row.overheard


def is_requesters(row: outbox.Row, ticket: Row[Any]) -> bool:
    """It goes to the requester, be it by another channel than the ticket's."""
    return row.recipient == ticket.requester or "instead_of" in row.variables


NEAREST: Mapping[str, tuple[str, ...]] = {"ru": ("ru", "uk", "en"), "uk": ("uk", "ru", "en"), "en": ("en", "uk", "ru")}
"""Language -> in which a text is looked for, when staff wrote it in some languages only."""


def _incident(conn: Connection, incident_id: object, language: str) -> dict[str, str]:
    """What is broken, and what was done about it, to stand inside a sentence."""
    row = incidents.get(conn, incident_id) if isinstance(incident_id, int) else None
    return {
        "incident": _said_in(row.texts, language).rstrip(" .!") if row is not None else "",
        "outcome": _said_in(row.outcome, language) if row is not None else "",
    }


def _said_in(texts: Mapping[str, str], language: str) -> str:
    found = next((texts[near] for near in NEAREST.get(language, NEAREST["en"]) if texts.get(near)), "")
    return " ".join(found.split())


def view_url(ctx: Context, ticket: Row[Any], recipient: str) -> str:
    """The link of this person to the ticket."""
    return f"{ctx.settings.http.public_url}/t/{notices.view_token(ctx, ticket, recipient)}"


def zones(ctx: Context, ticket: Row[Any], account: AccountSettings | None) -> tuple[str, str]:
    """(the zone that times are shown in, the reader's): the contract's, else the account's; and the account's."""
    reader = account.timezone if account else "UTC"
    calendar = ctx.policy.calendar_of(ticket.contract) if ticket.contract else None
    return (calendar.zone if calendar else reader), reader


def calendar_of(ctx: Context, ticket: Row[Any]) -> Calendar | None:
    """The calendar that the ticket's reply is promised in; None: round the clock."""
    contract = ctx.policy.contracts.get(ticket.contract or "")
    if contract is not None and ticket.class_ is not None:
        own = contract.term(ticket.class_).calendar
        if own is not None and own in ctx.policy.calendars:
            return ctx.policy.calendars[own]
    return ctx.policy.calendar_of(ticket.contract)


def reply_due(
    ctx: Context, ticket: Row[Any], account: AccountSettings | None, language: str, now: datetime
) -> tuple[str, str]:
    """When we promised to reply, in words and in fewer; "" when nothing is promised, it is met, or it is too late."""
    due = ticket.reaction_due
    if due is None or ticket.reaction_met_at is not None or due <= now:
        return "", ""
    zone, reader = zones(ctx, ticket, account)
    return wording.due(language, due, now, zone, reader), wording.due_short(language, due, now, zone)


def visit_window(
    ctx: Context, ticket: Row[Any], account: AccountSettings | None, language: str, now: datetime
) -> tuple[str, str]:
    """The window agreed for a visit, in words and in fewer, in the zone of the office where it is."""
    agreed = (ticket.visit or {}).get("agreed")
    if not agreed:
        return "", ""
    zone, reader = zones(ctx, ticket, account)
    contract = ctx.policy.contracts.get(ticket.contract or "")
    wanted = (ticket.visit or {}).get("office")
    office = next((place for place in (contract.offices if contract else ()) if place.key == wanted), None)
    start, end = (datetime.fromisoformat(at) for at in agreed)
    shown = office.zone if office and office.zone else zone
    return wording.window(language, start, end, now, shown, reader), wording.window_short(language, start, end, shown)


def _hours(
    ctx: Context, ticket: Row[Any], account: AccountSettings | None, language: str, now: datetime
) -> dict[str, Any]:
    """Whether the office is closed, and its hours then. Who will be answered before it opens is not told of a door
    that is shut: the strictest plausible class, which the promise is made by, may run round the clock."""
    calendar = calendar_of(ctx, ticket)
    if calendar is None or is_open(calendar, now):
        return {"closed": False, "hours": ""}
    due = None if ticket.reaction_met_at is not None else ticket.reaction_due
    opens = next_opening(calendar, now)
    if due is not None and due > now and (opens is None or due < opens):
        return {"closed": False, "hours": ""}
    hours = wording.hours(language, calendar)
    if hours and (due is None or due <= now):  # else the time of reply names the zone
        hours += wording.zone_name(language, now, calendar.zone, account.timezone if account else "UTC")
    return {"closed": True, "hours": hours}


def _author(conn: Connection, message_id: object) -> str:
    if not isinstance(message_id, int):
        return ""
    name = conn.scalar(select(schema.message.c.author_name).where(schema.message.c.id == message_id))
    return name or ""


def _closing_day(
    ctx: Context, ticket: Row[Any], account: AccountSettings | None, at: object, language: str, now: datetime
) -> str:
    if not isinstance(at, str):
        return ""
    return wording.day(language, datetime.fromisoformat(at), now, zones(ctx, ticket, account)[0])


def _survey(conn: Connection, ctx: Context, survey_id: object, now: datetime) -> dict[str, Any] | None:
    if not isinstance(survey_id, int):
        return None
    survey = surveys.get(conn, survey_id)
    if survey.expires_at <= now:
        return None
    base = f"{ctx.settings.http.public_url}/rate/{survey_asking.token_of(ctx, survey.nonce)}"
    return {"urls": {score: f"{base}?score={score}" for score in range(1, 6)}, "stop": f"{base}?stop=1"}


# -- staff --------------------------------------------------------------------------------


def _for_staff(
    conn: Connection,
    ctx: Context,
    row: outbox.Row,
    ticket: Row[Any],
    account: AccountSettings | None,
    now: datetime,
) -> dict[str, Any]:
    given = row.variables
    contract = ctx.policy.contracts.get(ticket.contract or "")
    name = conn.scalar(
        select(schema.participant.c.name).where(
            schema.participant.c.ticket_id == ticket.id, schema.participant.c.address == ticket.requester
        )
    )
    own_zones = zones(ctx, ticket, account)

    def deadline(at: datetime | None) -> str:
        return wording.due(row.language, at, now, *own_zones) if at is not None and at > now else ""

    rated = surveys.current(conn, given["survey"]) if isinstance(given.get("survey"), int) else None
    due = given.get("due")
    return {
        "text": _said(conn, ticket, given),
        "requester": f"{name} <{ticket.requester}>" if name else ticket.requester or "—",
        "status": ticket.status,
        "line": ticket.line,
        "class_": ticket.class_,
        "proposed_class": ticket.proposed_class,
        "onsite": bool(ticket.onsite),
        "contract": (contract.name or contract.key) if contract else "",
        "reaction": deadline(ticket.reaction_due) if ticket.reaction_met_at is None else "",
        "resolution": deadline(ticket.resolution_due),
        "before": given.get("before") or "",
        "reason": given.get("reason") or "",
        "verified": given.get("verified", True),
        "held": ticket.status == "held",
        "clock": given.get("clock") or "",
        "deadline": wording.moment(row.language, datetime.fromisoformat(due), now, own_zones[0]) if due else "",
        "score": rated.score if rated else None,
        "comment": rated.comment if rated else "",
        "recipient": given.get("recipient") or "",
        "detail": given.get("detail") or given.get("diagnostic") or given.get("status") or "",
        "kind": given.get("kind") or "",
        "note_address": _note_address(row, account),
    }


def _said(conn: Connection, ticket: Row[Any], given: Mapping[str, Any]) -> str:
    """The messages that it is about; else the first one of the ticket, or of a chat all: people write in pieces."""
    message = schema.message
    columns = (message.c.visible_text, message.c.text, message.c.current, message.c.external_key)
    wanted: Select[Any] = select(*columns).where(message.c.ticket_id == ticket.id)
    named = given.get("messages") or ([given["message"]] if isinstance(given.get("message"), int) else [])
    if named:
        wanted = wanted.where(message.c.id.in_(named))
    else:
        wanted = wanted.where(message.c.current, message.c.direction == "in", message.c.verified)
        wanted = wanted.limit(1 if ticket.conversation is None else MOST_PIECES)
    found = [chats.present(conn, row) for row in conn.execute(wanted.order_by(message.c.id))]
    text = "\n\n".join(said for row in found if (said := row.visible_text.strip() or row.text.strip()))
    return text if len(text) <= EXCERPT else f"{text[:EXCERPT].rstrip()} […]"


def _note_address(row: outbox.Row, account: AccountSettings | None) -> str:
    """Where a note for staff only goes: the reply address with the tag for notes; "" for what nobody answers."""
    endpoints = account.endpoints() if account else ()
    if not row.reply_token or not endpoints or "@" not in endpoints[0]:
        return ""
    local, _, domain = endpoints[0].rpartition("@")
    return f"{local}+note+{row.reply_token}@{domain}"


# -- operators ----------------------------------------------------------------------------


def _about_us(row: outbox.Row, account: AccountSettings | None, now: datetime) -> dict[str, Any]:
    given = row.variables
    since = given.get("since")
    zone = account.timezone if account else "UTC"
    return {
        "alert": given.get("alert", ""),
        "state": given.get("state", ""),
        "detail": given.get("detail", ""),
        "since": wording.moment(row.language, datetime.fromisoformat(since), now, zone) if since else "",
    }
