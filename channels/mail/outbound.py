"""A notice as the bytes of a mail. The same notice always gives the same bytes, so that a repeat is recognisable.

Headers are made here and not by `email`: what people wrote reaches them only through `_phrase` and `_words`, which
let no line break through (header injection), and nothing is folded or guessed by a library.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import html as markup
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import quote

from channels.mail.addresses import a_labels
from normalizer.message import Address, Attachment, Notice

MARK = "X-Intake-Gateway"
"""Header by which we know our own mail when it comes back."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]+")
"""Line breaks of every kind, and what turns the direction of a line: a file name could hide its ending."""
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\- ]+")
_ID = re.compile(r"[!-;=?-~]{1,900}")
_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+\-]{1,100}/[A-Za-z0-9!#$&^_.+\-]{1,100}")
_LINE = 75


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The account that a notice comes from."""

    name: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A mail ready to go: envelope and content."""

    sender: str
    recipient: str
    content: bytes
    """RFC 5322, CRLF, no line over 998 bytes."""
    utf8: bool
    """An address needs SMTPUTF8 (RFC 6531): a local part is not ASCII."""


def compose(notice: Notice, origin: Origin, now: datetime) -> Mail:
    """Make the mail. `now` dates a notice that has no time of its own."""
    sender, recipient = wire_address(origin.address), wire_address(notice.recipient.address)
    seed = f"{notice.id}/{notice.message_id}"
    kind, body = _content(notice, seed)
    lines = [
        f"Date: {format_datetime((notice.created_at or now).astimezone(UTC))}",
        f"From: {_mailbox(Address(name=origin.name, address=sender), 6)}",
        f"To: {_mailbox(Address(name=notice.recipient.name, address=recipient), 4)}",
        f"Subject: {_words(_one_line(notice.subject), 9)}",
        *_threading(notice),
        *_automatic(notice),
        f"{MARK}: {notice.id}",
        "MIME-Version: 1.0",
        *kind,
    ]
    content = "\r\n".join(lines).encode() + b"\r\n\r\n" + body
    return Mail(sender=sender, recipient=recipient, content=content, utf8=not (sender + recipient).isascii())


def wire_address(address: str) -> str:
    """An address for the envelope and the header: no control characters or brackets, the domain as A-labels."""
    local, _, domain = re.sub(r"[\s<>]", "", _CONTROL.sub("", address)).rpartition("@")
    return f"{local}@{a_labels(domain)}"


# -- headers ------------------------------------------------------------------------------


def _threading(notice: Notice) -> Iterator[str]:
    if _ID.fullmatch(notice.message_id):
        yield f"Message-ID: <{notice.message_id}>"
    if _ID.fullmatch(notice.in_reply_to):
        yield f"In-Reply-To: <{notice.in_reply_to}>"
    references = [f"<{known}>" for known in notice.references if _ID.fullmatch(known)]
    if references:
        yield "References: " + "\r\n ".join(references)
    if notice.reply_to:
        yield f"Reply-To: <{wire_address(notice.reply_to)}>"


def _automatic(notice: Notice) -> Iterator[str]:
    """RFC 3834 section 5; the second header is what Exchange looks at."""
    if notice.automatic:
        yield f"Auto-Submitted: auto-{'replied' if notice.kind == 'acknowledgement' else 'generated'}"
        yield "X-Auto-Response-Suppress: All"


def _one_line(text: str) -> str:
    return _CONTROL.sub(" ", text.encode("utf-8", "replace").decode()).strip()


def _mailbox(address: Address, used: int) -> str:
    name = _phrase(_one_line(address.name), used)
    if not name:
        return f"<{address.address}>"
    fold = "" if used + len(name) + len(address.address) < _LINE - 2 else "\r\n"
    return f"{name}{fold} <{address.address}>"


def _phrase(text: str, used: int) -> str:
    """A display name: as it is, quoted, or as encoded words (RFC 5322 section 3.2.5, RFC 2047 section 5)."""
    if not text.isascii() or len(text) > _LINE - used or "=?" in text:
        return _words(text, used, always=True)
    if not text or _ATOMS.fullmatch(text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _words(text: str, used: int, *, always: bool = False) -> str:
    """Unstructured text, as encoded words where plain ASCII will not do. `used`: columns taken on the line.

    An encoded word is 75 characters at most and never splits a character (RFC 2047 sections 2 and 5).
    """
    if not always and text.isascii() and "=?" not in text and "  " not in text:
        lines = textwrap.wrap(text, _LINE - used, break_long_words=False, break_on_hyphens=False)
        if all(len(line) <= _LINE for line in lines):
            return "\r\n ".join(lines)
    words: list[str] = []
    piece = b""
    room = (_LINE - used - len("=?utf-8?b??=")) // 4 * 3
    for character in text:
        encoded = character.encode()
        if len(piece) + len(encoded) > room:
            words.append(_word(piece))
            piece, room = b"", 45
        piece += encoded
    words.append(_word(piece))
    return "\r\n ".join(words)


def _word(piece: bytes) -> str:
    return f"=?utf-8?b?{base64.b64encode(piece).decode()}?="


# -- content ------------------------------------------------------------------------------


def _content(notice: Notice, seed: str) -> tuple[list[str], bytes]:
    """(header lines, body) of the outermost part."""
    part = _text("plain", notice.text, notice.language)
    if notice.html:
        part = _multipart("alternative", [part, _text("html", _page(notice), notice.language)], f"{seed}/alternative")
    if notice.attachments:
        part = _multipart("mixed", [part, *map(_attachment, notice.attachments)], f"{seed}/mixed")
    return part


def _text(subtype: str, text: str, language: str) -> tuple[list[str], bytes]:
    clean = text.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "").encode("utf-8", "replace")
    readable = clean.isascii() or sum(byte > 127 for byte in clean) * 6 < len(clean)
    head = [f"Content-Type: text/{subtype}; charset=utf-8"]
    if language.isalpha():
        head.append(f"Content-Language: {language}")
    if readable:
        head.append("Content-Transfer-Encoding: quoted-printable")
        return head, binascii.b2a_qp(clean, istext=True).replace(b"\n", b"\r\n") + b"\r\n"
    head.append("Content-Transfer-Encoding: base64")
    return head, _base64(clean.replace(b"\n", b"\r\n"))


def _page(notice: Notice) -> str:
    """HTML with the language said, for screen readers and for translators in mail programs."""
    if "<html" in notice.html[:500].lower():
        return notice.html
    title = markup.escape(_one_line(notice.subject))
    return (
        f'<!doctype html>\n<html lang="{markup.escape(notice.language)}">\n<head><meta charset="utf-8">'
        f"<title>{title}</title></head>\n<body>\n{notice.html}\n</body>\n</html>\n"
    )


def _attachment(file: Attachment) -> tuple[list[str], bytes]:
    kind = file.content_type if _TYPE.fullmatch(file.content_type) else "application/octet-stream"
    if kind.lower().startswith(("message/", "multipart/")):
        kind = "application/octet-stream"  # RFC 2046 section 5.2.1: these may not be base64
    disposition = "inline" if file.inline else "attachment"
    head = [f"Content-Type: {kind}", f"Content-Disposition: {disposition}" + _filename(_one_line(file.filename))]
    if _ID.fullmatch(file.content_id):
        head.append(f"Content-ID: <{file.content_id}>")
    head.append("Content-Transfer-Encoding: base64")
    return head, _base64(file.content or b"")


def _filename(name: str) -> str:
    """The file name as a parameter: quoted, or encoded and continued (RFC 2231 sections 3 and 4)."""
    if not name:
        return ""
    short = name if len(name) <= 150 else name[:130] + name[-20:]
    if short.isascii():
        return ';\r\n filename="' + short.replace("\\", "\\\\").replace('"', '\\"') + '"'
    pieces = re.findall(r"(?:%..|[^%]){1,20}", quote(short, safe=""))
    if len(pieces) == 1:
        return f";\r\n filename*=utf-8''{pieces[0]}"
    pieces[0] = "utf-8''" + pieces[0]
    return "".join(f";\r\n filename*{at}*={piece}" for at, piece in enumerate(pieces))


def _multipart(subtype: str, parts: Sequence[tuple[list[str], bytes]], seed: str) -> tuple[list[str], bytes]:
    # "=_" can stand neither in quoted-printable nor in base64 (RFC 2045 section 6.7), so no part contains it.
    boundary = f"=_{hashlib.sha256(seed.encode()).hexdigest()[:32]}"
    delimiter = f"--{boundary}".encode()
    body = b"".join(
        delimiter + b"\r\n" + "\r\n".join(head).encode() + b"\r\n\r\n" + content + b"\r\n" for head, content in parts
    )
    return [f'Content-Type: multipart/{subtype};\r\n boundary="{boundary}"'], body + delimiter + b"--\r\n"


def _base64(content: bytes) -> bytes:
    return base64.encodebytes(content).replace(b"\n", b"\r\n")
