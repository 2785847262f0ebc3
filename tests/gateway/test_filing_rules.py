"""Who may write into a ticket (rule 8), what robots can do (rule 9), and any order of a thread (rule 7)."""

from __future__ import annotations

import asyncio
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from gateway.store import people, schema, threads, tickets
from gateway.store.blobs import Blobs
from gateway.store.database import Database, migrate, open_database
from normalizer.message import DeliveryReport, Message, MessageKind, ReportedRecipient
from tests.gateway.conftest import FrozenClock
from tests.gateway.filing_desk import SUPPORT, Desk, context, later
from tests.gateway.planted import said

ANN, BOB, EVE = "ann@client.example", "bob@client.example", "eve@elsewhere.example"
OLENA, PETRO = "olena@staff.example", "petro@staff.example"
SEEN = "m1@client.example"


@pytest.fixture
def desk(db: Database, blobs: Blobs, clock: FrozenClock) -> Desk:
    return Desk(db, blobs, clock, context())


async def opened(desk: Desk) -> int:
    """Ann's ticket with Bob copied; its first message is SEEN."""
    filed = await desk.mail(sender=ANN, message_id=SEEN, to=[SUPPORT], cc=[BOB])
    assert filed.ticket_id is not None
    return filed.ticket_id


# -- rule 8 -------------------------------------------------------------------------------

# key, sender, trust -> what the message becomes
WHO_MAY_WRITE = [
    ("issued", ANN, "unknown", "appended"),
    ("issued", ANN, "verified", "appended"),
    ("issued", BOB, "unknown", "appended"),
    ("issued", EVE, "unknown", "appended"),
    ("token", EVE, "unknown", "appended"),
    ("issued", OLENA, "unknown", "unverified"),
    ("issued", OLENA, "suspect", "unverified"),
    ("seen", ANN, "verified", "appended"),
    ("seen", BOB, "verified", "appended"),
    ("seen", ANN, "unknown", "unverified"),
    ("seen", ANN, "suspect", "unverified"),
    ("seen", EVE, "verified", "unverified"),
    ("seen", EVE, "unknown", "unverified"),
    ("number", ANN, "verified", "opened"),
    ("number", EVE, "unknown", "opened"),
    ("nothing", ANN, "verified", "opened"),
]


@pytest.mark.parametrize(("key", "sender", "trust", "becomes"), WHO_MAY_WRITE)
async def test_who_may_write_into_a_ticket(desk: Desk, key: str, sender: str, trust: str, becomes: str) -> None:
    ticket_id = await opened(desk)
    number = (await desk.ticket(ticket_id)).number
    await desk.do(lambda conn: threads.add_key(conn, ticket_id, "reply_token", "t" * 26, issued=True, recipient=ANN))
    named: dict[str, dict[str, Any]] = {
        "issued": {"in_reply_to": [await desk.issued(ticket_id)]},
        "token": {"thread_keys": ["reply_token:" + "t" * 26]},
        "seen": {"in_reply_to": [SEEN]},
        "number": {"thread_keys": [f"ticket_number:{number}"]},
        "nothing": {},
    }
    await desk.set_status(ticket_id, "resolved")
    filed = await desk.mail(sender=sender, trust=trust, text="more", **named[key])
    assert filed.kind == becomes
    assert (filed.ticket_id == ticket_id) == (becomes != "opened")
    assert (await desk.ticket(ticket_id)).status == ("open" if becomes == "appended" else "resolved")
    if becomes == "unverified":
        assert [message.verified for message in await desk.messages(ticket_id)] == [True, False]
        assert (await desk.events(ticket_id))[-1].data["verified"] is False


async def test_an_unverified_message_takes_part_in_nothing(desk: Desk) -> None:
    ticket_id = await opened(desk)
    before = len(await desk.to(EVE))
    await desk.mail(sender=EVE, in_reply_to=[SEEN], references=["secret@other.example"], to=["victim@client.example"])
    addresses = await desk.db.read(lambda conn: [row.address for row in tickets.participants(conn, ticket_id)])
    assert addresses == [ANN, BOB]
    assert len(await desk.to(EVE)) == before
    # It must not tie the mail of others to this ticket.
    other = await desk.mail(sender=BOB, message_id="secret@other.example")
    assert other.ticket_id != ticket_id


# -- rule 7: any order --------------------------------------------------------------------


def thread(parents: list[int]) -> list[Message]:
    """Messages of one thread; each but the first answers an earlier one and names all of its ancestors."""
    chains: list[list[str]] = [[]]
    for number, parent in enumerate(parents, start=1):
        answered = parent % number
        chains.append([*chains[answered], f"m{answered}@client.example"])
    return [
        said(
            sender=f"p{number % 3}@client.example",
            message_id=f"m{number}@client.example",
            references=chain,
            in_reply_to=chain[-1:],
            text=f"number {number}",
        )
        for number, chain in enumerate(chains)
    ]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(parents=st.lists(st.integers(0, 9), min_size=1, max_size=6), data=st.data())
def test_any_order_of_a_thread_makes_one_ticket(parents: list[int], data: st.DataObject) -> None:
    messages = data.draw(st.permutations(thread(parents)))
    repeated = data.draw(st.integers(0, len(messages) - 1))

    async def story() -> None:
        with tempfile.TemporaryDirectory() as folder:
            url = f"sqlite:///{folder}/gateway.db"
            migrate(url, backup_to=Path(folder))
            db = open_database(url, readers=1)
            try:
                desk = Desk(db, Blobs(Path(folder) / "blobs"), FrozenClock(), context())
                filed = [await desk.receive(message) for message in messages]
                assert len({one.ticket_id for one in filed}) == 1
                # Filing one of them twice changes nothing.
                await desk.file(await desk.entry(repeated + 1), messages[repeated])
                assert await desk.count(schema.ticket) == 1
                assert await desk.count(schema.message) == len(messages)
            finally:
                await db.close()

    asyncio.run(story())


# -- rule 9: robots -----------------------------------------------------------------------

ROBOTS: list[MessageKind] = ["auto_reply", "report", "loop", "feedback"]


@pytest.mark.parametrize("kind", ROBOTS)
async def test_a_robot_opens_nothing_and_is_not_answered(desk: Desk, kind: MessageKind) -> None:
    filed = await desk.mail(sender=ANN, kind=kind)
    assert (filed.kind, filed.ticket_id) == (kind, None)
    assert await desk.count(schema.ticket) == 0
    assert await desk.outbox() == []
    assert (await desk.entry(1)).state == "done"


@pytest.mark.parametrize("kind", ROBOTS)
@pytest.mark.parametrize("status", ["waiting", "resolved"])
async def test_a_robot_is_kept_in_its_ticket_and_wakes_nothing(desk: Desk, kind: MessageKind, status: str) -> None:
    ticket_id = await opened(desk)
    issued = await desk.issued(ticket_id)
    await desk.set_status(ticket_id, status)
    notices = len(await desk.outbox())
    filed = await desk.mail(sender=ANN, kind=kind, in_reply_to=[issued])
    assert (filed.kind, filed.ticket_id) == (kind, ticket_id)
    assert (await desk.ticket(ticket_id)).status == status
    assert (await desk.messages(ticket_id))[-1].kind == kind
    assert len(await desk.outbox()) == notices


async def test_a_notice_of_ours_that_comes_back_is_a_loop(desk: Desk) -> None:
    ticket_id = await opened(desk)
    issued = await desk.issued(ticket_id)
    filed = await desk.mail(sender=EVE, message_id=issued)
    assert filed.kind == "loop"
    assert await desk.count(schema.ticket) == 1


# -- rule 9: when to stay silent ------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "said_so", "raw"),
    [
        ("", {}, {}),
        ("old", {}, {"received_at": FrozenClock()() - timedelta(hours=25)}),
        ("", {}, {"received_at": FrozenClock()() - timedelta(hours=23)}),
        ("imported", {}, {"facts": {"imported": True}}),
        ("suspect", {"trust": "suspect"}, {}),
        ("own address", {"sender": SUPPORT}, {}),
        ("staff", {"sender": OLENA}, {}),
        ("staff", {"sender": OLENA, "trust": "verified"}, {}),
        ("no address", {"sender": ""}, {"facts": {}, "peer": ""}),
    ],
)
async def test_when_nothing_automatic_goes_out(
    desk: Desk, reason: str, said_so: dict[str, Any], raw: dict[str, Any]
) -> None:
    filed = await desk.receive(said(**{"sender": ANN, **said_so}), **raw)
    [event] = await desk.events(filed.ticket_id)
    assert event.data.get("silent", "") == reason
    expected = [] if reason else ["acknowledgement"]
    assert [row.kind for row in await desk.outbox() if row.kind == "acknowledgement"] == expected


async def test_nothing_goes_out_while_outbound_is_off(db: Database, blobs: Blobs, clock: FrozenClock) -> None:
    desk = Desk(db, blobs, clock, context(outbound="off"))
    await desk.mail(sender=ANN)
    # For the pilot's report: made, and settled before anybody could send it.
    assert [(row.kind, row.state) for row in await desk.outbox()] == [("acknowledgement", "suppressed")]


async def test_while_outbound_is_captured_notices_are_made(db: Database, blobs: Blobs, clock: FrozenClock) -> None:
    desk = Desk(db, blobs, clock, context(outbound="capture"))
    await desk.mail(sender=ANN)
    assert await desk.to(ANN) == ["acknowledgement"]


async def test_suspected_spam_is_held(desk: Desk) -> None:
    filed = await desk.mail(sender=EVE, trust="suspect")
    assert (await desk.ticket(filed.ticket_id)).status == "held"


async def test_automatic_mail_is_capped_per_address_whatever_the_headers_say(
    db: Database, blobs: Blobs, clock: FrozenClock
) -> None:
    caps = {"per_address_minute": 3, "per_address_day": 5, "per_account_minute": 100}
    desk = Desk(db, blobs, clock, context(caps=caps))
    for number in range(6):
        await desk.mail(sender=EVE, text=f"number {number}")
    assert await desk.to(EVE) == ["acknowledgement"] * 3
    clock.forward(timedelta(minutes=1))
    for number in range(6):
        await desk.mail(sender=EVE, text=f"more {number}")
    assert await desk.to(EVE) == ["acknowledgement"] * 5
    await desk.mail(sender=ANN)
    assert await desk.to(ANN) == ["acknowledgement"]


async def test_automatic_mail_is_capped_per_account(db: Database, blobs: Blobs, clock: FrozenClock) -> None:
    desk = Desk(db, blobs, clock, context(caps={"per_account_minute": 4}))
    for number in range(9):
        await desk.mail(sender=f"p{number}@client.example")
    assert [row.kind for row in await desk.outbox()].count("acknowledgement") == 4


# -- rule 9: delivery reports -----------------------------------------------------------------


def bounce(original: str, *, recipient: str = ANN, action: str = "failed", status: str = "5.1.1") -> DeliveryReport:
    """A report about a notice of ours."""
    reported = ReportedRecipient(address=recipient, action=action, status=status, diagnostic="550 no such user")
    content = said(sender="mailer-daemon@client.example", kind="report", text="Undeliverable")
    return DeliveryReport(recipients=(reported,), original_message_id=original, content=content)


async def sent(desk: Desk, state: str = "sent") -> tuple[int, str]:
    """Ann's ticket and the Message-ID of its acknowledgement, which is in this state."""
    ticket_id = await opened(desk)
    table = schema.outbox
    await desk.do(lambda conn: conn.execute(update(table).where(table.c.recipient == ANN).values(state=state)))
    [row] = [row for row in await desk.outbox() if row.recipient == ANN]
    return ticket_id, row.message_id


@pytest.mark.parametrize(
    ("action", "status", "state", "unreachable"),
    [
        ("failed", "5.1.1", "unreachable", True),
        ("failed", "", "unreachable", True),
        ("failed", "4.4.7", "refused", False),
        ("delayed", "4.4.1", "sent", False),
        ("delivered", "2.0.0", "sent", False),
    ],
)
async def test_a_bounce_marks_the_notice_and_for_good_the_address(
    desk: Desk, action: str, status: str, state: str, unreachable: bool
) -> None:
    ticket_id, original = await sent(desk)
    filed = await desk.receive(bounce(original, action=action, status=status))
    assert (filed.kind, filed.ticket_id) == ("bounce", ticket_id)
    assert [row.state for row in await desk.outbox() if row.recipient == ANN] == [state]
    mark = await desk.db.read(lambda conn: people.unreachable_by(conn, "mail", ANN, "mail"))
    assert (mark is not None) == unreachable
    assert (await desk.messages(ticket_id))[-1].kind == "bounce"
    assert ("undelivered" in await desk.kinds(ticket_id)) == (action in ("failed", "delayed"))


async def test_a_forged_bounce_changes_nothing(desk: Desk) -> None:
    ticket_id, _original = await sent(desk)
    filed = await desk.receive(bounce(SEEN))
    assert (filed.kind, filed.ticket_id) == ("bounce", None)
    assert "undelivered" not in await desk.kinds(ticket_id)
    assert await desk.db.read(lambda conn: people.unreachable_by(conn, "mail", ANN, "mail")) is None


async def test_somebody_who_writes_is_reachable_again(desk: Desk) -> None:
    _ticket_id, original = await sent(desk)
    await desk.receive(bounce(original))
    await desk.mail(sender=ANN, text="I am back")
    assert await desk.db.read(lambda conn: people.unreachable_by(conn, "mail", ANN, "mail")) is None


async def test_a_bounce_during_sending_is_put_back_for_ten_seconds(desk: Desk, clock: FrozenClock) -> None:
    _ticket_id, original = await sent(desk, "sending")
    report = bounce(original)
    entry = await desk.accept(report)
    assert (await desk.file(entry, report)).kind == "later"
    waiting = await desk.entry(entry.id)
    assert (waiting.state, waiting.attempts) == ("pending", 0)
    clock.forward(timedelta(seconds=11))
    assert (await desk.file(later(entry), report)).kind == "bounce"


async def test_a_bounce_is_never_answered(desk: Desk) -> None:
    _ticket_id, original = await sent(desk)
    await desk.receive(bounce(original))
    recipients = [row.recipient for row in await desk.outbox()]
    assert not any(recipient.startswith(("mailer-daemon", "MAILER-DAEMON")) for recipient in recipients)
    assert recipients.count(ANN) == 1
