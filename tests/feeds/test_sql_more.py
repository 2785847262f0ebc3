"""Keys in a table beside, attachments in a folder, times as numbers, old and test tickets, servers that only read."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from gateway.feeds.contract import Outcome, Replied, Set
from gateway.feeds.sql_table_settings import SqlSettings
from tests.feeds.sql_desk import LOCK, NOW, SHORT, altering, desk, file, opening, said, saying, settings
from tests.feeds.test_sql_composite import Pg, pg
from tests.feeds.test_sql_legacy import Table, table
from tests.feeds.test_sql_osticket import Maria, maria

__all__ = ["maria", "pg", "table"]

BESIDE = """
kind: sql
tickets:
  table: bugs
  id: id
  changed: touched
  columns:
    title: subject
    state: status
    made: {field: opened_at, unit: seconds, way: new}
    touched: {field: now, unit: milliseconds, way: out}
    hands: {field: actor, way: out}
  beside:
    ours: {table: gateway_key, ticket: {bug: id}, columns: {ours: key}}
messages:
  table: remarks
  id: id
  ticket: {bug: id}
  columns: {gw: key, words: text, who: author_name, open_to_all: public, internet_id: message_id}
attachments:
  table: papers
  message: {remark: id}
  folder: FOLDER
  largest: 1KB
  columns: {name: filename, place: path}
"""
BUGS = (
    "CREATE TABLE bugs (id INTEGER PRIMARY KEY, title TEXT, state TEXT, made INTEGER, touched INTEGER, hands TEXT)",
    "CREATE TABLE gateway_key (bug INTEGER PRIMARY KEY, ours VARCHAR(40) UNIQUE)",
    "CREATE TABLE remarks (id INTEGER PRIMARY KEY, bug INTEGER, gw VARCHAR(60) UNIQUE, words TEXT, who TEXT,"
    " open_to_all INTEGER DEFAULT 0, internet_id TEXT)",
    "CREATE TABLE papers (id INTEGER PRIMARY KEY, remark INTEGER, name TEXT, place TEXT)",
    "INSERT INTO bugs (title, state, made) VALUES ('old', 'open', 1700000000), ('gone', 'closed', 1700000000)",
    "INSERT INTO remarks (bug, words, internet_id) VALUES (1, 'help', '<a.1@client.example>')",
)


def _bugs(table: Table, tmp_path: Path) -> SqlSettings:
    for each in BUGS:
        table.run(each)
    (tmp_path / "papers").mkdir()
    return settings(BESIDE.replace("FOLDER", str(tmp_path / "papers")), url=f"sqlite:///{table.path}")


async def test_a_key_beside_and_files_in_a_folder(table: Table, tmp_path: Path) -> None:
    given = _bugs(table, tmp_path)
    async with desk(given) as there:
        assert [each for each in await there.feed.check() if not each.good and not each.warning] == []
        big = file("big.bin", b"x" * 2000)
        pushed = await there.feed.push(opening(first=said(files=[file("../a b.txt"), big])))
        assert pushed.left_out == ("the attachment big.bin: it is bigger than 1024 bytes",)
        again = await there.feed.push(opening(first=said(files=[file("../a b.txt"), big])))
        assert again.ref == pushed.ref == await there.feed.find(opening())
    assert table.run("SELECT bug, ours FROM gateway_key") == [(3, "0badcafe-1000005")]
    [row] = table.run("SELECT made, touched, hands, state FROM bugs WHERE id = 3")
    assert row == (int(NOW.timestamp()), int(NOW.timestamp() * 1000), "gateway", "new")
    [(name, place)] = table.run("SELECT name, place FROM papers")
    kept = tmp_path / "papers" / place
    assert (
        name == "../a b.txt"
        and kept.read_bytes() == b"error 502\n"
        and kept.resolve().is_relative_to(tmp_path / "papers")
    )


async def test_a_path_out_of_the_folder_is_not_followed(table: Table, tmp_path: Path) -> None:
    given = _bugs(table, tmp_path)
    (tmp_path / "secret").write_text("secret")
    async with desk(given) as there:
        ref = await there.opened()
        await there.begins()
        table.run("INSERT INTO remarks (bug, words, open_to_all) VALUES (?, 'look', 1)", ref.id)
        table.run("INSERT INTO papers (remark, name, place) VALUES (3, 'x', '../secret')")
        (tmp_path / "papers" / "fine").write_bytes(b"fine")
        table.run("INSERT INTO papers (remark, name, place) VALUES (3, 'fine', 'fine')")
        [reply] = await there.changes()
        assert isinstance(reply, Replied) and reply.public and [each.filename for each in reply.files] == ["fine"]
        assert reply.files[0].read() == b"fine"
        assert there.odd == ["the attachment x: the attachment's path leads out of the folder"]


async def test_times_as_numbers_show_what_changed(table: Table, tmp_path: Path) -> None:
    async with desk(_bugs(table, tmp_path)) as there:
        ref = await there.opened()
        await there.begins()
        there.clock.passes(seconds=20)
        then = int(there.clock.now.timestamp() * 1000)
        table.run("UPDATE bugs SET state = 'waiting', touched = ?, hands = 'ivan' WHERE id = ?", then, ref.id)
        [heard] = await there.news()
        assert heard.change == Set(field="status", value="waiting", raw="waiting") and heard.actor == "ivan"
        assert heard.at == there.clock.now


async def test_open_tickets_are_given_with_their_mails(table: Table, tmp_path: Path) -> None:
    async with desk(_bugs(table, tmp_path)) as there:
        await there.opened()
        page = await there.feed.existing(None)
        [old] = page.tickets
        assert (old.ref.id, old.subject, old.status, old.message_ids) == ("1", "old", "open", ("a.1@client.example",))
        assert old.opened_at == datetime.fromtimestamp(1_700_000_000, UTC) and page.cursor is None


async def test_many_open_tickets_come_in_pages(pg: Pg) -> None:
    pg.run(
        "INSERT INTO sd.request (branch, request_no, title, state, opened, changed)"
        " SELECT 'ODES', n, 'Заявка', 'WORK', now(), now() FROM generate_series(1, 450) n"
    )
    async with desk(pg.settings()) as there:
        found, cursor = [], None
        while True:
            page = await there.feed.existing(cursor)
            found += page.tickets
            if (cursor := page.cursor) is None:
                break
        assert len(found) == len({each.ref.id for each in found}) == 452


async def test_a_test_ticket_is_closed_and_nothing_is_deleted(pg: Pg) -> None:
    async with desk(pg.settings()) as there:
        ref = await there.opened()
        assert (await there.feed.undo(ref)).outcome is Outcome.DONE
    assert pg.run("SELECT state, title FROM sd.request WHERE request_no = 42") == [("SHUT", "Не працює пошта")]


async def test_a_read_only_server_is_said_and_nothing_is_lost(pg: Pg) -> None:
    pg.run(f"ALTER ROLE {pg.user} SET default_transaction_read_only = on")
    async with desk(pg.settings()) as there:
        pushed = await there.feed.push(opening())
        assert (pushed.outcome, pushed.of_ticket) == (Outcome.RETRY, False) and "read-only transaction" in pushed.detail
        pg.run(f"ALTER ROLE {pg.user} RESET default_transaction_read_only")
    async with desk(pg.settings()) as there:
        assert (await there.feed.push(opening())).outcome is Outcome.DONE


async def test_a_row_that_is_held_holds_up_its_ticket_alone(pg: Pg, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LOCK, SHORT)
    async with desk(pg.settings()) as there:
        ref, other = await there.opened(), await there.opened(1000013, first=said(1000013))
        busy = there.feed._connected()  # noqa: SLF001, RUF100  the way to hold a row while the feed waits
        with busy.connect() as conn, conn.begin():
            conn.exec_driver_sql("SELECT 1 FROM sd.request WHERE request_no = 42 FOR UPDATE")
            held = await there.feed.push(altering(ref, "status", status="open"))
            assert held.outcome is Outcome.RETRY and held.of_ticket and "somebody else holds the row" in held.detail
            free = await there.feed.push(altering(other, "status", number=1000013, status="open"))
            assert free.outcome is Outcome.DONE


@pytest.mark.services("mariadbd")
@pytest.mark.xdist_group("mariadb")
async def test_stamps_of_mariadb_are_instants_whatever_its_zone(maria: Maria) -> None:
    maria.run("ALTER TABLE ost_ticket MODIFY created TIMESTAMP NOT NULL DEFAULT '2000-01-01 00:00:00'")
    maria.run("ALTER TABLE ost_ticket MODIFY updated TIMESTAMP NOT NULL DEFAULT '2000-01-01 00:00:00'")
    maria.server.run("SET GLOBAL time_zone = '+05:30'")
    try:
        async with desk(maria.settings()) as there:
            ref = await there.opened()
            await there.begins()
            stamp = "SELECT UNIX_TIMESTAMP(created), UNIX_TIMESTAMP(updated) FROM ost_ticket WHERE ticket_id = 2"
            assert maria.run(stamp) == [(int(NOW.timestamp()), int(NOW.timestamp()))]
            there.clock.passes(minutes=1)
            at = int(there.clock.now.timestamp())
            maria.run("UPDATE ost_ticket SET status_id = 3, updated = FROM_UNIXTIME(%s) WHERE ticket_id = 2", at)
            [heard] = await there.news()
            assert (heard.ref, heard.at) == (ref.id, there.clock.now)
    finally:
        maria.server.run("SET GLOBAL time_zone = 'SYSTEM'")


@pytest.mark.services("mariadbd")
@pytest.mark.xdist_group("mariadb")
async def test_a_write_that_broke_off_without_transactions_is_gone_on_with(maria: Maria) -> None:
    for name in ("ost_ticket", "ost_ticket__cdata", "ost_thread", "ost_thread_entry"):
        maria.run(f"ALTER TABLE {name} ENGINE=MyISAM")
    async with desk(maria.settings()) as there:
        assert any("MyISAM" in each.what and each.warning for each in await there.feed.check())
        maria.run("INSERT INTO ost_ticket (number, dept_id, status_id, source, source_extra, created, updated)"
                  " VALUES ('1000005', 1, 1, 'API', '0badcafe-1000005', now(), now())")  # fmt: skip
        assert await there.feed.find(opening()) is None
        assert (await there.feed.push(opening())).outcome is Outcome.DONE
        assert await there.feed.find(opening()) is not None
    assert maria.run("SELECT count(*) FROM ost_ticket") == [(2,)]
    assert maria.run("SELECT body FROM ost_thread_entry WHERE extra <> ''") == [("Сервер не відповідає",)]


@pytest.mark.services("mariadbd")
@pytest.mark.xdist_group("mariadb")
async def test_the_example_of_the_page_works(maria: Maria) -> None:
    page = (Path(__file__).parents[2] / "docs" / "feeds" / "sql.md").read_text(encoding="utf-8")
    [text] = re.findall(r"```yaml\n(feeds:\n.*?)```", page, re.DOTALL)
    given = YAML(typ="safe").load(text)["feeds"]["desk"]
    async with desk(SqlSettings.model_validate({**given, "url": f"file:{maria.password_file}"})) as there:
        assert [each for each in await there.feed.check() if not each.good and not each.warning] == []
        ref = await there.opened()
        assert (await there.feed.push(saying(ref, said(message=2)))).outcome is Outcome.DONE
