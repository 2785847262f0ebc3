"""What staff read in the ticket of a call: the desk's own words about it, in the language of the call's account."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from gateway import wording
from gateway.call_facts import Asked, is_hidden, is_one_persons
from gateway.dialogs import ivr_states as ivr
from gateway.shared_numbers import PHONE
from gateway.store import people
from gateway.texts import LANGUAGES

URGENT = "urgent"
"""What a caller chose who says that everything has stopped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notes:
    """The words of one desk."""

    language: str
    zone: str
    """IANA name."""
    words: Mapping[str, str]

    def about(self, asked: Asked, state: ivr.State, *ends: str) -> str:
        """The call on one line: who, when, what was chosen, how it went on."""
        caller = asked.call.caller
        who = self.words["ticket_hidden"] if is_hidden(caller) else self.say("ticket_from", caller=caller)
        over = asked.event.forwarded_from
        said = (
            who,
            _name(asked),
            self.when(asked.call.begun_at, asked.now),
            self.say("ticket_forwarded", number=over) if over else "",
            *(self.words[f"ticket_chose_{way}"] for way in state.chosen),
            *ends,
        )
        line = self.say("ticket_call", said="; ".join(part for part in said if part))
        return " ".join(line.split())

    def say(self, text: str, **values: str) -> str:
        """A text, filled in."""
        return self.words[text].format_map(values)

    def when(self, at: datetime, now: datetime) -> str:
        """A date with its time, in the account's zone."""
        return wording.moment(self.language, at, now, self.zone)

    def subject(self, state: ivr.State) -> str:
        """What the ticket is called."""
        return self.words["ticket_subject_urgent" if URGENT in state.chosen else "ticket_subject"]

    def voice(self, seconds: int) -> str:
        """That somebody spoke, and for how long where that is known."""
        return self.say("ticket_voice", length=length(seconds)) if seconds else self.words["ticket_voice_unmeasured"]


def notes_of(asked: Asked) -> Notes:
    """The words of the desk that was called. Raises KeyError where texts are missing."""
    account = asked.ctx.settings.account(asked.call.channel, asked.call.account)
    language = account.language if account is not None and account.language in LANGUAGES else "en"
    zone = account.timezone if account is not None else "UTC"
    return Notes(language=language, zone=zone, words=asked.ctx.texts.calls[language])


def length(seconds: int) -> str:
    """90 is "1:30"."""
    return f"{seconds // 60}:{seconds % 60:02}"


def _name(asked: Asked) -> str:
    """Of the contact that this number is known as."""
    if not is_one_persons(asked):
        return ""
    found = people.find(asked.conn, PHONE, asked.call.caller)
    return people.get(asked.conn, found.contact_id).name if found is not None else ""
