"""The relay transport against a real SMTP server: TLS, AUTH, and what each answer comes to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from channels.mail.outbound import Origin, compose
from channels.mail.outbound_relay import RelayTransport
from channels.mail.settings import Relay
from normalizer.message import Address, Delivery, Fault, Notice, Receipt
from tests.channels.mail.certificates import make
from tests.channels.mail.far_side import FarSide, far_side
from tests.channels.mail.support import NOW
from tests.services.later import later
from tests.services.ports import refusing

ORIGIN = Origin(name="Support", address="support@desk.example")
NOTICE = Notice(
    id=7,
    channel="mail",
    account="support",
    recipient=Address(address="anna@client.example"),
    kind="reply",
    language="en",
    subject="Hello",
    text="One\n.\n..two\n",
    message_id="n7@desk.example",
    created_at=NOW,
)


@asynccontextmanager
async def relay_to(side: FarSide, **settings: Any) -> AsyncIterator[RelayTransport]:
    relay = Relay.model_validate({"host": "localhost", "port": side.port, "tls": "none", "timeout": "5m", **settings})
    password = relay.password.get_secret_value() if relay.password else ""
    transport = RelayTransport(relay, password, ORIGIN, lambda: NOW, "desk.example")
    try:
        yield transport
    finally:
        await transport.close()


async def test_a_notice_arrives_byte_for_byte(tmp_path: Path) -> None:
    async with far_side() as side, relay_to(side) as relay:
        receipt = await relay.send(NOTICE)
        assert receipt == Receipt(
            delivery=Delivery.SENT, external_ids=("n7@desk.example",), detail="250 2.0.0 queued as 4XYZ"
        )
        assert side.got == [("support@desk.example", ["anna@client.example"], compose(NOTICE, ORIGIN, NOW).content)]


@pytest.mark.services("openssl")
@pytest.mark.parametrize("kind", ["starttls", "tls"])
async def test_tls_is_verified_and_the_password_sent_inside_it(kind: str, tmp_path: Path) -> None:
    pair = make(tmp_path)
    login = {"user": "relay-user", "password": "hunter2"}
    async with far_side(tls=pair.server(), inside_tls=kind == "tls", auth=True) as side:
        async with relay_to(side, tls=kind, ca=str(pair.certificate), **login) as relay:
            assert (await relay.send(NOTICE)).delivery is Delivery.SENT
            assert side.tls == [True]
        async with relay_to(side, tls=kind, **login) as stranger:
            receipt = await stranger.send(NOTICE)
            assert (receipt.delivery, receipt.fault) == (Delivery.RETRY, Fault.OURS)
            assert "certificate" in receipt.detail
        async with relay_to(side, tls=kind, ca=str(pair.certificate), user="relay-user", password="wrong") as wrong:
            receipt = await wrong.send(NOTICE)
            assert (receipt.delivery, receipt.fault) == (Delivery.RETRY, Fault.OURS)
            assert "535" in receipt.detail
            assert "wrong" not in receipt.detail
        assert len(side.got) == 1


@pytest.mark.services("openssl")
async def test_a_certificate_for_another_name_is_refused(tmp_path: Path) -> None:
    pair = make(tmp_path, host="other.example")
    async with far_side(tls=pair.server()) as side, relay_to(side, tls="starttls", ca=str(pair.certificate)) as relay:
        receipt = await relay.send(NOTICE)
        assert (receipt.delivery, receipt.fault) == (Delivery.RETRY, Fault.OURS)
        assert side.got == []


async def test_a_relay_without_starttls_gets_nothing_when_tls_is_wanted() -> None:
    async with far_side() as side, relay_to(side, tls="starttls") as relay:
        assert (await relay.send(NOTICE)).delivery is Delivery.RETRY
        assert side.got == []


ANSWERS = [
    ("RCPT", "550 5.1.1 no such user", Delivery.UNREACHABLE, Fault.FAR_SIDE),
    ("RCPT", "550 no such user", Delivery.UNREACHABLE, Fault.FAR_SIDE),
    ("RCPT", "553 5.1.3 bad address", Delivery.UNREACHABLE, Fault.FAR_SIDE),
    ("RCPT", "550 5.2.1 disabled", Delivery.UNREACHABLE, Fault.FAR_SIDE),
    ("RCPT", "556 5.1.10 null MX", Delivery.UNREACHABLE, Fault.FAR_SIDE),
    ("RCPT", "552 5.2.2 mailbox full", Delivery.REFUSED, Fault.FAR_SIDE),
    ("RCPT", "554 5.7.1 relay access denied", Delivery.REFUSED, Fault.FAR_SIDE),
    ("RCPT", "450 4.2.0 greylisted", Delivery.RETRY, Fault.MESSAGE),
    ("RCPT", "450 4.1.2 domain not found", Delivery.RETRY, Fault.MESSAGE),
    ("RCPT", "451 4.7.1 greylisted", Delivery.RETRY, Fault.MESSAGE),
    ("RCPT", "450 mailbox busy", Delivery.RETRY, Fault.MESSAGE),
    ("RCPT", "451 4.3.0 lookup failure", Delivery.RETRY, Fault.FAR_SIDE),
    ("RCPT", "452 4.4.1 no route", Delivery.RETRY, Fault.FAR_SIDE),
    ("RCPT", "421 4.3.2 going down", Delivery.RETRY, Fault.FAR_SIDE),
    ("MAIL", "451 4.3.0 later", Delivery.RETRY, Fault.FAR_SIDE),
    ("MAIL", "553 5.7.1 sender not allowed", Delivery.RETRY, Fault.OURS),
    ("MAIL", "550 5.1.8 bad sender domain", Delivery.RETRY, Fault.OURS),
    ("MAIL", "552 5.3.4 too big", Delivery.REFUSED, Fault.MESSAGE),
    ("DATA", "554 5.6.0 content rejected", Delivery.REFUSED, Fault.MESSAGE),
    ("DATA", "550 spam", Delivery.REFUSED, Fault.MESSAGE),
    ("DATA", "550 5.1.1 no such user after all", Delivery.UNREACHABLE, Fault.FAR_SIDE),
    ("DATA", "452 4.3.1 disk full", Delivery.RETRY, Fault.FAR_SIDE),
    ("DATA", "451 4.7.1 try later", Delivery.RETRY, Fault.MESSAGE),
]


@pytest.mark.parametrize(("verb", "reply", "delivery", "fault"), ANSWERS)
async def test_each_answer_has_its_receipt(verb: str, reply: str, delivery: Delivery, fault: Fault) -> None:
    async with far_side() as side, relay_to(side) as relay:
        side.script[verb] = [reply]
        receipt = await relay.send(NOTICE)
        assert (receipt.delivery, receipt.fault, receipt.uncertain) == (delivery, fault, False)
        assert reply in receipt.detail
        # The next notice is not touched by it.
        assert (await relay.send(replace(NOTICE, id=8))).delivery is Delivery.SENT


async def test_connections_are_kept_and_used_again() -> None:
    async with far_side() as side, relay_to(side) as relay:
        side.script["RCPT"] = ["-", "550 5.1.1 no", "-"]
        for number in range(4):
            await relay.send(replace(NOTICE, id=number))
        assert (side.connections, len(side.got)) == (1, 3)


async def test_a_kept_connection_that_was_closed_meanwhile_costs_nothing() -> None:
    async with far_side() as side, relay_to(side) as relay:
        assert (await relay.send(NOTICE)).delivery is Delivery.SENT
        await side.hang_up()
        assert (await relay.send(replace(NOTICE, id=8))).delivery is Delivery.SENT
        assert len(side.got) == 2


async def test_no_more_connections_than_allowed() -> None:
    async with far_side() as side, relay_to(side, connections=2) as relay:
        side.script["DATA"] = ["late"] * 2
        sends = [asyncio.create_task(relay.send(replace(NOTICE, id=number))) for number in range(6)]
        while len(side.got) < 2:  # noqa: ASYNC110 - the far side has no event for it
            await asyncio.sleep(0.005)
        assert side.connections == 2
        side.release.set()
        receipts = await asyncio.gather(*sends)
        assert {receipt.delivery for receipt in receipts} == {Delivery.SENT}
        assert side.connections == 2


async def given_up(side: FarSide, relay: RelayTransport, how: str) -> Receipt:
    """What comes of a notice whose relay closes the connection, or of one that hangs for longer than a try may take."""
    sending = asyncio.create_task(relay.send(NOTICE))
    if how == "hang":
        await side.hangs.wait()
        later(600)
    return await sending


@pytest.mark.parametrize("verb", ["MAIL", "RCPT"])
@pytest.mark.parametrize("how", ["close", "hang"])
async def test_a_loss_before_the_message_is_sure_not_to_have_sent_it(verb: str, how: str) -> None:
    async with far_side() as side, relay_to(side) as relay:
        side.script[verb] = [how]
        receipt = await given_up(side, relay, how)
        assert (receipt.delivery, receipt.fault, receipt.uncertain) == (Delivery.RETRY, Fault.FAR_SIDE, False)


@pytest.mark.parametrize("how", ["close", "hang"])
async def test_a_loss_behind_the_message_is_told_as_uncertain(how: str) -> None:
    async with far_side() as side, relay_to(side) as relay:
        side.script["DATA"] = [how]
        receipt = await given_up(side, relay, how)
        assert (receipt.delivery, receipt.fault, receipt.uncertain) == (Delivery.RETRY, Fault.FAR_SIDE, True)
        assert "may have taken it" in receipt.detail
        assert len(side.got) == 1


async def test_a_relay_that_is_not_there_is_tried_again() -> None:
    with refusing() as port:
        async with relay_to(FarSide(port=port)) as relay:
            receipt = await relay.send(NOTICE)
    assert (receipt.delivery, receipt.fault) == (Delivery.RETRY, Fault.FAR_SIDE)
    assert "cannot be reached" in receipt.detail


async def test_an_address_that_needs_smtputf8_goes_where_it_can_and_is_unreachable_elsewhere() -> None:
    notice = replace(NOTICE, recipient=Address(address="анна@клиент.example"))
    async with far_side() as side, relay_to(side) as relay:
        assert (await relay.send(notice)).delivery is Delivery.SENT
        assert [recipients for _, recipients, _ in side.got] == [["анна@" + "клиент.example".encode("idna").decode()]]
    async with far_side(smtputf8=False) as side, relay_to(side) as relay:
        receipt = await relay.send(notice)
        assert (receipt.delivery, receipt.detail[:5]) == (Delivery.UNREACHABLE, "5.6.7")
        assert side.got == []
