"""What the desk did in its tables since the last look: rows that differ, new messages, rows that are gone.

With a column that says when a row changed, each look goes back `overlap` behind the newest change that was handled and
tells by digests what it has seen: clocks that differ, times without seconds, ties and transactions that end late lose
nothing. Without one the mapped columns of all rows are compared. Which of several fields changed is known while the
row's digests are remembered; for a row that was quiet for long every field is told, and the engine knows what is new.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import sqlalchemy as sa
from sqlalchemy import Connection

from gateway.feeds.contract import Change, Changes, FeedError, Heard, Merged, Name, Set, Vanished
from gateway.feeds.sql_table_settings import SqlSettings
from gateway.feeds.sql_table_shape import Shape, Slot
from gateway.feeds.sql_table_state import State, differing, digest, of_row
from gateway.feeds.sql_table_values import Words, marked
from gateway.feeds.sql_table_writing import ref_of

PAGE = 200
"""Tickets with news in one page."""
REMEMBERED = 5_000
"""Tickets whose fields are remembered, those that changed last, where only changed ones are read."""
_NAMES = frozenset(get_args(Name))
_MERGED, _GONE = "merged", "gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """A ticket as it stands there now."""

    ref: str
    words: Mapping[str, str]
    """Field -> the column's value as a word."""
    values: Mapping[str, Any]
    at: datetime | None
    actor: str


class TicketReader:
    """One look at the tickets."""

    def __init__(
        self,
        conn: Connection,
        shape: Shape,
        settings: SqlSettings,
        now: datetime,
        wrote: Mapping[str, Mapping[str, str]],
    ) -> None:
        """`wrote`: ticket -> field -> digest of what this process wrote last."""
        self._conn, self._shape, self._settings, self._now, self._wrote = conn, shape, settings, now, wrote
        self._words = Words(conn, settings.map)
        self._slots = [slot for bound in shape.places() for slot in bound.slots if slot.field in _NAMES and slot.reads]
        self._fields = [slot.field for slot in self._slots] + [_MERGED, _GONE]
        self.odd: list[str] = []
        self.handled: list[str] = []
        """Tickets that were looked at with what we wrote in mind."""

    # -- the first look

    def begin(self, state: State) -> None:
        """Remember what is there; nothing of it is news."""
        state.fields = self._fields
        if self._shape.changed is not None:
            state.at = self._newest()
        for row in self._rows(state, newest=True):
            self._remember(state, row)
        self._sweep(state)

    def _newest(self) -> float | None:
        assert self._shape.changed is not None
        column, form = self._shape.changed
        found = form.moment(self._conn.scalar(sa.select(form.asked(sa.func.max(column)))))
        return min(found, self._now).timestamp() if found is not None else None

    # -- the next ones

    def look(self, state: State) -> tuple[list[Heard], bool]:
        """(what changed, whether there is more). `state` moves on."""
        if state.fields != self._fields:
            self.odd.append("other columns are mapped than at the last look: what changed between is not told")
            state.rows.clear()
            self.begin(state)
            return [], False
        heard: list[Heard] = []
        changed, seen = 0, set[str]()
        rows = list(self._rows(state))
        for row in rows:
            seen.add(row.ref)
            news = self._news(state, row)
            if news and changed == PAGE:
                return heard, True
            changed += bool(news)
            heard += news
            self._remember(state, row)
        heard += self._missing(state, seen)
        return heard, self._crowded(state, len(rows))

    def _crowded(self, state: State, count: int) -> bool:
        """More rows changed within `overlap` than one look reads: go on behind the last one, without going back."""
        full = self._shape.changed is not None and count == self._settings.rows
        if full and state.crowded == state.at:
            self.odd.append(f"more than {count} tickets changed at one moment; some of them may not be told")
            state.at = (state.at or 0.0) + 1
        state.crowded = state.at if full else None
        return full

    def _missing(self, state: State, seen: set[str]) -> list[Heard]:
        if self._shape.changed is not None:
            self._forget(state)
            return self._sweep(state)
        gone = [ref for ref in state.rows if ref not in seen]
        for ref in gone:
            del state.rows[ref]
        return [self._vanished(state, ref) for ref in gone]

    def _forget(self, state: State) -> None:
        """Of rows that were quiet for long only the last ones are known."""
        floor = (state.at or 0.0) - 2 * self._settings.overlap.total_seconds() - 86_400
        kept = min(REMEMBERED, self._settings.rows)
        oldest = sorted(state.times, key=lambda ref: state.times[ref])[: max(0, len(state.times) - kept)]
        for ref in oldest:
            if state.times[ref] < floor:
                del state.times[ref]
                state.rows.pop(ref, None)

    def _sweep(self, state: State) -> list[Heard]:
        """Tickets of ours that are not there any more, where only changed rows are read."""
        every = self._settings.sweep.total_seconds()
        if self._shape.changed is None or every == 0 or self._now.timestamp() < state.swept + every:
            return []
        ids = self._shape.tickets.ids
        asked = sa.select(*ids).select_from(self._shape.joined()).where(self._ours()).order_by(*ids)
        found = [self._shape.ref(tuple(row)) for row in self._conn.execute(asked.limit(self._settings.rows + 1))]
        state.swept = self._now.timestamp()
        if len(found) > self._settings.rows:
            self.odd.append(f"more than {self._settings.rows} tickets: deleted ones are not looked for; raise `rows`")
            state.known = None
            return []
        there = set(found)
        gone = [ref for ref in state.known or () if ref not in there]
        state.known = found
        return [self._vanished(state, ref) for ref in gone]

    def _vanished(self, state: State, ref: str) -> Heard:
        return Heard(id=f"{ref}/gone/{state.look}", ref=ref, at=self._now, actor="", ours=False, change=Vanished())

    # -- rows

    def _ours(self) -> sa.ColumnElement[bool]:
        key = self._shape.key.column
        return sa.and_(key.is_not(None), key != "")

    def _rows(self, state: State, *, newest: bool = False) -> Iterator[_Row]:
        """What may have changed, oldest first. Raises FeedError when it is too much to compare."""
        shape, limit = self._shape, self._settings.rows
        columns: list[sa.ColumnElement[Any]] = [*shape.tickets.ids, *(slot.column for slot in self._slots)]
        columns.append(shape.merged if shape.merged is not None else sa.null())
        columns.append(sa.case((sa.or_(*shape.gone), 1), else_=0) if shape.gone else sa.literal(0))
        actor = shape.tickets.of("actor")
        columns.append(actor.column if actor is not None else sa.null())
        asked = sa.select(*columns).select_from(shape.joined())
        if shape.changed is not None:
            column, form = shape.changed
            asked = asked.add_columns(form.asked(column))
            if newest:
                asked = asked.where(column.is_not(None)).order_by(column.desc()).limit(min(REMEMBERED, limit))
                return (self._row(row) for row in self._conn.execute(asked).all())
            asked = asked.order_by(column, *shape.tickets.ids).limit(limit)
            asked = (
                asked.where(form.since(column, self._floor(state)))
                if state.at is not None
                else asked.where(column.is_not(None))
            )
        else:
            if self._settings.compare == "ours":
                asked = asked.where(self._ours())
            asked = asked.order_by(*shape.tickets.ids).limit(limit + 1)
        rows = self._conn.execute(asked).all()
        if len(rows) > limit:
            raise FeedError(
                f"more than {limit} tickets would be compared: name a `changed` column, or raise `rows`", again=False
            )
        return (self._row(row) for row in rows)

    def _floor(self, state: State) -> datetime:
        """From when on rows are read, as an instant that the column's form turns into what stands there."""
        assert state.at is not None and self._shape.changed is not None
        back = self._settings.overlap if state.crowded is None else timedelta(0)
        begun = datetime.fromtimestamp(state.at, UTC) - back
        _, form = self._shape.changed
        if form.kind.name == "DAY":
            begun -= timedelta(days=1)
        # Where clocks were turned back meanwhile, later rows have an earlier time on the wall.
        turned = max(timedelta(0), _offset(begun, form.zone) - _offset(self._now, form.zone))
        return begun - turned

    def _row(self, row: Sequence[Any]) -> _Row:
        ids, rest = row[: len(self._shape.tickets.ids)], row[len(self._shape.tickets.ids) :]
        count = len(self._slots)
        words = {slot.field: slot.form.word(value) for slot, value in zip(self._slots, rest[:count], strict=True)}
        merged = "" if rest[count] in (None, 0, "", "0") else str(rest[count])
        changed = self._shape.changed
        return _Row(
            ref=self._shape.ref(ids),
            words={**words, _MERGED: merged, _GONE: str(int(rest[count + 1]))},
            values={slot.field: value for slot, value in zip(self._slots, rest[:count], strict=True)},
            at=changed[1].moment(rest[count + 3]) if changed is not None else None,
            actor=str(rest[count + 2] or "").strip(),
        )

    def _remember(self, state: State, row: _Row) -> None:
        state.rows[row.ref] = of_row([row.words[name] for name in self._fields])
        if row.at is not None:
            state.times[row.ref] = row.at.timestamp()
            state.at = max(state.at or 0.0, min(row.at, self._now).timestamp())
        self.handled.append(row.ref)

    # -- news

    def _news(self, state: State, row: _Row) -> list[Heard]:
        before = state.rows.get(row.ref)
        wrote = self._wrote.get(row.ref, {})
        words = [row.words[name] for name in self._fields]
        changed = differing(before, of_row(words)) if before is not None else range(len(words))
        news = []
        for name in (self._fields[place] for place in sorted(changed)):
            if before is None and name in (_MERGED, _GONE) and row.words[name] in ("", "0"):
                continue
            now = digest(row.words[name])
            change = self._change(name, row)
            if change is not None:
                ours = wrote.get(name) == now or (row.actor != "" and row.actor == self._settings.user)
                id_ = f"{row.ref}/{name}/{state.look}"
                at = row.at if row.at is not None else self._now
                news.append(Heard(id=id_, ref=row.ref, at=at, actor=row.actor, ours=ours, change=change))
        gone = [each for each in news if isinstance(each.change, Vanished)]
        return gone or news

    def _change(self, name: str, row: _Row) -> Change | None:
        if name == _GONE:
            return Vanished() if row.words[_GONE] == "1" else None
        if name == _MERGED:
            return self._merged(row.words[_MERGED])
        slot = self._slot(name)
        if name in ("subject", "requester") and marked(row.words[name]):
            return None  # what we had to cut or to replace ourselves
        ours, raw, known = self._words.ours(slot, row.values[name])
        return Set(field=slot.field, value=ours, raw=raw, known=known)  # type: ignore[arg-type]

    def _slot(self, name: str) -> Slot:
        return next(slot for slot in self._slots if slot.field == name)

    def _merged(self, into: str) -> Change | None:
        ids = self._shape.ids(into) if into else None
        if ids is None:
            return None
        there = self._conn.execute(sa.select(*self._shape.tickets.ids).where(self._shape.tickets.where(ids))).first()
        return Merged(into=ref_of(self._conn, self._shape, self._settings, ids)) if there is not None else None


def _offset(at: datetime, zone: Any) -> timedelta:
    return at.astimezone(zone).utcoffset() or timedelta(0)


def page(heard: Sequence[Heard], state: State, before: State, *, more: bool, odd: Sequence[str]) -> Changes:
    """What one look comes to. A look without news leaves the number of looks, so that its cursor is the same."""
    if heard:
        state.look = before.look + 1
    return Changes(heard=tuple(heard), cursor=state.write(), more=more, odd=tuple(odd))
