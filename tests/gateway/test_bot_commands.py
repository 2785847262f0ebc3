"""Commands of a bot in a real store: done once, answered always, and no ticket is opened by them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.dialogs.bot import MENU
from gateway.store import consents, people, schema
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from normalizer.message import Command, Notice
from tests.gateway.bot_desk import ANN, ANNA, BOB, BotDesk, data_of, labels, place, shipped
from tests.gateway.conftest import FrozenClock


@pytest.fixture
def desk(db: Database, blobs: Blobs, clock: FrozenClock) -> BotDesk:
    return BotDesk(db, blobs, clock)


def texts(notices: list[Notice]) -> list[str]:
    return [notice.text for notice in notices]


async def language(desk: BotDesk, who: str) -> str | None:
    contact = await desk.contact("telegram", who)
    found: str | None = await desk.db.read(lambda conn: people.get(conn, contact).language)
    return found


async def test_start_greets_and_asks_for_the_language_and_opens_nothing(desk: BotDesk) -> None:
    [hello] = await desk.types("/start", language="uk")
    assert hello.language == "uk" and hello.text.startswith("Вітаємо")
    assert labels(hello) == ["Українська", "Русский", "English"]
    assert (hello.destination, hello.automatic) == ({"chat": int(ANN)}, True)
    changed, toast = await desk.presses(data_of(hello, "Русский"))
    assert (changed.act, changed.target, changed.language) == ("edit", "under", "ru")
    assert (toast.act, toast.target) == ("press", "press-101")
    assert await language(desk, ANN) == "ru"
    [again] = await desk.types("/start", language="uk")
    assert again.language == "ru" and not again.buttons, "the own choice counts, not the device"
    assert await desk.count(schema.ticket) == 0


async def test_every_command_has_one_answer(desk: BotDesk) -> None:
    for text in ("/help", "/new", "/language", "/stop", "/nonsense", "/rate", "/link", "/ünknown"):
        said = await desk.types(text)
        assert len(said) == 1 and said[0].text and said[0].act == "send", text
    assert await desk.count(schema.ticket) == 0


ODD = ("nonsense:1", "press:", f"rate:{'a' * 26}:5", "reopen:x", "change:", "language:xx", "unlink:", "phone:1", "new:")


async def test_every_press_is_answered_once_whatever_it_means(desk: BotDesk) -> None:
    for data in ODD:
        for under in ("under", ""):
            said = await desk.presses(data, under=under)
            answered = [notice.target for notice in said if notice.act == "press"]
            assert answered == [f"press-{desk.number - 1}"], data
            assert not [notice for notice in said if notice.act == "edit" and not under]


async def test_a_command_that_is_filed_twice_is_done_once(desk: BotDesk) -> None:
    command = desk.command("/stop")
    entry = await desk.accept(command, **await desk.wire(ANN))
    await desk.file(entry, command)
    await desk.types("/start")
    await desk.file(entry, command)
    assert await desk.heard() == []
    stopped = await desk.db.read(lambda conn: consents.stopped(conn, "telegram", "bot", ANN))
    assert not stopped, "the repeat of an old stop must not undo the start"


async def test_a_replay_carries_out_no_command(desk: BotDesk) -> None:
    command = desk.command("/stop")
    entry = await desk.accept(command, **await desk.wire(ANN))
    for _ in range(5):
        await desk.give_up(entry)
    again = await desk.replay(entry.id)
    assert (await desk.file(again, command)).kind == "command"
    assert await desk.heard() == []


async def test_an_old_command_is_done_but_nobody_is_surprised_by_an_answer(desk: BotDesk) -> None:
    old = desk.clock() - timedelta(days=2)
    filed = await desk.bot(desk.command("/stop"), ANN, received_at=old)
    assert (filed.kind, await desk.heard()) == ("command", [])
    assert await desk.db.read(lambda conn: consents.stopped(conn, "telegram", "bot", ANN))


async def test_two_machines_do_not_talk_for_ever(desk: BotDesk) -> None:
    answers = [len(await desk.types("/help")) for _ in range(25)]
    assert sum(answers) == 20


async def test_new_opens_another_ticket_although_one_is_open(desk: BotDesk) -> None:
    first = await desk.writes("The printer does not print")
    same = await desk.writes("It is on the second floor")
    assert same.ticket_id == first.ticket_id
    await desk.types("/new")
    desk.clock.forward(timedelta(seconds=1))
    second = await desk.writes("And the phone is dead")
    third = await desk.writes("Since yesterday")
    assert second.ticket_id != first.ticket_id == same.ticket_id
    assert third.ticket_id == second.ticket_id, "new counts for one message"


async def test_status_shows_the_own_tickets_in_private_only(desk: BotDesk) -> None:
    mine = await desk.writes("The printer does not print")
    theirs = await desk.writes("My salary is late", who=BOB)
    await desk.heard()
    [shown] = await desk.types("/status")
    assert mine.number in shown.text and theirs.number not in shown.text
    assert "received" in shown.text and "2 March" in shown.text
    [elsewhere] = await desk.types("/status", group=True)
    assert mine.number not in elsewhere.text and "private" in elsewhere.text
    assert (elsewhere.destination, elsewhere.answers) == ({"chat": -500}, f"telegram:bot:{ANN}:{desk.number - 1}")
    await desk.set_status(mine.ticket_id, "closed")
    [none] = await desk.types("/status")
    assert mine.number not in none.text


async def test_a_stranger_has_no_tickets(desk: BotDesk) -> None:
    await desk.writes("The printer does not print")
    await desk.heard()
    [none] = await desk.types("/status", who=BOB)
    assert "no open tickets" in none.text


async def test_stop_ends_what_nobody_wrote_by_hand_and_start_undoes_it(desk: BotDesk) -> None:
    await desk.types("/stop")
    filed = await desk.writes("The printer does not print")
    [number] = await desk.heard()
    assert number.kind == "acknowledgement", "it answers their own words"
    said = await desk.resolved(filed.ticket_id)
    assert [notice.kind for notice in said] == ["resolved"] and not said[0].buttons, "the result, and no question"
    assert await desk.open_surveys(filed.ticket_id or 0) == 0
    [back] = await desk.types("/start")
    assert "on again" in back.text
    other = await desk.writes("The phone is dead")
    [asked] = await desk.resolved(other.ticket_id)
    assert asked.buttons


async def test_outbound_off_says_nothing(
    db: Database, blobs: Blobs, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.gateway import bot_desk

    quiet = {"telegram": {"bot": {"token": "env:NO_SUCH_TOKEN", "outbound": "off"}}}
    monkeypatch.setitem(bot_desk.SETTINGS, "channels", {**bot_desk.SETTINGS["channels"], **quiet})
    assert await BotDesk(db, blobs, clock).types("/help") == []


async def test_a_command_that_could_not_be_read_at_first_says_what_it_was(desk: BotDesk) -> None:
    command = Command(name="start", sender=desk.command("/x").sender, conversation=place())
    entry = await desk.accept(command, **await desk.wire(ANN))
    for _ in range(5):
        await desk.give_up(entry)
    again = await desk.replay(entry.id)
    await desk.file(again, command)
    [ticket] = await desk.db.read(lambda conn: conn.execute(schema.ticket.select()).all())
    assert [row.text for row in await desk.messages(ticket.id)] == ["/start"]


async def test_a_mail_address_is_asked_for_in_two_steps(desk: BotDesk) -> None:
    await desk.contact("mail", ANNA)
    [ask] = await desk.types("/link")
    assert "email" in ask.text
    filed = await desk.writes(ANNA)
    assert (filed.kind, filed.ticket_id) == ("command", None)
    mail, chat = sorted(await desk.heard(), key=lambda notice: notice.channel)
    assert (mail.recipient.address, chat.channel) == (ANNA, "telegram")


async def test_the_edit_of_what_the_bot_took_opens_no_ticket(desk: BotDesk) -> None:
    await desk.types("/link")
    address, later = desk.words("anna@cleint.example"), desk.clock() + timedelta(seconds=5)
    await desk.bot(address, ANN)
    await desk.types("/help")
    edited = replace(address, text=ANNA, visible_text=ANNA, edited_at=later)
    assert (await desk.bot(edited, ANN)).kind == "command"
    assert await desk.count(schema.ticket) == 0
    assert (await desk.bot(replace(edited, external_key="telegram:bot:101:m1"), ANN)).kind == "opened"


def test_the_menu_shows_commands_that_there_are_in_every_language() -> None:
    for words in shipped().pages.values():
        shown = [key.removeprefix("command_") for key in words if key.startswith("command_")]
        assert sorted(shown) == sorted(MENU)
