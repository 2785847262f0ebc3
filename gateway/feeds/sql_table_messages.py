"""Messages that the desk wrote into its table since the last look.

Numbered ones are read by number: those above the newest, and those that were skipped, as a transaction that began early
may end late. Others are read by their time, with `overlap`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from gateway.feeds.contract import File, Heard, Replied
from gateway.feeds.plain import from_html
from gateway.feeds.sql_table_files import listed_files
from gateway.feeds.sql_table_settings import SqlSettings
from gateway.feeds.sql_table_shape import Bound, Shape
from gateway.feeds.sql_table_state import State
from gateway.feeds.sql_table_values import Words

PAGE = 200
"""Messages in one page."""
_GAPS = 500
"""Skipped numbers that are remembered."""
_READ = ("key", "text", "public", "inward", "kind", "author", "author_name", "format", "actor", "at")


class MessageReader:
    """One look at the messages."""

    def __init__(self, conn: Connection, engine: Engine, shape: Shape, settings: SqlSettings, now: datetime) -> None:
        self._conn, self._engine, self._shape, self._settings, self._now = conn, engine, shape, settings, now
        self._words = Words(conn, settings.map)
        self.odd: list[str] = []

    def begin(self, state: State) -> None:
        """From now on."""
        bound = self._shape.messages
        if bound is None:
            return
        if numbered(bound):
            state.last = self._conn.scalar(sa.select(sa.func.max(bound.ids[0]))) or 0
        elif (at := bound.of("at")) is not None:
            newest = at.form.moment(self._conn.scalar(sa.select(at.form.asked(sa.func.max(at.column)))))
            state.said = min(newest, self._now).timestamp() if newest is not None else 0.0
            for row in self._timed(bound, state):
                state.heard[self._name(bound, row)] = self._at(bound, row).timestamp()

    def look(self, state: State) -> tuple[list[Heard], bool]:
        """(what was written, whether there is more). `state` moves on."""
        bound = self._shape.messages
        if bound is None:
            return [], False
        if numbered(bound):
            return self._by_number(bound, state)
        return self._by_time(bound, state)

    def _by_number(self, bound: Bound, state: State) -> tuple[list[Heard], bool]:
        column = bound.ids[0]
        last = state.last or 0
        gaps = [int(each) for each in state.gaps]
        late = self._select(bound).where(column.in_(gaps)) if gaps else None
        rows = list(self._conn.execute(late)) if late is not None else []
        for row in rows:
            state.gaps.pop(str(row[0]), None)
        new = list(self._conn.execute(self._select(bound).where(column > last).order_by(column).limit(PAGE)))
        if new:
            state.last = int(new[-1][0])
            there = {int(row[0]) for row in new}
            skipped = [
                number for number in range(max(last + 1, state.last - 10 * _GAPS), state.last) if number not in there
            ]
            state.gaps.update({str(number): self._now.timestamp() for number in skipped[-_GAPS:]})
        floor = self._now.timestamp() - self._settings.overlap.total_seconds()
        kept = [(number, at) for number, at in state.gaps.items() if at >= floor]
        state.gaps = dict(kept[-_GAPS:])
        return [heard for row in (*rows, *new) if (heard := self._heard(bound, row)) is not None], len(new) == PAGE

    def _by_time(self, bound: Bound, state: State) -> tuple[list[Heard], bool]:
        if bound.of("at") is None:
            self.odd.append("messages are not heard: their key is no number, and no column is mapped to `at`")
            return [], False
        heard: list[Heard] = []
        more = False
        for row in self._timed(bound, state):
            name = self._name(bound, row)
            if name in state.heard:
                continue
            if len(heard) == PAGE:
                more = True
                break
            at = self._at(bound, row).timestamp()
            state.heard[name] = at
            state.said = max(state.said or 0.0, min(at, self._now.timestamp()))
            found = self._heard(bound, row)
            heard += [found] if found is not None else []
        floor = (state.said or 0.0) - 2 * self._settings.overlap.total_seconds() - 2 * 86_400
        state.heard = {name: at for name, at in state.heard.items() if at >= floor}
        return heard, more

    def _timed(self, bound: Bound, state: State) -> Sequence[Any]:
        at = bound.of("at")
        assert at is not None, "asked before"
        begun = datetime.fromtimestamp(state.said or 0.0, UTC) - self._settings.overlap
        asked = self._select(bound).where(at.form.since(at.column, max(begun, datetime(1971, 1, 1, tzinfo=UTC))))
        return list(self._conn.execute(asked.order_by(at.column, *bound.ids)))

    # -- rows

    def _select(self, bound: Bound) -> sa.Select[Any]:
        """The key of the message, the key of its ticket, and the fields of `_READ` in their order."""
        shape = self._shape
        source = bound.table
        ties = [(bound.table.c[name], self._tied(of)) for name, of in bound.on.items()]
        joined = source.join(shape.joined(), sa.and_(*(one == other for one, other in ties)))
        fields = []
        for name in _READ:
            slot = bound.of(name)
            fields.append(slot.form.asked(slot.column) if slot is not None and slot.reads else sa.null())
        return sa.select(*bound.ids, *shape.tickets.ids, *fields).select_from(joined).where(*bound.is_like())

    def _tied(self, of: str) -> sa.ColumnElement[Any]:
        name, dot, column = of.rpartition(".")
        return self._shape.beside[name].table.c[column] if dot else self._shape.tickets.table.c[column]

    def _fields(self, bound: Bound, row: Sequence[Any]) -> dict[str, Any]:
        start = len(bound.ids) + len(self._shape.tickets.ids)
        return dict(zip(_READ, row[start:], strict=True))

    def _at(self, bound: Bound, row: Sequence[Any]) -> datetime:
        at = bound.of("at")
        found = at.form.moment(self._fields(bound, row)["at"]) if at is not None else None
        return found if found is not None else self._now

    def _name(self, bound: Bound, row: Sequence[Any]) -> str:
        text = "/".join(str(each) for each in row[: len(bound.ids)])
        return text if len(text) <= 100 else hashlib.sha256(text.encode()).hexdigest()

    def _heard(self, bound: Bound, row: Sequence[Any]) -> Heard | None:
        """None for one of ours: the engine has heard it before anybody."""
        said = self._fields(bound, row)
        if self._word(bound, "key", said) != "":
            return None
        ids = row[: len(bound.ids)]
        actor = next(
            (word for name in ("actor", "author_name", "author") if (word := self._word(bound, name, said))), ""
        )
        text = str(said["text"] or "")
        if self._word(bound, "format", said) == "html":
            text = from_html(text)
        change = Replied(text=text, public=self._public(bound, said), files=tuple(self._files(ids)))
        ref = self._shape.ref(row[len(bound.ids) : len(bound.ids) + len(self._shape.tickets.ids)])
        return Heard(
            id=f"message/{self._name(bound, row)}", ref=ref, at=self._at(bound, row), actor=actor[:200], ours=False,
            change=change,
        )  # fmt: skip

    def _word(self, bound: Bound, name: str, said: dict[str, Any]) -> str:
        slot = bound.of(name)
        if slot is None or said[name] is None:
            return ""
        word, raw, known = self._words.ours(slot, said[name])
        return word if known else raw

    def _public(self, bound: Bound, said: dict[str, Any]) -> bool:
        """Only what the table calls public, and not what came from outside."""
        if self._word(bound, "inward", said) in ("true", "1"):
            return False
        if bound.of("kind") is not None:
            return self._word(bound, "kind", said) == "out"
        return self._word(bound, "public", said) in ("true", "1")

    def _files(self, ids: Sequence[Any]) -> list[File]:
        found, odd = listed_files(self._conn, self._engine, self._shape, self._settings, ids)
        self.odd += odd
        return found


def numbered(bound: Bound) -> bool:
    """Is the key one number that the database counts?"""
    return len(bound.ids) == 1 and isinstance(bound.ids[0].type, sa.Integer) and bound.next is None
