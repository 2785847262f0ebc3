"""Any order of messages, edits, parts of albums, repeats, replays: the same ticket in the end, and nothing lost."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, select

from gateway.filing import file_entry
from gateway.store import journal, queries, schema
from gateway.store.blobs import Blobs
from gateway.store.database import migrate
from gateway.store.journal import Entry
from gateway.store.sqlite import make_engine
from gateway.worker_protocol import Parsed
from normalizer.message import InlineBody, Message, RawMessage
from router.assignment import Assignment
from tests.gateway.chat_desk import ANN, BOB, spoken
from tests.gateway.conftest import START
from tests.gateway.filing_desk import context

Shown: TypeAlias = tuple[str, tuple[str, ...]]
"""Text and names of files of one message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One thing that comes over the wire."""

    who: str
    number: int
    text: str
    edited: int | None = None
    album: str = ""

    def message(self) -> Message:
        return spoken(self.text, self.number, who=self.who, edited=self.edited, album=self.album)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What people say, and what is to be seen of it in the end."""

    pieces: tuple[Piece, ...]

    def shown(self, who: str) -> list[Shown]:
        """The messages of this person's ticket, in any order."""
        last: dict[int, Piece] = {}
        for piece in sorted(self.pieces, key=lambda piece: -1 if piece.edited is None else piece.edited):
            if piece.who == who:
                last[piece.number] = piece
        albums: dict[str, list[Piece]] = {}
        for number in sorted(last):
            albums.setdefault(last[number].album or str(number), []).append(last[number])
        return sorted(
            (
                "\n\n".join(dict.fromkeys(part.text for part in parts if part.text)),
                tuple(f"{part.number}.jpg" for part in parts if part.album),
            )
            for parts in albums.values()
        )


@st.composite
def worlds(draw: st.DrawFn) -> World:
    pieces: list[Piece] = []
    for who in (ANN, BOB)[: draw(st.integers(1, 2))]:
        number = 8  # numbers of one and of two digits
        for index in range(draw(st.integers(1, 3))):
            parts = draw(st.integers(2, 5)) if draw(st.booleans()) else 0
            album = f"a{index}" if parts else ""
            for _ in range(parts or 1):
                number += 1
                text = f"words {number}" if not album or draw(st.booleans()) else ""
                pieces.append(Piece(who=who, number=number, text=text, album=album))
                seconds = draw(st.lists(st.integers(1, 50), max_size=2, unique=True))
                pieces += [
                    Piece(who=who, number=number, text=f"words {number}, edited {second}", edited=second, album=album)
                    for second in seconds
                ]
    return World(pieces=tuple(pieces))


class Crash(Exception):
    """The process is gone."""


class Journal:
    """A database of its own, filed into by one hand."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine, self.blobs, self.ctx = engine, Blobs(folder / "blobs"), context()

    def accept(self, piece: Piece, update: int) -> tuple[int, Message]:
        """Journal an update; returns its entry and what it means."""
        content = f"{update} {piece}".encode()
        raw = RawMessage(
            channel="mail", account="support", format="chat/1", external_id=f"update:{update}",
            fingerprint=hashlib.sha256(content).hexdigest(), peer=piece.who,
            received_at=START + timedelta(seconds=piece.number), body=InlineBody(content=content),
        )  # fmt: skip
        with self.engine.begin() as conn:
            [accepted] = journal.record(conn, [raw], None, now=START, blobs=self.blobs)
        return accepted.entry, piece.message()

    def file(self, entry_id: int, message: Message) -> None:
        with self.engine.begin() as conn:
            [entry] = journal.load(conn, [entry_id], self.blobs)
            self._file(conn, entry, message)

    def _file(self, conn: Connection, entry: Entry, message: Message) -> None:
        filed = file_entry(conn, self.ctx, entry, Parsed(event=message, assignment=Assignment()), START)
        assert filed.ticket_id is not None, filed

    def crash(self, entry_id: int, message: Message) -> None:
        """The process dies before the COMMIT."""
        with pytest.raises(Crash), self.engine.begin() as conn:
            [entry] = journal.load(conn, [entry_id], self.blobs)
            self._file(conn, entry, message)
            raise Crash

    def replay(self, entry_id: int, message: Message) -> None:
        with self.engine.begin() as conn:
            assert journal.replay(conn, [entry_id], reroute=False, notify=False, now=START) == 1
        self.file(entry_id, message)


NewJournal: TypeAlias = Callable[[], AbstractContextManager[Journal]]


@pytest.fixture(scope="module")
def new_journal(tmp_path_factory: pytest.TempPathFactory) -> NewJournal:
    template = tmp_path_factory.mktemp("chats") / "gateway.db"
    migrate(f"sqlite:///{template}", backup_to=template.parent)

    @contextmanager
    def made() -> Iterator[Journal]:
        folder = Path(tempfile.mkdtemp(prefix="chat-orders-"))
        shutil.copy(template, folder / "gateway.db")
        engine = make_engine(f"sqlite:///{folder / 'gateway.db'}", "writer", busy_timeout=30.0)
        try:
            yield Journal(engine, folder)
        finally:
            engine.dispose()
            shutil.rmtree(folder)

    return made


def seen(conn: Connection, ticket_id: int) -> list[Shown]:
    rows = queries.messages(conn, [ticket_id])[ticket_id]
    files = queries.attachments(conn, [row.id for row in rows])
    return sorted((row.text, tuple(file.filename for file in files.get(row.id, ()))) for row in rows)


def check(book: Journal, world: World, entries: Sequence[int]) -> None:
    """The ticket of each person shows what they said last, each once; everything else they said is kept."""
    with book.engine.begin() as conn:
        tickets = {row.requester: row for row in conn.execute(select(schema.ticket))}
        assert set(tickets) == {piece.who for piece in world.pieces}
        assert len(conn.execute(select(schema.ticket)).all()) == len(tickets), "one ticket each"
        for who, ticket in tickets.items():
            assert seen(conn, ticket.id) == world.shown(who)
        rows = conn.execute(select(schema.message)).all()
        kept = {(row.external_key, row.text) for row in rows if row.entry_id is not None}
        assert kept == {(piece.message().external_key, piece.text) for piece in world.pieces}, "nothing is lost"
        states = conn.execute(select(schema.entry.c.state).where(schema.entry.c.id.in_(entries))).scalars()
        assert set(states) == {"done"}
        told = [row.recipient for row in conn.execute(select(schema.outbox)) if row.kind == "acknowledgement"]
        assert sorted(told) == sorted(tickets), "one acknowledgement each"


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(world=worlds(), seed=st.integers(0, 10**6))
def test_any_order_comes_to_the_same_tickets(new_journal: NewJournal, world: World, seed: int) -> None:
    random = Random(seed)
    updates = [*world.pieces, *random.sample(world.pieces, random.randint(0, min(3, len(world.pieces))))]
    random.shuffle(updates)
    with new_journal() as book:
        taken = [book.accept(piece, number) for number, piece in enumerate(updates)]
        random.shuffle(taken)
        done: list[tuple[int, Message]] = []
        for entry in taken:
            if random.random() < 0.1:
                book.crash(*entry)
            book.file(*entry)
            done.append(entry)
            if random.random() < 0.2:
                book.file(*random.choice(done))
            if random.random() < 0.2:
                book.replay(*random.choice(done))
        check(book, world, [entry_id for entry_id, _ in taken])
