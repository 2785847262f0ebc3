"""An update as a RawMessage: pure, total over bytes, and nothing in it is understood beyond what identifies it.

core.telegram.org/bots/api#update. What is no update is kept all the same, under an id made of its bytes.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic_core import from_json

from normalizer.message import Body, Facts, RawMessage

FORMAT = "telegram/1"
ALLOWED_UPDATES = (
    "message", "edited_message", "channel_post", "edited_channel_post", "callback_query", "my_chat_member",
    "business_connection", "business_message", "edited_business_message", "deleted_business_messages",
)  # fmt: skip
"""What we ask Telegram for."""

# Made once: a call with options makes an encoder each time.
_sorted = json.JSONEncoder(sort_keys=True).encode
_NAMED = frozenset(ALLOWED_UPDATES) - {"callback_query"}
_ID = re.compile(rb'"update_id"\s*:\s*(-?[0-9]{1,18})(?![0-9])')


def raw_message(content: bytes, *, account: str, bot_id: int, body: Body, now: datetime, facts: Facts) -> RawMessage:
    """One update; `body` holds the bytes `content`. `bot_id` is our bot's user id. Never raises for what they are."""
    update = parsed(content)
    number = update_id(content, update)
    payload = _payload(update)
    if number is None:
        digest = hashlib.sha256(content).hexdigest()
        external_id, fingerprint = f"{account}:sha256:{digest}", digest
    else:
        external_id, fingerprint = f"{account}:{number}", _fingerprint(content, update, *payload)
    return RawMessage(
        channel="telegram",
        account=account,
        format=FORMAT,
        external_id=external_id,
        fingerprint=fingerprint,
        peer=_peer(payload[1]),
        received_at=_date(payload[1], now),
        body=body,
        facts=facts,
        deliveries=((account, str(bot_id)),),
    )


def parsed(content: bytes) -> Mapping[str, Any]:
    """The update as JSON; empty when it is none, or one that cannot be read."""
    try:
        found = _loaded(content)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _loaded(content: bytes) -> Any:
    """As `json.loads`, in half of its time where the bytes are good JSON. Raises as it does."""
    try:
        return from_json(content, cache_strings="keys")
    except ValueError:
        return json.loads(content)  # it takes other encodings, halves of surrogates, and more levels


def update_id(content: bytes, update: Mapping[str, Any]) -> int | None:
    """The number that confirms it; searched for in the bytes when they are no good JSON. None: there is none."""
    number = update.get("update_id")
    if isinstance(number, int) and not isinstance(number, bool):
        return number
    found = None if update else _ID.search(content)
    return int(found[1]) if found else None


def _payload(update: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """The type of an update and what it holds: the one key beside `update_id`."""
    for key, value in update.items():
        if key != "update_id" and isinstance(value, dict):
            return key, value
    return "", {}


def _fingerprint(content: bytes, update: Mapping[str, Any], kind: str, payload: Mapping[str, Any]) -> str:
    """Of what stays the same in a repeat (rule 1): message and edit, or press; else everything."""
    message = payload.get("message_id")
    if kind in _NAMED and type(message) is int and message and payload.get("edit_date") is None:
        chat = _below(payload, "chat").get("id")
        if type(chat) is int:
            # The same text as below, which nearly every update is: made without an encoder.
            return hashlib.sha256(f'["{kind}", [{chat}, {message}, null]]'.encode()).hexdigest()
    if kind == "callback_query" and payload.get("id"):
        named: object = payload["id"]
    elif kind and isinstance(message, int) and message:
        named = [_below(payload, "chat").get("id"), message, payload.get("edit_date")]
    elif update:
        named = {key: value for key, value in update.items() if key != "update_id"}
    else:
        return hashlib.sha256(content).hexdigest()
    try:
        text = _sorted([kind, named])
    except RecursionError:
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha256(text.encode()).hexdigest()


def _peer(payload: Mapping[str, Any]) -> str:
    """The chat, else the person, so that what happens in one chat is filed in its order; "" for neither."""
    found = (
        _below(payload, "chat").get("id")
        or _below(payload, "message", "chat").get("id")
        or payload.get("user_chat_id")
        or _below(payload, "from").get("id")
        or _below(payload, "user").get("id")
    )
    return str(found) if isinstance(found, int) else ""


def _date(payload: Mapping[str, Any], now: datetime) -> datetime:
    """Telegram's time of it, never later than `now`; `now` where there is none."""
    # The date below a pressed button's message is that of our message.
    said = payload.get("edit_date") or payload.get("date")
    if not isinstance(said, int) or isinstance(said, bool) or not 0 < said < now.timestamp():
        return now
    return datetime.fromtimestamp(said, UTC)


def _below(value: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    """The object at a path; empty when there is none."""
    for key in path:
        found = value.get(key)
        if not isinstance(found, dict):
            return {}
        value = found
    return value
