"""Tries what mail accounts name on the network, and changes nothing there: nobody is written to, nothing is marked."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TypeAlias

from aiosmtplib import SMTP, SMTPAuthenticationError, SMTPException
from pydantic import SecretStr

from channels.contract import Clock, Finding, Surroundings, Unavailable
from channels.credentials import reveal
from channels.mail.imap_settings import Imap
from channels.mail.leaving import leave, quit_and_leave
from channels.mail.oauth import TokenRefused, Tokens
from channels.mail.oauth_settings import OAuth
from channels.mail.online_own import own_port
from channels.mail.settings import MailAccount, Relay
from channels.mail.wire_text import readable

LONGEST = 30.0
"""Seconds for one server."""
_DATE = re.compile(
    r"\b\d{1,2} (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} \d\d:\d\d:\d\d (?:[+-]\d{4}|GMT)"
)
_NOT_TRIED = (
    "not tried: it logs in with tokens, and a try may use one up; the gateway says itself when they are refused"
)


class Refused(Exception):
    """The far side does not let us in, or has not what we want; the text says what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """What to log in with: one of the two, or neither."""

    password: str = ""
    token: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Met:
    """A far side that let us in."""

    said: str
    """For an engineer."""
    greeting: str
    """Its first words; some tell the time."""


Meet: TypeAlias = Callable[[Secrets], Awaitable[Met]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Try:
    what: str
    where: str
    user: str
    password: SecretStr | None
    oauth: OAuth | None
    name: str
    """Where the refresh token is kept."""
    meet: Meet


async def look(accounts: Mapping[str, MailAccount], around: Surroundings) -> Sequence[Finding]:
    """One finding for each relay and mailbox, and one for STARTTLS of our own port."""
    tries = [one for name, account in accounts.items() for one in _tries(name, account)]
    found = await asyncio.gather(*(_finding(one, around) for one in tries), own_port(accounts, around))
    return [each for each in found if each is not None]


def _tries(account: str, settings: MailAccount) -> Iterator[_Try]:
    if (relay := settings.relay) is not None:
        yield _Try(
            what=f"mail/{account} relay", where=f"{relay.host}:{relay.actual_port}", user=relay.user,
            password=relay.password, oauth=relay.oauth, name=f"relay/{account}", meet=lambda s: _relay(relay, s),
        )  # fmt: skip
    if (imap := settings.imap) is not None:
        yield _Try(
            what=f"mail/{account} imap", where=f"{imap.host}:{imap.actual_port}", user=imap.user,
            password=imap.password, oauth=imap.oauth, name=f"imap/{account}", meet=lambda s: _mailbox(imap, s),
        )  # fmt: skip


async def _finding(one: _Try, around: Surroundings) -> Finding:
    if one.oauth is not None and around.vault is None:
        return Finding(what=one.what, good=f"{one.where}: {_NOT_TRIED}")
    try:
        async with asyncio.timeout(LONGEST):
            met = await one.meet(await _secrets(one, around))
    except (Refused, TokenRefused, Unavailable, SMTPException, OSError, KeyError, ValueError) as error:
        return Finding(what=one.what, trouble=f"{one.where}: {_why(error, one)}")
    return Finding(what=one.what, good=f"{one.where}: {met.said}", ahead=ahead(met.greeting, around.clock))


async def _secrets(one: _Try, around: Surroundings) -> Secrets:
    if one.oauth is not None and around.vault is not None:
        return Secrets(token=await Tokens(one.name, one.oauth, around.vault, around.clock).access())
    return Secrets(password=reveal(one.password) if one.password is not None and one.user else "")


def _why(error: BaseException, one: _Try) -> str:
    """What went wrong, in one line and without a secret."""
    if isinstance(error.__cause__, ssl.SSLError):  # aiosmtplib wraps what goes wrong while connecting
        error = error.__cause__
    match error:
        case SMTPAuthenticationError():
            return f"it refuses user {one.user} and the {'token' if one.oauth else 'password'}"
        case ssl.SSLCertVerificationError():
            return f"its certificate is not good: {error.verify_message}"
        case TimeoutError():
            return "no answer in time"
        case socket.gaierror():
            return "no such name in DNS"
        case KeyError():
            return f"the environment has no {error.args[0]}"
        case OSError() if error.strerror:
            return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return readable(str(error), 300) or type(error).__name__


def ahead(text: str, clock: Clock) -> float | None:
    """Seconds that a time in a server's words (RFC 5322 section 3.3) is ahead of ours; None: it tells none."""
    found = _DATE.search(text)
    try:
        said = parsedate_to_datetime(found[0]) if found else None
    except ValueError:
        return None
    return (said.astimezone(UTC) - clock().astimezone(UTC)).total_seconds() if said else None


# -- relays -------------------------------------------------------------------------------


async def _relay(relay: Relay, secrets: Secrets) -> Met:
    tls = None
    if relay.tls != "none":
        tls = await asyncio.to_thread(ssl.create_default_context, cafile=relay.ca)
    client = SMTP(
        hostname=relay.host, port=relay.actual_port, timeout=LONGEST, use_tls=relay.tls == "tls",
        start_tls=False, tls_context=tls,
    )  # fmt: skip
    try:
        greeting = await client.connect()
        if relay.tls == "starttls":
            await _starttls(client, tls)
        await client.ehlo()
        if secrets.token:
            await client.auth_xoauth2(relay.user, secrets.token)
        elif relay.user:
            await client.login(relay.user, secrets.password)
        await quit_and_leave(client)
    finally:
        leave(client)
    safety = {
        "none": "without TLS",
        "tls": "TLS with a verified certificate",
        "starttls": "STARTTLS works, certificate verified",
    }
    return Met(
        said=f"{safety[relay.tls]}, {f'logged in as {relay.user}' if relay.user else 'no login'}",
        greeting=greeting.message,
    )


async def _starttls(client: SMTP, context: ssl.SSLContext | None) -> None:
    await client.ehlo()
    if not client.supports_extension("starttls"):
        raise Refused("it offers no STARTTLS")
    await client.starttls(tls_context=context)


# -- mailboxes ----------------------------------------------------------------------------


async def _mailbox(imap: Imap, secrets: Secrets) -> Met:
    # The client library is not loaded where nobody uses it.
    from channels.mail.imap_watchdog import Watchdog
    from channels.mail.online_imap import meet

    watchdog = Watchdog(asyncio.get_running_loop())
    try:
        return await asyncio.to_thread(meet, imap, watchdog, secrets)
    finally:
        watchdog.shut()
