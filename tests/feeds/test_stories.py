"""Whole stories with a store: mail in, a ticket there, what staff do there, and what the requester hears of it."""

from __future__ import annotations

from pathlib import Path

from tests.feeds.desk import desk


async def test_mail_becomes_a_ticket_in_the_store_and_what_staff_do_there_reaches_the_requester(tmp_path: Path) -> None:
    async with desk(tmp_path, feed={"wait": "30s"}) as it:
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
