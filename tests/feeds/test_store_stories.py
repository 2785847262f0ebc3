"""Whole stories with a real Request Tracker and a real Redmine, behind a network that breaks once."""

from __future__ import annotations

import asyncio
import base64
import json
import signal
import smtplib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any, cast

import pytest

from channels.contract import Clock
from gateway.app import utc_now
from tests.feeds import redmine_desk, rt_desk
from tests.feeds.desk import AGENT, LONG, QUICKLY, TALK, Ahead, Desk, text_of
from tests.feeds.faulty import Fault, Faulty, Way, faulty
from tests.feeds.servers_redmine import Redmine
from tests.feeds.servers_rt import Rt
from tests.feeds.shelf import Shelf
from tests.mailboxes.desk import Store, child, running, until

pytestmark = pytest.mark.timeout(600)
CHILD = Path(__file__).with_name("child.py")
RT = [pytest.mark.services("rt-setup-database-5"), pytest.mark.xdist_group("rt")]
REDMINE = [pytest.mark.services("puma", "bundle"), pytest.mark.xdist_group("redmine")]
CREATES = {"rt": r"/ticket$", "redmine": r"/issues\.json$"}


class Staff:
    """What people do in one of the two."""

    def __init__(self, server: Rt | Redmine) -> None:
        self.server = server
        self.kind = "rt" if isinstance(server, Rt) else "redmine"

    def feed(self, url: str, folder: Path) -> dict[str, Any]:
        """Settings of its feed."""
        quick = {"poll": "1s", "doubt": "1s", "timeout": "5m", "wait": "1h", "url": url}
        if isinstance(self.server, Rt):
            fields = {"class": "SupportClass", "line": "SupportLine"}
            return {"kind": "rt", "token": self.server.token(), "fields": fields, **quick}
        key = folder / "redmine-key"
        key.write_text(self.server.key())
        numbers = {"key": self.server.field("GatewayKey"), "message": self.server.field("GatewayMessage")}
        return {"kind": "redmine", "api_key": f"file:{key}", "project": "support", "fields": numbers, **quick}

    def write(self, ref: str, text: str, *, public: bool) -> None:
        """A reply or a note."""
        if isinstance(self.server, Rt):
            said = {"Content": text, "ContentType": "text/plain"}
            self.server.ask("POST", f"/ticket/{ref}/{'correspond' if public else 'comment'}", said, "olena")
        else:
            self.server.ask("PUT", f"/issues/{ref}.json", {"issue": {"notes": text, "private_notes": not public}})

    def resolve(self, ref: str) -> None:
        """It is done."""
        if isinstance(self.server, Rt):
            self.server.ask("PUT", f"/ticket/{ref}", {"Status": "resolved"}, "olena")
        else:
            self.server.ask("PUT", f"/issues/{ref}.json", {"issue": {"status_id": 3}})

    def texts(self, ref: str) -> str:
        """All that is written in it."""
        if isinstance(self.server, Rt):
            listed = self.server.ask("GET", f"/ticket/{ref}/attachments?per_page=100")["items"]
            parts = [self.server.ask("GET", f"/attachment/{each['id']}") for each in listed]
            said = [base64.b64decode(part.get("Content") or "").decode("utf-8", "replace") for part in parts]
            return "\n".join([*said, *(part.get("Filename") or "" for part in parts)])
        found = self.server.ask("GET", f"/issues/{ref}.json?include=journals,attachments", user="admin")
        return json.dumps(found["issue"], ensure_ascii=False)

    async def doubles(self) -> int:
        """Keys that more than one ticket has."""
        if isinstance(self.server, Rt):
            async with rt_desk.feed_of(self.server) as feed:
                return len([key for key in await feed.doubles() if not key.startswith("0a1b2c3d-")])
        async with redmine_desk.feed_of(self.server) as other:
            return len([key for key in await other.doubles() if not key.startswith("0a1b2c3d-")])


@pytest.fixture(params=[pytest.param("rt", marks=RT), pytest.param("redmine", marks=REDMINE)])
def staff(request: pytest.FixtureRequest) -> Staff:
    return Staff(request.getfixturevalue(request.param))


@asynccontextmanager
async def desk(staff: Staff, folder: Path, *more: str, clock: Clock = utc_now) -> AsyncIterator[tuple[Desk, Faulty]]:
    """A gateway whose feed goes through the proxy."""
    async with (
        faulty(staff.server.url) as proxy,
        running(folder / "var", (*_settings(staff, proxy.url, folder), *more), clock=clock) as gateway,
    ):
        yield Desk(var=folder / "var", store=cast(Shelf, None), running=gateway), proxy


async def test_mail_in_a_ticket_there_and_staff_s_words_back(staff: Staff, tmp_path: Path) -> None:
    clock = Ahead()
    async with desk(staff, tmp_path, clock=clock) as (it, proxy):
        proxy.faults = [Fault(Way.CUT_AFTER, "POST", CREATES[staff.kind])]
        await it.mail("The printer is broken. Принтер!", files={"log.bin": b"\0\1 a log"})
        doubted = "SELECT id FROM feed_write WHERE uncertain AND state = 'waiting'"
        await it.until(lambda: it.rows(doubted), "a try that nobody knows the end of")
        clock.passes(minutes=6)
        await it.opened()
        assert proxy.broken == 1
        ref, number = str(it.link()["ref"]), str(it.link()["number"])
        await it.until(lambda: it.letters(), "the acknowledgement")
        assert f"#{number}]" in str(it.letters()[0]["Subject"])
        assert "log.bin" in await asyncio.to_thread(staff.texts, ref)

        await asyncio.to_thread(staff.write, ref, "це кажемо лише між собою", public=False)
        await asyncio.to_thread(staff.write, ref, "Спробуйте інший кабель", public=True)
        await it.until(lambda: len(it.letters()) == 2, "the reply")
        assert "Спробуйте інший кабель" in it.said_to()[1]
        await it.mail("It works.", subject=f"Re: Printer [#{number}]", answers=_id(it))
        # There before it is resolved: RT opens a ticket that is written into.
        answer = "SELECT id FROM message WHERE text LIKE 'It works%'"
        await it.until(lambda: it.rows(answer) and it.is_quiet(), "her answer in the store")

        await asyncio.to_thread(staff.resolve, ref)
        await it.until(lambda: it.ticket()["status"] == "resolved", "the resolution")
        # It asks how it was, and a digit in answer is a vote; nothing is reopened by it.
        asks = await it.until(lambda: [mail for mail in it.letters() if "?score=5" in text_of(mail)], "the question")
        await it.mail("4", subject=f"Re: Printer [#{number}]", answers=str(asks[0]["Message-ID"]).strip("<>"))
        votes = "SELECT score FROM rating WHERE current"
        await it.until(lambda: it.rows(votes), "the vote")
        assert (it.rows(votes), it.ticket()["status"]) == ([(4,)], "resolved")
        everything = " ".join(it.said_to())
        assert "між собою" not in everything
        assert it.rows("SELECT count(*) FROM message WHERE direction = 'note' AND text LIKE '%між собою%'") == [(1,)]
        assert await staff.doubles() == 0


async def test_a_store_that_is_down_delays_nobody_and_gets_everything_after(staff: Staff, tmp_path: Path) -> None:
    clock = Ahead()
    async with desk(staff, tmp_path, clock=clock) as (it, _):
        await asyncio.to_thread(staff.server.stop)
        try:
            for number in range(3):
                await it.mail(f"Letter {number}", subject=f"Subject {number}", sender=f"p{number}@client.example")
            await it.until(lambda: len(it.writes()) >= 3, "three writes that wait")
            assert not it.is_quiet()
        finally:
            await asyncio.to_thread(staff.server.start)
        clock.passes(minutes=6)  # the proxy's 502 says nothing of what became of a try: it is left alone that long
        await it.opened(3)
        await it.until(it.is_quiet, "quiet")
        refs = {row[0] for row in it.rows("SELECT ref FROM feed_link")}
        assert len(refs) == 3 and await staff.doubles() == 0


async def test_killed_between_the_store_s_answer_and_our_note_of_it(staff: Staff, tmp_path: Path) -> None:
    """SIGKILL after the ticket was made there: the next start finds it by its key, and makes no other."""
    var = tmp_path / "var"
    settings = _settings(staff, staff.server.url, tmp_path)
    async with child(var, settings, "feed-pushed-unsettled", script=CHILD) as process:
        listening = var / "listening.json"
        await until(lambda: listening.exists() and listening.read_text().strip(), "the child", LONG)
        host, _, port = json.loads(listening.read_text())["smtp"].rpartition(":")
        await asyncio.to_thread(_post, host, int(port))
        await asyncio.wait_for(process.wait(), LONG)
        assert process.returncode == -signal.SIGKILL
    # Read while nobody runs: the next start takes it up at once.
    assert Store(var).rows("SELECT kind, state FROM feed_write") == [("open", "sending")]
    # It is started again when nothing of the dead one can be under way any more.
    async with running(var, settings, clock=Ahead(hours=1)) as gateway:
        it = Desk(var=var, store=cast(Shelf, None), running=gateway)
        await it.opened()
        await it.until(it.is_quiet, "quiet")
        assert it.writes() == [("open", "done")]
        assert await staff.doubles() == 0


def _post(host: str, port: int) -> None:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "kate@client.example", "support@desk.example", "Killed"
    mail["Message-ID"] = "<killed-1@client.example>"
    mail.set_content("The lift is stuck.")
    with smtplib.SMTP(host, port, timeout=TALK) as wire:
        wire.send_message(mail)


def _settings(staff: Staff, url: str, folder: Path) -> tuple[str, ...]:
    return (*QUICKLY, f"agents={AGENT}", f"feeds={json.dumps({'store': staff.feed(url, folder)})}")


def _id(it: Desk) -> str:
    return str(it.letters()[-1]["Message-ID"]).strip("<>")
