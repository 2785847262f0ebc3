"""Servers that can do little: what is used is what they say they can do after the login, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.mailboxes.desk import letter, overrides, reading, until
from tests.services.cutter import Cutter, cutter
from tests.services.dovecot import Dovecot, dovecot

pytestmark = [pytest.mark.services("dovecot"), pytest.mark.xdist_group("dovecot")]

COMMAND = re.compile(rb"^\S+ ((?:UID )?[A-Z]+)", re.MULTILINE)


@contextmanager
def capable(after_login: str) -> Iterator[Dovecot]:
    """A server that says so after the login. Before it, it names its usual ones: no MOVE, no UIDPLUS, but IDLE."""
    more = f"protocol imap {{\n  imap_capability = IMAP4rev1 LITERAL+ {after_login}\n}}"
    with dovecot(more=more) as server:
        yield server


@contextmanager
def overheard(server: Dovecot) -> Iterator[tuple[Cutter, list[str]]]:
    """The wire, and the commands that went over it."""
    said: list[str] = []

    def look(data: bytes) -> bool:
        said.extend(found.decode() for found in COMMAND.findall(data))
        return False

    with cutter(server.imap) as wire:
        wire.on_client = look
        yield wire, said


def deleted_by_another(server: Dovecot) -> bytes:
    """A mail that a person has deleted and not expunged."""
    mail = letter(100)
    server.append(mail)
    with server.client() as client:
        client.add_flags(client.search("ALL"), [b"\\Deleted"])
    return mail


@pytest.mark.parametrize("told", ["UIDPLUS MOVE", "UIDPLUS", ""], ids=["move", "uidplus", "neither"])
async def test_moved_as_the_server_can_and_nothing_of_others_is_expunged(tmp_path: Path, told: str) -> None:
    with capable(told) as server, overheard(server) as (wire, said):
        others = deleted_by_another(server)
        settings = overrides(server, port=wire.port, imap={"after": "move Filed", "existing": "new", "poll": "1s"})
        async with reading(tmp_path, settings) as store:
            await store.filed(old=1)
            server.append(letter(1), letter(2))
            await store.filed(old=1, settled=2)
            # Another look, and another connection: what is done is not done again.
            server.append(letter(3))
            await store.filed(old=1, settled=3)
        async with reading(tmp_path, settings):
            server.append(letter(4))
            await store.filed(old=1, settled=4)
        mails = [letter(number) for number in range(1, 5)]
        assert server.messages("Filed") == mails
        if told:
            assert server.messages() == [others]
        else:
            # An EXPUNGE would take along what another person has deleted: ours are marked, and stay.
            assert server.messages() == [others, *mails]
            assert [set(flags) for flags in server.flags()[1:]] == [{b"\\Deleted", b"\\Seen"}] * 4
        assert ("UID MOVE" in said) == ("MOVE" in told)
        assert ("UID EXPUNGE" in said) == (told == "UIDPLUS")
        assert not {"EXPUNGE", "CLOSE"} & set(said)


@pytest.mark.parametrize("idle", [True, False], ids=["idle", "poll only"])
async def test_without_idle_it_is_polled(tmp_path: Path, idle: bool) -> None:
    with capable("IDLE" if idle else "") as server, overheard(server) as (wire, said):
        settings = overrides(server, port=wire.port, imap={"poll": "10m" if idle else "1s"})
        async with reading(tmp_path, settings) as store:
            await until(lambda: store.rows("SELECT 1 FROM cursor"), "the first look")
            for number in (1, 2):
                server.append(letter(number))
                await store.filed(settled=number)
            assert wire.connections == 1
        assert ("IDLE" in said) == idle
