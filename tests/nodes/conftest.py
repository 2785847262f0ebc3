"""A PostgreSQL server for the tests of several nodes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.postgres import TEMPLATE, Server, with_template


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """One server for all tests of a process, with a template."""
    with with_template() as running:
        yield running


@pytest.fixture
def database(server: Server) -> str:
    """The name of an empty database with the schema."""
    return server.fresh(TEMPLATE)
