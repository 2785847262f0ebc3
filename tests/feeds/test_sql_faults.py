"""What goes wrong with a database of somebody else's, and what is said then."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Literal

import pytest

from gateway.feeds.contract import CannotTell, FeedError, Outcome, Ref
from tests.feeds.cutting import Cutter, cutter
from tests.feeds.sql_desk import Desk, altering, desk, file, opening, said, saying, settings
from tests.feeds.test_sql_composite import MAPPING as PG_MAPPING
from tests.feeds.test_sql_composite import Pg, pg
from tests.feeds.test_sql_legacy import MAPPING, Table, table
from tests.feeds.test_sql_osticket import MAPPING as MARIA_MAPPING
from tests.feeds.test_sql_osticket import Maria, maria
from tests.services.ports import free_port

__all__ = ["maria", "pg", "table"]


# -- cut at the COMMIT


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_commit_without_an_answer_on_postgresql(pg: Pg, when: Literal["before", "after"]) -> None:
    async with cutter(pg.settings().url.get_secret_value()) as (way, url), desk(settings(PG_MAPPING, url=url)) as there:
        await _cut(there, way, when)
    assert pg.run("SELECT count(*), count(DISTINCT gateway_key) FROM sd.request WHERE gateway_key <> ''") == [(2, 2)]


@pytest.mark.services("mariadbd")
@pytest.mark.xdist_group("mariadb")
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_commit_without_an_answer_on_mariadb(
    maria: Maria, when: Literal["before", "after"], tmp_path: Path
) -> None:
    secret = tmp_path / "url"
    async with cutter(maria.server.url(maria.name, "gw", "gw-pass")) as (way, url):
        secret.write_text(url)
        async with desk(settings(MARIA_MAPPING, url=f"file:{secret}")) as there:
            await _cut(there, way, when)
    assert maria.run("SELECT count(*) FROM ost_ticket WHERE source_extra <> ''") == [(2,)]
    assert maria.run("SELECT count(*) FROM ost_thread_entry WHERE extra <> ''") == [(2,)]


async def _cut(there: Desk, way: Cutter, when: Literal["before", "after"]) -> None:
    await there.opened()
    way.cut = when
    broken = await there.feed.push(opening(1000013, first=said(1000013)))
    assert way.cuts == 1 and broken.outcome is Outcome.RETRY and broken.uncertain and not broken.of_ticket, broken
    assert "does not answer" in broken.detail
    found = await there.feed.find(opening(1000013))
    assert isinstance(found, Ref) if when == "after" else found is None
    done = await there.feed.push(opening(1000013, first=said(1000013)))
    assert done.outcome is Outcome.DONE and (when == "before" or done.ref == found)


# -- servers that are not there, or do not let us in


@pytest.mark.parametrize("text", [PG_MAPPING, MARIA_MAPPING], ids=["postgresql", "mariadb"])
async def test_a_server_that_is_not_there(text: str) -> None:
    url = f"{'mysql' if text is MARIA_MAPPING else 'postgresql'}://gw@127.0.0.1:{free_port()}/desk"
    async with desk(settings(text, url=url)) as there:
        down = await there.feed.push(opening())
        assert (down.outcome, down.uncertain, down.of_ticket) == (Outcome.RETRY, False, False)
        assert isinstance(await there.feed.find(opening()), CannotTell)
        with pytest.raises(FeedError) as error:
            await there.feed.changes(None)
        assert error.value.again
        [finding] = await there.feed.check()
        assert not finding.good and "does not answer" in finding.what


@pytest.mark.services("mariadbd")
@pytest.mark.xdist_group("mariadb")
async def test_wrong_credentials_say_so_and_show_no_password(maria: Maria, tmp_path: Path) -> None:
    secret = tmp_path / "url"
    secret.write_text(maria.server.url(maria.name, "gw", "wrong-secret"))
    async with desk(settings(MARIA_MAPPING, url=f"file:{secret}")) as there:
        refused = await there.feed.push(opening())
        assert refused.outcome is Outcome.RETRY and "does not let us (1045)" in refused.detail
        with pytest.raises(FeedError) as error:
            await there.feed.changes(None)
        assert not error.value.again
        findings = await there.feed.check()
        assert "wrong-secret" not in refused.detail + str(error.value) + str(findings)


@pytest.mark.services("mariadbd")
@pytest.mark.xdist_group("mariadb")
async def test_a_right_that_is_missing_on_mariadb(maria: Maria) -> None:
    async with desk(maria.settings()) as there:
        assert [each for each in await there.feed.check() if not each.good and not each.warning] == []
        maria.run(f"REVOKE INSERT ON {maria.name}.ost_thread_entry FROM 'gw'@'127.0.0.1'")
        bad = [each for each in await there.feed.check() if not each.good and not each.warning]
        assert [each.what.partition(":")[0] for each in bad] == ["INSERT on ost_thread_entry"]
        refused = await there.feed.push(opening())
        assert refused.outcome is Outcome.RETRY and "INSERT command denied" in refused.detail
    assert maria.run("SELECT count(*) FROM ost_ticket") == [(1,)]


async def test_a_locked_file_is_tried_again(table: Table) -> None:
    async with desk(table.settings(timeout="1s")) as there:
        ref = await there.opened()
        with closing(sqlite3.connect(table.path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            locked = await there.feed.push(altering(ref, "status", status="open"))
            assert locked.outcome is Outcome.RETRY and "database is locked" in locked.detail
            assert isinstance(await there.feed.find(opening()), CannotTell)
            other.execute("ROLLBACK")
        assert (await there.feed.push(altering(ref, "status", status="open"))).outcome is Outcome.DONE


async def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    async with desk(settings(MAPPING, url=f"sqlite:///{tmp_path}/none.db")) as there:
        absent = await there.feed.push(opening())
        assert absent.outcome is Outcome.RETRY and "unable to open database file" in absent.detail
    assert list(tmp_path.iterdir()) == []


# -- tables that are not as they were


async def test_a_column_that_vanished_is_named_and_its_return_is_noticed(table: Table) -> None:
    async with desk(table.settings()) as there:
        ref = await there.opened()
        await there.begins()
        table.run("ALTER TABLE zayavki RENAME COLUMN klas TO klas_old")
        first = await there.feed.push(opening(1000013))
        assert first.outcome is Outcome.RETRY and "klas" in first.detail
        again = await there.feed.push(altering(ref, "status", status="open"))
        assert again.outcome is Outcome.RETRY
        assert again.detail.startswith(
            "table zayavki has no column klas (mapped to class): correct the name; the columns"
        )
        with pytest.raises(FeedError, match="no column klas") as error:
            await there.feed.changes(there.cursor)
        assert not error.value.again
        bad = [each.what for each in await there.feed.check() if not each.good]
        assert bad == ["table zayavki has no column klas (mapped to class)"]
        table.run("ALTER TABLE zayavki RENAME COLUMN klas_old TO klas")
        assert (await there.feed.push(opening(1000013))).outcome is Outcome.DONE


async def test_a_column_that_wants_a_value_is_named(table: Table) -> None:
    async with desk(settings(MAPPING.replace("constants: {filia: 7}", ""), url=f"sqlite:///{table.path}")) as there:
        wrong = await there.feed.push(opening())
        assert wrong.detail == "column zayavki.filia is NOT NULL and has no default: put it into `constants`, or map it"


async def test_values_that_do_not_fit_refuse_their_ticket_alone(table: Table) -> None:
    table.run("CREATE TRIGGER strict BEFORE INSERT ON zayavki WHEN new.klas = 60"
              " BEGIN SELECT RAISE(ABORT, 'таємниця клієнта'); END")  # fmt: skip
    text = MAPPING.replace("tema: subject", "tema: {field: subject, too_long: refuse}")
    async with desk(settings(text, url=f"sqlite:///{table.path}")) as there:
        refused = await there.feed.push(opening(subject="д" * 41))
        assert refused.outcome is Outcome.REFUSED
        assert refused.detail == "column zayavki.tema does not take the subject: the column holds 40"
        trigger = await there.feed.push(opening(1000013, class_=6))
        assert trigger.outcome is Outcome.REFUSED and "таємниця" not in trigger.detail
        assert (await there.feed.push(opening(1000021))).outcome is Outcome.DONE


async def test_a_text_that_is_cut_is_said_and_is_no_news_later(table: Table) -> None:
    async with desk(table.settings()) as there:
        await there.begins()
        pushed = await there.feed.push(opening(subject="дуже довга тема " * 10))
        assert pushed.left_out == ("subject: its end (the column holds 40) (column zayavki.tema)",)
        cursor = there.cursor
    [(tema,)] = table.run("SELECT tema FROM zayavki WHERE nomer = 2")
    assert len(tema) == 40 and tema.endswith(" […]")
    async with desk(table.settings()) as restarted:
        restarted.cursor = cursor
        assert "subject" not in [each.field for each in await restarted.changes()]


async def test_files_and_further_messages_without_tables_are_said(table: Table) -> None:
    async with desk(table.settings()) as there:
        pushed = await there.feed.push(opening(first=said(files=[file()])))
        assert pushed.left_out == ("1 attachments: no table of attachments is mapped",)
        assert pushed.ref is not None
        more = await there.feed.push(saying(pushed.ref, said(message=2)))
        assert more.outcome is Outcome.DONE and "no table of messages is mapped" in more.left_out[0]


async def test_a_cursor_of_something_else_is_refused(table: Table) -> None:
    async with desk(table.settings()) as there:
        with pytest.raises(FeedError, match="none of this feed's"):
            await there.feed.changes("123")
