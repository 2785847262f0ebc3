"""Tokens of the API and the answers kept for `Idempotency-Key`: sync functions on a Connection.

A token reads `gw_<prefix>_<secret>`: the prefix can be shown and names the row to people, the secret
has 192 random bits. Only the SHA-256 of the whole is stored; nothing slower is needed for random bits.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from gateway.store.dialect import insert_new
from gateway.store.schema import idempotency, token

SCOPES = ("read", "reply", "admin")
"""Each one includes those before it."""

ADMIN = "admin"
"""The built-in agent that the first token belongs to."""

KEEP_ANSWERS = timedelta(days=7)
_SHAPE = re.compile(r"gw_[0-9a-f]{8}_[0-9a-f]{40}")
_TOUCH = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks, as the token says."""

    token_id: int
    agent: str
    scopes: frozenset[str]
    contracts: frozenset[str] | None
    """None: every contract, and tickets without one."""

    @property
    def actor(self) -> str:
        """For events."""
        return f"agent:{self.agent}"

    def may(self, scope: str) -> bool:
        """Whether the token's scopes include this one."""
        return any(SCOPES.index(held) >= SCOPES.index(scope) for held in self.scopes if held in SCOPES)

    def sees(self, contract: str | None) -> bool:
        """Whether tickets of this contract exist for the caller."""
        return self.contracts is None or contract in self.contracts


def make(random_hex: str) -> str:
    """48 random hex digits -> a token. Raises ValueError for fewer."""
    if not re.fullmatch(r"[0-9a-f]{48,}", random_hex):
        raise ValueError("48 random hex digits are needed")
    return f"gw_{random_hex[:8]}_{random_hex[8:48]}"


def hashed(text: str) -> str:
    """What is stored of a token."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def create(
    conn: Connection,
    text: str,
    *,
    agent: str,
    scopes: Sequence[str],
    now: datetime,
    contracts: Sequence[str] | None = None,
    note: str = "",
    expires_at: datetime | None = None,
) -> int:
    """Store a token that `make` made; returns its id. Raises ValueError for an unknown scope or none."""
    if not scopes or set(scopes) - set(SCOPES):
        raise ValueError(f"scopes are {', '.join(SCOPES)}; at least one is needed")
    row = {
        "prefix": text.split("_")[1],
        "token_hash": hashed(text),
        "agent": agent,
        "scopes": sorted(set(scopes), key=SCOPES.index),
        "contracts": None if contracts is None else sorted(set(contracts)),
        "note": note,
        "created_at": now,
        "expires_at": expires_at,
    }
    return int(conn.execute(insert(token).values(row).returning(token.c.id)).scalar_one())


def ensure(conn: Connection, text: str, *, now: datetime) -> bool:
    """Make sure that the token of `var/token` opens everything, as the built-in agent; False: it did."""
    if conn.execute(select(token.c.id).where(token.c.token_hash == hashed(text))).scalar_one_or_none():
        return False
    create(conn, text, agent=ADMIN, scopes=("admin",), now=now, note="made on the first start")
    return True


def find(conn: Connection, text: str, now: datetime) -> Caller | None:
    """The caller behind a token; None when it is malformed, unknown, expired or revoked."""
    if not _SHAPE.fullmatch(text):
        return None
    wanted = hashed(text)
    row = conn.execute(select(token).where(token.c.token_hash == wanted)).one_or_none()
    if row is None or not hmac.compare_digest(row.token_hash, wanted):
        return None
    if row.revoked_at is not None or (row.expires_at is not None and row.expires_at <= now):
        return None
    return Caller(
        token_id=row.id,
        agent=row.agent,
        scopes=frozenset(row.scopes),
        contracts=None if row.contracts is None else frozenset(row.contracts),
    )


def stale(conn: Connection, token_id: int, now: datetime) -> bool:
    """Whether the time of last use is old enough to be written again (once an hour at most)."""
    used = conn.execute(select(token.c.used_at).where(token.c.id == token_id)).scalar_one_or_none()
    return used is None or used <= now - _TOUCH


def touch(conn: Connection, token_id: int, now: datetime) -> None:
    """Write the time of last use."""
    conn.execute(update(token).where(token.c.id == token_id).values(used_at=now))


def listed(conn: Connection) -> Sequence[Row[Any]]:
    """Every token, the newest first; the hash is left out."""
    columns = [column for column in token.c if column.name != "token_hash"]
    return conn.execute(select(*columns).order_by(token.c.id.desc())).all()


def revoke(conn: Connection, token_id: int, now: datetime) -> bool:
    """End a token; False when there is none with this id. Ending it twice changes nothing."""
    ended = update(token).where(token.c.id == token_id, token.c.revoked_at.is_(None)).values(revoked_at=now)
    if conn.execute(ended).rowcount:
        return True
    return conn.execute(select(token.c.id).where(token.c.id == token_id)).scalar_one_or_none() is not None


# -- answers kept for a repeat ------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer as it was given: HTTP status and JSON text."""

    status: int
    body: str


class KeyReused(Exception):
    """The key was used with another request."""


def reserve(conn: Connection, token_id: int, key: str, fingerprint: str, now: datetime) -> Answer | None:
    """Take an idempotency key, or give the answer that it had.

    None: the key is taken now, and `keep` must follow in the same transaction. On PostgreSQL a second
    caller waits here for the first one's commit. Raises KeyReused when it had another request.
    """
    row = {"token_id": token_id, "key": key, "fingerprint": fingerprint, "status": 0, "body": "", "at": now}
    if insert_new(conn, idempotency, row) is not None:
        _forget(conn, now - KEEP_ANSWERS)
        return None
    mine = (idempotency.c.token_id == token_id, idempotency.c.key == key)
    found = conn.execute(select(idempotency).where(*mine)).one()
    if not hmac.compare_digest(found.fingerprint, fingerprint):
        raise KeyReused
    return Answer(status=found.status, body=found.body)


def keep(conn: Connection, token_id: int, key: str, answer: Answer) -> None:
    """Keep the answer of a reserved key for `KEEP_ANSWERS`."""
    mine = (idempotency.c.token_id == token_id, idempotency.c.key == key)
    conn.execute(update(idempotency).where(*mine).values(status=answer.status, body=answer.body))


def _forget(conn: Connection, before: datetime) -> None:
    # A few at each use keep the table small without a sweeper of its own.
    old = select(idempotency.c.token_id, idempotency.c.key).where(idempotency.c.at < before).limit(20)
    for row in conn.execute(old).all():
        conn.execute(delete(idempotency).where(idempotency.c.token_id == row.token_id, idempotency.c.key == row.key))
