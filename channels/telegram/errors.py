"""What goes wrong with a call, as a receipt: one table, its first row that holds decides.

Descriptions are the Bot API server's own (https://github.com/tdlib/telegram-bot-api, Client.cpp); what a call may
answer beside them is in https://core.telegram.org/bots/api#making-requests. The library's `BadRequest` is a
`NetworkError`, so who asks for that one first repeats a permanent refusal for ever: here the order is fixed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import httpx
from telegram import error as api

from normalizer.message import Act, Delivery, Fault, Notice, Receipt

USUAL_PAUSE = 5.0
"""Seconds, after a 429 that does not say how long."""
LONGEST_PAUSE = 86400.0
"""Seconds: who asks for more is asked again after a day; infinity is a number in JSON, too."""
_DETAIL = 300
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
_TOKEN = re.compile(r"\b\d{3,}:[\w-]{3,}")
ANY: frozenset[Act] = frozenset({"send", "edit", "press"})


class TooMany(api.TelegramError):
    """429. The library has an error for it, too, but making that one warns, and its number changes its type."""

    def __init__(self, seconds: float) -> None:
        """How long we are asked to wait."""
        super().__init__("Too Many Requests")
        self.seconds = seconds


def too_many(status: int, payload: bytes) -> TooMany | None:
    """What an answer says about waiting; None when it says nothing about it."""
    try:
        said = json.loads(payload)
        seconds = float(said["parameters"]["retry_after"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return TooMany(USUAL_PAUSE) if status == 429 else None
    # The bound comes first: what is not a number is no more than it.
    return TooMany(min(max(0.0, seconds), LONGEST_PAUSE)) if status >= 400 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A call that did not succeed."""

    error: Exception
    act: Act
    status: int | None = None
    """Of the HTTP answer; None when there was none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One row. An empty pattern fits every description."""

    error: type[Exception]
    words: str = ""
    acts: frozenset[Act] = ANY
    delivery: Delivery
    fault: Fault = Fault.FAR_SIDE
    uncertain: bool = False
    says: str = ""
    """Instead of the far side's words."""
    status: Callable[[int | None], bool] = lambda _: True

    def holds(self, failure: Failure) -> bool:
        """Whether this row is about the failure."""
        return (
            isinstance(failure.error, self.error)
            and failure.act in self.acts
            and self.status(failure.status)
            and re.search(self.words, str(failure.error), re.IGNORECASE) is not None
        )


_EDIT: frozenset[Act] = frozenset({"edit"})
_PRESS: frozenset[Act] = frozenset({"press"})
_GONE = (
    r"chat not found|user not found|peer_id_invalid|user is deactivated|user_deactivated|group chat was deactivated|"
    r"chat_id is empty|input_user_deactivated|user_is_blocked|have no rights to send|not enough rights|"
    r"chat_write_forbidden|chat_restricted|chat_send_\w+_forbidden|need administrator rights|business_peer_invalid|"
    r"business_connection_invalid|business connection not found"
)
_MAYBE = "the answer was lost after the whole call had been sent: Telegram may have taken it"

RULES: tuple[Rule, ...] = (
    Rule(error=api.BadRequest, words="message is not modified", acts=_EDIT, delivery=Delivery.SENT,
         says="it is like that already"),
    Rule(error=api.BadRequest, words="message to edit not found|message_id_invalid|message can't be edited|"
         "message to be edited not found", acts=_EDIT, delivery=Delivery.SENT, says="there is nothing left to edit"),
    Rule(error=api.BadRequest, words="query is too old|query id is invalid|query_id_invalid", acts=_PRESS,
         delivery=Delivery.SENT, says="the button waits for no answer any more"),
    Rule(error=api.BadRequest, words=_GONE, delivery=Delivery.UNREACHABLE),
    Rule(error=api.BadRequest, delivery=Delivery.REFUSED, fault=Fault.MESSAGE),
    Rule(error=api.Forbidden, delivery=Delivery.UNREACHABLE),
    Rule(error=api.InvalidToken, delivery=Delivery.RETRY, fault=Fault.OURS,
         says="Telegram does not accept the bot's token (401), or there is no Bot API at this address (404)"),
    Rule(error=api.EndPointNotFound, delivery=Delivery.RETRY, fault=Fault.OURS,
         says="there is no Bot API at this address"),
    Rule(error=api.Conflict, delivery=Delivery.RETRY),
    Rule(error=api.NetworkError, status=lambda code: code == 413, delivery=Delivery.REFUSED, fault=Fault.MESSAGE,
         says="it is too big for Telegram (413)"),
    Rule(error=api.NetworkError, status=lambda code: code is not None and 300 <= code < 400, delivery=Delivery.RETRY,
         fault=Fault.OURS, says="what answers at this address sends elsewhere: it is no Bot API"),
    Rule(error=api.NetworkError, status=lambda code: code is not None and 400 <= code < 500,
         delivery=Delivery.REFUSED, fault=Fault.MESSAGE),
    Rule(error=api.NetworkError, status=lambda code: code is not None, delivery=Delivery.RETRY, uncertain=True),
)  # fmt: skip
"""For everything but what is said with a number (429, another chat id) and what breaks on the way."""

NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.InvalidURL,
    httpx.LocalProtocolError,
)
"""Of these the far side has read nothing."""


def receipt_for(failure: Failure, notice: Notice) -> Receipt:
    """The receipt of a failed call. `SENT` for an edit or press that has nothing left to do."""
    match failure.error:
        case TooMany(seconds=seconds):
            return Receipt(
                delivery=Delivery.RETRY, fault=Fault.MESSAGE, detail="429: too fast for Telegram", retry_after=seconds
            )
        case api.ChatMigrated() if notice.act == "edit":
            # Messages keep their place and their number in the former group, and nobody can change them there.
            detail = "there is nothing left to edit: the group became a supergroup"
            return Receipt(delivery=Delivery.SENT, external_ids=(notice.target,), detail=detail)
        case api.ChatMigrated() as moved:
            destination = {**notice.destination, "chat": moved.new_chat_id}
            return Receipt(
                delivery=Delivery.RETRY, fault=Fault.MESSAGE, retry_after=0.0, moved_to=destination,
                detail="the group became a supergroup and has another id now",
            )  # fmt: skip
    rule = next((row for row in RULES if failure.status is not None and row.holds(failure)), None)
    if rule is not None:
        done = rule.delivery is Delivery.SENT
        return Receipt(
            delivery=rule.delivery,
            external_ids=(notice.target,) if done else (),
            fault=Fault.NONE if done else rule.fault,
            detail=rule.says or readable(failure.error),
            uncertain=rule.uncertain,
        )
    return _broken(failure)


def _broken(failure: Failure) -> Receipt:
    """Something on the way: certain where nothing was handed over, else nobody knows."""
    cause = failure.error.__cause__
    if isinstance(cause, NOT_SENT):
        detail = f"Telegram cannot be reached ({type(cause).__name__})"
        return Receipt(delivery=Delivery.RETRY, fault=Fault.FAR_SIDE, detail=detail)
    return Receipt(delivery=Delivery.RETRY, fault=Fault.FAR_SIDE, detail=_MAYBE, uncertain=True)


def readable(error: Exception) -> str:
    """The far side's words on one line, for staff; no token in them."""
    return _TOKEN.sub("[token]", _CONTROL.sub(" ", str(error))).strip()[:_DETAIL] or type(error).__name__


# -- what is tried once more, at once ------------------------------------------------------

SIMPLER: Mapping[str, Callable[[Notice], Notice | None]] = {
    r"message to (be replied|reply) not found|replied message not found|message_to_reply|reply_message_id_invalid":
        lambda notice: replace(notice, answers="") if notice.answers else None,
    r"message thread not found|topic_closed|topic_deleted|message_thread_id|topic_id_invalid":
        lambda notice: _without_topic(notice),
    r"button_\w+_invalid|wrong http url|inline keyboard|reply markup|reply_markup_invalid|button_type_invalid":
        lambda notice: replace(notice, buttons=()) if notice.buttons else None,
    r"photo_\w+|image_process_failed|voice_messages_forbidden|voice_\w+":
        lambda notice: _as_documents(notice),
}  # fmt: skip
"""Description of a refusal -> the same notice without what was refused; None: there is nothing to leave out.

A refusal is certain, so nothing is doubled by the second call; and an answer without its button, or in the general
topic, is worth more to a person than none.
"""


def simpler(failure: Failure, notice: Notice) -> Notice | None:
    """The notice as it may be taken after this refusal; None: it is not for its form."""
    if not isinstance(failure.error, api.BadRequest) or notice.act != "send":
        return None
    for words, change in SIMPLER.items():
        if re.search(words, str(failure.error), re.IGNORECASE):
            return change(notice)
    return None


def _without_topic(notice: Notice) -> Notice | None:
    if "topic" not in notice.destination:
        return None
    return replace(notice, destination={name: value for name, value in notice.destination.items() if name != "topic"})


def _as_documents(notice: Notice) -> Notice | None:
    plain = tuple(replace(item, content_type="application/octet-stream") for item in notice.attachments)
    return replace(notice, attachments=plain) if plain != notice.attachments else None
