"""Messages of chats: which ticket they belong to, and who may write there (rules 7, 8 and 10).

Chats have no threads. A message that answers one of ours belongs to its ticket; any other to the ticket that was last
talked about in this conversation, by either side, while that is fresh; else it opens one. Thanks and greetings do not.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row

from gateway import surveys
from gateway.filing_append import append_to, only_thanks
from gateway.filing_case import Case, Filed
from gateway.filing_edits import begin_album, file_piece
from gateway.filing_open import open_for
from gateway.filing_robots import may_wait, put_back
from gateway.filing_threads import Found, find, is_participant
from gateway.store import chats, outbox, threads, tickets
from gateway.store.chats import Topic
from gateway.store.people import normal
from normalizer.message import KeyKind

ALIVE = ("new", "open", "waiting", "held", "resolved")
"""States of a ticket that a conversation goes on with."""


def file_chat(conn: Connection, case: Case, conversation: Row[Any]) -> Filed:
    """File a message of a chat whose conversation is locked. Raises Conflict."""
    piece = file_piece(conn, case)
    if piece is not None:
        return piece
    found = find(conn, case.message)
    if found is not None and found.ours:
        return Filed(kind="loop", because="bears an id that we issued")
    if found is None and _names_what_is_being_sent(conn, case):
        return put_back(conn, case.entry, case.now)
    if found is None:
        found, verified = None if case.fresh else _talked_about(conn, case, conversation), True
    else:
        verified = may_speak(conn, case, found)
    if found is None and only_thanks(case):
        return Filed(kind="thanks", because="thanks or a greeting opens no ticket")
    filed = open_for(conn, case) if found is None else append_to(conn, case, found, verified=verified)
    begin_album(conn, case, filed)
    if verified and filed.ticket_id is not None and not only_thanks(case):
        _remember(conn, case, conversation, filed.ticket_id)
    return filed


def _remember(conn: Connection, case: Case, conversation: Row[Any], ticket_id: int) -> None:
    raw = case.entry.raw
    last = conversation.last_at
    if last is not None and last > raw.received_at and conversation.ticket_id is not None:
        # Filed late: what was said after it decides what the conversation is about.
        return
    threads.touch_conversation(
        conn, raw.channel, raw.account, case.peer, ticket_id=ticket_id, at=raw.received_at, digest=""
    )


def _names_what_is_being_sent(conn: Connection, case: Case) -> bool:
    """It answers a message of ours whose id we do not know yet (rule 11)."""
    named = any(key.kind is KeyKind.EXTERNAL for key in case.message.thread_keys)
    if not (case.message.answers_us and named and may_wait(case.entry, case.now)):
        return False
    return outbox.is_sending(conn, case.entry.raw.channel, normal(case.sender.address))


# -- whose ticket -----------------------------------------------------------------------------


def may_speak(conn: Connection, case: Case, found: Found) -> bool:
    """Rule 8 in a chat, where the far side vouches for the sender, and a group reads every key that we issue there.

    In private the person who was written to may answer; what was said to others in a group can be named from there,
    too. In a group only who takes part in the ticket: what others answer there is for staff to see, and what they ask
    without naming a message opens a ticket of their own.
    """
    ticket = tickets.get(conn, found.ticket_id)
    if (ticket.conversation or {}).get("id") == case.peer or is_participant(conn, ticket.id, case.sender.address):
        return True
    talk = case.message.conversation
    theirs = found.issued and found.recipient == normal(case.sender.address)
    return theirs and talk is not None and talk.private


def _talked_about(conn: Connection, case: Case, conversation: Row[Any]) -> Found | None:
    """The ticket that the conversation is about."""
    raw, talk = case.entry.raw, case.message.conversation
    topics = []
    if conversation.ticket_id is not None:
        topics.append(Topic(ticket_id=conversation.ticket_id, at=conversation.last_at))
    if talk is not None:
        topics += chats.told(conn, raw.channel, raw.account, normal(case.sender.address), talk)
    # Of the same moment, the person's own word is the later one.
    topics.sort(key=lambda topic: topic.at, reverse=True)
    about = next((topic for topic in topics if _goes_on(conn, case, topic)), None)
    return None if about is None else Found(ticket_id=about.ticket_id, issued=False)


def _goes_on(conn: Connection, case: Case, topic: Topic) -> bool:
    if _votes(conn, case, topic):
        return True
    ticket = tickets.get(conn, topic.ticket_id)
    if ticket.conversation is not None and ticket.conversation.get("id") != case.peer:
        # We only asked about it here: what is said in private is not answered before a group.
        return False
    if only_thanks(case):
        return True
    fresh = abs(case.entry.raw.received_at - topic.at) <= case.ctx.settings.tickets.conversation_window
    return fresh and ticket.status in ALIVE


def _votes(conn: Connection, case: Case, topic: Topic) -> bool:
    """It answers the open survey about that ticket, which has a time limit of its own."""
    if case.message.rating is None and not case.message.stop_surveys:
        return False
    return surveys.open_survey_for(conn, topic.ticket_id, normal(case.sender.address), case.now) is not None
