"""Leaving a mail server that we are connected to."""

from __future__ import annotations

import asyncio
from typing import cast

from aiosmtplib import SMTP


async def quit_and_leave(client: SMTP) -> None:
    """QUIT (RFC 5321 section 4.1.1.10), its answer, and the end. Raises SMTPException."""
    try:
        await client.execute_command(b"QUIT")
    finally:
        leave(client)


def leave(client: SMTP) -> None:
    """Close the connection now: it is gone when the event loop comes round again.

    Within TLS the library's `close` says farewell (RFC 8446 section 6.1) and then waits half a minute for the other
    side's. Nothing more is to come, a relay that is gone would hold the socket for so long, and a command that is done
    would end with an open one.
    """
    transport = client.transport
    client.close()
    if transport is not None:
        cast(asyncio.WriteTransport, transport).abort()
