"""What a bot says, as rows of the outbox: a message, the answer to a pressed button, other words for a message.

A row names its text and its buttons; words, and the tokens in buttons, are put in when it is rendered.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, select

from gateway.dialogs.states import Choices, Edit, Say, Toast
from gateway.store import counters, outbox, people, schema
from gateway.store.journal import Entry
from gateway.talks import Talk
from gateway.text_names import WORD_TEXTS
from normalizer.message import Act, Conversation, Json

PREFIX = "bot_"
SURVEY = "survey"
"""The one text of a notice that a bot says, too: the question with its marks."""
OFF = "the account's outbound is off"
CAPS = (("minute", timedelta(minutes=1), 20), ("day", timedelta(days=1), 300))
"""Answers to one person: a person does not read faster, and two machines must not talk for ever (rule 9)."""
PAID = (CAPS[0], ("day", timedelta(days=1), 30))
"""The same where each costs money."""


def answered(conn: Connection, entry: Entry) -> bool:
    """This entry was answered before: whatever it asked for is done (rule 6)."""
    wanted = select(schema.outbox.c.id).where(schema.outbox.c.key == _key(entry, 0))
    return conn.scalar(wanted) is not None


def hush(talk: Talk) -> None:
    """Count one answer, and say nothing when it is one too many, or too late (rule 9)."""
    entry, name = talk.entry, f"bot:{talk.channel}:{talk.person}"
    account = talk.ctx.settings.account(talk.channel, talk.account)
    if account is not None and account.outbound == "off":
        talk.mute = OFF
    elif entry.accepted_at - entry.raw.received_at > talk.ctx.settings.tickets.automatic_age:
        talk.mute = "too late"
    elif entry.raw.facts.get("imported"):
        talk.mute = "imported"
    elif not all(
        counters.count_up(talk.conn, f"auto:{unit}:{name}", counters.bucket(talk.now, span)) <= most
        for unit, span, most in (CAPS if account is None or account.most_a_day() is None else PAID)
    ):
        talk.mute = "cap"


def say(talk: Talk, what: Say, ticket_id: int | None = None) -> None:
    """A message of its own."""
    lane = f"bot:{talk.channel}:{talk.account}:{people.normal(talk.conversation.id)}"
    _put(talk, what.text, _variables(what.variables, what.choices, what.survey), lane=lane, ticket_id=ticket_id)


def toast(talk: Talk, what: Toast) -> None:
    """The answer to the pressed button: the first one counts, and there is no other."""
    if talk.press is None or talk.toasted:
        return
    talk.toasted = True
    _put(talk, f"press_{what.text}", dict(what.variables), act="press", target=talk.press.id)


def edit(talk: Talk, what: Edit, ticket_id: int | None = None) -> None:
    """Other words for the message whose button was pressed; the newest ones win."""
    under = talk.press.under if talk.press is not None else ""
    variables = _variables(what.variables, what.choices, what.survey)
    lane, replaces = f"edit:{under}"[:400], f"edit:{under}"[:190]
    _put(talk, what.text, variables, act="edit", target=under, lane=lane, replaces=replaces, ticket_id=ticket_id)


def _variables(given: Mapping[str, Json], choices: Choices, survey: int) -> dict[str, Json]:
    buttons: list[Json] = [[[choice.word, choice.data] for choice in row] for row in choices]
    more: dict[str, Json] = {"buttons": buttons} if buttons else {}
    return {**given, **more, **({"survey": survey} if survey else {})}


def _key(entry: Entry, number: int) -> str:
    return f"bot:{entry.id}:{number}"


KINDS: Mapping[Act, str] = {"send": "answer", "edit": "edit", "press": "press"}


def _put(
    talk: Talk,
    text: str,
    variables: dict[str, Json],
    *,
    act: Act = "send",
    target: str = "",
    lane: str = "",
    replaces: str | None = None,
    ticket_id: int | None = None,
) -> None:
    if act == "send" and talk.said and not talk.conversation.private:
        variables["answers"] = talk.said
    draft = outbox.Draft(
        key=_key(talk.entry, talk.count),
        lane=lane[:400],
        kind=KINDS[act],
        channel=talk.channel,
        account=talk.account,
        recipient=talk.person,
        recipient_name=talk.sender.name,
        language=talk.language,
        template=text if text == SURVEY or text in WORD_TEXTS else f"{PREFIX}{text}",
        variables=variables,
        # A second "done" would be odd, a second edit changes nothing.
        repeatable=act == "edit",
        automatic=True,
        ticket_id=ticket_id,
        destination=_destination(talk.conversation),
        act=act,
        target=target[:255],
        replaces=replaces,
        # Somebody looks at a button that waits for its answer; an account that is off sends nothing at all.
        mute=talk.mute if act != "press" or talk.mute == OFF else "",
    )
    talk.count += 1
    outbox.put(talk.conn, draft, talk.now)


def _destination(conversation: Conversation) -> dict[str, Any]:
    return dict(conversation.answer_to)
