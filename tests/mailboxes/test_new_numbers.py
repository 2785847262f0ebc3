"""The server numbers the folder anew while we are connected, and may not say so."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from imapclient.exceptions import IMAPClientError

from tests.mailboxes.desk import PATIENCE, letter, overrides, running
from tests.services.cutter import cutter
from tests.services.dovecot import Dovecot

pytestmark = [pytest.mark.services("dovecot"), pytest.mark.xdist_group("dovecot")]

FOLDER = "Desk"
ARRIVED = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)
"""Whoever copies messages, with all that the server knows of them, keeps it."""


def put(server: Dovecot, *mails: bytes, folder: str = FOLDER) -> None:
    """What it refuses is sent again: it does while it finds out that something was removed under a connection."""
    ends = time.monotonic() + PATIENCE
    left = list(mails)
    while left:
        try:
            with server.client() as client:
                while left:
                    client.append(folder, left[0], (), ARRIVED)
                    del left[0]
        except IMAPClientError:
            if time.monotonic() > ends:
                raise


def made_anew(server: Dovecot, *mails: bytes) -> None:
    """A person, or a program, removes the folder and makes it again with what was in it."""
    server.another_second()
    with server.client() as client:
        client.delete_folder(FOLDER)
        client.create_folder(FOLDER)
    put(server, *mails)


@pytest.mark.parametrize("idle", [True, False], ids=["idle", "poll"])
async def test_a_folder_that_is_made_anew_while_it_is_read(server: Dovecot, tmp_path: Path, idle: bool) -> None:
    known = [letter(1), letter(2, message_id=None)]
    with server.client() as client:
        client.create_folder(FOLDER)
    put(server, *known)
    settings = overrides(server, imap={"folder": FOLDER, "idle": idle, "poll": "1s"})
    async with running(tmp_path, settings) as desk:
        await desk.until(lambda: desk.store.states() == {"settled": 2}, "the first numbers")
        made_anew(server, *known, letter(3))
        await desk.tickets(3)
        await desk.until(lambda: desk.store.one("SELECT count(DISTINCT uidvalidity) FROM imap_seen") == 2, "the list")
        assert desk.store.acknowledgements() == 2, "what was listed again is not acknowledged"
        put(server, letter(4))
        await desk.tickets(4)
        await desk.until(lambda: desk.store.acknowledgements() == 3, "an answer as before")
        wanted = Counter(hashlib.sha256(mail).hexdigest() for mail in (*known, letter(3), letter(4)))
        assert Counter(row[0] for row in desk.store.rows("SELECT sha256 FROM entry")) == wanted


@pytest.mark.parametrize("idle", [True, False], ids=["idle", "poll"])
async def test_numbers_that_are_forgotten_while_it_is_read(server: Dovecot, tmp_path: Path, idle: bool) -> None:
    known = [letter(1), letter(2, message_id=None)]
    server.append(*known)
    async with running(tmp_path, overrides(server, imap={"idle": idle, "poll": "1s"})) as desk:
        await desk.until(lambda: desk.store.states() == {"settled": 2}, "the first numbers")
        server.forget_numbers()
        put(server, letter(3), folder="INBOX")
        await desk.tickets(3)
        put(server, letter(4), folder="INBOX")
        await desk.tickets(4)
        wanted = Counter(hashlib.sha256(mail).hexdigest() for mail in (*known, letter(3), letter(4)))
        assert Counter(row[0] for row in desk.store.rows("SELECT sha256 FROM entry")) == wanted


async def test_a_connection_that_shows_what_was_is_not_believed_for_ever(server: Dovecot, tmp_path: Path) -> None:
    """The server changes the folder and goes on showing an open connection the old one: the next comparison is made
    by another connection."""
    known = [letter(1), letter(2, message_id=None)]
    server.append(*known)
    with cutter(server.imap) as wire:
        looks: list[bytes] = []

        def look(data: bytes) -> bool:
            looks.extend([data] if b"SEARCH" in data else [])
            return False

        wire.on_client = look
        imap = {"idle": False, "poll": "5s", "reconcile": "1s"}
        async with running(tmp_path, overrides(server, port=wire.port, imap=imap)) as desk:
            await desk.until(lambda: desk.store.states() == {"settled": 2}, "the first numbers")
            server.another_second()
            seen = len(looks)
            await desk.until(lambda: len(looks) > seen, "a look; the next one is seconds away")
            with server.unheard():
                server.forget_numbers()
                put(server, letter(3), folder="INBOX")
            await desk.tickets(3)
        wanted = Counter(hashlib.sha256(mail).hexdigest() for mail in (*known, letter(3)))
        assert Counter(row[0] for row in desk.store.rows("SELECT sha256 FROM entry")) == wanted
