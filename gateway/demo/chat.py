"""The demo's view of a bot: Telegram's side of it in a thread of its own; a person writes, presses and reads."""

from __future__ import annotations

import asyncio
import struct
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from gateway.demo.beside import beside
from gateway.demo.bot_api import RECEIVING, SENDING, BotApi
from gateway.demo.bot_api.files import Files
from gateway.demo.bot_api.sending import Chats, Sent
from gateway.demo.desk import PATIENCE, wait_for

TOKEN = "100200300:token-of-the-demo"


class Chat:
    """A private chat of one person with the bot. Use it as `with telegram() as chat`."""

    def __init__(self, api: BotApi, loop: asyncio.AbstractEventLoop) -> None:
        self._api, self._loop = api, loop
        self._number = 0
        self._seen = 0
        self.user = 5_000_000_001
        self.name = "Ірина"
        self.language = "ru"
        """What the person's telephone says."""

    def account(self, folder: Path) -> Mapping[str, Any]:
        """The settings of the bot's account; its token is written into the folder."""
        path = folder / "bot-token"
        path.write_text(TOKEN, encoding="ascii")
        path.chmod(0o600)
        return {"token": f"file:{path}", "api_url": self._api.api_url, "poll": "5s", "language": "uk"}

    def says(self, text: str) -> None:
        """Write a message."""
        self._message({"text": text})

    def shows(self, caption: str, picture: bytes) -> None:
        """Send a photo, as Telegram passes it on: by reference, in several sizes."""
        sizes = []
        for side, content in ((90, picture[:200]), (1280, picture)):
            file_id = f"photo-{self._number}-{side}"
            self._do(partial(self._files.add, file_id, content, f"photos/{file_id}.png"))
            sizes.append(
                {"file_id": file_id, "file_unique_id": f"u{file_id}", "width": side, "height": side,
                 "file_size": len(content)}
            )  # fmt: skip
        self._message({"photo": sizes, "caption": caption})

    def presses(self, sent: Sent, begins: str) -> str:
        """Press the button whose words begin so. Returns its words. Raises StopIteration when there is none."""
        button = next(b for row in sent.keyboard for b in row if b["text"].startswith(begins))
        message = {"message_id": sent.id, "chat": self._chat, "date": int(time.time()), "text": sent.text}
        self._number += 1
        press = f"press-{self._number}"
        self._do(lambda: self._chats.presses.add(press))
        self._push(
            {"callback_query": {"id": press, "from": self._person, "message": message, "chat_instance": "1",
                                "data": button["callback_data"]}}
        )  # fmt: skip
        wait_for("the answer to a pressed button", lambda: self._chats.pressed.get(press))
        return str(button["text"])

    def hears(self, part: str) -> Sent:
        """Wait for the next message of the bot with these words in it."""

        def look() -> Sent | None:
            new = self._chats.to(self.user)[self._seen :]
            return next((item for item in new if part in item.text), None)

        found = wait_for(f"a message of the bot with {part!r}", look)
        self._seen = self._chats.to(self.user).index(found) + 1
        return found

    def changed(self, sent: Sent, part: str) -> None:
        """Wait until a message of the bot has other words, with these in it."""
        wait_for(f"{part!r} instead of a message", lambda: True if part in sent.text else None)

    @property
    def _chats(self) -> Chats:
        return self._api.bot(TOKEN).part(Chats)

    @property
    def _files(self) -> Files:
        return self._api.bot(TOKEN).part(Files)

    @property
    def _person(self) -> Mapping[str, Any]:
        return {"id": self.user, "is_bot": False, "first_name": self.name, "language_code": self.language}

    @property
    def _chat(self) -> Mapping[str, Any]:
        return {"id": self.user, "type": "private", "first_name": self.name}

    def _message(self, content: Mapping[str, Any]) -> None:
        self._number += 1
        head = {"message_id": self._number, "from": self._person, "chat": self._chat, "date": int(time.time())}
        self._push({"message": {**head, **content}})

    def _push(self, update: Mapping[str, Any]) -> None:
        self._do(lambda: self._api.bot(TOKEN).push(update))

    def _do(self, work: Callable[[], object]) -> None:
        """In the thread of the server, which its bots belong to."""

        async def done() -> None:
            work()

        asyncio.run_coroutine_threadsafe(done(), self._loop).result(PATIENCE)


@contextmanager
def telegram() -> Iterator[Chat]:
    """A Bot API server of our own with one bot, on a free port of the loopback, until the end of the block."""
    api = BotApi({**RECEIVING, **SENDING})
    api.bot(TOKEN, username="demo_desk_bot", name="Demo desk")
    with beside("Telegram's side", api.running()) as loop:
        yield Chat(api, loop)


def picture(side: int = 240) -> bytes:
    """A small picture as a PNG file: rows of grey, each behind its filter byte, in one compressed chunk."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes((x ^ y) & 255 for x in range(side)) for y in range(side))
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
