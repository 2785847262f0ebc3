"""What in Telegram is done rather than said: commands, pressed buttons, a shared number, blocking the bot."""

from __future__ import annotations

import re

from normalizer.message import OWN_NUMBER, Command, Event, Ignored, Moved, Press, Rating, Reachability
from normalizer.telegram_place import Bot, Place, address_of, author, person_id, privately
from normalizer.telegram_wire import Obj, identifier, line, number, obj, text

PRESSED = "press"
"""Name of the command of a button whose data is none of ours: somebody waits for an answer all the same."""
_COMMAND = re.compile(r"/([A-Za-z0-9_]{1,32})(?:@([A-Za-z0-9_]{1,64}))?(?:\s+(.*))?", re.DOTALL)
_RATE = re.compile(r"rate:([A-Za-z0-9_-]{1,64}):([1-5])")
_DATA = re.compile(r"([a-z][a-z0-9_]{0,31})(?::(.*))?", re.DOTALL)
_LANGUAGE = re.compile(r"[a-z]{2,3}")
_NOT_DIGITS = re.compile(r"\D+")
_GONE = {"kicked": "blocked", "left": "left", "banned": "blocked"}
"""Status of the bot in a private chat -> why nobody can be written to there."""


def language_of(user: Obj) -> str:
    """What the person's device speaks, "" when unknown: "uk", "en" for "en-US"."""
    code = line(user.get("language_code"), 20).lower().replace("_", "-").partition("-")[0]
    return code if _LANGUAGE.fullmatch(code) else ""


# -- said to the bot ----------------------------------------------------------------------


def command(update: Obj, bot: Bot, place: Place) -> Command | Ignored | None:
    """A message that begins with a command of its own, "/new", "/start token", "/help@our_bot"; None for others.

    A path ("/usr/bin does not work") is none. What is said to another bot in a group is not for us.
    """
    found = _COMMAND.fullmatch(text(update.get("text")))
    if found is None:
        return None
    sender = author(update)
    name, addressed, argument = found[1].lower(), (found[2] or "").lower(), (found[3] or "").strip()
    if addressed and bot.name and addressed != bot.name and not place.private:
        return Ignored(reason="command:another_bot")
    return Command(
        name=name,
        argument=argument,
        sender=sender,
        conversation=place.conversation(sender.address),
        language=language_of(obj(update.get("from"))),
        external_key=place.key(update),
    )


def own_number(update: Obj, place: Place) -> Command | None:
    """The sender's own number, shared by the button that asks for it; None for anybody else's, or what may be made up.

    A bot can write any number into a contact that is sent through it, so such a one proves nothing.
    """
    contact, user = obj(update.get("contact")), obj(update.get("from"))
    sender = author(update)
    if person_id({"id": contact.get("user_id")}) != sender.address or obj(update.get("via_bot")):
        return None
    digits = _NOT_DIGITS.sub("", line(contact.get("phone_number"), 40))
    if not (7 <= len(digits) <= 15):  # ITU-T E.164: at most 15
        return None
    return Command(
        name=OWN_NUMBER,
        argument=f"+{digits}",
        sender=sender,
        conversation=place.conversation(sender.address),
        language=language_of(user),
        external_key=place.key(update),
    )


# -- pressed ------------------------------------------------------------------------------


def press(query: Obj, bot: Bot) -> Event:
    """A pressed button: `rate:<token>:<score>` is a vote, `<command>:<argument>` a command, all else `PRESSED`.

    Whatever it is, its `Press` says what to answer. The message under it may be gone: then it has an id and no date;
    one that was sent through the input line of another chat (`inline_message_id`) has no place at all.
    """
    user, query_id = obj(query.get("from")), identifier(query.get("id"))
    voter, under = address_of(user), obj(query.get("message"))
    if not query_id or not voter.address:
        return Ignored(reason="press:nobody")
    place = Place.of(bot, under)
    where = place.conversation(voter.address) if place is not None else privately(voter.address)
    pressed = Press(id=query_id, under=place.key(under) if place is not None else "")
    data = line(query.get("data"), 256)
    vote = _RATE.fullmatch(data)
    if vote is not None:
        return Rating(token=vote[1], score=int(vote[2]), voter=voter, press=pressed, conversation=where)
    named = _DATA.fullmatch(data)
    return Command(
        name=named[1] if named is not None else PRESSED,
        argument=(named[2] or "") if named is not None else data,
        sender=voter,
        conversation=where,
        language=language_of(user),
        press=pressed,
    )


# -- blocked and unblocked ----------------------------------------------------------------


def membership(update: Obj, bot: Bot) -> Event:
    """The bot's own place in a chat. In private it says whether the person can be written to; elsewhere nothing."""
    place = Place.of(bot, update)
    status = line(obj(update.get("new_chat_member")).get("status"), 40)
    if place is None or not place.private:
        return Ignored(reason="member:group")
    person = str(place.chat)
    if status in _GONE:
        return Reachability(address=person, reachable=False, why=_GONE[status])
    if status == "member":
        return Reachability(address=person, reachable=True, why="unblocked")
    return Ignored(reason="member:unknown_status")


# -- a group that becomes a supergroup ----------------------------------------------------


def moved(update: Obj) -> Moved | None:
    """The service message of it: one is in the group that was, the other in the one that is."""
    here, after = number(obj(update.get("chat")).get("id")), number(update.get("migrate_to_chat_id"))
    before, now = (here, after) if after else (number(update.get("migrate_from_chat_id")), here)
    return Moved(where="chat", before=before, after=now) if before and now and before != now else None
