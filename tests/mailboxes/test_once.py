"""One mail is one message, ticket and acknowledgement, whichever of two ways brings it first."""

from __future__ import annotations

import asyncio
import smtplib
from pathlib import Path

import pytest

from tests.mailboxes.desk import Running, letter, overrides, running
from tests.services.dovecot import Dovecot

pytestmark = [pytest.mark.services("dovecot"), pytest.mark.xdist_group("dovecot")]


async def by_smtp(desk: Running, mail: bytes) -> None:
    """Handed over as a mail server does, which adds its trace."""

    def send() -> None:
        host, _, port = desk.listening["smtp"].rpartition(":")
        traced = b"Received: from mx.client.example by relay.example; Mon, 04 May 2026 09:00:00 +0000\r\n" + mail
        with smtplib.SMTP(host, int(port)) as smtp:
            smtp.sendmail("client1@client.example", ["support@desk.example"], traced)

    await asyncio.to_thread(send)


async def by_mailbox(desk: Running, server: Dovecot, mail: bytes, states: int) -> None:
    """Delivered to the mailbox, and read from it."""
    await asyncio.to_thread(server.deliver, mail)
    await desk.until(lambda: desk.store.states() == {"settled": states}, "the ledger")


@pytest.mark.parametrize("first", ["smtp", "imap", "both"])
async def test_by_smtp_and_imap_in_any_order(server: Dovecot, tmp_path: Path, first: str) -> None:
    mail = letter(1)
    async with running(tmp_path, overrides(server)) as desk:
        if first == "smtp":
            await by_smtp(desk, mail)
            await desk.tickets(1)
        if first == "both":
            await asyncio.gather(by_smtp(desk, mail), by_mailbox(desk, server, mail, 1))
        else:
            await by_mailbox(desk, server, mail, 1)
        if first == "imap":
            await desk.tickets(1)
            await by_smtp(desk, mail)
        await desk.until(lambda: desk.store.acknowledgements() == 1, "the acknowledgement")
        # What comes after them is filed after them.
        await by_mailbox(desk, server, letter(2), 2)
        await desk.tickets(2)
        assert (desk.store.entries(), desk.store.acknowledgements()) == (2, 2)
        assert desk.store.one("SELECT count(*) FROM message WHERE direction = 'in'") == 2


@pytest.mark.parametrize("first", ["smtp", "imap"])
async def test_without_a_message_id_both_are_kept_and_joined_in_the_ticket(
    server: Dovecot, tmp_path: Path, first: str
) -> None:
    """Nothing says that they are one, so none is swallowed; equal ones within minutes are one ticket, answered once."""
    mail = letter(1, message_id=None)
    async with running(tmp_path, overrides(server)) as desk:
        if first == "smtp":
            await by_smtp(desk, mail)
            await desk.tickets(1)
        await by_mailbox(desk, server, mail, 1)
        if first == "imap":
            await desk.tickets(1)
            await by_smtp(desk, mail)
        done = "SELECT count(*) FROM entry WHERE state = 'done'"
        await desk.until(lambda: desk.store.one(done) == 2, "both")
        assert (desk.store.tickets(), desk.store.acknowledgements()) == (1, 1)
