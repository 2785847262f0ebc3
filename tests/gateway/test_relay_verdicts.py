"""Whose verdict about a sender counts is the account's word, as of the moment of reading."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from gateway.context import Context
from gateway.keyring import Keyring
from gateway.settings import Settings
from gateway.store import schema
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from normalizer.message import RawMessage
from router.policy import Policy
from tests.gateway.test_pipeline import raw, running

OURS = "mx.desk.example"


def context(*authserv_ids: str) -> Context:
    account = {"addresses": ["support@desk.example"], "authserv_ids": list(authserv_ids)}
    settings = Settings.model_validate({"channels": {"mail": {"support": account}}, "journal": {"backoff": "0s"}})
    return Context(settings=settings, policy=Policy(), keyring=Keyring(b"k" * 32))


def mail(number: int, who: str, verdict: str) -> RawMessage:
    head = f"Authentication-Results: {who}; dmarc={verdict} header.from=client.example\r\n"
    names = f"From: <p{number}@client.example>\r\nMessage-ID: <{number}@client.example>\r\n"
    return raw(number, f"{head}{names}Subject: help\r\n\r\nIt broke.\r\n", format="mail/1")


@pytest.mark.parametrize(
    ("who", "verdict", "believed", "status"),
    [
        (OURS, "fail", (OURS,), "held"),
        (OURS, "pass", (OURS,), "new"),
        ("mx.elsewhere.example", "fail", (OURS,), "new"),
        (OURS, "fail", (), "new"),
    ],
)
async def test_only_a_relay_of_ours_makes_a_ticket_wait(
    db: Database, blobs: Blobs, who: str, verdict: str, believed: tuple[str, ...], status: str
) -> None:
    async with running(db, blobs, context(*believed)) as story:
        story.start()
        await story.pipeline.accept([mail(1, who, verdict)])
        await story.settled()
    [found] = await db.read(lambda conn: conn.execute(select(schema.ticket.c.status)).scalars().all())
    assert found == status
    notices = await db.read(lambda conn: conn.execute(select(schema.outbox.c.kind)).scalars().all())
    assert ("acknowledgement" in notices) == (status == "new")
