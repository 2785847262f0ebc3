"""Marks that name their survey, and what is said to them: pressed buttons, digits in a chat, comments.

Only the person who was asked has a vote. Every press is answered, whatever it means (also old, foreign, unknown).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from channels.registry import identity_kind
from gateway import bot_answers, survey_buttons, surveys
from gateway.context import Context
from gateway.dialogs import bot
from gateway.dialogs.states import Outcome, Voted, VoteOutcome
from gateway.filing_case import Case, Filed
from gateway.filing_commands import carry_out
from gateway.identities import Identity
from gateway.store import people, tickets
from gateway.store import surveys as store
from gateway.store.journal import Entry
from gateway.talks import Talk, save, state_of, talk_of
from normalizer.message import Address, Rating

OUTCOMES: dict[surveys.Outcome, VoteOutcome] = {
    "counted": "counted",
    "repeated": "counted",
    "burst": "fixed",
    "expired": "expired",
    "fixed": "fixed",
}
"""What a vote came to -> what its voter is told."""


def file_rating(conn: Connection, ctx: Context, entry: Entry, rating: Rating, now: datetime) -> Filed:
    """A vote that names its survey."""
    talk = _talk(conn, ctx, entry, rating, now)
    if talk is not None and bot_answers.answered(conn, entry):
        return Filed(kind="rating", because="counted before")
    survey = surveys.by_token(conn, ctx, rating.token)
    if survey is None:
        _tell(talk, "gone")
        return Filed(kind="rating", because="no such survey")
    ticket = tickets.get(conn, survey.ticket_id)
    if not _is_theirs(conn, entry, survey, rating.voter):
        _tell(talk, "not_yours", survey)
        return Filed(kind="rating", ticket_id=ticket.id, number=ticket.number, because="somebody else's survey")
    if rating.score not in surveys.SCORES:
        _tell(talk, "gone", survey)
        return Filed(kind="rating", ticket_id=ticket.id, number=ticket.number, because="no such mark")
    key = f"rating:{entry.id}"
    rated = surveys.rate(conn, ctx, survey.id, rating.score, rating.comment, entry.raw.channel, key, now)
    _tell(talk, OUTCOMES[rated.outcome], survey, rated.score or 0)
    return Filed(kind="rating", ticket_id=ticket.id, number=ticket.number, because=rated.outcome)


def thank(conn: Connection, case: Case, ticket_id: int) -> None:
    """Answer a vote that was written as a digit in a conversation; in a mail nobody waits for an answer."""
    said, place = case.message, case.message.conversation
    if place is None or bot_answers.answered(conn, case.entry) or not case.entry.notify:
        return
    survey = surveys.open_survey_for(conn, ticket_id, people.normal(case.sender.address), case.now)
    if survey is None:
        return
    # A word of thanks is too little to tell a language by: it is the one that they were asked in.
    talk = talk_of(conn, case.ctx, case.entry, case.sender, place, survey.language, None, case.now)
    talk.said = said.external_key
    if said.rating is None:
        bot_answers.hush(talk)
        _step(talk, Outcome(result="no_surveys", survey=survey.id, at=case.now))
        return
    counts = store.current(conn, survey.id)
    kept = counts.score if counts is not None else said.rating
    _tell(talk, "counted" if kept == said.rating else "fixed", survey, kept)


# -- whose survey it is -------------------------------------------------------------------


def _is_theirs(conn: Connection, entry: Entry, survey: Row[Any], voter: Address | None) -> bool:
    if voter is None:  # who has the token is the one who was asked
        return True
    who = Identity(kind=identity_kind(entry.raw.channel), value=people.normal(voter.address))
    return survey_buttons.is_theirs(conn, who, survey)


# -- answers ------------------------------------------------------------------------------


def _talk(conn: Connection, ctx: Context, entry: Entry, rating: Rating, now: datetime) -> Talk | None:
    """None where nobody waits for an answer."""
    if rating.press is None or rating.voter is None or rating.conversation is None or not entry.notify:
        return None
    return talk_of(conn, ctx, entry, rating.voter, rating.conversation, "", rating.press, now)


def _tell(talk: Talk | None, outcome: VoteOutcome, survey: Row[Any] | None = None, score: int = 0) -> None:
    if talk is None:
        return
    bot_answers.hush(talk)
    survey_id = survey.id if survey is not None else 0
    low = outcome == "counted" and score <= talk.ctx.surveys.low_score
    event = Voted(
        outcome=outcome,
        survey=survey_id,
        score=score,
        low=low,
        pressed=talk.press is not None,
        edits=talk.edits,
        at=talk.now,
    )
    _step(talk, event)


def _step(talk: Talk, event: Voted | Outcome) -> None:
    state, actions = bot.step(state_of(talk), event)
    save(talk, carry_out(talk, state, actions))
