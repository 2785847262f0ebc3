"""Tries what a mail account names on the network, and changes nothing there: nobody is written to."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping, Sequence

from aiosmtplib import SMTP, SMTPAuthenticationError, SMTPException

from channels.contract import Finding
from channels.credentials import reveal
from channels.mail.settings import MailAccount, Relay

LONGEST = 30.0
"""Seconds for one relay."""


async def look(accounts: Mapping[str, MailAccount]) -> Sequence[Finding]:
    """One finding for each relay: reached, TLS verified, logged in."""
    relays = [(name, account.relay) for name, account in accounts.items() if account.relay is not None]
    return await asyncio.gather(*(_relay(name, relay) for name, relay in relays))


async def _relay(account: str, relay: Relay) -> Finding:
    where = f"relay {relay.host}:{relay.actual_port}"
    try:
        async with asyncio.timeout(min(LONGEST, relay.timeout.total_seconds())):
            said = await _logged_in(relay)
    except SMTPAuthenticationError:
        return Finding(what=f"mail/{account}", trouble=f"{where} refuses user {relay.user} and the password")
    except ssl.SSLCertVerificationError as error:
        return Finding(what=f"mail/{account}", trouble=f"{where}: its certificate is not good: {error.verify_message}")
    except TimeoutError:
        return Finding(what=f"mail/{account}", trouble=f"{where} does not answer in time")
    except (SMTPException, OSError, KeyError, ValueError) as error:
        return Finding(what=f"mail/{account}", trouble=f"{where}: {error or type(error).__name__}")
    return Finding(what=f"mail/{account}", good=f"{where}: {said}")


async def _logged_in(relay: Relay) -> str:
    tls = None
    if relay.tls != "none":
        tls = await asyncio.to_thread(ssl.create_default_context, cafile=relay.ca)
    client = SMTP(
        hostname=relay.host, port=relay.actual_port, timeout=LONGEST, use_tls=relay.tls == "tls",
        start_tls=relay.tls == "starttls", tls_context=tls,
    )  # fmt: skip
    try:
        await client.connect()
        await client.ehlo()
        if relay.user and relay.password is not None:
            await client.login(relay.user, reveal(relay.password))
        await client.quit()
    finally:
        client.close()
    safety = "without TLS" if relay.tls == "none" else "TLS with a verified certificate"
    return f"{safety}, {f'logged in as {relay.user}' if relay.user else 'no login'}"
