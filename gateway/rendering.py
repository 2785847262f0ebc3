"""From a claimed row of the outbox to the notice that goes out, with the ticket's state of this moment.

Nothing here changes anything: it runs in a short read. A text that fails is replaced by a plain one with the
same words of people in it; what staff should know of that is kept until the notice is settled.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, or_, select
from sqlalchemy import Row as Found

from channels.contract import AccountSettings
from gateway import buttons, facts, rating_calls, windows
from gateway.context import Context
from gateway.log import get_logger
from gateway.notices import domain_of, is_overheard
from gateway.store import schema, tickets
from gateway.store.blobs import Blobs
from gateway.store.outbox import Row
from gateway.store.prepared import Prepared
from gateway.text_names import BOT_TEXTS, BY_TEXT_MESSAGE, TO_OPERATORS, TO_REQUESTER, WORD_TEXTS, Form
from gateway.texts import Rendered, TextFailure
from normalizer.message import RATING_CALL, Address, Attachment, Notice

FORMS: Mapping[str, Form] = {
    "mail": "mail",
    "telegram": "chat",
    "whatsapp": "chat",
    "sms": "short",
    "voice": "short",
}
"""Channel -> form of its texts; others use the mail form's plain text."""
_ID = re.compile(r"[^\s<>@]{1,200}@[^\s<>@]{1,200}")
REFERENCES = 10
"""The first and the last nine: enough for every client's threading, and short headers."""

log = get_logger(__name__)


def render(conn: Connection, ctx: Context, row: Row, blobs: Blobs) -> Notice:
    """The notice of this row. Raises OSError when an attachment cannot be read, NoResultFound without a ticket."""
    now = _as_of(row)
    account = ctx.settings.account(row.channel, row.account)
    ticket = tickets.get(conn, row.ticket_id) if row.ticket_id is not None else None
    values = facts.of_row(conn, ctx, row, ticket, account, now)
    form = form_of(row.channel, row.template)
    try:
        if row.kind == RATING_CALL:
            made = Rendered(subject="", text=rating_calls.words(conn, ctx, row, now), html="")
        else:
            made = ctx.texts.fill(row.language, row.template, form, values)
    except TextFailure as failure:
        log.error("text failed; a plain one goes out", outbox=row.id, template=row.template, error=str(failure)[:300])
        ctx.texts.failures.add(row.id, str(failure))
        made = ctx.texts.fallback(
            row.language,
            number=str(values.get("number", "")),
            said=str(values.get("text") or values.get("result") or values.get("detail") or ""),
            url=str(values.get("url", "")),
            desk=str(values.get("desk", "")),
            form=form,
        )
    answered, known = _thread(conn, row, ticket)
    return Notice(
        id=row.id,
        channel=row.channel,
        account=row.account,
        recipient=Address(address=row.recipient, name=row.recipient_name),
        kind=row.kind,
        language=row.language,
        text=made.text,
        html=made.html,
        subject=made.subject,
        message_id=row.message_id or _own_id(ctx, row, account),
        in_reply_to=answered,
        references=known,
        reply_to=_reply_to(row, account),
        automatic=row.automatic,
        attachments=_attachments(conn, row, blobs),
        created_at=row.created_at,
        destination={**(row.destination or {}), **windows.of_row(conn, row)},
        act=row.act,
        target=row.target,
        part=row.part,
        answers=_pointed_at(conn, row, ticket),
        buttons=buttons.of_row(conn, ctx, row) if form == "chat" else (),
        link=str(values.get("url") or ""),
    )


def form_of(channel: str, template: str) -> Form:
    """The form of a text on a channel. What is written for one form only has that one everywhere."""
    if template in BOT_TEXTS and template not in BY_TEXT_MESSAGE:
        return "chat"
    if template in BOT_TEXTS or template in WORD_TEXTS:
        return "short" if FORMS.get(channel) == "short" else "chat"
    if template in TO_OPERATORS:
        return "short" if FORMS.get(channel) == "short" else "mail"
    return FORMS.get(channel, "mail") if template in TO_REQUESTER else "mail"


def _as_of(row: Row) -> datetime:
    """The time that the text is of: of all parts of a notice the first one's."""
    begun = row.variables.get("as_of")
    return datetime.fromisoformat(begun) if isinstance(begun, str) else row.sending_at or row.created_at


def _own_id(ctx: Context, row: Row, account: AccountSettings | None) -> str:
    """A Message-ID for what nobody answers: derived, so the same in a repeat, but no key of any ticket."""
    domain = domain_of(account)
    return f"{ctx.keyring.token('unanswerable', row.key, row.created_at.isoformat())}@{domain}" if domain else ""


def _reply_to(row: Row, account: AccountSettings | None) -> str:
    """The plus-address that brings an answer into the ticket."""
    endpoints = account.endpoints() if account else ()
    if not row.reply_token or not endpoints or "@" not in endpoints[0]:
        return ""
    local, _, domain = endpoints[0].rpartition("@")
    return f"{local}+{row.reply_token}@{domain}"


# -- threading ----------------------------------------------------------------------------


_CAME = Prepared(
    select(schema.message.c.at, schema.entry.c.external_id)
    .join(schema.entry, schema.entry.c.id == schema.message.c.entry_id)
    .where(
        schema.message.c.ticket_id == bindparam("of_ticket"),
        schema.message.c.current,
        schema.message.c.verified,
        schema.message.c.direction == "in",
        schema.entry.c.channel == "mail",
    )
    .order_by(schema.message.c.id)
)
_SENT = [schema.outbox.c.state == state for state in ("sent", "captured", "unknown")]
_WENT = Prepared(
    select(schema.outbox.c.created_at, schema.outbox.c.message_id)
    .where(
        schema.outbox.c.ticket_id == bindparam("of_ticket"),
        schema.outbox.c.recipient == bindparam("of_recipient"),
        schema.outbox.c.id < bindparam("before"),
        schema.outbox.c.message_id.is_not(None),
        or_(*_SENT),
    )
    .order_by(schema.outbox.c.id)
)


def _thread(conn: Connection, row: Row, ticket: Found[Any] | None) -> tuple[str, tuple[str, ...]]:
    """(In-Reply-To, References): what the recipient has seen of this ticket, oldest first (RFC 5322 section 3.6.4)."""
    if ticket is None or not row.reply_token:
        return "", ()
    to_requester = row.template not in facts.STAFF_TEMPLATES
    came = _came(conn, ticket.id) if to_requester else []
    ids = [*came, *_went(conn, row)]
    ids.sort(key=lambda item: item[0])
    known = list(dict.fromkeys(value for _, value in ids if _ID.fullmatch(value)))
    if not known:
        return "", ()
    # A mail client shows an answer under what the person wrote last.
    theirs = [value for _, value in came if value in known]
    shown = known if len(known) <= REFERENCES else [known[0], *known[-REFERENCES + 1 :]]
    return (theirs[-1] if theirs else known[-1]), tuple(shown)


def _came(conn: Connection, ticket_id: int) -> list[tuple[Any, str]]:
    return [(found.at, found.external_id) for found in _CAME.all(conn, {"of_ticket": ticket_id})]


def _went(conn: Connection, row: Row) -> list[tuple[Any, str]]:
    wanted = {"of_ticket": row.ticket_id, "of_recipient": row.recipient, "before": row.id}
    return [(found.created_at, found.message_id) for found in _WENT.all(conn, wanted)]


_LAST_WORD = Prepared(
    select(schema.message.c.external_key)
    .where(
        schema.message.c.ticket_id == bindparam("of_ticket"),
        schema.message.c.author == bindparam("of_author"),
        schema.message.c.direction == "in",
        schema.message.c.external_key.is_not(None),
    )
    .order_by(schema.message.c.id.desc())
    .limit(1)
)


def _pointed_at(conn: Connection, row: Row, ticket: Found[Any] | None) -> str:
    """In a group an answer points at what the requester said last, so that everybody sees whom it is for.

    A row that knows better says so: a bot answers the very message that it was told something by.
    """
    if "answers" in row.variables:
        return str(row.variables["answers"])
    if ticket is None or row.act != "send" or row.destination is None or not is_overheard(ticket):
        return ""
    return _LAST_WORD.scalar(conn, {"of_ticket": ticket.id, "of_author": row.recipient}) or ""


# -- attachments --------------------------------------------------------------------------


def _attachments(conn: Connection, row: Row, blobs: Blobs) -> tuple[Attachment, ...]:
    """The files of what a person wrote."""
    message_id = row.variables.get("message")
    if row.template not in ("reply", "question") or not isinstance(message_id, int):
        return ()
    wanted = select(schema.attachment).where(
        schema.attachment.c.message_id == message_id, schema.attachment.c.state == "here"
    )
    return tuple(
        Attachment(
            filename=found.filename,
            content_type=found.content_type,
            size=found.size,
            sha256=found.sha256,
            inline=found.inline,
            content_id=found.content_id,
            content=found.content if found.content is not None else blobs.local(found.blob).read_bytes(),
        )
        for found in conn.execute(wanted.order_by(schema.attachment.c.id))
    )
