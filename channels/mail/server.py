"""The SMTP dialogue: aiosmtpd with the parts replaced that are slow, lose mail or talk too much.

What differs from stock aiosmtpd 1.4: DATA is read in bulk and spooled as it arrives; plain addresses do not go
through the header parser; replies are not awaited one by one; introspection runs once per process, not once per
connection; errors of ours are 4xx and say nothing; limits hold everywhere. `tests/channels/mail/test_differential.py`
holds the two side by side.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from typing import Any, Protocol, cast

from aiosmtpd.smtp import SMTP, Envelope, Session, syntax

from channels.mail.data import DataReader
from channels.mail.settings import SmtpOptions
from channels.spool import Spool

READ = 256 * 1024
WRITE_BUFFER = 64 * 1024
"""Unsent bytes of replies above which we wait for a client that does not read."""
COMMAND_LIMIT = 2048
"""Bytes of a command line: RFC 5321 asks for 512, and SMTPUTF8, SIZE and long addresses come on top."""

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-]+"
_PLAIN_ADDRESS = re.compile(
    rf"<({_ATOM}(?:\.{_ATOM})*@[A-Za-z0-9\-]+(?:\.[A-Za-z0-9\-]+)*)>(?: ([A-Za-z0-9=\- ]*))?", re.ASCII
)
_POSTMASTER = re.compile(r"<(postmaster)>", re.IGNORECASE)
_ENHANCED = re.compile(rb"([245])\.\d{1,3}\.\d{1,3} ")
_STATUS = {
    b"250": b"2.0.0 ",
    b"221": b"2.0.0 ",
    b"252": b"2.5.0 ",
    b"454": b"4.7.0 ",
    b"500": b"5.5.2 ",
    b"501": b"5.5.4 ",
    b"502": b"5.5.1 ",
    b"503": b"5.5.1 ",
    b"530": b"5.7.0 ",
    b"552": b"5.3.4 ",
    b"553": b"5.1.3 ",
    b"554": b"5.7.0 ",
    b"555": b"5.5.4 ",
}
"""Codes for stock replies that have none (RFC 2034: every 2xx, 4xx and 5xx reply but greeting and HELO/EHLO)."""


class Port(Protocol):
    """What a connection asks of the listener it belongs to."""

    options: SmtpOptions
    hostname: str
    upload_url: str

    def admit(self, connection: Connection, client: str) -> str:
        """Count a new connection in; the reply that refuses it, or ""."""
        ...

    def gone(self, connection: Connection, client: str) -> None:
        """Count it out. May be called more than once."""
        ...

    def account_of(self, address: str) -> str | None:
        """Whose mail this is."""
        ...

    def new_spool(self) -> Spool:
        """A place for a body."""
        ...

    async def accept(self, connection: Connection, spool: Spool) -> str:
        """Commit a complete message; the reply. Never raises for what goes wrong on our side."""
        ...

    def failed(self, error: Exception) -> None:
        """Record an error that no message is to blame for."""
        ...


class _FixedLimits(dict[str, int]):
    """Stock aiosmtpd clears and adds to this table, which all connections share; it stays what it is."""

    def __missing__(self, command: str) -> int:
        return COMMAND_LIMIT

    def __setitem__(self, command: str, limit: int) -> None:
        return


class _Hooks:
    """The handler of stock aiosmtpd: `Connection` has what it needs itself, so this only says where."""

    def __dir__(self) -> list[str]:
        return ["handle_MAIL", "handle_RCPT"]

    async def handle_MAIL(
        self, connection: Connection, _session: Session, _envelope: Envelope, address: str, options: list[str]
    ) -> str:
        return connection.sender(address, options)

    async def handle_RCPT(
        self, connection: Connection, _session: Session, _envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        return connection.recipient(address)


_HOOKS = _Hooks()
_COMMANDS = [
    f"smtp_{verb}"
    for verb in ("DATA", "EHLO", "EXPN", "HELO", "HELP", "MAIL", "NOOP", "QUIT", "RCPT", "RSET", "STARTTLS", "VRFY")
]


class Connection(SMTP):
    """One SMTP connection."""

    protocol = "ESMTP"
    """In the greeting; its last four letters are the transport's name."""
    # Also the limit of the stream's buffer; lines in DATA have a limit of their own.
    line_length_limit = 64 * 1024
    command_size_limits = _FixedLimits()
    command_size_limit = COMMAND_LIMIT

    def __init__(self, port: Port, loop: asyncio.AbstractEventLoop, tls: ssl.SSLContext | None) -> None:
        self.port = port
        self._refused = False
        self._lost = False
        self._commands_left = port.options.commands + 1  # the connection itself is counted, too
        self._deadline = 0.0
        self._held = b""
        self.client = ""
        """IP address of the other side."""
        self.committing = False
        self.leaving = False
        super().__init__(
            _HOOKS,
            data_size_limit=0,  # the check is ours: its refusal names the way that is open
            enable_SMTPUTF8=True,
            hostname=port.hostname,
            ident=self.protocol,
            tls_context=tls,
            require_starttls=port.options.require_tls,
            timeout=port.options.idle_time.total_seconds(),
            loop=loop,
        )

    def __dir__(self) -> list[str]:
        """What stock aiosmtpd looks for in every constructor; AUTH is not among it."""
        return _COMMANDS

    def _create_session(self) -> Session:
        self.dialogue: Session = super()._create_session()
        return self.dialogue

    def _create_envelope(self) -> Envelope:
        self.mail: Envelope = super()._create_envelope()
        return self.mail

    def _unread(self) -> bytearray:
        # The stream has no public way to look ahead or to give bytes back; stock aiosmtpd reaches for it as well.
        return cast(Any, self._reader)._buffer  # type: ignore[no-any-return]

    # -- the connection -------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection in, or refuse it; also called when TLS has started."""
        if self._original_transport is None:
            self.client = str((transport.get_extra_info("peername") or ("",))[0])
        if self._original_transport is None and (refusal := self.port.admit(self, self.client)):
            self._refused = True
            # uvloop's transports are no instances of asyncio's.
            cast(asyncio.WriteTransport, transport).write(refusal.encode() + b"\r\n")
            # Not here: uvloop begins to read behind this call, and breaks on a transport that is closing.
            self.loop.call_soon(transport.close)
            return
        super().connection_made(transport)
        if self._handler_coroutine is not None:
            self._handler_coroutine.add_done_callback(_forget)

    def data_received(self, data: bytes) -> None:
        """Bytes for the dialogue."""
        if not self._refused:
            super().data_received(data)

    def eof_received(self) -> bool | None:
        """The client has said all: what is complete in the buffer is still taken in and answered."""
        if self._refused:
            return False
        self._reader.feed_eof()
        return self.dialogue.ssl is None

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone: whatever is not complete is dropped; a commit under way goes on."""
        self.port.gone(self, self.client)
        if not self._refused and not self._lost:
            self._lost = True
            if self.committing:
                # Stock would cancel the commit. It goes on: the client has sent everything, and will repeat.
                self._handler_coroutine = cast(Any, self.loop.create_future())
            super().connection_lost(error)

    def say_goodbye(self, reply: str) -> None:
        """Close with a reply; a message that is being committed is answered first."""
        self.leaving = True
        if self.committing or self.transport is None:
            return
        # One that is closing already (QUIT inside TLS waits for the other side) cannot be written to any more.
        if not self.transport.is_closing():
            self._write(reply.encode() + b"\r\n")
            self.transport.close()
        # Ends the loop of commands, even where it would not wait: more of them may be in the buffer.
        self.transport = None
        if self._handler_coroutine is not None:
            self._handler_coroutine.cancel()

    def give_up(self, reply: str) -> None:
        """Answer before the commit has: the client repeats, the commit goes on, and the repeat is recognised."""
        if self.transport is not None and not self.transport.is_closing():
            self._write("".join(f"{line}\r\n" for line in self.replies(reply, len(self.mail.rcpt_tos))).encode())
            self.transport.close()

    def replies(self, reply: str, recipients: int) -> list[str]:
        """What is said to a message for so many recipients: one reply (RFC 5321 section 3.3)."""
        return [reply]

    def abort(self) -> None:
        """Drop the connection without a word."""
        self._writer.transport.abort()

    # -- time and counts ------------------------------------------------------------------

    def _reset_timeout(self, duration: float | None = None) -> None:
        # Stock calls this for each valid command. One timer that looks at a deadline is cheaper than a timer each.
        if self.transport is not None and self.transport.is_closing():
            # Stock has said goodbye (too many unknown commands) and reads on in what is in the buffer: a message among
            # it would be taken in without an answer, and sent again.
            raise asyncio.CancelledError
        self.touch(duration)
        if self._timeout_handle is None:
            self._timeout_handle = self.loop.call_at(self._deadline, self._timeout_cb)
        self._commands_left -= 1
        if self._commands_left < 0:
            self.say_goodbye("421 4.7.0 Too many commands without a message")

    def touch(self, duration: float | None = None) -> None:
        """The client is alive: it has the whole idle time again."""
        self._deadline = self.loop.time() + (duration or self._timeout_duration)

    def _timeout_cb(self) -> None:
        if self.committing:
            self.touch()
        if self.loop.time() < self._deadline:
            self._timeout_handle = self.loop.call_at(self._deadline, self._timeout_cb)
        else:
            self.say_goodbye("421 4.4.2 Nothing was heard for too long, closing")

    # -- replies --------------------------------------------------------------------------

    async def push(self, status: str | bytes) -> None:
        """Send one reply line, with an enhanced status code."""
        reply = status.encode("utf-8", "replace") if isinstance(status, str) else status
        code = reply[:3]
        if code in _STATUS and not _ENHANCED.match(reply, 4):
            reply = reply[:4] + _STATUS[code] + reply[4:]
        await self._send(reply + b"\r\n")

    async def _send(self, reply: bytes) -> None:
        if self.transport is None:
            return
        if reply[:1] == b"2" and reply[:3] == b"250" and b"\n" in self._unread():
            # The next command is here already (PIPELINING): its reply goes out in the same packet.
            self._held += reply
            return
        self._write(reply)
        if self._writer.transport.get_write_buffer_size() > WRITE_BUFFER:
            await self._writer.drain()

    def _write(self, reply: bytes) -> None:
        reply, self._held = self._held + reply, b""
        self._writer.write(reply)

    async def handle_exception(self, error: Exception) -> str:
        """What stock answers with 500 and the text of the error."""
        if isinstance(error, asyncio.IncompleteReadError):
            # The client hung up between two commands or within a message.
            self._write(b"")
            self._writer.close()
            self.transport = None
            return "421 4.4.2 Closing"
        self.port.failed(error)
        return "451 4.3.0 Local error, please try again later"

    # -- commands -------------------------------------------------------------------------

    @syntax("HELO hostname")
    async def smtp_HELO(self, hostname: str) -> None:
        """RFC 5321 section 4.1.1.1."""
        if not hostname:
            await self.push("501 Syntax: HELO hostname")
            return
        self._greeted(hostname, extended=False)
        await self._send(f"250 {self.hostname}\r\n".encode())

    @syntax("EHLO hostname")
    async def smtp_EHLO(self, hostname: str) -> None:
        """RFC 5321 section 4.1.1.1. AUTH is never offered: nobody logs in here."""
        if not hostname:
            await self.push("501 Syntax: EHLO hostname")
            return
        self._greeted(hostname, extended=True)
        lines = [
            self.hostname,
            f"SIZE {self.port.options.message_size}",
            "8BITMIME",
            "SMTPUTF8",
            "PIPELINING",
            "ENHANCEDSTATUSCODES",
        ]
        if self.tls_context and not self._tls_protocol:
            lines.append("STARTTLS")
        last = len(lines)
        lines.append("HELP")
        await self._send("".join(f"250{' -'[at < last]}{line}\r\n" for at, line in enumerate(lines)).encode())

    def _greeted(self, hostname: str, *, extended: bool) -> None:
        self.envelope = self._create_envelope()
        self.dialogue.extended_smtp = extended
        self.dialogue.host_name = hostname

    def sender(self, address: str, options: list[str]) -> str:
        """MAIL FROM with valid syntax: note the sender, or refuse a size that is too big."""
        for option in options:
            name, _, value = option.partition("=")
            if name == "SIZE" and (
                len(value) > 18 or not value.isascii() or int(value) > self.port.options.message_size
            ):
                return self.too_big()
        self.mail.mail_from = address
        self.mail.mail_options.extend(options)
        return "250 2.1.0 OK"

    def recipient(self, address: str) -> str:
        """RCPT TO with valid syntax: only ours, and not too many."""
        if len(self.mail.rcpt_tos) >= self.port.options.recipients:
            return "452 4.5.3 Too many recipients, send the rest in another transaction"
        if self.port.account_of(address) is None:
            return "550 5.1.1 No such mailbox here"
        self.mail.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    def too_big(self) -> str:
        """The refusal of a message over the limit, with the way that is open."""
        limit = self.port.options.message_size // (1024 * 1024)
        other = f"; big files can be handed over at {self.port.upload_url}" if self.port.upload_url else ""
        return f"552 5.3.4 The message is bigger than {limit} MB{other}"

    @syntax("QUIT")
    async def smtp_QUIT(self, arg: str) -> None:
        """RFC 5321 section 4.1.1.10. What was sent behind it is not looked at."""
        await super().smtp_QUIT(arg)
        # Stock has cancelled this task; here it takes effect, where stock waits for its reply to be sent.
        await asyncio.sleep(0)

    @syntax("DATA")
    async def smtp_DATA(self, arg: str) -> None:
        """RFC 5321 section 4.1.1.4, read in bulk; 250 is said after the commit and never before."""
        if await self.check_helo_needed():
            return
        if not self.mail.rcpt_tos:
            await self.push("503 Error: need RCPT command")
            return
        if arg:
            await self.push("501 Syntax: DATA")
            return
        if self.transport is None:
            return
        self._write(b"354 End data with <CR><LF>.<CR><LF>\r\n")
        spool = self.port.new_spool()
        try:
            reply = await self._receive(spool)
        except BaseException:
            spool.discard()
            raise
        if not reply:
            self.committing = True
            try:
                reply = await self.port.accept(self, spool)
            finally:
                self.committing = False
        replies = self.replies(reply, len(self.mail.rcpt_tos))
        self.envelope = self._create_envelope()
        if reply[:1] == "2":
            self._commands_left = self.port.options.commands
        for line in replies:
            await self.push(line)
        self.touch()
        if self.leaving:
            self.say_goodbye("421 4.3.2 Shutting down")

    async def _receive(self, spool: Spool) -> str:
        """Read until the lone dot. "" when the body is in the spool, else the reply that refuses it."""
        options = self.port.options
        data = DataReader(spool, size=options.message_size, line=options.line_length)
        ends_at = self.loop.time() + options.data_time.total_seconds()
        while not data.ended:
            chunk: bytes = await self._reader.read(READ)
            if not chunk:
                raise asyncio.IncompleteReadError(b"", None)
            self.touch()
            if self.loop.time() > ends_at or data.seen > 2 * options.message_size + READ:
                # Nothing of it is kept; a client that goes on for ever is not listened to.
                self.say_goodbye("421 4.4.2 This message takes too long or does not end")
                await asyncio.sleep(0)
            await data.feed(chunk)
        # What came behind the dot is the next command.
        if data.rest:
            self._unread()[:0] = data.rest
        match data.refusal:
            case "":
                return ""
            case "size":
                return self.too_big()
            case "line":
                return "500 5.6.0 A line is longer than we can take"
            case "full":
                return "452 4.3.1 Our disk is full, please try again later"
            case _:
                return "451 4.3.0 Local error, please try again later"

    def _getaddr(self, arg: str) -> tuple[str | None, str | None]:
        """(address, what follows) of MAIL and RCPT; (None, None) when it is none."""
        if plain := _PLAIN_ADDRESS.fullmatch(arg):
            return plain[1], (plain[2] or "").strip()
        if postmaster := _POSTMASTER.fullmatch(arg):
            return postmaster[1], ""
        try:
            found: tuple[str | None, str | None] = super()._getaddr(arg)
        except (AttributeError, IndexError, RecursionError, TypeError, ValueError):
            # The header parser of the standard library trips over some syntax errors and over deep comments.
            return None, None
        return found


def _forget(task: asyncio.Task[None]) -> None:
    """A connection that broke ends its task with an error; that is no news."""
    if not task.cancelled():
        task.exception()
