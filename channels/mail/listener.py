"""The SMTP port of all mail accounts and the LMTP port beside it: connections in, `RawMessage`s out to the intake."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from channels.contract import Clock, Intake, Unavailable
from channels.mail import identity
from channels.mail.addresses import Recipients
from channels.mail.certificate import Certificate
from channels.mail.lmtp import LmtpConnection
from channels.mail.server import Connection
from channels.mail.settings import MailAccount, SmtpOptions
from channels.mail.wire_text import readable
from channels.spool import Spool, sweep
from normalizer.message import Body, Facts, InlineBody, RawMessage, SpooledBody

log = logging.getLogger(__name__)

FORMAT = "mail/1"
CLOSING_SECONDS = 5.0
"""How long a connection has to take its last reply before it is cut."""
_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
TRY_LATER = "451 4.3.0 We cannot take mail in at the moment, please try again later"
DISK_FULL = "452 4.3.1 Our disk is full, please try again later"


class SmtpListener:
    """One port for all mail accounts."""

    def __init__(
        self,
        accounts: Mapping[str, MailAccount],
        options: SmtpOptions,
        *,
        clock: Clock,
        spool: Path,
        unique: Callable[[], str],
        upload_url: str = "",
        on_stop: Sequence[Callable[[], Awaitable[None]]] = (),
    ) -> None:
        """`unique` gives an id that no other transaction ever had; `on_stop` closes what else the channel keeps."""
        self.options = options
        self.upload_url = upload_url
        self._recipients = Recipients(accounts)
        self.hostname = options.hostname or self._recipients.domain
        self._clock = clock
        self._spool = spool
        self._unique = unique
        self._on_stop = on_stop
        self._certificate: Certificate | None = None
        self._intake: Intake | None = None
        self._servers: dict[str, asyncio.Server] = {}
        self._open: set[Connection] = set()
        self._per_client: Counter[str] = Counter()
        self._committing = 0
        self._changed = asyncio.Event()

    # -- Listener -------------------------------------------------------------------------

    async def start(self, intake: Intake) -> None:
        """Open the port. Raises OSError when it is taken or the certificate cannot be read."""
        # Stock aiosmtpd logs addresses and text at info and debug.
        logging.getLogger("mail.log").setLevel(logging.ERROR)
        await self.prepare()
        self._intake = intake
        await asyncio.to_thread(self._prepare_spool)
        try:
            await self._open_port("smtp", Connection, self.options.host, self.options.port)
            if (lmtp := self.options.lmtp) is not None:
                await self._open_port("lmtp", LmtpConnection, lmtp.host, lmtp.port)
        except OSError:
            self._close_ports()
            raise

    async def _open_port(self, name: str, kind: type[Connection], host: str, port: int) -> None:
        loop = asyncio.get_running_loop()
        self._servers[name] = await loop.create_server(
            lambda: kind(self, loop, self._certificate.context() if self._certificate else None),
            host,
            port,
            backlog=max(100, self.options.connections),
        )

    def _close_ports(self) -> None:
        for server in self._servers.values():
            server.close()

    def listening(self) -> dict[str, str]:
        """`{"smtp": "127.0.0.1:2525"}`, and `lmtp` where it is open."""
        found = {}
        for name, server in self._servers.items():
            if server.sockets:
                host, port = server.sockets[0].getsockname()[:2]
                found[name] = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return found

    async def stop(self) -> None:
        """Take nothing more in, answer what is being committed, close the rest with 421."""
        self._close_ports()
        for connection in list(self._open):
            connection.say_goodbye("421 4.3.2 Shutting down, please try again later")
        await self._until(lambda: not self._committing, self.options.commit_time.total_seconds())
        await self._until(lambda: not self._open, CLOSING_SECONDS)
        for connection in list(self._open):
            connection.abort()
        for close in self._on_stop:
            await close()

    async def prepare(self) -> None:
        """Read the certificate. Raises OSError (ssl.SSLError is one) when it cannot be read."""
        chain, key = self.options.certificate, self.options.key
        if chain and key:
            self._certificate = await asyncio.to_thread(Certificate, chain, key)

    def adopt(self, successor: SmtpListener) -> Sequence[Callable[[], Awaitable[None]]]:
        """Serve the accounts of a new configuration, under its limits; the ports stay.

        What is being received keeps the account it was accepted for, and a connection its idle time.
        """
        closing, self._on_stop = self._on_stop, successor._on_stop
        self.options, self._certificate = successor.options, successor._certificate
        self._recipients, self.upload_url = successor._recipients, successor.upload_url
        self.hostname = successor.hostname
        return closing

    async def _until(self, done: Callable[[], bool], seconds: float) -> None:
        """Wait for commits and connections to end, but not for ever."""
        try:
            async with asyncio.timeout(seconds):
                while not done():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            log.warning("stopping did not wait for %d commits and %d connections", self._committing, len(self._open))

    # -- what a connection asks -----------------------------------------------------------

    def admit(self, connection: Connection, client: str) -> str:
        """Count a connection in; the reply that refuses it, or ""."""
        if not all(server.is_serving() for server in self._servers.values()):
            return "421 4.3.2 Shutting down, please try again later"
        if len(self._open) >= self.options.connections:
            return "421 4.7.0 Too many connections, please try again later"
        if self._per_client[client] >= self.options.connections_per_client:
            return "421 4.7.0 Too many connections from your address, please try again later"
        self._open.add(connection)
        self._per_client[client] += 1
        return ""

    def gone(self, connection: Connection, client: str) -> None:
        """Count it out; may be called twice."""
        if connection in self._open:
            self._open.discard(connection)
            self._per_client[client] -= 1
            if not self._per_client[client]:
                del self._per_client[client]
            self._changed.set()

    def account_of(self, address: str) -> str | None:
        """Whose mail this is."""
        return self._recipients.account_of(address)

    def new_spool(self) -> Spool:
        """A place for a body."""
        return Spool(self._spool, self._unique)

    def _prepare_spool(self) -> None:
        self._spool.mkdir(parents=True, exist_ok=True)
        if left := sweep(self._spool):
            log.info("removed %d bodies that had not arrived completely when we stopped", left)

    def failed(self, error: Exception) -> None:
        """Record an error that no message is to blame for."""
        log.error("error in an SMTP dialogue: %s", type(error).__name__, exc_info=error)

    async def accept(self, connection: Connection, spool: Spool) -> str:
        """Commit one complete message; the reply. Nothing cancels it, neither the client nor the time limit."""
        late = connection.loop.call_later(self.options.commit_time.total_seconds(), connection.give_up, TRY_LATER)
        self._committing += 1
        try:
            return await self._commit(spool, *_envelope(connection))
        finally:
            late.cancel()
            self._committing -= 1
            self._changed.set()

    async def _commit(self, spool: Spool, recipients: Sequence[str], facts: Facts) -> str:
        try:
            raw = await self._raw(spool.finish(), recipients, facts)
            assert self._intake is not None
            await self._intake([raw])
        except Unavailable:
            return TRY_LATER
        except OSError as error:
            self.failed(error)
            return DISK_FULL if error.errno in _DISK_FULL else TRY_LATER
        except Exception as error:  # noqa: BLE001 - whatever failed is ours: the client must repeat, and learn nothing
            self.failed(error)
            return TRY_LATER
        finally:
            # A body that was taken over has another name by now.
            spool.discard()
        return "250 2.0.0 OK, taken in"

    async def _raw(self, body: Body, recipients: Sequence[str], facts: Facts) -> RawMessage:
        match body:
            case InlineBody():
                who = identity.of_bytes(body.content)
            case SpooledBody():
                who = await asyncio.to_thread(_identify, body)
        deliveries = tuple(dict.fromkeys((self.account_of(address) or "", readable(address)) for address in recipients))
        return RawMessage(
            channel="mail",
            account=deliveries[0][0],
            format=FORMAT,
            external_id=who.message_id or f"smtp:{self._unique()}",
            fingerprint=who.fingerprint,
            peer=who.peer or str(facts["mail_from"]).lower()[: identity.PEER_LIMIT],
            received_at=self._clock(),
            body=body,
            facts=facts,
            deliveries=deliveries,
        )


def _envelope(connection: Connection) -> tuple[Sequence[str], Facts]:
    """Recipients and transport facts, taken before anything can change them."""
    envelope, session = connection.mail, connection.dialogue
    sender = readable(envelope.mail_from or "")
    recipients = list(envelope.rcpt_tos)
    return recipients, {
        "transport": connection.protocol[-4:].lower(),
        "client_ip": connection.client,
        "helo": readable(session.host_name or ""),
        "mail_from": "" if sender == "<>" else sender,
        "rcpt_to": [readable(address) for address in recipients],
        "tls": session.ssl is not None,
    }


def _identify(body: SpooledBody) -> identity.Identity:
    with body.path.open("rb") as file:
        return identity.of_file(file)
