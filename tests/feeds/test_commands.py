"""`gateway feeds`, `gateway check --online` and `gateway import`, as commands of their own beside real stores."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from gateway.feeds.trying import Trial
from tests.feeds.onec import USER, Store, onec
from tests.feeds.receiver import BACK, OUT, receiver
from tests.feeds.test_described_rest import described, feed_of
from tests.feeds.test_sql_legacy import MAPPING, SCHEMA
from tests.feeds.writes import NOW
from tests.gateway.cli.running import gateway, serving


def feeds(**named: Any) -> tuple[str, ...]:
    """The block `feeds` for a command line."""
    return ("--set", f"feeds={json.dumps(named, ensure_ascii=False)}")


async def tried(store: Store, **over: Any) -> list[tuple[str, bool, str]]:
    """The steps of a try at 1C's."""
    async with feed_of(store, **over) as feed:
        settings = described(store.url, **over)
        trial = Trial(feed, settings, now=NOW, token="cafe", address="intake-test@desk.example")
        return [(step.what, step.good, step.detail) async for step in trial.run()]


async def test_a_try_writes_reads_back_and_closes() -> None:
    async with onec() as store:
        steps = await tried(store)
        assert [what for what, good, _ in steps if not good] == []
        assert [what for what, *_ in steps] == [
            "read where the changes stand", "open a ticket", "find it by its key", "append a message with a file",
            "find the message by its key", "append a private note", "change its status", "know our own changes as ours",
            "close the test ticket",
        ]  # fmt: skip
        [(key, number, body, state)] = store.requests()
        assert (key, state, body["Тема"]) == ("try-cafe", "Закрыта", "Test of the intake gateway cafe, please ignore")
        assert [body["Внутреннее"] for _, body in store.said()] == [False, True]
    assert steps[1][2] == f"number {number}"


async def test_a_try_says_what_is_wrong_and_still_closes() -> None:
    async with onec() as store:
        strange = {"changes": {**described(store.url).changes.model_dump(exclude_unset=True), "ours": "false"}}
        steps = await tried(store, **strange)
        [wrong] = [(what, detail) for what, good, detail in steps if not good]
        assert wrong[0] == "know our own changes as ours"
        assert "come back as news" in wrong[1]
        assert [state for *_, state in store.requests()] == ["Закрыта"]


async def test_a_try_that_cannot_open_ends_there() -> None:
    async with onec() as store:
        store.faults.append("refuse")
        steps = await tried(store)
    assert steps[-1] == ("open a ticket", False, "Период закрыт")


async def test_a_try_without_a_way_to_close_says_which_ticket_is_left() -> None:
    async with onec() as store:
        steps = await tried(store, undo=None)
    assert steps[-1] == (
        "close the test ticket", False,
        "there is no call `undo`: close the test ticket by hand: close 000000001 by hand",
    )  # fmt: skip


async def test_the_command_tells_each_step_and_fails_with_one(tmp_path: Path) -> None:
    async with receiver(NOW) as store:
        store.now = None  # by the wall clock
        hook = {"kind": "webhook", "url": store.url, "secret": "env:OUT_SECRET", "answer_secrets": ["env:BACK_SECRET"]}
        secrets = {"OUT_SECRET": OUT, "BACK_SECRET": BACK}
        good = await asyncio.to_thread(gateway, "feeds", "try", "desk", *feeds(desk=hook), var=tmp_path, **secrets)
        assert "good     open a ticket: number X-1" in good.stdout
        assert "TROUBLE" not in good.stdout
        assert [body["type"] for body in store.taken.values()][-1] == "ticket.test_over"
        store.faults += ["403"]
        bad = await asyncio.to_thread(
            gateway, "feeds", "try", "desk", *feeds(desk=hook), var=tmp_path, code=1, **secrets
        )
        assert "TROUBLE  open a ticket" in bad.stdout
        listed = await asyncio.to_thread(gateway, "feeds", "list", *feeds(desk=hook), var=tmp_path, **secrets)
        assert "webhook" in listed.stdout
        wrong = await asyncio.to_thread(
            gateway, "feeds", "try", "other", *feeds(desk=hook), var=tmp_path, code=2, **secrets
        )
        assert "no feed 'other'; configured are: desk" in wrong.stderr


async def test_check_online_names_what_is_missing(tmp_path: Path) -> None:
    async with onec() as store, receiver(NOW) as hook:
        hook.now = None
        rest = described(store.url).model_dump(mode="json", exclude_unset=True, by_alias=True)
        rest["basic"] = {"user": USER, "password": "env:ONEC_PASSWORD"}
        webhook = {"kind": "webhook", "url": hook.url, "secret": "env:OUT_SECRET"}
        away = {**webhook, "url": "http://127.0.0.1:9/hook", "contracts": ["alpha"]}
        named = feeds(onec=rest, hook=webhook, away=away)
        done = await asyncio.to_thread(
            gateway, "check", "--online", *named, var=tmp_path, code=1, ONEC_PASSWORD="wrong", OUT_SECRET=OUT
        )
    lines = [line for line in done.stdout.splitlines() if " feed " in line]
    assert any(line.startswith("TROUBLE  feed onec: changes:") and "answers 401" in line for line in lines)
    assert any(line.startswith("TROUBLE  feed away:") and "Connect" in line for line in lines)
    assert any(line.startswith("good     feed hook: it works, but nothing comes in") for line in lines)
    assert "wrong" not in done.stdout


async def test_check_online_reminds_of_a_pilot_that_would_write_into_the_store(tmp_path: Path) -> None:
    pilot = ("--set", "channels.mail.support.outbound=off")
    async with receiver(NOW) as hook:
        hook.now = None
        webhook = {"kind": "webhook", "url": hook.url, "secret": "env:OUT_SECRET", "read": False}
        said = [
            (await asyncio.to_thread(
                gateway, "check", "--online", *feeds(hook={**webhook, "push": push}), *pilot, var=tmp_path, code=None,
                OUT_SECRET=OUT,
            )).stdout
            for push in (True, False)
        ]  # fmt: skip
    assert ["in a pilot say `push: no`" in one for one in said] == [True, False]


async def test_inspect_says_what_it_cannot_look_at(tmp_path: Path) -> None:
    done = await asyncio.to_thread(gateway, "feeds", "inspect", "nonsense", var=tmp_path, code=2)
    assert "no URL of a database" in done.stderr


def mapped() -> dict[str, Any]:
    """The old table as a feed."""
    read = YAML(typ="safe", pure=True).load(MAPPING)
    return {**read, "url": "env:OLD_DESK", "compare": "all"}


def old_desk(path: Path, mails: Sequence[str]) -> None:
    """A table with open tickets of these people, of which one is closed."""
    with closing(sqlite3.connect(path)) as conn:
        conn.executescript(SCHEMA)
        rows = [(f"Тема {n}", "Q1", 7, "W", mail) for n, mail in enumerate(mails)]
        conn.executemany("INSERT INTO zayavki (tema, cherga, filia, stan, klient) VALUES (?, ?, ?, ?, ?)", rows)
        conn.execute("UPDATE zayavki SET stan = 'C' WHERE rowid = 2")
        conn.commit()


async def test_import_takes_open_tickets_once_and_their_people_write_into_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "desk.db"
    old_desk(table, [f"person{n}@client.example" for n in range(121)])
    monkeypatch.setenv("OLD_DESK", f"sqlite:///{table}")
    named = feeds(old=mapped())
    with serving(tmp_path / "var", *named) as desk:
        first = await asyncio.to_thread(gateway, "import", "old", "--dry-run", var=desk.var)
        assert "would be taken over" in first.stdout
        done = await asyncio.to_thread(gateway, "import", "old", "--json", var=desk.var)
        assert json.loads(done.stdout) == {"taken": 120, "known": 0, "passed": 1, "odd": 0}
        again = await asyncio.to_thread(gateway, "import", "old", "--json", var=desk.var)
        assert json.loads(again.stdout) == {"taken": 0, "known": 120, "passed": 1, "odd": 0}
        wrong = await asyncio.to_thread(gateway, "import", "other", var=desk.var, code=1)
        assert "no such feed" in wrong.stderr
    with closing(sqlite3.connect(tmp_path / "var" / "gateway.db")) as conn:
        assert conn.execute("SELECT count(*), count(DISTINCT number) FROM feed_link").fetchone() == (120, 120)
        assert conn.execute("SELECT count(*) FROM outbox").fetchone() == (0,)
        assert conn.execute("SELECT count(*) FROM feed_write").fetchone() == (0,)
        status, line = conn.execute("SELECT status, line FROM ticket LIMIT 1").fetchone()
        assert (status, line) == ("open", "L1")


@pytest.mark.parametrize("words", [("feeds", "--help"), ("import", "--help"), ("feeds", "try", "--help")])
def test_help_reads(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert "Usage: gateway" in gateway(*words, var=tmp_path).stdout
