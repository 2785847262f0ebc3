"""Where a notice goes, from its destination and keys. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from channels.telegram.formatting import DATA_LIMIT
from channels.telegram.parts import fits
from normalizer.message import Notice

PHONE = "phone:"
"""Data of a button that asks for the sender's own number."""


class Unaddressed(ValueError):
    """The notice cannot be sent as it is; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a call names."""

    chat: int = 0
    """0 for the answer to a pressed button."""
    topic: int | None = None
    business: str | None = None
    message: int | None = None
    """Of an edit."""
    answers: int | None = None
    """The message that it is an answer to."""

    def of(self, notice: Notice) -> Target:
        """The target of the same notice after something was left out of it."""
        return target_of(notice)


def target_of(notice: Notice) -> Target:
    """Where it goes. Raises Unaddressed."""
    if notice.act == "press":
        if not notice.target:
            raise Unaddressed("it answers no button")
        return Target()
    business = notice.destination.get("business")
    business = business if isinstance(business, str) and business else None
    if notice.act == "edit":
        place = place_of(notice.target)
        if place is None:
            raise Unaddressed("it edits no message of this channel")
        return Target(chat=place[0], message=place[1], business=business)
    chat = _whole(notice.destination.get("chat")) or _whole(notice.recipient.address)
    if not chat:
        raise Unaddressed("the recipient has no chat here")
    asked = place_of(notice.answers)
    return Target(
        chat=chat,
        topic=_whole(notice.destination.get("topic")),
        business=business,
        answers=asked[1] if asked is not None and asked[0] == chat else None,
    )


def place_of(key: str) -> tuple[int, int] | None:
    """(chat, message) of an external key, "telegram:<account>:<chat>:<message>"; None when it is none of ours.

    Before the chat of a business account stands "b:<connection>:".
    """
    parts = key.rsplit(":", 2)
    if len(parts) != 3 or not parts[0].startswith("telegram:"):
        return None
    chat, message = _whole(parts[1]), _whole(parts[2])
    return (chat, message) if chat and message else None


def _whole(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        return None
    try:
        return int(value) or None
    except ValueError:
        return None


def check(notice: Notice) -> None:
    """Raises Unaddressed for what Telegram would refuse for sure."""
    if notice.act == "send" and not notice.text.strip() and not notice.attachments:
        raise Unaddressed("there is nothing to send")
    if lost := [item.filename or item.content_type for item in notice.attachments if not fits(item)]:
        raise Unaddressed(f"empty, or more than Telegram takes, and no link may be given here: {', '.join(lost)}")
    for row in notice.buttons:
        for button in row:
            if len(button.data.encode("utf-8", "replace")) > DATA_LIMIT:
                raise Unaddressed(f"a button sends back more than {DATA_LIMIT} bytes")
            if not button.label.strip():
                raise Unaddressed("a button has no words")
