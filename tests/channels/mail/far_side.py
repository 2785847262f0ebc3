"""A mail server to send to: real aiosmtpd with TLS and AUTH, that answers what a test scripts.

A script line is `verb reply`: the reply of MAIL, RCPT, DATA (at its end) for one transaction, in order; `-` means the
usual one, `close` closes the connection before the reply, `hang` never replies, `late` replies after `release` is set.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import ssl
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult

from tests.services.listening import listening


@dataclass
class FarSide:
    """What it is told to do, and what it got."""

    script: dict[str, list[str]] = field(default_factory=dict)
    user: str = "relay-user"
    password: str = "hunter2"
    got: list[tuple[str, list[str], bytes]] = field(default_factory=list)
    """(sender, recipients, content) of each message that came in whole, accepted or not."""
    connections: int = 0
    tls: list[bool] = field(default_factory=list)
    port: int = 0
    tokens: set[str] = field(default_factory=set)
    """Access tokens that log `user` in."""
    shown: list[str] = field(default_factory=list)
    """What was shown by XOAUTH2, good or not."""
    release: asyncio.Event = field(default_factory=asyncio.Event)
    hangs: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when it was told to hang, and does."""
    servers: list[Server] = field(default_factory=list)

    async def answer(self, server: Server, verb: str, usual: str) -> str:
        lines = self.script.get(verb, [])
        reply = lines.pop(0) if lines else "-"
        match reply:
            case "-":
                return usual
            case "close":
                server.transport.abort()  # type: ignore[union-attr]
                return usual
            case "hang":
                self.hangs.set()
                await asyncio.Event().wait()
            case "late":
                await self.release.wait()
                return usual
        return reply

    async def handle_MAIL(self, server: Server, _session: Any, envelope: Any, address: str, options: list[str]) -> str:
        reply = await self.answer(server, "MAIL", "250 2.1.0 ok")
        if reply.startswith("250"):
            envelope.mail_from = address
            envelope.mail_options.extend(options)
        return reply

    async def handle_RCPT(self, server: Server, _session: Any, envelope: Any, address: str, _options: list[str]) -> str:
        reply = await self.answer(server, "RCPT", "250 2.1.5 ok")
        if reply.startswith("250"):
            envelope.rcpt_tos.append(address)
        return reply

    async def handle_DATA(self, server: Server, session: Any, envelope: Any) -> str:
        self.got.append((envelope.mail_from, envelope.rcpt_tos, envelope.content))
        self.tls.append(session.ssl is not None or server.inside_tls)
        return await self.answer(server, "DATA", "250 2.0.0 queued as 4XYZ")

    def authenticate(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        good = (data.login.decode(), data.password.decode()) == (self.user, self.password)
        return AuthResult(success=good, handled=False)

    async def auth_XOAUTH2(self, _server: Any, args: list[str]) -> AuthResult:
        """What large providers take (developers.google.com/gmail/imap/xoauth2-protocol)."""
        self.shown.append(base64.b64decode(args[1]).decode())
        good = self.shown[-1] in {f"user={self.user}\x01auth=Bearer {one}\x01\x01" for one in self.tokens}
        return AuthResult(success=good, handled=False, auth_data=self.user)

    async def hang_up(self) -> None:
        """Close every connection, as a relay does with idle ones."""
        for server in self.servers:
            if server.transport is not None:
                server.transport.close()


class Server(SMTP):
    """One connection."""

    inside_tls = False
    line_length_limit = 65536

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self._original_transport is None:
            self.event_handler.connections += 1
            self.event_handler.servers.append(self)


@asynccontextmanager
async def far_side(
    *,
    tls: ssl.SSLContext | None = None,
    inside_tls: bool = False,
    auth: bool = False,
    smtputf8: bool = True,
    greeting: str | None = None,
    port: int = 0,
) -> AsyncIterator[FarSide]:
    """A server on a port of 127.0.0.1, a free one where none is named.

    STARTTLS with `tls`, or TLS from the first byte with `inside_tls` too.
    """
    logging.getLogger("mail.log").setLevel(logging.CRITICAL)
    side, loop = FarSide(), asyncio.get_running_loop()

    def connection() -> Server:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # aiosmtpd does not know that it is inside TLS, and warns about AUTH
            server = Server(
                side, hostname="relay.example", ident=greeting, enable_SMTPUTF8=smtputf8, loop=loop, auth_required=auth,
                auth_require_tls=not inside_tls, authenticator=side.authenticate,
                tls_context=None if inside_tls else tls,
            )  # fmt: skip
        server.inside_tls = inside_tls
        return server

    async with listening(connection, port, tls if inside_tls else None) as side.port:
        yield side
