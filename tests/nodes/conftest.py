"""A PostgreSQL server for the tests of several nodes."""

from __future__ import annotations

import pytest

from tests.postgres import TEMPLATE, Server


@pytest.fixture
def server(postgres: Server) -> Server:
    """The server that all tests of a process share."""
    return postgres


@pytest.fixture
def database(server: Server) -> str:
    """The name of an empty database with the schema."""
    return server.fresh(TEMPLATE)
