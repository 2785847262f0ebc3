"""A gateway that is told to stop beside a store that hangs: it ends soon; what was under way is in doubt, not lost."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from tests.feeds.desk import LONG, Ahead, Desk, beside, settings
from tests.feeds.servers_mariadb import MariaServer
from tests.feeds.shelf import shelf
from tests.feeds.test_kills import Gone
from tests.feeds.test_sql_stories import options
from tests.mailboxes.desk import child, running, until
from tests.postgres import Server
from tests.services.cutter import Cutter, cutter

HASTY = Path(__file__).with_name("hasty_child.py")
ENDLESS = {"timeout": "30m", "poll": "1s"}
"""Longer than any wait for an end."""
TABLE = "CREATE TABLE request (id {serial} PRIMARY KEY, code VARCHAR(60) UNIQUE, title VARCHAR(200), state VARCHAR(9))"
MAPPING = """
kind: sql
timezone: UTC
tickets: {table: request, id: id, columns: {code: key, title: subject, state: status}}
map: {status: {new: new, open: open, waiting: waiting, resolved: done, closed: closed, held: held}}
"""


@asynccontextmanager
async def stopped(var: Path, options: tuple[str, ...], store: Any = None) -> AsyncIterator[Desk]:
    """A gateway of its own that is told to stop when the block ends, and has to have ended well soon after."""
    async with child(var, options, script=HASTY) as process:
        await until((var / "listening.json").exists, "the start", LONG)
        yield Desk(var=var, store=store, running=cast("Any", Gone(var)))
        os.kill(process.pid, signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), LONG) == 0, (var / "child.log").read_text()[-3000:]
    (var / "listening.json").unlink(missing_ok=True)


@pytest.mark.timeout(600)
async def test_what_hangs_is_broken_off_and_asked_for_after_the_next_start(tmp_path: Path) -> None:
    var = tmp_path / "var"
    async with shelf(tmp_path) as store:
        store.mishaps = [("open", "done never"), ("changes", "never")]
        async with stopped(var, settings(store, feed=ENDLESS), store) as it:
            await it.mail()
            await until(lambda: {"open", "changes"} <= {*store.seen}, "the push and the look", LONG)
        async with beside(store, var, clock=Ahead(hours=1)) as again:
            await again.until(lambda: again.writes() == [("open", "done")], "it was written")
        assert len(store.tickets()) == 1
        # What it had done is found and not done again.
        assert store.seen.count("open") == 1


async def _beside_tables_that_hang(url: str, wire: Cutter, tmp_path: Path) -> None:
    """The network to the desk's tables is gone without a word, while we write and read there."""
    secret, var = tmp_path / "url", tmp_path / "var"
    secret.write_text(url)
    async with stopped(var, options(MAPPING, f"file:{secret}", **ENDLESS)) as it:
        await it.mail("First")
        await it.opened()
        wire.freeze()
        await it.mail("Second", subject="Second")
        await it.until(lambda: ("open", "sending") in it.writes(), "the second push")
    wire.thaw()
    async with running(var, options(MAPPING, f"file:{secret}"), clock=Ahead(hours=1)) as gateway:
        again = Desk(var=var, store=cast("Any", None), running=gateway)
        await again.until(lambda: again.writes() == [("open", "done")] * 2, "both are there")


@pytest.mark.timeout(600)
async def test_a_database_that_is_gone_without_a_word_keeps_nobody_from_ending(
    postgres: Server, tmp_path: Path
) -> None:
    name = postgres.fresh()
    postgres.run(TABLE.format(serial="SERIAL"), name)
    with cutter(postgres.port) as wire:
        await _beside_tables_that_hang(f"postgresql://postgres@127.0.0.1:{wire.port}/{name}", wire, tmp_path)
    assert postgres.run("SELECT count(*), count(DISTINCT code) FROM request", name) == [(2, 2)]


@pytest.mark.services("mariadbd")
@pytest.mark.xdist_group("mariadb")
@pytest.mark.timeout(600)
async def test_nor_does_mariadb(mariadb: MariaServer, tmp_path: Path) -> None:
    name = mariadb.fresh()
    mariadb.run(TABLE.format(serial="INTEGER AUTO_INCREMENT"), name)
    mariadb.run(
        [
            "CREATE USER IF NOT EXISTS 'hung'@'127.0.0.1' IDENTIFIED BY 'gw-pass'",
            f"GRANT ALL ON {name}.* TO 'hung'@'127.0.0.1'",
        ]
    )
    with cutter(mariadb.port) as wire:
        url = mariadb.url(name, "hung", "gw-pass").replace(f":{mariadb.port}/", f":{wire.port}/")
        await _beside_tables_that_hang(url, wire, tmp_path)
    assert mariadb.run("SELECT count(*), count(DISTINCT code) FROM request", name) == [(2, 2)]
