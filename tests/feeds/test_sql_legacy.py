"""A table in SQLite from long ago: no times of change, no table of messages, codes in short columns."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gateway.feeds.contract import Outcome, Set, Vanished
from gateway.feeds.sql_table_settings import SqlSettings
from gateway.settings import Settings
from tests.feeds.sql_desk import altering, desk, opening, said, saying, settings

SCHEMA = """
CREATE TABLE zayavki (
    nomer INTEGER PRIMARY KEY AUTOINCREMENT,
    tema VARCHAR(40) NOT NULL,
    opis TEXT,
    klient VARCHAR(100),
    stan CHAR(1) NOT NULL DEFAULT 'N',
    klas INTEGER,
    cherga VARCHAR(8) NOT NULL,
    vykonavets VARCHAR(20),
    data_vid DATETIME,
    prioritet INTEGER NOT NULL DEFAULT 3,
    filia INTEGER NOT NULL,
    prymitky TEXT DEFAULT 'порожньо',
    zovn_kod VARCHAR(40) UNIQUE
);
CREATE INDEX zayavki_stan ON zayavki (stan);
CREATE TRIGGER zayavki_log AFTER UPDATE OF stan ON zayavki BEGIN INSERT INTO zhurnal VALUES (new.nomer, new.stan); END;
CREATE TABLE zhurnal (nomer INTEGER, stan CHAR(1));
INSERT INTO zayavki (tema, cherga, filia, stan) VALUES ('Стара заявка', 'Q1', 7, 'W');
"""
MAPPING = """
kind: sql
timezone: Europe/Kyiv
tickets:
  table: zayavki
  id: nomer
  columns:
    zovn_kod: key
    tema: subject
    opis: text
    klient: requester
    stan: status
    klas: class
    cherga: line
    vykonavets: assignee
    data_vid: opened_at
  constants: {filia: 7}
map:
  status: {new: N, open: W, waiting: P, resolved: [R, Z], closed: C, held: H}
  class: {1: 10, 2: 20, 3: 30, 4: 40, 5: 50, 6: 60}
  line: {L1: Q1, L2: Q2, L3: Q3}
  assignee: {ivan: I.Petrenko}
"""


class Table:
    """The desk's own program at the table."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def run(self, statement: str, *args: Any) -> list[tuple[Any, ...]]:
        """One statement, committed."""
        with closing(sqlite3.connect(self.path, isolation_level=None, timeout=20)) as conn:
            return conn.execute(statement, args).fetchall()

    def schema(self) -> list[tuple[Any, ...]]:
        """All that was ever declared."""
        return self.run("SELECT type, name, sql FROM sqlite_master ORDER BY 1, 2")

    def settings(self, text: str = MAPPING, **more: Any) -> SqlSettings:
        """Of a feed to it."""
        return settings(text, url=f"sqlite:///{self.path}", **more)


@pytest.fixture
def table(tmp_path: Path) -> Iterator[Table]:
    found = Table(tmp_path / "desk.db")
    with closing(sqlite3.connect(found.path)) as conn:
        conn.executescript(SCHEMA)
    yield found


async def test_a_ticket_is_written_once_in_their_words(table: Table) -> None:
    async with desk(table.settings()) as there:
        first = await there.feed.push(opening())
        again = await there.feed.push(opening())
        assert first.ref == again.ref and first.outcome is Outcome.DONE and first.left_out == ()
        assert await there.feed.find(opening()) == first.ref
        assert await there.feed.find(opening(1000013)) is None
    [row] = table.run("SELECT * FROM zayavki WHERE nomer = 2")
    assert row == (
        2, "Не працює пошта", "Сервер не відповідає", "olena@client.example", "N", 20, "Q1", None,
        "2026-11-20 11:30:15", 3, 7, "порожньо", "0badcafe-1000005",
    )  # fmt: skip
    assert table.run("SELECT count(*) FROM zayavki") == [(2,)]


async def test_a_change_touches_its_columns_alone(table: Table) -> None:
    schema = table.schema()
    async with desk(table.settings()) as there:
        ref = await there.opened()
        table.run("UPDATE zayavki SET prymitky = 'дзвонили', prioritet = 1, tema = 'Пошта' WHERE nomer = 2")
        done = await there.feed.push(altering(ref, "status", "line", status="resolved", line="L3", class_=5))
        assert done.outcome is Outcome.DONE and done.ref == ref
        unmapped = await there.feed.push(altering(ref, "line", "assignee", line="L4", assignee="ivan"))
        assert unmapped.outcome is Outcome.DONE
        assert unmapped.left_out == ("line: the map has no word for 'L4' (column zayavki.cherga)",)
    [row] = table.run("SELECT tema, stan, klas, cherga, vykonavets, prioritet, prymitky FROM zayavki WHERE nomer = 2")
    assert row == ("Пошта", "R", 20, "Q3", "I.Petrenko", 1, "дзвонили")
    assert table.run("SELECT tema, stan, klas FROM zayavki WHERE nomer = 1") == [("Стара заявка", "W", None)]
    assert table.schema() == schema


async def test_what_the_desk_changes_is_heard_and_what_we_write_is_not(table: Table) -> None:
    async with desk(table.settings()) as there:
        await there.begins()
        ref = await there.opened()
        other = await there.opened(1000013, first=said(1000013))
        assert await there.news() == []
        quiet = there.cursor
        assert await there.news() == [] and there.cursor == quiet
        table.run("UPDATE zayavki SET stan = 'Z', vykonavets = 'I.Petrenko' WHERE nomer = ?", ref.id)
        assert [(each.ref, each.change) for each in await there.news()] == [
            (ref.id, Set(field="status", value="resolved", raw="Z")),
            (ref.id, Set(field="assignee", value="ivan", raw="I.Petrenko")),
        ]
        await there.feed.push(altering(ref, "status", status="open"))
        assert await there.news() == []
        table.run("UPDATE zayavki SET stan = 'X' WHERE nomer = ?", ref.id)
        assert await there.changes() == [Set(field="status", value="", raw="X", known=False)]
        table.run("UPDATE zayavki SET stan = 'W' WHERE nomer = ?", ref.id)
        assert await there.changes() == [Set(field="status", value="open", raw="W")]
        table.run("DELETE FROM zayavki WHERE nomer = ?", other.id)
        assert [(each.ref, each.change) for each in await there.news()] == [(other.id, Vanished())]
        assert (await there.feed.push(altering(other, "status", number=1000013))).outcome is Outcome.VANISHED
        assert (await there.feed.push(saying(other, said(1000013, 2), 1000013))).outcome is Outcome.VANISHED


async def test_what_was_not_committed_is_told_again_by_the_same_name(table: Table) -> None:
    async with desk(table.settings()) as there:
        ref = await there.opened()
        await there.begins()
        table.run("UPDATE zayavki SET stan = 'P' WHERE nomer = ?", ref.id)
        first = await there.feed.changes(there.cursor)
        assert (await there.feed.changes(there.cursor)) == first
        table.run("UPDATE zayavki SET stan = 'W' WHERE nomer = ?", ref.id)
        there.cursor = first.cursor
        [back] = await there.news()
        assert back.id != first.heard[0].id
    async with desk(table.settings()) as restarted:
        restarted.cursor = first.cursor
        assert [each.change for each in await restarted.news()] == [back.change]


def test_its_settings_do_not_hide_others_in_the_schema_of_the_whole_file() -> None:
    own = set(SqlSettings.model_json_schema()["$defs"])
    whole = Settings.model_json_schema()["$defs"]
    assert "Tickets" in whole and "join_window" in whole["Tickets"]["properties"]
    assert not own - {"Maps"} & {name for name in whole if not name.startswith("Sql")}
