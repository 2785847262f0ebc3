"""A plain connection for the tests of the store."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection

from gateway.store.dialect import is_postgresql
from tests.gateway.databases import writer_engine


@pytest.fixture
def conn(db_url: str) -> Iterator[Connection]:
    """A connection as the writer has it, to an empty database."""
    engine = writer_engine(db_url)
    with engine.connect() as connection:
        if is_postgresql(connection):  # which cuts off whoever stands still in a transaction for 10 s
            connection.exec_driver_sql("SET idle_in_transaction_session_timeout = 0")
            connection.commit()
        yield connection
    engine.dispose()
