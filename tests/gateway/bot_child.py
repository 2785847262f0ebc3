"""A process that files what people tell a bot and kills itself at a fail point: `folder url date [point count]`.

The first call accepts the updates; every call files what is pending.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from channels.telegram.inbound import raw_message
from gateway.context import Context
from gateway.keyring import Keyring
from gateway.pipeline import Pipeline
from gateway.settings import Settings
from gateway.store import people
from gateway.store.blobs import Blobs
from gateway.store.database import open_database
from gateway.workers import Limits, WorkerPool
from normalizer.message import InlineBody, RawMessage
from router.policy import Policy
from tests.gateway.bot_desk import SETTINGS
from tests.gateway.filing_child import Bomb, settled

PEOPLE = range(101, 105)
SAID = (
    "/start", "press language:uk", "The printer does not print", "/new", "The phone is dead", "/status",
    "/link {who}@client.example", "000000", "press nonsense:1", "/stop", "/nonsense",
)  # fmt: skip
"""What each of them says, in this order."""
UNCAPPED = {"caps": {"per_address_minute": 1000, "per_account_minute": 1000, "per_address_day": 1000}}
"""How much is said in one minute must not hang on how long a kill and another start take."""


def updates(date: int) -> Iterator[dict[str, Any]]:
    """As Telegram would tell it."""
    for number, text in enumerate(SAID):
        for who in PEOPLE:
            update_id = number * 1000 + who
            person = {"id": who, "is_bot": False, "first_name": "Ann", "language_code": "en"}
            chat = {"id": who, "type": "private"}
            if text.startswith("press "):
                under = {"message_id": 1, "chat": chat, "date": date, "text": "?"}
                press = {"id": str(update_id), "from": person, "message": under, "data": text.removeprefix("press ")}
                yield {"update_id": update_id, "callback_query": press}
            else:
                said = text.format(who=who)
                message = {"message_id": update_id, "from": person, "chat": chat, "date": date, "text": said}
                yield {"update_id": update_id, "message": message}


def raws(date: int) -> list[RawMessage]:
    """What is accepted, the same in every process."""
    made = []
    for update in updates(date):
        content = json.dumps(update).encode()
        facts = {"transport": "polling", "bot_id": 1, "bot_name": "desk_bot"}
        now = datetime.fromtimestamp(date, UTC)
        body = InlineBody(content=content)
        made.append(raw_message(content, account="bot", bot_id=1, body=body, now=now, facts=facts))
    return made


async def main(folder: Path, url: str, date: int, bomb: Bomb) -> None:
    db = open_database(url, failpoint=bomb, busy_timeout=60.0)
    blobs = Blobs(folder / "blobs")
    settings = Settings.model_validate({**SETTINGS, **UNCAPPED})
    ctx = Context(settings=settings, policy=Policy(), keyring=Keyring(b"k" * 32))
    pool = WorkerPool(count=1, limits=Limits(seconds=60, memory=512 << 20), blobs=blobs.folder, policy=Policy())
    await pool.start()
    pipeline = Pipeline(
        db=db, blobs=blobs, pool=pool, ctx=ctx, clock=lambda: datetime.now(UTC), failpoint=bomb
    )  # fmt: skip
    now = datetime.now(UTC)
    for who in PEOPLE:
        address = f"{who}@client.example"
        await db.write(lambda conn, address=address: people.contact_for(conn, "mail", address, "", now))
    await pipeline.accept(raws(date))
    bomb.armed = True
    stop = asyncio.Event()
    running = asyncio.create_task(pipeline.run(stop))
    await settled(db)
    stop.set()
    await running
    await pool.stop()
    await db.close()


if __name__ == "__main__":
    arguments = sys.argv[4:]
    chosen = Bomb(arguments[0], int(arguments[1])) if arguments else Bomb("", 0)
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), chosen))
