"""Accepting on PostgreSQL: one statement for each message, and those that wait together in one turn to the server.

Each turn costs two changes of process, which is more than the statement itself. A repeat is left to the journal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, Connection, LargeBinary, Text, bindparam, text

from channels.contract import Accepted
from gateway.store.accepting import COLUMNS, New
from gateway.store.prepared import Prepared
from gateway.store.schema import Instant

_KINDS: Mapping[str, Any] = {
    "dedupe": LargeBinary(), "received_at": Instant(), "accepted_at": Instant(), "size": BigInteger(), "facts": JSON(),
    "content": LargeBinary(),
}  # fmt: skip
# A data-modifying WITH runs as one statement with one snapshot, and its foreign keys are checked at its end:
# https://www.postgresql.org/docs/current/queries-with.html#QUERIES-WITH-MODIFYING
_STATEMENT = f"""
WITH made AS (
    INSERT INTO entry ({", ".join(COLUMNS)}, variant)
    VALUES ({", ".join(f":{name}" for name in COLUMNS)},
            EXISTS (SELECT 1 FROM entry AS same WHERE same.channel = :channel AND same.external_id = :external_id))
    ON CONFLICT (dedupe) DO NOTHING
    RETURNING id, variant
), body AS (
    INSERT INTO raw (entry_id, content)
    SELECT id, CAST(:content AS bytea) FROM made WHERE CAST(:content AS bytea) IS NOT NULL
), sent AS (
    INSERT INTO delivery (entry_id, account, recipient)
    SELECT made.id, one.account, one.recipient
    FROM made, unnest(CAST(:accounts AS text[]), CAST(:recipients AS text[])) AS one (account, recipient)
    ON CONFLICT DO NOTHING
)
SELECT id, variant FROM made
"""
_ACCEPT = Prepared(
    text(_STATEMENT)
    .bindparams(*(bindparam(name, type_=_KINDS.get(name, Text())) for name in (*COLUMNS, "content")))
    .columns(id=BigInteger, variant=Boolean)
)


def insert_all(conn: Connection, messages: Sequence[New]) -> list[Accepted | None]:
    """Write entries with their bytes and deliveries, in this order; None for one that was there already."""
    if not messages:
        return []
    made = [rows[0] if rows else None for rows in _ACCEPT.pipelined(conn, [_given(message) for message in messages])]
    return [None if row is None else Accepted(entry=row.id, duplicate=False, variant=row.variant) for row in made]


def _given(message: New) -> dict[str, Any]:
    accounts, recipients = zip(*message.deliveries, strict=True) if message.deliveries else ((), ())
    lists = {"accounts": list(accounts), "recipients": list(recipients)}
    return {**message.values, "content": message.content, **lists}
