"""Caps that are checked before any parser sees the bytes.

The standard library's parser recurses once per nested container (1,500 levels end in
RecursionError after a second) and compares every line with every open boundary, and its
parameter splitter is quadratic. Everything here is linear in the number of bytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

HEADER_BYTES = 128 * 1024
"""The whole header block of a message. Postfix' header_size_limit is 100 KB."""
FIELD_BYTES = 32 * 1024
"""One header field."""
CONTENT_FIELD_BYTES = 8 * 1024
"""One Content-Type or Content-Disposition field, in whatever part."""
HEADER_LINES = 2000
DEPTH = 40
"""Containers (multipart, message) inside one another."""
PARTS = 1000
HTML_BYTES = 1024 * 1024
"""Characters of HTML that are given to a parser; more is cut off."""
SHOWN_HTML = 512 * 1024
"""Characters of HTML that are sanitised for showing; the sanitiser takes a second per megabyte of entities."""
BOUNCE_BYTES = 128 * 1024
"""Bytes of a suspected bounce that are searched for words of mail servers: sixty patterns a line."""
HTML_DEPTH = 400
TEXT_CHARS = 1024 * 1024
"""Characters of text of one message; more is cut off."""
FLAT_TEXT_BYTES = 64 * 1024
"""Bytes shown as text of a message whose structure is beyond the caps."""
ADDRESSES = 1000
REFERENCES = 50
NESTED_MESSAGES = 2
"""How deep messages inside a message are read; deeper ones are attachments only."""

_FIELD_START = re.compile(rb"[!-9;-~]+:|[ \t]|From |>From ")
_KNOWN = re.compile(
    rb"^(?:from|to|subject|message-id|received|mime-version|content-type):", re.IGNORECASE | re.MULTILINE
)
_SPACED_COLON = re.compile(rb"([!-9;-~]{1,60})[ \t]{1,5}:")
_CONTAINER = re.compile(rb"content-type:\s*(multipart|message)/")
_BOUNDARY = re.compile(rb"boundary\s*=\s*(?:\"([^\"\r\n]{1,200})\"|([^\s;\"]{1,200}))")
_LINE_END = re.compile(rb"\r\n|\n|\r")


@dataclass(frozen=True, slots=True)
class Checked:
    """Bytes that a parser may see. `flat`: the structure is beyond the caps, only the header may be parsed."""

    data: bytes
    flat: bool
    oddities: tuple[str, ...]


def check(data: bytes) -> Checked:
    """Shorten a header block beyond the caps and measure the structure."""
    oddities: list[str] = []
    end = _head_end(data)
    if end > HEADER_BYTES or data.count(b"\n", 0, end) > HEADER_LINES or end > FIELD_BYTES or _long_content(data, end):
        shorter, body = _shorten(data)
        if shorter is not None:
            oddities.append("limit:header")
            data = shorter + b"\r\n" + data[body:]
            end = len(shorter)
    mended = _mend(data[:end])
    if mended is not None:
        oddities.append("header:broken-line")
        data = mended + data[end:]
    beyond = _beyond(data)
    if beyond:
        oddities.append(beyond)
    return Checked(data, bool(beyond), tuple(oddities))


def _mend(head: bytes) -> bytes | None:
    """The header block without a few lines that are no fields, at which a parser would start the body; None: sound."""
    lines = head.split(b"\n")
    broken = [at for at, line in enumerate(lines) if not _FIELD_START.match(line) and line.strip()]
    if not broken or len(broken) > 3 or not _KNOWN.search(b"\n".join(lines[broken[-1] + 1 :])):
        return None
    for at in broken:
        lines[at] = _SPACED_COLON.sub(rb"\1:", lines[at]) if _SPACED_COLON.match(lines[at]) else b""
    return b"\n".join(line for at, line in enumerate(lines) if line or at not in broken)


def _head_end(data: bytes) -> int:
    ends = [at for at in (data.find(mark) for mark in (b"\n\r\n", b"\n\n", b"\r\r")) if at >= 0]
    return min(ends) if ends else len(data)


def _long_content(data: bytes, end: int) -> bool:
    return end > CONTENT_FIELD_BYTES and b"content-" in data[:end].lower()


def _shorten(data: bytes) -> tuple[bytes | None, int]:
    """The header block within the caps, and where the body starts; (None, 0) when it is within them already."""
    kept: list[bytes] = []
    size = total = at = count = 0
    cap, cut = FIELD_BYTES, False
    for match in _LINE_END.finditer(data):
        line, start, at = data[at : match.start()], at, match.end()
        if not line:
            return (b"".join(kept), at) if cut else (None, 0)
        if not _FIELD_START.match(line):
            return (b"".join(kept), start) if cut else (None, 0)
        if line[:1] not in b" \t":
            size, cap = 0, CONTENT_FIELD_BYTES if line[:8].lower() == b"content-" else FIELD_BYTES
        room = min(cap - size, HEADER_BYTES - total) if count < HEADER_LINES else 0
        cut = cut or len(line) > room
        size += len(line)
        if room > 0:
            kept += (line[:room], b"\r\n")
            total += min(room, len(line)) + 2
            count += 1
    rest = data[at:]
    if rest and _FIELD_START.match(rest) and len(rest) > FIELD_BYTES:
        return b"".join([*kept, rest[:FIELD_BYTES], b"\r\n"]), len(data)
    return (b"".join(kept), at) if cut else (None, 0)


def _beyond(data: bytes) -> str:
    """The cap that the structure breaks, or ""."""
    lowered = data.lower()
    fields = _content_types(lowered)
    if fields is None:
        return "limit:parts"
    if any(_field_size(data, at) > CONTENT_FIELD_BYTES for at in fields) or _long_disposition(lowered):
        return "limit:header"
    containers = [at for at in fields if _CONTAINER.match(lowered, at)]
    if len(containers) <= 8 and data.count(b"\n--") <= PARTS:
        return ""
    return _measure(data, lowered, containers)


def _content_types(lowered: bytes) -> list[int] | None:
    """Where Content-Type fields start; None when there are more than parts allowed."""
    found: list[int] = []
    at = lowered.find(b"content-type:")
    while at >= 0:
        if at == 0 or lowered[at - 1] in b"\r\n":
            found.append(at)
            if len(found) > PARTS:
                return None
        at = lowered.find(b"content-type:", at + 13)
    return found


def _long_disposition(lowered: bytes) -> bool:
    at = lowered.find(b"\ncontent-disposition:")
    while at >= 0:
        if _field_size(lowered, at + 1) > CONTENT_FIELD_BYTES:
            return True
        at = lowered.find(b"\ncontent-disposition:", at + 20)
    return False


def _field_size(data: bytes, start: int) -> int:
    """Bytes of the field that starts here, with its folded lines; stops counting beyond the cap."""
    limit = start + CONTENT_FIELD_BYTES + 1
    at = start
    while at < limit:
        end = data.find(b"\n", at, limit)
        if end < 0:
            return min(limit, len(data)) - start
        if data[end + 1 : end + 2] not in (b" ", b"\t"):
            return end - start
        at = end + 1
    return at - start


def _measure(data: bytes, lowered: bytes, containers: list[int]) -> str:
    """Walk over containers and boundary lines with a stack, as a parser would."""
    boundaries: set[bytes] = set()
    marks = [(at, b"") for at in containers]
    for at in containers:
        match = _BOUNDARY.search(lowered, at, at + CONTENT_FIELD_BYTES)
        if match:
            boundaries.add((match[1] or match[2]).strip())
    parts = 0
    at = data.find(b"\n--")
    while at >= 0:
        end = data.find(b"\n", at + 3)
        line = lowered[at + 3 : end if 0 <= end < at + 220 else at + 220].rstrip()
        name = line if line in boundaries else line[:-2]
        if name in boundaries:
            parts += 1
            marks.append((at + 1, name))
        at = data.find(b"\n--", at + 3)
    if parts > PARTS:
        return "limit:parts"
    return "limit:nesting" if _deepest(sorted(marks), lowered) > DEPTH else ""


def _deepest(marks: list[tuple[int, bytes]], lowered: bytes) -> int:
    stack: list[bytes] = []
    depth = 0
    for at, name in marks:
        if name:
            if name in stack:
                del stack[stack.index(name) + 1 :]
            continue
        match = _BOUNDARY.search(lowered, at, at + CONTENT_FIELD_BYTES)
        stack.append((match[1] or match[2]).strip() if match else b"")
        depth = max(depth, len(stack))
        if depth > DEPTH:
            break
    return depth
