"""Writing a ticket, a message, a change: each in one transaction, and each only once for one key of ours.

Every step asks first whether its row is there, so that a try may go on where an earlier one broke off, as it can where
tables know no transactions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from gateway.feeds.contract import Alter, Open, Outcome, Pushed, Ref, Said, Say, Ticket, Write
from gateway.feeds.sql_table_files import store_files
from gateway.feeds.sql_table_forms import Misfit
from gateway.feeds.sql_table_settings import SqlSettings
from gateway.feeds.sql_table_shape import Bound, Shape
from gateway.feeds.sql_table_state import digest
from gateway.feeds.sql_table_values import MESSAGE, TICKET, Facts, Unfit, Words, altered, touched

COUNTED = {"preserve_rowcount": True}
"""Option of a statement: how many rows it made is asked."""
_COUNTED = 5
"""How often a number of our counting is tried, when the desk takes it at the same moment."""


@dataclass(slots=True)
class Wrote:
    """What a transaction came to."""

    pushed: Pushed
    told: Mapping[str, str] = field(default_factory=dict)
    """Field -> digest of what we wrote: when it is read, it is no news."""


class Writer:
    """One ticket's part of a transaction."""

    def __init__(
        self, conn: Connection, shape: Shape, settings: SqlSettings, now: datetime, *, looks: bool = True
    ) -> None:
        """Without `looks` a ticket is made before anybody asks whether it is there: the database itself has to refuse
        a second one, with an IntegrityError."""
        self._conn, self._shape, self._settings, self._now, self._looks = conn, shape, settings, now, looks
        self._words = Words(conn, settings.map)
        self._wrote: dict[str, str] = {}

    def write(self, write: Write) -> Wrote:
        """Do it, unless it is done. Raises Unfit, OSError for a file of ours, and SQLAlchemy's errors."""
        match write:
            case Open():
                return self._open(write)
            case Say():
                return self._within(write, lambda place: self._message(place, write.ticket, write.said, new=False))
            case Alter():
                return self._within(write, lambda place: self._alter(place, write))

    # -- tickets

    def _open(self, write: Open) -> Wrote:
        ids = find_ticket(self._conn, self._shape, write.ticket.key) if self._looks else None
        facts, fresh = self.facts(write.ticket, write.first), ids is None
        if ids is None:
            row = self.ticket_row(facts)
            key = self._shape.key.column
            again = key == row[key.name] if key.table is self._shape.tickets.table else None
            ids = self._insert(self._shape.tickets, row, again=again)
        place = self._place(ids, fresh=fresh)
        assert place is not None, "it was made in this transaction"
        self._beside(place, facts, fresh=fresh)
        self._message(place, write.ticket, write.first, new=True, fresh=fresh)
        return self.done(ids)

    def ticket_row(self, facts: Facts) -> dict[str, Any]:
        """A new ticket: column -> what to bind, without constants. Raises Unfit."""
        row = self._words.row(self._shape.tickets, facts, TICKET, wanted=lambda slot: slot.writes, new=True)
        self._note(self._shape.tickets, row)
        return row

    def _within(self, write: Say | Alter, act: Any) -> Wrote:
        ids = self._shape.ids(write.ref.id)
        place = self._place(ids) if ids is not None else None
        if ids is None or place is None:
            return Wrote(Pushed(outcome=Outcome.VANISHED, detail=f"there is no ticket {write.ref.id} any more"))
        self._beside(place, self.facts(write.ticket, None))
        act(place)
        return self.done(ids)

    def _place(self, ids: Sequence[Any], *, fresh: bool = False) -> dict[str, Any] | None:
        """The ticket's row, locked where the database can: column -> value."""
        table = self._shape.tickets.table
        wanted = {column.name: column for column in self._shape.tickets.ids}
        for bound in (*self._shape.beside.values(), self._shape.messages):
            for of in bound.on.values() if bound is not None else ():
                if "." not in of:
                    wanted[of] = table.c[of]
        if fresh and len(wanted) == len(ids):
            return dict(zip(wanted, ids, strict=True))
        asked = sa.select(*wanted.values()).where(self._shape.tickets.where(ids))
        row = self._conn.execute(asked.with_for_update()).first()
        return None if row is None else dict(zip(wanted, row, strict=True))

    def _beside(self, place: dict[str, Any], facts: Facts, *, fresh: bool = False) -> None:
        """Make the rows beside that are not there; what messages hang on gets into `place`."""
        for name, bound in self._shape.beside.items():
            tied = {column: place[of] for column, of in bound.on.items()}
            like = [bound.table.c[column] == value for column, value in tied.items()]
            wanted = self._hung_on(name)
            asked = sa.select(*(bound.table.c[each] for each in wanted)) if wanted else sa.select(sa.literal(1))
            asked = asked.select_from(bound.table).where(*like, *bound.is_like()).limit(1)
            row: Sequence[Any] | None = None if fresh else self._conn.execute(asked).first()
            if row is None:
                made = self._words.row(bound, facts, TICKET, wanted=lambda slot: slot.writes, new=True)
                self._note(bound, made)
                done = self._inserted(bound, {**bound.constants, **made, **tied})
                said = _numbered(bound, done)
                known = all(said.get(each) is not None for each in wanted)
                row = [said[each] for each in wanted] if known else self._conn.execute(asked).one()
            place.update({f"{name}.{each}": value for each, value in zip(wanted, row, strict=False)})

    def _hung_on(self, name: str) -> list[str]:
        messages = self._shape.messages
        found = [of.partition(".") for of in messages.on.values()] if messages is not None else []
        return [column for beside, dot, column in found if dot and beside == name]

    def _alter(self, place: Mapping[str, Any], write: Alter) -> None:
        facts = self.facts(write.ticket, None)
        for bound in self._shape.places():
            row = self._words.row(bound, facts, TICKET, wanted=altered(write.fields), new=False)
            self._update(bound, place, row)

    def _update(self, bound: Bound, place: Mapping[str, Any], row: Mapping[str, Any]) -> None:
        if not row:
            return
        if bound.ids:
            where = [column == place[column.name] for column in bound.ids]
        else:
            where = [bound.table.c[column] == place[of] for column, of in bound.on.items()] + bound.is_like()
        self._conn.execute(bound.table.update().where(*where).values(row))
        self._note(bound, row)

    # -- messages

    def _message(self, place: Mapping[str, Any], ticket: Ticket, said: Said, *, new: bool, fresh: bool = False) -> None:
        """`new`: it opens the ticket; `fresh`: the ticket was not there before this transaction."""
        bound = self._shape.messages
        if bound is None:
            self.unmapped(said, new=new)
            return
        ids = None if fresh else find_message(self._conn, bound, said.key)
        if ids is None:
            facts = self.facts(ticket, said)
            row = self.message_row(bound, facts, place)
            key = bound.of("key")
            assert key is not None, "the settings demand it"
            ids = self._insert(bound, row, again=key.column == row[key.column.name])
            for each in () if new else self._shape.places():
                follow = self._words.row(each, facts, TICKET, wanted=touched, new=False)
                self._update(each, place, follow)
        notes = store_files(self._conn, self._shape, self._settings, ids, said.files, self._now)
        self._words.left_out.extend(notes)

    def message_row(self, bound: Bound, facts: Facts, place: Mapping[str, Any]) -> dict[str, Any]:
        """A new message: column -> what to bind, without constants; `place`: the ticket's row. Raises Unfit."""
        row = self._words.row(bound, facts, MESSAGE, wanted=lambda slot: slot.writes, new=True)
        return {**row, **{column: place[of] for column, of in bound.on.items()}}

    def unmapped(self, said: Said, *, new: bool) -> None:
        """Without a table of messages: say what is left out."""
        kept = new and any(slot.field == "text" for bound in self._shape.places() for slot in bound.slots)
        what = "" if kept else "the message: no table of messages is mapped"
        files = f"{len(said.files)} attachments: no table of attachments is mapped" if said.files else ""
        self._words.left_out.extend(each for each in (what, files) if each)

    # -- rows

    def _insert(self, bound: Bound, row: Mapping[str, Any], *, again: sa.ColumnElement[bool] | None) -> tuple[Any, ...]:
        """A new row's key; by `again` it is found where the database does not say it."""
        for attempt in range(1, _COUNTED + 1):
            values = {**bound.constants, **row, **self._counted(bound, row)}
            try:
                with self._conn.begin_nested() if bound.next is not None else nullcontext():
                    made = self._inserted(bound, values)
            except IntegrityError:
                if bound.next is None or attempt == _COUNTED:
                    raise
                continue
            said = _numbered(bound, made)
            ids = tuple(values.get(column.name, said.get(column.name)) for column in bound.ids)
            if all(each is not None and not isinstance(each, sa.ClauseElement) for each in ids):
                return ids
            break
        if again is None:
            raise sa.exc.CompileError("the key of the new row is not known")
        found = self._conn.execute(sa.select(*bound.ids).where(again)).first()
        if found is None:
            raise Unfit(f"table {bound.table.name} does not keep the row: a trigger or a rule of the database drops it")
        return tuple(found)

    def _inserted(self, bound: Bound, values: Mapping[str, Any]) -> sa.CursorResult[Any]:
        # One statement for each table, so that SQLAlchemy need not look at it anew for each row.
        statement = bound.statements.setdefault("insert", _insert(bound))
        if any(isinstance(each, sa.ClauseElement) for each in values.values()):
            return self._conn.execute(statement.values(values))
        return self._conn.execute(statement, dict(values))

    def _counted(self, bound: Bound, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """The number that follows the greatest one, within the other columns of the key."""
        if bound.next is None:
            return {}
        known = {**bound.constants, **row}
        within = [each == known[each.name] for each in bound.ids if each is not bound.next]
        greatest = self._conn.scalar(sa.select(sa.func.max(bound.next)).where(*within))
        return {bound.next.name: (greatest or 0) + 1}

    def facts(self, ticket: Ticket, said: Said | None) -> Facts:
        """What rows are made of."""
        return Facts(ticket=ticket, said=said, now=self._now, user=self._settings.user)

    def done(self, ids: Sequence[Any]) -> Wrote:
        """What the ticket with this key came to."""
        ref = ref_of(self._conn, self._shape, self._settings, ids)
        notes = tuple(dict.fromkeys(self._words.left_out))
        return Wrote(Pushed(outcome=Outcome.DONE, ref=ref, left_out=notes), self._wrote)

    def _note(self, bound: Bound, row: Mapping[str, Any]) -> None:
        for slot in bound.slots:
            if slot.column.name in row:
                self._wrote[slot.field] = digest(slot.form.word(row[slot.column.name]))


def _insert(bound: Bound) -> sa.Insert:
    found = bound.table.insert().execution_options(**COUNTED)
    # Without a number that the database counts there is nothing that the driver could tell.
    return found.inline() if bound.table.autoincrement_column is None else found


def _numbered(bound: Bound, made: sa.CursorResult[Any]) -> dict[str, Any]:
    """What the database counted for a new row."""
    if bound.table.autoincrement_column is None or made.rowcount == 0:
        return {}  # of a row that a trigger dropped the driver would tell the number of another one
    return dict(zip((each.name for each in bound.table.primary_key), made.inserted_primary_key or (), strict=False))


def ref_of(conn: Connection, shape: Shape, settings: SqlSettings, ids: Sequence[Any]) -> Ref:
    """How a ticket is called."""
    name = shape.ref(ids)
    number = shape.number
    shown = conn.scalar(sa.select(number).where(shape.tickets.where(ids))) if number is not None else None
    return named(settings, name, shown if shown is not None else "-".join(str(each).rstrip() for each in ids))


def named(settings: SqlSettings, name: str, number: object) -> Ref:
    """A ticket by its key's text and its number."""
    shown = str(number).strip()[:64]
    link = settings.tickets.link if settings.tickets is not None else ""
    url = link.replace("{id}", name).replace("{number}", shown)
    return Ref(id=name, number=shown, url=url)


def find_ticket(conn: Connection, shape: Shape, key: str) -> tuple[Any, ...] | None:
    """The ticket with our key; the oldest, when there are several."""
    asked = shape.tickets.statements.get("find")
    if asked is None:
        ids, column = shape.tickets.ids, shape.key.column
        source = shape.tickets.table if column.table is shape.tickets.table else shape.joined()
        asked = sa.select(*ids).select_from(source).where(column == sa.bindparam("wanted")).order_by(*ids).limit(1)
        shape.tickets.statements["find"] = asked
    row = conn.execute(asked, {"wanted": key}).first()
    return None if row is None else tuple(row)


def find_message(conn: Connection, bound: Bound, key: str) -> tuple[Any, ...] | None:
    """The message with our key, as the table calls it."""
    asked = bound.statements.get("find")
    if asked is None:
        slot = bound.of("key")
        assert slot is not None, "the settings demand it"
        asked = sa.select(*bound.ids).where(slot.column == sa.bindparam("wanted")).limit(1)
        bound.statements["find"] = asked
    row = conn.execute(asked, {"wanted": key}).first()
    return None if row is None else tuple(row)


def closed(conn: Connection, shape: Shape, settings: SqlSettings, ref: Ref, now: datetime) -> Pushed:
    """Set the status of a ticket to "closed", and nothing else."""
    slot = next((slot for bound in shape.places() for slot in bound.slots if slot.field == "status"), None)
    ids = shape.ids(ref.id)
    if slot is None or ids is None:
        what = f"no column is mapped to the status: close or delete ticket {ref.number} by hand"
        return Pushed(outcome=Outcome.REFUSED, detail=what)
    words = Words(conn, settings.map)
    bound = next(each for each in shape.places() if slot in each.slots)
    if bound.ids:
        where = [bound.where(ids)]
    else:
        row = conn.execute(
            sa.select(*(shape.tickets.table.c[of] for of in bound.on.values())).where(shape.tickets.where(ids))
        ).one()
        where = [bound.table.c[column] == value for column, value in zip(bound.on, row, strict=True)]
    try:
        bind = words.coded(slot, "closed")
    except Misfit as error:
        return Pushed(outcome=Outcome.REFUSED, detail=f"status: {error}: close ticket {ref.number} by hand")
    done = conn.execute(bound.table.update().where(*where).values({slot.column.name: bind}))
    if done.rowcount == 0:
        return Pushed(outcome=Outcome.VANISHED, detail=f"there is no ticket {ref.id} any more")
    return Pushed(outcome=Outcome.DONE, ref=ref)
