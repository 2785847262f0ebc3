"""A mailbox full of old mail that is wanted: all of it is filed once, and only what is young is answered."""

from __future__ import annotations

import hashlib
import os
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.mailboxes.desk import letter, overrides, running, until
from tests.services.dovecot import Dovecot

pytestmark = [pytest.mark.services("dovecot"), pytest.mark.xdist_group("dovecot"), pytest.mark.timeout(900)]

MANY = 5000
YOUNG = 10
PATIENCE = 300.0
"""Seconds: a bound, and no measure of speed."""


async def test_five_thousand_old_mails_are_taken_in_and_not_answered(server: Dovecot, tmp_path: Path) -> None:
    mails = [letter(number) for number in range(MANY)]
    server.fill(mails)
    # A file of the maildir is as old as it says; the last ones came within the day.
    for path in (server.root / "mail" / "support" / "cur").iterdir():
        number = int(path.name.split(".M")[1].split("P")[0])
        age = 3600 if number >= MANY - YOUNG else 25 * 3600 + number
        os.utime(path, (time.time() - age,) * 2)
    began = time.monotonic()
    async with running(tmp_path, overrides(server)) as desk:
        done = "SELECT count(*) FROM entry WHERE state = 'done'"
        await until(lambda: desk.store.rows("SELECT 1 FROM cursor"), "the first look", PATIENCE)
        looked = time.monotonic() - began
        await until(lambda: desk.store.states() == {"settled": MANY}, "the mailbox", PATIENCE)
        taken = time.monotonic() - began
        await until(lambda: desk.store.one(done) == MANY, "the filing", PATIENCE)
        print(f"{MANY:,} old mails: looked at {looked:.1f} s, taken in {taken:.1f} s, "
              f"filed {time.monotonic() - began:.1f} s after the start")  # fmt: skip
        assert desk.store.tickets() == MANY
        assert desk.store.acknowledgements() == YOUNG
        wanted = Counter(hashlib.sha256(mail).hexdigest() for mail in mails)
        assert Counter(row[0] for row in desk.store.rows("SELECT sha256 FROM entry")) == wanted
    assert server.flags() == [(b"\\Seen",)] * MANY
