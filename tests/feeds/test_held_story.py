"""Suspected spam beside a ticket store: it is written there when staff release it, and never when they do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.feeds.desk import Desk, desk

BELIEVING = 'channels.mail.support.authserv_ids=["mx.desk.example"]'
FAILED = {"Authentication-Results": "mx.desk.example; dmarc=fail header.from=client.example"}


async def arrived(it: Desk, subject: str) -> str:
    """Wait for the ticket that a mail becomes. Returns its number."""
    wanted = "SELECT number FROM ticket WHERE subject = ?"
    return str((await it.until(lambda: it.rows(wanted, subject), f"the ticket of {subject!r}"))[0][0])


@pytest.mark.timeout(300)
async def test_spam_is_not_written_to_the_store_and_what_was_none_is(tmp_path: Path) -> None:
    async with desk(tmp_path, BELIEVING, feed={"timeout": "1m"}) as it:
        await it.mail("Win a car", subject="Spam", sender="eve@client.example", headers=FAILED)
        spam = await arrived(it, "Spam")
        doubted = await it.mail("No light", subject="Doubted", sender="boris@client.example", headers=FAILED)
        released = await arrived(it, "Doubted")
        await it.mail("Still no light", subject="Re: Doubted", sender="boris@client.example", headers=FAILED,
                      answers=doubted)  # fmt: skip
        await it.until(lambda: it.rows("SELECT count(*) FROM message")[0][0] == 3, "three messages")
        await it.mail("The printer", subject="Good", sender="anna@client.example")
        await it.until(lambda: it.writes() == [("open", "done")], "the one that nobody doubts is written")
        assert [ticket["subject"] for ticket in it.store.tickets()] == ["Good"]

        await it.api("POST", f"/tickets/{spam}/status", {"status": "closed"})
        await it.api("POST", f"/tickets/{released}/status", {"status": "open"})
        await it.until(lambda: len(it.store.tickets()) == 2 and it.is_quiet(), "the released one is written")
        await it.until(lambda: it.letters("boris@client.example"), "the acknowledgement that it did not get before")
        await it.mail("One more", subject="Last", sender="anna@client.example")
        await it.until(lambda: len(it.store.tickets()) == 3, "the next one")
        assert [ticket["subject"] for ticket in it.store.tickets()] == ["Good", "Doubted", "Last"]
        assert (it.store.ticket(1)["status"], it.store.texts(2)[0]) == ("open", "No light")
        assert it.rows("SELECT count(*) FROM feed_link") == [(3,)]
        assert it.letters("eve@client.example") == []
