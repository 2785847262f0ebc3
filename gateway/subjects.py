"""What a ticket is called: by its mail's subject, else by its first words, else by the kind of what came."""

from __future__ import annotations

import re
from collections.abc import Mapping

from normalizer.message import Message

LONGEST = 998
"""Characters of a subject: RFC 5322 section 2.1.1."""
FIRST_WORDS = 70
"""Characters of a subject that is made of what somebody wrote in a chat."""
KINDS: Mapping[str, Mapping[str, str]] = {
    "ru": {"image": "Фото", "audio": "Голосовое сообщение", "video": "Видео", "file": "Файл", "": "Сообщение"},
    "uk": {"image": "Фото", "audio": "Голосове повідомлення", "video": "Відео", "file": "Файл", "": "Повідомлення"},
    "en": {"image": "Photo", "audio": "Voice message", "video": "Video", "file": "File", "": "Message"},
}
"""Language -> first part of a content type -> what it is called; "file" for the others, "" where there is no file."""
_SENTENCE = re.compile(r"(?<=[.!?…])\s")


def subject_of(message: Message, language: str) -> str:
    """The subject of a new ticket. A mail keeps its own, also an empty one; a chat has none."""
    if message.conversation is None or message.subject.strip():
        return message.subject[:LONGEST]
    return first_words(message.visible_text) or _kind(message, language)


def first_words(text: str) -> str:
    """The first line of a text, cut between words where it is long; "" when there is no word in it."""
    line = next((line for line in map(str.strip, text.splitlines()) if any(c.isalnum() for c in line)), "")
    line = " ".join(line[: FIRST_WORDS * 8].split())
    if len(line) <= FIRST_WORDS:
        return line
    sentence = _SENTENCE.split(line, maxsplit=1)[0]
    if FIRST_WORDS // 3 <= len(sentence) <= FIRST_WORDS:
        return sentence
    cut = line[:FIRST_WORDS]
    at_word, space, _ = cut.rpartition(" ")
    return (at_word if space and len(at_word) > FIRST_WORDS // 2 else cut).rstrip(" ,;:-–—") + "…"


def _kind(message: Message, language: str) -> str:
    words = KINDS.get(language, KINDS["en"])
    if not message.attachments:
        return words[""]
    file = message.attachments[0]
    kind = words.get(file.content_type.partition("/")[0], words["file"])
    return f"{words['file']}: {file.filename}"[:FIRST_WORDS] if kind == words["file"] and file.filename else kind
