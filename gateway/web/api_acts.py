"""What staff do to tickets over the API: each row of `ACTS` is one act of `gateway.desk`."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from gateway import desk
from gateway.desk_open import Registration, open_ticket, routed
from gateway.store import tickets as store
from gateway.web import api_asked as asked
from gateway.web import api_models as models
from gateway.web import api_show
from gateway.web.api_tickets import visible
from gateway.web.frame import Asked, Call, Job, Nothing, Writes
from gateway.web.problems import Problem
from normalizer.message import Attachment

_IN_ROW = 64 * 1024
"""Bytes of a file that is kept in its row; a bigger one becomes a blob."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """A path below a ticket, what it takes, and the act that it is."""

    path: str
    summary: str
    body: type[Asked]
    act: Callable[..., desk.Done]
    arguments: Callable[[Any], Mapping[str, Any]] = lambda _body: {}
    words: bool = False
    """The body has attachments, which are stored before the transaction."""


ACTS: Sequence[Act] = (
    Act(
        path="reply", summary="Answer the requester", body=asked.Words, act=desk.reply, words=True,
        arguments=lambda body: {"text": body.text},
    ),
    Act(
        path="note", summary="Write a note for staff", body=asked.Words, act=desk.note, words=True,
        arguments=lambda body: {"text": body.text},
    ),
    Act(
        path="ask", summary="Ask the requester; the ticket waits", body=asked.Words, act=desk.ask, words=True,
        arguments=lambda body: {"text": body.text},
    ),
    Act(
        path="resolve", summary="Resolve with a result in plain words", body=asked.Resolution, act=desk.resolve,
        arguments=lambda body: {"result": body.result},
    ),
    Act(
        path="status", summary="Set the status by hand", body=asked.NewStatus, act=desk.set_status,
        arguments=lambda body: {"status": body.status},
    ),
    Act(
        path="class", summary="Set the class", body=asked.NewClass, act=desk.set_class,
        arguments=lambda body: {"class_": body.class_},
    ),
    Act(
        path="contract", summary="Say which contract covers it", body=asked.NewContract, act=desk.set_contract,
        arguments=lambda body: {"contract": body.contract},
    ),
    Act(
        path="line", summary="Hand over to another line, with a reason", body=asked.NewLine, act=desk.set_line,
        arguments=lambda body: {"line": body.line, "reason": body.reason},
    ),
    Act(
        path="onsite", summary="Say whether somebody has to come", body=asked.OnSite, act=desk.set_onsite,
        arguments=lambda body: {"onsite": body.onsite},
    ),
    Act(
        path="visit", summary="Note a visit's window", body=asked.Visit, act=desk.set_visit,
        arguments=lambda body: {
            "wanted": _window(body.wanted), "agreed": _window(body.agreed), "office": body.office
        },
    ),
    Act(
        path="assignee", summary="Give the ticket to an agent", body=asked.Assignee, act=desk.assign,
        arguments=lambda body: {"agent": body.agent},
    ),
    Act(
        path="requester", summary="Make somebody else the requester", body=asked.Requester, act=desk.set_requester,
        arguments=lambda body: {"address": body.address, "name": body.name},
    ),
    Act(path="proposal", summary="Accept the proposed class and line", body=Nothing, act=desk.accept_proposal),
    Act(path="survey", summary="Ask for a rating at once", body=Nothing, act=desk.ask_survey),
)  # fmt: skip


def writer(act: Act) -> Writes:
    """The API handler of an act."""

    async def prepare(call: Call) -> Job:
        services, caller, now = call.services, call.caller, call.services.clock()
        arguments = dict(act.arguments(call.body))
        if "contract" in arguments and not caller.sees(arguments["contract"]):
            raise Problem(403, "this token is limited to contracts, and this is none of them")
        if act.words:
            arguments["attachments"] = await stored(call, call.body.attachments)

        def job(conn: Connection) -> models.TicketState:
            row = visible(conn, caller, call.params["ticket"])
            done = act.act(conn, services.ctx, row.id, actor=caller.actor, now=now, **arguments)
            return api_show.state(store.get(conn, row.id), done.event_id)

        return job

    return prepare


async def register(call: Call) -> Job:
    """Open a ticket for somebody who called or came by."""
    services, caller, now, body = call.services, call.caller, call.services.clock(), call.body
    if not caller.sees(body.contract):
        raise Problem(403, "this token is limited to contracts; name one of them as `contract`")
    registration = Registration(
        channel=body.channel,
        account=body.account,
        requester=body.requester.address,
        requester_name=body.requester.name,
        subject=body.subject,
        text=body.text,
        language=body.language,
        class_=body.class_,
        line=body.line,
        contract=body.contract,
        notify=body.notify,
        attachments=await stored(call, body.attachments),
    )
    assignment = routed(services.ctx, registration, now)

    def job(conn: Connection) -> models.TicketState:
        done = open_ticket(conn, services.ctx, registration, assignment, actor=caller.actor, now=now)
        return api_show.state(store.get(conn, done.ticket_id), done.event_id)

    return job


async def stored(call: Call, uploads: Sequence[asked.Upload]) -> list[Attachment]:
    """Uploads as attachments; big ones are blobs on disk when this returns."""
    made = []
    for upload in uploads:
        content: bytes | None = upload.content
        if len(upload.content) > _IN_ROW:
            data = upload.content
            await asyncio.to_thread(call.services.blobs.put, data)
            content = None
        made.append(
            Attachment(
                filename=upload.filename,
                content_type=upload.content_type,
                size=len(upload.content),
                sha256=hashlib.sha256(upload.content).hexdigest(),
                content=content,
            )
        )
    return made


def _window(window: asked.Window | None) -> tuple[Any, Any] | None:
    return None if window is None else (window.start, window.end)
