"""The canary through a real relay and a real mailbox: known again, lost, and back; people are served meanwhile."""

from __future__ import annotations

import asyncio
import json
import smtplib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from aiosmtpd.smtp import SMTP

from tests.mailboxes.desk import Running, Shifted, letter, overrides, running
from tests.services.dovecot import Dovecot, dovecot
from tests.services.listening import listening

pytestmark = [pytest.mark.services("dovecot"), pytest.mark.xdist_group("dovecot")]


class Relay:
    """A mail server that delivers into Dovecot by LMTP; what it is told to lose it takes and drops."""

    def __init__(self, server: Dovecot) -> None:
        self._server = server
        self.loses = False
        self.lost = 0
        self.port = 0
        self.got: list[tuple[str, bytes]] = []

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        recipient = envelope.rcpt_tos[0]
        self.got.append((recipient, envelope.content))
        if recipient.endswith("@desk.example") and self.loses:
            self.lost += 1
        elif recipient.endswith("@desk.example"):
            await asyncio.to_thread(self._deliver, envelope.mail_from, recipient, envelope.content)
        return "250 2.0.0 queued"

    def _deliver(self, sender: str, recipient: str, content: bytes) -> None:
        with smtplib.LMTP("127.0.0.1", self._server.lmtp, timeout=90) as lmtp:
            lmtp.sendmail(sender, [recipient], content)


@asynccontextmanager
async def relaying(server: Dovecot) -> AsyncIterator[Relay]:
    relay, loop = Relay(server), asyncio.get_running_loop()
    async with listening(lambda: SMTP(relay, hostname="relay.example", loop=loop)) as relay.port:
        yield relay


def alarms(relay: Relay) -> list[bytes]:
    """From lines of the mails to the operator."""
    mails = [content for recipient, content in relay.got if recipient == "operator@ops.example"]
    return [next(line for line in mail.splitlines() if line.startswith(b"From:")) for mail in mails]


def canaries(desk: Running) -> int:
    return int(desk.store.one("SELECT count(*) FROM entry WHERE json_extract(outcome, '$.kind') = 'canary'"))


async def test_a_canary_is_known_again_lost_and_back(tmp_path: Path) -> None:
    clock = Shifted()
    with dovecot() as server:
        async with relaying(server) as relay, relaying(server) as other:
            sales = {
                "addresses": ["sales@desk.example"],
                "relay": {"host": "127.0.0.1", "port": other.port, "tls": "none"},
            }
            settings = overrides(
                server,
                f"channels.mail.support.relay={json.dumps({'host': '127.0.0.1', 'port': relay.port, 'tls': 'none'})}",
                f"channels.mail.sales={json.dumps(sales)}",
                "canary={account: support, every: 1s, within: 10m}", "alerts.interval=1s",
                "operators=[operator@ops.example]",
            )  # fmt: skip
            async with running(tmp_path / "var", settings, clock=clock) as desk:
                await desk.until(lambda: canaries(desk) >= 2, "two canaries at home")
                server.append(letter(1))
                await desk.tickets(1)
                await desk.until(lambda: desk.store.acknowledgements() == 1, "the person's acknowledgement")
                assert desk.store.rows("SELECT name FROM alert") == [] and other.got == []

                relay.loses = True
                await desk.until(lambda: relay.lost, "a canary that is lost")
                clock.by += timedelta(minutes=11)
                raised = "SELECT detail FROM alert WHERE name = 'canary mail/support'"
                ((detail,),) = await desk.until(lambda: desk.store.rows(raised), "the alarm")
                assert "by mail/support is not back" in detail
                await desk.until(lambda: len(alarms(other)) == 1, "the mail to the operator by the other account")
                assert b"sales@desk.example" in alarms(other)[0]

                relay.loses = False
                await desk.until(lambda: not desk.store.rows(raised), "the all-clear")
                await desk.until(lambda: len(alarms(other)) == 2, "the mail that says so")
                assert alarms(relay) == []

                assert desk.store.tickets() == 1 and desk.store.acknowledgements() == 1
                async with ClientSession() as site, site.get(f"http://{desk.listening['http']}/metrics") as metrics:
                    counted = [
                        line for line in (await metrics.text()).splitlines() if 'canary"' in line and "total" in line
                    ]
                assert counted and float(counted[0].rsplit(" ", 1)[1]) >= 3
