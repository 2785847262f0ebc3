"""The site of a desk, on a real port."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.store.blobs import Blobs
from gateway.store.database import Database
from tests.gateway.conftest import FrozenClock
from tests.gateway.staffed import Site, served


@pytest.fixture
async def site(db: Database, blobs: Blobs, clock: FrozenClock, tmp_path: Path) -> AsyncIterator[Site]:
    async with served(db, blobs, clock, tmp_path) as running:
        yield running
