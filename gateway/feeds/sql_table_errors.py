"""What a database's refusal means: whose trouble it is, and in which words it is shown.

The words are ours or name columns only: what a server says of a row may quote the row.

Sources: https://www.postgresql.org/docs/current/errcodes-appendix.html,
https://mariadb.com/kb/en/mariadb-error-code-reference/, https://www.sqlite.org/rescode.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    InvalidRequestError,
    NoSuchTableError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as NoneFree

from gateway.feeds.contract import FeedError, Outcome, Pushed
from gateway.feeds.sql_table_engine import Busy


class Kind(Enum):
    """Whose trouble it is."""

    GONE = auto()
    """The server is not there, or went away."""
    BUSY = auto()
    """Somebody else holds the row or the table: this ticket's trouble."""
    RIGHTS = auto()
    """Credentials or grants: everybody's trouble, until a person mends it."""
    SHAPE = auto()
    """A table or a column is not what the mapping says: everybody's trouble, too."""
    FULL = auto()
    """The server cannot write now."""
    UNIQUE = auto()
    """The row would be a second one."""
    ROW = auto()
    """This row will never be taken as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """An error of the database's."""

    kind: Kind
    text: str

    def pushed(self, *, committing: bool) -> Pushed:
        """As the result of a push; `committing`: the COMMIT had been sent."""
        if self.kind is Kind.ROW or self.kind is Kind.UNIQUE:
            return Pushed(outcome=Outcome.REFUSED, detail=self.text)
        return Pushed(
            outcome=Outcome.RETRY,
            detail=self.text,
            of_ticket=self.kind is Kind.BUSY,
            uncertain=committing and self.kind is Kind.GONE,
        )

    def error(self) -> FeedError:
        """For reading."""
        return FeedError(self.text, again=self.kind in (Kind.GONE, Kind.BUSY, Kind.FULL))


_POSTGRES: Mapping[str, Kind] = {
    "28": Kind.RIGHTS, "3D": Kind.RIGHTS, "42501": Kind.RIGHTS, "25006": Kind.RIGHTS, "0A": Kind.SHAPE,
    "42": Kind.SHAPE, "3F": Kind.SHAPE, "23505": Kind.UNIQUE, "23": Kind.ROW, "22": Kind.ROW, "44": Kind.ROW,
    "P0": Kind.ROW, "40": Kind.BUSY, "55P03": Kind.BUSY, "57014": Kind.BUSY, "53": Kind.FULL, "58": Kind.FULL,
    "57P": Kind.GONE, "08": Kind.GONE, "25P": Kind.GONE,
}  # fmt: skip
"""The beginning of SQLSTATE; the longest that fits counts."""
_MYSQL: Mapping[Kind, frozenset[int]] = {
    Kind.RIGHTS: frozenset({1044, 1045, 1049, 1142, 1143, 1227, 1290, 1410, 1698, 1792, 1820, 1836, 1862}),
    Kind.SHAPE: frozenset({1054, 1064, 1109, 1146, 1356, 1364, 1347, 1348, 1471}),
    Kind.BUSY: frozenset({1205, 1213, 1020, 1969, 3024, 1206}),
    Kind.GONE: frozenset({0, 1053, 1077, 1079, 1152, 1158, 1159, 1160, 1161, 1927, 2002, 2003, 2006, 2013, 2014, 2055}),
    Kind.FULL: frozenset({3, 28, 1021, 1023, 1030, 1037, 1038, 1040, 1041, 1114, 1203, 1226}),
    Kind.UNIQUE: frozenset({1062, 1022, 1557, 1586}),
}
_SQLITE: tuple[tuple[str, Kind], ...] = (
    ("locked", Kind.FULL), ("readonly", Kind.RIGHTS), ("unable to open", Kind.RIGHTS), ("no such", Kind.SHAPE),
    ("has no column", Kind.SHAPE), ("not a database", Kind.SHAPE), ("malformed", Kind.SHAPE), ("is full", Kind.FULL),
    ("disk I/O", Kind.FULL), ("UNIQUE constraint", Kind.UNIQUE), ("PRIMARY KEY", Kind.UNIQUE),
)  # fmt: skip
_SAID = {
    Kind.GONE: "the database does not answer",
    Kind.BUSY: "the database is busy: somebody else holds the row",
    Kind.RIGHTS: "the database does not let us",
    Kind.SHAPE: "a table or a column is not as it was",
    Kind.FULL: "the database cannot write now",
    Kind.UNIQUE: "the database has a row with the same unique value already",
    Kind.ROW: "the database does not take the row",
}
_NAMED = re.compile(r"(?:column|key|constraint failed:|table:?|privilege on|relation) +([\w.\"'`$]{1,100})", re.I)
_SAFE = frozenset({Kind.RIGHTS, Kind.SHAPE, Kind.FULL})
"""Their texts name users, tables and columns, and no row."""


def trouble(error: Exception) -> Trouble:
    """What an error means. Raises it again when it is none of a database's."""
    if isinstance(error, Busy):
        return Trouble(kind=Kind.BUSY, text="another push of this ticket is under way")
    if isinstance(error, NoneFree):
        return Trouble(kind=Kind.FULL, text="no connection to the database was free in time")
    if isinstance(error, NoSuchTableError):
        return Trouble(kind=Kind.SHAPE, text=f"there is no table {error}, or we may not see it")
    if isinstance(error, DBAPIError):
        kind, code, said = _read(error)
        return Trouble(kind=kind, text=_text(kind, code, said))
    if isinstance(error, SQLAlchemyError) and not isinstance(error, InvalidRequestError):
        return Trouble(kind=Kind.ROW, text=f"{_SAID[Kind.ROW]}: {type(error).__name__}")
    raise error


def _read(error: DBAPIError) -> tuple[Kind, str, str]:
    """(kind, the server's code, its first line)."""
    cause = error.orig
    said = str(cause).strip().partition("\n")[0]
    given = cause.args if cause is not None else ()
    if given and isinstance(given[0], int):  # PyMySQL: (number, text)
        kind = next((kind for kind, numbers in _MYSQL.items() if given[0] in numbers), Kind.ROW)
        return kind, str(given[0]), str(given[1]) if len(given) > 1 else ""
    if type(cause).__module__ == "sqlite3":
        kind = next((kind for words, kind in _SQLITE if words in said), _otherwise(error))
        return kind, str(getattr(cause, "sqlite_errorname", "")), said
    state = getattr(cause, "sqlstate", None)
    if isinstance(state, str):
        fits = [start for start in _POSTGRES if state.startswith(start)]
        return (_POSTGRES[max(fits, key=len)] if fits else Kind.ROW), state, said
    return (Kind.ROW if isinstance(error, DataError) else _connecting(said)), "", said


def _otherwise(error: DBAPIError) -> Kind:
    return Kind.ROW if isinstance(error, IntegrityError) else Kind.GONE


def _connecting(said: str) -> Kind:
    """psycopg has no SQLSTATE for what fails before there is a session: only words."""
    refused = ("authentication failed", "does not exist", "no pg_hba.conf entry", "no password supplied")
    return Kind.RIGHTS if any(words in said for words in refused) else Kind.GONE


def _text(kind: Kind, code: str, said: str) -> str:
    begun = _SAID[kind] + (f" ({code})" if code else "")
    if kind in _SAFE:
        return f"{begun}: {said}"[:400]
    names = list(dict.fromkeys(name.strip("\"'`.") for name in _NAMED.findall(said)))
    return f"{begun}: {', '.join(names)}" if names else begun
