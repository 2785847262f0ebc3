"""Which texts there are: their names, the forms they have, and what the words of a bot may use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

Form: TypeAlias = Literal["mail", "chat", "short"]
"""mail: with a subject, a greeting and a signature. chat: a message in a conversation, where the answer is written
below it. short: a text message or a sentence on the telephone; no link where it can be helped, no name, no subject."""

FORMS: tuple[Form, ...] = ("mail", "chat", "short")

TO_REQUESTER = (
    "acknowledgement",
    "known_incident",
    "works_again",
    "in_work",
    "handed_engineer",
    "handed_developers",
    "handed_provider",
    "later",
    "visit",
    "reopened",
    "closed",
    "reply",
    "question",
    "question_reminder",
    "resolved",
    "survey",
    "survey_reminder",
)
"""In every form. Beside what a mail says, `private` tells whether nobody else reads along: a chat of several people
gets the number, the state and the time, no incident, no result and no name."""

TO_STAFF = (
    "staff_new",
    "staff_severe",
    "staff_escalated",
    "staff_message",
    "staff_assigned",
    "staff_warning",
    "staff_breach",
    "staff_rating",
    "staff_unreadable",
    "staff_undelivered",
    "alert",
)
"""By mail."""

TO_OPERATORS = ("alert",)
"""By mail and, as one part, by text message; a chat gets the words of the mail."""

BOT_TEXTS: Mapping[str, tuple[str, ...]] = {
    "bot_start": (),
    "bot_help": ("phone",),
    "bot_new": (),
    "bot_language": (),
    "bot_language_set": (),
    "bot_status": ("tickets",),
    "bot_status_none": (),
    "bot_private": ("bot",),
    "bot_stop": (),
    "bot_resumed": (),
    "bot_unknown": (),
    "bot_link_ask": (),
    "bot_link_code": ("minutes",),
    "bot_link_wrong": ("left",),
    "bot_link_expired": (),
    "bot_often": (),
    "bot_linked": ("address",),
    "bot_unlinked": (),
    "bot_phone_ask": (),
    "bot_phone_shared": (),
    "bot_too_big": ("limit", "url", "number"),
    "bot_file_failed": ("number",),
    "bot_unsupported": (),
    "bot_photo_only": ("number",),
    "bot_rated": ("score", "number", "result"),
    "bot_rated_low": ("number", "result"),
    "bot_comment_ask": (),
    "bot_commented": ("reopened", "number"),
    "bot_reopened": ("number",),
    "bot_no_surveys": (),
    "bot_press_rated": ("score",),
    "bot_press_done": (),
    "bot_press_expired": (),
    "bot_press_closed": (),
    "bot_press_not_yours": (),
}
"""What a bot says by itself, in the chat form -> the variables of each, beside `desk`; what the row does not give is
"". `number` is that of the row's ticket, where it has one, and `result` what was done about it, where nobody else
reads along. `tickets`: a list of {number, status, date, due, subject}, date and due in words, due and subject may be
"". `limit` is in megabytes, `left` the tries that are left (0: none), `address` what the chat was linked to, `bot` the
name without @."""

BY_TEXT_MESSAGE = (
    "bot_rated",
    "bot_rated_low",
    "bot_commented",
    "bot_no_surveys",
    "bot_press_closed",
    "bot_file_failed",
    "bot_too_big",
)
"""Those of `BOT_TEXTS` that answer text messages, too, and so have a short form: one part, without the result."""

PRESSES = tuple(name for name in BOT_TEXTS if name.startswith("bot_press_"))
"""Answers to a pressed button: at most 200 characters (Bot API, answerCallbackQuery)."""

CODE_TEXTS: Mapping[str, tuple[str, ...]] = {"link_code": ("code", "minutes", "where")}
"""By mail: the code that shows that an address and a chat are one person's; `where` is the name of the channel."""

WORD_TEXTS: Mapping[str, tuple[str, ...]] = {"word_stop": (), "word_start": (), "word_help": ("phone",)}
"""The answers to STOP, START and HELP -> the variables of each. As a text message they are one part."""

TEMPLATES = (*TO_REQUESTER, *TO_STAFF)
"""Every template that a change of a ticket, or an alert, is told by."""

EXPECTED: tuple[tuple[Form, tuple[str, ...]], ...] = (
    ("mail", (*TEMPLATES, *CODE_TEXTS)),
    ("chat", (*TO_REQUESTER, *BOT_TEXTS, *WORD_TEXTS)),
    ("short", (*TO_REQUESTER, *BY_TEXT_MESSAGE, *WORD_TEXTS, *TO_OPERATORS)),
)
"""Form -> every template that must be there in every language."""

LONGER: Mapping[str, tuple[str, int]] = {
    "acknowledgement": ("emergency", 2),
    "reply": ("text", 3),
    "question": ("text", 3),
}
"""Template -> (variable, parts): a short text that may take several text messages when it says this; every other
one, and these without it, is one part of 70 UTF-16 units."""

PART_UNITS, PARTS_UNITS = 70, 67
"""UTF-16 units of a text message in letters other than Latin: alone, and in each of several (3GPP TS 23.040)."""


def parts(text: str) -> int:
    """How many text messages a text in any letters takes at most."""
    units = len(text.encode("utf-16-le", "replace")) // 2
    return 1 if units <= PART_UNITS else -(-units // PARTS_UNITS)
