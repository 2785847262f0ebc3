"""The journal gives every byte back, in each form, and says what it cannot give back."""

from __future__ import annotations

import base64
import json
import mailbox
import re
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, delete, update

from gateway.export import FORMS, PAGE, Exported, Mbox, export
from gateway.store import journal, schema
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from gateway.store.journal import Entry
from gateway.store.looking import reading_engine
from normalizer.message import INLINE_LIMIT, InlineBody, RawMessage
from tests.gateway.conftest import START

NASTY: Sequence[bytes] = (
    b"Subject: plain\r\n\r\nText.\r\n",
    b"Subject: from\r\n\r\nFrom here on\r\n>From quoted\r\n>>From twice\r\nFromage\r\n",
    b"Subject: unix\n\nFrom the start\n\n\nFrom again\n",
    b"Subject: no line end",
    b"From the very first byte",
    b"",
    b"\n",
    b"\r\n\r\n",
    b"\x00\xff\xfe bytes \r lone CR \n lone LF",
    b"Subject: big\r\n\r\n" + b"0123456789abcdef\r\n" * (INLINE_LIMIT // 16),
)


def raw(number: int, content: bytes, form: str = "mail/1") -> RawMessage:
    return RawMessage(
        channel="mail" if form.startswith("mail/") else "telegram", account="support", format=form,
        external_id=f"id-{number}", fingerprint=str(number), peer="ann@client.example",
        received_at=START + timedelta(minutes=number), body=InlineBody(content=content),
        facts={"mail_from": "ann smith@client.example"}, deliveries=(("support", "support@desk.example"),),
    )  # fmt: skip


async def accept(db: Database, blobs: Blobs, raws: Sequence[RawMessage]) -> None:
    for number, each in enumerate(journal.prepare(raws, blobs)):
        now = START + timedelta(minutes=number)
        await db.write(lambda conn, one=each, at=now: journal.record(conn, [one], None, now=at, blobs=blobs))


@pytest.fixture
def engine(db_url: str) -> Iterator[Engine]:
    made = reading_engine(db_url, busy_timeout=30.0)
    yield made
    made.dispose()


def exported(engine: Engine, blobs: Blobs, form: str, into: Path, **span: object) -> Exported:
    target = FORMS[form](into)
    done = export(engine, blobs, target, since=span.get("since"), until=span.get("until"))  # type: ignore[arg-type]
    target.close()
    return done


def of_mbox(content: bytes) -> list[bytes]:
    """Read mboxrd by its definition."""
    found: list[list[bytes]] = []
    for line in re.split(rb"(?<=\n)", content):
        if line.startswith(b"From "):
            found.append([])
        elif line:
            found[-1].append(re.sub(rb"^>(>*From )", rb"\1", line))
    return [b"".join(lines)[:-1] for lines in found]


def of_form(form: str, path: Path) -> list[bytes]:
    """Every message of an export, in its order."""
    match form:
        case "mbox":
            return of_mbox(path.read_bytes())
        case "jsonl":
            return [base64.b64decode(json.loads(line)["content"]) for line in path.read_text("utf-8").splitlines()]
        case _:
            index = (path / "journal.jsonl").read_text("utf-8").splitlines()
            return [(path / json.loads(line)["file"]).read_bytes() for line in index]


@pytest.mark.parametrize("form", FORMS)
async def test_every_byte_comes_back(form: str, db: Database, blobs: Blobs, engine: Engine, tmp_path: Path) -> None:
    await accept(db, blobs, [raw(number, content) for number, content in enumerate(NASTY)])
    done = exported(engine, blobs, form, tmp_path / "out")
    assert (done.written, done.damaged) == (len(NASTY), [])
    assert of_form(form, tmp_path / "out") == list(NASTY)


@given(contents=st.lists(st.one_of(st.binary(max_size=60), st.sampled_from(NASTY[:-1])), max_size=5))
def test_any_bytes_come_back_from_an_mbox(tmp_path_factory: pytest.TempPathFactory, contents: list[bytes]) -> None:
    path = tmp_path_factory.mktemp("mbox") / "out"
    target = Mbox(path)
    for number, content in enumerate(contents):
        target.add(
            Entry(
                id=number, raw=raw(number, content), state="done", attempts=0, generation=0, reroute=False, notify=True,
                alone=False, accepted_at=START,
            ),
            content,
        )  # fmt: skip
    target.close()
    assert of_mbox(path.read_bytes()) == contents


async def test_other_programs_read_it(db: Database, blobs: Blobs, engine: Engine, tmp_path: Path) -> None:
    await accept(db, blobs, [raw(number, content) for number, content in enumerate(NASTY[:2])])
    exported(engine, blobs, "mbox", tmp_path / "mbox")
    exported(engine, blobs, "maildir", tmp_path / "maildir")
    box = mailbox.mbox(tmp_path / "mbox", create=False)
    folder = mailbox.Maildir(tmp_path / "maildir", create=False)
    try:
        assert [message["Subject"] for message in box] == ["plain", "from"]
        assert {message["Subject"] for message in folder} == {"plain", "from"}
    finally:
        box.close()
        folder.close()


async def test_what_is_asked_for_and_no_more(db: Database, blobs: Blobs, engine: Engine, tmp_path: Path) -> None:
    count = PAGE + 5
    await accept(db, blobs, [raw(number, b"%d" % number) for number in range(count)])
    assert exported(engine, blobs, "jsonl", tmp_path / "all").written == count
    span = {"since": START + timedelta(minutes=3), "until": START + timedelta(minutes=6)}
    exported(engine, blobs, "jsonl", tmp_path / "some", **span)
    assert of_form("jsonl", tmp_path / "some") == [b"3", b"4", b"5"]


async def test_what_cannot_be_given_back_is_named(db: Database, blobs: Blobs, engine: Engine, tmp_path: Path) -> None:
    await accept(db, blobs, [raw(number, b"%d" % number) for number in range(3)] + [raw(3, b"{}", "telegram/1")])
    damaged = update(schema.raw).where(schema.raw.c.entry_id == 1).values(content=b"?")
    await db.write(lambda conn: conn.execute(damaged))
    await db.write(lambda conn: conn.execute(delete(schema.raw).where(schema.raw.c.entry_id == 2)))
    done = exported(engine, blobs, "mbox", tmp_path / "mbox")
    assert (done.written, done.damaged, done.forgotten, done.other_formats) == (1, [1], 1, 1)
    assert exported(engine, blobs, "jsonl", tmp_path / "jsonl").written == 2
    with pytest.raises(FileExistsError):
        FORMS["mbox"](tmp_path / "mbox")
