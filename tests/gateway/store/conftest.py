"""A plain connection for the tests of the store."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection

from tests.gateway.databases import writer_engine


@pytest.fixture
def conn(db_url: str) -> Iterator[Connection]:
    """A connection as the writer has it, to an empty database."""
    engine = writer_engine(db_url)
    with engine.connect() as connection:
        yield connection
    engine.dispose()
