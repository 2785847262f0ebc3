"""Stores that desks have: one of each for all tests of a process; what a test writes there has its own keys."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.feeds import servers_mariadb
from tests.feeds.servers_mariadb import MariaServer
from tests.feeds.servers_redmine import Redmine, redmine_server
from tests.feeds.servers_rt import Rt, request_tracker


@pytest.fixture(scope="session")
def rt() -> Iterator[Rt]:
    """A running Request Tracker."""
    with request_tracker() as running:
        yield running


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaServer]:
    """A running MariaDB."""
    with servers_mariadb.running() as server:
        yield server


@pytest.fixture(scope="session")
def redmine() -> Iterator[Redmine]:
    """A running Redmine."""
    with redmine_server() as running:
        yield running
