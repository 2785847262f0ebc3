"""`gateway db copy`: every row and blob, compared on both sides, or nothing."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import select, text
from typer.testing import CliRunner

from gateway.cli.db import app
from gateway.cli.options import Failed
from gateway.store import schema
from gateway.store.blobs import Blobs
from gateway.store.copying import CannotCopy, Digest, copy
from gateway.store.database import migrate, open_database
from gateway.store.postgres import make_engine
from gateway.store.shared_blobs import SharedBlobs
from tests.gateway.cli.running import gateway
from tests.gateway.store.mails import accept, mail, spooled
from tests.postgres import Server


@pytest.fixture
async def source(tmp_path: Path) -> str:
    """A SQLite database with a small and a big mail, and text that PostgreSQL would not take."""
    url = f"sqlite:///{tmp_path / 'gateway.db'}"
    migrate(url, backup_to=tmp_path)
    db, blobs = open_database(url), Blobs(tmp_path / "blobs")
    await accept(db, blobs, mail("small"))
    await accept(db, blobs, spooled("big", b"y" * 600_000, tmp_path))
    await db.close()
    with sqlite3.connect(tmp_path / "gateway.db") as conn:
        conn.execute("INSERT INTO cursor VALUES ('mail', 'support', 'inbox', 'a' || char(0) || 'b')")
    conn.close()
    return url


def test_everything_arrives_and_is_the_same(source: str, tmp_path: Path, postgres: Server) -> None:
    target = postgres.url(postgres.fresh())
    result = CliRunner().invoke(app, ["copy", source, target])
    assert result.exit_code == 0, result.output
    assert "entry" in result.output and "the same on both sides" in result.output
    engine = make_engine(target, "writer")
    with engine.connect() as conn:
        rows = conn.execute(select(schema.entry).order_by(schema.entry.c.id)).all()
        assert [row.external_id for row in rows] == ["small@sender.example", "big@sender.example"]
        assert conn.scalar(select(schema.cursor.c.value)) == "a\N{REPLACEMENT CHARACTER}b"
        assert conn.scalar(text("SELECT nextval(pg_get_serial_sequence('entry', 'id'))")) == 3
    engine.dispose()
    node = SharedBlobs(tmp_path / "node", target)
    assert hashlib.sha256(node.local(rows[1].blob).read_bytes()).hexdigest() == rows[1].sha256
    node.close()


def test_a_target_that_holds_something_is_refused(source: str, tmp_path: Path, postgres: Server) -> None:
    target = postgres.url(postgres.fresh())
    copy(source, target, blobs=tmp_path / "blobs", progress=lambda _: None)
    with pytest.raises(CannotCopy, match="not empty"):
        copy(source, target, blobs=tmp_path / "blobs", progress=lambda _: None)


def test_a_damaged_blob_leaves_the_target_empty(source: str, tmp_path: Path, postgres: Server) -> None:
    name = postgres.fresh()
    (damaged,) = [path for path in (tmp_path / "blobs").glob("??/*") if path.is_file()]
    damaged.write_bytes(b"other bytes")
    with pytest.raises(CannotCopy, match="other bytes"):
        copy(source, postgres.url(name), blobs=tmp_path / "blobs", progress=lambda _: None)
    assert postgres.run("SELECT count(*) FROM entry", name) == [(0,)]


def test_a_lost_blob_is_named(source: str, tmp_path: Path, postgres: Server) -> None:
    (lost,) = [path for path in (tmp_path / "blobs").glob("??/*") if path.is_file()]
    lost.unlink()
    report = copy(source, postgres.url(postgres.fresh()), blobs=tmp_path / "blobs", progress=lambda _: None)
    assert report.missing == (lost.name,)


AT_COMMIT = """
CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {work}; RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER meddling AFTER INSERT ON cursor DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION meddle();
"""
"""Something in the target that does its work at the COMMIT, after all was compared."""


@pytest.mark.parametrize(
    ("work", "said"),
    [
        ("DELETE FROM cursor", "cursor has 1 rows in the source and 0 in the target"),
        ("UPDATE entry SET peer = 'somebody@else.example' WHERE id = 1", "entry has other contents"),
        ("DELETE FROM blob_content", "is not whole"),
    ],
)
def test_what_differs_after_the_commit_is_said(
    source: str, tmp_path: Path, postgres: Server, work: str, said: str
) -> None:
    name = postgres.fresh()
    migrate(postgres.url(name), backup_to=tmp_path)
    postgres.run(AT_COMMIT.format(work=work), name)
    result = CliRunner().invoke(app, ["copy", source, postgres.url(name)])
    assert isinstance(result.exception, Failed) and said in str(result.exception), result.output
    assert "the same on both sides" not in result.output


def test_a_row_that_does_not_arrive_leaves_the_target_empty(source: str, tmp_path: Path, postgres: Server) -> None:
    name = postgres.fresh()
    migrate(postgres.url(name), backup_to=tmp_path)
    postgres.run("CREATE RULE swallow AS ON INSERT TO delivery WHERE NEW.entry_id = 1 DO INSTEAD NOTHING", name)
    result = CliRunner().invoke(app, ["copy", source, postgres.url(name)])
    assert isinstance(result.exception, Failed) and "delivery: 2 rows were read and 1 written" in str(result.exception)
    assert postgres.run("SELECT count(*) FROM entry", name) == [(0,)]


def test_both_sides_are_compared_at_any_time(source: str, tmp_path: Path, postgres: Server) -> None:
    name = postgres.fresh()
    words = [source, postgres.url(name)]
    assert CliRunner().invoke(app, ["copy", *words]).exit_code == 0
    result = CliRunner().invoke(app, ["compare", *words])
    assert (result.exit_code, result.output) == (0, "the same on both sides\n")
    with sqlite3.connect(tmp_path / "gateway.db") as conn:
        conn.execute("UPDATE cursor SET value = 'later'")
    conn.close()
    postgres.run("DELETE FROM delivery WHERE entry_id = 2", name)
    result = CliRunner().invoke(app, ["compare", *words])
    assert isinstance(result.exception, Failed)
    assert "cursor has other contents" in str(result.exception)
    assert "delivery has 2 rows in the source and 1 in the target" in str(result.exception)


def test_the_command_ends_with_1(source: str, tmp_path: Path, postgres: Server) -> None:
    words, var = (source, postgres.url(postgres.fresh())), tmp_path / "var"
    gateway("db", "copy", *words, var=var)
    with sqlite3.connect(tmp_path / "gateway.db") as conn:
        conn.execute("DELETE FROM cursor")
    conn.close()
    refused = gateway("db", "compare", *words, var=var, code=1)
    assert "cursor has 0 rows in the source and 1 in the target" in refused.stderr


def test_the_digest_sees_every_difference_but_the_order() -> None:
    def of(*rows: dict[str, object]) -> str:
        digest = Digest()
        digest.add(rows)
        return digest.value

    one, two = {"a": 1, "b": b"x"}, {"a": 2, "b": b"x"}
    assert of(one, two) == of(two, one)
    assert len({of(one, two), of(one, one), of(one), of(two), of(one, {"a": 2, "b": b"y"})}) == 5
