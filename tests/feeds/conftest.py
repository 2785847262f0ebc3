"""Databases of desks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.feeds import servers_mariadb
from tests.feeds.servers_mariadb import MariaServer


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaServer]:
    """One MariaDB for all tests of a process."""
    with servers_mariadb.running() as server:
        yield server
