"""A Dovecot for each test, and a database of each kind where a test asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres import TEMPLATE, Server
from tests.services.dovecot import Dovecot, dovecot


@pytest.fixture
def server() -> Iterator[Dovecot]:
    """A running server, empty."""
    with dovecot() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, ...]:
    """Settings of a gateway on a database of this kind, for `overrides`."""
    if request.param == "sqlite":
        return ()
    postgres: Server = request.getfixturevalue("postgres")
    key = tmp_path / "common-key"
    key.write_text("the same key for all nodes")
    return (f"database.url={postgres.url(postgres.fresh(TEMPLATE))}", f"secret_key=file:{key}")
