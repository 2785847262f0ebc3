"""What a mail or an update means, as the dictionary that `gateway explain` shows: the keys are public and stable."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TypeAlias

from normalizer.message import (
    Address,
    Attachment,
    CallEvent,
    Command,
    Consent,
    DeliveryReport,
    Event,
    Ignored,
    InlineBody,
    Json,
    Message,
    Moved,
    Rating,
    RawMessage,
    Reachability,
    ReportedRecipient,
    SendStatus,
)
from normalizer.normalize import normalize

Explained: TypeAlias = dict[str, Json]

CHANNELS: Mapping[str, str] = {
    "telegram/1": "telegram",
    "twilio_message/1": "sms",
    "twilio_status/1": "sms",
    "twilio_call/1": "voice",
}
"""Format -> channel that it comes by; all others come by mail."""
_UPDATE = re.compile(rb"(?:\xef\xbb\xbf)?\s*\{.{0,2000}?\"update_id\"\s*:", re.DOTALL)
_FORM = re.compile(
    rb"(?:[A-Za-z][A-Za-z0-9]{0,60}=[^&\s]{0,8000}&)*(?:Message|Sms)Sid=(?:SM|MM)[0-9a-f]{32}(?:&|\s*\Z)"
)
_CALL = re.compile(rb"(?:[A-Za-z][A-Za-z0-9]{0,60}=[^&\s]{0,8000}&)*CallSid=CA[0-9a-f]{32}(?:&|\s*\Z)")
_ASIDE: Mapping[bytes, str] = {
    b"TranscriptionSid=": "transcribed", b"RecordingStatus=": "recorded", b"CallbackSource=": "status",
}  # fmt: skip
"""Parameter that only one kind of request about a call has -> the address that it comes to."""
_CARRIED = {"delivered", "relayed", "expanded"}


def raw_mail(content: bytes, *, received_at: datetime, facts: Mapping[str, Json] | None = None) -> RawMessage:
    """A raw message around the bytes of a mail that came over no wire."""
    return raw_of("mail/1", content, received_at=received_at, facts=facts)


def raw_of(
    format_: str, content: bytes, *, received_at: datetime, facts: Mapping[str, Json] | None = None
) -> RawMessage:
    """A raw message of any format around bytes that came over no wire."""
    digest = hashlib.sha256(content).hexdigest()
    if facts is None and format_ == "twilio_call/1":
        facts = {"route": next((route for name, route in _ASIDE.items() if name in content), "main")}
    return RawMessage(
        channel=CHANNELS.get(format_, "mail"),
        account="explain",
        format=format_,
        external_id=digest,
        fingerprint=digest,
        peer="",
        received_at=received_at,
        body=InlineBody(content=content),
        facts=facts or {},
    )


def format_of(content: bytes) -> str:
    """What a file seems to be: an update of Telegram's Bot API, a request of Twilio's, else a mail."""
    if _FORM.match(content):
        return "twilio_status/1" if b"MessageStatus=" in content else "twilio_message/1"
    if _CALL.match(content):
        return "twilio_call/1"
    return "telegram/1" if _UPDATE.match(content) else "mail/1"


def explain(raw: RawMessage, *, source: str) -> tuple[Explained, Event]:
    """The dictionary and the event behind it. No side effect; never raises for what stands in the bytes."""
    event = normalize(raw)
    return describe(event, source=source), event


def describe(event: Event, *, source: str) -> Explained:
    """The dictionary of an event."""
    match event:
        case Message():
            return _described(event, source, event.kind, None)
        case DeliveryReport():
            content = event.content or Message(sender=Address(address=""), text="", visible_text="")
            # A report that everything arrived is no bounce.
            carried = all(one.action in _CARRIED for one in event.recipients)
            return _described(content, source, "report" if carried else "bounce", _bounce(event))
        case Rating():
            return {"source": source, "kind": "rating", "rating": event.score, "text": event.comment}
        case Command():
            return {
                "source": source,
                "kind": "command",
                "from": _address(event.sender),
                "command": event.name,
                "argument": event.argument,
                "conversation": event.conversation.id,
            }
        case Reachability():
            return {"source": source, "kind": "reachability", "reachable": event.reachable, "because": event.why}
        case Moved():
            return {"source": source, "kind": "moved", "because": f"{event.where} {event.before} is {event.after} now"}
        case Consent():
            return {"source": source, "kind": "consent", "from": _address(event.sender), "wish": event.wish}
        case SendStatus() | CallEvent():
            return _by_telephone(event, source)
        case Ignored():
            return {"source": source, "kind": "ignored", "because": event.reason}


def _by_telephone(event: SendStatus | CallEvent, source: str) -> Explained:
    if isinstance(event, SendStatus):
        return {
            "source": source,
            "kind": "status",
            "to": [event.recipient],
            "state": event.state,
            "verdict": event.verdict,
            "because": event.detail,
        }
    return {
        "source": source,
        "kind": "call",
        "from": _address(event.caller),
        "to": [event.called],
        "call": event.call,
        "step": event.step,
        "aside": event.aside,
        "happening": type(event.happening).__name__.lower(),
        **asdict(event.happening),
    }


def _described(message: Message, source: str, kind: str, bounce: Json) -> Explained:
    return {
        "source": source,
        "kind": kind,
        "from": _address(message.sender),
        "to": _addresses(message.to),
        "cc": _addresses(message.cc),
        "reply_to": _addresses(message.reply_to),
        "subject": message.subject,
        "message_id": message.message_id,
        "in_reply_to": list(message.in_reply_to),
        "references": list(message.references),
        "date": message.date.isoformat() if message.date else None,
        "text": message.text,
        "visible_text": message.visible_text,
        "attachments": [_attachment(one) for one in message.attachments],
        "bounce": bounce,
        "rating": message.rating,
        "language": message.language,
        "thanks": message.thanks,
        "trust": message.trust.value,
        "errors": list(message.oddities),
        **(_of_chat(message) if message.conversation is not None else {}),
    }


def _of_chat(message: Message) -> Explained:
    """What only chats have."""
    return {
        "conversation": message.conversation.id if message.conversation is not None else "",
        "external_key": message.external_key,
        "thread_keys": [key.value for key in message.thread_keys],
        "group": message.group,
        "edited_at": message.edited_at.isoformat() if message.edited_at else None,
        "answers_us": message.answers_us,
    }


def _address(one: Address) -> Json:
    return {"name": one.name, "address": one.address}


def _addresses(found: Sequence[Address]) -> Json:
    return [_address(one) for one in found]


def _attachment(one: Attachment) -> Json:
    return {
        "filename": one.filename,
        "content_type": one.content_type,
        "size": one.size,
        "sha256": one.sha256,
        "inline": one.inline,
        "content_id": one.content_id,
    }


def _bounce(report: DeliveryReport) -> Json:
    return {
        "recipients": [_recipient(one) for one in report.recipients],
        "original_message_id": report.original_message_id,
    }


def _recipient(one: ReportedRecipient) -> Json:
    return {"address": one.address, "action": one.action, "status": one.status, "diagnostic": one.diagnostic}
