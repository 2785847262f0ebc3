"""From bytes to the tree of parts, and from the tree to texts, HTML, attachments and reports.

Structure comes from the standard library's compat32 parser, which keeps every byte; headers,
charsets and transfer encodings are read by our own tolerant code.
"""

from __future__ import annotations

import binascii
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.feedparser import FeedParser
from email.message import Message as Part
from email.policy import compat32

from normalizer.mail import charsets, limits, words
from normalizer.message import Attachment

_CONTROL_OR_SLASH = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|\u202a-\u202e\u2066-\u2069]+')
_META_CHARSET = re.compile(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?([\w.:-]{2,40})", re.IGNORECASE)
_UU_BEGIN = re.compile(rb"^begin \d{3,4} [^\r\n]*\r?$", re.MULTILINE)
_BROKEN_CR = re.compile(r"\r\n?")


@dataclass(slots=True)
class Field:
    """Headers of one part: lower-case name -> raw values in order."""

    values: dict[str, list[str]] = field(default_factory=dict)

    def first(self, name: str) -> str:
        """The first value as it stands on the wire, "" when there is none."""
        found = self.values.get(name)
        return found[0] if found else ""

    def all(self, name: str) -> list[str]:
        """Every value in order."""
        return self.values.get(name, [])

    def __contains__(self, name: str) -> bool:
        return name in self.values


@dataclass(slots=True)
class Contents:
    """What was found in a message, in order of appearance."""

    texts: list[str] = field(default_factory=list)
    htmls: list[str] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)
    statuses: list[Part] = field(default_factory=list)
    """message/delivery-status and message/global-delivery-status parts (RFC 3464, 6533)."""
    messages: list[Part] = field(default_factory=list)
    """Messages inside, the returned ones of a report too."""
    returned_headers: list[str] = field(default_factory=list)
    """text/rfc822-headers parts (RFC 3462)."""
    types: set[str] = field(default_factory=set)
    charset: str = ""
    """The first declared charset of a text: what raw 8-bit headers are in, most likely."""
    oddities: list[str] = field(default_factory=list)


def fields(part: Part) -> Field:
    """The headers of a part, at most `limits.HEADER_LINES`."""
    found = Field()
    for name, value in part.raw_items():
        found.values.setdefault(name.lower(), []).append(value)
    return found


def parse(data: bytes, *, headers_only: bool) -> Part:
    """The tree. `data` has passed `limits.check`."""
    text = data.decode("ascii", "surrogateescape")
    if not headers_only:
        simple = _simple(text)
        if simple is not None:
            return simple
    parser: FeedParser[Part] = FeedParser(policy=compat32)
    if headers_only:
        parser._set_headersonly()  # type: ignore[attr-defined]  # what HeaderParser does
    parser.feed(text)
    return parser.close()


def _simple(text: str) -> Part | None:
    """A mail of one part without giving its body to the parser, which looks at every line; None for any other."""
    ends = [(at, at + len(mark)) for mark in ("\n\r\n", "\n\n") if (at := text.find(mark)) >= 0]
    if not ends:
        return None
    end, body = min(ends)
    parser: FeedParser[Part] = FeedParser(policy=compat32)
    parser.feed(text[: end + 1])
    part = parser.close()
    if part.defects or inside(part) != "" or part.get_content_maintype() in ("multipart", "message"):
        return None
    part.set_payload(text[body:])
    return part


def content_type(part: Part) -> tuple[str, dict[str, str]]:
    """Lower-case type and raw parameters; text/plain for what is missing or no type at all (RFC 2045 section 5.2)."""
    value = _raw(part, "content-type")
    if not value:
        return part.get_default_type(), {}
    kind, found = words.parameters(value)
    if kind.count("/") != 1:
        kind = "text/plain" if kind in ("", "text") or "/" in kind else "application/octet-stream"
    return kind, found


def _raw(part: Part, name: str) -> str:
    for key, value in part.raw_items():
        if key.lower() == name:
            return str(value)
    return ""


def inside(part: Part) -> object:
    """The payload as the parser left it: text with surrogate escapes, or the parts.

    `get_payload()` would decode 8-bit text by the declared charset with replacement characters.
    """
    payload: object = part._payload  # type: ignore[attr-defined]  # the typeshed keeps it private
    return payload


def payload(part: Part, oddities: list[str]) -> bytes:
    """The bytes of a leaf with its transfer encoding undone."""
    raw = inside(part)
    if not isinstance(raw, str):
        return _inner_bytes(part)
    data = words.to_bytes(raw)
    encoding = words.parameters(_raw(part, "content-transfer-encoding"))[0].strip("\"' ")
    match encoding:
        case "base64" | "base-64" | "b64":
            decoded, sound = words.unquoted_base64(data)
            if not sound:
                oddities.append("base64:bad")
            if data.strip() and not decoded:
                oddities.append("base64:bad")
                return data
            return decoded
        case "quoted-printable" | "quoted_printable" | "qp":
            return binascii.a2b_qp(data)
        case "x-uuencode" | "uuencode" | "uue" | "x-uue":
            return _uudecode(data, oddities)
        case "" | "7bit" | "8bit" | "binary" | "7-bit" | "8-bit":
            return data
    oddities.append("encoding:unknown")
    return data


def _uudecode(data: bytes, oddities: list[str]) -> bytes:
    begin = _UU_BEGIN.search(data)
    out: list[bytes] = []
    for line in data[begin.end() if begin else 0 :].splitlines():
        if not line:
            continue  # an empty line would be read as 32 zero bytes
        if line.strip() == b"end":
            break
        try:
            out.append(binascii.a2b_uu(line))
        except binascii.Error:
            oddities.append("uuencode:bad")
            break
    return b"".join(out)


def _inner_bytes(part: Part) -> bytes:
    inner = inside(part)
    if isinstance(inner, list) and len(inner) == 1 and isinstance(inner[0], Part):
        return message_bytes(inner[0])
    return message_bytes(part)


def message_bytes(part: Part) -> bytes:
    """A message inside a message as bytes again: fields as they stood, line ends as in its body."""
    body = _body_bytes(part)
    end = "\n" if b"\n" in body and b"\r\n" not in body else "\r\n"
    head = "".join(f"{name}: {value}{end}" for name, value in part.raw_items())
    return words.to_bytes(head + end) + body


def _body_bytes(part: Part) -> bytes:
    """The body of a part, containers put together again."""
    inner = inside(part)
    if isinstance(inner, str):
        return words.to_bytes(inner)
    if not isinstance(inner, list):
        return b""
    parts = [message_bytes(item) for item in inner if isinstance(item, Part)]
    if part.get_content_maintype() != "multipart":
        return b"\n".join(parts)
    boundary = words.to_bytes(content_type(part)[1].get("boundary", ""))
    return b"".join(b"--" + boundary + b"\n" + item + b"\n" for item in parts) + b"--" + boundary + b"--\n"


# -- collecting ---------------------------------------------------------------------------


def collect(root: Part) -> Contents:
    """Everything in the tree, in order; messages inside are not entered."""
    found = Contents()
    for part, container in _leaves(root):
        _leaf(part, container, found, root)
    defects = {f"mime:{type(defect).__name__}" for part, _ in _leaves(root) for defect in part.defects}
    defects.update(f"mime:{type(defect).__name__}" for defect in root.defects)
    found.oddities.extend(sorted(defects))
    return found


def _leaves(root: Part) -> Iterator[tuple[Part, str]]:
    """Parts that are no multipart, each with the type of the container it stands in."""
    stack: list[tuple[Part, str]] = [(root, "")]
    while stack:
        part, container = stack.pop()
        inner = inside(part)
        if isinstance(inner, list) and part.get_content_maintype() == "multipart":
            kind = content_type(part)[0]
            stack.extend((item, kind) for item in reversed(inner) if isinstance(item, Part))
        else:
            yield part, container


_STATUSES = ("message/delivery-status", "message/global-delivery-status")
_WHOLE = ("message/rfc822", "message/global", "message/news")
_HEADERS = ("text/rfc822-headers", "message/rfc822-headers", "message/global-headers")


def _leaf(part: Part, container: str, found: Contents, root: Part) -> None:
    kind, params = content_type(part)
    found.types.add(kind)
    if kind in _STATUSES:
        found.statuses.append(part)
        return
    if kind in _HEADERS and container == "multipart/report":
        found.returned_headers.append(words.clean(payload(part, []).decode("utf-8", "replace")))
        return
    inner = inside(part)
    if kind in _WHOLE and isinstance(inner, list) and inner and isinstance(inner[0], Part):
        found.messages.append(inner[0])
    disposition, disposition_params = words.parameters(_raw(part, "content-disposition"))
    name = _filename(params, disposition_params, found)
    if _is_text(kind, disposition, name, part, root):
        _text(part, kind, params, found)
    elif not (container == "multipart/report" and kind.startswith("message/")):
        found.attachments.append(_attachment(part, kind, disposition, name, found))


def _is_text(kind: str, disposition: str, name: str, part: Part, root: Part) -> bool:
    if kind.startswith("multipart/") and isinstance(inside(part), str):
        return True  # no boundary was found: what there is is text
    if kind not in ("text/plain", "text/html", "text/enriched", "text/richtext", "text/watch-html"):
        return False
    return part is root or (disposition != "attachment" and not name)


def _text(part: Part, kind: str, params: dict[str, str], found: Contents) -> None:
    data = payload(part, found.oddities)
    declared = words.one_line(params.get("charset", ""))
    found.charset = found.charset or declared
    if kind == "text/html" and charsets.codec(declared) in ("", "?", "ascii") and not data.isascii():
        meta = _META_CHARSET.search(data[:4096])
        declared = meta[1].decode("ascii") if meta else declared
    text, oddity = charsets.decode(data[: limits.TEXT_CHARS * 4], declared)
    if oddity:
        found.oddities.append(oddity)
    if len(text) > limits.TEXT_CHARS and kind != "text/html":
        found.oddities.append("limit:text")
        text = text[: limits.TEXT_CHARS]
    if "\r" in text:
        text = _BROKEN_CR.sub("\n", text)
    if "\x00" in text:
        found.oddities.append("text:nul")
    if params.get("format", "").lower() == "flowed" and kind == "text/plain":
        text = _unflow(text, params.get("delsp", "").lower() == "yes")
    (found.htmls if kind == "text/html" else found.texts).append(words.clean(text))


def _unflow(text: str, delete_space: bool) -> str:
    """Paragraphs of format=flowed in one line each (RFC 3676 section 4)."""
    if " \n" not in text:
        return text
    out: list[str] = []
    open_depth = -1
    for line in text.split("\n"):
        depth = len(line) - len(line.lstrip(">"))
        rest = line[depth:]
        rest = rest[1:] if rest[:1] == " " else rest
        signature = rest == "-- "
        if open_depth == depth and not signature:
            out[-1] += rest
        else:
            out.append(">" * depth + (" " if depth else "") + rest)
        flows = rest[-1:] == " " and not signature
        if flows and delete_space:
            out[-1] = out[-1][:-1]
        open_depth = depth if flows else -1
    return "\n".join(out)


def _filename(params: dict[str, str], disposition: dict[str, str], found: Contents) -> str:
    name = words.parameter(disposition, "filename", found.oddities, found.charset)
    name = name or words.parameter(params, "name", found.oddities, found.charset)
    return bare_name(name)


def bare_name(name: str) -> str:
    """A file name without folders and without characters that a file system or a header trips over."""
    if not name:
        return ""
    tail = re.split(r"[/\\]", name)[-1] or name
    tail = _CONTROL_OR_SLASH.sub("_", tail).strip(" .")
    stem, dot, extension = tail.rpartition(".")
    return f"{stem[:120]}{dot}{extension[:20]}" if len(tail) > 140 else tail


def _attachment(part: Part, kind: str, disposition: str, name: str, found: Contents) -> Attachment:
    content = payload(part, found.oddities)
    content_id = words.one_line(_raw(part, "content-id")).strip("<>")
    if not name and kind in _WHOLE and found.messages:
        subject = words.decode(_raw(found.messages[-1], "subject"), [])
        name = bare_name(f"{subject[:80]}.eml" if subject else "message.eml")
    return Attachment(
        filename=name,
        content_type=words.clean(kind) if len(kind) < 128 else "application/octet-stream",
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        inline=disposition == "inline" or bool(content_id and disposition != "attachment"),
        content_id=content_id,
        content=content,
    )
