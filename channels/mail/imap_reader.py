"""Messages of a mailbox as `RawMessage`s: fetched in pieces, big ones to the spool."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from channels.contract import Folder, Place, Unavailable
from channels.mail import identity
from channels.mail.addresses import Recipients
from channels.mail.imap_session import Session, Size
from channels.mail.settings import MailAccount
from channels.mail.wire_text import readable
from channels.spool import Spool
from normalizer.message import INLINE_LIMIT, Body, InlineBody, Json, RawMessage, SpooledBody

FORMAT = "mail/1"
PIECE = INLINE_LIMIT + 1
"""Bytes asked for at once: a message that fits in memory shows its end in the first piece."""
BATCH_BYTES, BATCH_MESSAGES = 4 * 1024 * 1024, 50
_HEAD = 64 * 1024
_ENVELOPE = re.compile(
    rb"^(?P<name>return-path|delivered-to|x-original-to|envelope-to)[ \t]*:[ \t]*<?(?P<address>[^\s<>]*)>?[ \t]*\r?$",
    re.IGNORECASE | re.MULTILINE,
)
"""What the delivering server noted of the envelope (RFC 5321 section 4.4; the others by custom)."""


class Absent(Exception):
    """The server gave nothing for a number that it has just named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A message and where it lies; `spool` is discarded when the message is committed."""

    raw: RawMessage
    place: Place
    spool: Spool


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Makes raw messages of one account."""

    account: str
    settings: MailAccount
    limit: int
    """Bytes: of a bigger message the beginning is taken."""
    stays: bool
    """Nothing is ever changed in the mailbox."""
    tls: bool
    spool: Path
    unique: Callable[[], str]

    def batches(self, sizes: Sequence[Size]) -> Iterator[list[Size]]:
        """Messages that are fetched together: few enough to be held in memory."""
        batch: list[Size] = []
        total = 0
        for one in sizes:
            expected = min(one.size, PIECE)
            if batch and (total + expected > BATCH_BYTES or len(batch) == BATCH_MESSAGES):
                yield batch
                batch, total = [], 0
            batch.append(one)
            total += expected
        if batch:
            yield batch

    def fetch(
        self,
        session: Session,
        folder: Folder,
        batch: Sequence[Size],
        quiet: frozenset[int],
        twin: Callable[[Folder, identity.Identity, Size], str | None],
    ) -> list[Fetched]:
        """The messages of a batch, in order. `quiet` ones get no answer.

        `twin` finds the id of a message without a Message-ID that is listed again under a new number.
        Raises Absent for a lone message that is not there, and what the connection and the disk raise.
        """
        firsts = session.pieces([one.uid for one in batch], 0, PIECE)
        found: list[Fetched] = []
        try:
            for one in batch:
                if (first := firsts.get(one.uid)) is not None:
                    found.append(self._one(session, folder, one, first, one.uid in quiet, twin))
        except BaseException:
            discard(found)
            raise
        if len(batch) == 1 and not found:
            raise Absent("the server gave nothing for this message")
        return found

    def _one(
        self,
        session: Session,
        folder: Folder,
        size: Size,
        first: bytes,
        quiet: bool,
        twin: Callable[[Folder, identity.Identity, Size], str | None],
    ) -> Fetched:
        spool = Spool(self.spool, self.unique)
        try:
            cut = self._fill(session, spool, size, first)
            with _disk():
                body = spool.finish()
                who = _identify(body)
            external_id = who.message_id or (quiet and twin(folder, who, size)) or _unique_id(folder, size.uid)
        except BaseException:
            spool.discard()
            raise
        facts = self._facts(folder, size, first, quiet=quiet, cut=cut)
        recipients = facts["rcpt_to"]
        assert isinstance(recipients, list)
        raw = RawMessage(
            channel="mail",
            account=self.account,
            format=FORMAT,
            external_id=external_id,
            fingerprint=who.fingerprint,
            peer=who.peer or str(facts.get("mail_from") or "").lower()[: identity.PEER_LIMIT],
            received_at=size.received_at,
            body=body,
            facts=facts,
            deliveries=tuple((self.account, str(address)) for address in recipients),
        )
        # What was not taken in whole stays where the whole is.
        place = Place(folder=folder, uid=size.uid, stays=self.stays or cut)
        return Fetched(raw=raw, place=place, spool=spool)

    def _fill(self, session: Session, spool: Spool, size: Size, first: bytes) -> bool:
        """All pieces to the spool. Returns True when only the beginning was taken: the message is over the limit."""
        if size.size > self.limit:
            with _disk():
                spool.add(first[:INLINE_LIMIT])
            return True
        piece = first
        with _disk():
            spool.add(piece)
        while len(piece) == PIECE and spool.size <= self.limit:
            piece = session.pieces([size.uid], spool.size, PIECE).get(size.uid, b"")
            with _disk():
                spool.add(piece)
        # The server may have told a size that is not true.
        return spool.size > self.limit

    def _facts(self, folder: Folder, size: Size, first: bytes, *, quiet: bool, cut: bool) -> dict[str, Json]:
        named = [(match["name"].lower(), _text(match["address"])) for match in _ENVELOPE.finditer(_header(first))]
        ours = Recipients({self.account: self.settings})
        to = [address for name, address in named if name != b"return-path" and ours.account_of(address) is not None]
        facts: dict[str, Json] = {
            "transport": "imap",
            "folder": readable(folder.name),
            "uidvalidity": folder.uidvalidity,
            "uid": size.uid,
            "rcpt_to": list(dict.fromkeys(to or [self.settings.addresses[0]])),
            "tls": self.tls,
        }
        if named and named[0][0] == b"return-path":
            facts["mail_from"] = named[0][1]
        if quiet:
            facts["imported"] = True
        if cut:
            facts["whole_size"] = size.size
        return facts


@contextmanager
def _disk() -> Iterator[None]:
    """A disk that refuses is trouble of ours, and not the connection's."""
    try:
        yield
    except OSError as error:
        raise Unavailable(f"the spool: {error.strerror or type(error).__name__}") from error


def discard(fetched: Sequence[Fetched]) -> None:
    """Remove what is left of them in the spool."""
    for one in fetched:
        one.spool.discard()


def _identify(body: Body) -> identity.Identity:
    match body:
        case InlineBody(content=content):
            return identity.of_bytes(content)
        case SpooledBody(path=path):
            with path.open("rb") as file:
                return identity.of_file(file)


def _unique_id(folder: Folder, uid: int) -> str:
    return f"imap:{folder.account}:{folder.name}:{folder.uidvalidity}:{uid}"


def _header(content: bytes) -> bytes:
    head = content[:_HEAD]
    end = head.find(b"\r\n\r\n")
    return head[:end] if end >= 0 else head


def _text(raw: bytes) -> str:
    return readable(raw.decode("utf-8", "surrogateescape"), identity.PEER_LIMIT)
