"""A request as a RawMessage: pure, total, and nothing in it is understood beyond what identifies it.

https://www.twilio.com/docs/messaging/guides/webhook-request and …/guides/outbound-message-status-in-status-callbacks.
Twilio adds parameters without notice: the body is kept as it came.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Literal, TypeAlias

from channels.twilio.signature import Fields
from normalizer.message import Body, Facts, RawMessage

Kind: TypeAlias = Literal["message", "status"]
FORMATS: Mapping[Kind, str] = {"message": "twilio_message/1", "status": "twilio_status/1"}
SIDS = ("MessageSid", "SmsMessageSid", "SmsSid")
"""The same in three names, by age."""
COMING_IN = frozenset({"received", "receiving"})
LONGEST = 255
"""Characters of an id or a number that are kept."""


def kind_of(fields: Fields, route: Kind) -> Kind:
    """What it is, by what it says of itself, whichever of our addresses it was sent to; else as the address has it."""
    known = dict(reversed(fields))
    state = (known.get("MessageStatus") or known.get("SmsStatus") or "").lower()
    if state in COMING_IN:
        return "message"
    return "status" if known.get("MessageStatus") else route


def fields_of_json(content: bytes) -> Fields:
    """The texts of an object; none for anything else."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return ()
    return [(key, value) for key, value in found.items() if isinstance(value, str)] if isinstance(found, dict) else ()


def raw_message(
    fields: Fields,
    digest: str,
    *,
    kind: Kind,
    channel: str,
    account: str,
    body: Body,
    now: datetime,
    facts: Facts,
) -> RawMessage:
    """One request; `digest` is the SHA-256 of its body.

    A message is a repeat of the one with its SID, whatever else is said with it: the address for failures gets more
    parameters, and a list of messages fewer. A report is one of a SID and a state.
    """
    known = dict(reversed(fields))
    sid = next((known[name] for name in SIDS if known.get(name)), "")[:LONGEST]
    state = (known.get("MessageStatus") or known.get("SmsStatus") or "").lower()[:40]
    named = f"sha256:{digest}" if not sid else sid if kind == "message" else f"{sid}:{state}"
    ours, theirs = ("To", "From") if kind == "message" else ("From", "To")
    return RawMessage(
        channel=channel,
        account=account,
        format=FORMATS[kind],
        external_id=named,
        fingerprint=hashlib.sha256(named.encode("utf-8", "replace")).hexdigest(),
        peer=_number(known.get(theirs, "")),
        received_at=now,
        body=body,
        facts=facts,
        deliveries=((account, _number(known.get(ours, ""))),),
    )


def _number(said: str) -> str:
    """A number without the channel's name in front of it."""
    return said.strip().removeprefix("whatsapp:")[:LONGEST]
