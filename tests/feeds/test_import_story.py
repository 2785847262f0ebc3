"""Tickets that a real Request Tracker had before us: their requesters' answers find them from the first day."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.feeds.servers_rt import Rt
from tests.feeds.test_store_stories import Staff, desk

pytestmark = [
    pytest.mark.timeout(600), pytest.mark.services("rt-setup-database-5"), pytest.mark.xdist_group("rt"),
]  # fmt: skip

PASSED = "mx.desk.example; dmarc=pass header.from=client.example"


def _old(rt: Rt, requester: str) -> str:
    body = {"Queue": "General", "Subject": "Old trouble", "Requestor": requester, "Content": "long ago"}
    ref = str(rt.ask("POST", "/ticket", body)["id"])
    said = {"Content": "We look into it.", "ContentType": "text/plain"}
    rt.ask("POST", f"/ticket/{ref}/correspond", said, "olena")
    return ref


async def test_an_answer_to_a_mail_of_the_old_store_is_in_its_ticket_here_and_there(rt: Rt, tmp_path: Path) -> None:
    ref = await asyncio.to_thread(_old, rt, "iryna@client.example")
    other = await asyncio.to_thread(_old, rt, "iryna@client.example")
    believing = 'channels.mail.support.authserv_ids=["mx.desk.example"]'
    async with desk(Staff(rt), tmp_path, believing) as (it, _):
        cursor: str | None = None
        while True:
            page: Any = await it.api("POST", "/feeds/store/import", {"cursor": cursor})
            cursor = page["cursor"]
            if cursor is None:
                break
        [(ticket, number)] = it.rows("SELECT ticket_id, number FROM feed_link WHERE ref = ?", ref)
        assert number == ref and it.writes() == []
        keys = [row[0] for row in it.rows("SELECT value FROM thread_key WHERE ticket_id = ?", ticket)]
        [sent] = [key for key in keys if key.startswith("rt-")][-1:]

        # To the mail that RT sent, by whoever asked for it.
        await it.mail("It is broken still.", subject="Re: Old trouble", sender="iryna@client.example", answers=sent,
                      headers={"Authentication-Results": PASSED})  # fmt: skip
        mine = "SELECT text FROM message WHERE ticket_id = ? AND verified"
        await it.until(lambda: it.rows(mine, ticket), "the answer in its ticket")
        await it.until(lambda: it.writes() == [("say", "done")], "the answer in the store")
        assert "It is broken still." in await asyncio.to_thread(Staff(rt).texts, ref)
        assert "It is broken still." not in await asyncio.to_thread(Staff(rt).texts, other)

        # By somebody who only saw its Message-ID: staff sees it, and nobody else.
        await it.mail("Let me in.", subject="Re: Old trouble", sender="eve@evil.example", answers=sent)
        doubted = "SELECT text FROM message WHERE ticket_id = ? AND NOT verified"
        await it.until(lambda: it.rows(doubted, ticket), "the doubted one")

        # By the store's number alone: a ticket of its own that names the other (rule 8).
        await it.mail("And the second?", subject=f"Old trouble [desk.example #{other}]", sender="iryna@client.example")
        await it.until(lambda: len(it.rows("SELECT id FROM ticket WHERE related IS NOT NULL")) >= 1, "related")
        [(related,)] = it.rows("SELECT related FROM ticket WHERE id = (SELECT max(id) FROM ticket)")
        [(named,)] = it.rows(
            "SELECT t.number FROM ticket t JOIN feed_link l ON l.ticket_id = t.id WHERE l.ref = ?", other
        )
        assert named in str(related)
