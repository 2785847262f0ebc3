"""A desk is backed up while it works, and what is restored is whole, silent and issues no number twice."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from pathlib import Path

import pytest

from gateway.store.lock import ServerLock
from tests.gateway.cli.running import PATIENCE, ROOT, Desk, gateway, mail_bytes, query, serving, told, wait_for

pytestmark = pytest.mark.xdist_group("backup")  # one worker: the small desk is made once

BIG = "A long log line of a machine that fails.\n" * 12_000
"""Above what stands in a row, so its mail is a blob."""

FREELY = "--set=caps.per_account_minute=100000"
"""The brake on automatic mail would keep quiet about a load like this."""


class Load:
    """Senders that go on until they are stopped, and what was acknowledged to them."""

    def __init__(self, desk: Desk) -> None:
        self.acknowledged: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(desk, number)) for number in range(3)]
        for thread in self._threads:
            thread.start()

    def _send(self, desk: Desk, number: int) -> None:
        count = 0
        while not self._stop.is_set():
            count += 1
            key = f"load-{number}-{count}"
            sent = desk.mail(key, mail_bytes(key, BIG + key) if count % 10 == 0 else None)
            self.acknowledged.append(hashlib.sha256(sent).hexdigest())
            self._stop.wait(0.01)  # a slow machine has only so many to file in the end

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(2 * PATIENCE)


@pytest.mark.timeout(400)
def test_a_backup_under_load_is_whole_and_its_copy_writes_to_nobody(tmp_path: Path) -> None:
    var, copy, folder = tmp_path / "var", tmp_path / "copy", tmp_path / "backup"
    config = _configuration(tmp_path)
    var.mkdir()
    with serving(var, FREELY, config=config) as desk:
        load = Load(desk)
        try:
            wait_for("some load", lambda: len(load.acknowledged) > 40 or None)
            before = list(load.acknowledged)
            gateway("backup", str(folder), var=var, config=config)
            wait_for("more load", lambda: len(load.acknowledged) > len(before) + 20 or None)
        finally:
            load.stop()
        desk.filed(len(load.acknowledged))
        lost = {row[0] for row in desk.query("SELECT number FROM ticket")}
        last_ids = {row[0] for row in desk.query("SELECT message_id FROM outbox WHERE message_id IS NOT NULL")}

    saved = dict(query(folder / "gateway.db", "SELECT sha256, blob FROM entry"))
    assert set(before) <= set(saved), "what was acknowledged before the backup began is in it"
    blobs = [name for name in saved.values() if name]
    assert blobs, "the load had big mails"
    for name in blobs:
        assert hashlib.sha256((folder / "blobs" / name[:2] / name).read_bytes()).hexdigest() == name
    _no_secret(folder)

    said = gateway("restore", str(folder), var=copy, config=config).stdout
    assert "Nothing goes out" in said
    with serving(copy, FREELY, config=config) as desk:
        known = desk.query("SELECT count(*) FROM entry WHERE channel = 'mail'")[0][0]
        sent = desk.mail("after")
        desk.filed(known + 1)
        status = told("status", var=copy)
        assert status["outbox"]["held_since"] is not None and status["outbox"]["due"] > 0
        assert status["outbox"]["held_sources"]
        assert "HELD" in gateway("status", var=copy, code=None).stdout
        number = desk.query(
            f"SELECT number FROM ticket JOIN entry ON entry.id = entry_id WHERE sha256 = '{_sha(sent)}'"
        )
        assert number[0][0] not in lost, "a number is issued twice"
        fresh = {row[0] for row in desk.query("SELECT message_id FROM outbox WHERE attempts = 0 AND state = 'waiting'")}
        chosen = {
            row[0] for row in desk.query("SELECT message_id FROM outbox WHERE recipient = 'after@client.example'")
        }
        assert chosen and chosen <= fresh and not chosen & last_ids, "a Message-ID is chosen twice"
        assert not list(copy.rglob("*.eml")), "a restored copy wrote to somebody"
        gateway("outbox", "release", var=copy)
        wait_for("the mail", lambda: any("after@client" in p.read_text() for p in copy.glob("outgoing/*.eml")) or None)
        assert told("status", var=copy)["outbox"]["held_since"] is None


def _configuration(folder: Path) -> Path:
    """A configuration with a secret in a file beside it; nothing goes out through its relay."""
    config = folder / "config"
    config.mkdir()
    for path in (ROOT / "config").rglob("*"):
        target = config / path.relative_to(ROOT / "config")
        if path.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    secret = config / "relay-password.txt"
    secret.write_text("correct-horse-battery\n")
    text = (config / "gateway.yaml").read_text(encoding="utf-8")
    quiet = f"""      timezone: UTC
    quiet:
      addresses: [quiet@desk.example]
      outbound: "off"
      relay: {{host: 127.0.0.1, port: 1, user: desk, password: "file:{secret}"}}
"""
    (config / "gateway.yaml").write_text(text.replace("      timezone: UTC\n", quiet, 1), encoding="utf-8")
    return config


def _no_secret(folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert (folder / "config" / "gateway.yaml").exists() and (folder / "key").stat().st_mode & 0o077 == 0
    assert not [path for path in files if b"correct-horse" in path.read_bytes()]
    assert not (folder / "token").exists()


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(scope="module")
def desk_and_backup(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small desk that was stopped (`var`), and a backup of it (`backup`)."""
    folder = tmp_path_factory.mktemp("small")
    (folder / "var").mkdir()
    with serving(folder / "var") as desk:
        desk.mail("one", mail_bytes("one", BIG))
        desk.filed(1)
    gateway("backup", str(folder / "backup"), var=folder / "var")
    return folder


@pytest.fixture
def backup(desk_and_backup: Path, tmp_path: Path) -> Path:
    """A copy of both, to be damaged at will."""
    shutil.copytree(desk_and_backup, tmp_path, dirs_exist_ok=True)
    return tmp_path / "backup"


@pytest.mark.parametrize("part", ["gateway.db", "blob", "missing", "manifest"])
def test_a_damaged_backup_is_refused_and_nothing_is_restored(backup: Path, tmp_path: Path, part: str) -> None:
    blob = next(path for path in (backup / "blobs").rglob("*") if path.is_file())
    match part:
        case "gateway.db":
            content = bytearray((backup / "gateway.db").read_bytes())
            content[-100] ^= 1
            (backup / "gateway.db").write_bytes(content)
        case "blob":
            blob.write_bytes(blob.read_bytes()[:-1] + b"?")
        case "missing":
            blob.unlink()
        case _:
            (backup / "manifest.json").unlink()
    said = gateway("restore", str(backup), var=tmp_path / "copy", code=1)
    assert "damaged" in said.stderr or "no complete backup" in said.stderr
    assert not (tmp_path / "copy" / "gateway.db").exists()


def test_nothing_is_overwritten_and_nobody_is_disturbed(backup: Path, tmp_path: Path) -> None:
    assert "not empty" in gateway("backup", str(backup), var=tmp_path / "var", code=1).stderr
    assert "a desk already" in gateway("restore", str(backup), var=tmp_path / "var", code=1).stderr
    with ServerLock(tmp_path / "free" / "lock"):
        assert "already serves" in gateway("restore", str(backup), var=tmp_path / "free", code=1).stderr


def test_a_blob_that_went_bad_is_told(tmp_path: Path, backup: Path) -> None:
    blob = next(path for path in (tmp_path / "var" / "blobs").rglob("*") if path.is_file())
    blob.write_bytes(b"other bytes")
    said = gateway("backup", str(tmp_path / "second"), var=tmp_path / "var", code=1)
    assert blob.name in said.stderr


def test_the_restored_desk_tells_where_it_comes_from(backup: Path, tmp_path: Path) -> None:
    copy, config = tmp_path / "copy", tmp_path / "config-again"
    said = gateway("restore", str(backup), "--skip", "50", "--config-into", str(config), var=copy)
    assert "1 tickets and 1 blobs" in said.stdout
    assert (config / "gateway.yaml").exists()
    made_at = json.loads((backup / "manifest.json").read_text())["made_at"][:10]
    rows = query(copy / "gateway.db", "SELECT id, subject, status FROM ticket ORDER BY id")
    assert [row[0] for row in rows] == [1, 51] and made_at in rows[1][1] and rows[1][2] == "closed"
    assert query(copy / "gateway.db", "SELECT max(id) FROM entry") == [(51,)]
    # A write's id is in the key under which a ticket store takes it: the lost desk's must not come again.
    assert query(copy / "gateway.db", "SELECT max(id), max(state) FROM feed_write") == [(50, "skipped")]
    with serving(copy, config=config) as desk:
        gateway("outbox", "release", "--drop-waiting", var=copy)
        desk.mail("two")
        desk.filed(2)
        assert desk.query("SELECT id FROM ticket ORDER BY id DESC LIMIT 1") == [(52,)]
        assert gateway("tickets", "list", var=copy).returncode == 0


def test_the_key_is_in_a_backup_or_is_left_out_and_brought_back(desk_and_backup: Path, tmp_path: Path) -> None:
    whole, without = desk_and_backup / "backup", tmp_path / "without"
    var = Path(shutil.copytree(desk_and_backup / "var", tmp_path / "var"))
    key = (var / "key").read_bytes()
    assert (whole / "key").read_bytes() == key
    assert (whole / "key").stat().st_mode & 0o077 == 0
    assert "key" in json.loads((whole / "manifest.json").read_text())["files"]

    gateway("backup", str(without), "--without-key", var=var)
    assert not (without / "key").exists()
    assert "key" not in json.loads((without / "manifest.json").read_text())["files"]
    assert not [path for path in without.rglob("*") if path.is_file() and key.strip() in path.read_bytes()]

    # A desk without its key makes another.
    for name, folder, known in (("whole", whole, True), ("without", without, False), ("kept", without, True)):
        copy = tmp_path / f"copy-{name}"
        said = gateway("restore", str(folder), var=copy)
        assert ("no key in this backup" in said.stdout) == (folder is without)
        if name == "kept":
            (copy / "key").write_bytes(key)
            (copy / "key").chmod(0o600)
        with serving(copy):
            assert ((copy / "key").read_bytes() == key) == known, name
