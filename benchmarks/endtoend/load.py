"""The senders: so many SMTP sessions at once, each waiting for its reply before it goes on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import uvloop

ENVELOPE = (b"MAIL FROM:<bench@client.example>\r\n", b"RCPT TO:<support@desk.example>\r\n", b"DATA\r\n")


@dataclass(slots=True)
class Sent:
    """What sending came to."""

    seconds: float = 0.0
    waits: list[float] = field(default_factory=list)
    """Seconds from the last byte of each mail to its 250."""

    def wait(self, share: float) -> float:
        """Milliseconds within which this share of the mails had its 250."""
        return sorted(self.waits)[min(int(len(self.waits) * share), len(self.waits) - 1)] * 1000


async def _session(port: int, mails: Sequence[bytes], keep: bool, waits: list[float]) -> None:
    reader = writer = None
    for mail in mails:
        if reader is None or writer is None:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            await reader.readline()
            writer.write(b"EHLO client.example\r\n")
            while (await reader.readline())[3:4] == b"-":
                pass
        for command in ENVELOPE:
            writer.write(command)
            await reader.readline()
        began = time.perf_counter()
        writer.write(mail)
        answer = await reader.readline()
        if not answer.startswith(b"250"):
            raise RuntimeError(f"a mail was refused: {answer!r}")
        waits.append(time.perf_counter() - began)
        if not keep:
            writer.write(b"QUIT\r\n")
            await reader.readline()
            writer.close()
            reader = writer = None
    if writer is not None:
        writer.close()


async def _all(port: int, mails: Sequence[bytes], sessions: int, keep: bool) -> Sent:
    sent, began = Sent(), time.perf_counter()
    await asyncio.gather(*(_session(port, mails[at::sessions], keep, sent.waits) for at in range(sessions)))
    sent.seconds = time.perf_counter() - began
    return sent


def send(port: int, mails: Sequence[bytes], sessions: int, keep: bool) -> Sent:
    """Send the mails over `sessions` connections at once, `keep` them or open a new one for each mail."""
    return uvloop.run(_all(port, mails, sessions, keep))
