"""Our words in their columns and theirs in ours: fields, value maps, tables of codes, defaults."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from gateway.feeds.contract import Said, Ticket
from gateway.feeds.settings import Maps
from gateway.feeds.sql_table_forms import CUT, MISSING, Misfit, Value
from gateway.feeds.sql_table_shape import Bound, Slot

OVER = frozenset({"resolved", "closed"})
"""Statuses of tickets that are done with."""
_MAPPED = frozenset({"status", "class", "line", "assignee", "contract"})
_UNDER: Mapping[str, str] = {
    "requester_name": "requester",
    "closed_at": "status",
    "result": "status",
    "copies": "requester",
}
"""A column -> the field with which it changes, where that is another one."""
_ALWAYS = frozenset({"updated_at", "now", "actor", "reaction_due", "resolution_due", "tags"})
_TOUCHED = frozenset({"updated_at", "now", "actor"})
"""Columns that follow every write."""


class Unfit(Exception):
    """The row cannot be written at all; the text says which column and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a row is made of."""

    ticket: Ticket
    said: Said | None
    now: datetime
    user: str


def _said(facts: Facts) -> Said:
    assert facts.said is not None, "only rows of messages ask for it"
    return facts.said


def _kind(facts: Facts) -> str:
    said = _said(facts)
    return "note" if not said.public else "in" if said.inward else "out"


TICKET: Mapping[str, Callable[[Facts], Value]] = {
    "key": lambda facts: facts.ticket.key,
    "number": lambda facts: facts.ticket.number,
    "subject": lambda facts: facts.ticket.subject,
    "requester": lambda facts: facts.ticket.requester.address,
    "requester_name": lambda facts: facts.ticket.requester.name,
    "requester_channel": lambda facts: facts.ticket.requester.channel,
    "copies": lambda facts: ", ".join(each.address for each in facts.ticket.copies),
    "status": lambda facts: facts.ticket.status,
    "class": lambda facts: "" if facts.ticket.class_ is None else str(facts.ticket.class_),
    "line": lambda facts: facts.ticket.line,
    "onsite": lambda facts: facts.ticket.onsite,
    "contract": lambda facts: facts.ticket.contract,
    "assignee": lambda facts: facts.ticket.assignee,
    "language": lambda facts: facts.ticket.language,
    "tags": lambda facts: ", ".join(facts.ticket.tags),
    "result": lambda facts: facts.ticket.result,
    "text": lambda facts: facts.said.text if facts.said is not None else "",
    "opened_at": lambda facts: facts.ticket.opened_at,
    "updated_at": lambda facts: facts.ticket.updated_at,
    "closed_at": lambda facts: facts.ticket.updated_at if facts.ticket.status in OVER else None,
    "reaction_due": lambda facts: facts.ticket.reaction_due,
    "resolution_due": lambda facts: facts.ticket.resolution_due,
    "url": lambda facts: facts.ticket.url,
    "now": lambda facts: facts.now,
    "actor": lambda facts: facts.user,
}
MESSAGE: Mapping[str, Callable[[Facts], Value]] = {
    "key": lambda facts: _said(facts).key,
    "text": lambda facts: _said(facts).text,
    "subject": lambda facts: facts.ticket.subject,
    "author": lambda facts: _said(facts).author.address,
    "author_name": lambda facts: _said(facts).author.name or _said(facts).author.address,
    "channel": lambda facts: _said(facts).author.channel,
    "at": lambda facts: _said(facts).at,
    "now": lambda facts: facts.now,
    "public": lambda facts: _said(facts).public,
    "inward": lambda facts: _said(facts).inward,
    "kind": _kind,
    "message_id": lambda facts: _said(facts).message_id,
    "format": lambda _: "text",
    "actor": lambda facts: facts.user,
}


def altered(names: Collection[str]) -> Callable[[Slot], bool]:
    """Which columns a change of these fields writes."""
    wanted = {*names}
    return lambda slot: slot.alters and (_UNDER.get(slot.field, slot.field) in wanted or slot.field in _ALWAYS)


def touched(slot: Slot) -> bool:
    """Is it a column that follows every write?"""
    return slot.alters and slot.field in _TOUCHED


@dataclass(slots=True)
class Words:
    """The value maps, with the codes that stand in tables of theirs. One per transaction: codes are read once."""

    conn: Connection
    maps: Maps
    left_out: list[str] = field(default_factory=list)
    """What did not fit, in words for staff."""
    _codes: dict[tuple[str, str], Any] = field(default_factory=dict)

    def row(
        self, bound: Bound, facts: Facts, values: Mapping[str, Callable[[Facts], Value]], *,
        wanted: Callable[[Slot], bool], new: bool,
    ) -> dict[str, Any]:  # fmt: skip
        """Column -> what to bind. Columns of a new row that are left out get the database's default. Raises Unfit."""
        found: dict[str, Any] = {}
        for slot in bound.slots:
            if not wanted(slot) or slot.field not in values:
                continue
            try:
                there, bind = self._bound(slot, values[slot.field](facts), new=new)
            except Misfit as error:
                if slot.field in ("key", "number") or slot.form.refuse:
                    raise Unfit(f"column {slot.column} does not take the {slot.field}: {error}") from None
                self.left_out.append(f"{slot.field}: {error} (column {slot.column})")
                there, bind = self._instead(slot, new=new)
            if there:
                found[slot.column.name] = bind
        return found

    def _bound(self, slot: Slot, value: Value, *, new: bool) -> tuple[bool, Any]:
        word = "" if value is None else _word(value)
        if word == "" and "" not in slot.spec.values:
            return self._instead(slot, new=new, empty=True)
        code = self._coded(slot, word, value)
        bind, note = slot.form.write(code)
        if note and code is not value:
            raise Misfit(f"the map's word {code!r} does not fit")
        if note:
            self.left_out.append(f"{slot.field}: {note} (column {slot.column})")
        return True, bind

    def coded(self, slot: Slot, word: str) -> Any:
        """One of our words as it is bound. Raises Misfit."""
        bind, note = slot.form.write(self._coded(slot, word, word))
        if note:
            raise Misfit(f"{bind!r} is too long, or has characters that the column has not")
        return bind

    def _coded(self, slot: Slot, word: str, value: Value) -> Value:
        """The value in their words. Raises Misfit when there is a map and it has none."""
        theirs: Value = value
        if slot.spec.values:
            words = slot.spec.values.get(word)
            theirs = words[0] if words is not None else None
        elif slot.field in _MAPPED:
            theirs = self.maps.theirs(slot.field, word)
        if theirs is None:
            raise Misfit(f"the map has no word for {word!r}")
        return theirs if slot.words is None else self._code(slot, _word(theirs))

    def _code(self, slot: Slot, word: str) -> Value:
        assert slot.words is not None
        column, code = slot.words
        place = (f"{column.table.name}.{column.name}>{code.name}", word)
        if place not in self._codes:
            asked = sa.select(code).where(column == word).order_by(code).limit(1)
            self._codes[place] = self.conn.scalar(asked)
        found: Value = self._codes[place]
        if found is None:
            raise Misfit(f"table {column.table.name} has no {column.name} {word!r}" if slot.field in _MAPPED else
                         f"table {column.table.name} does not have it")  # fmt: skip
        return found

    def _instead(self, slot: Slot, *, new: bool, empty: bool = False) -> tuple[bool, Any]:
        """What to write where there is no value: (whether to, what). Raises Unfit."""
        column = slot.column
        if slot.spec.default is not None:
            return True, slot.form.write(slot.spec.default)[0] if not slot.form.timely else slot.spec.default
        if not new and not empty:
            return False, None  # what stands there stays
        if column.nullable:
            return True, None
        if slot.form.kind.name == "TEXT":
            return True, ""
        if column.server_default is not None:
            return not new, sa.text("DEFAULT")  # of a new row it is left out
        raise Unfit(f"column {column} is NOT NULL and there is nothing for {slot.field}: give it a `default`")

    # -- theirs to ours

    def ours(self, slot: Slot, value: object) -> tuple[str, str, bool]:
        """(our word, theirs, whether it is known) of a column's value."""
        raw = slot.form.word(self._named(slot, value))
        if raw == "" and slot.field != "status":
            return "", "", True
        if slot.spec.values:
            folded = raw.casefold()
            words = slot.spec.values.items()
            found = next((ours for ours, said in words if folded in {word.casefold() for word in said}), None)
        else:
            found = self.maps.ours(slot.field, raw) if slot.field in _MAPPED else raw
        if found is None or (slot.field in _KNOWN and found not in _KNOWN[slot.field]):
            return "", raw, False
        return found, raw, True

    def codes(self, slot: Slot, word: str) -> list[Any]:
        """All values of the column that are read as this word of ours."""
        mapped = slot.spec.values or getattr(self.maps, "class_" if slot.field == "class" else slot.field, {})
        theirs = mapped.get(word, () if mapped else (word,))
        found = []
        for each in theirs:
            try:
                code = each if slot.words is None else self._code(slot, each)
                found.append(slot.form.write(code)[0])
            except Misfit:
                continue  # a word that the table does not have stands in no row
        return found

    def _named(self, slot: Slot, value: object) -> object:
        if slot.words is None or value is None:
            return value
        word, code = slot.words
        place = (f"{code.table.name}.{code.name}>{word.name}", str(value))
        if place not in self._codes:
            self._codes[place] = self.conn.scalar(sa.select(word).where(code == value).limit(1))
        return self._codes[place]


_KNOWN: Mapping[str, frozenset[str]] = {
    "status": frozenset({"new", "open", "waiting", "resolved", "closed", "held"}),
    "class": frozenset("123456"),
    "line": frozenset({"L1", "L2", "L3", "L4"}),
    "onsite": frozenset({"true", "false"}),
}
"""What our words are, where they are few."""


def marked(text: str) -> bool:
    """Does it bear the mark of a text that we had to change? Such a one is no news."""
    return text.endswith(CUT.strip()) or MISSING in text


def _word(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
