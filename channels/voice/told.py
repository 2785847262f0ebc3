"""What is told of a call, as a raw message: by a request, or by the provider's lists where no request came.

https://www.twilio.com/docs/voice/api/call-resource#fetch-a-call-resource and
https://www.twilio.com/docs/voice/api/recording#read-multiple-recording-resources
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from channels.twilio.inbound import LONGEST
from channels.twilio.listed import text_of, time_of
from normalizer.message import Body, Facts, InlineBody, RawMessage

MAIN, STATUS, RECORDED, TRANSCRIBED = "main", "status", "recorded", "transcribed"
"""What an address of ours is for."""
FORMAT = "twilio_call/1"
OURS = "outbound"
"""What `Direction` begins with where we called."""
OVER = frozenset({"completed", "busy", "no-answer", "failed", "canceled"})
"""`CallStatus` of a call that is over."""
UNFINISHED = frozenset({"in-progress", "paused", "stopped", "processing"})
"""Statuses of a recording that may still become one that can be heard."""
BY_US = "RecordVerb"
"""Source of a recording that we asked for; others, of whole calls, are somebody else's."""
NAMES: Mapping[str, str] = {
    "from": "From", "to": "To", "direction": "Direction", "forwarded_from": "ForwardedFrom",
    "caller_name": "CallerName", "api_version": "ApiVersion",
}  # fmt: skip
"""Names of a call's resource -> of the requests about it."""


def raw_call(
    known: Mapping[str, str], route: str, *, channel: str, account: str, query: str, body: Body, whole: str,
    now: datetime, facts: Facts,
) -> RawMessage:  # fmt: skip
    """A request about a call. `known`: its fields; `query`: what we wrote into its address; `whole`: what names one
    without a call: the SHA-256 of its content, in hex."""
    call = known.get("CallSid", "")[:LONGEST]
    told = {
        STATUS: known.get("CallStatus", ""),
        RECORDED: f"{known.get('RecordingSid', '')}:{known.get('RecordingStatus', '')}",
        TRANSCRIBED: f"{known.get('TranscriptionSid', '')}:{known.get('TranscriptionStatus', '')}",
    }.get(route, query)
    # A repeat, and a request to the address for failures, are the same by what they are about, and by who calls.
    named = f"{call}:{route}:{told}:{known.get('From', '')}"[:1000] if call else f"sha256:{whole}"
    ours = known.get("Direction", "").startswith(OURS)
    return RawMessage(
        channel=channel,
        account=account,
        format=FORMAT,
        external_id=named,
        fingerprint=hashlib.sha256(named.encode("utf-8", "replace")).hexdigest(),
        peer=call or "call",
        received_at=now,
        body=body,
        facts={**facts, "route": route, **({"ours": True} if ours else {})},
        deliveries=((account, known.get("To", "")[:LONGEST]),),
    )


def is_over(call: Mapping[str, Any]) -> bool:
    """The resource of a call says that it is."""
    return text_of(call, "status") in OVER


def is_ours(call: Mapping[str, Any]) -> bool:
    """We called."""
    return text_of(call, "direction").startswith(OURS)


def are_unfinished(recordings: Sequence[Mapping[str, Any]]) -> bool:
    """Some of these recordings may still become ones that can be heard."""
    return any(text_of(one, "status") in UNFINISHED for one in recordings)


def raws_listed(
    call: Mapping[str, Any], recordings: Sequence[tuple[Mapping[str, Any], str]], *, channel: str, account: str,
    now: datetime,
) -> Sequence[RawMessage]:  # fmt: skip
    """What the requests about a call that is over would have brought: each recording that is whole, then its end.

    `recordings`: each with its address. They count from when the call was over: an outage of ours extends no deadline.
    """
    about = {ours: text_of(call, theirs) for theirs, ours in NAMES.items() if text_of(call, theirs)}
    named = {"CallSid": text_of(call, "sid"), "AccountSid": text_of(call, "account_sid")}
    # What is told of a recording does not say who called.
    told = [
        (RECORDED, {
            **named, "RecordingSid": text_of(one, "sid"), "RecordingStatus": "completed", "RecordingUrl": url,
            "RecordingDuration": text_of(one, "duration"), "RecordingSource": BY_US,
        })
        for one, url in recordings if text_of(one, "source") == BY_US and text_of(one, "status") == "completed"
    ]  # fmt: skip
    told.append(
        (
            STATUS,
            {**named, **about, "CallStatus": text_of(call, "status"), "CallDuration": text_of(call, "duration") or "0"},
        )
    )
    ended = time_of(text_of(call, "end_time")) or now
    return [_listed(fields, route, channel, account, min(ended, now)) for route, fields in told]


def _listed(fields: Mapping[str, str], route: str, channel: str, account: str, at: datetime) -> RawMessage:
    content = urlencode(fields, encoding="utf-8", errors="replace").encode()
    return raw_call(
        fields, route, channel=channel, account=account, query="", body=InlineBody(content=content),
        whole=hashlib.sha256(content).hexdigest(), now=at, facts={"transport": "list"},
    )  # fmt: skip
