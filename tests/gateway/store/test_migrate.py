"""The schema comes from migrations, and they make exactly what `schema.metadata` says, of filled databases too."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    create_engine,
    func,
    insert,
    inspect,
    select,
    text,
)

from gateway.store.database import SchemaTooNew, migrate
from gateway.store.migrate import _config, known_versions, newest
from gateway.store.schema import metadata
from tests.gateway.databases import migration_engine
from tests.postgres import Server


def definitions(path: Path) -> dict[str, list[str]]:
    """Name -> words of the SQL of every table and index; the order of constraints says nothing."""
    with sqlite3.connect(path) as conn:
        rows = conn.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
        found = {name: sorted(re.split(r",\s+|\s*\n\s*", sql.removesuffix("\n)"))) for name, sql in rows}
    conn.close()
    return found


def shape(url: str) -> dict[str, list[str]]:
    """Name of every table -> what the database says of its columns, keys and indexes."""
    engine = migration_engine(url)
    found = {}
    with engine.connect() as conn:
        look = inspect(conn)
        for table in look.get_table_names():
            told = [*look.get_columns(table), look.get_pk_constraint(table), *look.get_foreign_keys(table)]
            told += [*look.get_unique_constraints(table), *look.get_indexes(table)]
            found[table] = sorted(_words(each) for each in told)
    engine.dispose()
    return found


def _words(told: Mapping[str, Any]) -> str:
    shown = {key: {name: str(one) for name, one in value.items()} if isinstance(value, dict) else repr(value)
             for key, value in told.items()}  # fmt: skip
    return repr(sorted(shown.items(), key=lambda pair: pair[0]))


def upgrade_to(url: str, revision: str) -> None:
    engine = migration_engine(url)
    with engine.connect() as conn:
        config = _config()
        config.attributes["connection"] = conn
        command.upgrade(config, revision)
    engine.dispose()


def run(url: str, *statements: str) -> None:
    engine = migration_engine(url)
    with engine.begin() as conn:
        for statement in statements:
            conn.execute(text(statement))
    engine.dispose()


@pytest.mark.sqlite  # about the words of its SQL; of PostgreSQL the next test
def test_the_migrated_database_is_what_the_metadata_says(tmp_path: Path) -> None:
    upgrade_to(f"sqlite:///{tmp_path / 'migrated.db'}", "head")
    migrate(f"sqlite:///{tmp_path / 'created.db'}", backup_to=tmp_path)
    assert definitions(tmp_path / "migrated.db") == definitions(tmp_path / "created.db")
    engine = create_engine(f"sqlite:///{tmp_path / 'migrated.db'}")
    with engine.connect() as conn:
        assert compare_metadata(MigrationContext.configure(conn, opts={"compare_type": True}), metadata) == []
    engine.dispose()


def test_the_migrated_postgresql_is_what_the_metadata_says(postgres: Server, tmp_path: Path) -> None:
    migrated, created = (postgres.url(postgres.fresh()) for _ in range(2))
    upgrade_to(migrated, "head")
    migrate(created, backup_to=tmp_path)
    assert shape(migrated) == shape(created)
    engine = migration_engine(migrated)
    with engine.connect() as conn:
        assert compare_metadata(MigrationContext.configure(conn, opts={"compare_type": True}), metadata) == []
    engine.dispose()


def test_the_versions_known_by_file_name_are_those_of_the_scripts_in_order() -> None:
    scripts = ScriptDirectory.from_config(_config())
    assert [each.revision for each in scripts.walk_revisions()] == known_versions()[::-1]
    assert scripts.get_current_head() == newest()


@pytest.mark.sqlite  # about the modes of its files and where they are copied
def test_a_fresh_database_is_made_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'var' / 'gateway.db'}"
    assert migrate(url, backup_to=tmp_path / "backups") == ""
    assert migrate(url, backup_to=tmp_path / "backups") == newest()
    assert not (tmp_path / "backups").exists()
    assert (tmp_path / "var" / "gateway.db").stat().st_mode & 0o077 == 0, "people's mail is nobody else's"


@pytest.mark.sqlite  # of PostgreSQL operators make the copy
def test_an_older_database_is_copied_then_upgraded(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    upgrade_to(f"sqlite:///{path}", "0001")
    with sqlite3.connect(path) as conn:
        conn.execute("INSERT INTO cursor VALUES ('mail', 'support', 'inbox', '17')")
    conn.close()
    assert migrate(f"sqlite:///{path}", backup_to=tmp_path / "backups") == "0001"
    copy = tmp_path / "backups" / "gateway-0001.db"
    assert copy.stat().st_mode & 0o777 == 0o600
    for database, tables in ((copy, False), (path, True)):
        with sqlite3.connect(database) as conn:
            assert conn.execute("SELECT value FROM cursor").fetchall() == [("17",)]
            assert bool(conn.execute("SELECT 1 FROM sqlite_master WHERE name = 'outbox'").fetchall()) is tables
        conn.close()


def some_value(column: Column[Any]) -> Any:
    """The same for every column of a type, so that what refers to another row finds it."""
    for kind, value in ((Boolean, True), (Integer, 1), (Float, 1.0), (LargeBinary, b"x"), (JSON, {"x": [1]})):
        if isinstance(column.type, kind):
            return value
    return "x"


MOVED = {"identity": {"unreachable_at", "unreachable_why"}}
"""Columns whose values stand in a table of their own since a version."""


def fill(conn: Connection, kept: dict[str, Mapping[str, Any]]) -> None:
    """One row in every table that has none yet; noted in `kept`, as what a version has moved there is."""
    found = MetaData()
    found.reflect(conn)
    for table in found.sorted_tables:
        if table.name in kept or table.name == "alembic_version":
            continue
        if (moved := conn.execute(select(table)).mappings().one_or_none()) is not None:
            kept[table.name] = dict(moved)
            continue
        kept[table.name] = {column.name: some_value(column) for column in table.c}
        conn.execute(insert(table).values(kept[table.name]))


def test_a_filled_database_keeps_its_rows_through_every_version(bare_url: str, tmp_path: Path) -> None:
    revisions = [one.revision for one in ScriptDirectory.from_config(_config()).walk_revisions()][::-1]
    kept: dict[str, Mapping[str, Any]] = {}
    for revision in revisions:
        upgrade_to(bare_url, revision)
        engine = migration_engine(bare_url)
        with engine.begin() as conn:
            fill(conn, kept)
        engine.dispose()
    assert migrate(bare_url, backup_to=tmp_path / "backups") == newest()
    assert kept.keys() == metadata.tables.keys()
    engine = migration_engine(bare_url)
    with engine.connect() as conn:
        found = MetaData()
        found.reflect(conn)
        for name, wanted in kept.items():
            (row,) = conn.execute(select(found.tables[name])).mappings().all()
            wanted = {key: value for key, value in wanted.items() if key not in MOVED.get(name, ())}
            assert {key: value for key, value in row.items() if key in wanted} == wanted, name
    engine.dispose()


def test_who_was_out_of_reach_is_so_by_the_channel_that_said_so(bare_url: str, tmp_path: Path) -> None:
    upgrade_to(bare_url, "0008")
    run(
        bare_url,
        "INSERT INTO contact (id, name, created_at) VALUES (1, 'Anna', 0)",
        "INSERT INTO identity VALUES ('phone', '+380670000001', 1, 7, '30005')",
        "INSERT INTO identity VALUES ('mail', 'a@client.example', 1, 8, '5.1.1')",
        "INSERT INTO identity VALUES ('telegram', '101', 1, NULL, '')",
    )
    migrate(bare_url, backup_to=tmp_path / "backups")
    engine = migration_engine(bare_url)
    with engine.connect() as conn:
        marks = conn.execute(text("SELECT kind, value, channel, why, at FROM unreachable ORDER BY at")).all()
        known = conn.scalar(text("SELECT count(*) FROM identity WHERE contact_id = 1"))
    engine.dispose()
    assert [tuple(mark) for mark in marks] == [
        ("phone", "+380670000001", "sms", "30005", 7), ("mail", "a@client.example", "mail", "5.1.1", 8),
    ]  # fmt: skip
    assert known == 3


def test_an_upgrade_that_dies_half_way_leaves_the_old_schema_and_its_rows(bare_url: str, tmp_path: Path) -> None:
    upgrade_to(bare_url, "0001")
    run(
        bare_url,
        "CREATE TABLE token (id INTEGER)",  # the last table of revision 0002 is in the way
        "INSERT INTO cursor VALUES ('mail', 'support', 'inbox', '17')",
    )
    before = shape(bare_url)
    with pytest.raises(Exception, match="already exists"):
        migrate(bare_url, backup_to=tmp_path / "backups")
    assert shape(bare_url) == before
    run(bare_url, "DROP TABLE token")
    assert migrate(bare_url, backup_to=tmp_path / "backups") == "0001"
    engine = migration_engine(bare_url)
    with engine.connect() as conn:
        assert conn.scalars(select(metadata.tables["cursor"].c.value)).all() == ["17"]
    engine.dispose()


def test_a_new_database_is_made_whole_or_not_at_all(
    bare_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as faulty:
        # The last of its tables is in the way of the first.
        faulty.setattr(
            "gateway.store.migrate.VERSION_TABLE", f"CREATE TABLE {metadata.sorted_tables[0].name} (x INTEGER)"
        )
        with pytest.raises(Exception, match="already exists"):
            migrate(bare_url, backup_to=tmp_path / "backups")
    assert shape(bare_url) == {}
    assert migrate(bare_url, backup_to=tmp_path / "backups") == ""
    assert migrate(bare_url, backup_to=tmp_path / "backups") == newest()


def test_a_newer_database_is_refused_and_both_versions_are_named(bare_url: str, tmp_path: Path) -> None:
    migrate(bare_url, backup_to=tmp_path)
    run(bare_url, "UPDATE alembic_version SET version_num = '0999'")
    with pytest.raises(SchemaTooNew, match=f"0999.*{newest()}"):
        migrate(bare_url, backup_to=tmp_path)


def test_nodes_that_start_together_on_an_old_filled_database_take_turns(postgres: Server, tmp_path: Path) -> None:
    url = postgres.url(postgres.fresh())
    upgrade_to(url, "0001")
    run(url, "INSERT INTO cursor VALUES ('mail', 'support', 'inbox', '17')")
    with ThreadPoolExecutor(3) as nodes:
        found = list(nodes.map(lambda _: migrate(url, backup_to=tmp_path), range(3)))
    assert sorted(found) == ["0001", newest(), newest()]
    engine = migration_engine(url)
    with engine.connect() as conn:
        assert conn.scalar(select(func.count()).select_from(metadata.tables["cursor"])) == 1
    engine.dispose()


def test_nodes_that_start_together_on_an_empty_database_take_turns(postgres: Server, tmp_path: Path) -> None:
    url = postgres.url(postgres.fresh())
    with ThreadPoolExecutor(3) as nodes:
        found = list(nodes.map(lambda _: migrate(url, backup_to=tmp_path), range(3)))
    assert sorted(found) == ["", newest(), newest()]
    assert shape(url).keys() == {*metadata.tables, "alembic_version"}
