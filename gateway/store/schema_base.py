"""What every table is made of: the metadata, ids, and times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import BigInteger, Column, Dialect, Integer, MetaData, TypeDecorator

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Instant(TypeDecorator[datetime]):
    """An aware datetime as microseconds since the epoch."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """Aware datetime -> microseconds. Raises TypeError for a naive one."""
        return None if value is None else (value - EPOCH) // _MICROSECOND

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        """Microseconds -> datetime in UTC."""
        return None if value is None else EPOCH + timedelta(microseconds=value)


ID = BigInteger().with_variant(Integer, "sqlite")
"""SQLite makes a rowid alias of INTEGER PRIMARY KEY only."""

metadata = MetaData()


def id_column() -> Column[int]:
    """A number that the database gives."""
    return Column("id", ID, primary_key=True, autoincrement=True)
