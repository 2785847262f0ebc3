"""What goes wrong with a call of the REST API, as a receipt: by Twilio's code, else by the HTTP status.

https://www.twilio.com/docs/api/errors. These are answers to the call that makes a message; what a later report says
has a table of its own (`normalizer.twilio_codes`), because there the same code comes after SENT.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from normalizer.message import Delivery, Fault, Receipt

_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
_LONGEST_WORDS = 300
LONGEST_PAUSE = 3600.0
"""Seconds: who asks for more is asked again after an hour."""


class Refused(Exception):
    """The API answered with an error: surely nothing was sent, unless `status` is 5xx."""

    def __init__(self, status: int, code: int, said: str, retry_after: float | None = None) -> None:
        """`code`: Twilio's, or the status where there is none. `said`: its own words."""
        super().__init__(said)
        self.status, self.code, self.retry_after = status, code, retry_after


class Unsent(Exception):
    """The API was not reached: it has read nothing. The text is safe to show."""


class Unanswered(Exception):
    """The call went out, and no answer came that can be read: it may have been done. The text is safe to show."""


What: TypeAlias = Literal["later", "slower", "never", "unreachable", "elsewhere", "stopped", "setup", "denied"]
"""later, slower: it may be tried again; never: this text will not go; unreachable: nothing ever arrives there;
elsewhere: not on this channel; stopped: the person wants nothing from this number; setup: elsewhere, and operators hear
of it; denied: nothing goes out by this account until somebody mends it."""

CODES: Mapping[int, tuple[What, str]] = {
    10004: ("later", "too many calls at once for our account"),
    20003: ("denied", "Twilio does not accept our account's token"),
    20005: ("denied", "our account at Twilio is not active"),
    20404: ("denied", "Twilio knows no such account"),
    20429: ("later", "too many requests for Twilio"),
    21205: ("setup", "the address that a call is led from is none that Twilio takes; see public_url"),
    21210: ("setup", "our number is not one of the account's, and cannot call"),
    21211: ("unreachable", "there is no such number"),
    21212: ("setup", "our number is none that can send or call"),
    21214: ("unreachable", "the number cannot be reached"),
    21215: ("setup", "our account may not call this country"),
    21216: ("elsewhere", "our account may not call this number"),
    21217: ("unreachable", "there is no such number"),
    21219: ("setup", "an account on trial calls only numbers that it has verified"),
    21408: ("setup", "our account may not send to this country"),
    21601: ("setup", "our number cannot send text messages"),
    21602: ("never", "there is no text"),
    21603: ("setup", "our number is missing"),
    21606: ("setup", "our number is not one of the account's, or cannot send to this one"),
    21608: ("setup", "an account on trial writes only to numbers that it has verified"),
    21610: ("stopped", "the person wants no messages from this number"),
    21611: ("slower", "too much waits to go out from our number"),
    21612: ("elsewhere", "our number cannot reach theirs"),
    21614: ("unreachable", "it is no mobile number"),
    21617: ("never", "the text is too long"),
    21619: ("never", "there is no text"),
    21635: ("unreachable", "a landline takes no text messages"),
    21655: ("setup", "there is no such WhatsApp template"),
    21656: ("setup", "the values do not fit the WhatsApp template"),
    21659: ("setup", "our number is not one of Twilio's"),
    21660: ("setup", "our number is not one of this account's"),
    21910: ("setup", "our number and theirs are not on the same channel"),
    30001: ("slower", "the queue is full"),
    30002: ("denied", "our account is suspended"),
    30006: ("unreachable", "a landline, or a network that takes no messages"),
    30034: ("setup", "our number is not registered for messages to this country"),
    63003: ("elsewhere", "the person has no WhatsApp"),
    63007: ("setup", "our number is no WhatsApp sender of the account's"),
    63016: ("elsewhere", "WhatsApp takes only approved texts a day after the person wrote"),
    63017: ("later", "too many messages"),
    63018: ("later", "too many messages"),
    63024: ("elsewhere", "the person has no WhatsApp"),
    63027: ("setup", "the WhatsApp template does not exist in this language"),
}
"""Code -> what it comes to, and what staff read."""
CALLBACK = 21609
"""The address for reports is none that Twilio takes: the message goes without."""
MEANINGS: Mapping[What, Receipt] = {
    "later": Receipt(delivery=Delivery.RETRY, fault=Fault.FAR_SIDE, retry_after=5.0),
    "slower": Receipt(delivery=Delivery.RETRY, fault=Fault.MESSAGE, retry_after=600.0),
    "never": Receipt(delivery=Delivery.REFUSED, fault=Fault.MESSAGE),
    "unreachable": Receipt(delivery=Delivery.UNREACHABLE, fault=Fault.FAR_SIDE),
    "elsewhere": Receipt(delivery=Delivery.UNREACHABLE, fault=Fault.FAR_SIDE, about="channel"),
    "stopped": Receipt(delivery=Delivery.UNREACHABLE, fault=Fault.FAR_SIDE, about="consent"),
    "setup": Receipt(delivery=Delivery.UNREACHABLE, fault=Fault.OURS, about="channel"),
    "denied": Receipt(delivery=Delivery.RETRY, fault=Fault.OURS),
}
ALARMS: frozenset[What] = frozenset({"setup", "denied"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A call that did not succeed."""

    receipt: Receipt
    alarm: str = ""
    """What operators should mend; "" when nothing of ours is wrong."""
    code: int = 0
    whole: bool = False
    """Beside an alarm: it concerns everything that the account sends."""


def judge(error: Refused | Unsent | Unanswered) -> Judged:
    """What a failed call comes to."""
    match error:
        case Unsent():
            detail = f"Twilio cannot be reached: {error}"
            return Judged(receipt=Receipt(delivery=Delivery.RETRY, fault=Fault.FAR_SIDE, detail=detail))
        case Unanswered():
            return Judged(receipt=_uncertain(f"Twilio may have taken it: {error}"))
        case Refused():
            return _refused(error)


def _refused(error: Refused) -> Judged:
    words = f"{readable(str(error))} ({error.code})"
    if (known := CODES.get(error.code)) is not None:
        what, says = known
        return _judged(what, f"{says} ({error.code})", error)
    if error.status >= 500:
        return Judged(receipt=_uncertain(f"Twilio is in trouble: {words}"))
    if error.status == 429:
        return _judged("later", f"too many requests for Twilio: {words}", error)
    if error.status in (401, 403, 404) or error.status < 400:
        return _judged("denied", f"what answers there does not take our account: {words}", error)
    return _judged("never", words, error)


def _judged(what: What, detail: str, error: Refused) -> Judged:
    meant = MEANINGS[what]
    after = meant.retry_after
    if meant.delivery is Delivery.RETRY and error.retry_after is not None:
        after = min(error.retry_after, LONGEST_PAUSE)
    receipt = Receipt(delivery=meant.delivery, fault=meant.fault, about=meant.about, retry_after=after, detail=detail)
    return Judged(receipt=receipt, alarm=detail if what in ALARMS else "", code=error.code, whole=what == "denied")


def _uncertain(detail: str) -> Receipt:
    return Receipt(delivery=Delivery.RETRY, fault=Fault.FAR_SIDE, detail=detail, uncertain=True)


def readable(said: str) -> str:
    """The far side's words on one line, for staff."""
    return _CONTROL.sub(" ", said).strip()[:_LONGEST_WORDS]
