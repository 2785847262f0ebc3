"""Each trouble of a mailbox is an alarm of its own, and each has its all-clear."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from tests.mailboxes.desk import Shifted, letter, overrides, reading, until
from tests.mailboxes.test_login import provider
from tests.services.cutter import cutter
from tests.services.dovecot import dovecot

pytestmark = [pytest.mark.services("dovecot"), pytest.mark.xdist_group("dovecot")]
# Nothing is filed or sent here, and that is no matter of these tests.
OPERATOR = ("operators=[operator@ops.example]", "alerts.journal_age=30d", "alerts.outbox_age=30d", "alerts.repeat=0s")


async def test_a_mailbox_that_cannot_be_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock, cause = Shifted(), "mailbox mail/support"
    with dovecot() as server:
        server.append(letter(1))
        async with reading(tmp_path / "var", overrides(server, *OPERATOR), clock=clock) as store:
            await store.filed(settled=1)
            assert await store.alarms.told() == []
            server.kill()
            await until(lambda: "mail/support: " in caplog.text, "the first failure")
            clock.by += timedelta(minutes=1)
            assert await store.alarms.told() == [], "a short break is no news"
            clock.by += timedelta(minutes=8)
            await store.alarms.until((cause, "raised"))
            server.start()
            await store.alarms.until((cause, "raised"), (cause, "cleared"))


async def test_what_the_hourly_comparison_finds(tmp_path: Path) -> None:
    clock, cause = Shifted(), "reconciliation mail/support"
    said: list[bytes] = []

    def heard(data: bytes) -> bool:
        said.append(data)
        return False

    def waits(connection: int) -> bool:
        """It has looked, and waits for news. Each comparison is another connection's."""
        connections = b"".join(said).split(b" LOGIN ")[1:]
        return len(connections) >= connection and b" IDLE" in connections[connection - 1]

    with dovecot() as server, cutter(server.imap) as wire:
        wire.on_client = heard
        server.append(letter(1), letter(2), letter(3))
        settings = overrides(server, *OPERATOR, port=wire.port, imap={"poll": "1s"})
        async with reading(tmp_path / "var", settings, clock=clock) as store:
            await store.filed(settled=3)
            clock.by += timedelta(hours=1)
            await until(lambda: waits(2), "a comparison that finds nothing")
            assert await store.alarms.told() == []
            store.change("DELETE FROM imap_seen WHERE uid = 2")
            clock.by += timedelta(hours=1)
            await store.alarms.until((cause, "raised"))
            await store.filed(settled=3)
            assert store.entries() == 3, "it was known by its Message-ID"
            assert await store.alarms.told() == [(cause, "raised")], "it stands until a comparison finds nothing"
            clock.by += timedelta(hours=1)
            await store.alarms.until((cause, "raised"), (cause, "cleared"))


async def test_messages_that_cannot_be_moved(tmp_path: Path) -> None:
    clock, cause = Shifted(), "moving mail/support"
    with dovecot() as server:
        server.append(letter(1))
        in_the_way = server.root / "mail/support/.Filed"
        in_the_way.touch()  # no folder of this name can be made
        settings = overrides(server, *OPERATOR, imap={"after": "move Filed"})
        async with reading(tmp_path / "var", settings, clock=clock) as store:
            await store.filed(filed=1)
            await store.alarms.until((cause, "raised"))
            in_the_way.unlink()
            server.kill()
            server.start()
            await store.filed(settled=1)
            await store.alarms.until((cause, "raised"), (cause, "cleared"))


async def test_a_token_that_ends_within_14_days(tmp_path: Path) -> None:
    clock, cause = Shifted(), "token mail/support imap"
    secret = tmp_path / "refresh"
    secret.write_text("first-refresh")
    async with provider() as tokens:
        with dovecot(introspection=f"{tokens.url}/introspect/") as server:
            server.append(letter(1))
            said = {"token_url": f"{tokens.url}/token", "client_id": "gateway", "refresh_token": f"file:{secret}"}
            settings = overrides(server, *OPERATOR, imap={"password": None, "oauth": said})
            async with reading(tmp_path / "var", settings, clock=clock) as store:
                await store.filed(settled=1)
                await store.alarms.until((cause, "raised"))
                tokens.days = 90
                clock.by += timedelta(hours=2)  # the access token is over
                server.kill()
                server.start()
                await store.alarms.until((cause, "raised"), (cause, "cleared"))
