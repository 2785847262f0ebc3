"""A worker process stays small: it parses and routes, and needs neither a database nor a web server."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("sqlalchemy", "alembic", "aiohttp", "pydantic")


def test_a_worker_imports_neither_database_nor_web_server() -> None:
    program = "import sys, gateway.worker; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "normalizer.normalize" in loaded
    assert loaded.isdisjoint(HEAVY)
