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
    "ru": {
        "photo": "Фото", "voice message": "Голосовое сообщение", "video": "Видео", "video message": "Видеосообщение",
        "audio": "Аудиозапись", "file": "Файл", "location": "Место на карте", "place": "Место на карте",
        "contact": "Контакт", "poll": "Опрос", "forwarded": "Пересланное сообщение", "call": "Звонок",
        "": "Сообщение",
    },
    "uk": {
        "photo": "Фото", "voice message": "Голосове повідомлення", "video": "Відео",
        "video message": "Відеоповідомлення", "audio": "Аудіозапис", "file": "Файл", "location": "Місце на карті",
        "place": "Місце на карті", "contact": "Контакт", "poll": "Опитування", "forwarded": "Переслане повідомлення",
        "call": "Дзвінок", "": "Повідомлення",
    },
    "en": {
        "photo": "Photo", "voice message": "Voice message", "video": "Video", "video message": "Video message",
        "audio": "Audio", "file": "File", "location": "Place on a map", "place": "Place on a map",
        "contact": "Contact", "poll": "Poll", "forwarded": "Forwarded message", "call": "Call",
        "": "Message",
    },
}  # fmt: skip
"""Language -> kind of content, as parsers write it in square brackets, -> what it is called."""
_TYPES = {"image": "photo", "audio": "audio", "video": "video"}
"""First part of a content type -> kind."""
_SHOWN = re.compile(r"\[([a-z]+(?: message)?)\b[^\]]*\](?:\s+https?://\S+)?")
"""A line that only says what came: "[voice message, 0:34]"."""
_SENTENCE = re.compile(r"(?<=[.!?…])\s")


def subject_of(message: Message, language: str) -> str:
    """The subject of a new ticket. A mail keeps its own, also an empty one; a chat has none."""
    if message.conversation is None or message.subject.strip():
        return message.subject[:LONGEST]
    return first_words(message.visible_text) or _kind(message, language)


def first_words(text: str) -> str:
    """The first line of somebody's words, cut between words where it is long; "" when there is no word in it."""
    lines = (line.strip() for line in text.splitlines())
    line = next((line for line in lines if not _SHOWN.fullmatch(line) and any(c.isalnum() for c in line)), "")
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
    shown = (_SHOWN.fullmatch(line.strip()) for line in message.visible_text.splitlines())
    named = [found[1] for found in shown if found is not None and found[1] in words]
    if not named and message.attachments:
        named = [_TYPES.get(message.attachments[0].content_type.partition("/")[0], "file")]
    kind = named[-1] if named else ""
    if kind == "file" and message.attachments and message.attachments[0].filename:
        return f"{words[kind]}: {message.attachments[0].filename}"[:FIRST_WORDS]
    return words[kind]
