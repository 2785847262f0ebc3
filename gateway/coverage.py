"""Which contract covers somebody who writes from a chat: by any identity of theirs, or by the group they write in.

The router knows the sender's address only. What else the person is known by stands in the store, so it is looked up
when a ticket is opened, and only for who is covered by nothing so far.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from sqlalchemy import Connection

from gateway.filing_case import Case
from gateway.identities import Identity, identities_of
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
            return replace(case, assignment=_routed(case, contract.key, known))
    return case


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


def _routed(case: Case, contract: str, known: Identity) -> Assignment:
    raw = case.entry.raw
    made = route(
        case.message, case.ctx.policy, raw.received_at, channel=raw.channel, account=raw.account, contract=contract
    )
    detail = f"covers {known}, which is the sender's too" if known.kind != raw.channel else f"covers {known}"
    because = tuple(replace(reason, detail=detail) if reason.what == "contract" else reason for reason in made.because)
    return replace(made, because=because)
