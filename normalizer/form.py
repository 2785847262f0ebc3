"""form/1: the bytes of an upload form (multipart/form-data, RFC 7578) to a Message.

Total: whatever the bytes are, something comes out, oddities named. Linear in the number of bytes, and it holds
the body once more at most: files are cut out of it, never joined again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from normalizer import language
from normalizer.mail import addresses, answers, charsets, limits, mime, threads, words
from normalizer.message import Address, Attachment, Event, InlineBody, KeyKind, Message, RawMessage, ThreadKey, Trust

PARTS = 200
"""Fields and files that are read; a form beyond that keeps the rest in one attachment."""
HEADER_BYTES = 8 * 1024
"""Of one part."""
FIELD_BYTES = 4 * 1024
"""Of one field other than the text."""
MORE_FIELDS = 20
"""Fields with names of their own that are shown below the text."""
_OURS = frozenset({"address", "name", "subject", "number"})
_IGNORED = frozenset({"website", "_charset_", ""})
_NUMBER = re.compile(r"\d{4,12}")
_NAME_CHARS, _SUBJECT_CHARS, _ADDRESS_CHARS = 200, 1000, 320


def read(raw: RawMessage) -> Event:
    """What the form says. Fact used: `content_type`.

    Nobody vouches for the address that was typed, so trust is UNKNOWN, and a number that was typed is a
    TICKET_NUMBER: it links, and opens no door. Raises TypeError for a body that is still on disk.
    """
    if not isinstance(raw.body, InlineBody):
        raise TypeError("the body of a raw message is loaded before it is normalised")
    said = raw.facts.get("content_type")
    form = _Form()
    form.read(raw.body.content, said if isinstance(said, str) else "")
    return form.message()


@dataclass(frozen=True, slots=True)
class _Part:
    """Where a part stands in the body."""

    head: str
    start: int
    end: int


@dataclass(slots=True)
class _Form:
    """What was found so far."""

    fields: dict[str, str] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)
    more: list[str] = field(default_factory=list)
    files: list[Attachment] = field(default_factory=list)
    oddities: list[str] = field(default_factory=list)

    # -- reading --

    def read(self, data: bytes, content_type: str) -> None:
        boundary = _boundary(data, content_type)
        if not boundary:
            self.oddities.append("form:not-read")
            self._keep(data, "upload.bin", "application/octet-stream")
            return
        for part in _parts(data, boundary, self.oddities):
            self._part(data, part)

    def _part(self, data: bytes, part: _Part) -> None:
        headers = _headers(part.head)
        disposition = words.parameters(headers.get("content-disposition", ""))[1]
        kind, params = words.parameters(headers.get("content-type", ""))
        name = words.one_line(words.parameter(disposition, "name", self.oddities)).lower()[:100]
        if "filename" in disposition or any(key.startswith("filename*") for key in disposition):
            self._file(data[part.start : part.end], disposition, kind)
        elif name not in _IGNORED or (name == "" and part.end > part.start):
            self._field(name, data[part.start : part.end], params.get("charset", "utf-8"))

    def _file(self, content: bytes, disposition: dict[str, str], kind: str) -> None:
        shown = words.parameter(disposition, "filename", self.oddities, "utf-8")
        # How browsers write the characters that would end the name (HTML, "multipart form data").
        for code, char in (("%22", '"'), ("%0D", " "), ("%0A", " ")):
            shown = shown.replace(code, char)
        if content or shown:  # a browser sends an empty part for a field without a file
            self._keep(content, mime.bare_name(shown), kind)

    def _keep(self, content: bytes, name: str, kind: str) -> None:
        sound = kind.count("/") == 1 and len(kind) < 128
        self.files.append(
            Attachment(
                filename=name,
                content_type=words.clean(kind) if sound else "application/octet-stream",
                size=len(content),
                sha256=hashlib.sha256(content).hexdigest(),
                content=content,
            )
        )

    def _field(self, name: str, content: bytes, charset: str) -> None:
        limit = limits.TEXT_CHARS * 4 if name == "text" else FIELD_BYTES
        if len(content) > limit:
            self.oddities.append("limit:field")
        text, oddity = charsets.decode(content[:limit], words.one_line(charset))
        if oddity:
            self.oddities.append(oddity)
        text = words.clean(text.replace("\r\n", "\n").replace("\r", "\n")).strip("\n")
        if name == "text":
            self.texts.append(text)
        elif name in _OURS:
            self.fields.setdefault(name, words.one_line(text))
        elif text.strip() and len(self.more) < MORE_FIELDS:
            self.more.append(f"{name}: {text}" if name else text)

    # -- meaning --

    def message(self) -> Message:
        text = "\n\n".join(part for part in (*self.texts, "\n".join(self.more)) if part.strip())
        if len(text) > limits.TEXT_CHARS:
            self.oddities.append("limit:text")
            text = text[: limits.TEXT_CHARS]
        subject = self.fields.get("subject", "")[:_SUBJECT_CHARS]
        code, sure = language.guess(text or subject)
        sender = self._sender()
        return Message(
            sender=sender,
            text=text,
            visible_text=text,
            subject=subject,
            attachments=tuple(self.files),
            thread_keys=self._keys(subject),
            language=code,
            language_sure=sure,
            thanks=answers.thanks(text) and not self.files,
            trust=Trust.UNKNOWN,
            # Raw UTF-8 is how a form writes a file name (RFC 7578 section 5.1).
            oddities=tuple(one for one in dict.fromkeys(self.oddities) if one != "header:8bit")[:100],
        )

    def _sender(self) -> Address:
        typed = self.fields.get("address", "")[:_ADDRESS_CHARS]
        found = next((one for one in addresses.parse(typed, []) if "@" in one.address), None)
        if found is None:
            self.oddities.append("from:bad" if typed else "from:missing")
            found = Address(address="", name=typed)
        name = self.fields.get("name", "")[:_NAME_CHARS]
        return replace(found, name=name) if name else found

    def _keys(self, subject: str) -> tuple[ThreadKey, ...]:
        """Numbers only: an address that somebody typed holds no token of ours."""
        typed = [
            ThreadKey(kind=KeyKind.TICKET_NUMBER, value=one)
            for one in _NUMBER.findall(self.fields.get("number", "")[:100])
        ]
        known = threads.keys(recipients=(), in_reply_to=(), references=(), subject=subject)
        return tuple(dict.fromkeys((*typed, *known)))[: limits.REFERENCES]


def _boundary(data: bytes, content_type: str) -> bytes:
    """As the header says it (RFC 2046 section 5.1.1); else the first line, when it looks like one; else b""."""
    said = words.to_bytes(words.parameters(content_type)[1].get("boundary", "").strip())
    if 0 < len(said) <= 200 and (data.startswith(b"--" + said) or b"\r\n--" + said in data):
        return said
    first = data[:204].partition(b"\r\n")[0]
    return first[2:] if first.startswith(b"--") and 0 < len(first) - 2 <= 200 else b""


def _parts(data: bytes, boundary: bytes, oddities: list[str]) -> Iterator[_Part]:
    mark = b"\r\n--" + boundary
    at = _after(data, len(boundary) + 2) if data.startswith(mark[2:]) else -1
    if at < 0:
        _, at = _next(data, mark, 0)
    count = 0
    while at >= 0:
        end, following = _next(data, mark, at)
        if end < 0:
            oddities.append("form:cut")
            end = len(data)
        count += 1
        if count > PARTS:
            oddities.append("limit:parts")
            yield _Part('content-disposition: form-data; name="rest"; filename="rest.bin"', at, len(data))
            return
        body = data.find(b"\r\n\r\n", at, min(end + 2, at + HEADER_BYTES))
        if body < 0:
            oddities.append("form:header")
            yield _Part("", at, end)
        else:
            head = data[at:body].decode("utf-8", "surrogateescape")
            # A body of no bytes: the mark begins with the line end of the empty line.
            yield _Part(head, min(body + 4, end), end)
        at = following


def _next(data: bytes, mark: bytes, start: int) -> tuple[int, int]:
    """(where the next mark begins, where the part behind it begins or -1 when it is the last); (-1, -1): none."""
    # A part without a body ends at the line end that also ends its header.
    at = data.find(mark, max(start - 2, 0))
    while at >= 0:
        after = at + len(mark)
        begins = _after(data, after)
        if begins >= 0:
            return max(at, start), begins
        if data.startswith(b"--", after):
            return max(at, start), -1
        at = data.find(mark, after)
    return -1, -1


def _after(data: bytes, at: int) -> int:
    """Where a part begins whose mark ends here: behind blanks and the line end; -1: it is no mark."""
    end = data.find(b"\r\n", at, at + 100)
    return end + 2 if end >= 0 and not data[at:end].strip(b" \t") else -1


def _headers(head: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in head.split("\r\n")[:20]:
        name, colon, value = line.partition(":")
        if colon:
            found.setdefault(name.strip().lower(), value.strip())
    return found
