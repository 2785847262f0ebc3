"""Surveys: one record and one policy, whatever channel the answer comes by.

A vote is written down with everything before it; the last one counts. `ask` and the timers are in
`gateway.survey_asking`; here is what becomes of an answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias

from sqlalchemy import Connection, Row

from gateway import updates
from gateway.context import Context
from gateway.notices import Change
from gateway.store import people, surveys, tickets
from gateway.survey_asking import ASKABLE, CHECKS, Asked, ask, open_survey, token_of, why_not

__all__ = [
    "CHECKS",
    "SCORES",
    "Asked",
    "Rated",
    "ask",
    "by_token",
    "comment",
    "offered",
    "open_survey_for",
    "opt_out",
    "rate",
    "ticket_of",
    "token_of",
    "why_not",
]

SCORES = range(1, 6)
"""5 is best."""
LONGEST_COMMENT = 10_000
BY_PHONE = frozenset({"sms", "whatsapp", "voice"})
"""Channels whose votes have a time of their own."""
Outcome: TypeAlias = Literal["counted", "repeated", "burst", "expired", "fixed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rated:
    """What a vote came to.

    counted; repeated: it says what counts already, or came before; burst: several scores at once, none
    counts; expired: too late to vote; fixed: too late to change.
    """

    outcome: Outcome
    score: int | None
    """The score that counts now."""


def by_token(conn: Connection, ctx: Context, token: str) -> Row[Any] | None:
    """The survey with this token, expired or not; None: there is none."""
    return surveys.by_hash(conn, ctx.keyring.hash(token))


def open_survey_for(conn: Connection, ticket_id: int, recipient: str, now: datetime) -> Row[Any] | None:
    """The survey that a digit by mail from this person would answer."""
    return surveys.open_for(conn, ticket_id, recipient, now)


def offered(conn: Connection, ctx: Context, ticket: Row[Any], now: datetime) -> int | None:
    """The survey that the requester may answer at once, as they ask about their ticket themselves; None: there is
    nothing to ask, or they answered. Where the question is still to come, it is asked here."""
    if ticket.status not in ASKABLE:
        return None
    known = surveys.of_resolution(conn, ticket.id, ticket.requester_id, ticket.resolutions)
    if known is None:
        return None if why_not(conn, ctx, ticket, now) else open_survey(conn, ctx, ticket, now)
    over = known.closed_at is not None or known.expires_at <= now or surveys.current(conn, known.id) is not None
    return None if over else int(known.id)


def rate(
    conn: Connection,
    ctx: Context,
    survey_id: int,
    score: int,
    comment: str,
    channel: str,
    key: str | None,
    now: datetime,
) -> Rated:
    """Take a vote of 1 to 5; the last one counts. A low one is told to the watchers.

    `key` makes it happen once. Raises ValueError for another score, NoResultFound for no such survey.
    """
    if score not in SCORES:
        raise ValueError("a score is 1 to 5")
    survey = surveys.get(conn, survey_id)
    comment = comment.strip()[:LONGEST_COMMENT]
    before = surveys.current(conn, survey_id)
    refused = _refused(conn, ctx, survey, score, channel, now)
    if refused == "burst":
        _discard(conn, ctx, survey, score, channel, now)
        kept = surveys.current(conn, survey_id)
        return Rated(outcome="burst", score=kept.score if kept else None)
    if refused is not None:
        return Rated(outcome=refused, score=before.score if before else None)
    if before is not None and before.score == score and comment in ("", before.comment):
        return Rated(outcome="repeated", score=score)
    words = comment or (before.comment if before is not None and before.score == score else "")
    if not _add(conn, survey, score, words, channel, key, now):
        now_counting = surveys.current(conn, survey_id)
        return Rated(outcome="repeated", score=now_counting.score if now_counting else None)
    _tell(conn, ctx, survey, score, words, channel, key, now)
    return Rated(outcome="counted", score=score)


def comment(
    conn: Connection, ctx: Context, survey_id: int, text: str, channel: str, key: str | None, now: datetime
) -> Rated:
    """Add words to the vote that counts. Without a vote there is nothing to add to: `expired`."""
    before = surveys.current(conn, survey_id)
    if before is None:
        return Rated(outcome="expired", score=None)
    return rate(conn, ctx, survey_id, before.score, text, channel, key, now)


def ticket_of(conn: Connection, survey_id: int) -> int:
    """Id of the ticket that a survey is about. Raises NoResultFound."""
    return int(surveys.get(conn, survey_id).ticket_id)


def opt_out(conn: Connection, survey_id: int, now: datetime) -> None:
    """This person is not asked again, on any channel."""
    survey = surveys.get(conn, survey_id)
    people.set_no_surveys(conn, survey.contact_id, True)
    data = {"survey": survey_id, "contact": survey.contact_id}
    key = f"no-surveys:{survey_id}"
    tickets.add_event(conn, survey.ticket_id, at=now, actor="requester", kind="no_surveys", data=data, key=key)


def _refused(
    conn: Connection, ctx: Context, survey: Row[Any], score: int, channel: str, now: datetime
) -> Literal["burst", "expired", "fixed"] | None:
    if survey.expires_at <= now:
        return "expired"
    votes = surveys.votes(conn, survey.id)
    counted = [vote for vote in votes if not (vote.key or "").startswith(surveys.BURST)]
    lately = [vote for vote in votes if vote.channel == "web" and now - vote.at < ctx.surveys.burst]
    if channel == "web" and any(vote.score != score or vote not in counted for vote in lately):
        return "burst"
    if counted and now - counted[0].at >= _changeable(ctx, channel) and counted[-1].score != score:
        return "fixed"
    return None


def _changeable(ctx: Context, channel: str) -> timedelta:
    policy = ctx.surveys
    return min(policy.changeable, policy.changeable_by_phone) if channel in BY_PHONE else policy.changeable


def _discard(conn: Connection, ctx: Context, survey: Row[Any], score: int, channel: str, now: datetime) -> None:
    """Nobody changes their mind within seconds: a scanner pressed every button. None of it counts."""
    scanned = surveys.discard(conn, survey.id, channel, now - ctx.surveys.burst)
    key = f"{surveys.BURST}{survey.id}:{now.isoformat()}:{score}"
    ids = {"survey_id": survey.id, "ticket_id": survey.ticket_id}
    surveys.add_vote(conn, **ids, score=score, comment="", channel=channel, at=now, current=False, key=key)
    surveys.withdraw(conn, survey.ticket_id, updates.low_rating_mark(survey.id), now)
    if scanned:
        data = {"survey": survey.id, "votes": scanned}
        event_key = f"scanned:{scanned[0]}"
        tickets.add_event(
            conn, survey.ticket_id, at=now, actor="gateway", kind="votes_discarded", data=data, key=event_key
        )


def _add(
    conn: Connection, survey: Row[Any], score: int, text: str, channel: str, key: str | None, now: datetime
) -> bool:
    ids = {"survey_id": survey.id, "ticket_id": survey.ticket_id}
    vote = surveys.add_vote(conn, **ids, score=score, comment=text, channel=channel, at=now, current=True, key=key)
    return vote is not None


def _tell(
    conn: Connection,
    ctx: Context,
    survey: Row[Any],
    score: int,
    text: str,
    channel: str,
    key: str | None,
    now: datetime,
) -> None:
    data = {"survey": survey.id, "score": score, "channel": channel, "comment": bool(text)}
    event_key = f"vote:{key}"[:128] if key else None
    event_id = tickets.add_event(
        conn, survey.ticket_id, at=now, actor="requester", kind="rating", data=data, key=event_key
    )
    change = Change(ticket_id=survey.ticket_id, event_id=event_id, kind="rating", actor="requester", data=data)
    updates.compose(conn, ctx, change, now)
