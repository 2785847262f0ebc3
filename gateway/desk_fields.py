"""What staff decide about a ticket: class, contract, line, on site, visit, assignee, requester.

Events: `class {class, before}`, `contract {contract, before}`, `line {line, before, reason}`, `onsite {onsite}`,
`visit {wanted, agreed, office}`, `assigned {agent, before}`, `requester {address, before}`.
A proposal that is accepted is a `class` and a `line` event with `proposal: true`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from channels.registry import identity_kind
from gateway.context import Context
from gateway.desk_acts import Conflict, Decide, Done, Invalid, Step, TicketRow, earlier, locked, perform
from gateway.store import people, tickets
from normalizer.message import Json

CLASSES = frozenset(range(1, 7))
LINES = ("L1", "L2", "L3", "L4")

Window = tuple[datetime, datetime]


def set_class(
    conn: Connection,
    ctx: Context,
    ticket_id: int,
    *,
    actor: str,
    now: datetime,
    key: str | None = None,
    class_: int | None,
) -> Done:
    """Set the class, or None for "not sure"; the deadlines are recomputed from the whole history.

    Raises NotFound, Invalid (no such class), Conflict (it has that class).
    """
    if class_ is not None and class_ not in CLASSES:
        raise Invalid("no such class; it is 1 to 6, or none")

    def decide(row: TicketRow) -> Step:
        if row.class_ == class_:
            raise Conflict("the ticket has this class already")
        return _class_step(row, class_)

    return perform(conn, ctx, ticket_id, decide, actor=actor, now=now, key=key)


def set_contract(
    conn: Connection,
    ctx: Context,
    ticket_id: int,
    *,
    actor: str,
    now: datetime,
    key: str | None = None,
    contract: str | None,
) -> Done:
    """Say which contract covers the ticket, or None; the deadlines are recomputed from the whole history.

    Raises NotFound, Invalid (no such contract, or one without the ticket's line), Conflict (it is covered by it).
    """
    found = ctx.policy.contracts.get(contract) if contract else None
    if contract is not None and found is None:
        raise Invalid("no such contract; contracts are named in contracts.yaml")

    def decide(row: TicketRow) -> Step:
        if row.contract == contract:
            raise Conflict("the ticket is under this contract already" if contract else "no contract covers it already")
        if found is not None and row.line not in found.lines:
            raise Invalid(f"this contract has no {row.line}; set the line to one of {', '.join(found.lines)} first")
        return Step(
            kind="contract", data={"contract": contract, "before": row.contract}, columns={"contract": contract}
        )

    return perform(conn, ctx, ticket_id, decide, actor=actor, now=now, key=key)


def set_line(
    conn: Connection,
    ctx: Context,
    ticket_id: int,
    *,
    actor: str,
    now: datetime,
    key: str | None = None,
    line: str,
    reason: str,
) -> Done:
    """Hand the ticket to another line; the line's recipients are told, with the reason.

    Raises NotFound, Invalid (no such line, no reason, not in this contract), Conflict (it stands there).
    """
    if line not in LINES:
        raise Invalid("no such line; it is L1, L2, L3 or L4")
    if not reason.strip():
        raise Invalid("a change of line needs a reason; say what the next line should do")

    def decide(row: TicketRow) -> Step:
        if row.line == line:
            raise Conflict(f"the ticket stands on {line} already")
        contract = ctx.policy.contracts.get(row.contract) if row.contract else None
        if contract is not None and line not in contract.lines:
            raise Invalid(f"this contract has no {line}; its lines are {', '.join(contract.lines)}")
        return _line_step(row, line, reason.strip())

    return perform(conn, ctx, ticket_id, decide, actor=actor, now=now, key=key)


def accept_proposal(
    conn: Connection, ctx: Context, ticket_id: int, *, actor: str, now: datetime, key: str | None = None
) -> Done:
    """Make the proposed class and line the ticket's own. Raises NotFound, Conflict (nothing is proposed)."""
    row = locked(conn, ticket_id)
    if done := earlier(conn, ticket_id, key):
        return done
    steps: list[Step] = []
    if row.proposed_class is not None and row.proposed_class != row.class_:
        steps.append(_class_step(row, row.proposed_class, proposal=True))
    if row.proposed_line is not None and row.proposed_line != row.line:
        steps.append(_line_step(row, row.proposed_line, "proposal accepted", proposal=True))
    if not steps:
        raise Conflict("nothing is proposed for this ticket; set class and line themselves")
    first, *others = steps
    done = perform(conn, ctx, ticket_id, _always(first), actor=actor, now=now, key=key)
    for step in others:
        perform(conn, ctx, ticket_id, _always(step), actor=actor, now=now, key=None)
    return done


def set_onsite(
    conn: Connection,
    ctx: Context,
    ticket_id: int,
    *,
    actor: str,
    now: datetime,
    key: str | None = None,
    onsite: bool,
) -> Done:
    """Say whether somebody has to come. Raises NotFound, Conflict (it is so already)."""

    def decide(row: TicketRow) -> Step:
        if bool(row.onsite) == onsite:
            raise Conflict("the ticket is on site already" if onsite else "the ticket is not on site")
        return Step(kind="onsite", data={"onsite": onsite}, columns={"onsite": onsite})

    return perform(conn, ctx, ticket_id, decide, actor=actor, now=now, key=key)


def set_visit(
    conn: Connection,
    ctx: Context,
    ticket_id: int,
    *,
    actor: str,
    now: datetime,
    key: str | None = None,
    wanted: Window | None = None,
    agreed: Window | None = None,
    office: str = "",
) -> Done:
    """Note the window wanted or agreed for a visit; the ticket is on site then.

    What is None stays as it is. Raises NotFound, Invalid (no window, or one that ends before it starts).
    """
    given = {"wanted": wanted, "agreed": agreed}
    if wanted is None and agreed is None:
        raise Invalid("a visit needs a window: wanted, agreed, or both")
    for window in (wanted, agreed):
        if window is not None and window[0] >= window[1]:
            raise Invalid("a window ends after it starts")

    def decide(row: TicketRow) -> Step:
        before: Mapping[str, Any] = row.visit or {}
        visit: dict[str, Json] = {
            name: [window[0].isoformat(), window[1].isoformat()] if window else before.get(name)
            for name, window in given.items()
        }
        visit["office"] = office or before.get("office", "")
        return Step(kind="visit", data=visit, columns={"visit": visit, "onsite": True})

    return perform(conn, ctx, ticket_id, decide, actor=actor, now=now, key=key)


def assign(
    conn: Connection,
    ctx: Context,
    ticket_id: int,
    *,
    actor: str,
    now: datetime,
    key: str | None = None,
    agent: str | None,
) -> Done:
    """Give the ticket to an agent, or to nobody (None).

    Raises NotFound, Invalid (no such agent), Conflict (it is that agent's).
    """
    if agent is not None and agent not in ctx.settings.agents:
        raise Invalid("no such agent; agents are named in the configuration under `agents`")

    def decide(row: TicketRow) -> Step:
        if row.assignee == agent:
            raise Conflict("the ticket is this agent's already" if agent else "the ticket is nobody's already")
        return Step(kind="assigned", data={"agent": agent, "before": row.assignee}, columns={"assignee": agent})

    return perform(conn, ctx, ticket_id, decide, actor=actor, now=now, key=key)


def set_requester(
    conn: Connection,
    ctx: Context,
    ticket_id: int,
    *,
    actor: str,
    now: datetime,
    key: str | None = None,
    address: str,
    name: str = "",
) -> Done:
    """Make somebody else the requester: notices go there from now on; the former one stays a participant.

    `address` is one of the ticket's channel. Raises NotFound, Invalid (no address, or one of ours), Conflict.
    """
    wanted = address.strip().lower()
    if not wanted:
        raise Invalid("a requester needs an address of the ticket's channel")
    if wanted in ctx.settings.own_addresses():
        raise Invalid("this is an address of the desk's own; the requester is a person")

    def decide(row: TicketRow) -> Step:
        if row.channel == "mail" and not like_mail(wanted):
            raise Invalid("this is no mail address; write it as name@domain")
        if row.requester.lower() == wanted:
            raise Conflict("this is the ticket's requester already")
        contact = people.contact_for(conn, identity_kind(row.channel), wanted, name, now)
        tickets.set_participant(conn, row.id, row.requester, role="cc")
        tickets.set_participant(conn, row.id, wanted, role="requester", name=name)
        return Step(
            kind="requester",
            data={"address": wanted, "before": row.requester},
            columns={"requester": wanted, "requester_id": contact},
        )

    return perform(conn, ctx, ticket_id, decide, actor=actor, now=now, key=key)


def _always(step: Step) -> Decide:
    return lambda _row: step


def _class_step(row: TicketRow, class_: int | None, *, proposal: bool = False) -> Step:
    data: dict[str, Json] = {"class": class_, "before": row.class_}
    if proposal:
        data["proposal"] = True
    return Step(kind="class", data=data, columns={"class_": class_, "proposed_class": None})


def _line_step(row: TicketRow, line: str, reason: str, *, proposal: bool = False) -> Step:
    data: dict[str, Json] = {"line": line, "before": row.line, "reason": reason}
    if proposal:
        data["proposal"] = True
    return Step(kind="line", data=data, columns={"line": line, "proposed_line": None})


def like_mail(address: str) -> bool:
    """Whether a notice could go to this: one address, and nothing that a header or an envelope would misread."""
    local, at, domain = address.rpartition("@")
    return bool(local and at and domain) and all(c.isprintable() and c not in " <>,;" for c in address)
