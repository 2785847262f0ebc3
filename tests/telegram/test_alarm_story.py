"""A whole gateway in trouble: operators hear of it by a channel that is well, and by the same when it is over."""

from __future__ import annotations

import json
import smtplib
from asyncio import to_thread
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest

from gateway.circuit import LONGEST as LONGEST_PAUSE
from gateway.demo.bot_api import RECEIVING, SENDING, BotApi, Fault
from gateway.demo.bot_api.sending import Chats
from tests.channels.mail.far_side import FarSide, far_side
from tests.mailboxes.desk import Running, letter, running, until
from tests.services.ports import free_port
from tests.telegram.standin import PATIENCE, TOKEN, standin

pytestmark = pytest.mark.timeout(900)
CHAT, NUMBER, MAIL = 5_000_000_009, "+380670000009", "op@ops.example"
AGE = timedelta(minutes=10)
"""A notice that is due this long is an alert: no machine stands still so long."""
LONGEST = 70
"""Characters of a text message in Cyrillic letters."""


class Clock:
    """The machine's, and what the test makes of it."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


class Story:
    """The gateway, its bot, the port of its relay, and what operators were told."""

    def __init__(self, api: BotApi, desk: Running, var: Path, relay: int, clock: Clock) -> None:
        self.api, self.desk, self.var, self.relay, self._clock = api, desk, var, relay, clock

    def by_bot(self) -> list[str]:
        return [sent.text for sent in self.api.bot(TOKEN).part(Chats).to(CHAT)]

    def by_text_message(self) -> list[dict[str, Any]]:
        found = [json.loads(path.read_text()) for path in self.var.glob("outgoing/captured/*.json")]
        return [one for one in found if one["channel"] == "sms"]

    async def write(self) -> None:
        """Somebody writes, and is to be answered by mail."""
        host, port = self.desk.listening["smtp"].split(":")

        def deliver() -> None:
            with smtplib.SMTP(host, int(port), timeout=20) as client:
                client.sendmail("client1@client.example", ["support@desk.example"], letter(1))

        await to_thread(deliver)

    async def later(self) -> None:
        """The answer to who wrote could not be sent, for so long that it is an alert."""
        tried = "SELECT attempts FROM outbox WHERE kind = 'acknowledgement' AND attempts > 0 AND state = 'waiting'"
        await self.until(lambda: self.desk.store.rows(tried), "a try")
        self._clock.ahead += 2 * AGE

    async def told(self, what: Any, count: int) -> list[Any]:
        await self.until(lambda: len(what()) >= count, f"{count} of {what.__name__}")
        return list(what())

    async def until(self, look: Callable[[], object], what: str) -> None:
        """Wait: the longer the relay was down, the longer is the pause before it is tried again."""
        await until(look, what, LONGEST_PAUSE.total_seconds() + PATIENCE, lambda: (self.by_bot(), self.rows()))

    def rows(self) -> list[tuple[Any, ...]]:
        return self.desk.store.rows("SELECT channel, kind, state, attempts, detail FROM outbox ORDER BY id")


def mails(relay: FarSide, recipient: str) -> list[str]:
    """Texts of the mails that came to somebody."""
    return [
        message_from_bytes(content, policy=policy.default).get_body(("plain",)).get_content()  # type: ignore[union-attr]
        for _, recipients, content in relay.got
        if recipients == [recipient]
    ]


@asynccontextmanager
async def story(var: Path, *ways: str) -> AsyncIterator[Story]:
    relay, secrets, clock = free_port(), var.with_suffix(".secrets"), Clock()
    secrets.mkdir()
    for name, said in (("token", TOKEN), ("kannel", "standin-secret-of-no-worth")):
        (secrets / name).write_text(said, encoding="ascii")
    async with standin({**RECEIVING, **SENDING}) as api:
        channels = {
            "mail": {"support": {"addresses": ["support@desk.example"], "language": "ru", "outbound": "on",
                                 "from": {"name": "Desk", "address": "support@desk.example"},
                                 "relay": {"host": "127.0.0.1", "port": relay, "tls": "none"}}},
            "telegram": {"desk": {"token": f"file:{secrets}/token", "api_url": api.api_url, "poll": "1s"}},
            "sms": {"main": {"provider": "kannel", "secret": f"file:{secrets}/kannel", "outbound": "capture",
                             "numbers": ["+380440000001"], "language": "uk"}},
        }  # fmt: skip
        settings = (
            "smtp.port=0", "http.port=0", "alerts.interval=1s", f"alerts.outbox_age={AGE.seconds}s",
            "outbox.backoff=1s", "outbox.backoff_limit=1s", f"channels={json.dumps(channels)}",
            f"operators={json.dumps([{'name': 'Olha', 'language': 'en', 'ways': list(ways)}])}",
        )  # fmt: skip
        async with running(var, settings, clock=clock) as desk:
            yield Story(api, desk, var, relay, clock)


async def test_a_relay_that_is_down_is_told_by_the_bot_and_so_is_its_end(tmp_path: Path) -> None:
    async with story(tmp_path / "var", f"mail:{MAIL}", f"telegram:{CHAT}") as trouble:
        await trouble.write()
        await trouble.later()
        (alarm,) = await trouble.told(trouble.by_bot, 1)
        assert "mail/support" in alarm
        assert "in trouble" in alarm
        async with far_side(port=trouble.relay) as relay:
            await trouble.until(lambda: mails(relay, "client1@client.example"), "the acknowledgement")
            told = await trouble.told(trouble.by_bot, 2)
            assert "is over" in told[1]
            assert mails(relay, MAIL) == []
    assert len(told) == 2


async def test_a_bot_that_is_broken_is_told_by_mail(tmp_path: Path) -> None:
    async with story(tmp_path / "var", f"telegram:{CHAT}", f"mail:{MAIL}") as trouble:
        async with far_side(port=trouble.relay) as relay:
            trouble.api.plan(*[Fault(kind="error", status=401, description="Unauthorized", method="getUpdates")] * 3)
            await trouble.until(lambda: mails(relay, MAIL), "the alarm")
            (alarm,) = mails(relay, MAIL)
        assert "bot telegram/desk" in alarm
        assert trouble.by_bot() == []


async def test_an_alarm_that_the_bot_cannot_bring_goes_by_text_message_short_and_without_names(tmp_path: Path) -> None:
    async with story(tmp_path / "var", f"telegram:{CHAT}", f"sms:{NUMBER}") as trouble:
        blocked = "Forbidden: bot was blocked by the user"
        trouble.api.plan(Fault(kind="error", status=403, description=blocked, method="sendMessage"))
        await trouble.write()
        await trouble.later()
        (alarm,) = await trouble.told(trouble.by_text_message, 1)
        assert alarm["recipient"]["address"] == NUMBER
        assert alarm["destination"] == {"to": NUMBER}
        assert (alarm["subject"], alarm["html"]) == ("", "")
        assert len(alarm["text"]) <= LONGEST
        assert "outbox" in alarm["text"]
        async with far_side(port=trouble.relay):
            told = await trouble.told(trouble.by_text_message, 2)
        assert "over" in sorted(told, key=lambda one: int(one["id"]))[1]["text"]
        assert trouble.by_bot() == []
