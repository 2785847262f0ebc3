"""From SQLite to PostgreSQL: every row and every blob in one transaction, compared before it is committed.

What was committed can be compared once more. And the rows back into a SQLite file, which is how a desk on PostgreSQL
is backed up.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, Connection, Insert, Table, bindparam, func, insert, select, text

from gateway.store import postgres, schema, sqlite
from gateway.store.dialect import clean_text, database_clock, is_postgresql
from gateway.store.migrate import migrate, newest, version_of
from gateway.store.shared_blobs import CHUNK

BATCH = 500
"""Rows that are written at once."""
LEFT_OUT = frozenset({"lease", "blob", "blob_content"})
"""Leases are of running nodes; blobs come from the folder."""


class CannotCopy(Exception):
    """The copy was not made; the text says why. The target is as it was."""


class Different(Exception):
    """The two sides are not the same; the text says where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far one table is."""

    table: str
    rows: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """One table, the same on both sides."""

    table: str
    rows: int
    digest: str
    """Hex; of all rows in any order, as texts are kept by PostgreSQL."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was copied."""

    tables: tuple[Copied, ...]
    blobs: int
    missing: tuple[str, ...]
    """Blobs that rows name and the folder does not have: they were lost before."""


def copy(source: str, target: str, *, blobs: Path, progress: Callable[[Progress], None]) -> Report:
    """Copy the SQLite database at URL `source` with its folder of blobs into the empty one at `target`.

    No server may be running on the source. Raises CannotCopy, UnsafeDatabase, SchemaTooNew, SQLAlchemyError.
    """
    migrate(target, backup_to=blobs)
    reading = sqlite.make_engine(source, "reader", busy_timeout=5.0)
    writing = postgres.make_engine(target, "migration")
    try:
        with reading.connect() as old, writing.begin() as new:
            _check(old, new)
            tables = tuple(_copy_table(old, new, table, progress) for table in _tables())
            count, missing = _copy_blobs(new, blobs, progress)
            return Report(tables=tables, blobs=count, missing=missing)
    finally:
        reading.dispose()
        writing.dispose()


def compare(source: str, target: str, *, blobs: Path) -> None:
    """Read every row and blob of both sides anew, each as of one moment, as others see them: what was copied may have
    been changed since, or at the COMMIT, by a trigger or by somebody who works on it.

    Raises Different, UnsafeDatabase, SQLAlchemyError.
    """
    reading = sqlite.make_engine(source, "reader", busy_timeout=5.0)
    looking = postgres.make_engine(target, "migration").execution_options(
        isolation_level="REPEATABLE READ", postgresql_readonly=True
    )
    try:
        with reading.connect() as old, looking.connect() as new:
            found = [line for table in _tables() if (line := _difference(old, new, table))]
            found += [f"blob {name} is not whole" for name in _here(old, blobs)[0] if _blob_digest(new, name) != name]
    finally:
        reading.dispose()
        looking.dispose()
    if found:
        raise Different(f"the two sides differ: {'; '.join(found)}")


def _difference(old: Connection, new: Connection, table: Table) -> str:
    (rows, digest), (there, written) = _digest(old, table), _digest(new, table)
    if rows != there:
        return f"{table.name} has {rows} rows in the source and {there} in the target"
    return "" if digest == written else f"{table.name} has other contents"


def _digest(conn: Connection, table: Table) -> tuple[int, str]:
    """Rows of the table, and their digest."""
    rows, digest = 0, Digest()
    for batch in _batches(conn, table):
        rows += len(batch)
        digest.add(batch)
    return rows, digest.value


def copy_out(source: str, target: Path) -> tuple[Copied, ...]:
    """Copy the rows of the PostgreSQL database at URL `source`, as of one moment, into the new SQLite file `target`.

    The server may work meanwhile. Blobs are not copied. Raises CannotCopy, UnsafeDatabase, SQLAlchemyError, OSError.
    """
    url = f"sqlite:///{target.resolve()}"
    migrate(url, backup_to=target.parent)
    reading = postgres.make_engine(source, "migration").execution_options(
        isolation_level="REPEATABLE READ", postgresql_readonly=True
    )
    writing = sqlite.make_engine(url, "writer", busy_timeout=5.0)
    try:
        with reading.connect() as old, writing.begin() as new:
            if version_of(old) != newest():
                raise CannotCopy("the database has another schema than this program: use the program that serves it")
            copied = tuple(_copy_table(old, new, table, lambda _: None) for table in _tables())
        with writing.connect() as new:
            new.rollback()
            sqlite.driver_connection(new).execute("PRAGMA wal_checkpoint(TRUNCATE)")  # all of it is in the one file
        return copied
    finally:
        reading.dispose()
        writing.dispose()


def _tables() -> list[Table]:
    return [table for table in schema.metadata.sorted_tables if table.name not in LEFT_OUT]


def _check(old: Connection, new: Connection) -> None:
    found = version_of(old)
    if found != newest():
        raise CannotCopy(
            f"the source has schema {found or 'none'}: start this program on it once, to bring it to {newest()}"
        )
    full = [table.name for table in _tables() if new.execute(select(table).limit(1)).first() is not None]
    if full:
        raise CannotCopy(f"the target is not empty ({', '.join(full)}): copy into a fresh database")


def _copy_table(old: Connection, new: Connection, table: Table, progress: Callable[[Progress], None]) -> Copied:
    total = old.scalar(select(func.count()).select_from(table)) or 0
    statement, rows, digest = _insert(table), 0, Digest()
    for batch in _batches(old, table):
        values = [{f"of_{key}": value for key, value in row.items()} for row in batch]
        new.execute(statement, values)
        rows += len(batch)
        digest.add(batch)
        progress(Progress(table=table.name, rows=rows, total=total))
    there, written = _digest(new, table)
    if there != rows or written != digest.value:
        raise CannotCopy(f"{table.name}: {rows} rows were read and {there} written, or their contents differ")
    if "id" in table.c and rows and is_postgresql(new):
        sequence = "SELECT setval(pg_get_serial_sequence(:name, 'id'), (SELECT max(id) FROM {}))"
        new.execute(text(sequence.format(f'"{table.name}"')), {"name": f'"{table.name}"'})
    return Copied(table=table.name, rows=rows, digest=written)


def _insert(table: Table) -> Insert:
    # None is NULL and not the JSON word, in every column.
    return insert(table).values(
        {
            column.key: bindparam(
                f"of_{column.key}", type_=JSON(none_as_null=True) if isinstance(column.type, JSON) else column.type
            )
            for column in table.c
        }
    )


def _batches(conn: Connection, table: Table) -> Iterator[list[dict[str, Any]]]:
    query = select(*(column.label(column.key) for column in table.c)).order_by(*table.primary_key.columns)
    with conn.execute(query, execution_options={"yield_per": BATCH}) as result:
        for part in result.mappings().partitions(BATCH):
            yield [{key: _clean(value) for key, value in row.items()} for row in part]


def _clean(value: Any) -> Any:
    return clean_text(value) if isinstance(value, str) else value


class Digest:
    """Of rows in any order: the sum of their SHA-256, so that no sorting rule of a database matters."""

    def __init__(self) -> None:
        self._sum = 0

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Count rows in."""
        for row in rows:
            encoded = json.dumps(row, default=_plain, sort_keys=True).encode()
            self._sum = (self._sum + int.from_bytes(hashlib.sha256(encoded).digest(), "big")) % (1 << 256)

    @property
    def value(self) -> str:
        """Hex."""
        return f"{self._sum:064x}"


def _plain(value: object) -> str:
    match value:
        case datetime():
            return value.isoformat()
        case bytes() | memoryview():
            return hashlib.sha256(value).hexdigest()
        case _:
            raise TypeError(f"no rule for a {type(value).__name__}")


def _here(old: Connection, folder: Path) -> tuple[list[str], list[str]]:
    """Blobs that rows name, in order: those in the folder, and those that are missing there."""
    named: set[str] = set()
    for column in (schema.entry.c.blob, schema.attachment.c.blob):
        named |= set(old.scalars(select(column).where(column.is_not(None)).distinct()))
    here = [name for name in sorted(named) if (folder / name[:2] / name).is_file()]
    return here, sorted(named.difference(here))


def _copy_blobs(new: Connection, folder: Path, progress: Callable[[Progress], None]) -> tuple[int, tuple[str, ...]]:
    here, missing = _here(new, folder)
    for done, name in enumerate(here, 1):
        _copy_blob(new, name, folder / name[:2] / name)
        progress(Progress(table="blobs", rows=done, total=len(here)))
    return len(here), tuple(missing)


def _blob_digest(new: Connection, name: str) -> str:
    """SHA-256 of the bytes that the database keeps under this name."""
    content, digest, number = schema.blob_content.c, hashlib.sha256(), 0
    wanted = select(content.content).where(content.name == name)
    while (piece := new.scalar(wanted.where(content.number == number))) is not None:
        digest.update(piece)
        number += 1
    return digest.hexdigest()


def _copy_blob(new: Connection, name: str, path: Path) -> None:
    values = {"name": name, "size": path.stat().st_size, "touched_at": database_clock(new)}
    new.execute(insert(schema.blob), values)
    digest, number = hashlib.sha256(), 0
    with path.open("rb") as file:
        while content := file.read(CHUNK):
            digest.update(content)
            new.execute(insert(schema.blob_content), {"name": name, "number": number, "content": content})
            number += 1
    if digest.hexdigest() != name:
        raise CannotCopy(f"blob {name} has other bytes than its name says: restore it from a backup")
