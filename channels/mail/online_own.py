"""STARTTLS of our own port, as a sender sees it: on the running gateway, or on a port opened for the try alone."""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from aiosmtplib import SMTP, SMTPException

from channels.contract import Accepted, Cursor, Finding, Surroundings, Unavailable
from channels.mail.leaving import leave, quit_and_leave
from channels.mail.listener import SmtpListener
from channels.mail.settings import MailAccount, SmtpOptions
from normalizer.message import RawMessage

SECONDS = 20.0
ROUNDS = 4
"""More than a handshake takes (RFC 8446 section 2: two)."""
WHAT = "smtp STARTTLS"


async def own_port(accounts: Mapping[str, MailAccount], around: Surroundings) -> Finding | None:
    """A TLS handshake with our own certificate; None where STARTTLS is not offered. Nothing is sent."""
    options = around.options.get("smtp")
    if not isinstance(options, SmtpOptions) or options.certificate is None:
        return None
    try:
        async with _port(accounts, options, around) as (host, port, where):
            # Most senders do not verify it (RFC 7435): this is the handshake that must work.
            shown = await _handshake(host, port)
        note = await asyncio.to_thread(_verdict, options, accounts)
    except (SMTPException, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return Finding(what=WHAT, trouble=f"it does not work: {reason}")
    mine = await asyncio.to_thread(_first_of, options.certificate)
    if shown != mine:
        return Finding(what=WHAT, trouble=f"{where} shows another certificate than the one in {options.certificate}")
    return Finding(what=WHAT, good=f"works on {where}, certificate {note}")


@asynccontextmanager
async def _port(
    accounts: Mapping[str, MailAccount], options: SmtpOptions, around: Surroundings
) -> AsyncIterator[tuple[str, int, str]]:
    """(host, port, its name): the running gateway's, else one of our own on loopback that takes no mail."""
    if "smtp" in around.listening:
        host, _, port = around.listening["smtp"].rpartition(":")
        yield host.strip("[]"), int(port), "the running gateway"
        return
    with tempfile.TemporaryDirectory() as folder:
        alone = options.model_copy(update={"host": "127.0.0.1", "port": 0, "lmtp": None})
        listener = SmtpListener(accounts, alone, clock=around.clock, spool=Path(folder), unique=lambda: "try")
        await listener.start(_nothing_taken)
        try:
            host, _, port = listener.listening()["smtp"].rpartition(":")
            yield host, int(port), "a port opened for the try"
        finally:
            await listener.stop()


async def _nothing_taken(_raws: Sequence[RawMessage], _cursor: Cursor | None = None, /) -> Sequence[Accepted]:
    raise Unavailable("this port is for a try of TLS")


async def _handshake(host: str, port: int) -> bytes:
    """The certificate that is shown, as DER. Raises ssl.SSLError, OSError, SMTPException."""
    client = SMTP(hostname=host, port=port, timeout=SECONDS, start_tls=False)
    try:
        await client.connect()
        await client.ehlo()
        await client.starttls(validate_certs=False)
        shown: ssl.SSLObject = client.get_transport_info("ssl_object")
        certificate = shown.getpeercert(binary_form=True) or b""
        await quit_and_leave(client)
        return certificate
    finally:
        leave(client)


def _verdict(options: SmtpOptions, accounts: Mapping[str, MailAccount]) -> str:
    """What a sender that verifies certificates says to ours, found out in memory. Raises ssl.SSLError, OSError."""
    assert options.certificate is not None
    ours = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ours.load_cert_chain(options.certificate, options.key)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    name = options.hostname or next((one.addresses[0].rpartition("@")[2] for one in accounts.values()), "localhost")
    client = ssl.create_default_context().wrap_bio(back, there, server_hostname=name)
    server = ours.wrap_bio(there, back, server_side=True)
    try:
        for _ in range(ROUNDS):
            for side in (client, server):
                with suppress(ssl.SSLWantReadError):
                    side.do_handshake()
    except ssl.SSLCertVerificationError as error:
        return f"not for senders that verify it ({error.verify_message})"
    return f"good for {name}"


def _first_of(path: Path) -> bytes:
    """The first certificate of a PEM file, as DER."""
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    text = path.read_text(encoding="ascii", errors="replace")
    return ssl.PEM_cert_to_DER_cert(f"{begin}{text.partition(begin)[2].partition(end)[0]}{end}\n")
