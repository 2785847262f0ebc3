"""What a process loads: a worker neither a database nor a web server, a desk on SQLite no driver of another."""

from __future__ import annotations

import subprocess
import sys

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
