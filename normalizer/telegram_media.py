"""Files of a Telegram message, by reference: nothing is fetched here, a file_id is all that comes over the wire."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from normalizer.mail.mime import bare_name
from normalizer.message import Attachment
from normalizer.telegram_wire import Obj, amount, line, obj, objects

TOO_BIG = "media:too_big"
NO_FILE = "media:no_file_id"
_TYPE = re.compile(r"[a-z]{1,20}/[a-z0-9.+-]{1,100}")
_SOURCE = re.compile(r"[\x21-\x7e]{1,512}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of file."""

    shown: str
    """What stands in the text for it."""
    content_type: str
    extension: str
    told: bool = True
    """It is named in the text beside a caption, too; else only where there are no words at all."""
    hides: str = ""
    """A second name that the same file has in the message, for old readers."""


KINDS: Mapping[str, Kind] = {
    "photo": Kind(shown="photo", content_type="image/jpeg", extension=".jpg", told=False),
    "live_photo": Kind(shown="live photo", content_type="video/mp4", extension=".mp4"),
    "animation": Kind(shown="animation", content_type="video/mp4", extension=".mp4", hides="document"),
    "document": Kind(shown="file", content_type="application/octet-stream", extension="", told=False),
    "voice": Kind(shown="voice message", content_type="audio/ogg", extension=".ogg"),
    "video": Kind(shown="video", content_type="video/mp4", extension=".mp4"),
    "video_note": Kind(shown="video message", content_type="video/mp4", extension=".mp4"),
    "audio": Kind(shown="audio", content_type="audio/mpeg", extension=".mp3"),
    "voice_note": Kind(shown="voice message", content_type="audio/ogg", extension=".ogg"),
}
"""Member of a message -> what it is. Another name of a voice message stands in rich messages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One file, and what is said of it."""

    attachment: Attachment
    shown: str
    told: bool
    oddity: str = ""


def files(message: Obj, limit: int) -> Iterator[File]:
    """The files of a message (or of whatever has the same members), the biggest size of each picture.

    A file of more than `limit` bytes is named, but has no `source`: nobody could fetch it.
    """
    hidden = {kind.hides for name, kind in KINDS.items() if obj(message.get(name))}
    for name, kind in KINDS.items():
        found = _biggest(message[name], limit) if name == "photo" and name in message else obj(message.get(name))
        if found and name not in hidden:
            yield _file(kind, found, limit, amount(message.get("message_id")))


def _biggest(sizes: object, limit: int) -> Obj:
    """The biggest picture that can be fetched, else the biggest one."""
    known = [(amount(one.get("file_size")) <= limit, _area(one), one) for one in objects(sizes)]
    return max(known, key=lambda size: size[:2])[2] if known else {}


def _area(size: Obj) -> int:
    return amount(size.get("width")) * amount(size.get("height"))


def _file(kind: Kind, found: Obj, limit: int, message_id: int) -> File:
    source, size = line(found.get("file_id"), 512), amount(found.get("file_size"))
    fetchable = bool(_SOURCE.fullmatch(source)) and size <= limit
    said = line(found.get("mime_type"), 120).lower()
    attachment = Attachment(
        filename=bare_name(line(found.get("file_name"))) or _own_name(kind, message_id),
        content_type=said if _TYPE.fullmatch(said) else kind.content_type,
        size=size,
        sha256="",
        source=source if fetchable else "",
    )
    oddity = "" if fetchable else TOO_BIG if size > limit else NO_FILE
    return File(attachment=attachment, shown=_shown(kind, found, attachment), told=kind.told, oddity=oddity)


def _own_name(kind: Kind, message_id: int) -> str:
    number = f"_{message_id}" if message_id else ""
    return f"{kind.shown.replace(' ', '_')}{number}{kind.extension}"


def _shown(kind: Kind, found: Obj, attachment: Attachment) -> str:
    """ "[voice message, 0:34]", "[audio, 3:20: Artist – Title]", "[file: report.pdf]"."""
    seconds = amount(found.get("duration"))
    length = f", {clock(seconds)}" if seconds else ""
    names = " – ".join(name for name in (line(found.get("performer")), line(found.get("title"))) if name)
    title = attachment.filename if kind.shown == "file" else names
    return f"[{kind.shown}{length}{': ' if title else ''}{title}]"


def clock(seconds: int) -> str:
    """ "0:34", "12:05", "1:00:00"."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
