"""Commands and buttons of a bot: the state is loaded, `gateway.dialogs.bot` says what happens, and it is done.

All of it in one transaction: a command that is processed twice is carried out once (rule 6), and everything that
is said goes out by the outbox. Commands open no ticket.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never

from sqlalchemy import Connection

from gateway import bot_answers, identities, survey_buttons
from gateway.context import Context
from gateway.dialogs import bot
from gateway.dialogs.states import (
    AboutSurvey,
    Action,
    Commanded,
    Edit,
    Heard,
    Outcome,
    Pass,
    Result,
    Say,
    SendCode,
    SetLanguage,
    SetWish,
    ShowTickets,
    State,
    TakeComment,
    Toast,
    TryCode,
    Unlink,
    UseLink,
    UsePhone,
    from_json,
)
from gateway.filing_case import Case, Filed
from gateway.filing_threads import look_up, named_keys
from gateway.own_tickets import listed
from gateway.store import consents, dialogs, people, surveys, tickets
from gateway.store.journal import Entry
from gateway.talks import Talk, chosen, save, state_of, talk_of, who_of
from normalizer.message import Command, Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Listened:
    """What the bot made of an ordinary message."""

    filed: Filed | None = None
    """It was what the bot had asked for, and is filed; None: it is for the desk."""
    fresh: bool = False
    """The person asked for a new ticket."""
    after: tuple[Talk, State] | None = None
    """What is to be remembered once it is filed."""


def file_command(conn: Connection, ctx: Context, entry: Entry, command: Command, now: datetime) -> Filed:
    """Carry out a command once, and answer it."""
    done = Filed(kind="command", because=f"/{command.name}"[:64])
    _keep_placeholder(conn, entry, command)
    if bot_answers.answered(conn, entry):
        return Filed(kind="command", because="carried out before")
    if not entry.notify:
        return Filed(kind="command", because="a replay carries out no command")
    talk = talk_of(conn, ctx, entry, command.sender, command.conversation, command.language, command.press, now)
    talk.said = command.external_key
    state = state_of(talk)
    bot_answers.hush(talk)
    people.mark_reachable(conn, who_of(talk).kind, talk.person, talk.channel)
    event = Commanded(
        name=command.name,
        argument=command.argument,
        private=command.conversation.private,
        pressed=command.press is not None,
        edits=talk.edits,
        language_known=chosen(talk) is not None,
        stopped=consents.stopped(conn, talk.channel, talk.account, talk.person),
        at=now,
    )
    state, actions = bot.step(state, event)
    state = carry_out(talk, state, actions)
    bot_answers.toast(talk, Toast())
    save(talk, state)
    return done


def listen(conn: Connection, case: Case) -> Listened:
    """Ask the bot whether a message of a conversation is meant for it."""
    said, entry = case.message, case.entry
    place = said.conversation
    kept = dialogs.find(conn, entry.raw.channel, entry.raw.account, place.id) if place is not None else None
    if place is None or kept is None:
        return Listened()
    state = from_json(kept)
    if said.edited_at is not None:
        edited = bool(said.external_key) and said.external_key == state.taken
        return Listened(filed=Filed(kind="command", because="an edit of what was taken") if edited else None)
    if bot_answers.answered(conn, entry):
        return Listened(filed=Filed(kind="command", because="taken before"))
    talk = talk_of(conn, case.ctx, entry, case.sender, place, said.language, None, case.now)
    talk.said = said.external_key
    event = Heard(
        text=said.visible_text or said.text,
        plain=not said.attachments and not said.group and _answers_nothing_else(conn, said, state),
        opens=not said.thanks,
        votes=said.rating is not None or said.stop_surveys,
        at=case.now,
    )
    after, actions = bot.step(state, event)
    passed = next((action for action in actions if isinstance(action, Pass)), None)
    if passed is None:
        bot_answers.hush(talk)
        filed = _take(talk, case, actions)
        after = carry_out(talk, after, actions)
        # An address or a code is no message of a ticket, and neither is its edit.
        save(talk, after if filed.message_id else replace(after, taken=said.external_key))
        return Listened(filed=filed)
    return Listened(fresh=passed.fresh, after=(talk, after) if after != state else None)


def settle(listened: Listened) -> None:
    """The message is filed: what it changes is remembered. One that was put back is heard again."""
    if listened.after is not None:
        save(*listened.after)


def _keep_placeholder(conn: Connection, entry: Entry, command: Command) -> None:
    """What could not be read at first has a ticket that says so; now it says what it was."""
    earlier = tickets.revisions(conn, entry.id)
    if not earlier:
        return
    tickets.add_revision(
        conn,
        earlier[-1].ticket_id,
        entry_id=entry.id,
        generation=entry.generation,
        direction="in",
        kind="command",
        author=command.sender.address,
        author_name=command.sender.name,
        text=f"/{command.name}",
        at=entry.raw.received_at,
        sha256=entry.raw.body.sha256,
    )


def _answers_nothing_else(conn: Connection, said: Message, state: State) -> bool:
    """It answers no message of a ticket, or the one that the bot's question is about."""
    keys = named_keys(said)
    if not keys:
        return True
    named = {row.ticket_id for row in look_up(conn, keys).values()}
    asked = getattr(state.awaits, "survey", 0)
    about = {surveys.get(conn, asked).ticket_id} if asked else set()
    return named <= about


def _take(talk: Talk, case: Case, actions: Iterable[Action]) -> Filed:
    """File the message itself: a comment is a message of its ticket, a code is nobody's."""
    for action in actions:
        if isinstance(action, TakeComment):
            return survey_buttons.keep_comment(talk, case, action.survey)
    return Filed(kind="command", because="what the bot had asked for")


# -- actions ------------------------------------------------------------------------------


def carry_out(talk: Talk, state: State, actions: Iterable[Action]) -> State:
    """Do what a step wants; what it came to may want more. Returns the last state."""
    waiting = deque(actions)
    while waiting:
        outcome = _do(talk, waiting.popleft())
        if outcome is not None:
            state, more = bot.step(state, outcome)
            waiting.extendleft(reversed(more))
    return state


def _do(talk: Talk, action: Action) -> Outcome | None:
    match action:
        case Say() | Toast() | Edit():
            _tell(talk, action)
        case SetLanguage(language=language):
            _set_language(talk, language)
        case SetWish(stop=stop):
            what: consents.Wish = "stop" if stop else "start"
            consents.wish(talk.conn, talk.channel, talk.account, talk.person, what, how="word", now=talk.now)
        case ShowTickets():
            bot_answers.say(talk, listed(talk.conn, talk.ctx, who_of(talk), talk.account, talk.language, talk.now))
        case AboutSurvey():
            return survey_buttons.about(talk, who_of(talk), action)
        case UseLink() | SendCode() | TryCode() | UsePhone() | Unlink():
            return _identify(talk, action)
        case TakeComment() | Pass():
            pass
        case _ as never:
            assert_never(never)
    return None


def _tell(talk: Talk, action: Say | Toast | Edit) -> None:
    survey = 0 if isinstance(action, Toast) else action.survey
    ticket_id = surveys.get(talk.conn, survey).ticket_id if survey else None
    match action:
        case Say(text="private"):
            name = talk.entry.raw.facts.get("bot_name") or ""
            bot_answers.say(talk, Say(text="private", variables={"bot": name}))
        case Say():
            bot_answers.say(talk, action, ticket_id)
        case Edit():
            bot_answers.edit(talk, action, ticket_id)
        case Toast():
            bot_answers.toast(talk, action)
        case _ as never:
            assert_never(never)


def _set_language(talk: Talk, language: str) -> None:
    who = who_of(talk)
    contact = people.contact_for(talk.conn, who.kind, who.value, talk.sender.name, talk.now)
    people.set_language(talk.conn, contact, language)
    talk.language = language


def _identify(talk: Talk, action: UseLink | SendCode | TryCode | UsePhone | Unlink) -> Outcome:
    conn, who, now = talk.conn, who_of(talk), talk.now
    match action:
        case UseLink(token=token):
            return _ended(
                talk, "linked" if identities.use_link(conn, talk.ctx, who, token, now=now) else "link_expired"
            )
        case SendCode(address=address):
            key = f"code:{talk.entry.id}"
            sent = identities.send_code(conn, talk.ctx, who, address, key=key, language=talk.language, now=now)
            return _ended(talk, "code_sent" if sent else "often")
        case TryCode(code=code):
            found = identities.try_code(conn, talk.ctx, who, code, now=now)
            return _ended(talk, "code_wrong") if found is None else _ended(talk, "linked", found)
        case UsePhone(number=number):
            shared = identities.share_phone(conn, talk.ctx, who, number, now=now)
            return _ended(talk, "linked", number) if shared else _ended(talk, "phone_shared")
        case Unlink():
            identities.unlink(conn, who, now=now)
            return _ended(talk, "unlinked")
        case _ as never:
            assert_never(never)


def _ended(talk: Talk, result: Result, address: str = "") -> Outcome:
    return Outcome(result=result, address=address, pressed=talk.press is not None, edits=talk.edits, at=talk.now)
