"""What WhatsApp has beside words: places, cards, lists, buttons, reactions; each stands in the ticket it is about."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from gateway.store import schema
from tests.gateway.text_desk import OURS, TextDesk, texts

__all__ = ["texts"]

OUR_SID = "SM" + "f" * 32
TO_OURS = {"OriginalRepliedMessageSid": OUR_SID, "OriginalRepliedMessageSender": f"whatsapp:{OURS}"}
CARD = {
    "NumMedia": "1",
    "MediaUrl0": f"https://api.twilio.com/2010-04-01/Accounts/AC{'0' * 32}/Messages/MM{'0' * 32}/Media/ME{'0' * 32}",
    "MediaContentType0": "text/vcard",
}


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ({"MessageType": "location", "Latitude": "50.450001", "Longitude": "30.523333"}, "50.450001, 30.523333"),
        ({"MessageType": "interactive", "ListId": "printer", "ListTitle": "Принтер"}, "Принтер"),
        ({"MessageType": "button", "ButtonText": "Так", "ButtonPayload": "yes-please"}, "Так"),
        ({"MessageType": "hologram"}, "[unsupported content: hologram]"),
    ],
)
async def test_what_is_no_text_is_a_ticket_and_says_what_it_is(
    texts: TextDesk, said: dict[str, str], shown: str
) -> None:
    filed = await texts.say(said.get("ButtonText", ""), channel="whatsapp", **said)
    assert filed.kind == "opened"
    (message,) = await texts.messages(filed.ticket_id)
    assert shown in message.visible_text


async def test_a_card_is_a_file_that_follows(texts: TextDesk) -> None:
    filed = await texts.say("", channel="whatsapp", MessageType="contacts", **CARD)
    (message,) = await texts.messages(filed.ticket_id)

    def look(conn: object) -> list[tuple[str, str]]:
        table = schema.attachment.c
        query = select(table.content_type, table.state).where(table.message_id == message.id)
        return [tuple(row) for row in conn.execute(query)]  # type: ignore[attr-defined]

    assert await texts.db.read(look) == [("text/vcard", "pending")]


async def test_a_reaction_to_our_message_stands_in_its_ticket_and_opens_and_reopens_nothing(texts: TextDesk) -> None:
    old = await texts.say("Не працює пошта", channel="whatsapp")
    await texts.sent(old, OUR_SID)
    texts.later(days=3)
    new = await texts.say("Не друкує принтер", channel="whatsapp")
    await texts.set_status(old.ticket_id, "resolved")
    filed = await texts.say("👍", channel="whatsapp", MessageType="reaction", **TO_OURS)
    assert filed.ticket_id == old.ticket_id != new.ticket_id
    assert (await texts.messages(old.ticket_id))[-1].visible_text == "[reaction]\n👍"
    assert (await texts.ticket(old.ticket_id)).status == "resolved"
    assert await texts.count(schema.ticket) == 2
