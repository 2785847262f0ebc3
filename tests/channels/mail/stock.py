"""Stock aiosmtpd as the reference: it keeps what it gets, with the same recipients as ours."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiosmtpd.smtp import SMTP

from channels.mail.addresses import Recipients
from tests.channels.mail.support import ACCOUNTS
from tests.services.listening import listening


@dataclass
class Sink:
    """The handler of stock aiosmtpd."""

    contents: list[bytes] = field(default_factory=list)
    recipients: Recipients = field(default_factory=lambda: Recipients(ACCOUNTS))

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:
        if self.recipients.account_of(address) is None:
            return "550 not here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        self.contents.append(envelope.content)
        return "250 OK"

    async def handle_exception(self, _error: Exception) -> str:
        return "451 error"


class Patient(SMTP):
    """With the line limit of ours; everything else is as it comes."""

    line_length_limit = 4 * 1024 * 1024


@asynccontextmanager
async def stock() -> AsyncIterator[tuple[str, int, Sink]]:
    """A stock server on a free port: (host, port, what it got)."""
    logging.getLogger("mail.log").setLevel(logging.ERROR)
    sink, loop = Sink(), asyncio.get_running_loop()

    def connection() -> Patient:
        return Patient(sink, hostname="desk.example", enable_SMTPUTF8=True, data_size_limit=50 * 1024 * 1024, loop=loop)

    async with listening(connection) as port:
        yield "127.0.0.1", port, sink
