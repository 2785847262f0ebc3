"""What a process loads: a worker neither a database nor a web server, a desk on SQLite no driver of another, a command
nothing that it has no use for. Every start pays for it."""

from __future__ import annotations

import gc
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gateway import schemas
from gateway.loading import unswept

HEAVY = ("sqlalchemy", "alembic", "aiohttp", "pydantic")
"""Of a worker."""


def loaded_by(program: str, *words: str) -> set[str]:
    """The modules that a Python has after it."""
    command = [sys.executable, "-c", f"import sys; {program}; print(*sys.modules)", *words]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def test_a_worker_imports_neither_database_nor_web_server() -> None:
    loaded = loaded_by("import gateway.worker")
    assert "normalizer.normalize" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_a_desk_loads_no_driver_parser_or_store_that_it_does_not_use() -> None:
    loaded = loaded_by("import gateway.app, gateway.cli.serve")
    assert {"sqlalchemy", "normalizer.twilio_call", "gateway.feeds.running"} <= loaded
    assert "psycopg" not in loaded, "it is on SQLite"
    assert loaded.isdisjoint({"normalizer.normalize", "normalizer.mail.read", "normalizer.mail.markup", "nh3"})
    assert loaded.isdisjoint({"gateway.feeds.registry", "gateway.feeds.sql_table", "gateway.feeds.rt"}), (
        "it has no feed"
    )


@pytest.mark.parametrize("command", ["check", "restore", "backup", "prompts", "status", "tickets"])
def test_a_command_that_serves_nothing_loads_no_web_server(command: str) -> None:
    loaded = loaded_by(f"import gateway.cli.{command}")
    assert f"gateway.cli.{command}" in loaded
    assert loaded.isdisjoint({"aiohttp", "gateway.app", "gateway.feeds.registry"})


def test_a_new_database_and_one_that_is_up_to_date_need_no_alembic(tmp_path: Path) -> None:
    program = (
        "from pathlib import Path; from gateway.store.migrate import migrate; "
        "found = [migrate(sys.argv[1], backup_to=Path(sys.argv[2])) for _ in range(2)]; "
        "assert found[1] > found[0] == ''"
    )
    loaded = loaded_by(program, f"sqlite:///{tmp_path / 'gateway.db'}", str(tmp_path))
    assert "sqlalchemy" in loaded
    assert "alembic" not in loaded


def test_the_meanings_of_keys_are_read_when_a_schema_is_asked_for() -> None:
    counted = "from channels.described import _of_module as of; print(of.cache_info().currsize)"
    assert loaded_by(f"import gateway.app; {counted}") >= {"channels.described", "0"}


def test_garbage_is_looked_for_again_after_loading_whatever_happened() -> None:
    with unswept():
        assert not gc.isenabled()
        with unswept():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(KeyError), unswept():
        raise KeyError
    assert gc.isenabled()


def test_no_pattern_of_the_settings_counts_a_class_of_all_letters() -> None:
    """`[\\w.-]{1,200}` is two hundred copies of the letters of all scripts: 12 MB. A `max_length` costs nothing."""
    patterns = re.findall(r'"pattern": ("(?:[^"\\]|\\.)*")', json.dumps(schemas.SCHEMAS["gateway.yaml"]()))
    assert patterns
    assert not [each for each in patterns if re.search(r"\\w[^\]]*\]?\{\d", json.loads(each))]
