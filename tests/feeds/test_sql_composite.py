"""Keys of several columns on PostgreSQL, in a schema of its own, as a user with grants on columns."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from gateway.feeds.contract import Outcome, Replied, Set
from gateway.feeds.sql_table_settings import SqlSettings
from tests.feeds.sql_desk import ENDLESS, LOCK, altering, desk, opening, said, saying, settings
from tests.postgres import Server

SCHEMA = """
CREATE SCHEMA sd;
CREATE TYPE sd.state AS ENUM ('NEW', 'WORK', 'WAIT', 'DONE', 'SHUT');
CREATE TABLE sd.request (
    branch char(4) NOT NULL, request_no integer NOT NULL, title varchar(60) NOT NULL, state sd.state NOT NULL,
    severity smallint, team text NOT NULL DEFAULT 'first', caller text, visit boolean NOT NULL DEFAULT false,
    opened timestamptz NOT NULL, changed timestamptz NOT NULL, cost numeric(10,2), audit text NOT NULL DEFAULT 'x',
    gateway_key text, removed boolean NOT NULL DEFAULT false, PRIMARY KEY (branch, request_no));
CREATE UNIQUE INDEX request_gateway_key ON sd.request (gateway_key);
CREATE TABLE sd.request_line (
    branch char(4) NOT NULL, request_no integer NOT NULL, line_no integer NOT NULL, body text NOT NULL, who text,
    visible boolean NOT NULL DEFAULT false, written timestamptz NOT NULL, gateway_key varchar(60) UNIQUE,
    PRIMARY KEY (branch, request_no, line_no),
    FOREIGN KEY (branch, request_no) REFERENCES sd.request);
INSERT INTO sd.request (branch, request_no, title, state, opened, changed)
    VALUES ('KYIV', 41, 'Принтер', 'WORK', '2026-11-19 10:00+02', '2026-11-19 10:00+02'),
           ('LVIV', 900, 'Телефон', 'WORK', '2026-11-19 10:00+02', '2026-11-19 10:00+02');
INSERT INTO sd.request_line VALUES ('KYIV', 41, 1, 'не друкує', 'Ivan', true, '2026-11-19 10:00+02');
CREATE ROLE {user} LOGIN;
GRANT USAGE ON SCHEMA sd TO {user};
GRANT SELECT (branch, request_no, title, state, severity, team, caller, visit, opened, changed, gateway_key, removed),
    INSERT (branch, request_no, title, state, severity, team, caller, visit, opened, changed, gateway_key),
    UPDATE (title, state, severity, team, visit, changed) ON sd.request TO {user};
GRANT SELECT, INSERT ON sd.request_line TO {user};
"""
MAPPING = """
kind: sql
schema: sd
tickets:
  table: request
  id: [branch, request_no]
  next: request_no
  changed: changed
  gone: {removed: true}
  columns:
    gateway_key: key
    title: subject
    state: status
    severity: {field: class, values: {1: 1, 2: 1, 3: 1, 4: 2, 5: 3, 6: 4}, default: 4}
    team: line
    visit: onsite
    caller: {field: requester, way: new}
    opened: {field: opened_at, way: new}
    changed: {field: now, way: out}
  constants: {branch: KYIV}
messages:
  table: request_line
  id: [branch, request_no, line_no]
  ticket: {branch: branch, request_no: request_no}
  next: line_no
  columns: {gateway_key: key, body: text, who: author_name, visible: public, written: at}
map:
  status: {new: NEW, open: WORK, waiting: WAIT, resolved: DONE, closed: SHUT, held: WAIT}
  line: {L1: first, L2: second}
"""


@dataclass(slots=True)
class Pg:
    """A database of a desk's."""

    server: Server
    name: str
    user: str

    def run(self, statement: str) -> list[tuple[Any, ...]]:
        """One statement of the desk's own program."""
        return self.server.run(statement, self.name)

    def settings(self, text: str = MAPPING, **more: Any) -> SqlSettings:
        """Of a feed that comes as the user with the grants."""
        return settings(text, url=self.server.url(self.name).replace("postgres@", f"{self.user}@"), **more)


@pytest.fixture
def pg(postgres: Server) -> Iterator[Pg]:
    name = postgres.fresh()
    made = Pg(postgres, name, f"gw_{name}")
    made.run(SCHEMA.replace("{user}", made.user))
    yield made
    postgres.run(f"DROP DATABASE {name} WITH (FORCE)")
    postgres.run(f"DROP ROLE {made.user}")


async def test_numbers_are_counted_within_the_key(pg: Pg) -> None:
    async with desk(pg.settings()) as there:
        ref = await there.opened()
        assert (ref.id, ref.number) == ('["KYIV","42"]', "KYIV-42")
        assert await there.opened() == ref
        for message in (2, 3, 2):
            done = await there.feed.push(saying(ref, said(message=message, text=f"{message}", public=message == 3)))
            assert done.outcome is Outcome.DONE and done.left_out == (), done
        done = await there.feed.push(altering(ref, "status", "class", "onsite", status="open", class_=6, onsite=True))
        assert done.outcome is Outcome.DONE
        assert await there.feed.find(opening()) == ref
    lines = "SELECT line_no, body, who, visible FROM sd.request_line WHERE request_no = 42 ORDER BY 1"
    assert pg.run(lines) == [
        (1, "Сервер не відповідає", "Олена", True),
        (2, "2", "Олена", False),
        (3, "3", "Олена", True),
    ]
    [row] = pg.run(
        "SELECT state, severity, team, caller, visit, cost, audit, removed FROM sd.request WHERE request_no = 42"
    )
    assert row == ("WORK", 4, "first", "olena@client.example", True, None, "x", False)


async def test_the_desk_counts_at_the_same_time(pg: Pg, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LOCK, ENDLESS)
    async with desk(pg.settings()) as one, desk(pg.settings()) as two:
        writes = [opening(1000005 + 8 * each, first=said(1000005 + 8 * each)) for each in range(6)]

        async def theirs() -> None:
            insert = (
                "INSERT INTO sd.request (branch, request_no, title, state, opened, changed)"
                " SELECT 'KYIV', max(request_no) + 1, 'їхня', 'NEW', now(), now() FROM sd.request WHERE branch = 'KYIV'"
            )
            for _ in range(6):
                try:
                    await asyncio.to_thread(pg.run, insert)
                except psycopg.errors.UniqueViolation:
                    continue  # theirs has to try again, ours must not be the one that is lost

        done, _ = await asyncio.gather(
            asyncio.gather(*(each.feed.push(write) for write in writes for each in (one, two))), theirs()
        )
        assert {each.outcome for each in done} == {Outcome.DONE}, done
        assert len({each.ref for each in done}) == 6


async def test_what_the_desk_does_is_heard(pg: Pg) -> None:
    async with desk(pg.settings()) as there:
        ref = await there.opened()
        await there.begins()
        pg.run("UPDATE sd.request SET state = 'DONE', team = 'second', visit = true, severity = 2,"
               " changed = '2026-11-20 09:30:30+00' WHERE request_no = 42")  # fmt: skip
        pg.run("INSERT INTO sd.request_line VALUES ('KYIV', 42, 2, 'Готово', 'Ivan', true, '2026-11-20 09:30:29+00'),"
               " ('KYIV', 42, 3, 'між нами', 'Ivan', false, '2026-11-20 09:30:29+00')")  # fmt: skip
        heard = await there.news()
        assert {each.ref for each in heard} == {ref.id}
        assert [each.change for each in heard] == [
            Replied(text="Готово", public=True), Replied(text="між нами", public=False),
            Set(field="status", value="resolved", raw="DONE"), Set(field="class", value="4", raw="2"),
            Set(field="line", value="L2", raw="second"), Set(field="onsite", value="true", raw="true"),
        ]  # fmt: skip
        assert await there.news() == []
        pg.run("UPDATE sd.request SET removed = true, changed = '2026-11-20 09:30:40+00' WHERE request_no = 42")
        assert [type(each).__name__ for each in await there.changes()] == ["Vanished"]


async def test_check_names_the_right_that_is_missing(pg: Pg) -> None:
    async with desk(pg.settings()) as there:
        findings = await there.feed.check()
        assert [each for each in findings if not each.good] == []
        pg.run(f"REVOKE UPDATE (state) ON sd.request FROM {pg.user}")
        pg.run(f"REVOKE INSERT ON sd.request_line FROM {pg.user}")
        bad = [each.what for each in await there.feed.check() if not each.good]
        assert [each.partition(":")[0] for each in bad] == ["UPDATE on request", "INSERT on request_line"]
        assert "permission denied" in bad[0]
        refused = await there.feed.push(opening())
        assert refused.outcome is Outcome.RETRY and "permission denied for table request_line" in refused.detail
    assert pg.run("SELECT count(*) FROM sd.request WHERE branch = 'KYIV'") == [(1,)]
