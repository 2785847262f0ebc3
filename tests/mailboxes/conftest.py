"""A Dovecot for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.services.dovecot import Dovecot, dovecot


@pytest.fixture
def server() -> Iterator[Dovecot]:
    """A running server, empty."""
    with dovecot() as running:
        yield running
