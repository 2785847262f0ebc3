"""What a process loads: a worker neither a database nor a web server, a desk on SQLite no driver of another."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from gateway import schemas
from gateway.store.migrate import migrate

HEAVY = ("sqlalchemy", "alembic", "aiohttp", "pydantic")
"""Of a worker."""


def test_a_worker_imports_neither_database_nor_web_server() -> None:
    program = "import sys, gateway.worker; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "normalizer.normalize" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_a_desk_on_sqlite_does_not_load_the_driver_of_postgresql() -> None:
    program = "import sys, gateway.app, gateway.cli.serve; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "sqlalchemy" in loaded
    assert "psycopg" not in loaded


def test_the_main_process_does_not_load_the_parsers_of_mails() -> None:
    program = "import sys, gateway.app, gateway.cli.serve; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "normalizer.twilio_call" in loaded
    assert loaded.isdisjoint({"normalizer.normalize", "normalizer.mail.read", "normalizer.mail.markup", "nh3"})


def test_a_database_that_is_up_to_date_is_looked_at_without_alembic(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'gateway.db'}"
    migrate(url, backup_to=tmp_path)
    program = (
        "import sys; from pathlib import Path; from gateway.store.migrate import migrate; "
        "assert migrate(sys.argv[1], backup_to=Path(sys.argv[2])); print(*sys.modules)"
    )
    command = [sys.executable, "-c", program, url, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "alembic" not in done.stdout.split()


def test_no_pattern_of_the_settings_counts_a_class_of_all_letters() -> None:
    """`[\\w.-]{1,200}` is two hundred copies of the letters of all scripts: 12 MB. A `max_length` costs nothing."""
    patterns = re.findall(r'"pattern": ("(?:[^"\\]|\\.)*")', json.dumps(schemas.SCHEMAS["gateway.yaml"]()))
    assert patterns
    assert not [each for each in patterns if re.search(r"\\w[^\]]*\]?\{\d", json.loads(each))]
