"""What a ticket is called that came by chat."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.subjects import FIRST_WORDS, subject_of
from normalizer.message import Address, Attachment, Conversation, Message

LONG = "The printer on the third floor does not print since this morning and nobody knows what to do about it at all"


def chat(text: str, *types: str, **more: Any) -> Message:
    files = tuple(Attachment(filename=name, content_type=kind, size=1, sha256="") for kind, _, name in
                  (one.partition(":") for one in types))  # fmt: skip
    where = more.pop("conversation", Conversation(id="1"))
    return Message(
        sender=Address(address="1"), text=text, visible_text=text, conversation=where, attachments=files, **more
    )


@pytest.mark.parametrize(
    ("text", "subject"),
    [
        ("The printer burns", "The printer burns"),
        ("\n  The   printer\tburns \nPlease come", "The printer burns"),
        ("!!!\n---\nNo Internet", "No Internet"),
        ("The whole site is down. " + LONG, "The whole site is down."),
        (LONG, "The printer on the third floor does not print since this morning and…"),
        ("x" * 300, "x" * FIRST_WORDS + "…"),
        ("[photo]\nNo Internet", "No Internet"),
        ("[important] No Internet", "[important] No Internet"),
    ],
)
def test_first_words(text: str, subject: str) -> None:
    assert subject_of(chat(text), "en") == subject


@pytest.mark.parametrize(
    ("message", "language", "subject"),
    [
        (chat("[photo]", "image/jpeg:photo_1.jpg"), "ru", "Фото"),
        (chat("[voice message, 0:34]", "audio/ogg:voice_message_1.ogg"), "uk", "Голосове повідомлення"),
        (chat("[forwarded from Ann]\n[video, 0:10]", "video/mp4:video_1.mp4"), "en", "Video"),
        (chat("[file: report.pdf]", "application/pdf:report.pdf"), "ru", "Файл: report.pdf"),
        (chat("[location: 50.45, 30.52] https://www.openstreetmap.org/?mlat=1"), "en", "Place on a map"),
        (chat("", "image/png:"), "uk", "Фото"),
        (chat("", "application/zip:"), "en", "File"),
        (chat("?!"), "ru", "Сообщение"),
        (chat("[unsupported content: gift]"), "xx", "Message"),
    ],
)
def test_kinds(message: Message, language: str, subject: str) -> None:
    assert subject_of(message, language) == subject


def test_a_mail_keeps_its_own_subject() -> None:
    assert subject_of(chat("Words", conversation=None, subject=""), "en") == ""
    assert subject_of(chat("Words", conversation=None, subject="s" * 2000), "en") == "s" * 998
