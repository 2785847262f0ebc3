"""A desk that was restored and is still held, and what staff does about it."""

from __future__ import annotations

import smtplib
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import aiohttp

from gateway.app import utc_now
from gateway.store import hold
from gateway.store.database import migrate, open_database
from tests.gateway.patience import PATIENCE
from tests.mailboxes.desk import Running


async def put_hold(var: Path) -> None:
    """As `gateway restore` does."""
    url = f"sqlite:///{var / 'gateway.db'}"
    migrate(url, backup_to=var)
    db = open_database(url, readers=1)
    await db.write(lambda conn: hold.put(conn, "restored", utc_now(), sources=True))
    await db.close()


async def api(gateway: Running, var: Path, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """A request of staff's."""
    headers = {"Authorization": f"Bearer {(var / 'token').read_text().strip()}"}
    url = f"http://{gateway.listening['http']}/api/v1{path}"
    async with aiohttp.ClientSession() as http, http.request(method, url, headers=headers, json=body) as answer:
        assert answer.status < 300, await answer.text()
        return await answer.json()


def mail(address: str, subject: str = "Printer") -> None:
    """Somebody writes, and is answered 250."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "anna@client.example", "support@desk.example", subject
    message.set_content("It prints nothing.")
    host, _, port = address.rpartition(":")
    with smtplib.SMTP(host, int(port), timeout=PATIENCE) as client:
        client.send_message(message)
