"""A listed message as the webhook would have brought it, as far as the list knows: pure and total."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode

from channels.twilio.inbound import LONGEST, raw_message
from normalizer.message import InlineBody, RawMessage

NAMES: Mapping[str, str] = {
    "sid": "MessageSid", "account_sid": "AccountSid", "from": "From", "to": "To", "body": "Body",
    "num_segments": "NumSegments", "messaging_service_sid": "MessagingServiceSid", "api_version": "ApiVersion",
}  # fmt: skip
"""Names of the list -> of the webhook."""
COMING_IN = "receiving"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One message that somebody sent to us."""

    sid: str
    sent_at: datetime | None
    """None: the list does not say."""
    whole: bool
    """The provider has all of it."""
    media: int
    """Files."""
    said: Mapping[str, str]
    """By the webhook's names."""


@dataclass(frozen=True, slots=True)
class File:
    """A file of a message."""

    url: str
    content_type: str


def listed(item: Mapping[str, Any]) -> Listed | None:
    """What an item of the list says; None for what we sent ourselves, or what has no name."""
    sid = text_of(item, "sid")
    named = 0 < len(sid) <= LONGEST and sid.isascii() and sid.isprintable()
    if not named or text_of(item, "direction") != "inbound":
        return None
    media = text_of(item, "num_media")
    return Listed(
        sid=sid,
        sent_at=time_of(text_of(item, "date_sent")) or time_of(text_of(item, "date_created")),
        whole=text_of(item, "status") != COMING_IN,
        media=int(media) if media.isascii() and media.isdigit() and len(media) < 3 else 0,
        said={ours: text_of(item, theirs) for theirs, ours in NAMES.items() if text_of(item, theirs)},
    )


def raw_listed(
    one: Listed, files: Sequence[File], *, channel: str, account: str, account_sid: str, now: datetime
) -> RawMessage:
    """A listed message for the intake: the same SID as the webhook's, so the same message.

    It was received when the provider got it: an outage of ours extends no deadline.
    """
    said = {"Body": "", "AccountSid": account_sid, **one.said}
    said |= {"SmsSid": one.sid, "SmsMessageSid": one.sid, "SmsStatus": "received"}
    said["NumMedia"] = str(max(one.media, len(files)))
    for number, file in enumerate(files):
        said |= {f"MediaUrl{number}": file.url, f"MediaContentType{number}": file.content_type}
    content = urlencode(said, encoding="utf-8", errors="replace").encode()
    return raw_message(
        list(said.items()),
        hashlib.sha256(content).hexdigest(),
        kind="message",
        channel=channel,
        account=account,
        body=InlineBody(content=content),
        now=min(one.sent_at or now, now),
        facts={"transport": "list"},
    )


def text_of(item: Mapping[str, Any], name: str) -> str:
    """A value as text; "" where there is none."""
    value = item.get(name)
    if isinstance(value, bool):
        return ""
    return str(value) if isinstance(value, str | int) else ""


def time_of(said: str) -> datetime | None:
    """When: RFC 2822 as Twilio writes it, or RFC 3339 as others do."""
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            found = read(said)
            return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
    return None
