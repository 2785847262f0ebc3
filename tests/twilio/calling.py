"""A desk that calls people and asks for a mark: a clock of its own, telephones that ring, and a policy that lets it."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from gateway import calls
from gateway.client import Client
from gateway.demo.twilio_api import Network, Person, Press, Rings, Talk, Telephony, TwilioApi
from gateway.demo.twilio_api.calls_outgoing import Made
from tests.mailboxes.desk import ROOT, Running, running
from tests.twilio.provider import ANSWERED, HELD, OURS, ROOM, SID, TOKEN

KYIV = ZoneInfo("Europe/Kyiv")
LANDLINE, SECOND, MOBILE = "+380442000001", "+380442000002", "+380670000001"
MONDAY = datetime(2026, 5, 4, 12, 0, tzinfo=KYIV)
PATIENCE = 90.0
REPORTS = (Press(keys="1"), Press(keys="2"), Talk(seconds=20))
"""Ukrainian, a problem, twenty seconds of it; then silence."""


@dataclass
class Clock:
    """It runs, and can be set."""

    began: datetime = MONDAY
    _since: float = field(default_factory=time.monotonic)

    def __call__(self) -> datetime:
        return (self.began + timedelta(seconds=time.monotonic() - self._since)).astimezone(UTC)

    def set(self, at: datetime) -> None:
        self.began, self._since = at, time.monotonic()


def kyiv(month: int, day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=KYIV)


def config(folder: Path, surveys: str = "calls: true\n", contracts: str = "") -> Path:
    """The project's configuration with another policy."""
    made = folder / "config"
    if not made.exists():
        shutil.copytree(ROOT / "config", made)
        (made / "surveys.yaml").write_text(surveys, encoding="utf-8")
        if contracts:
            (made / "contracts.yaml").write_text(contracts, encoding="utf-8")
    return made


def settings(
    api: TwilioApi, secret: Path, *more: str, sms: dict[str, Any] | None = None, **voice: Any
) -> tuple[str, ...]:
    secret.write_text(TOKEN, encoding="ascii")
    said = {"account_sid": SID, "auth_token": f"file:{secret}", "numbers": [OURS], "api_url": api.url, "language": "uk"}
    said |= {"timeout": "50s"}
    ours = {**said, "timezone": "Europe/Kyiv", "brand": "Example Desk", "reconcile": "0s", **voice}
    texts = {**said, "reconcile": "0s", **(sms or {})}
    return (
        "smtp.port=0", "http.port=0", "workers.count=1", ROOM, "media.backoff=1s", "outbox.backoff=1s",
        "outbox.debounce=0s", "outbox.chat_acknowledgement_delay=0s",
        f"channels.voice.main={json.dumps(ours)}", f"channels.sms.main={json.dumps(texts)}", *more,
    )  # fmt: skip


@asynccontextmanager
async def telephones() -> AsyncIterator[TwilioApi]:
    """Twilio's side; at the end it fails when a call had a parameter that is not documented."""
    with patient():
        async with _telephones() as api:
            yield api


@contextmanager
def patient() -> Iterator[None]:
    """Whoever holds the line waits for longer than a second: a machine that does other things, too, may need it."""
    usual = calls.WITHIN
    calls.WITHIN = HELD
    try:
        yield
    finally:
        calls.WITHIN = usual


@asynccontextmanager
async def _telephones() -> AsyncIterator[TwilioApi]:
    network = Network(account_sid=SID, token=TOKEN, timeout=ANSWERED)
    telephony = Telephony(network=network)
    api = TwilioApi(network, more=telephony.routes(), telephony=telephony)
    api.numbers = {OURS}
    async with api.running():
        telephony.recordings.api_url = api.url
        yield api
    assert api.complaints == []


class Story:
    """People with telephones, Twilio, and the desk with its clock."""

    def __init__(self, api: TwilioApi, desk: Running, var: Path, clock: Clock) -> None:
        self.api, self.desk, self.var, self.clock = api, desk, var, clock
        self.phone = api.outgoing.telephony
        self.url = f"http://{desk.listening['http']}/channels/voice/main"
        self.phone.number(OURS, self.url, fallback=self.url, status_url=f"{self.url}/status")

    def rings(self, number: str, *rings: Rings) -> None:
        """What comes of calls to this number, in turn."""
        self.api.outgoing.telephones[number] = [*rings]

    async def asks(self, number: str = LANDLINE, *doings: Any) -> str:
        """Somebody calls and reports a problem. Returns the ticket's number."""
        before = self.desk.store.tickets()
        call = await self.phone.call(Person(doings=doings or REPORTS), sender=number, to=OURS)
        assert call.codes == []
        await self.desk.tickets(before + 1)
        return str(self.desk.store.one("SELECT number FROM ticket ORDER BY id DESC"))

    async def act(self, number: str, what: str, **body: Any) -> None:
        await asyncio.to_thread(Client.find(self.var).post, f"/tickets/{number}/{what}", body)

    async def solved(self, number: str = LANDLINE) -> str:
        """They asked, and it was solved."""
        ticket = await self.asks(number)
        await self.act(ticket, "resolve", result="замінили блок живлення")
        await self.idle()
        return ticket

    async def number(self) -> str:
        """Of the one ticket."""
        return str(self.desk.store.one("SELECT number FROM ticket"))

    def give_mobile(self) -> None:
        """Who called from the landline has a mobile number, too, as somebody found out."""
        self.desk.store.change(
            f"INSERT INTO identity (kind, value, contact_id) SELECT 'phone', '{MOBILE}', contact_id FROM identity"
            f" WHERE value = '{LANDLINE}'"
        )

    async def later(self, at: datetime) -> None:
        """The clock is set, and somebody calls and leaves at once: the gateway looks what is due."""
        self.clock.set(at)
        await self.phone.call(Person(leave_at=0.0), sender="anonymous", to=OURS)

    async def idle(self) -> None:
        """Whatever is due has been looked at: no timer and no notice is, and none is under way."""
        now = int(self.clock().timestamp() * 1_000_000)
        await self.desk.until(
            lambda: not self.desk.store.rows("SELECT 1 FROM timer WHERE fired_at IS NULL AND due_at <= ?", now)
            and not self.desk.store.rows("SELECT 1 FROM outbox WHERE state = 'sending' OR (state = 'waiting' AND"
                                         " due_at <= ?)", now),
            "that nothing is due",
        )  # fmt: skip
        await self.desk.until(
            lambda: not self.desk.store.rows("SELECT 1 FROM attachment WHERE state = 'pending'"), "every recording"
        )

    async def called(self, count: int, *, to: str = LANDLINE) -> list[Made]:
        """The calls to somebody, once there were so many and each is over."""

        def over() -> list[Made]:
            return [one for one in self.api.outgoing.to(to) if one.ended is not None]

        await self.api.until(lambda: len(over()) >= count, within=PATIENCE)
        await self.idle()
        assert len(self.api.outgoing.to(to)) == count
        return over()

    async def until(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        return await self.desk.until(lambda: self.desk.store.rows(query, *values), query)

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        return self.desk.store.rows(query, *values)

    def states(self) -> list[str]:
        """Of the calls' notices."""
        return [row[0] for row in self.rows("SELECT state FROM outbox WHERE kind = 'rating_call' ORDER BY id")]

    def notes(self) -> list[dict[str, Any]]:
        """What the tickets' history says of calls."""
        rows = self.rows("SELECT data FROM event WHERE kind = 'rating_call' ORDER BY id")
        return [json.loads(row[0]) for row in rows]


@asynccontextmanager
async def story(
    folder: Path, *more: str, began: datetime = MONDAY, surveys: str = "calls: true\n", contracts: str = "",
    **voice: Any,
) -> AsyncIterator[Story]:  # fmt: skip
    clock, var = Clock(began), folder / "var"
    async with telephones() as api:
        # The list of calls is asked by nobody but who asks whether a call was made.
        said = settings(api, folder / "token", *more, **{"reconcile": "0s", **voice})
        async with running(var, said, clock=clock, config=config(folder, surveys, contracts)) as desk:
            yield Story(api, desk, var, clock)
