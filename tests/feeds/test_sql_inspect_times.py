"""A time of the last change that stands in a column of texts is proposed where it can serve, with what it needs."""

from __future__ import annotations

from datetime import timedelta

import pytest

from gateway.feeds.contract import Outcome, Set
from gateway.feeds.sql_inspect_times import form_of
from gateway.feeds.sql_table_settings import SqlSettings
from tests.feeds.sql_desk import NOW, Clock, altering, desk, opening, settings
from tests.feeds.test_sql_legacy import Table, table

__all__ = ["table"]

COLUMN = "ALTER TABLE zayavki ADD COLUMN updated_at TEXT"
MOVES = """CREATE TRIGGER zayavki_moves AFTER UPDATE OF stan, tema ON zayavki BEGIN
UPDATE zayavki SET updated_at = strftime('{form}', 'now') WHERE nomer = new.nomer; END"""


async def _proposed(table: Table) -> str:
    """What is proposed for the table, which can be loaded."""
    url = f"sqlite:///{table.path}"
    async with desk(SqlSettings.model_validate({"kind": "sql", "url": url})) as there:
        text = await there.feed.propose()
    settings(text, url=url)
    return text


def _written(table: Table, *texts: object) -> None:
    """Further rows, each with one of these as the time of its last change."""
    for number, text in enumerate(texts):
        table.run(
            "INSERT INTO zayavki (tema, cherga, filia, stan, updated_at) VALUES (?, 'Q1', 7, 'W', ?)",
            f"Row {number}", text,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "form", "zone"),
    [
        ("2026-11-20 11:30:15", "YYYY-MM-DD hh:mm:ss", "the zone that they are in"),
        ("2026-11-20 11:30", "YYYY-MM-DD hh:mm", "the zone that they are in"),
        ("2026-11-20T11:30:15.123456Z", "YYYY-MM-DDThh:mm:ssZ", "UTC"),
        ("2026-11-20T11:30:15+00:00", "YYYY-MM-DDThh:mm:ss+00:00", "UTC"),
        ("2026-11-20T13:30:15+02:00", "YYYY-MM-DDThh:mm:ss+02:00", "the zone that is at +02:00"),
    ],
)
async def test_texts_of_one_form_are_proposed_with_what_they_need(
    table: Table, text: str, form: str, zone: str
) -> None:
    table.run(COLUMN)
    _written(table, text, None, text.replace("-20", "-21"))
    proposed = await _proposed(table)
    assert f"  changed: updated_at  # texts as {form}: ALL in this form, and `timezone` {zone}; it has to" in proposed
    ours = "    updated_at: {field: now, way: out}"
    assert (ours in proposed) == (form == "YYYY-MM-DD hh:mm:ss")
    assert (
        form == "YYYY-MM-DD hh:mm:ss"
        or "# updated_at: {field: now, way: out}  # if the desk's program reads" in proposed
    )
    assert "11:30" not in proposed and "13:30" not in proposed, "what stands there is not shown"


@pytest.mark.parametrize(
    "texts",
    [
        (), (None,), ("yesterday",), ("20.11.2026 11:30",), ("2026-11-20",), ("20261120T113015Z",), (1763638215,),
        ("",),
        ("2026-11-20 11:30:15", "2026-11-20T11:30:15Z"), ("2026-11-20T11:30:15+02:00", "2026-07-20T11:30:15+03:00"),
    ],
)  # fmt: skip
async def test_what_cannot_be_compared_as_text_is_not_proposed(table: Table, texts: tuple[object, ...]) -> None:
    table.run(COLUMN)
    _written(table, *texts)
    proposed = await _proposed(table)
    assert "changed:" not in proposed and "# updated_at may say when a row changed, but what stands there" in proposed


async def test_a_column_that_wants_a_value_gets_one_with_a_warning(table: Table) -> None:
    table.run(f"{COLUMN} NOT NULL DEFAULT '2026-11-20T11:30:15Z'")
    proposed = await _proposed(table)
    assert "  changed: updated_at" in proposed and "\n    # updated_at: {field: now, way: out}" in proposed
    table.run("ALTER TABLE zayavki RENAME TO old")
    table.run(
        "CREATE TABLE zayavki (nomer INTEGER PRIMARY KEY, tema TEXT, stan TEXT, zovn_kod TEXT,"
        " updated_at TEXT NOT NULL)"
    )
    table.run("INSERT INTO zayavki (tema, stan, updated_at) VALUES ('Row', 'W', '2026-11-20T11:30:15Z')")
    table.run("DROP TABLE old")
    assert "\n    updated_at: {field: now, way: out}" in await _proposed(table)


@pytest.mark.parametrize("form", ["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S"])
async def test_what_is_proposed_hears_what_staff_do(table: Table, form: str) -> None:
    table.run(COLUMN)
    table.run(MOVES.format(form=form))
    _written(table, *5 * [None])
    for number, word in enumerate("NWPRC", start=1):
        table.run("UPDATE zayavki SET stan = ? WHERE nomer = ?", word, number)
    proposed = (await _proposed(table)).replace("filia: FILL-IN", "filia: 7")
    now = NOW.fromisoformat(table.run("SELECT strftime('%Y-%m-%dT%H:%M:%S+00:00', 'now')")[0][0])
    clock = Clock(now=now + timedelta(minutes=1))
    async with desk(settings(proposed, url=f"sqlite:///{table.path}"), clock) as there:
        assert [each.what for each in await there.feed.check() if not each.good and not each.warning] == []
        await there.begins()
        made = await there.feed.push(opening())
        assert made.outcome is Outcome.DONE and made.ref is not None
        assert [one for one in await there.news() if not one.ours] == []
        table.run("UPDATE zayavki SET stan = 'R' WHERE nomer = ?", int(made.ref.id))
        heard = [one.change for one in await there.news() if one.ref == made.ref.id and not one.ours]
        assert [one.value for one in heard if isinstance(one, Set) and one.field == "status"] == ["resolved"]
        assert (await there.feed.push(altering(made.ref, "status", status="waiting"))).outcome is Outcome.DONE
        assert [one for one in await there.news() if not one.ours] == []


def test_a_form_is_of_the_whole_text() -> None:
    assert form_of("2026-11-20 11:30:15") and not form_of("2026-11-20 11:30:15 by Olena")


async def test_bytes_that_are_no_text_end_no_look(table: Table) -> None:
    """Old programs wrote them in a code page of theirs; what changed may also be somebody's name."""
    table.run(COLUMN)
    table.run(
        "INSERT INTO zayavki (tema, cherga, filia, stan, updated_at)"
        " VALUES ('Row', 'Q1', 7, 'W', CAST(X'cae0f2ff' AS TEXT))"
    )
    proposed = await _proposed(table)
    assert "updated_at may say when a row changed" in proposed
    assert "  changed:" not in proposed


async def test_a_form_that_the_desks_program_has_changed_is_seen_in_the_newest_rows(table: Table) -> None:
    table.run(COLUMN)
    _written(table, *[f"2026-11-20 11:30:{number % 60:02}" for number in range(201)], "2026-11-21T08:00:00Z")
    assert "  changed:" not in await _proposed(table)
