"""What the gateway's tests share: a real database and blobs in a temporary folder, and a clock that stands."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.store.blobs import Blobs
from gateway.store.database import Database, migrate, open_database
from tests.postgres import TEMPLATE, Server

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


ON_BOTH = (
    "store/",
    "test_pipeline",
    "test_outbox",
    "test_filing",
    "test_timers",
    "test_surveys",
    "test_clocks",
    "test_leases",
    "test_incidents",
    "test_story_machine",
    "test_bot_kill",
    "test_fetching_kill",
    "test_feeds",
)
"""Where the databases could differ: what locks, claims, orders, counts. `--postgresql` runs the rest there, too."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What uses the database, and is not marked `sqlite`, runs on both kinds where they could differ."""
    for name in {"db_url", "bare_url"} & {*metafunc.fixturenames}:
        _on_both(metafunc, name)


def _on_both(metafunc: pytest.Metafunc, name: str) -> None:
    place = metafunc.definition.path.relative_to(Path(__file__).parent).as_posix()
    both = place.startswith(ON_BOTH) or metafunc.config.getoption("--postgresql")
    only = metafunc.definition.get_closest_marker("sqlite") is not None or not both
    metafunc.parametrize(name, ["sqlite"] if only else ["sqlite", "postgresql"], indirect=True)


@pytest.fixture(scope="session")
def pg_database(postgres: Server) -> str:
    """One database for all tests of a process: each finds it empty."""
    return postgres.fresh(TEMPLATE)


@pytest.fixture
def pg_url(postgres: Server, pg_database: str) -> str:
    """An empty PostgreSQL database with the schema, not yet opened."""
    postgres.empty(pg_database)
    return postgres.url(pg_database)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty SQLite database with the schema, to be copied."""
    path = tmp_path_factory.mktemp("template") / "gateway.db"
    migrate(f"sqlite:///{path}", backup_to=path.parent)
    return path


@pytest.fixture
def db_url(tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """A database with the schema, not yet opened; of the kind that the parameter says."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("pg_url"))
    shutil.copyfile(request.getfixturevalue("sqlite_template"), tmp_path / "gateway.db")
    return f"sqlite:///{tmp_path / 'gateway.db'}"


@pytest.fixture
def bare_url(tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """A database without anything in it; of the kind that the parameter says."""
    if request.param == "postgresql":
        server: Server = request.getfixturevalue("postgres")
        return server.url(server.fresh())
    return f"sqlite:///{tmp_path / 'gateway.db'}"


@pytest.fixture
def emptied(db_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[], str]:
    """Makes the test's database as it was at first and gives its URL; nobody may have it open."""

    def again() -> str:
        if db_url.startswith("sqlite"):
            for end in ("", "-wal", "-shm"):
                (tmp_path / f"gateway.db{end}").unlink(missing_ok=True)
            shutil.copyfile(request.getfixturevalue("sqlite_template"), tmp_path / "gateway.db")
        else:
            request.getfixturevalue("postgres").empty(request.getfixturevalue("pg_database"))
        return db_url

    return again


@pytest.fixture
async def db(db_url: str) -> AsyncIterator[Database]:
    """An open, empty database."""
    database = open_database(db_url, readers=2, busy_timeout=30.0)
    yield database
    await database.close()


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")
