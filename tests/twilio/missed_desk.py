"""A reader of lists of calls with a real journal and ledger, and nothing that makes tickets: it starts at once."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from channels.contract import Accepted, Cursor
from channels.rounds import Pace
from channels.voice.missed import MissedCalls
from channels.voice.settings import VoiceAccount
from channels.voice.told import raw_call
from gateway.context import Context
from gateway.demo.twilio_api import Network, Telephony, TwilioApi
from gateway.folders import Folders
from gateway.ledger import StoreLedger
from gateway.listening import troubles
from gateway.pipeline import Pipeline
from gateway.store.blobs import Blobs
from gateway.store.database import open_database
from gateway.workers import Limits, WorkerPool
from normalizer.message import InlineBody, RawMessage
from tests.mailboxes.desk import Store
from tests.mailboxes.desk import until as waited
from tests.twilio.lists_desk import Clock
from tests.twilio.provider import ACCOUNT, ANNA, OURS, SID, TOKEN

PATIENCE = 90.0


@dataclass
class Desk:
    """What the tests touch."""

    clock: Clock
    telephony: Telephony
    api: TwilioApi
    store: Store
    pipeline: Pipeline
    ledger: StoreLedger
    before: list[Callable[[], Awaitable[object]]] = field(default_factory=list)
    """What is done, or raised, in front of the next commits that bring calls."""
    commits: list[tuple[int, str]] = field(default_factory=list)
    """(raw messages, cursor) of each."""

    async def intake(self, raws: Any, cursor: Cursor | None = None, /) -> list[Accepted]:
        if raws and self.before:
            await self.before.pop(0)()
        found = await self.pipeline.accept(raws, cursor)
        self.commits.append((len(raws), cursor.value if cursor else ""))
        return list(found)

    def called(self, *, ago: float, seconds: int = 30, sender: str = ANNA, to: str = OURS, **more: Any) -> str:
        """Somebody called so many minutes ago, and no request reached us. The call's SID."""
        begun = (self.clock() - timedelta(minutes=ago)).replace(microsecond=0)
        return self.telephony.remembered.came(sender=sender, to=to, begun=begun, seconds=seconds, **more)

    def leads_here(self, *numbers: str) -> None:
        """Calls to these numbers have reached us before."""
        for number in numbers:
            begins(self.store, self.clock(), number)

    def kept(self) -> list[str]:
        """SIDs of the calls in the journal, in the order in which they came."""
        return list(dict.fromkeys(row[0] for row in self.store.rows("SELECT peer FROM entry ORDER BY id")))

    def routes(self) -> list[str]:
        """What the entries are about, in order."""
        rows = self.store.rows("SELECT external_id FROM entry ORDER BY id")
        return [str(row[0]).split(":")[1] for row in rows]

    def cursors(self) -> dict[str, str]:
        return dict(self.store.rows("SELECT name, value FROM cursor"))

    def request(self, sid: str, route: str, **more: str) -> RawMessage:
        """As a webhook of ours makes it."""
        body = InlineBody(content=f"CallSid={sid}".encode())
        fields = {"CallSid": sid, "From": ANNA, "To": OURS, "Direction": "inbound", **more}
        return raw_call(
            fields, route, channel="voice", account="main", query="", body=body,
            whole="0" * 64, now=self.clock(), facts={},
        )  # fmt: skip

    async def until(self, true: Callable[[], Any], what: str) -> None:
        """Wait for it, and say what was there instead."""
        try:
            await waited(true, what, PATIENCE)
        except AssertionError as error:
            asked = [(call.on, call.fault, call.error) for call in self.api.calls[-20:]]
            raise AssertionError(f"{error}: {self.routes()[-20:]}, {self.cursors()}, asked {asked}") from None

    def reader(self, *, often: timedelta | None = None, **account: Any) -> MissedCalls:
        """`often`: the pause between comparisons, also one that nobody may configure."""
        settings = VoiceAccount.model_validate({**ACCOUNT, "api_url": self.api.url, **account})
        settings = settings if often is None else settings.model_copy(update={"reconcile": often})
        tokens = [TOKEN] if "auth_token" not in account else [account["auth_token"], TOKEN]
        return MissedCalls(
            "main", settings, tokens, clock=self.clock, ledger=self.ledger, chance=lambda: 0.5,
            pace=Pace(first=0.02, longest=0.1, hopeless=0.1),
        )  # fmt: skip

    async def compared(self, **account: Any) -> dict[str, str]:
        """One whole comparison by a gateway that starts and stops; what operators hear."""
        async with self.comparing(**account) as one:
            await self.until(lambda: one.compared, "a whole comparison")
            return await troubles([one])

    @asynccontextmanager
    async def comparing(self, **account: Any) -> AsyncIterator[MissedCalls]:
        one = self.reader(**account)
        await one.start(self.intake)
        try:
            yield one
        finally:
            await one.stop()


def begins(store: Store, at: datetime, number: str = OURS) -> None:
    """A call to this number that reached us, and that nobody need look at any more."""
    instant = int(at.timestamp() * 1_000_000)
    store.change(
        "INSERT INTO call (channel, account, call, caller, called, state, step, outcome, begun_at, ended_at, seconds)"
        f" VALUES ('voice', 'main', 'CAfirst{number}', '+380670000000', '{number}', '{{}}', 1, 'silent',"
        f" {instant}, {instant}, 1)"
    )


@asynccontextmanager
async def missed_desk(var: Path, template: Path, ctx: Context) -> AsyncIterator[Desk]:
    """The desk and the API; `template` is an empty database."""
    folders, clock = Folders(var=var), Clock()
    folders.make()
    shutil.copy(template, var / "gateway.db")
    db, blobs = open_database(f"sqlite:///{var / 'gateway.db'}", readers=2), Blobs(folders.blobs)
    pool = WorkerPool(count=1, limits=Limits(seconds=1, memory=1 << 30), blobs=folders.blobs, policy=ctx.policy)
    telephony = Telephony(network=Network(account_sid=SID, token=TOKEN, clock=clock))
    try:
        async with TwilioApi(telephony.network, more=telephony.routes(), telephony=telephony).running() as api:
            telephony.recordings.api_url = api.url
            pipeline = Pipeline(db=db, blobs=blobs, pool=pool, ctx=ctx, clock=clock)
            desk = Desk(clock, telephony, api, Store(var), pipeline, StoreLedger(db, clock))
            desk.leads_here(OURS)
            yield desk
        assert api.complaints == []
    finally:
        await db.close()
