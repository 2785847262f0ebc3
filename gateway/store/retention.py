"""What is forgotten with time, a small piece per transaction, so that the writer is never held long."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, and_, delete, or_, select, tuple_, update

from gateway.store.schema import attachment, counter, idempotency, message, proof, ticket, unverified, view_token

FORGOTTEN = "forgotten"
"""State of an attachment whose bytes were dropped; its name, size and digest stay."""


def drop_attachments(conn: Connection, *, before: datetime, limit: int = 32) -> int:
    """Forget the bytes of attachments of tickets closed and not touched since `before`.

    Returns how many were dropped: repeat until 0. A blob that nothing names is swept later.
    """
    old = (
        select(attachment.c.id)
        .join(message, message.c.id == attachment.c.message_id)
        .join(ticket, ticket.c.id == message.c.ticket_id)
        .where(
            ticket.c.status == "closed",
            ticket.c.updated_at < before,
            or_(attachment.c.content.is_not(None), attachment.c.blob.is_not(None)),
        )
        .limit(limit)
    )
    dropped = update(attachment).where(attachment.c.id.in_(old.scalar_subquery()))
    return conn.execute(dropped.values(content=None, blob=None, state=FORGOTTEN)).rowcount


def drop_records(conn: Connection, *, before: datetime, limit: int = 500) -> int:
    """Forget kept answers of the API, ended links and codes, counters of brakes and requests that webhooks did not
    believe, from before `before`.

    Returns how many rows went: repeat until 0. Nothing that recognises a repeat of a message is among them.
    """
    answers = select(idempotency.c.token_id, idempotency.c.key).where(idempotency.c.at < before).limit(limit)
    gone = conn.execute(
        delete(idempotency).where(tuple_(idempotency.c.token_id, idempotency.c.key).in_(answers))
    ).rowcount
    links = select(view_token.c.token_hash).where(view_token.c.expires_at < before).limit(limit)
    gone += conn.execute(delete(view_token).where(view_token.c.token_hash.in_(links))).rowcount
    proofs = select(proof.c.token_hash).where(proof.c.expires_at < before).limit(limit)
    gone += conn.execute(delete(proof).where(proof.c.token_hash.in_(proofs))).rowcount
    doubted = select(unverified.c.id).where(unverified.c.at < before).limit(limit)
    gone += conn.execute(delete(unverified).where(unverified.c.id.in_(doubted))).rowcount
    # A bucket is a number of minutes, hours or days since the epoch, as the counter's name says.
    spans = (("auto:minute:", 60), ("auto:hour:", 3600), ("auto:day:", 86400))
    past = or_(
        *(
            and_(counter.c.name.startswith(prefix, autoescape=True), counter.c.bucket < int(before.timestamp()) // span)
            for prefix, span in spans
        )
    )
    brakes = select(counter.c.name, counter.c.bucket).where(past).limit(limit)
    gone += conn.execute(delete(counter).where(tuple_(counter.c.name, counter.c.bucket).in_(brakes))).rowcount
    return gone
