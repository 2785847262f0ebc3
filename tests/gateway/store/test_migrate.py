"""The schema comes from migrations, and they make exactly what `schema.metadata` says."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from gateway.store.database import SchemaTooNew, migrate
from gateway.store.migrate import _config, known_versions, newest
from gateway.store.schema import metadata
from gateway.store.sqlite import make_engine


def definitions(path: Path) -> dict[str, list[str]]:
    """Name -> words of the SQL of every table and index; the order of constraints says nothing."""
    with sqlite3.connect(path) as conn:
        rows = conn.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name != 'alembic_version'")
        found = {name: sorted(re.split(r",\s+|\s*\n\s*", sql.removesuffix("\n)"))) for name, sql in rows}
    conn.close()
    return found


def upgrade_to(url: str, revision: str) -> None:
    engine = make_engine(url, "checkpoint", busy_timeout=1.0)
    with engine.connect() as conn:
        config = _config()
        config.attributes["connection"] = conn
        command.upgrade(config, revision)
    engine.dispose()


def test_the_migrated_database_is_what_the_metadata_says(tmp_path: Path) -> None:
    migrate(f"sqlite:///{tmp_path / 'migrated.db'}", backup_to=tmp_path)
    created = create_engine(f"sqlite:///{tmp_path / 'created.db'}")
    metadata.create_all(created)
    created.dispose()
    assert definitions(tmp_path / "migrated.db") == definitions(tmp_path / "created.db")
    engine = create_engine(f"sqlite:///{tmp_path / 'migrated.db'}")
    with engine.connect() as conn:
        assert compare_metadata(MigrationContext.configure(conn, opts={"compare_type": True}), metadata) == []
    engine.dispose()


def test_the_versions_known_by_file_name_are_those_of_the_scripts_in_order() -> None:
    scripts = ScriptDirectory.from_config(_config())
    assert [each.revision for each in scripts.walk_revisions()] == known_versions()[::-1]
    assert scripts.get_current_head() == newest()


def test_a_fresh_database_is_made_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'var' / 'gateway.db'}"
    assert migrate(url, backup_to=tmp_path / "backups") == ""
    assert migrate(url, backup_to=tmp_path / "backups") == newest()
    assert not (tmp_path / "backups").exists()
    assert (tmp_path / "var" / "gateway.db").stat().st_mode & 0o077 == 0, "people's mail is nobody else's"


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


def test_an_upgrade_that_dies_half_way_leaves_the_old_schema(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    upgrade_to(f"sqlite:///{path}", "0001")
    with sqlite3.connect(path) as conn:
        conn.execute("CREATE TABLE token (id INTEGER)")  # the last table of revision 0002 is in the way
    conn.close()
    before = definitions(path)
    with pytest.raises(Exception, match="already exists"):
        migrate(f"sqlite:///{path}", backup_to=tmp_path / "backups")
    assert definitions(path) == before


def test_a_newer_database_is_refused_and_both_versions_are_named(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'gateway.db'}"
    migrate(url, backup_to=tmp_path)
    with sqlite3.connect(tmp_path / "gateway.db") as conn:
        conn.execute("UPDATE alembic_version SET version_num = '0999'")
    conn.close()
    with pytest.raises(SchemaTooNew, match=f"0999.*{newest()}"):
        migrate(url, backup_to=tmp_path)
