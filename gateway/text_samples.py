"""Values to try every text with: one full set, one with everything optional empty.

They are also the list of what a template may use; `gateway check` fills every template in with both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.text_names import BOT_TEXTS, CODE_TEXTS, WORD_TEXTS

URL = "https://help.example/t/sample"
RATE = "https://help.example/rate/sample"

PEOPLE: Mapping[str, Any] = {
    "number": "10452873",
    "subject": "Printer on the second floor",
    "url": URL,
    "desk": "Example support",
    "phone": "+380 44 000 00 00",
    "due": "by 15:00 today",
    "due_short": "by 15:00 24 Nov",
    "closed": True,
    "hours": "Monday to Friday, 9:00 to 18:00",
    "emergency": "+380 44 000 00 01",
    "registered": True,
    "text": "Which floor is the printer on?\n\nAnd since when?",
    "author": "Olha Shevchenko",
    "result": "The cable was replaced.",
    "date": "24 November",
    "visit": "on Monday, 24 November, between 10:00 and 12:00",
    "visit_short": "24 Nov 10:00-12:00",
    "private": True,
    "incident": "mail has not been arriving since 9:00",
    "outcome": "We have replaced a disk of the mail server.",
    "survey": {"urls": {score: f"{RATE}?score={score}" for score in range(1, 6)}, "stop": f"{RATE}?stop=1"},
}
"""What a text to the requester may use: no class, no line, no other deadline than the one promised."""
STAFF: Mapping[str, Any] = {
    **{name: PEOPLE[name] for name in ("number", "subject", "desk", "text")},
    "requester": "Iryna <iryna@client.example>",
    "status": "open",
    "line": "L2",
    "class_": 3,
    "proposed_class": 3,
    "onsite": True,
    "contract": "Example Client",
    "reaction": "by 15:00 today",
    "resolution": "by 18:00 tomorrow",
    "before": "L1",
    "reason": "needs a specialist",
    "verified": False,
    "held": True,
    "clock": "reaction",
    "deadline": "24 November, 15:00",
    "score": 1,
    "comment": "Nobody called back.",
    "recipient": "iryna@client.example",
    "detail": "550 5.1.1 no such user",
    "kind": "reply",
    "note_address": "support+note@desk.example",
}
"""What a text to staff may use."""
BOT: Mapping[str, Any] = {
    "number": "10452873",
    "url": "https://help.example/upload",
    "phone": "+380 44 000 00 00",
    "tickets": [
        {"number": "10452873", "status": status, "date": "24 November", "due": due, "subject": subject}
        for status, due, subject in (
            ("new", "by 15:00 today", "Printer on the second floor"),
            ("held", "", ""),
            ("open", "", "Mail"),
            ("waiting", "", ""),
            ("resolved", "", ""),
            ("closed", "", ""),
        )
    ],
    "bot": "example_support_bot",
    "minutes": 15,
    "left": 2,
    "address": "iryna@client.example",
    "limit": 20,
    "score": 5,
    "result": "The cable was replaced.",
    "reopened": True,
    "code": "493817",
    "where": "Telegram",
}
"""What the words of a bot may use, each its own part of it (`text_names.BOT_TEXTS`, `CODE_TEXTS`)."""
BOT_ALWAYS = frozenset({"score", "minutes", "limit", "tickets"})
ABOUT_A_TICKET = ("bot_photo_only", "bot_reopened")
"""What is never empty; the number only in texts that make no sense without a ticket."""
OPERATORS: Mapping[str, Any] = {
    "desk": "Example support",
    "alert": "quarantine",
    "state": "raised",
    "detail": "3 messages could not be read",
    "since": "24 November, 15:00",
}
"""What the text to operators may use; it is about no ticket."""
BARE: Mapping[str, Any] = {
    "url": "",
    "subject": "",
    "phone": "",
    "due": "",
    "due_short": "",
    "closed": False,
    "hours": "",
    "emergency": "",
    "registered": False,
    "author": "",
    "result": "",
    "date": "",
    "outcome": "",
    "survey": None,
    "class_": None,
    "proposed_class": None,
    "onsite": False,
    "contract": "",
    "reaction": "",
    "resolution": "",
    "reason": "",
    "verified": True,
    "held": False,
    "clock": "resolution",
    "deadline": "",
    "score": None,
    "comment": "",
    "detail": "",
    "kind": "",
    "note_address": "",
    "state": "cleared",
    "since": "",
    "text": "",
    "visit": "",
    "visit_short": "",
    "private": False,
}
"""What optional values are when there is nothing to say."""


def samples(template: str) -> Iterator[Mapping[str, Any]]:
    """Both sets of values for a template."""
    full = _full(template)
    yield full
    # A text that asks for a rating is never sent without the survey, and only a reply goes to people in copy.
    kept = {"survey"} if template.startswith("survey") else set()
    kept |= set() if template in ("reply", *BOT_TEXTS) else {"url"}
    bare = {**BARE, **dict.fromkeys(BOT, "")} if template in BOT_TEXTS else BARE
    kept |= BOT_ALWAYS | ({"number"} if template in ABOUT_A_TICKET else set()) if template in BOT_TEXTS else set()
    yield {name: value if name in kept else bare.get(name, value) for name, value in full.items()}


def _full(template: str) -> Mapping[str, Any]:
    own = ({**BOT_TEXTS, **CODE_TEXTS, **WORD_TEXTS}).get(template)
    if own is not None:
        return {"desk": PEOPLE["desk"], **{name: BOT[name] for name in own}}
    if template == "alert":
        return OPERATORS
    return STAFF if template.startswith("staff_") else PEOPLE
