"""What Telegram sends, as the bytes of its updates, and what it becomes in tickets."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select

from channels.telegram.inbound import raw_message
from gateway.filing import Filed, file_entry
from gateway.store import journal, people, queries, schema, threads, tickets
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from gateway.worker import read_entry
from gateway.worker_protocol import Parsed
from normalizer.message import InlineBody
from router.policy import Policy
from tests.gateway.conftest import FrozenClock
from tests.gateway.filing_desk import SUPPORT, Desk, context

BOT, ANN, BOB, GROUP = 100200300, 5_000_000_001, 5_000_000_002, -1001234567890
NAMES = {ANN: "Ann", BOB: "Bob"}


class Bot(Desk):
    """A desk behind one bot; `update` is what its webhook or poller does."""

    numbers = 0

    async def update(self, **update: Any) -> Filed:
        """Journal an update of the Bot API, read it and file it."""
        self.numbers += 1
        content = json.dumps({"update_id": self.numbers, **update}).encode()
        raw = raw_message(
            content, account="bot", bot_id=BOT, body=InlineBody(content=content), now=self.clock(),
            facts={"bot_id": BOT, "bot_name": "helpdesk_bot"},
        )  # fmt: skip
        now, blobs = self.clock(), self.blobs
        [accepted] = await self.db.write(lambda conn: journal.record(conn, [raw], None, now=now, blobs=blobs))
        return await self.filed(accepted.entry)

    async def filed(self, entry_id: int) -> Filed:
        """Read and file an entry."""
        entry = await self.entry(entry_id)
        parsed = read_entry(entry.raw, Policy(), self.blobs)
        assert isinstance(parsed, Parsed), parsed
        now = self.clock()
        return await self.db.write(lambda conn: file_entry(conn, self.ctx, entry, parsed, now))

    async def say(self, text: str = "", number: int = 1, *, kind: str = "message", **more: Any) -> Filed:
        """A message; `who`, `chat` and whatever else one has."""
        return await self.update(**{kind: self.said(text, number, **more)})

    def said(self, text: str, number: int, *, who: int = ANN, chat: dict[str, Any] | None = None, **more: Any) -> Any:
        sender = {"id": who, "is_bot": False, "first_name": NAMES[who]}
        where = chat or {"id": who, "type": "private", "first_name": NAMES[who]}
        words = {"text": text} if text else {}
        return {
            "message_id": number, "from": sender, "chat": where, "date": int(self.clock().timestamp()), **words, **more
        }  # fmt: skip

    async def shown(self, ticket_id: int | None) -> list[tuple[str, list[str]]]:
        """Text and files of each message."""
        assert ticket_id is not None

        def look(conn: Connection) -> list[tuple[str, list[str]]]:
            rows = queries.messages(conn, [ticket_id])[ticket_id]
            files = queries.attachments(conn, [row.id for row in rows])
            return [(row.visible_text, [file.filename for file in files.get(row.id, [])]) for row in rows]

        return await self.db.read(look)


@pytest.fixture
def bot(db: Database, blobs: Blobs, clock: FrozenClock, tmp_path: Path) -> Bot:
    (tmp_path / "token").write_text(f"{BOT}:a-token-of-no-worth")
    account = {"token": f"file:{tmp_path / 'token'}", "language": "en"}
    channels = {"mail": {"support": {"addresses": [SUPPORT]}}, "telegram": {"bot": account}}
    return Bot(db, blobs, clock, context(channels=channels))


def group(topic: int | None = None) -> dict[str, Any]:
    in_topic = {"message_thread_id": topic, "is_topic_message": True} if topic else {}
    return {"chat": {"id": GROUP, "type": "supergroup", "title": "Office"}, **in_topic}


def photo(number: int) -> dict[str, Any]:
    sizes = [{"file_id": f"f{number}", "file_unique_id": f"u{number}", "width": 90, "height": 90, "file_size": 900}]
    return {"photo": sizes}


async def test_a_conversation_in_private(bot: Bot) -> None:
    assert (await bot.say("Добрый день!", 1)).kind == "thanks"
    first = await bot.say("The printer on the third floor burns.", 2)
    assert (await bot.say("It smells, too.", 3)).ticket_id == first.ticket_id
    assert (await bot.say("", 4, sticker={"file_id": "s", "emoji": "🔥"})).ticket_id == first.ticket_id
    ticket = await bot.ticket(first.ticket_id)
    assert (ticket.channel, ticket.account, ticket.requester) == ("telegram", "bot", str(ANN))
    assert ticket.conversation["answer_to"] == {"chat": ANN} and ticket.conversation["private"]
    assert ticket.subject == "The printer on the third floor burns."
    [row] = await bot.outbox()
    assert (row.kind, row.channel, row.recipient, row.destination) == (
        "acknowledgement", "telegram", str(ANN), {"chat": ANN},
    )  # fmt: skip
    assert (await bot.db.read(lambda conn: people.find(conn, "telegram", str(ANN)))) is not None


async def test_an_album_of_photos(bot: Bot) -> None:
    for number, more in ((12, {}), (10, {}), (11, {"caption": "See the smoke."})):
        filed = await bot.say("", number, media_group_id="777", **photo(number), **more)
    assert await bot.shown(filed.ticket_id) == [("See the smoke.", ["photo_10.jpg", "photo_11.jpg", "photo_12.jpg"])]
    assert (await bot.ticket(filed.ticket_id)).subject == "See the smoke."
    assert await bot.count(schema.ticket) == 1 and await bot.count(schema.media) == 3
    assert await bot.to(str(ANN)) == ["acknowledgement"]


async def test_a_photo_alone_is_called_a_photo(bot: Bot) -> None:
    filed = await bot.say("", 1, **photo(1))
    assert (await bot.ticket(filed.ticket_id)).subject == "Photo"


async def test_an_edit_also_before_the_message_and_of_a_caption(bot: Bot) -> None:
    now = int(bot.clock().timestamp())
    edited = await bot.say("The printer burns.", 1, kind="edited_message", edit_date=now + 60)
    before = await bot.say("The printre burns.", 1)
    assert (before.kind, before.ticket_id) == ("revised", edited.ticket_id)
    assert await bot.shown(edited.ticket_id) == [("The printer burns.", [])]
    await bot.say("", 2, media_group_id="9", **photo(2))
    await bot.say("", 3, media_group_id="9", **photo(3), caption="Smok.")
    late = await bot.say("", 3, kind="edited_message", media_group_id="9", **photo(3), caption="Smoke.", edit_date=now)
    assert late.ticket_id == edited.ticket_id
    assert (await bot.shown(edited.ticket_id))[1] == ("Smoke.", ["photo_2.jpg", "photo_3.jpg"])


async def test_a_group_and_its_topics(bot: Bot) -> None:
    ann = await bot.say("The printer on the third floor burns.", 1, **group())
    topic = await bot.say("The lamp flickers all day long.", 2, **group(7))
    bob = await bot.say("My chair is broken, it has three legs.", 3, who=BOB, **group())
    assert len({ann.ticket_id, topic.ticket_id, bob.ticket_id}) == 3
    assert (await bot.ticket(topic.ticket_id)).conversation["answer_to"] == {"chat": GROUP, "topic": 7}
    answer = {"message_id": 1, "from": {"id": ANN, "first_name": "Ann"}, "chat": group()["chat"], "date": 1}
    stranger = await bot.say("Mine burns, too.", 4, who=BOB, reply_to_message=answer, **group())
    assert (stranger.kind, stranger.ticket_id) == ("unverified", ann.ticket_id)


async def test_a_customer_of_a_business_account(bot: Bot) -> None:
    filed = await bot.say("The printer on the third floor burns.", 1, kind="business_message",
                          business_connection_id="bc1")  # fmt: skip
    ticket = await bot.ticket(filed.ticket_id)
    assert ticket.conversation["id"] == f"b:bc1:{ANN}"
    assert ticket.conversation["answer_to"] == {"chat": ANN, "business": "bc1"}
    private = await bot.say("Something else is broken here.", 2)
    assert private.ticket_id != filed.ticket_id
    edited = await bot.say("It burns.", 1, kind="edited_business_message", business_connection_id="bc1",
                           edit_date=int(bot.clock().timestamp()))  # fmt: skip
    assert (edited.kind, edited.ticket_id) == ("revised", filed.ticket_id)


async def test_a_mail_ticket_is_answered_in_the_chat_that_it_was_told_in(bot: Bot) -> None:
    mail = await bot.mail(sender="ann@client.example", message_id="1@client.example", text="The lamp is broken.")
    ticket = await bot.ticket(mail.ticket_id)
    told = f"telegram:bot:{ANN}:50"

    def link(conn: Connection) -> None:
        row = {"kind": "telegram", "value": str(ANN), "contact_id": ticket.requester_id}
        conn.execute(schema.identity.insert().values(row))
        threads.add_key(conn, ticket.id, "external", told, issued=True, recipient=str(ANN))

    await bot.do(link)
    ours = {"message_id": 50, "from": {"id": BOT, "is_bot": True}, "chat": {"id": ANN, "type": "private"}, "date": 1}
    filed = await bot.say("It flickers since Monday.", 51, reply_to_message=ours)
    assert (filed.kind, filed.ticket_id) == ("appended", ticket.id)
    assert (await bot.events(ticket.id))[-1].actor == "requester", "both addresses are one person's"
    people_of = await bot.db.read(lambda conn: tickets.participants(conn, ticket.id))
    assert [row.address for row in people_of] == ["ann@client.example"], "a mail cannot be copied to a chat"
    assert (await bot.say("Only in the evening.", 52)).ticket_id == ticket.id


async def test_who_blocks_the_bot_cannot_be_reached_until_they_are_back(bot: Bot) -> None:
    await bot.say("The printer on the third floor burns.", 1)

    def member(status: str) -> dict[str, Any]:
        user = {"id": BOT, "is_bot": True, "first_name": "Desk"}
        chat, sender = {"id": ANN, "type": "private"}, {"id": ANN, "first_name": "Ann"}
        return {
            "chat": chat, "from": sender, "date": 1, "old_chat_member": {"user": user, "status": "member"},
            "new_chat_member": {"user": user, "status": status},
        }  # fmt: skip

    async def why() -> str:
        mark = await bot.db.read(lambda conn: people.unreachable_by(conn, "telegram", str(ANN), "telegram"))
        return str(mark.why) if mark is not None else ""

    assert (await bot.update(my_chat_member=member("kicked"))).kind == "reachability"
    assert await why() == "blocked"
    await bot.update(my_chat_member=member("member"))
    assert await why() == ""
    await bot.update(my_chat_member=member("kicked"))
    await bot.say("It smells.", 2)
    assert await why() == "", "who writes can be reached"


async def test_the_same_message_after_the_numbering_began_anew(bot: Bot) -> None:
    first = await bot.say("The printer on the third floor burns.", 1)
    again = await bot.say("The printer on the third floor burns.", 1)
    assert (again.kind, again.ticket_id) == ("repeated", first.ticket_id)
    assert len(await bot.messages(first.ticket_id, every_revision=True)) == 1


async def test_an_update_that_could_not_be_read_is_shown_and_read_later(bot: Bot) -> None:
    content = json.dumps({"update_id": 1, "message": bot.said("The printer burns.", 1)}).encode()
    raw = raw_message(content, account="bot", bot_id=BOT, body=InlineBody(content=content), now=bot.clock(), facts={})
    [accepted] = await bot.db.write(lambda conn: journal.record(conn, [raw], None, now=bot.clock(), blobs=bot.blobs))
    entry = await bot.entry(accepted.entry)
    while not await bot.give_up(entry):
        bot.clock.forward(timedelta(minutes=1))
    [ticket] = await bot.db.read(lambda conn: conn.execute(select(schema.ticket)).all())
    [placeholder] = await bot.messages(ticket.id)
    files = await bot.db.read(lambda conn: queries.attachments(conn, [placeholder.id]))
    assert [file.filename for file in files[placeholder.id]] == ["update.json"]
    await bot.replay(accepted.entry)
    assert (await bot.filed(accepted.entry)).ticket_id == ticket.id
    ticket = await bot.ticket(ticket.id)
    assert (ticket.requester, ticket.subject) == (str(ANN), "The printer burns.")
    assert ticket.conversation["answer_to"] == {"chat": ANN}
