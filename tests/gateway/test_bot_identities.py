"""Who somebody is: one-time links, codes by mail, shared telephones, and taking all of it back."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gateway import identities
from gateway.desk_acts import Conflict, NotFound
from gateway.identities import Identity
from gateway.store import people, schema
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from normalizer.message import OWN_NUMBER, Command, Notice
from tests.gateway.bot_desk import ANN, ANNA, BOB, GROUP, BotDesk, data_of, labels, place
from tests.gateway.conftest import FrozenClock
from tests.normalizer.telegram_cases import read

TOKEN = "0123456789abcdef" * 3
TELEGRAM = Identity(kind="telegram", value=ANN)


@pytest.fixture
def desk(db: Database, blobs: Blobs, clock: FrozenClock) -> BotDesk:
    return BotDesk(db, blobs, clock)


async def rows(desk: BotDesk, table: Any) -> list[Any]:
    return list(await desk.db.read(lambda conn: conn.execute(table.select()).all()))


async def invited(desk: BotDesk, value: str = ANNA) -> int:
    """A one-time link for the contact of a mail address."""
    contact, now = await desk.contact("mail", value), desk.clock()
    await desk.do(lambda conn: identities.make_link(conn, contact, TOKEN, actor="agent:olena", now=now))
    return contact


async def code(desk: BotDesk, address: str = ANNA, who: str = ANN) -> tuple[str, Notice]:
    """The code that was mailed ("" when none was), and what the chat said."""
    said = await desk.types(f"/link {address}", who=who)
    mails = [notice for notice in said if notice.channel == "mail"]
    [chat] = [notice for notice in said if notice.channel == "telegram"]
    digits = "".join(char for char in mails[0].subject if char.isdigit()) if mails else ""
    return digits, chat


# -- one-time links ---------------------------------------------------------------------------


async def linked(desk: BotDesk, who: Identity, contact: int, **how: Any) -> list[int]:
    return await desk.do(lambda conn: identities.link(conn, desk.ctx, who, contact, **how))


async def test_a_one_time_link_makes_the_chat_the_contacts_once(desk: BotDesk) -> None:
    await invited(desk)
    said = await desk.types(f"/start {TOKEN}")
    assert any(labels(notice) == ["Undo"] for notice in said)
    assert await desk.known_as("mail", ANNA) == [f"mail:{ANNA}", f"telegram:{ANN}"]
    [used] = await rows(desk, schema.proof)
    assert used.used_at is not None and TOKEN not in used.token_hash
    again = await desk.types(f"/start {TOKEN}", who=BOB)
    assert any("no longer works" in notice.text for notice in again)
    assert await desk.known_as("telegram", BOB) == []
    assert await desk.count(schema.ticket) == 0, "neither opens a ticket"


async def test_a_link_ends_after_a_day_and_means_nothing_in_a_group(desk: BotDesk) -> None:
    await invited(desk)
    await desk.types(f"/start {TOKEN}", group=True)
    assert await desk.known_as("telegram", ANN) == []
    desk.clock.forward(timedelta(hours=24))
    await desk.types(f"/start {TOKEN}")
    assert await desk.known_as("telegram", ANN) == []


async def test_a_link_for_nobody_is_refused(desk: BotDesk) -> None:
    with pytest.raises(NotFound):
        await desk.do(lambda conn: identities.make_link(conn, 99, TOKEN, actor="agent:olena", now=desk.clock()))


# -- codes by mail ----------------------------------------------------------------------------


async def test_a_code_links_chat_and_address(desk: BotDesk) -> None:
    await desk.contact("mail", ANNA)
    digits, chat = await code(desk)
    assert len(digits) == 6 and digits not in chat.text
    stored = [str(row) for row in [*await rows(desk, schema.proof), *await rows(desk, schema.outbox)]]
    assert not [row for row in stored if digits in row], "the code stands nowhere"
    filed = await desk.writes(f"{digits[:3]} {digits[3:]}")
    assert (filed.kind, filed.ticket_id) == ("command", None)
    [linked] = await desk.heard()
    assert ANNA in linked.text
    assert await desk.known_as("telegram", ANN) == [f"mail:{ANNA}", f"telegram:{ANN}"]


async def test_the_chat_does_not_tell_whether_an_address_is_known(desk: BotDesk) -> None:
    await desk.contact("mail", ANNA)
    _, known = await code(desk)
    nothing, unknown = await code(desk, "nobody@elsewhere.example", who=BOB)
    assert nothing == "" and unknown.text == known.text
    now = desk.clock()
    await desk.do(lambda conn: people.mark_unreachable(conn, "mail", ANNA, "mail", "5.1.1", now))
    silent, same = await code(desk, who="303")
    assert silent == "" and same.text == known.text


async def test_the_fifth_wrong_code_ends_it_for_known_and_unknown_alike(desk: BotDesk) -> None:
    await desk.contact("mail", ANNA)
    said: dict[str, list[str]] = {}
    for who, address in ((ANN, ANNA), (BOB, "nobody@elsewhere.example")):
        digits, _ = await code(desk, address, who=who)
        wrong = "000000" if digits != "000000" else "000001"
        said[who] = []
        for _ in range(5):
            await desk.writes(wrong, who=who)
            said[who] += [notice.text for notice in await desk.heard()]
        opened = await desk.writes(digits or "123456", who=who)
        assert opened.kind == "opened", "nobody asks for a code any more"
        await desk.heard()
        assert await desk.known_as("telegram", who) == [f"telegram:{who}"]
    assert said[ANN] == said[BOB] and "Please ask for a new one" in said[ANN][-1]


async def test_a_code_is_void_after_five_tries_wherever_they_are_made(desk: BotDesk) -> None:
    await desk.contact("mail", ANNA)
    digits, _ = await code(desk)
    wrong = "000000" if digits != "000000" else "000001"
    tried = [
        await desk.do(lambda conn, one=one: identities.try_code(conn, desk.ctx, TELEGRAM, one, now=desk.clock()))
        for one in (*[wrong] * 5, digits)
    ]
    assert tried == [None] * 6


async def test_a_code_that_is_filed_twice_opens_nothing(desk: BotDesk) -> None:
    await desk.contact("mail", ANNA)
    digits, _ = await code(desk)
    words = desk.words(digits)
    entry = await desk.accept(words, **await desk.wire(ANN))
    kinds = [(await desk.file(entry, words)).kind for _ in range(2)]
    assert kinds == ["command", "command"]
    assert await desk.count(schema.ticket) == 0
    assert len(await desk.heard()) == 1


async def test_a_code_is_the_askers_alone_and_lives_a_quarter_of_an_hour(desk: BotDesk) -> None:
    await desk.contact("mail", ANNA)
    digits, _ = await code(desk)
    await code(desk, "nobody@elsewhere.example", who=BOB)
    await desk.writes(digits, who=BOB)
    assert await desk.known_as("mail", ANNA) == [f"mail:{ANNA}"]
    desk.clock.forward(timedelta(minutes=16))
    await desk.writes(digits)
    assert await desk.known_as("mail", ANNA) == [f"mail:{ANNA}"]


async def test_a_new_code_ends_the_one_before(desk: BotDesk) -> None:
    await desk.contact("mail", ANNA)
    first, _ = await code(desk)
    desk.clock.forward(timedelta(seconds=1))
    second, _ = await code(desk)
    assert first != second
    await desk.writes(first)
    assert await desk.known_as("telegram", ANN) == []
    await desk.writes(second)
    assert await desk.known_as("telegram", ANN) == [f"mail:{ANNA}", f"telegram:{ANN}"]


async def test_codes_are_rationed_by_person_and_by_address(desk: BotDesk) -> None:
    await desk.contact("mail", ANNA)
    sent = [bool((await code(desk))[0]) for _ in range(4)]
    assert sent == [True, True, True, False]
    others = [bool((await code(desk, who=str(number)))[0]) for number in (401, 402)]
    assert others == [False, False], "the address has had its share"
    desk.clock.forward(timedelta(hours=2))
    assert (await code(desk, who="403"))[0]


# -- telephones -------------------------------------------------------------------------------


async def share(desk: BotDesk, number: str, who: str = ANN) -> list[Notice]:
    sender = desk.command("/x", who).sender
    command = Command(name=OWN_NUMBER, argument=number, sender=sender, conversation=place(who))
    await desk.bot(command, who)
    return await desk.heard()


async def test_an_own_number_joins_the_contact_and_a_typed_one_does_not(desk: BotDesk) -> None:
    await share(desk, "+380671112233")
    assert await desk.known_as("telegram", ANN) == ["phone:+380671112233", f"telegram:{ANN}"]
    await desk.writes("My number is +380 67 999 00 00")
    assert "phone:+380679990000" not in await desk.known_as("telegram", ANN)
    for typed in (
        "/phone +380679990000",
        f"/{OWN_NUMBER} +380679990000",
        f"/{OWN_NUMBER.replace('-', '_')} 380679990000",
    ):
        update = {"update_id": 1, "message": {
            "message_id": 7, "date": 1773136800, "text": typed, "chat": {"id": int(ANN)}, "from": {"id": int(ANN)},
        }}  # fmt: skip
        await desk.bot(read(json.dumps(update).encode(), {}), ANN)
        assert "phone:+380679990000" not in await desk.known_as("telegram", ANN), typed
    await desk.heard()
    [shrug] = await share(desk, "not a number", who=BOB)
    assert "/help" in shrug.text


async def test_a_shared_number_is_taken_back_by_its_button(desk: BotDesk) -> None:
    [linked] = await share(desk, "+380671112233")
    await desk.presses(data_of(linked, "Undo"))
    assert await desk.known_as("telegram", ANN) == [f"telegram:{ANN}"]
    await desk.types("/unlink")
    assert await desk.known_as("telegram", ANN) == [f"telegram:{ANN}"], "there is nothing more to take back"


async def test_a_number_brings_the_chat_to_the_contact_with_a_mail_address(desk: BotDesk) -> None:
    contact = await desk.contact("mail", ANNA)
    now = desk.clock()
    phone = Identity(kind="phone", value="+380671112233")
    await desk.do(
        lambda conn: identities.link(conn, desk.ctx, phone, contact, how="staff", actor="agent:olena", now=now)
    )
    await share(desk, "+380671112233")
    assert await desk.known_as("telegram", ANN) == [f"mail:{ANNA}", "phone:+380671112233", f"telegram:{ANN}"]


# -- merging and undoing ----------------------------------------------------------------------


async def test_two_contacts_with_mail_addresses_never_become_one(desk: BotDesk) -> None:
    first = await desk.contact("mail", ANNA)
    second = await desk.contact("mail", "anna@home.example")
    now = desk.clock()

    async def link(contact: int) -> None:
        await desk.do(
            lambda conn: identities.link(conn, desk.ctx, TELEGRAM, contact, how="code", actor="test", now=now)
        )

    await link(first)
    await link(second)
    assert await desk.known_as("mail", ANNA) == [f"mail:{ANNA}"]
    assert await desk.known_as("mail", "anna@home.example") == ["mail:anna@home.example", f"telegram:{ANN}"]


async def test_what_the_person_chose_and_shared_comes_along(desk: BotDesk) -> None:
    contact = await desk.contact("mail", ANNA)
    await share(desk, "+380671112233")
    await desk.types("/language uk")
    await desk.do(
        lambda conn: identities.link(conn, desk.ctx, TELEGRAM, contact, how="code", actor="test", now=desk.clock())
    )
    assert await desk.known_as("mail", ANNA) == [f"mail:{ANNA}", "phone:+380671112233", f"telegram:{ANN}"]
    assert await desk.db.read(lambda conn: people.get(conn, contact).language) == "uk"


async def test_undo_gives_back_what_one_act_moved_and_is_written_down(desk: BotDesk) -> None:
    filed = await desk.writes("The printer does not print")
    stranger = (await desk.ticket(filed.ticket_id)).requester_id
    await share(desk, "+380671112233")
    contact = await invited(desk)
    said = await desk.types(f"/start {TOKEN}")
    assert (await desk.ticket(filed.ticket_id)).requester_id == contact, "tickets go with their requester"
    undo = next(data_of(notice, "Undo") for notice in said if labels(notice) == ["Undo"])
    await desk.presses(undo)
    assert await desk.known_as("mail", ANNA) == [f"mail:{ANNA}"]
    assert await desk.known_as("telegram", ANN) == ["phone:+380671112233", f"telegram:{ANN}"]
    assert (await desk.ticket(filed.ticket_id)).requester_id == stranger
    hows = [row.how for row in sorted(await rows(desk, schema.identity_change), key=lambda row: row.id)]
    assert hows == ["shared contact", "deep link", "deep link", "undo", "undo"]


async def test_undo_needs_the_present_state(desk: BotDesk) -> None:
    first, second = await desk.contact("mail", ANNA), await desk.contact("mail", "anna@home.example")
    now = desk.clock()
    [change] = await desk.do(
        lambda conn: identities.link(conn, desk.ctx, TELEGRAM, first, how="staff", actor="a", now=now)
    )
    await linked(desk, TELEGRAM, second, how="staff", actor="a", now=now)
    with pytest.raises(Conflict, match="since"):
        await desk.do(lambda conn: identities.undo(conn, change, actor="a", now=now))
    with pytest.raises(NotFound):
        await desk.do(lambda conn: identities.undo(conn, 999, actor="a", now=now))
    assert await desk.known_as("telegram", ANN) == ["mail:anna@home.example", f"telegram:{ANN}"]


# -- what it is good for ----------------------------------------------------------------------


async def test_status_shows_what_was_asked_by_mail(desk: BotDesk) -> None:
    by_mail = await desk.mail(sender=ANNA, text="The VPN is down", message_id="m1@client.example")
    by_chat = await desk.writes("The printer does not print")
    await desk.heard()
    [alone] = await desk.types("/status")
    assert by_mail.number not in alone.text
    await invited(desk)
    await desk.types(f"/start {TOKEN}")
    [both] = await desk.types("/status")
    assert by_mail.number in both.text and by_chat.number in both.text


async def test_a_contract_covers_a_person_by_any_identity(desk: BotDesk) -> None:
    before = await desk.ticket((await desk.writes("The printer does not print")).ticket_id)
    assert before.contract is None
    await invited(desk)
    await desk.types(f"/start {TOKEN}")
    await desk.types("/new")
    after = await desk.ticket((await desk.writes("The phone is dead")).ticket_id)
    assert after.contract == "acme"
    assert any(ANNA in reason["detail"] for reason in after.because if reason["what"] == "contract")


async def test_a_contract_covers_a_group(desk: BotDesk) -> None:
    ticket = await desk.ticket((await desk.writes("The printer does not print", who=BOB, group=True)).ticket_id)
    assert ticket.contract == "club"
    assert any(GROUP in reason["detail"] for reason in ticket.because if reason["what"] == "contract")


async def test_an_edit_leaves_the_ticket_under_the_contract_of_its_group(desk: BotDesk) -> None:
    said = desk.words("The printer does not print", group=True)
    ticket_id = (await desk.bot(said, ANN)).ticket_id
    assert ticket_id is not None
    before = await desk.ticket(ticket_id)
    text, later = "The printer does not print at all", desk.clock() + timedelta(minutes=1)
    edited = await desk.bot(replace(said, text=text, visible_text=text, edited_at=later), ANN)
    after = await desk.ticket(ticket_id)
    assert (edited.kind, before.contract, after.contract) == ("revised", "club", "club")
    assert "contract" not in await desk.kinds(ticket_id)
