"""What the API says about a call that is not as documented, or concerns somebody whom it does not reach.

Codes: https://www.twilio.com/docs/api/errors. The real API leaves parameters out that it does not know; here they are
refused, so that a misspelt one is seen.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

CREATE = frozenset(
    (
        "To", "StatusCallback", "ApplicationSid", "MaxPrice", "ProvideFeedback", "Attempt", "ValidityPeriod",
        "ForceDelivery", "ContentRetention", "AddressRetention", "SmartEncoded", "PersistentAction", "TrafficType",
        "ShortenUrls", "ScheduleType", "SendAt", "SendAsMms", "ContentVariables", "MessageIntent", "RiskCheck", "From",
        "FallbackFrom", "MessagingServiceSid", "Body", "MediaUrl", "ContentSid",
    )
)  # fmt: skip
"""Of POST …/Messages.json."""
LIST = frozenset(("To", "From", "DateSent", "DateSent<", "DateSent>", "PageSize", "Page", "PageToken"))
"""Of GET …/Messages.json."""
NUMBERS = frozenset(("Beta", "FriendlyName", "PhoneNumber", "Origin", "PageSize", "Page", "PageToken"))
"""Of GET …/IncomingPhoneNumbers.json."""
LONGEST_BODY, MOST_MEDIA, LONGEST_VALIDITY, LARGEST_PAGE = 1600, 10, 36000, 1000
_NUMBER = re.compile(r"(whatsapp:)?(\+[1-9][0-9]{6,14}|[0-9]{3,8})")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9:]{8}Z)?")
Fields = Mapping[str, str]


class ApiError(Exception):
    """An answer with an error."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message

    def shown(self) -> dict[str, object]:
        """As JSON has it."""
        more = f"https://www.twilio.com/docs/errors/{self.code}"
        return {"code": self.code, "message": self.message, "more_info": more, "status": self.status}


@dataclass(slots=True)
class People:
    """How those are whom the account writes to; numbers without "whatsapp:" in front."""

    stopped: set[tuple[str, str]] = field(default_factory=set)
    """(our number, theirs): they said STOP."""
    landlines: set[str] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)
    """No such number."""
    refused_prefixes: set[str] = field(default_factory=set)
    """Countries that the account may not write to."""
    refused_calls: set[str] = field(default_factory=set)
    """Numbers that the account may not call."""
    off: set[str] = field(default_factory=set)
    """Telephones that are switched off: 30003 by a report."""
    silent: set[str] = field(default_factory=set)
    """On WhatsApp they wrote nothing for a day: 63016 by a report."""


def unknown(said: Sequence[str], known: frozenset[str], what: str) -> str:
    """Complaint about parameters that the API does not document; "" when there are none."""
    found = sorted(set(said) - known)
    return f"{what}: no parameter {', '.join(found)}" if found else ""


def check_create(said: Fields, numbers: frozenset[str], people: People) -> None:
    """Raises ApiError for a message that is not taken."""
    for fits, status, code, message in _CREATE_RULES:
        if not fits(said):
            raise ApiError(status, code, message)
    ours, theirs = bare(said.get("From", "")), bare(said["To"])
    whatsapp = said["To"].startswith("whatsapp:")
    if ours not in numbers:
        message = "Twilio could not find a Channel with the specified From address" if whatsapp else "no number of ours"
        raise ApiError(400, 63007 if whatsapp else 21606, message)
    for holds, code, message in (
        (theirs in people.missing, 21211, f"The 'To' number {theirs} is not a valid phone number."),
        (any(map(theirs.startswith, people.refused_prefixes)), 21408, "Permission to send an SMS has not been enabled"),
        ((ours, theirs) in people.stopped, 21610, "Attempt to send to unsubscribed recipient"),
        (theirs in people.landlines, 21614, f"'To' number: {theirs}, is not a valid mobile number"),
    ):
        if holds:
            raise ApiError(400, code, message)


def check_list(said: Fields) -> None:
    """Raises ApiError for filters that are none."""
    if any(not _DATE.fullmatch(value) for name, value in said.items() if name.startswith("DateSent")):
        raise ApiError(400, 20001, "DateSent is no date")
    size = said.get("PageSize", "50")
    if not size.isdigit() or not 1 <= int(size) <= LARGEST_PAGE:
        raise ApiError(400, 20001, f"PageSize is a number from 1 to {LARGEST_PAGE}")


def bare(number: str) -> str:
    """Without the channel's name in front."""
    return number.removeprefix("whatsapp:")


def _has_content(said: Fields) -> bool:
    return any(said.get(name, "").strip() for name in ("Body", "MediaUrl", "ContentSid"))


def _callback_is_url(said: Fields) -> bool:
    """Twilio takes no underscore in the host."""
    parts = urlsplit(said.get("StatusCallback", "http://none.example"))
    return parts.scheme in ("http", "https") and bool(parts.hostname) and "_" not in str(parts.hostname)


def _variables_fit(said: Fields) -> bool:
    if "ContentVariables" not in said:
        return True
    try:
        found = json.loads(said["ContentVariables"])
    except ValueError:
        return False
    texts = isinstance(found, dict) and all(isinstance(value, str) and value.strip() for value in found.values())
    return texts and "ContentSid" in said


def _validity_fits(said: Fields) -> bool:
    period = said.get("ValidityPeriod", "1")
    return period.isdigit() and 1 <= int(period) <= LONGEST_VALIDITY


_CREATE_RULES: tuple[tuple[Callable[[Fields], bool], int, int, str], ...] = (
    (lambda said: bool(said.get("To")), 400, 21604, "A 'To' phone number is required."),
    (lambda said: bool(_NUMBER.fullmatch(said["To"])), 400, 21211, "The 'To' number is not a valid phone number."),
    (lambda said: bool(said.get("From")), 400, 21603, "A 'From' phone number is required."),
    (lambda said: bool(_NUMBER.fullmatch(said["From"])), 400, 21212, "The 'From' number is not a valid phone number."),
    (lambda said: said["From"].startswith("whatsapp:") == said["To"].startswith("whatsapp:"), 400, 21910,
     "Invalid From and To pair. From and To should be of the same channel"),
    (_has_content, 400, 21619, "A text message body or media urls must be specified."),
    (lambda said: len(said.get("Body", "")) <= LONGEST_BODY, 400, 21617,
     "The concatenated message body exceeds the 1600 character limit."),
    (_callback_is_url, 400, 21609, "The StatusCallback URL is not a valid URL."),
    (_validity_fits, 400, 21626, "ValidityPeriod is outside of 1 to 36000"),
    (lambda said: said.get("SmartEncoded", "true") in ("true", "false", "True", "False"), 400, 20001,
     "SmartEncoded is true or false"),
    (lambda said: bool(re.fullmatch(r"HX[0-9a-fA-F]{32}", said.get("ContentSid", "HX" + "0" * 32))), 400, 21655,
     "The ContentSid Parameter is Invalid"),
    (_variables_fit, 400, 21656, "The ContentVariables Parameter is Invalid"),
)  # fmt: skip
"""What must hold, and the answer otherwise; the first that does not hold counts."""
