"""Surveys and ratings, as sync functions inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, select, update

from gateway.store.dialect import insert_new
from gateway.store.people import normal
from gateway.store.schema import outbox, rating, survey, view_token


def open_(conn: Connection, **columns: Any) -> int | None:
    """Ask one person about one resolution; None when that was asked before. `columns` are those of `survey`."""
    made: int | None = insert_new(conn, survey, {**columns, "recipient": normal(columns["recipient"])})
    return made


def take_back(conn: Connection, survey_id: int) -> None:
    """The question did not go out after all: that person was not asked."""
    conn.execute(delete(survey).where(survey.c.id == survey_id))


def get(conn: Connection, survey_id: int) -> Row[Any]:
    """The survey's row. Raises NoResultFound."""
    return conn.execute(select(survey).where(survey.c.id == survey_id)).one()


def by_hash(conn: Connection, token_hash: str) -> Row[Any] | None:
    """The survey whose token has this hash."""
    return conn.execute(select(survey).where(survey.c.token_hash == token_hash)).one_or_none()


def of_resolution(conn: Connection, ticket_id: int, contact_id: int, resolution: int) -> Row[Any] | None:
    """The survey of one resolution, or None when that person was not asked about it."""
    wanted = (survey.c.ticket_id == ticket_id, survey.c.contact_id == contact_id, survey.c.resolution == resolution)
    return conn.execute(select(survey).where(*wanted)).one_or_none()


def open_for(conn: Connection, ticket_id: int, recipient: str, now: datetime) -> Row[Any] | None:
    """The newest survey of this person about this ticket that a digit by mail still answers."""
    return conn.execute(
        select(survey)
        .where(
            survey.c.recipient == normal(recipient),
            survey.c.ticket_id == ticket_id,
            survey.c.closed_at.is_(None),
            survey.c.expires_at > now,
        )
        .order_by(survey.c.id.desc())
        .limit(1)
    ).one_or_none()


def last_asked(conn: Connection, contact_id: int, *, except_ticket: int) -> datetime | None:
    """When this person was last asked about any other ticket."""
    wanted = (survey.c.contact_id == contact_id, survey.c.ticket_id != except_ticket)
    last: datetime | None = conn.scalar(select(func.max(survey.c.asked_at)).where(*wanted))
    return last


def close_all(conn: Connection, ticket_id: int, now: datetime) -> int:
    """A digit by mail answers none of the ticket's surveys any more (it was reopened). Returns how many closed."""
    statement = (
        update(survey).where(survey.c.ticket_id == ticket_id, survey.c.closed_at.is_(None)).values(closed_at=now)
    )
    return conn.execute(statement).rowcount


# -- votes --------------------------------------------------------------------------------


def current(conn: Connection, survey_id: int) -> Row[Any] | None:
    """The vote that counts."""
    return conn.execute(select(rating).where(rating.c.survey_id == survey_id, rating.c.current)).one_or_none()


def votes(conn: Connection, survey_id: int) -> Sequence[Row[Any]]:
    """Every vote of a survey, oldest first."""
    return conn.execute(select(rating).where(rating.c.survey_id == survey_id).order_by(rating.c.id)).all()


def add_vote(conn: Connection, **columns: Any) -> int | None:
    """Write a vote down; a counting one takes the place of the one before. None: its key was there already."""
    survey_id = columns["survey_id"]
    made: int | None = insert_new(conn, rating, columns)
    if made is not None and columns.get("current", True):
        conn.execute(
            update(rating)
            .where(rating.c.survey_id == survey_id, rating.c.id != made, rating.c.current)
            .values(current=False)
        )
    return made


BURST = "burst:"
"""What the keys of votes begin with that a scanner cast: they are history, and never count."""


def discard(conn: Connection, survey_id: int, channel: str, since: datetime) -> list[int]:
    """Votes of this channel after `since` never counted; the last one before them counts again. Returns their ids."""
    found = votes(conn, survey_id)
    scanned = [vote.id for vote in found if vote.channel == channel and vote.at > since]
    kept = [vote.id for vote in found if vote.id not in scanned and not (vote.key or "").startswith(BURST)]
    conn.execute(update(rating).where(rating.c.survey_id == survey_id, rating.c.current).values(current=False))
    for vote_id in scanned:
        conn.execute(update(rating).where(rating.c.id == vote_id).values(key=f"{BURST}{vote_id}"))
    if kept:
        conn.execute(update(rating).where(rating.c.id == kept[-1]).values(current=True))
    return scanned


def withdraw(conn: Connection, ticket_id: int, mark: str, now: datetime) -> int:
    """Take back waiting notices of a ticket whose `replaces` mark begins with this one. Returns how many."""
    statement = (
        update(outbox)
        .where(outbox.c.ticket_id == ticket_id, outbox.c.replaces.startswith(f"{mark}:"), outbox.c.state == "waiting")
        .values(state="replaced", settled_at=now, detail="withdrawn")
    )
    return conn.execute(statement).rowcount


# -- the requester's view -----------------------------------------------------------------


def viewed(conn: Connection, token_hash: str, now: datetime) -> Row[Any] | None:
    """The ticket (`ticket_id`, `recipient`) that a link shows; None when there is none, or it has expired."""
    wanted = select(view_token).where(view_token.c.token_hash == token_hash, view_token.c.expires_at > now)
    return conn.execute(wanted).one_or_none()
