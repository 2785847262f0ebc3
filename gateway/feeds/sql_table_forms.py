"""How a value looks in a column: its type, its length, its characters, its zone.

Nothing is lost silently: what a column cannot hold is either a `Misfit` or comes with a note for staff.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from enum import Enum, auto
from typing import Any, TypeAlias
from uuid import UUID
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from gateway.store.dialect import clean_text

Value: TypeAlias = bool | int | float | str | bytes | datetime | None
"""What of ours goes into a column."""
CUT = " […]"
"""At the end of a text that was cut."""
MISSING = "\N{REPLACEMENT CHARACTER}"
"""In place of a character that the column's character set does not have."""
_YES = frozenset({"1", "true", "yes", "y", "on", "t", "да", "так"})
_NO = frozenset({"", "0", "false", "no", "n", "off", "f", "нет", "ні"})
_BYTES = {"TINYTEXT": 255, "TEXT": 65_535, "MEDIUMTEXT": 2**24 - 1, "TINYBLOB": 255, "BLOB": 65_535,
          "MEDIUMBLOB": 2**24 - 1}  # fmt: skip
"""How much fits, on MariaDB and MySQL."""


class Misfit(Exception):
    """The column does not take the value; the text names neither."""


class Kind(Enum):
    """What a column holds."""

    TEXT = auto()
    CHOICE = auto()
    INTEGER = auto()
    NUMBER = auto()
    BOOLEAN = auto()
    UUID = auto()
    BYTES = auto()
    INSTANT = auto()
    """A time with a zone."""
    STAMP = auto()
    """MariaDB's TIMESTAMP: kept in UTC, shown in the session's zone."""
    WALL = auto()
    """A time without a zone."""
    DAY = auto()
    EPOCH = auto()
    """A time as a number."""


_TIMES = frozenset({Kind.INSTANT, Kind.STAMP, Kind.WALL, Kind.DAY, Kind.EPOCH})


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How values look in one column."""

    kind: Kind
    zone: ZoneInfo
    length: int | None = None
    """Characters."""
    size: int | None = None
    """Bytes."""
    charset: str | None = None
    """Python's name of the column's character set; None: all of Unicode. "bmp": without what takes four bytes."""
    choices: tuple[str, ...] = ()
    milliseconds: bool = False
    refuse: bool = False
    """A text that is too long is a Misfit."""
    as_text: bool = False
    """A time that stands there as a text (SQLite)."""

    # -- ours to theirs

    def write(self, value: Value) -> tuple[Any, str]:
        """(what to bind, note for staff or ""). Raises Misfit."""
        if value is None:
            return None, ""
        if self.kind in _TIMES:
            return self._moment(value), ""
        match self.kind:
            case Kind.TEXT:
                return self._text(value)
            case Kind.BYTES:
                return self._bytes(value), ""
            case Kind.BOOLEAN:
                return self._boolean(value), ""
            case _:
                return self._other(value), ""

    def _other(self, value: Value) -> Any:
        word = _word(value)
        try:
            match self.kind:
                case Kind.INTEGER:
                    return int(word)
                case Kind.NUMBER:
                    return Decimal(word)
                case Kind.UUID:
                    return UUID(word)
                case _:
                    return next(each for each in self.choices if each.casefold() == word.casefold())
        except StopIteration:
            raise Misfit(f"the column takes only {', '.join(self.choices)}") from None
        except (ValueError, InvalidOperation):
            raise Misfit(f"the column takes only a {self.kind.name.lower()}") from None

    def _boolean(self, value: Value) -> bool:
        word = _word(value).casefold()
        if word not in _YES | _NO:
            raise Misfit("the column takes only yes or no")
        return word in _YES

    def _bytes(self, value: Value) -> bytes:
        given = value if isinstance(value, bytes) else _word(value).encode()
        limit = self.size if self.size is not None else self.length
        if limit is not None and len(given) > limit:
            raise Misfit(f"the column holds {limit} bytes")
        return given

    def _moment(self, value: Value) -> Any:
        if not isinstance(value, datetime):
            raise Misfit("the column takes only a time")
        match self.kind:
            case Kind.EPOCH:
                return int(value.timestamp() * (1000 if self.milliseconds else 1))
            case Kind.STAMP:
                return sa.func.from_unixtime(int(value.timestamp()))
            case Kind.INSTANT:
                return value
            case _:
                return self.wall(value)

    def wall(self, value: datetime) -> Any:
        """An instant as the clock on the wall shows it, as it is bound."""
        shown = value.astimezone(self.zone).replace(tzinfo=None, microsecond=0)
        if self.kind is Kind.DAY:
            return shown.date().isoformat() if self.as_text else shown.date()
        return shown.isoformat(" ") if self.as_text else shown

    def _text(self, value: Value) -> tuple[str, str]:
        whole = clean_text(_word(value))
        shown = self._shown(whole)
        notes = ["characters that its character set does not have"] if shown != whole else []
        cut = self._cut(shown)
        if cut != shown:
            if self.refuse:
                raise Misfit(f"the column holds {self.length or self.size}")
            notes.append(f"its end (the column holds {self.length or self.size})")
        return cut, " and ".join(notes)

    def _shown(self, text: str) -> str:
        if self.charset is None:
            return text
        if self.charset == "bmp":
            return "".join(each if each <= "\uffff" else MISSING for each in text)
        # "?" for what is not there: these sets have no mark of their own.
        return text.encode(self.charset, "replace").decode(self.charset)

    def _cut(self, text: str) -> str:
        if self.length is not None and len(text) > self.length:
            text = text[: max(0, self.length - len(CUT))] + CUT if self.length > len(CUT) else text[: self.length]
            text = self._shown(text)
        coding = "utf-8" if self.charset in (None, "bmp") else str(self.charset)
        if self.size is not None and len(given := text.encode(coding, "replace")) > self.size:
            text = given[: self.size - len(CUT.encode())].decode(coding, "ignore") + self._shown(CUT)
        return text

    # -- theirs to ours

    def asked(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        """What to select."""
        return sa.func.unix_timestamp(column) if self.kind is Kind.STAMP else column

    def since(self, column: sa.ColumnElement[Any], floor: datetime) -> sa.ColumnElement[bool]:
        """Is the time there `floor` or later? Without a time it is not."""
        found: sa.ColumnElement[bool] = column >= self._moment(floor)
        return found

    def word(self, value: object) -> str:
        """As a word; "" for nothing."""
        if value is None:
            return ""
        if self.kind is Kind.BOOLEAN or isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, Decimal):
            return format(value.normalize(), "f")
        return str(value).rstrip() if self.kind in (Kind.TEXT, Kind.CHOICE) else str(value)

    def moment(self, value: object) -> datetime | None:
        """As an instant; None for nothing, or what is no time."""
        if isinstance(value, Decimal | int | float):
            return self._of_number(float(value))
        if isinstance(value, str):
            return self._of_text(value)
        if isinstance(value, datetime):
            return (value if value.tzinfo is not None else value.replace(tzinfo=self.zone)).astimezone(UTC)
        if isinstance(value, date):
            return datetime(value.year, value.month, value.day, tzinfo=self.zone).astimezone(UTC)
        return None

    def _of_number(self, value: float) -> datetime | None:
        try:
            return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=value / 1000 if self.milliseconds else value)
        except OverflowError:
            return None

    def _of_text(self, value: str) -> datetime | None:
        try:
            found = datetime.fromisoformat(value.strip())
        except ValueError:
            return None
        return (found if found.tzinfo is not None else found.replace(tzinfo=self.zone)).astimezone(UTC)

    @property
    def timely(self) -> bool:
        """Does it hold a time?"""
        return self.kind in _TIMES


def _word(value: Value) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    return value.isoformat() if isinstance(value, datetime) else str(value)


def form_of(
    column: sa.Column[Any], *, zone: ZoneInfo, charset: str | None, unit: str | None, timely: bool, refuse: bool
) -> Form | None:
    """How a column's values look; None for a type that nothing of ours goes into. `timely`: a time goes there."""
    kind = _kind(column.type, unit=unit, timely=timely)
    if kind is None:
        return None
    kept = column.type
    return Form(
        kind=kind,
        zone=zone,
        length=getattr(kept, "length", None) if isinstance(kept, (sa.String, *_BINARY)) else None,
        size=_BYTES.get(type(kept).__name__) if type(kept).__module__.startswith("sqlalchemy.dialects.mysql")
        or isinstance(kept, mysql.TEXT) else None,
        charset=charset,
        choices=tuple(str(each) for each in kept.enums) if isinstance(kept, sa.Enum) else (),
        milliseconds=unit == "milliseconds",
        refuse=refuse,
        as_text=isinstance(kept, sa.String),
    )  # fmt: skip


def _kind(kept: object, *, unit: str | None, timely: bool) -> Kind | None:
    if isinstance(kept, mysql.TIMESTAMP):
        return Kind.STAMP
    if isinstance(kept, sa.Integer) and (unit is not None or timely):
        return Kind.EPOCH
    if isinstance(kept, sa.String) and not isinstance(kept, sa.Enum) and timely:
        return Kind.EPOCH if unit is not None else Kind.WALL
    if isinstance(kept, sa.DateTime):
        return Kind.INSTANT if kept.timezone else Kind.WALL
    return next((kind for kinds, kind in _KINDS if isinstance(kept, kinds)), None)


_BINARY = (sa.LargeBinary, sa.BINARY, sa.VARBINARY, mysql.TINYBLOB, mysql.MEDIUMBLOB, mysql.LONGBLOB)
_KINDS: tuple[tuple[type | tuple[type, ...], Kind], ...] = (
    (sa.Enum, Kind.CHOICE), (sa.String, Kind.TEXT), (sa.Date, Kind.DAY), (sa.Boolean, Kind.BOOLEAN),
    (sa.Integer, Kind.INTEGER), (sa.Numeric, Kind.NUMBER), (_BINARY, Kind.BYTES), (sa.Uuid, Kind.UUID),
)  # fmt: skip
