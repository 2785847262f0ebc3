"""Which contract covers somebody who writes from a chat or a telephone: by any identity of theirs, by the group they
write in, or by all whom a shared number was known to be of.

The router knows the sender's address only. What else the person is known by stands in the store, so it is looked up
when a ticket is opened, and only for who is covered by nothing so far.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from sqlalchemy import Connection

from gateway.context import Context
from gateway.filing_case import Case
from gateway.identities import Identity, identities_of
from gateway.shared_numbers import claimants
from gateway.store import people
from router.assignment import Assignment
from router.contracts import covering
from router.route import route


def widened(conn: Connection, case: Case) -> Case:
    """The case, routed under the contract that covers another identity of the sender, or the group; else as it is."""
    if case.message.conversation is None or case.assignment.contract is not None:
        return case
    for known in _known(conn, case):
        contract, _ = covering(case.ctx.policy, known.value, channel=known.kind)
        if contract is not None:
            detail = f"covers {known}, which is the sender's too" if known.kind != case.entry.raw.channel else ""
            return replace(case, assignment=_routed(case, contract.key, detail or f"covers {known}"))
    everybodys = _of_all(conn, case) if case.shared else ""
    if everybodys:
        return replace(case, assignment=_routed(case, everybodys, "covers everybody who was known by this number"))
    return case


def contract_of(conn: Connection, ctx: Context, who: Identity) -> str:
    """Key of the contract that covers anything that this one person is known by; "" when none does."""
    for row in identities_of(conn, who):
        contract, _ = covering(ctx.policy, row.value, channel=row.kind)
        if contract is not None:
            return contract.key
    return ""


def _of_all(conn: Connection, case: Case) -> str:
    """The contract of everybody whose a shared number was, or who said so; "" when they are of several, or of none."""
    found = {_of_contact(conn, case, contact) for contact in claimants(conn, case.sender.address)} - {None}
    return found.pop() or "" if len(found) == 1 else ""


def _of_contact(conn: Connection, case: Case, contact: int) -> str | None:
    """The contract that covers what else a contact is known by, "" for none; None for one that is known by nothing."""
    rows = [row for row in people.identities(conn, contact) if row.kind != case.identity]
    covered = (covering(case.ctx.policy, row.value, channel=row.kind)[0] for row in rows)
    return next((contract.key for contract in covered if contract is not None), "") if rows else None


def _known(conn: Connection, case: Case) -> Iterator[Identity]:
    """The person first, then the place."""
    who = Identity(kind=case.identity, value=case.sender.address)
    for row in identities_of(conn, who):
        yield Identity(kind=row.kind, value=row.value)
    talk = case.message.conversation
    if talk is not None and not talk.private:
        place = talk.id.rpartition(":")[0].partition("/")[0]
        if place:
            yield Identity(kind=case.entry.raw.channel, value=place)


def _routed(case: Case, contract: str, detail: str) -> Assignment:
    raw = case.entry.raw
    made = route(
        case.message, case.ctx.policy, raw.received_at, channel=raw.channel, account=raw.account, contract=contract
    )
    because = tuple(replace(reason, detail=detail) if reason.what == "contract" else reason for reason in made.because)
    return replace(made, because=because)
