"""What staff answer in a store is heard, also when the store could not be read at first."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.feeds.desk import Desk, beside
from tests.feeds.shelf import shelf

pytestmark = pytest.mark.timeout(600)


async def test_an_answer_to_a_ticket_that_came_before_the_store_could_be_read_is_heard(tmp_path: Path) -> None:
    async with shelf(tmp_path) as store:
        store.unreadable = True
        async with beside(store, tmp_path / "var") as it:
            await it.mail()
            await it.until(lambda: _waits(it), "the opening waits")
            assert store.tickets() == []
            store.unreadable = False
            await it.opened()
            store.reply(1, "Have you tried another cable?")
            await it.heard(1, "reply")
            await it.until(lambda: len(it.letters()) == 2, "the answer")
            assert "another cable" in it.said_to()[1]


def _waits(it: Desk) -> bool:
    return bool(
        it.rows("SELECT id FROM feed_write WHERE state = 'waiting' AND detail = 'the store could not be read yet'")
    )
