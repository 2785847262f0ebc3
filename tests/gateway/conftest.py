"""What the gateway's tests share: a real database and blobs in a temporary folder, and a clock that stands."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.store.blobs import Blobs
from gateway.store.database import Database, migrate, open_database
from tests.postgres import TEMPLATE, Server, with_template

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
)
"""Where the databases could differ: what locks, claims, orders, counts. `--postgresql` runs the rest there, too."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What uses the database, and is not marked `sqlite`, runs on both kinds where they could differ."""
    if "db_url" not in metafunc.fixturenames:
        return
    place = metafunc.definition.path.relative_to(Path(__file__).parent).as_posix()
    both = place.startswith(ON_BOTH) or metafunc.config.getoption("--postgresql")
    only = metafunc.definition.get_closest_marker("sqlite") is not None or not both
    metafunc.parametrize("db_url", ["sqlite"] if only else ["sqlite", "postgresql"], indirect=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """One server for all tests of a process, with a template."""
    with with_template() as server:
        yield server


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
async def db(db_url: str) -> AsyncIterator[Database]:
    """An open, empty database."""
    database = open_database(db_url, readers=2, busy_timeout=2.0)
    yield database
    await database.close()


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")
