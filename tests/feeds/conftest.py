"""One Request Tracker and one Redmine for all tests of a process; what a test writes there has its own keys."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.feeds.servers_redmine import Redmine, redmine_server
from tests.feeds.servers_rt import Rt, request_tracker


@pytest.fixture(scope="session")
def rt() -> Iterator[Rt]:
    """A running server."""
    with request_tracker() as running:
        yield running


@pytest.fixture(scope="session")
def redmine() -> Iterator[Redmine]:
    """A running server."""
    with redmine_server() as running:
        yield running
