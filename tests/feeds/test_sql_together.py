"""New tickets that wait at the same time go into a desk's tables in one transaction, and none suffers for another."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psycopg
import pytest

from gateway.feeds.contract import Open, Outcome, Pushed, Ref
from gateway.feeds.sql_table_settings import SqlSettings
from tests.feeds.cutting import Cutter, cutter
from tests.feeds.servers_mariadb import MariaServer
from tests.feeds.sql_desk import ENDLESS, LOCK, SHORT, Desk, altering, desk, opening, said, settings
from tests.postgres import Server

MAPPING = """
kind: sql
tickets:
  table: zayavka
  id: id
  columns:
    gw: key
    "тема %": {field: subject, too_long: refuse}
    stan: status
    klas: class
    vaha: {field: class, default: 0}
    opened: {field: opened_at, way: new}
    shown: {field: onsite, way: new}
  constants: {source: api}
messages:
  table: rada
  id: id
  ticket: {zayavka: id}
  columns: {gw: key, words: text, who: author_name, open_to_all: public, said: at}
"""
SCHEMA = (
    "CREATE TABLE zayavka (id {serial}, gw VARCHAR(40) UNIQUE, {subject} VARCHAR(40) NOT NULL, stan VARCHAR(10),"
    " klas INTEGER CHECK (klas < 6), vaha NUMERIC(6,1), opened {time}, shown BOOLEAN, source VARCHAR(8),"
    " untouched VARCHAR(8) DEFAULT 'as is')",
    "CREATE TABLE rada (id {serial}, zayavka {id} NOT NULL REFERENCES zayavka (id), gw VARCHAR(60) UNIQUE, words TEXT,"
    " who VARCHAR(40), open_to_all BOOLEAN, said {time})",
)
KEPT = (("zayavka", "tickets"), ("rada", "messages"))
HALF_MADE = "INSERT INTO zayavka (gw, \"тема %\") VALUES ('0badcafe-2000006', 'теж')"
PAIRS = "SELECT z.id, z.gw, r.words FROM zayavka z JOIN rada r ON r.zayavka = z.id ORDER BY 1"


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for another's row gets it in the end."""
    monkeypatch.setattr(LOCK, ENDLESS)


@dataclass(slots=True)
class Tables:
    """A desk's two tables."""

    run: Callable[[str], Sequence[tuple[Any, ...]]]
    url: str
    commits: Callable[[], int]
    """Transactions with new tickets up to now."""

    def settings(self, text: str = MAPPING, **more: Any) -> SqlSettings:
        """Of a feed."""
        return settings(text, url=self.url, **more)


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Tables]:
    path = tmp_path / "desk.db"

    def run(statement: str) -> Sequence[tuple[Any, ...]]:
        with closing(sqlite3.connect(path)) as conn, conn:
            return conn.execute(statement).fetchall()

    def commits() -> int:
        # https://www.sqlite.org/fileformat2.html#file_change_counter
        return int.from_bytes(path.read_bytes()[24:28], "big")

    for each in SCHEMA:
        run(each.format(serial="INTEGER PRIMARY KEY", id="INTEGER", time="DATETIME", subject='"тема %"'))
    yield Tables(run=run, url=f"sqlite:///{path}", commits=commits)


@pytest.fixture
def pg(postgres: Server) -> Iterator[Tables]:
    name = postgres.fresh()
    for each in SCHEMA:
        subject = '"тема %"'
        postgres.run(
            each.format(serial="BIGSERIAL PRIMARY KEY", id="BIGINT", time="TIMESTAMPTZ", subject=subject), name
        )

    def commits() -> int:
        return int(postgres.run("SELECT count(DISTINCT xmin::text) FROM zayavka", name)[0][0])

    yield Tables(run=lambda text: postgres.run(text, name), url=postgres.url(name), commits=commits)
    postgres.run(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def maria(mariadb: MariaServer) -> Iterator[Tables]:
    name = mariadb.fresh()
    serial = "BIGINT AUTO_INCREMENT PRIMARY KEY"
    mariadb.run([each.format(serial=serial, id="BIGINT", time="DATETIME", subject="`тема %`") for each in SCHEMA], name)

    def commits() -> int:
        return int(mariadb.run("SHOW GLOBAL STATUS LIKE 'Com_commit'", name)[0][1])

    yield Tables(run=lambda text: mariadb.run(text, name), url=mariadb.url(name), commits=commits)
    mariadb.run([f"DROP DATABASE {name}"])


@pytest.fixture(
    params=[
        "sqlite",
        "pg",
        pytest.param("maria", marks=[pytest.mark.services("mariadbd"), pytest.mark.xdist_group("mariadb")]),
    ]
)
def tables(request: pytest.FixtureRequest) -> Tables:
    """On each kind of database."""
    found: Tables = request.getfixturevalue(request.param)
    return found


def _writes(count: int, **changed: Any) -> list[Open]:
    numbers = [2000005 + each for each in range(count)]
    return [opening(number, first=said(number, text=f"слова {number}"), **changed) for number in numbers]


async def _together(there: Desk, writes: Sequence[Open]) -> list[Pushed]:
    return await asyncio.gather(*(there.feed.push(each) for each in writes))


async def test_tickets_that_wait_at_the_same_time_are_one_transaction(tables: Tables) -> None:
    async with desk(tables.settings()) as there:
        said_of_keys = [each.what for each in await there.feed.check() if "and is unique" in each.what]
        assert said_of_keys == [f"{name}.gw keeps the key of {what}, and is unique" for name, what in KEPT]
        await there.opened()
        before = tables.commits()
        done = await _together(there, _writes(7))
        assert [(each.outcome, each.left_out) for each in done] == [(Outcome.DONE, ())] * 7, done
        assert tables.commits() == before + 1
        assert [each.ref for each in done] == [await there.feed.find(each) for each in _writes(7)]
        assert [each.change for each in await there.news()] == []
    ours = [(each.ref.id, f"0badcafe-{n}", f"слова {n}") for n, each in enumerate(done, 2000005) if each.ref]
    assert [(str(number), *rest) for number, *rest in tables.run(PAIRS)][1:] == ours
    rows = tables.run("SELECT DISTINCT stan, klas, vaha, shown, source, untouched FROM zayavka")
    assert [(stan, klas, float(vaha), bool(shown), *rest) for stan, klas, vaha, shown, *rest in rows] == [
        ("new", 2, 2.0, False, "api", "as is")
    ]


async def test_what_is_refused_is_refused_alone(tables: Tables) -> None:
    async with desk(tables.settings()) as there:
        await there.opened()
        writes = _writes(6)
        [long] = _writes(1, subject="д" * 41)
        wrong = opening(2000006, first=said(2000006), class_=6)
        done = await _together(there, [long, wrong, *writes[2:]])
        assert [each.outcome for each in done] == [Outcome.REFUSED] * 2 + [Outcome.DONE] * 4, done
        assert "does not take the subject" in done[0].detail and "does not take the row" in done[1].detail
        assert len({each.ref for each in done[2:]}) == 4
    assert {row[1] for row in tables.run(PAIRS)} == {"0badcafe-1000005", *(each.key for each in writes[2:])}


async def test_what_is_there_already_is_found(tables: Tables) -> None:
    async with desk(tables.settings()) as there:
        await there.opened()
        first = (await _together(there, _writes(1)))[0]
        again = await _together(there, [*_writes(3), *_writes(3)])
        assert {each.outcome for each in again} == {Outcome.DONE} and again[0].ref == first.ref
        assert [each.ref for each in again[:3]] == [each.ref for each in again[3:]]
        # What it says by now would be refused; it is there, so nobody asks.
        for changed in ({"class_": 6}, {"subject": "д" * 41}):
            assert [(each.outcome, each.ref) for each in await _together(there, _writes(1, **changed))] == [
                (Outcome.DONE, first.ref)
            ]
    assert len(tables.run(PAIRS)) == 4


async def test_a_value_that_is_left_out_is_said_of_its_ticket(tables: Tables) -> None:
    text = MAPPING + "map: {status: {open: open}}\n"
    async with desk(tables.settings(text)) as there:
        await there.opened(status="open")
        done = await _together(there, [*_writes(2, status="open"), opening(2000013, first=said(2000013))])
        assert [len(each.left_out) for each in done] == [0, 0, 1], done
        assert "the map has no word for 'new'" in done[2].left_out[0]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    "name",
    ["pg", pytest.param("maria", marks=[pytest.mark.services("mariadbd"), pytest.mark.xdist_group("mariadb")])],
)
async def test_a_commit_without_an_answer_leaves_all_in_doubt(
    request: pytest.FixtureRequest, name: str, when: Literal["before", "after"]
) -> None:
    tables: Tables = request.getfixturevalue(name)
    async with cutter(tables.url) as (way, url), desk(settings(MAPPING, url=url)) as there:
        await _cut(there, way, when)
    assert len(tables.run(PAIRS)) == 4


async def _cut(there: Desk, way: Cutter, when: Literal["before", "after"]) -> None:
    await there.opened()
    way.cut = when
    broken = await _together(there, _writes(3))
    assert [(each.outcome, each.uncertain, each.of_ticket) for each in broken] == [(Outcome.RETRY, True, False)] * 3
    found = [await there.feed.find(each) for each in _writes(3)]
    assert [isinstance(each, Ref) for each in found] == [when == "after"] * 3
    done = await _together(there, _writes(3))
    assert {each.outcome for each in done} == {Outcome.DONE}
    assert when == "before" or [each.ref for each in done] == found


async def test_a_row_that_somebody_else_is_making_holds_up_its_ticket_alone(
    pg: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    # First nobody's patience ends: what goes on goes on beside those that wait, not after them.
    async with desk(pg.settings(timeout="20m")) as there:
        ref = await there.opened()
        with psycopg.connect(pg.url.replace("+psycopg", "")) as other:
            other.execute(HALF_MADE)
            held = asyncio.create_task(_together(there, _writes(4)))
            await asyncio.sleep(0)
            altered = await there.feed.push(altering(ref, "status", status="open"))
            assert altered.outcome is Outcome.DONE and not held.done()
            meanwhile = await _together(there, _writes(7)[4:])
            assert {each.outcome for each in meanwhile} == {Outcome.DONE}, meanwhile
            assert not held.done()
            other.rollback()
        assert {each.outcome for each in await held} == {Outcome.DONE}
    assert len(pg.run(PAIRS)) == 8
    monkeypatch.setattr(LOCK, SHORT)
    async with desk(pg.settings()) as there:
        await there.opened()
        with psycopg.connect(pg.url.replace("+psycopg", "")) as other:
            other.execute(HALF_MADE.replace("2000006", "2000014"))
            done = await _together(there, _writes(11)[7:])
            assert [each.outcome for each in done] == [Outcome.DONE, Outcome.DONE, Outcome.RETRY, Outcome.DONE], done
            assert done[2].of_ticket and not done[2].uncertain
    assert len(pg.run(PAIRS)) == 11


async def test_a_file_that_is_locked_is_tried_again_by_all(sqlite: Tables) -> None:
    async with desk(sqlite.settings(timeout="1s")) as there:
        await there.opened()
        with closing(sqlite3.connect(sqlite.url.removeprefix("sqlite:///"), isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            locked = await _together(there, _writes(5))
            other.execute("ROLLBACK")
        assert [(each.outcome, each.uncertain, each.of_ticket) for each in locked] == [
            (Outcome.RETRY, False, False)
        ] * 5
        assert "database is locked" in locked[4].detail
        assert {each.outcome for each in await _together(there, _writes(5))} == {Outcome.DONE}
    assert len(sqlite.run(PAIRS)) == 6


async def test_a_trigger_that_changes_keys_mixes_nothing_up(pg: Tables) -> None:
    pg.run("CREATE FUNCTION upper_key() RETURNS trigger LANGUAGE plpgsql AS"
           " $$ BEGIN new.gw = upper(new.gw); RETURN new; END $$")  # fmt: skip
    pg.run("CREATE TRIGGER upper_key BEFORE INSERT ON zayavka FOR EACH ROW EXECUTE FUNCTION upper_key()")
    async with desk(pg.settings()) as there:
        await there.opened()
        done = await _together(there, _writes(3))
        assert {each.outcome for each in done} == {Outcome.DONE}, done
    ours = [(int(each.ref.id), f"0BADCAFE-{n}", f"слова {n}") for n, each in enumerate(done, 2000005) if each.ref]
    assert sorted(pg.run(PAIRS)[1:]) == sorted(ours)


@pytest.mark.parametrize("name", ["sqlite", "pg"])
async def test_a_unique_index_of_some_rows_proves_nothing(request: pytest.FixtureRequest, name: str) -> None:
    tables: Tables = request.getfixturevalue(name)
    tables.run("CREATE TABLE copied AS SELECT * FROM zayavka")
    tables.run("CREATE UNIQUE INDEX copied_gw ON copied (gw) WHERE stan = 'closed'")
    text = MAPPING.partition("messages:")[0].replace("id: id", "id: gw").replace("zayavka", "copied")
    async with desk(tables.settings(text)) as there:
        assert "copied.gw is indexed, and not unique" in [each.what for each in await there.feed.check()]
        await there.opened()
        done = await _together(there, [*_writes(2), *_writes(2)])
        assert {each.outcome for each in done} == {Outcome.DONE}, done
        assert (await _together(there, _writes(1)))[0].outcome is Outcome.DONE
    assert tables.run("SELECT count(*) FROM copied") == [(3,)]


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("pg", "gw VARCHAR(40) NOT NULL, stan VARCHAR(10)); CREATE UNIQUE INDEX both_of ON odd (gw, lower(stan)"),
        ("sqlite", "gw VARCHAR(40) NOT NULL UNIQUE ON CONFLICT REPLACE, stan VARCHAR(10)"),
        ("sqlite", "gw VARCHAR(40) NOT NULL UNIQUE on  conflict ignore, stan VARCHAR(10)"),
    ],
)
async def test_a_key_that_the_database_refuses_in_part_or_not_at_all_is_looked_for(
    request: pytest.FixtureRequest, name: str, column: str
) -> None:
    tables: Tables = request.getfixturevalue(name)
    serial = "BIGSERIAL" if name == "pg" else "INTEGER"
    tables.run(f"CREATE TABLE odd (id {serial} PRIMARY KEY, {column})")
    async with desk(tables.settings(ODD)) as there:
        await there.opened()
        first = await _together(there, _writes(2))
        again = await _together(there, _writes(2, status="open"))  # as after a COMMIT without an answer
        assert [each.ref for each in again] == [each.ref for each in first], again
    assert tables.run("SELECT stan FROM odd") == [("new",)] * 3


ODD = "kind: sql\ntickets: {table: odd, id: id, columns: {gw: key, stan: status}}\n"


async def test_tickets_that_need_our_locks_go_one_by_one(pg: Tables) -> None:
    pg.run("CREATE TABLE odd (id BIGSERIAL PRIMARY KEY, gw VARCHAR(40) NOT NULL, stan VARCHAR(10))")
    async with desk(pg.settings(ODD)) as there:
        await there.opened()
        assert {each.outcome for each in await _together(there, _writes(4))} == {Outcome.DONE}
    assert pg.run("SELECT count(DISTINCT xmin::text) FROM odd") == [(5,)]


@pytest.mark.services("mariadbd")
@pytest.mark.xdist_group("mariadb")
async def test_where_nothing_can_be_taken_back_tickets_go_one_by_one(maria: Tables) -> None:
    maria.run(
        "CREATE TABLE odd (id BIGINT AUTO_INCREMENT PRIMARY KEY, gw VARCHAR(40) UNIQUE, stan VARCHAR(10)) ENGINE=MyISAM"
    )

    def inserts() -> int:
        return int(maria.run("SHOW GLOBAL STATUS LIKE 'Com_insert'")[0][1])

    async with desk(maria.settings(ODD)) as there:
        await there.opened()
        before = inserts()
        assert {each.outcome for each in await _together(there, _writes(4))} == {Outcome.DONE}
    assert inserts() == before + 4


@pytest.mark.parametrize("name", ["sqlite", "pg"])
async def test_a_message_that_the_table_drops_is_not_there(request: pytest.FixtureRequest, name: str) -> None:
    tables: Tables = request.getfixturevalue(name)
    when = "FOR EACH ROW WHEN (new.words LIKE '%6')"
    if name == "pg":
        tables.run("CREATE FUNCTION drop_it() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
        tables.run(f"CREATE TRIGGER dropping BEFORE INSERT ON rada {when} EXECUTE FUNCTION drop_it()")
    else:
        tables.run(f"CREATE TRIGGER dropping BEFORE INSERT ON rada {when} BEGIN SELECT RAISE(IGNORE); END")
    async with desk(tables.settings()) as there:
        await there.opened()
        done = await _together(there, _writes(3))
        assert [each.outcome for each in done] == [Outcome.DONE, Outcome.REFUSED, Outcome.DONE], done
        assert "does not keep the row" in done[1].detail
    assert [row[1] for row in tables.run("SELECT id, gw FROM zayavka")] == [
        f"0badcafe-{number}" for number in (1000005, 2000005, 2000007)
    ]


async def test_who_gave_up_before_it_began_is_not_written(sqlite: Tables) -> None:
    async with desk(sqlite.settings()) as there:
        await there.opened()
        first, second, third = _writes(3)
        with closing(sqlite3.connect(sqlite.url.removeprefix("sqlite:///"), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            begun = asyncio.create_task(there.feed.push(first))
            for _ in range(3):
                await asyncio.sleep(0)  # the first one is with the thread, which waits for the file
            waiting = [asyncio.create_task(there.feed.push(each)) for each in (second, third)]
            await asyncio.sleep(0)
            waiting[0].cancel()
            other.execute("COMMIT")
        assert (await begun).outcome is Outcome.DONE and (await waiting[1]).outcome is Outcome.DONE
        with pytest.raises(asyncio.CancelledError):
            await waiting[0]
    assert [row[1] for row in sqlite.run(PAIRS)][1:] == [first.key, third.key]
