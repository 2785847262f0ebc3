"""A desk that is called, without a wire: forms of Twilio's are journalled, read and filed in any order."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import Row, select

from gateway import texts
from gateway.call_policy import CallPolicy
from gateway.context import Context
from gateway.filing import Filed
from gateway.store import schema
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from normalizer.message import InlineBody, RawMessage
from normalizer.twilio_call import read
from router.policy import Policy
from tests.gateway.conftest import FrozenClock
from tests.gateway.filing_desk import AGENTS, Desk, context
from tests.twilio.provider import ANNA, OURS, SID

CONFIG = Path(__file__).parents[2] / "config"
RECORDINGS = f"https://api.twilio.com/2010-04-01/Accounts/{SID}/Recordings"


@cache
def spoken() -> texts.Texts:
    found, problems = texts.load(CONFIG)
    assert found is not None, problems
    return found


def called(policy: Policy | None = None, *, calls: CallPolicy | None = None, **settings: Any) -> Context:
    """Settings with a number that can be called, in English."""
    account = {"account_sid": SID, "auth_token": "env:NONE", "numbers": [OURS], "language": "en"}
    given = {"channels": {"voice": {"main": account}}, "agents": AGENTS, **settings}
    made = context(policy, **given)
    return replace(made, texts=spoken(), calls=calls or CallPolicy())


class CallDesk(Desk):
    """Tells of calls."""

    def __init__(self, db: Database, blobs: Blobs, clock: FrozenClock, ctx: Context | None = None) -> None:
        super().__init__(db, blobs, clock, ctx or called())
        self._told = 0

    async def tell(self, sid: str, route: str, step: int = 0, *, caller: str = ANNA, **form: str) -> Filed:
        """One request about a call, journalled and filed as it came."""
        self._told += 1
        # What is told of a recording beside the call does not say who calls.
        who = {} if route == "recorded" else {"From": caller, "To": OURS}
        content = urlencode({"CallSid": sid, "AccountSid": SID, **who, **form}).encode()
        facts = {"route": route, "query": f"s={step}" if step else "", "transport": "webhook"}
        own: dict[str, Any] = {
            "channel": "voice", "account": "main", "format": "twilio_call/1", "external_id": f"told:{self._told}",
            "peer": sid, "facts": facts, "deliveries": (("main", OURS),),
        }  # fmt: skip
        raw = RawMessage(fingerprint="0" * 64, received_at=self.clock(), body=InlineBody(content=content), **own)
        entry = await self.accept(read(raw), content=content, **own)
        return await self.file(entry, read(raw))

    async def begins(self, sid: str, *digits: str, caller: str = ANNA) -> None:
        """A call, and the keys that are pressed one after another."""
        await self.tell(sid, "main", caller=caller)
        for step, key in enumerate(digits, 1):
            await self.tell(sid, "main", step, caller=caller, Digits=key)

    async def call(self, sid: str) -> Row[Any]:
        table = schema.call
        return await self.db.read(lambda conn: conn.execute(select(table).where(table.c.call == sid)).one())

    async def files(self, ticket_id: int) -> list[Row[Any]]:
        """Attachments of a ticket."""
        table, message = schema.attachment, schema.message
        wanted = select(table).join(message, message.c.id == table.c.message_id).where(message.c.ticket_id == ticket_id)
        return list(await self.db.read(lambda conn: conn.execute(wanted).all()))


def about(recording: str) -> dict[str, str]:
    """What every word about a recording names."""
    return {"RecordingSid": recording, "RecordingUrl": f"{RECORDINGS}/{recording}"}
