"""A mapping that is proposed can be loaded, names its gaps, and works when they are filled in."""

from __future__ import annotations

import pytest

from gateway.feeds.contract import FeedError, Outcome
from gateway.feeds.sql_inspect_text import GAP
from gateway.feeds.sql_table_settings import SqlSettings
from tests.feeds.sql_desk import altering, desk, opening, said, saying, settings
from tests.feeds.test_sql_composite import Pg, pg
from tests.feeds.test_sql_legacy import Table, table
from tests.feeds.test_sql_osticket import Maria, maria

__all__ = ["maria", "pg", "table"]


async def _proposed(url: str, schema: str | None = None) -> str:
    bare = SqlSettings.model_validate({"kind": "sql", "url": url, "schema": schema})
    async with desk(bare) as there:
        assert [each.what for each in await there.feed.check() if not each.good] == ["`tickets` is missing"]
        return await there.feed.propose()


async def _works(text: str, url: str) -> None:
    """It is loaded with its gaps, which the check names; and works without."""
    given = settings(text, url=url)
    async with desk(given) as there:
        bad = [each for each in await there.feed.check() if not each.good and not each.warning]
        assert bad == []
        pushed = await there.feed.push(opening())
        assert pushed.outcome is Outcome.DONE and pushed.ref is not None, pushed
        assert (await there.feed.push(saying(pushed.ref, said(message=2)))).outcome is Outcome.DONE
        assert (await there.feed.push(altering(pushed.ref, "status", status="waiting"))).outcome is Outcome.DONE
        assert await there.feed.find(opening()) == pushed.ref


async def test_a_legacy_table(table: Table) -> None:
    url = f"sqlite:///{table.path}"
    text = await _proposed(url)
    settings(text, url=url)
    assert "zovn_kod: key" in text and "tema: subject" in text and f"filia: {GAP}" in text
    assert "Стара заявка" not in text  # nothing that people wrote
    await _works(text.replace(f"filia: {GAP}", "filia: 7"), url)


@pytest.mark.services("mariadbd")
@pytest.mark.xdist_group("mariadb")
async def test_tables_shaped_like_osticket(maria: Maria) -> None:
    secret = f"file:{maria.password_file}"
    text = await _proposed(secret)
    assert "gw-pass" not in text and "Старий" not in text and "Добрий" not in text and "Olena" not in text
    settings(text, url=secret)
    assert "lookup: {table: ost_ticket_status, word: name, value: id}" in text
    assert "ticket: {thread_id: thread.id}" in text and "table: ost_file" in text
    for gap, filled in (
        (f"source: {GAP}", "source: API"), (f"object_type: {GAP}", "object_type: T"),
        (f"out: {GAP}", "out: R"), (f"note: {GAP}", "note: N"),
    ):  # fmt: skip
        assert gap in text
        text = text.replace(gap, filled)
    assert GAP not in text.partition("kind: sql")[2]
    await _works(text, secret)


async def test_composite_keys(pg: Pg) -> None:
    url = pg.settings().url.get_secret_value().replace(f"{pg.user}@", "postgres@")
    text = await _proposed(url, "sd")
    settings(text, url=url)
    assert "id: [branch, request_no]" in text and "next: line_no" in text and "gone: {removed: true}" in text
    text = text.replace(f"branch: {GAP}", "branch: KYIV").replace("    severity: class\n", "")
    await _works(text, url)


async def test_gaps_are_named_by_the_check(table: Table) -> None:
    table.run("ALTER TABLE zayavki RENAME COLUMN zovn_kod TO ingoing_no")
    url = f"sqlite:///{table.path}"
    text = await _proposed(url)
    assert f"{GAP}: key" in text
    async with desk(settings(text, url=url)) as there:
        bad = [each.what for each in await there.feed.check() if not each.good]
        assert bad == [
            f"table zayavki has no column {GAP} (mapped to key)",
            f"column zayavki.filia does not take '{GAP}' (INTEGER)",
        ]


async def test_no_tickets_at_all(pg: Pg) -> None:
    pg.run("DROP SCHEMA sd CASCADE; CREATE TABLE invoice (id int primary key, amount int)")
    url = pg.settings().url.get_secret_value().replace(f"{pg.user}@", "postgres@")
    with pytest.raises(FeedError, match="none of the 1 tables"):
        await _proposed(url)
