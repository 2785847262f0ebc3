"""Attachments in a table of theirs: the bytes in a column, or in a folder that a column points into."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from gateway.feeds.contract import File
from gateway.feeds.sql_table_engine import reading
from gateway.feeds.sql_table_forms import Misfit
from gateway.feeds.sql_table_settings import SqlAttachments, SqlSettings
from gateway.feeds.sql_table_shape import Bound, Shape

_PLAIN = re.compile(r"[^\w.-]+")


def store_files(
    conn: Connection, shape: Shape, settings: SqlSettings, message: Sequence[Any], files: Sequence[File], now: datetime
) -> list[str]:
    """Write those that are not there yet; what was left out, in words for staff. Raises OSError for bytes of ours that
    are gone or a folder that takes none."""
    if not files:
        return []
    bound, given = shape.attachments, settings.attachments
    if bound is None or given is None or shape.messages is None:
        return [f"{len(files)} attachments: no table of attachments is mapped"]
    tied = _tied(bound, shape.messages, message)
    name = bound.of("filename")
    assert name is not None, "the settings demand it"
    asked = sa.select(name.column).where(*(bound.table.c[each] == value for each, value in tied.items()))
    there = [str(row[0]) for row in conn.execute(asked)]
    notes = []
    for file in files:
        shown = name.form.write(file.filename)[0]
        if shown in there:
            there.remove(shown)  # of two with one name the second one is another file
            continue
        try:
            row = _row(bound, given, file, now)
        except Misfit as error:
            notes.append(f"the attachment {file.filename}: {error}")
            continue
        conn.execute(bound.table.insert().values({**bound.constants, **row, **tied}))
    return notes


def _tied(bound: Bound, messages: Bound, message: Sequence[Any]) -> dict[str, Any]:
    ids = {column.name: value for column, value in zip(messages.ids, message, strict=True)}
    return {column: ids[of] for column, of in bound.on.items()}


def _row(bound: Bound, given: SqlAttachments, file: File, now: datetime) -> dict[str, Any]:
    if file.size > given.largest:
        raise Misfit(f"it is bigger than {given.largest} bytes")
    row = {}
    values: dict[str, Callable[[], Any]] = {
        "filename": lambda: file.filename, "content_type": lambda: file.content_type, "size": lambda: file.size,
        "sha256": lambda: file.sha256, "data": file.read, "path": lambda: _kept(given, file), "now": lambda: now,
    }  # fmt: skip
    for slot in bound.slots:
        if slot.writes:
            row[slot.column.name] = slot.form.write(values[slot.field]())[0]
    return row


def _kept(given: SqlAttachments, file: File) -> str:
    """Write the bytes below the folder, whole or not at all; where they are."""
    assert given.folder is not None, "the settings demand it"
    plain = _PLAIN.sub("_", file.filename)[-60:].lstrip(".") or "file"
    place = Path(file.sha256[:2]) / f"{file.sha256}-{plain}"
    target = given.folder / place
    if not target.exists():
        target.parent.mkdir(exist_ok=True)
        temporary = target.with_name(f".{target.name}.{os.getpid()}")
        temporary.write_bytes(file.read())
        temporary.replace(target)
    return str(place)


def listed_files(
    conn: Connection, engine: Engine, shape: Shape, settings: SqlSettings, message: Sequence[Any]
) -> tuple[list[File], list[str]]:
    """The attachments of a message, and what could not be read of them. Bytes are read once for their
    digest, and again when somebody wants them."""
    bound, given = shape.attachments, settings.attachments
    if bound is None or given is None or shape.messages is None:
        return [], []
    tied = _tied(bound, shape.messages, message)
    where = [bound.table.c[each] == value for each, value in tied.items()]
    key = list(bound.table.primary_key) or [slot.column for slot in bound.slots if slot.field != "data"]
    described = [slot for slot in bound.slots if slot.field not in ("data", "now") and slot.reads]
    asked = sa.select(*key, *(slot.column for slot in described)).where(*where, *bound.is_like()).order_by(*key)
    found, odd = [], []
    for row in conn.execute(asked):
        said = {slot.field: value for slot, value in zip(described, row[len(key) :], strict=True)}
        it = [*where, *(column == value for column, value in zip(key, row, strict=False))]
        name = str(said.get("filename") or "file")
        try:
            found.append(_file(conn, engine, bound, given, said, it))
        except OSError as error:
            odd.append(f"the attachment {name}: {error}")
    return found, odd


def _file(
    conn: Connection, engine: Engine, bound: Bound, given: SqlAttachments, said: Mapping[str, Any],
    where: Sequence[sa.ColumnElement[bool]],
) -> File:  # fmt: skip
    """Raises OSError for one that cannot be read."""
    data = bound.of("data")
    if data is not None:
        size = conn.scalar(sa.select(sa.func.length(data.column)).where(*where)) or 0
        read = _from_column(engine, data.column, where)
        whole = conn.scalar(sa.select(data.column).where(*where)) if size <= given.largest else None
    else:
        read = _from_folder(given, str(said.get("path") or ""))
        whole = read()
        size = len(whole)
    if size > given.largest or whole is None:
        raise OSError(f"it is bigger than {given.largest} bytes, or gone")
    return File(
        filename=str(said.get("filename") or "file"), size=int(size), read=read,
        content_type=str(said.get("content_type") or "application/octet-stream"),
        sha256=hashlib.sha256(whole).hexdigest(),
    )  # fmt: skip


def _from_column(
    engine: Engine, column: sa.Column[Any], where: Sequence[sa.ColumnElement[bool]]
) -> Callable[[], bytes]:
    def read() -> bytes:
        try:
            with reading(engine) as conn:
                found = conn.scalar(sa.select(column).where(*where))
        except sa.exc.SQLAlchemyError as error:
            raise OSError(f"the attachment cannot be read: {type(error).__name__}") from None
        if found is None:
            raise OSError("the attachment is gone")
        return bytes(found)

    return read


def _from_folder(given: SqlAttachments, path: str) -> Callable[[], bytes]:
    def read() -> bytes:
        assert given.folder is not None, "the settings demand it"
        target = (given.folder / path).resolve()
        if not target.is_relative_to(given.folder.resolve()):
            raise OSError("the attachment's path leads out of the folder")
        with target.open("rb") as file:
            whole = file.read(given.largest + 1)
        if len(whole) > given.largest:
            raise OSError(f"the attachment is bigger than {given.largest} bytes")
        return whole

    return read
