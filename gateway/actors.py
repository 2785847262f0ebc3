"""Who did something to a ticket, as its history names them.

"requester", "participant", "stranger", "gateway", "rule:<id>", "agent:<key>" for a person of staff by our own ways in,
"store:<feed>:<user>" for one who works in the desk's own ticket store; without a user nobody knows who it was.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, or_

AGENT, STORE = "agent:", "store:"


def is_person(actor: str) -> bool:
    """Whether an answer by this actor ends the reaction clock: a person of staff, not a robot."""
    return actor.startswith(AGENT) or (actor.startswith(STORE) and bool(actor.split(":", 2)[-1]))


def persons(actor: ColumnElement[Any]) -> ColumnElement[bool]:
    """`is_person` in a statement."""
    return or_(actor.startswith(AGENT), actor.like(f"{STORE}%:_%"))


def in_store(feed: str, user: str) -> str:
    """Somebody who works in a store."""
    return f"{STORE}{feed}:{user[:200]}"


def user_of(actor: str) -> str:
    """What the store calls one who works there; "" for everybody else."""
    return actor.split(":", 2)[-1] if actor.startswith(STORE) else ""
