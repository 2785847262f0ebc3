"""Leases: who may do what only one node may do, until when by the database's clock.

A node has one lease for everything it has claimed (journal entries, notices), named `node:<owner>`, and one for
each thing that one node at a time does, such as polling a mailbox. A lease that is not renewed runs out; then anybody
may take it, and what its owner had claimed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from sqlalchemy import Connection, Select, delete, or_, select, update

from gateway.store.dialect import database_clock, insert_into
from gateway.store.schema import lease

NODE = "node:"
FORGOTTEN = timedelta(days=1)
"""How long the row of a dead node is kept: when its last send ended is counted from it."""


def take(conn: Connection, name: str, owner: str, length: timedelta) -> bool:
    """Take the lease, or renew it when it is ours. False when somebody else has it."""
    now = database_clock(conn)
    values = {"name": name, "owner": owner, "until": now + length}
    statement = (
        insert_into(conn.dialect.name, lease)
        .values(**values)
        .on_conflict_do_update(
            index_elements=[lease.c.name],
            set_={"owner": owner, "until": now + length},
            where=or_(lease.c.owner == owner, lease.c.until < now),
        )
        .returning(lease.c.name)
    )
    return conn.execute(statement).first() is not None


def renew(conn: Connection, names: Collection[str], owner: str, length: timedelta) -> frozenset[str]:
    """Renew those of `names` that are still ours, run out or not; returns them."""
    until = database_clock(conn) + length
    mine = select(lease.c.name).where(lease.c.name.in_(names), lease.c.owner == owner).order_by(lease.c.name)
    found = frozenset(conn.scalars(mine.with_for_update()))
    if found:
        conn.execute(update(lease).where(lease.c.name.in_(sorted(found))).values(until=until))
    return found


def ran_out(conn: Connection, name: str) -> bool:
    """Whether the lease is over, so that others may have taken by now what its owner had claimed."""
    until: datetime | None = conn.scalar(select(lease.c.until).where(lease.c.name == name))
    return until is None or until < database_clock(conn)


def release(conn: Connection, names: Collection[str], owner: str) -> None:
    """Give leases of ours back, so that nobody has to wait for their end."""
    conn.execute(delete(lease).where(lease.c.name.in_(names), lease.c.owner == owner))


def holder(conn: Connection, name: str) -> str | None:
    """Who has the lease now; None when it is free."""
    now = database_clock(conn)
    found: str | None = conn.scalar(select(lease.c.owner).where(lease.c.name == name, lease.c.until >= now))
    return found


def living(conn: Connection, patience: timedelta = timedelta(0)) -> Select[tuple[str]]:
    """A query for the owners whose node lease has not run out `patience` ago."""
    now = database_clock(conn)
    return select(lease.c.owner).where(lease.c.name.startswith(NODE, autoescape=True), lease.c.until >= now - patience)


def living_owners(conn: Connection) -> frozenset[str]:
    """Nodes that are alive now."""
    return frozenset(row.owner for row in conn.execute(living(conn)))


def tell(conn: Connection, name: str, trouble: Mapping[str, str]) -> None:
    """Write down what is wrong with the node that has this lease; what was said before is forgotten."""
    conn.execute(update(lease).where(lease.c.name == name).values(trouble=dict(trouble) or None))


def troubles(conn: Connection) -> dict[str, str]:
    """What is wrong with nodes that live: "name (host)" -> reason."""
    said = select(lease.c.owner, lease.c.trouble).where(lease.c.owner.in_(living(conn)), lease.c.trouble.is_not(None))
    rows = conn.execute(said.order_by(lease.c.name)).all()
    return {f"{name} ({row.owner.split(':')[0]})": why for row in rows for name, why in row.trouble.items()}


def forget(conn: Connection) -> int:
    """Delete the rows of leases that ran out long ago; returns how many."""
    return conn.execute(delete(lease).where(lease.c.until < database_clock(conn) - FORGOTTEN)).rowcount
