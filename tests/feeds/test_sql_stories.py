"""Whole stories with a desk's tables: mail in, rows there, what staff do there, and what the requester hears of it."""

from __future__ import annotations

import asyncio
import json
import signal
import smtplib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any, cast

import pytest
from ruamel.yaml import YAML

from channels.contract import Clock
from gateway.app import utc_now
from tests.feeds import osticket, servers_mariadb
from tests.feeds.desk import AGENT, LONG, QUICKLY, TALK, Ahead, Desk
from tests.feeds.servers_mariadb import MariaServer
from tests.feeds.test_sql_legacy import MAPPING as LEGACY
from tests.feeds.test_sql_legacy import Table, table
from tests.mailboxes.desk import Store, child, running, until

pytestmark = pytest.mark.timeout(600)

__all__ = ["table"]

OSTICKET = (
    (Path(__file__).parent / "osticket.yaml")
    .read_text(encoding="utf-8")
    .replace("Europe/Kyiv", "UTC")
    .replace("ivan: 5", "olga: 5")
)
ENTRY = (
    "INSERT INTO ost_thread_entry (thread_id, type, poster, body, format, created, updated) SELECT id, %s, 'Ivan', %s,"
    " 'html', UTC_TIMESTAMP(), UTC_TIMESTAMP() FROM ost_thread WHERE object_id = 2 AND object_type = 'T'"
)

OURS = "SELECT count(*), count(DISTINCT source_extra) FROM ost_ticket WHERE source_extra <> ''"
CHILD = Path(__file__).with_name("child.py")


@asynccontextmanager
async def beside(var: Path, mapping: str, url: str, *, clock: Clock = utc_now, **more: Any) -> AsyncIterator[Desk]:
    """A gateway that feeds the tables behind this URL."""
    async with running(var, options(mapping, url, **more), clock=clock) as gateway:
        yield Desk(var=var, store=cast("Any", None), running=gateway)


def options(mapping: str, url: str, **more: Any) -> tuple[str, ...]:
    """Its settings."""
    feed: Mapping[str, Any] = {
        **YAML(typ="safe").load(mapping), "url": url, "poll": "1s", "doubt": "1s", "timeout": "5m", **more,
    }  # fmt: skip
    return (*QUICKLY, f"agents={AGENT}", f"feeds={json.dumps({'store': feed})}")


@pytest.mark.services("mariadbd")
async def test_a_desk_on_mariadb_from_mail_to_survey_and_through_a_crash_of_its_server(tmp_path: Path) -> None:
    with servers_mariadb.running() as server:
        name = server.fresh()
        server.run(osticket.SCHEMA, name)
        server.run([each.format(db=name) for each in osticket.GRANTS])
        secret = tmp_path / "url"
        secret.write_text(server.url(name, "gw", "gw-pass"))
        async with beside(tmp_path / "var", OSTICKET, f"file:{secret}", wait="10m") as it:
            await _answered(it, server, name)
            await _crashed(it, server, name)


async def _answered(it: Desk, server: MariaServer, name: str) -> None:
    await it.mail(files={"log.txt": b"\0\1 a log"})
    await it.opened()
    [(ticket, number)] = server.run("SELECT ticket_id, number FROM ost_ticket WHERE source_extra <> ''", name)
    assert (ticket, number) == (2, it.ticket()["number"])
    assert server.run("SELECT name, filedata FROM ost_file", name) == [("log.txt", b"\0\1 a log")]
    await it.until(lambda: it.letters(), "the acknowledgement")
    server.run(ENTRY, name, ("N", "<p>This one always calls</p>"))
    server.run(ENTRY, name, ("R", "<p>Have you tried<br>another cable?</p>"))
    await it.until(lambda: len(it.letters()) == 2, "the reply")
    assert "another cable?" in it.said_to()[1]
    server.run("UPDATE ost_ticket SET status_id = 3, staff_id = 5, updated = UTC_TIMESTAMP() WHERE ticket_id = 2", name)
    await it.heard(1, "resolved")
    await it.until(lambda: len(it.letters()) == 3, "the resolution")
    await it.until(it.is_quiet, "quiet")
    everything = b"".join(path.read_bytes() for path in (it.var / "outgoing").rglob("*") if path.is_file())
    assert b"always calls" not in everything
    # What was read there is not written there again, and what is ours is no news.
    assert server.run("SELECT count(*) FROM ost_thread_entry WHERE thread_id = 3", name) == [(3,)]
    assert ("alter", "done") not in it.writes()


async def _crashed(it: Desk, server: MariaServer, name: str) -> None:
    await asyncio.to_thread(server.kill)
    for number in range(49):
        await it.mail(subject=f"Printer {number}", sender=f"anna{number}@client.example")
    tried = "SELECT id FROM feed_write WHERE state = 'waiting' AND attempts > 0"
    await it.until(lambda: it.rows(tried), "a try that failed")
    await asyncio.to_thread(server.start)
    await it.opened(50)
    await it.until(it.is_quiet, "quiet")
    assert server.run(OURS, name) == [(50, 50)]


@pytest.mark.services("mariadbd")
@pytest.mark.xdist_group("mariadb")
async def test_killed_in_the_middle_of_a_push_there_is_one_ticket(mariadb: MariaServer, tmp_path: Path) -> None:
    """SIGKILL after the rows are committed there: the next start finds them by the key, and writes no others."""
    name = mariadb.fresh()
    mariadb.run(osticket.SCHEMA, name)
    mariadb.run([each.format(db=name) for each in osticket.GRANTS])
    secret, var = tmp_path / "url", tmp_path / "var"
    secret.write_text(mariadb.url(name, "gw", "gw-pass"))
    settings = options(OSTICKET, f"file:{secret}")
    async with child(var, settings, "feed-pushed-unsettled", script=CHILD) as process:
        listening = var / "listening.json"
        await until(lambda: listening.exists() and listening.read_text().strip(), "the child", LONG)
        await post(json.loads(listening.read_text())["smtp"])
        await asyncio.wait_for(process.wait(), LONG)
        assert process.returncode == -signal.SIGKILL
    # Read while nobody runs: the next start takes it up at once.
    assert Store(var).rows("SELECT kind, state FROM feed_write") == [("open", "sending")]
    assert mariadb.run(OURS, name) == [(1, 1)]
    # It is started again when nothing of the dead one can be under way any more.
    async with beside(var, OSTICKET, f"file:{secret}", clock=Ahead(hours=1)) as it:
        await it.opened()
        await it.until(it.is_quiet, "quiet")
        assert it.writes() == [("open", "done")]
    assert mariadb.run(OURS, name) == [(1, 1)]


async def post(smtp: str) -> None:
    """One mail, by SMTP."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "kate@client.example", "support@desk.example", "Killed"
    mail["Message-ID"] = "<killed-1@client.example>"
    mail.set_content("The lift is stuck.")
    host, _, port = smtp.rpartition(":")

    def send() -> None:
        with smtplib.SMTP(host, int(port), timeout=TALK) as wire:
            wire.send_message(mail)

    await asyncio.to_thread(send)


async def test_fifty_tickets_in_a_row_are_fifty_rows(table: Table, tmp_path: Path) -> None:
    schema = table.schema()
    secret = tmp_path / "url"
    secret.write_text(f"sqlite:///{table.path}")
    async with beside(tmp_path / "var", LEGACY, f"file:{secret}") as it:
        for number in range(50):
            await it.mail(f"Text {number}", subject=f"Printer {number}", sender=f"anna{number}@client.example")
        await it.opened(50)
        await it.until(it.is_quiet, "quiet")
        table.run("UPDATE zayavki SET stan = 'R' WHERE tema = 'Printer 7'")
        await it.heard(1, "resolved")
        await it.until(lambda: len(it.letters("anna7@client.example")) == 2, "the resolution")
    rows = table.run("SELECT tema, opis, stan FROM zayavki WHERE zovn_kod <> '' ORDER BY nomer")
    assert sorted(row[0] for row in rows) == sorted(f"Printer {number}" for number in range(50))
    assert all(opis == tema.replace("Printer", "Text") for tema, opis, _ in rows)
    assert [row for row in rows if row[2] != "N"] == [("Printer 7", "Text 7", "R")]
    assert table.schema() == schema
