"""Cut wires, dead servers, killed gateways, new numbers and lost rows: every mail is filed, and filed once."""

from __future__ import annotations

import hashlib
import logging
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.mailboxes.desk import Store, child, letter, overrides, reading, running, until
from tests.services.cutter import cutter
from tests.services.dovecot import Dovecot

pytestmark = [pytest.mark.services("dovecot"), pytest.mark.xdist_group("dovecot")]


def digests(store: Store) -> Counter[str]:
    """SHA-256 of every body in the journal."""
    return Counter(row[0] for row in store.rows("SELECT sha256 FROM entry"))


def expected(mails: list[bytes]) -> Counter[str]:
    """Each exactly once."""
    return Counter(hashlib.sha256(mail).hexdigest() for mail in mails)


async def test_a_cut_in_idle_and_a_server_killed_and_started_again(server: Dovecot, tmp_path: Path) -> None:
    with cutter(server.imap) as wire:
        async with reading(tmp_path, overrides(server, port=wire.port)) as store:
            await until(lambda: store.rows("SELECT 1 FROM cursor"), "the first look")
            wire.cut()
            server.append(letter(1))
            await store.filed(settled=1)
            server.kill()
            server.start()
            server.append(letter(2))
            await store.filed(settled=2)
            assert wire.connections >= 3
        assert digests(store) == expected([letter(1), letter(2)])


async def test_a_cut_in_fetch_costs_no_mail_and_doubles_none(
    server: Dovecot, tmp_path: Path, database: tuple[str, ...]
) -> None:
    mails = [letter(number, text="text\r\n" * 20_000) for number in range(6)]
    server.append(*mails)
    seen = 0

    def in_the_middle(data: bytes) -> bool:
        nonlocal seen
        seen += len(data)
        if seen > 150_000 and wire.cuts < 3:
            seen = 0
            return True
        return False

    with cutter(server.imap) as wire:
        wire.on_server = in_the_middle
        settings = overrides(server, *database, port=wire.port, imap={"after": "move Processed"})
        async with reading(tmp_path, settings) as store:
            await store.filed(settled=len(mails))
            assert wire.cuts == 3
        assert digests(store) == expected(mails)
    assert sorted(server.messages("Processed")) == sorted(mails)


async def test_a_message_that_breaks_the_connection_takes_nobody_along(server: Dovecot, tmp_path: Path) -> None:
    server.append(letter(1), letter(2, text="poison"), letter(3))
    with cutter(server.imap) as wire:
        wire.on_server = lambda data: b"poison" in data
        async with reading(tmp_path, overrides(server, port=wire.port, imap={"poll": "1s"})) as store:
            await store.filed(settled=2, failed=1)
            ((reason, attempts),) = store.rows("SELECT reason, attempts FROM imap_seen WHERE state = 'failed'")
            assert "breaks" in reason
            assert attempts == 1
            wire.on_server = None
            store.change("UPDATE imap_seen SET retry_at = 0 WHERE state = 'failed'")
            server.append(letter(4))
            await store.filed(settled=4)
        assert digests(store) == expected([letter(1), letter(2, text="poison"), letter(3), letter(4)])


async def test_a_network_that_is_gone_in_idle_is_noticed(
    server: Dovecot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("channels.mail.imap_session.IDLE_END_SECONDS", 0.5)
    with cutter(server.imap) as wire:
        idling: list[int] = []

        def look(data: bytes) -> bool:
            # The last that comes through is the server's word that it waits: RFC 2177.
            if data.startswith(b"+ idling") and not idling:
                wire.freeze()
                idling.append(wire.connections)
            return False

        wire.on_server = look
        # Nobody but the watchdog ends the wait for a server that says nothing more.
        async with reading(tmp_path, overrides(server, port=wire.port, imap={"poll": "1s", "timeout": "10m"})) as store:
            (frozen,) = await until(lambda: idling, "IDLE")
            server.append(letter(1))
            await until(lambda: wire.connections > frozen, "a new connection")
            wire.thaw()
            await store.filed(settled=1)


@pytest.mark.parametrize("point", ["move", "flag"])
async def test_killed_between_the_commit_and_the_second_step(
    server: Dovecot, tmp_path: Path, point: str, database: tuple[str, ...]
) -> None:
    mails = [letter(number) for number in range(3)]
    server.append(*mails)
    settings = overrides(server, *database, imap={"after": "move Processed" if point == "move" else "flag"})
    async with child(tmp_path, settings, point, "1") as process:
        await process.wait()
    store = Store(tmp_path, settings)
    assert store.states() == {"filed": 3}, (tmp_path / "child.log").read_text()[-2000:]
    assert server.messages() == mails
    assert server.flags() == [(), (), ()]
    async with reading(tmp_path, settings):
        await store.filed(settled=3)
    assert digests(store) == expected(mails)
    if point == "move":
        assert (server.messages(), server.messages("Processed")) == ([], mails)
    else:
        assert server.flags() == [(b"\\Seen",)] * 3


async def test_rows_deleted_behind_our_back_and_a_mail_below_the_cursor(
    server: Dovecot, tmp_path: Path, database: tuple[str, ...]
) -> None:
    mails = [letter(number) for number in range(5)]
    server.append(*mails[:4])
    settings = overrides(server, *database, imap={"reconcile": "1s", "poll": "1s"})
    async with reading(tmp_path, settings) as store:
        await store.filed(settled=4)
        uids = [row[0] for row in store.rows("SELECT uid FROM imap_seen ORDER BY uid")]
        store.change(f"DELETE FROM imap_seen WHERE uid IN ({uids[0]}, {uids[2]})")
        await store.filed(settled=4)
        assert digests(store) == expected(mails[:4])
    # The cursor says that numbers were passed of which nobody knows.
    server.append(mails[4])
    store.move_cursor(50)
    async with reading(tmp_path, settings):
        await store.filed(settled=5)
    assert digests(store) == expected(mails)


async def test_a_journal_row_that_is_gone_is_taken_in_again(
    server: Dovecot, tmp_path: Path, database: tuple[str, ...]
) -> None:
    server.append(letter(1), letter(2))
    settings = overrides(server, *database)
    async with reading(tmp_path, settings) as store:
        await store.filed(settled=2)
    entry = store.one("SELECT id FROM entry WHERE peer LIKE 'client1@%'")
    store.change(f"DELETE FROM raw WHERE entry_id = {entry}", f"DELETE FROM delivery WHERE entry_id = {entry}",
                 f"DELETE FROM entry WHERE id = {entry}")  # fmt: skip
    async with reading(tmp_path, settings):
        await until(lambda: store.entries() == 2, "the comparison")
    assert digests(store) == expected([letter(1), letter(2)])


async def test_five_thousand_old_mails_are_left_alone(server: Dovecot, tmp_path: Path) -> None:
    server.fill(letter(number) for number in range(5000))
    settings = overrides(server, imap={"existing": "new"})
    began = time.monotonic()
    async with reading(tmp_path, settings) as store:
        await store.filed(old=5000)
        print(f"first look at 5,000 mails: {time.monotonic() - began:.1f} s from the start")
        server.append(letter(5000))
        await store.filed(old=5000, settled=1)
    async with reading(tmp_path, settings):  # knows them
        server.append(letter(5001))
        await store.filed(old=5000, settled=2)
    assert digests(store) == expected([letter(5000), letter(5001)])
    assert server.flags()[:5000] == [()] * 5000


async def test_new_numbers_file_nothing_twice_and_answer_nobody(
    server: Dovecot, tmp_path: Path, database: tuple[str, ...]
) -> None:
    known = [letter(1), letter(2, message_id=None)]
    server.append(*known)
    settings = overrides(server, *database)
    async with running(tmp_path, settings) as desk:
        await desk.until(lambda: desk.store.states() == {"settled": 2}, "the first numbers")
    server.append(letter(3))  # while the gateway is down
    server.stop()
    server.forget_numbers()
    server.start()
    async with running(tmp_path, settings) as desk:
        await desk.until(lambda: desk.store.states() == {"settled": 5}, "the new numbers")
        await desk.tickets(3)
        assert desk.store.one("SELECT count(DISTINCT uidvalidity) FROM imap_seen") == 2
        assert digests(desk.store) == expected([*known, letter(3)])
        assert desk.store.acknowledgements() == 2, "what was listed again is not acknowledged"
        server.append(letter(4))
        await desk.tickets(4)
        assert desk.store.acknowledgements() == 3


async def test_more_than_fifty_answers_wait_for_a_yes(
    server: Dovecot, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    server.append(*(letter(number) for number in range(51)))
    settings = overrides(server)
    async with running(tmp_path, settings) as desk:
        await desk.until(lambda: "51 of them answered" in caplog.text and "--yes" in caplog.text, "the question")
        assert (desk.store.entries(), desk.store.states()) == (0, {})
    async with running(tmp_path, settings, confirmed=True) as desk:
        await desk.tickets(51)
        assert desk.store.acknowledgements() == 51
