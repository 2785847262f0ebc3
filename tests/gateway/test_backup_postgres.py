"""A desk on PostgreSQL is backed up, restored to a folder, and brought back to PostgreSQL; the journal is exported."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.store import hold, outbox
from gateway.store.database import open_database
from gateway.store.shared_blobs import SharedBlobs
from tests.gateway.cli.running import gateway
from tests.gateway.conftest import START
from tests.gateway.outgoing import draft
from tests.gateway.store.mails import accept, mail, spooled
from tests.postgres import TEMPLATE, Server

URL = "GATEWAY__DATABASE__URL"
BIG = b"y" * 3_000_000


def count(server: Server, database: str, *tables: str) -> Sequence[object]:
    return [server.run(f"SELECT count(*) FROM {table}", database)[0][0] for table in tables]


@pytest.fixture
async def desk(postgres: Server, tmp_path: Path) -> str:
    """The name of a database with a small and a big mail and a notice that waits; nobody's folder has the big one."""
    name = postgres.fresh(TEMPLATE)
    db = open_database(postgres.url(name))
    node = SharedBlobs(tmp_path / "node", postgres.url(name))
    await accept(db, node, mail("small"))
    await accept(db, node, spooled("big", BIG, tmp_path / "spool"))
    await db.write(lambda conn: outbox.put(conn, draft("waits"), START))
    await db.close()
    node.close()
    shutil.rmtree(tmp_path / "node")
    return name


async def test_a_backup_is_restored_held_and_brought_back(desk: str, postgres: Server, tmp_path: Path) -> None:
    var, back, new = tmp_path / "var", tmp_path / "backup", tmp_path / "new"
    var.mkdir()
    done = await asyncio.to_thread(gateway, "backup", str(back), var=var, **{URL: postgres.url(desk)})
    assert "1 blobs" in done.stdout
    assert not list(var.iterdir()), "it only reads: what is fetched is not left for the server, who may be another user"
    manifest = json.loads((back / "manifest.json").read_text())
    assert [file["size"] for name, file in manifest["files"].items() if name.startswith("blobs/")] == [len(BIG)]

    fresh = postgres.fresh()
    done = await asyncio.to_thread(gateway, "restore", str(back), var=new, code=1, **{URL: postgres.url(fresh)})
    assert "gateway db copy" in done.stderr and "--set database.url=" in done.stderr

    elsewhere = {URL: postgres.url(fresh)}  # as the configuration says it
    done = await asyncio.to_thread(gateway, "restore", str(back), "--set=database.url=", var=new, **elsewhere)
    assert "1 notices wait" in done.stdout
    source = f"sqlite:///{new / 'gateway.db'}"
    done = await asyncio.to_thread(gateway, "db", "copy", source, postgres.url(fresh), var=new)
    assert "entry" in done.stderr, "progress"
    assert count(postgres, fresh, "hold") == [2], "it writes to nobody, and reads nobody"
    own = 1  # the record of the restoration
    assert count(postgres, desk, "entry", "outbox", "blob") == [2, 1, 1]
    assert count(postgres, fresh, "entry", "outbox", "blob") == [2 + own, 1 + own, 1]
    big = "SELECT sha256 FROM entry WHERE blob IS NOT NULL"
    assert postgres.run(big, fresh) == postgres.run(big, desk)
    db = open_database(postgres.url(fresh))
    held = await db.read(hold.get)
    assert held is not None and held.sources
    assert not await db.read(lambda conn: outbox.due(conn, "mail", "support", START, 10))
    await db.close()


async def test_every_byte_is_exported(desk: str, postgres: Server, tmp_path: Path) -> None:
    into, var = tmp_path / "mail", tmp_path / "var"
    done = await asyncio.to_thread(gateway, "journal", "export", str(into), var=var, **{URL: postgres.url(desk)})
    assert "2 messages" in done.stdout
    assert not var.exists()
    sizes = sorted(path.stat().st_size for path in (into / "new").iterdir())
    assert sizes[1] == len(BIG) and sizes[0] < 10_000
