"""A store whose words are hostile or broken: nothing of it gets into headers, and nothing of it holds up the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.feeds.desk import desk

pytestmark = pytest.mark.timeout(600)

QUICK = {"wait": "1h"}


async def test_line_ends_in_a_subject_and_nul_in_a_reply_harm_nothing(tmp_path: Path) -> None:
    async with desk(tmp_path, feed=QUICK) as it:
        await it.mail()
        await it.opened()
        it.store.set(1, subject="Printer\r\nBcc: eve@evil.example\r\n\r\n<script>")
        await it.heard(1, "subject")
        assert it.ticket()["subject"] == "Printer Bcc: eve@evil.example <script>"
        it.store.reply(1, "One\0two <script>alert(1)</script>")
        await it.until(lambda: len(it.letters()) == 2, "the reply")
        letter = it.letters()[1]
        assert letter["Bcc"] is None
        assert "One" in it.said_to()[1] and "two" in it.said_to()[1]
        it.store.reply(1, "see", files={"../../etc/pass\r\nwd": b"x"})
        await it.until(lambda: len(it.letters()) == 3, "the file")
        assert it.rows("SELECT filename FROM attachment ORDER BY id DESC")[0][0] == "pass wd"
