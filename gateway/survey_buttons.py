"""What a pressed button under a survey does beside a vote, and what becomes of the comment that was asked for."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row

from channels.registry import identity_kind
from gateway import bot_answers, identities, surveys
from gateway.dialogs import bot
from gateway.dialogs.states import AboutSurvey, Outcome, Result, Say
from gateway.filing_append import keep_vote
from gateway.filing_case import Case, Filed
from gateway.identities import Identity
from gateway.requester_acts import problem_remains
from gateway.shared_numbers import PHONE
from gateway.store import outbox, tickets
from gateway.store import surveys as store
from gateway.talks import Talk
from normalizer import short_answers


def about(talk: Talk, who: Identity, action: AboutSurvey) -> Outcome:
    """A button under a survey that is no mark."""
    survey = surveys.by_token(talk.conn, talk.ctx, action.token)
    if survey is None:
        return _ended(talk, "gone")
    if not is_theirs(talk.conn, who, survey):
        return _ended(talk, "not_yours")
    match action.what:
        case "no_surveys":
            surveys.opt_out(talk.conn, survey.id, talk.now)
        case "reopened":
            _reopen(talk, survey)
        case "change" | "comment" if survey.expires_at <= talk.now:
            return _ended(talk, "gone")
        case "comment" if store.current(talk.conn, survey.id) is None:
            return _ended(talk, "gone")
        case _:
            pass
    return _ended(talk, action.what, survey.id)


def keep_comment(talk: Talk, case: Case, survey_id: int) -> Filed:
    """The words that were asked for: a comment on the mark, and a message of the ticket."""
    survey = store.get(talk.conn, survey_id)
    text = case.message.visible_text or case.message.text
    surveys.comment(talk.conn, talk.ctx, survey_id, text, talk.channel, f"comment:{talk.entry.id}", talk.now)
    ticket = tickets.lock(talk.conn, survey.ticket_id)
    message_id = keep_vote(talk.conn, case, ticket)
    bot_answers.say(talk, _answer(talk, survey, text), ticket.id)
    return Filed(kind="rating", ticket_id=ticket.id, number=ticket.number, message_id=message_id, because="comment")


def _answer(talk: Talk, survey: Row[Any], text: str) -> Say:
    """What is said to a comment. Who has no button to press has said all when they write that it still fails."""
    if identity_kind(talk.channel) != PHONE or not (bot.still_broken(text) or short_answers.fails(text)):
        return bot.comment_taken(text, survey.id)
    _reopen(talk, survey)
    return Say(text="commented", variables={"reopened": True}, survey=survey.id)


def _reopen(talk: Talk, survey: Row[Any]) -> None:
    key = f"reopened:{talk.entry.id}"
    problem_remains(talk.conn, talk.ctx, survey.ticket_id, who=survey.recipient, text="", now=talk.now, key=key)
    # The bot says so itself, and at once.
    outbox.take_back(talk.conn, survey.ticket_id, ("reopened",), talk.now, why="said in the chat")


def is_theirs(conn: Connection, who: Identity, survey: Row[Any]) -> bool:
    """This person was asked: under the identity that the question went to, or another of the same contact."""
    if who.value == survey.recipient and survey.channel in identities.channels_of(who.kind):
        return True
    return identities.same_person(conn, who, survey.contact_id)


def _ended(talk: Talk, result: Result, survey: int = 0) -> Outcome:
    return Outcome(result=result, survey=survey, pressed=True, edits=talk.edits, at=talk.now)
