"""Whole stories with a store: mail in, a ticket there, what staff do there, and what the requester hears of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.feeds.desk import Desk, desk, feed_of, settings
from tests.feeds.shelf import shelf
from tests.feeds.shelf_feed import registered
from tests.mailboxes.desk import running

pytestmark = pytest.mark.timeout(600)


async def test_mail_becomes_a_ticket_in_the_store_and_what_staff_do_there_reaches_the_requester(tmp_path: Path) -> None:
    async with desk(tmp_path, feed={"wait": "1h"}) as it:
        await it.mail(files={"log.txt": b"\0\1 a log"})
        await it.opened()
        ticket = it.store.ticket()
        assert (ticket["subject"], ticket["requester"], ticket["status"]) == ("Printer", "anna@client.example", "new")
        first = it.store.messages(1)[0]
        assert (first["text"], first["public"], first["inward"]) == ("The printer is broken.", True, True)
        assert [file["name"] for file in first["files"]] == ["log.txt"]
        assert first["message_id"] == "feeds-1@client.example"
        await it.until(lambda: it.letters(), "the acknowledgement")

        it.store.reply(1, "Have you tried another cable?", files={"cable.png": b"\x89PNG" * 40_000})
        await it.until(lambda: len(it.letters()) == 2, "the reply")
        assert "another cable" in it.said_to()[1]
        sent = next(it.letters()[1].iter_attachments())
        assert (sent.get_filename(), sent.get_content()) == ("cable.png", b"\x89PNG" * 40_000)
        assert it.ticket()["reaction_met_at"] is not None

        it.store.set(1, status="resolved")
        await it.heard(1, "resolved")
        await it.until(lambda: len(it.letters()) == 3, "the resolution")
        await it.until(it.is_quiet, "quiet")
        assert it.ticket()["status"] == "resolved"
        # What was read there is not written there again, and what is ours is no news.
        assert it.store.texts(1) == ["The printer is broken.", "Have you tried another cable?"]
        assert it.store.seen.count("alter") == 0

        # The letter asks how it was, and the answer is a vote: nothing is reopened by it.
        assert "?score=5" in it.said_to()[-1]
        await it.mail("4", subject="Re: Printer", answers=str(it.letters()[-1]["Message-ID"]).strip("<>"))
        votes = "SELECT score FROM rating WHERE current"
        await it.until(lambda: it.rows(votes), "the vote")
        assert (it.rows(votes), it.ticket()["status"]) == ([(4,)], "resolved")


async def test_a_private_note_never_leaves(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        await it.mail()
        await it.opened()
        await it.until(lambda: it.letters(), "the acknowledgement")
        it.store.reply(1, "This one always calls", public=False, files={"secret.txt": b"secret"})
        it.store.reply(1, "We are on it.")
        await it.until(lambda: len(it.letters()) == 2, "the reply")
        await it.until(it.is_quiet, "quiet")
        everything = b"".join(path.read_bytes() for path in (it.var / "outgoing").rglob("*") if path.is_file())
        assert b"always calls" not in everything
        assert b"secret" not in everything
        notes = it.rows("SELECT text FROM message WHERE direction = 'note'")
        assert notes == [("This one always calls",)]
        assert it.store.texts(1) == ["The printer is broken.", "This one always calls", "We are on it."]


async def test_both_numbers_lead_to_the_ticket_and_what_staff_do_here_is_there(tmp_path: Path) -> None:
    async with desk(tmp_path, feed={"wait": "1h"}) as it:
        await it.mail()
        await it.opened()
        await it.until(it.letters, "the acknowledgement")
        assert "[#S0001]" in str(it.letters()[0]["Subject"])
        ours = it.ticket()["number"]
        for number, subject in ((2, "Re: [#S0001] Printer"), (3, f"About [#{ours}]"), (4, "[#S9999] no such")):
            await it.mail(subject=subject)
            await it.running.tickets(number)
        related = [row[0] for row in it.rows("SELECT related FROM ticket ORDER BY id")]
        assert [ours in str(one) for one in related] == [False, True, True, False]

        await it.api("POST", f"/tickets/{ours}/reply", {"text": "From our own desk"})
        await it.api("POST", f"/tickets/{ours}/note", {"text": "Among ourselves"})
        await it.api("POST", f"/tickets/{ours}/resolve", {"result": "A new cable"})
        await it.until(lambda: it.store.ticket()["status"] == "resolved", "the status there")
        assert [(said["text"], said["public"]) for said in it.store.messages(1)][1:] == [
            ("From our own desk", True), ("Among ourselves", False),
        ]  # fmt: skip
        answer = str(it.letters()[0]["Message-ID"]).strip("<>")
        await it.mail("It broke again", answers=answer)
        await it.until(lambda: it.store.ticket()["status"] == "open", "reopened there")
        assert it.store.texts(1)[-1] == "It broke again"
        assert it.ticket()["status"] == "open"
        # Nothing of that comes back as news.
        await it.until(it.is_quiet, "quiet")
        assert len(it.events("reply")) == 1


async def test_two_stores_by_contract(tmp_path: Path) -> None:
    async with shelf(tmp_path) as one, shelf(tmp_path / "two") as two:
        with registered():
            feeds = {"one": feed_of(one), "two": feed_of(two, contracts=["example"])}
            options = (*settings(one), f"feeds={json.dumps(feeds)}")
            async with running(tmp_path / "var", options) as gateway:
                it = Desk(var=tmp_path / "var", store=one, running=gateway)
                await it.mail(subject="Covered")
                await it.mail(subject="Stranger", sender="zoe@nowhere.example")
                await it.opened(2)
                assert [row["subject"] for row in one.tickets()] == ["Stranger"]
                assert [row["subject"] for row in two.tickets()] == ["Covered"]
