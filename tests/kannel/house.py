"""A whole gateway with a number behind a real Kannel."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.mailboxes.desk import Running, running
from tests.services import kannel as service
from tests.services.kannel import Kannel, kannel
from tests.services.ports import free_port

OURS, ANNA, BORIS = "+380440000001", "+380670000001", "+380670000002"
SECRET = "standin-secret-of-no-worth"


def secrets(folder: Path) -> dict[str, str]:
    """Files with the secrets, as settings name them."""
    folder.mkdir(exist_ok=True)
    for name, said in (("secret", SECRET), ("password", service.PASSWORD)):
        (folder / name).write_text(said)
    return {"secret": f"file:{folder}/secret", "password": f"file:{folder}/password"}


class House:
    """Kannel, and a gateway that can be stopped and started at the same port."""

    def __init__(self, folder: Path, port: int, kannel: Kannel) -> None:
        self.folder, self.port, self.kannel = folder, port, kannel

    @asynccontextmanager
    async def desk(self, *more: str, **account: Any) -> AsyncIterator[Running]:
        said = {
            "provider": "kannel", "numbers": [OURS], "language": "ru", "api_url": self.kannel.api_url,
            "username": service.USER, **secrets(self.folder / "secrets"), **account,
        }  # fmt: skip
        settings = (
            "smtp.port=0", f"http.port={self.port}", f"channels.sms.main={json.dumps(said)}", "outbox.backoff=1s",
            "outbox.backoff_limit=1s", "outbox.chat_acknowledgement_delay=0s", *more,
        )  # fmt: skip
        async with running(self.folder / "var", settings) as gateway:
            yield gateway


@asynccontextmanager
async def house(folder: Path, **how: Any) -> AsyncIterator[House]:
    """`how` is for `tests.services.kannel.kannel`."""
    port = free_port()
    secret = how.pop("secret", SECRET)
    url = f"http://127.0.0.1:{port}/channels/sms/main?secret={secret}&{service.QUERY}"
    # In threads: the network that Kannel takes its leave of may be served by this loop.
    programs = kannel(url, **how)
    started = await asyncio.to_thread(programs.__enter__)
    try:
        yield House(folder, port, started)
    finally:
        await asyncio.to_thread(programs.__exit__, None, None, None)


def texts(gateway: Running) -> list[str]:
    """What people said, in order."""
    return [
        row[0] for row in gateway.store.rows("SELECT text FROM message WHERE direction = 'in' AND current ORDER BY id")
    ]
