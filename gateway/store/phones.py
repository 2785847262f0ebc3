"""What was learnt of telephone numbers: whether one is shared, and how we know."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, TypeAlias

from sqlalchemy import Connection, Row, bindparam, delete, select, update

from gateway.store.dialect import add_new
from gateway.store.people import normal
from gateway.store.prepared import Prepared
from gateway.store.schema import phone_fact

Why: TypeAlias = Literal["staff", "two contacts", "no mobile"]

_FIND = Prepared(select(phone_fact).where(phone_fact.c.value == bindparam("of_value")))


def find(conn: Connection, number: str) -> Row[Any] | None:
    """What is known (shared, why, actor, at); None: nothing."""
    return _FIND.first(conn, {"of_value": normal(number)})


def learn(conn: Connection, number: str, why: Why, *, now: datetime, actor: str = "gateway") -> bool:
    """It was seen to be shared; `actor` is the identity that showed it, where there is one.

    Does not overrule what is known; True when that was nothing.
    """
    fact = {"value": normal(number), "shared": True, "why": why, "actor": actor, "at": now}
    return add_new(conn, phone_fact, fact)


def say(conn: Connection, number: str, shared: bool | None, *, actor: str, now: datetime) -> None:
    """Staff's word, which holds whatever is seen; None: no word any more, what is seen counts again."""
    value = normal(number)
    if shared is None:
        conn.execute(delete(phone_fact).where(phone_fact.c.value == value))
        return
    fact = {"shared": shared, "why": "staff", "actor": actor, "at": now}
    if not add_new(conn, phone_fact, {"value": value, **fact}):
        conn.execute(update(phone_fact).where(phone_fact.c.value == value).values(fact))
