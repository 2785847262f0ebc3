"""One-time tokens and codes that show that two identities are one person's. Only hashes are stored."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from gateway.store.schema import proof


def hashed(token: str) -> str:
    """What is stored of a random token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def put(
    conn: Connection,
    *,
    token_hash: str,
    kind: str,
    contact_id: int,
    asked_by: str,
    now: datetime,
    expires_at: datetime,
) -> None:
    """Remember a token (`kind` link) or a code. Raises IntegrityError when the hash is there already."""
    row = {"token_hash": token_hash, "kind": kind, "contact_id": contact_id, "asked_by": asked_by}
    conn.execute(insert(proof).values(**row, created_at=now, expires_at=expires_at))


def by_hash(conn: Connection, token_hash: str, now: datetime) -> Row[Any] | None:
    """The link with this hash that can still be used, locked; None: unknown, used, or too old."""
    wanted = select(proof).where(
        proof.c.token_hash == token_hash, proof.c.kind == "link", proof.c.used_at.is_(None), proof.c.expires_at > now
    )
    return conn.execute(wanted.with_for_update()).one_or_none()


def code_for(conn: Connection, asked_by: str, now: datetime) -> Row[Any] | None:
    """The newest code that this identity asked for and that still counts, locked."""
    wanted = (
        select(proof)
        .where(
            proof.c.kind == "code", proof.c.asked_by == asked_by, proof.c.used_at.is_(None), proof.c.expires_at > now
        )
        .order_by(proof.c.created_at.desc())
        .limit(1)
    )
    return conn.execute(wanted.with_for_update()).one_or_none()


def use(conn: Connection, token_hash: str, now: datetime) -> bool:
    """Spend it. False when somebody was faster."""
    spent = update(proof).where(proof.c.token_hash == token_hash, proof.c.used_at.is_(None)).values(used_at=now)
    return bool(conn.execute(spent).rowcount)


def count_try(conn: Connection, token_hash: str) -> None:
    """A wrong code was tried."""
    conn.execute(update(proof).where(proof.c.token_hash == token_hash).values(attempts=proof.c.attempts + 1))


def next_moment(conn: Connection, asked_by: str, now: datetime) -> datetime:
    """When a code of this identity is made: now, or after the one before, since codes are told apart by it."""
    wanted = select(func.max(proof.c.created_at)).where(proof.c.kind == "code", proof.c.asked_by == asked_by)
    last: datetime | None = conn.scalar(wanted)
    return now if last is None or last < now else last + timedelta(microseconds=1)


def void_codes(conn: Connection, asked_by: str, now: datetime) -> None:
    """A new code ends the earlier ones of this identity."""
    mine = (proof.c.kind == "code", proof.c.asked_by == asked_by, proof.c.used_at.is_(None))
    conn.execute(update(proof).where(*mine).values(used_at=now))
