"""Whatever is long in a mail fits where it is kept: one of the databases refuses what its column cannot hold."""

from __future__ import annotations

import pytest

from gateway.store.blobs import Blobs
from gateway.store.database import Database
from normalizer.message import Message
from normalizer.normalize import normalize
from tests.gateway.conftest import FrozenClock
from tests.gateway.filing_desk import Desk, context
from tests.gateway.store.mails import mail

LONG = "x" * 700
HEADERS = {
    "address": f"From: Ann <{LONG}@client.example>",
    "domain": f"From: ann@{'.'.join(['x' * 60] * 12)}.example",
    "name": f"From: {LONG} {LONG} <ann@client.example>",
    "reply address": f"From: ann@client.example\r\nReply-To: {LONG}@client.example",
    "sender": f"From: ann@client.example\r\nSender: {LONG}@client.example",
    "copies": f"From: ann@client.example\r\nCc: {LONG} <{LONG}@client.example>, bob@{LONG}.example",
    "subject": f"From: ann@client.example\r\nSubject: {LONG * 9}",
    "ids": f"From: ann@client.example\r\nMessage-ID: <{LONG}@x.example>\r\nReferences: <{LONG}@y.example> <{LONG}@z>",
    "language": f"From: ann@client.example\r\nContent-Language: {LONG}",
    "type": f"From: ann@client.example\r\nX-Priority: {LONG}\r\nPrecedence: {LONG}",
}


def content(header: str) -> bytes:
    part = (
        f'Content-Type: application/{LONG}; name="{LONG}.bin"\r\nContent-ID: <{LONG}@x.example>\r\n'
        f'Content-Disposition: attachment; filename="{LONG}.{LONG}"\r\n\r\nfile\r\n'
    )
    return (
        f"{header}\r\nTo: support@desk.example\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n'
        "The lift stands still.\r\n"
        f"--b\r\n{part}--b--\r\n"
    ).encode()


@pytest.mark.parametrize("header", HEADERS.values(), ids=list(HEADERS))
async def test_a_mail_with_something_long_is_filed(db: Database, blobs: Blobs, clock: FrozenClock, header: str) -> None:
    event = normalize(mail(1, content(header)))
    assert isinstance(event, Message)
    desk = Desk(db, blobs, clock, context())
    filed = await desk.receive(event)
    assert filed.kind == "opened"
    (message,) = await desk.messages(filed.ticket_id)
    assert "The lift stands still." in message.text
