"""telegram/1: the JSON of one update of the Bot API to an Event. Total: whatever the bytes are, something comes out.

Only the raw JSON is read, by getters that take a wrong type for nothing: the Bot API grows several times a year, and
an update that a library cannot parse must not stand in the way of those behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from normalizer import telegram_acts as acts
from normalizer.message import Command, Event, Ignored, InlineBody, Message, RawMessage
from normalizer.telegram_message import message, new_kind
from normalizer.telegram_place import Bot, Place, author, no_person
from normalizer.telegram_services import SERVICE
from normalizer.telegram_wire import Obj, obj, parse, when

FORMAT = "telegram/1"


def read(raw: RawMessage) -> Event:
    """What one update means. Facts used: `bot_id`, `bot_name`, `file_limit`.

    Raises TypeError for a body that is still on disk.
    """
    if not isinstance(raw.body, InlineBody):
        raise TypeError("the body of a raw message is loaded before it is normalised")
    value, odd = parse(raw.body.content)
    if not isinstance(value, dict):
        return Ignored(reason=odd or "json:no_update")
    event = _update(value, Bot.of(raw), raw)
    return replace(event, oddities=(*event.oddities, odd)) if odd and isinstance(event, Message) else event


def _update(update: Obj, bot: Bot, raw: RawMessage) -> Event:
    for name, handle in _UPDATES.items():
        if name in update:
            found = obj(update[name])
            return handle(found, bot, raw) if found else Ignored(reason=f"malformed:{name}")
    silent = next((name for name in _SILENT if name in update), "")
    if silent:
        return Ignored(reason=f"update:{silent}")
    new = [name for name, value in update.items() if isinstance(value, dict)]
    return new_kind(new[0], obj(update[new[0]]), bot) if new else Ignored(reason="update:empty")


# -- messages -----------------------------------------------------------------------------


def _new(update: Obj, bot: Bot, _raw: RawMessage) -> Event:
    place = Place.of(bot, update)
    silent = acts.moved(update) or _not_for_a_ticket(update, place)
    return silent or _done(update, bot, place) or message(update, bot, place)


def _edited(update: Obj, bot: Bot, raw: RawMessage) -> Event:
    place = Place.of(bot, update)
    silent = _not_for_a_ticket(update, place)
    if silent is not None:
        return silent
    if obj(update.get("location")):
        return Ignored(reason="edit:live_location")  # one comes with each move; a place that stands cannot be edited
    if _done(update, bot, place) is not None:
        return Ignored(reason="edit:command")
    return message(update, bot, place, edited_at=when(update.get("edit_date")) or raw.received_at)


def _business(update: Obj, bot: Bot, raw: RawMessage) -> Event:
    return _owners(update, Place.of(bot, update)) or _new(update, bot, raw)


def _business_edited(update: Obj, bot: Bot, raw: RawMessage) -> Event:
    return _owners(update, Place.of(bot, update)) or _edited(update, bot, raw)


def _owners(update: Obj, place: Place | None) -> Ignored | None:
    """What the owner of the business account writes comes here, too; the chat bears the customer's id."""
    written_by_customer = place is None or author(update).address in ("", str(place.chat))
    return None if written_by_customer else Ignored(reason="business:own_message")


def _not_for_a_ticket(update: Obj, place: Place | None) -> Ignored | None:
    service = next((name for name in update if name in SERVICE and update[name] is not None), "")
    if service:
        return Ignored(reason=f"service:{service}")
    nobody = no_person(update)
    if not nobody and place is not None and not author(update).address:
        nobody = "from:nobody"
    return Ignored(reason=nobody) if nobody else None


def _done(update: Obj, bot: Bot, place: Place | None) -> Command | Ignored | None:
    """What the message does, when it does something. A forwarded one only shows what somebody did, and to a business
    account nobody speaks as to a bot."""
    if place is None or place.business or "forward_origin" in update or "forward_date" in update:
        return None
    return acts.command(update, bot, place) or acts.own_number(update, place)


# -- everything else ----------------------------------------------------------------------


def _pressed(query: Obj, bot: Bot, _raw: RawMessage) -> Event:
    return acts.press(query, bot)


def _member(update: Obj, bot: Bot, _raw: RawMessage) -> Event:
    return acts.membership(update, bot)


_UPDATES: Mapping[str, Callable[[Obj, Bot, RawMessage], Event]] = {
    "message": _new,
    "edited_message": _edited,
    "business_message": _business,
    "edited_business_message": _business_edited,
    "callback_query": _pressed,
    "my_chat_member": _member,
}
"""Kind of update -> what makes an event of it."""
_SILENT = (
    "deleted_business_messages",
    "business_connection",
    "channel_post",
    "edited_channel_post",
    "chat_member",
    "chat_join_request",
    "chat_boost",
    "removed_chat_boost",
    "message_reaction",
    "message_reaction_count",
    "inline_query",
    "chosen_inline_result",
    "shipping_query",
    "pre_checkout_query",
    "purchased_paid_media",
    "poll",
    "poll_answer",
    "managed_bot",
    "guest_message",
    "subscription",
)
"""Kinds that say nothing to a desk: no person of ours wrote anything, or nobody could be answered there."""
