"""A notice as the calls that it takes (`Divides`): texts of at most 4096 units, and one call for each file. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from channels.telegram.formatting import CAPTION_LIMIT, TEXT_LIMIT, split, units
from normalizer.message import Attachment, Notice

_MEGABYTE = 1024 * 1024
UPLOAD_LIMIT = 50 * _MEGABYTE
"""Bytes of a file that a bot may send: https://core.telegram.org/bots/api#sending-files"""
PHOTO_LIMIT = 10 * _MEGABYTE
PHOTOS = frozenset({"image/jpeg", "image/png", "image/webp"})
VOICES = frozenset({"audio/ogg"})


def divide(notice: Notice) -> Sequence[Notice]:
    """The calls, in order; each is the notice with its own share of text, file, buttons, and `part`.

    A short text goes with a single file as its caption; else files follow the text, one call each. Files that are
    too big, or that are not here, are named in the text with the link to the ticket; where no link may be given the
    text says which do not come, and they are a last call of their own, which is refused: staff must know it, too.
    Buttons stand under the last text; only the first call is an answer to a message.
    """
    if notice.act != "send":
        return [notice]
    files = [item for item in notice.attachments if fits(item)]
    others = [item for item in notice.attachments if not fits(item)]
    text = _with_links(notice, others) if notice.link else _with_lost(notice, others)
    lost = tuple(others) if not notice.link else ()
    if len(files) == 1 and not lost and units(text) <= CAPTION_LIMIT:
        return [replace(notice, text=text, attachments=(files[0],), part=0)]
    texts = [part for part in split(text, TEXT_LIMIT) if part.strip()]
    calls = [replace(notice, text=part, attachments=(), buttons=()) for part in texts]
    if calls:
        calls[-1] = replace(calls[-1], buttons=notice.buttons)
    calls += [replace(notice, text="", attachments=(item,), buttons=()) for item in files]
    if lost:
        calls.append(replace(notice, text="", attachments=lost, buttons=()))
    if not calls:
        return [replace(notice, attachments=())]
    return [replace(call, part=part, answers="" if part else notice.answers) for part, call in enumerate(calls)]


def fits(item: Attachment) -> bool:
    """Telegram takes it from a bot."""
    return item.content is not None and 0 < len(item.content) <= UPLOAD_LIMIT


def _with_links(notice: Notice, files: Sequence[Attachment]) -> str:
    names = ", ".join(item.filename or item.content_type for item in files)
    return notice.text if not files else f"{notice.text}\n\n\N{PAPERCLIP} {names} {notice.link}".rstrip()


def _with_lost(notice: Notice, files: Sequence[Attachment]) -> str:
    """For the person, in figures, which are read in every language: `video.mp4: 61 MB > 50 MB`."""
    lines = [f"\N{PAPERCLIP} {item.filename or item.content_type}: {_why(item)}" for item in files]
    return "\n".join([notice.text, "", *lines]).lstrip() if lines else notice.text


def _why(item: Attachment) -> str:
    size = item.size if item.content is None else len(item.content)
    if size <= UPLOAD_LIMIT:
        return "\N{BALLOT X}"  # empty, or not here any more
    return f"{-(-size // _MEGABYTE)} MB > {UPLOAD_LIMIT // _MEGABYTE} MB"


def kind_of(item: Attachment) -> str:
    """photo, voice or document: how the file is sent. Telegram shows the others as documents."""
    size = len(item.content or b"")
    if item.content_type in PHOTOS and size <= PHOTO_LIMIT:
        return "photo"
    return "voice" if item.content_type in VOICES else "document"
