"""Notices through a mail relay (RFC 5321), over kept connections; every answer becomes a `Receipt`."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from aiosmtplib import (
    SMTP,
    SMTPAuthenticationError,
    SMTPException,
    SMTPResponseException,
    SMTPServerDisconnected,
    SMTPTimeoutError,
)

from channels.contract import Clock, Unavailable
from channels.mail.leaving import leave
from channels.mail.oauth import TokenRefused, Tokens
from channels.mail.outbound import Mail, Origin, compose
from channels.mail.settings import Relay
from channels.mail.wire_text import readable
from normalizer.message import Delivery, Fault, Notice, Receipt

IDLE_SECONDS = 20.0
"""How long a connection is kept without use; relays close theirs after 30 s and more."""
_DOT = re.compile(rb"(?m)^\.")
_STATUS = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})\b")


class Stage(Enum):
    """How far a delivery came. What a refusal means depends on it."""

    CONNECT = auto()
    SENDER = auto()
    RECIPIENT = auto()
    DATA = auto()
    SENT = auto()
    """The lone dot has gone out: from here on nobody knows without an answer."""


@dataclass(slots=True)
class _Progress:
    stage: Stage = Stage.CONNECT
    reused: bool = False


class RelayTransport:
    """Sends each notice as one SMTP transaction with one recipient. It is a `Sender`, and `Watched`."""

    def __init__(
        self,
        relay: Relay,
        password: str,
        origin: Origin,
        clock: Clock,
        hostname: str,
        tokens: Tokens | None = None,
    ) -> None:
        """`tokens` instead of a password: XOAUTH2."""
        self._tokens = tokens
        self._relay = relay
        self._password = password
        self._origin = origin
        self._clock = clock
        self._hostname = hostname
        self._tls: ssl.SSLContext | None = None
        self._idle: deque[SMTP] = deque()
        self._timers: dict[SMTP, asyncio.TimerHandle] = {}
        self._places = asyncio.Semaphore(relay.connections)
        self._closed = False

    async def send(self, notice: Notice) -> Receipt:
        """One delivery within `relay.timeout`, connecting included."""
        mail = compose(notice, self._origin, self._clock())
        progress = _Progress()
        try:
            async with asyncio.timeout(self._relay.timeout.total_seconds()), self._places:
                reply = await self._deliver(mail, progress)
        except (SMTPException, OSError, ValueError) as error:  # TimeoutError and ssl.SSLError are OSErrors
            return receipt_for(error, progress.stage)
        return Receipt(delivery=Delivery.SENT, external_ids=(notice.message_id,), detail=reply)

    async def troubles(self) -> Mapping[str, str]:
        """A login of the relay that ends soon. Raises Unavailable."""
        if self._tokens is None:
            return {}
        await self._tokens.recall()
        why = self._tokens.trouble(self._clock())
        return {f"token mail/{self._tokens.account} relay": why} if why else {}

    async def close(self) -> None:
        """Close what is kept; later sends open connections of their own and keep none."""
        self._closed = True
        while self._idle:
            self._drop(self._idle.popleft())

    # -- one delivery ---------------------------------------------------------------------

    async def _deliver(self, mail: Mail, progress: _Progress) -> str:
        try:
            return await self._transaction(mail, progress)
        except SMTPServerDisconnected:
            # A kept connection that the relay has closed meanwhile: nothing was handed over yet.
            if not progress.reused or progress.stage is not Stage.SENDER:
                raise
        return await self._transaction(mail, progress)

    async def _transaction(self, mail: Mail, progress: _Progress) -> str:
        progress.stage = Stage.CONNECT
        client = await self._connection(progress)
        done = False
        try:
            progress.stage = Stage.SENDER
            options, encoding = _options(client, mail)
            await client.mail(mail.sender, options=options, encoding=encoding)
            progress.stage = Stage.RECIPIENT
            await client.rcpt(mail.recipient, encoding=encoding)
            reply = await self._data(client, mail.content, progress)
            done = True
        except SMTPResponseException as error:
            # The dialogue itself is in order: after RSET the connection is as good as new.
            done = error.code != 421 and await _reset(client)
            raise
        finally:
            if done and not self._closed and client.is_connected:
                self._keep(client)
            else:
                self._drop(client)
        return reply

    async def _data(self, client: SMTP, content: bytes, progress: _Progress) -> str:
        progress.stage = Stage.DATA
        go_on = await client.execute_command(b"DATA")
        if go_on.code != 354:
            raise SMTPResponseException(go_on.code, go_on.message)
        protocol = client.protocol
        if protocol is None:
            raise SMTPServerDisconnected("the connection was lost before the message")
        # Not `client.data()`: that does not tell a loss before the message from a loss after it.
        protocol.write(_DOT.sub(b"..", content) + (b"" if content.endswith(b"\r\n") else b"\r\n") + b".\r\n")
        progress.stage = Stage.SENT
        reply = await protocol.read_response(timeout=self._relay.timeout.total_seconds())
        if reply.code != 250:
            raise SMTPResponseException(reply.code, reply.message)
        return shown(reply.code, reply.message)

    # -- connections ----------------------------------------------------------------------

    async def _connection(self, progress: _Progress) -> SMTP:
        while self._idle:
            client = self._idle.pop()
            self._timers.pop(client).cancel()
            if client.is_connected:
                progress.reused = True
                return client
        progress.reused = False
        if self._relay.tls != "none" and self._tls is None:
            self._tls = await asyncio.to_thread(self._context)
        client = SMTP(
            hostname=self._relay.host,
            port=self._relay.actual_port,
            local_hostname=self._hostname,
            timeout=self._relay.timeout.total_seconds(),
            use_tls=self._relay.tls == "tls",
            start_tls=self._relay.tls == "starttls",
            tls_context=self._tls,
            username=self._relay.user or None,
            password=self._password if self._relay.user and self._tokens is None else None,
            oauth_token_generator=self._token if self._tokens is not None else None,
        )
        try:
            await client.connect()
        except SMTPAuthenticationError:
            if self._tokens is not None:
                self._tokens.forget()
            raise
        await client.ehlo()
        return client

    async def _token(self) -> str:
        """An access token; that there is none is a refused login, and trouble of ours is a lost connection."""
        assert self._tokens is not None
        try:
            return await self._tokens.access()
        except TokenRefused as error:
            raise SMTPAuthenticationError(535, str(error)) from error
        except Unavailable as error:
            raise OSError(str(error)) from error

    def _context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self._relay.ca)

    def _keep(self, client: SMTP) -> None:
        self._idle.append(client)
        self._timers[client] = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._expire, client)

    def _expire(self, client: SMTP) -> None:
        self._idle.remove(client)
        self._drop(client)

    def _drop(self, client: SMTP) -> None:
        if timer := self._timers.pop(client, None):
            timer.cancel()
        if client.protocol is not None and client.is_connected:
            client.protocol.write(b"QUIT\r\n")
        leave(client)


async def _reset(client: SMTP) -> bool:
    try:
        await client.rset()
    except (SMTPException, OSError):
        return False
    return True


def _options(client: SMTP, mail: Mail) -> tuple[list[str], str]:
    """Parameters of MAIL and the encoding of the addresses. Raises UnreachableAddress."""
    options = [f"SIZE={len(mail.content)}"] if client.supports_extension("size") else []
    if not mail.utf8:
        return options, "ascii"
    if not client.supports_extension("smtputf8"):
        raise UnreachableAddress("the relay does not take addresses that are not ASCII (no SMTPUTF8)")
    return [*options, "SMTPUTF8"], "utf-8"


class UnreachableAddress(SMTPException):
    """This relay can never carry mail to this address."""


# -- what an answer means -----------------------------------------------------------------


def receipt_for(error: Exception, stage: Stage) -> Receipt:
    """The receipt of a delivery that failed at `stage`."""
    if isinstance(error.__cause__, ssl.SSLError):  # aiosmtplib wraps what goes wrong while connecting
        return receipt_for(error.__cause__, stage)
    match error:
        case UnreachableAddress():
            return _receipt(Delivery.UNREACHABLE, Fault.FAR_SIDE, f"5.6.7 {error}")
        case SMTPAuthenticationError():
            return _receipt(Delivery.RETRY, Fault.OURS, f"the relay refused our password: {_answer(error)}")
        case SMTPResponseException():
            return _refusal(error, stage)
        case ssl.SSLError():
            return _receipt(Delivery.RETRY, Fault.OURS, f"the relay's certificate or TLS: {readable(str(error))}")
        case ValueError():
            # A control character in an address; `compose` lets none through, so this is a fault of the message.
            return _receipt(Delivery.REFUSED, Fault.MESSAGE, "the address cannot be written in SMTP")
        case _:
            return _lost(error, stage)


def _refusal(error: SMTPResponseException, stage: Stage) -> Receipt:
    detail = _answer(error)
    if stage is Stage.CONNECT:
        return _receipt(Delivery.RETRY, Fault.FAR_SIDE, f"the relay does not serve us: {detail}")
    status = _STATUS.match(error.message)
    subject, number = (status[2], status[3]) if status else ("", "")
    if not 500 <= error.code < 600:
        return _receipt(Delivery.RETRY, _whose_delay(error.code, subject, stage), detail)
    if stage is Stage.SENDER and subject != "3":
        return _receipt(Delivery.RETRY, Fault.OURS, f"the relay refused our sender address: {detail}")
    if _is_address(subject, number, error.code, stage):
        return _receipt(Delivery.UNREACHABLE, Fault.FAR_SIDE, detail)
    return _receipt(Delivery.REFUSED, Fault.FAR_SIDE if stage is Stage.RECIPIENT else Fault.MESSAGE, detail)


def _whose_delay(code: int, subject: str, stage: Stage) -> Fault:
    """Of a temporary refusal: this recipient's (greylisting, a domain that cannot be found), or the relay's.

    Only the relay's own trouble may pause everybody else's mail; else a few made-up senders, whose
    acknowledgements the relay puts off one by one, would hold up the whole account.
    """
    if stage in (Stage.CONNECT, Stage.SENDER) or code == 421:
        return Fault.FAR_SIDE
    if subject:
        return Fault.MESSAGE if subject in ("1", "2", "6", "7") else Fault.FAR_SIDE
    return Fault.MESSAGE if stage is Stage.RECIPIENT and code == 450 else Fault.FAR_SIDE


def _is_address(subject: str, number: str, code: int, stage: Stage) -> bool:
    """Whether a permanent refusal says that the address is no good (RFC 3463 section 3.2; 5.1.7 and 5.1.8 are ours)."""
    if subject == "1":
        return number not in ("7", "8")
    if (subject, number) in {("2", "1"), ("4", "4"), ("6", "7")}:
        return True
    return not subject and stage is Stage.RECIPIENT and code in (550, 551, 553)


def _lost(error: Exception, stage: Stage) -> Receipt:
    """No answer: a broken connection or the time limit."""
    what = "no answer in time" if isinstance(error, (TimeoutError, SMTPTimeoutError)) else "the connection was lost"
    if stage is Stage.SENT:
        detail = f"{what} after the whole message had been sent: the relay may have taken it"
        return Receipt(delivery=Delivery.RETRY, fault=Fault.FAR_SIDE, detail=detail, uncertain=True)
    if stage is Stage.CONNECT:
        what = f"the relay cannot be reached ({readable(str(error), 200) or what})"
    return _receipt(Delivery.RETRY, Fault.FAR_SIDE, what)


def _receipt(delivery: Delivery, fault: Fault, detail: str) -> Receipt:
    return Receipt(delivery=delivery, fault=fault, detail=detail)


def _answer(error: SMTPResponseException) -> str:
    return shown(error.code, error.message)


def shown(code: int, message: str) -> str:
    """The far side's words on one line, for staff."""
    return f"{code} {readable(message, 300)}".strip()
