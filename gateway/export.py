"""Gives the journal's bytes back, as they arrived: to another helpdesk, to a mail client, to a program.

Reads only; the gateway may run or not. Every message is checked against the digest that was
written when it was accepted.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Protocol, TypeAlias

from sqlalchemy import Connection, Engine, select

from gateway.store import journal, schema
from gateway.store.blobs import Blobs
from gateway.store.journal import Entry
from normalizer.message import Body, InlineBody, SpooledBody

PAGE = 50
MAIL = "mail/"
"""Formats of mail begin with this; a maildir and an mbox hold nothing else."""
_FROM = re.compile(rb"^(>*From )", re.MULTILINE)


@dataclass(slots=True)
class Exported:
    """What came of it."""

    written: int = 0
    forgotten: int = 0
    """Entries whose bytes are not kept any more (`journal.keep_raw`)."""
    other_formats: int = 0
    """Entries that are no mail, left out of a maildir and an mbox."""
    damaged: list[int] = field(default_factory=list)
    """Entries whose bytes are not those that were accepted, or are missing; they are left out."""


class Target(Protocol):
    """One form of export."""

    mail_only: bool

    def add(self, entry: Entry, content: bytes) -> None:
        """Write one message. Raises OSError."""
        ...

    def close(self) -> None:
        """Finish. Raises OSError."""
        ...


class Maildir:
    """One file per message in `new/`, byte for byte; `journal.jsonl` beside it tells each one's envelope."""

    mail_only = True

    def __init__(self, folder: Path) -> None:
        """Make the folder, which must not be there yet. Raises OSError."""
        for below in (folder, folder / "cur", folder / "new", folder / "tmp"):
            below.mkdir(mode=0o700)
        self._folder = folder
        self._index = (folder / "journal.jsonl").open("x", encoding="utf-8")

    def add(self, entry: Entry, content: bytes) -> None:
        """Written to `tmp/`, then renamed: https://cr.yp.to/proto/maildir.html"""
        name = f"{int(entry.accepted_at.timestamp())}.E{entry.id}.gateway"
        (self._folder / "tmp" / name).write_bytes(content)
        (self._folder / "tmp" / name).rename(self._folder / "new" / name)
        self._index.write(json.dumps({"file": f"new/{name}", **_described(entry)}, ensure_ascii=False) + "\n")

    def close(self) -> None:
        """Close the index."""
        self._index.close()


class Mbox:
    """One file in the mboxrd form: `From ` at the start of a line is quoted with one more `>`.

    Exactly one line feed is added behind each message, so that taking it and one `>` away gives every
    byte back: https://datatracker.ietf.org/doc/html/rfc4155#appendix-A
    """

    mail_only = True

    def __init__(self, path: Path) -> None:
        """Make the file, which must not be there yet. Raises OSError."""
        self._file = _create(path)

    def add(self, entry: Entry, content: bytes) -> None:
        """Append one message."""
        sender = str(entry.raw.facts.get("mail_from") or "MAILER-DAEMON").encode("ascii", "replace")
        sender = re.sub(rb"\s", b"?", sender)
        stamp = entry.accepted_at.strftime("%a %b %d %H:%M:%S %Y").encode("ascii")
        self._file.write(b"From " + sender + b" " + stamp + b"\n" + _FROM.sub(rb">\1", content) + b"\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Jsonl:
    """One JSON line per message of any format: what the journal knows of it, and `content` in base64."""

    mail_only = False

    def __init__(self, path: Path) -> None:
        """Make the file, which must not be there yet. Raises OSError."""
        self._file = _create(path)

    def add(self, entry: Entry, content: bytes) -> None:
        """Append one line."""
        row = {**_described(entry), "content": base64.b64encode(content).decode("ascii")}
        self._file.write(json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


Open: TypeAlias = Callable[[Path], Target]
FORMS: Mapping[str, Open] = {"maildir": Maildir, "mbox": Mbox, "jsonl": Jsonl}


def export(
    engine: Engine, blobs: Blobs, target: Target, *, since: datetime | None, until: datetime | None = None
) -> Exported:
    """Write every message accepted from `since` on and before `until` to `target`, in the journal's order."""
    done = Exported()
    for digests in _pages(engine, since, until):
        with engine.connect() as conn:
            entries = journal.load(conn, list(digests), blobs)
        done.forgotten += len(digests) - len(entries)
        for entry in entries:
            _one(entry, digests[entry.id], target, done)
    return done


def _one(entry: Entry, sha256: str, target: Target, done: Exported) -> None:
    if target.mail_only and not entry.raw.format.startswith(MAIL):
        done.other_formats += 1
        return
    content = _content(entry.raw.body)
    if content is None or hashlib.sha256(content).hexdigest() != sha256:
        done.damaged.append(entry.id)
        return
    target.add(entry, content)
    done.written += 1


def _content(body: Body) -> bytes | None:
    match body:
        case InlineBody(content=content):
            return content
        case SpooledBody(path=path):
            try:
                return path.read_bytes()
            except FileNotFoundError:
                return None


def _pages(engine: Engine, since: datetime | None, until: datetime | None) -> Iterator[Mapping[int, str]]:
    """Id -> SHA-256 in the journal's order, a page at a time in short transactions, so that nothing is held up."""
    last = 0
    while True:
        with engine.connect() as conn:
            page = _page(conn, last, since, until)
        if not page:
            return
        yield page
        last = max(page)


def _page(conn: Connection, last: int, since: datetime | None, until: datetime | None) -> dict[int, str]:
    table = schema.entry
    # A desk's own records (channel "gateway") are no messages.
    wanted = select(table.c.id, table.c.sha256).where(table.c.id > last, table.c.channel != "gateway")
    if since is not None:
        wanted = wanted.where(table.c.accepted_at >= since)
    if until is not None:
        wanted = wanted.where(table.c.accepted_at < until)
    return {row.id: row.sha256 for row in conn.execute(wanted.order_by(table.c.id).limit(PAGE))}


def _described(entry: Entry) -> dict[str, object]:
    raw = entry.raw
    return {
        "id": entry.id,
        "channel": raw.channel,
        "account": raw.account,
        "format": raw.format,
        "external_id": raw.external_id,
        "peer": raw.peer,
        "received_at": raw.received_at.isoformat(),
        "accepted_at": entry.accepted_at.isoformat(),
        "size": raw.body.size,
        "sha256": raw.body.sha256,
        "facts": dict(raw.facts),
        "deliveries": [list(delivery) for delivery in raw.deliveries],
    }


def _create(path: Path) -> BinaryIO:
    file = path.open("xb")
    path.chmod(0o600)  # people's mail
    return file
