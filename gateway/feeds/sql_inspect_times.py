"""The time of the last change in a column of texts, as programs on SQLite often keep it: known by what stands there.

Texts are compared as texts, so they serve where all are of one form, with the year first and the hour. Of what stands
there the form alone is shown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Column, Connection, Table

from gateway.feeds.sql_inspect_words import CHANGED

OURS = "YYYY-MM-DD hh:mm:ss"
"""How we write a time into a column of texts."""
_SAMPLED = 200
"""Of the oldest rows, and of the newest."""
_TIME = re.compile(r"\d{4}-\d\d-\d\d([ T])\d\d:\d\d(:\d\d(?:\.\d+)?)?(Z|[+-]\d\d:?\d\d)?")
_UTC = frozenset({"Z", "+00:00", "+0000"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A column of texts whose name speaks of changes."""

    column: str
    form: str
    """As "YYYY-MM-DDThh:mm:ss+02:00"; "": not all of them are times of one form, or there are none."""

    @property
    def needs(self) -> str:
        """What has to be so for it to serve, for people."""
        zone = re.sub(r".*(?:mm|ss)", "", self.form)
        where = "UTC" if zone in _UTC else f"the zone that is at {zone}" if zone else "the zone that they are in"
        return f"texts as {self.form}: ALL in this form, and `timezone` {where}"


def changed(conn: Connection, table: Table) -> Text | None:
    """The likeliest column, on SQLite, where texts are compared byte by byte; None: no text is named so."""
    if conn.dialect.name != "sqlite":
        return None
    named = [each for each in table.c if isinstance(each.type, sa.String) and re.search(CHANGED, each.name, re.I)]
    named.sort(key=lambda each: bool(each.nullable))
    found = [Text(column=each.name, form=_form(conn, table, each)) for each in named]
    return next((each for each in found if each.form), next(iter(found), None))


def _form(conn: Connection, table: Table, column: Column[str]) -> str:
    keys, forms = list(table.primary_key.columns), set[str]()
    for order in (keys, [key.desc() for key in keys]):
        asked = sa.select(sa.cast(column, sa.String)).where(column.is_not(None)).order_by(*order).limit(_SAMPLED)
        try:
            forms |= {form_of(value) for value in conn.scalars(asked)}
        except sa.exc.OperationalError:
            # In no encoding of the file's: old programs wrote bytes as they had them.
            return ""
    return forms.pop() if len(forms) == 1 else ""


def form_of(text: str) -> str:
    """How a time is written; "" for what is none, has no hour, or does not begin with the year."""
    match = _TIME.fullmatch(text)
    if match is None:
        return ""
    between, seconds, zone = match.groups()
    return f"YYYY-MM-DD{between}hh:mm{':ss' if seconds else ''}{zone or ''}"
