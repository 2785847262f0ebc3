"""What the gateway's tests share: a real database and blobs in a temporary folder, and a clock that stands."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.store.blobs import Blobs
from gateway.store.database import Database, migrate, open_database

START = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
"""A Monday morning."""


class FrozenClock:
    """A `channels.contract.Clock` that moves only when told to."""

    def __init__(self, now: datetime = START) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def forward(self, by: timedelta) -> datetime:
        """Move on and return the new time."""
        self.now += by
        return self.now


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


@pytest.fixture
def db_url(tmp_path: Path) -> str:
    """A database with the schema, not yet opened."""
    url = f"sqlite:///{tmp_path / 'gateway.db'}"
    migrate(url, backup_to=tmp_path / "backups")
    return url


@pytest.fixture
async def db(db_url: str) -> AsyncIterator[Database]:
    """An open, empty database."""
    database = open_database(db_url, readers=2, busy_timeout=2.0)
    yield database
    await database.close()


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")
