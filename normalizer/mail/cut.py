"""A mail of which only the beginning was taken in: what staff and searches must be told in its text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from normalizer.message import Facts, Message

NOTES: Mapping[str, str] = {
    "en": "[Too big to be taken in: {size} bytes. Here is its beginning; the whole is in the mailbox, in {folder}.]",
    "ru": "[Сообщение слишком большое: {size} байт. Здесь только начало; целиком оно в почтовом ящике, в {folder}.]",
    "uk": "[Повідомлення завелике: {size} байт. Тут лише початок; повністю воно в поштовій скриньці, у {folder}.]",
}
"""By language of the message."""


def tell(message: Message, facts: Facts) -> Message:
    """The message with a note in front of its text, when the facts say that it was cut (`whole_size`, `folder`)."""
    size = facts.get("whole_size")
    if not isinstance(size, int):
        return message
    note = NOTES.get(message.language, NOTES["en"]).format(size=size, folder=facts.get("folder", ""))
    return replace(
        message,
        text=f"{note}\n\n{message.text}",
        visible_text=f"{note}\n\n{message.visible_text}",
        oddities=(*message.oddities, f"cut:{size}"),
    )
