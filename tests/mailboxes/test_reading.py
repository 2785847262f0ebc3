"""Mail of a real mailbox becomes tickets, once, and what is done in the mailbox comes after the commit."""

from __future__ import annotations

import asyncio
import smtplib
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.mailboxes.desk import letter, overrides, running
from tests.services.dovecot import Dovecot

pytestmark = [pytest.mark.services("dovecot"), pytest.mark.xdist_group("dovecot")]


async def test_idle_to_ticket_and_a_flag_after_the_commit(
    server: Dovecot, tmp_path: Path, database: tuple[str, ...]
) -> None:
    async with running(tmp_path, overrides(server, *database)) as desk:
        await desk.until(lambda: desk.store.rows("SELECT 1 FROM cursor"), "the first look")
        server.append(letter(1))
        await desk.tickets(1)
        began = time.monotonic()
        server.append(letter(2))
        await desk.tickets(2)
        print(f"APPEND to ticket by IDLE: {time.monotonic() - began:.2f} s")
        await desk.until(lambda: desk.store.states() == {"settled": 2}, "the flags")
        assert server.flags() == [(b"\\Seen",), (b"\\Seen",)]
        assert desk.store.acknowledgements() == 2
    assert [facts["transport"] for facts in desk.store.facts()] == ["imap", "imap"]
    bodies = [row[0] for row in desk.store.rows("SELECT content FROM raw ORDER BY entry_id")]
    assert bodies == [letter(1), letter(2)], "byte for byte"


async def test_moved_after_the_commit_and_the_received_time_is_the_servers(
    server: Dovecot, tmp_path: Path, database: tuple[str, ...]
) -> None:
    at = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=30)
    server.append(letter(1), at=at)
    server.append(letter(2))
    async with running(tmp_path, overrides(server, *database, imap={"after": "move Filed"})) as desk:
        await desk.tickets(2)
        await desk.until(lambda: desk.store.states() == {"settled": 2}, "the move")
        assert server.messages() == []
        assert server.messages("Filed") == [letter(1), letter(2)]
        opened = desk.store.rows("SELECT opened_at FROM ticket ORDER BY opened_at")[0][0]
        assert datetime.fromtimestamp(opened / 1e6, UTC) == at
        assert desk.store.acknowledgements() == 1, "mail older than a day is not answered"


async def test_of_the_mail_that_is_there_only_what_came_since_a_day_is_taken_in(
    server: Dovecot, tmp_path: Path
) -> None:
    day = (datetime.now(UTC) - timedelta(days=3)).replace(hour=0, minute=0, second=0, microsecond=0)
    server.append(letter(1), at=day - timedelta(seconds=1))
    server.append(letter(2), at=day)
    async with running(tmp_path, overrides(server, imap={"existing": f"since {day:%Y-%m-%d}"})) as desk:
        await desk.tickets(1)
        await desk.until(lambda: desk.store.states() == {"old": 1, "settled": 1}, "the ledger")
        server.append(letter(3))
        await desk.tickets(2)
        bodies = [row[0] for row in desk.store.rows("SELECT content FROM raw ORDER BY entry_id")]
        assert bodies == [letter(2), letter(3)]
        assert desk.store.acknowledgements() == 1, "mail older than a day is not answered"
    assert server.flags()[0] == (), "what is older is not touched"


async def test_read_only_touches_nothing(server: Dovecot, tmp_path: Path) -> None:
    server.append(letter(1), letter(2))
    async with running(tmp_path, overrides(server, imap={"read_only": True, "after": "move Elsewhere"})) as desk:
        await desk.tickets(2)
        await desk.until(lambda: desk.store.states() == {"kept": 2}, "the ledger")
    assert server.flags() == [(), ()]
    with server.client() as client:
        assert not client.folder_exists("Elsewhere")


async def test_big_mail_is_spooled_and_mail_over_the_limit_stays(
    server: Dovecot, tmp_path: Path, database: tuple[str, ...]
) -> None:
    big = letter(1, text="line\r\n" * 150_000)
    huge = letter(2, text="The attachment is 300 pages.\r\n" + "page\r\n" * 250_000)
    server.append(big, huge, letter(3))
    settings = overrides(server, *database, imap={"after": "move Processed", "message_size": "1MB"})
    async with running(tmp_path, settings) as desk:
        await desk.tickets(3)
        await desk.until(lambda: desk.store.states() == {"settled": 2, "kept": 1}, "the ledger")
        assert server.messages("Processed") == [big, letter(3)]
        assert server.messages() == [huge]
        text = desk.store.one(
            "SELECT text FROM message JOIN entry ON entry.id = message.entry_id WHERE peer LIKE '%2@%'"
        )
        assert "The attachment is 300 pages." in text
        assert f"{len(huge)}" in text, "the ticket says what is missing"
        assert desk.store.one("SELECT size FROM entry WHERE peer LIKE '%1@%'") == len(big)
        assert (server.flags()) == [()]
    assert list((tmp_path / "spool").iterdir()) == []


async def test_by_smtp_and_imap_and_two_mailboxes_it_is_one_mail(server: Dovecot, tmp_path: Path) -> None:
    sales = overrides(server, account="sales")[-1]
    both = overrides(server, "channels.mail.sales.addresses=[sales@desk.example]", sales)
    mail = letter(1)
    server.deliver(mail, "support")
    server.deliver(mail, "sales")
    async with running(tmp_path, both) as desk:
        await desk.until(lambda: desk.store.states() == {"settled": 2}, "both mailboxes")
        await asyncio.to_thread(_send, desk.listening["smtp"], mail)
        await desk.tickets(1)
        assert desk.store.entries() == 1
        accounts = desk.store.rows("SELECT account, recipient FROM delivery ORDER BY account")
        assert accounts == [("sales", "sales@desk.example"), ("support", "support@desk.example")]
        assert desk.store.acknowledgements() == 1


async def test_without_a_message_id_two_equal_mails_are_two(server: Dovecot, tmp_path: Path) -> None:
    server.append(letter(1, message_id=None), letter(1, message_id=None))
    async with running(tmp_path, overrides(server)) as desk:
        await desk.until(lambda: desk.store.states() == {"settled": 2}, "the ledger")
        assert desk.store.entries() == 2


def _send(where: str, mail: bytes) -> None:
    host, _, port = where.rpartition(":")
    with smtplib.SMTP(host, int(port)) as smtp:
        smtp.sendmail("client1@client.example", ["support@desk.example"], mail)
