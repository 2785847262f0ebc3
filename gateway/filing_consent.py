"""STOP, START and HELP: kept for the person and the number of ours, answered once, and no ticket.

A replay changes no wish: what the person said since counts.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection

from gateway import bot_answers
from gateway.context import Context
from gateway.dialogs.states import Say
from gateway.filing_case import Filed
from gateway.store import consents, counters, people, threads, tickets
from gateway.store.journal import Entry
from gateway.talks import Talk, talk_of, who_of
from normalizer.message import Consent

AGAIN = timedelta(days=1)
"""START and HELP, when they change nothing, are answered once within this."""


def file_consent(conn: Connection, ctx: Context, entry: Entry, said: Consent, now: datetime) -> Filed:
    """Keep the wish and answer it, where the far side has not."""
    if bot_answers.answered(conn, entry):
        return Filed(kind="consent", because="answered before")
    if not entry.notify:
        return Filed(kind="consent", because="a replay changes no wish")
    talk = talk_of(conn, ctx, entry, said.sender, said.conversation, "", None, now)
    ours = consents.endpoint(talk.account, said.conversation.answer_to)
    # Whoever writes has a telephone that is on; that they want no messages is another matter.
    people.mark_reachable(conn, who_of(talk).kind, talk.person, talk.channel)
    if consents.said_since(conn, talk.channel, ours, talk.person, entry.raw.received_at):
        # It was on its way for long: a list found it, and what they said later came before it.
        return Filed(kind="consent", because="another wish was said since")
    before = consents.stopped(conn, talk.channel, ours, talk.person)
    if said.wish != "help":
        how = "far side" if said.answered else "word"
        consents.wish(conn, talk.channel, ours, talk.person, said.wish, how=how, now=entry.raw.received_at)
    changed = said.wish != "help" and before != (said.wish == "stop")
    if not said.answered and (changed or _first(talk, said, ours)):
        bot_answers.hush(talk)
        bot_answers.say(talk, Say(text=f"word_{said.wish}"))
    if changed:
        _show(talk, said.wish, ours)
    return Filed(kind="consent", because=said.wish)


def _show(talk: Talk, wish: str, ours: str) -> None:
    """On the ticket that the conversation is about: who works on it sees why nothing arrives there any more."""
    about = threads.lock_conversation(talk.conn, talk.channel, talk.account, talk.person).ticket_id
    if about is None:
        return
    data = {"wish": wish, "channel": talk.channel, "endpoint": ours}
    key = f"consent:{talk.entry.id}"
    tickets.add_event(talk.conn, about, at=talk.now, actor="requester", kind="consent", data=data, key=key)


def _first(talk: Talk, said: Consent, ours: str) -> bool:
    """Nothing changed: is it the first time in a while that this is said? Two machines must not talk for ever."""
    if said.wish == "stop":
        return False
    name = f"auto:day:word:{said.wish}:{talk.channel}:{ours}:{talk.person}"
    return counters.count_up(talk.conn, name, counters.bucket(talk.now, AGAIN)) <= 1
