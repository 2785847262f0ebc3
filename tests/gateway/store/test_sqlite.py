"""A database that could lose what was acknowledged is not opened."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from gateway.store.checkpoints import Checkpoints, Gate
from gateway.store.database import Database, UnsafeDatabase, open_database
from gateway.store.sqlite import file_system_of, make_engine, refuse_network_file_system

pytestmark = pytest.mark.sqlite  # files, PRAGMAs and the WAL; of PostgreSQL in test_postgres.py

MOUNTS = r"""21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
40 21 0:30 / /mnt/my\040share rw - nfs4 files.example:/x rw
41 21 0:31 / /mnt/local rw,noatime shared:3 master:1 - xfs /dev/sdb1 rw
42 41 0:32 / /mnt/local/far rw - fuse.sshfs me@files.example: rw
broken line
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/gateway", "ext4"),
        ("/mnt/my share/gateway", "nfs4"),
        ("/mnt/local/gateway", "xfs"),
        ("/mnt/local/far/gateway", "fuse.sshfs"),
        ("/mnt/localfar", "ext4"),
    ],
)
def test_the_file_system_of_a_path(path: str, kind: str) -> None:
    assert file_system_of(Path(path), MOUNTS) == kind


def test_a_wal_on_a_network_file_system_is_refused() -> None:
    with pytest.raises(UnsafeDatabase, match=r"/mnt/local/far .*fuse\.sshfs.*local disk"):
        refuse_network_file_system(Path("/mnt/local/far/gateway.db"), MOUNTS)
    refuse_network_file_system(Path("/mnt/local/gateway.db"), MOUNTS)
    refuse_network_file_system(Path("/anything"), "")


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:////{folder}/g.db?synchronous=OFF",
        "sqlite:////{folder}/g.db?synchronous=normal",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:g.db",
        "postgresql+asyncpg://localhost/gateway",
    ],
)
def test_what_is_not_safe_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(UnsafeDatabase, match=r"database\.url"):
        open_database(url.format(folder=tmp_path))


async def test_every_connection_is_as_it_must_be(db: Database) -> None:
    wanted = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "wal_autocheckpoint": 0}
    for call, read_only in ((db.write, 0), (db.read, 1)):
        found = await call(
            lambda conn: {name: conn.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in [*wanted, "query_only"]}
        )
        assert found == wanted | {"query_only": read_only}


async def test_the_wal_does_not_grow_beside_a_busy_writer(db_url: str, tmp_path: Path) -> None:
    writer = sqlite3.connect(tmp_path / "gateway.db", isolation_level=None, check_same_thread=False)
    writer.execute("PRAGMA wal_autocheckpoint=0")
    gate = Gate()
    checkpoints = Checkpoints(make_engine(db_url, "checkpoint", busy_timeout=0.0), interval=0.001, long_wal=200)
    checkpoints.start(gate)
    wal = tmp_path / "gateway.db-wal"
    longest = unchanged = 0
    for number in range(20_000):
        with gate.passed():
            writer.execute("INSERT INTO cursor VALUES ('a', 'b', ?, ?)", (str(number), "x" * 3000))
        checkpoints.wanted.set()
        size = wal.stat().st_size
        longest, unchanged = max(longest, size), 0 if size > longest else unchanged + 1
        if unchanged == 1500:
            break
    checkpoints.stop()
    writer.close()
    assert checkpoints.failures == 0
    # The other thread may have to wait for a processor, and the WAL grows meanwhile; but not with every commit.
    assert unchanged == 1500, f"{longest} bytes after {number + 1} commits"


async def test_closing_leaves_no_wal_behind(db_url: str, tmp_path: Path) -> None:
    db = open_database(db_url)
    await db.write(lambda conn: conn.exec_driver_sql("INSERT INTO cursor VALUES ('a', 'b', 'c', 'd')"))
    await db.close()
    await db.close()
    assert not (tmp_path / "gateway.db-wal").exists()
