"""A reader of lists with a real journal and ledger, and nothing that makes tickets: it starts at once."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from channels.contract import Accepted, Cursor
from channels.registry import CHANNELS
from channels.rounds import Pace
from channels.twilio.reconcile import Reconciler
from channels.twilio.settings import TwilioAccount
from gateway.context import Context
from gateway.demo.twilio_api import Network, TwilioApi
from gateway.demo.twilio_api.attached import Attached
from gateway.demo.twilio_api.media import MediaHost
from gateway.folders import Folders
from gateway.keyring import Keyring
from gateway.ledger import StoreLedger
from gateway.listening import troubles
from gateway.pipeline import Pipeline
from gateway.settings_files import load
from gateway.store.blobs import Blobs
from gateway.store.database import open_database
from gateway.workers import Limits, WorkerPool
from tests.mailboxes.desk import ROOT, Store, until
from tests.twilio.provider import ACCOUNT, ANNA, ANSWERED, OURS, SID, TOKEN

START = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)


class Clock:
    """The time of the gateway and of the provider."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **span: float) -> None:
        self.now += timedelta(**span)


@dataclass
class Desk:
    """What the tests touch."""

    clock: Clock
    network: Network
    api: TwilioApi
    attached: Attached
    store: Store
    pipeline: Pipeline
    ledger: StoreLedger
    fails: list[Exception] = field(default_factory=list)
    """What the next commits come to, when they bring messages."""
    commits: list[tuple[int, str]] = field(default_factory=list)
    """(messages, cursor) of each."""

    async def intake(self, raws: Any, cursor: Cursor | None = None, /) -> list[Accepted]:
        if raws and self.fails:
            raise self.fails.pop(0)
        found = await self.pipeline.accept(raws, cursor)
        self.commits.append((len(raws), cursor.value if cursor else ""))
        return list(found)

    def write(self, text: str, *, ago: float = 0, sender: str = ANNA, to: str = OURS, **more: str) -> str:
        """Somebody writes and no webhook brings it; `ago` in minutes. Its SID."""
        said = self.network.message(text, sender=sender, to=to, **more)
        self.network.dates[said["MessageSid"]] = self.clock() - timedelta(minutes=ago)
        return said["MessageSid"]

    def kept(self) -> list[str]:
        """SIDs in the journal, in order."""
        return [row[0] for row in self.store.rows("SELECT external_id FROM entry ORDER BY id")]

    def bodies(self) -> list[dict[str, str]]:
        rows = self.store.rows("SELECT content FROM raw ORDER BY entry_id")
        return [dict(parse_qsl(row[0].decode(), keep_blank_values=True)) for row in rows]

    def cursors(self) -> dict[str, str]:
        return dict(self.store.rows("SELECT name, value FROM cursor"))

    def reconciler(
        self, channel: str = "sms", *, longest: float = 0.1, often: timedelta | None = None, **account: Any
    ) -> Reconciler:
        """`often`: the pause between comparisons, also one that nobody may configure."""
        settings = CHANNELS[channel].settings.model_validate({**ACCOUNT, "api_url": self.api.url, **account})
        assert isinstance(settings, TwilioAccount)
        settings = settings if often is None else settings.model_copy(update={"reconcile": often})
        tokens = [TOKEN] if "auth_token" not in account else [account["auth_token"], TOKEN]
        return Reconciler(
            channel, "main", settings, tokens, clock=self.clock, ledger=self.ledger, chance=lambda: 0.5,
            pace=Pace(first=0.02, longest=longest, hopeless=longest),
        )  # fmt: skip

    async def compared(self, channel: str = "sms", **account: Any) -> dict[str, str]:
        """One whole comparison by a gateway that starts and stops; what operators hear."""
        async with self.comparing(channel, **account) as one:
            await until(lambda: one.compared, "a whole comparison")
            return await troubles([one])

    @asynccontextmanager
    async def comparing(self, channel: str = "sms", **account: Any) -> AsyncIterator[Reconciler]:
        one = self.reconciler(channel, **account)
        await one.start(self.intake)
        try:
            yield one
        finally:
            await one.stop()


def context(folder: Path) -> Context:
    """Of the configuration that ships; `folder` is for its key."""
    configuration = load(ROOT / "config", overrides=("smtp.port=0",))
    return Context(
        settings=configuration.settings, policy=configuration.policy, keyring=Keyring.load(folder / "key"),
        surveys=configuration.surveys, texts=configuration.texts,
    )  # fmt: skip


@asynccontextmanager
async def lists_desk(var: Path, template: Path, ctx: Context) -> AsyncIterator[Desk]:
    """The desk, the API and a host of files; `template` is an empty database."""
    folders, clock = Folders(var=var), Clock()
    folders.make()
    url = f"sqlite:///{var / 'gateway.db'}"
    shutil.copy(template, var / "gateway.db")
    db, blobs = open_database(url, readers=2), Blobs(folders.blobs)
    pool = WorkerPool(count=1, limits=Limits(seconds=1, memory=1 << 30), blobs=folders.blobs, policy=ctx.policy)
    network = Network(account_sid=SID, token=TOKEN, timeout=ANSWERED, clock=clock)
    network.number(OURS, "http://127.0.0.1:9/nobody")
    try:
        async with MediaHost().opened() as host:
            attached = Attached(network, host)
            async with TwilioApi(network, more=attached.routes()).running() as api:
                pipeline = Pipeline(db=db, blobs=blobs, pool=pool, ctx=ctx, clock=clock)
                yield Desk(clock, network, api, attached, Store(var), pipeline, StoreLedger(db, clock))
            assert api.complaints == []
    finally:
        await db.close()
