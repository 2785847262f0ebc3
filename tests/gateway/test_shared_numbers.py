"""Telephone numbers that are no one person's: they name the contract, prove nothing, and get no text messages."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select

from gateway import identities, may_send, updates
from gateway.identities import Identity
from gateway.shared_numbers import TAG, bars, why_shared
from gateway.store import people, phones, proofs, schema, tickets
from gateway.store.outbox import Row
from gateway.updates import Change
from normalizer.message import RATING_CALL
from router.policy import Contract, Policy
from tests.gateway.text_desk import ANNA, BOB, TextDesk, texts

__all__ = ["texts"]

LANDLINE = "+380440000009"
MAIL = "anna@client.example"
LISTED = "listed under the contract acme"


def policy(*numbers: str) -> Policy:
    """One contract that lists telephone numbers, and mail of a domain."""
    contracts = {
        "acme": Contract(key="acme", name="Acme", phones=numbers, domains=("client.example",), calendar="always")
    }
    return Policy(contracts=contracts)


@pytest.mark.parametrize(
    ("number", "said", "barred"),
    [
        (LANDLINE, None, ""),
        (LANDLINE, "no mobile", ""),
        (LANDLINE, "two contacts", "a shared number: seen with two people"),
        (LANDLINE, "staff", "a shared number: staff say so"),
        ("+380440000010", None, f"a shared number: {LISTED}"),
        (ANNA, None, ""),
    ],
)
async def test_a_landline_may_be_called_for_a_mark_and_a_number_of_several_people_not(
    texts: TextDesk, number: str, said: str | None, barred: str
) -> None:
    ctx = replace(texts.ctx, policy=policy("+380440000010"))

    def look(conn: Connection) -> tuple[str, str]:
        if said == "staff":
            phones.say(conn, number, True, actor="agent:olena", now=texts.clock())
        elif said is not None:
            phones.learn(conn, number, said, now=texts.clock())  # type: ignore[arg-type]
        return bars(conn, ctx, "voice", number, RATING_CALL), bars(conn, ctx, "sms", number, "survey")

    call, text = await texts.db.write(look)
    assert call == barred
    assert bool(text) == (number != ANNA)


async def why(texts: TextDesk, number: str) -> str:
    return await texts.db.read(lambda conn: why_shared(conn, texts.ctx, number))


async def known_as(texts: TextDesk, kind: str, value: str) -> list[str]:
    """Every identity of the contact of one."""

    def look(conn: Connection) -> list[str]:
        found = people.find(conn, kind, value)
        assert found is not None
        return [f"{row.kind}:{row.value}" for row in people.identities(conn, found.contact_id)]

    return await texts.db.read(look)


async def resolved(texts: TextDesk, ticket_id: int | None) -> None:
    """Staff are done with a ticket."""
    assert ticket_id is not None
    of = ticket_id

    def job(conn: Connection) -> None:
        tickets.update(conn, of, status="resolved", resolutions=1)
        data = {"status": ["open", "resolved"]}
        event = tickets.add_event(
            conn, of, at=texts.clock(), actor="agent:olena", kind="resolved", data=data, key=f"r:{of}"
        )
        change = Change(ticket_id=of, event_id=event, kind="resolved", actor="agent:olena", data=data)
        updates.compose(conn, texts.ctx, change, texts.clock())

    await texts.do(job)


# -- what makes a number shared ---------------------------------------------------------------


async def test_a_number_is_shared_by_its_contract_its_kind_the_network_or_staff(texts: TextDesk) -> None:
    assert await why(texts, ANNA) == ""
    assert await why(texts, LANDLINE) == "no mobile"
    texts.ctx = replace(texts.ctx, policy=policy("+380 67 000-00-01"))
    assert await why(texts, ANNA) == LISTED
    await texts.do(lambda conn: phones.say(conn, ANNA, False, actor="agent:olena", now=texts.clock()))
    assert await why(texts, ANNA) == "", "staff know better"
    await texts.do(lambda conn: phones.say(conn, BOB, True, actor="agent:olena", now=texts.clock()))
    assert await why(texts, BOB) == "staff say so"
    await texts.do(lambda conn: phones.say(conn, BOB, None, actor="agent:olena", now=texts.clock()))
    assert await why(texts, BOB) == ""


@pytest.mark.parametrize(("code", "reason"), [("30006", "no mobile, as the network says"), ("30005", "")])
async def test_what_the_network_takes_for_a_landline_is_one(texts: TextDesk, code: str, reason: str) -> None:
    ticket = await texts.say("Не печатает")
    row = await texts.sent(ticket, "SM" + "a" * 32)
    await texts.report("SM" + "a" * 32, "undelivered", ErrorCode=code, o=str(row))
    assert await why(texts, ANNA) == reason
    await texts.do(lambda conn: phones.say(conn, ANNA, False, actor="agent:olena", now=texts.clock()))
    await texts.do(lambda conn: phones.learn(conn, ANNA, "no mobile", now=texts.clock()))
    assert await why(texts, ANNA) == "", "what is seen does not overrule staff"


# -- what it means ----------------------------------------------------------------------------


async def test_a_shared_number_opens_a_ticket_that_nobody_is_told_of_and_staff_see_why(texts: TextDesk) -> None:
    texts.ctx = replace(texts.ctx, policy=policy(ANNA))
    await texts.also_by_mail(MAIL)
    filed = await texts.say("Не печатает принтер")
    ticket = await texts.ticket(filed.ticket_id)
    assert TAG in ticket.tags
    assert ticket.contract is None or ticket.contract == "acme"
    assert await texts.outbox() == [], "neither a text message, nor a mail to somebody who may not have asked"
    events = {event.kind: event.data for event in await texts.events(filed.ticket_id)}
    assert events["opened"]["shared"] == LISTED
    assert events["silent"] == {"notice": "acknowledgement", "reason": f"a shared number: {LISTED}"}
    assert await known_as(texts, "phone", ANNA) == [f"phone:{ANNA}"], "the number names no person"
    assert await known_as(texts, "mail", MAIL) == [f"mail:{MAIL}"]
    changes = await texts.db.read(lambda conn: conn.execute(select(schema.identity_change)).all())
    assert [(row.how, row.actor) for row in changes] == [("shared number", "gateway")]
    back = await texts.do(lambda conn: identities.undo(conn, changes[0].id, actor="agent:olena", now=texts.clock()))
    assert len(back) == 1
    assert await why(texts, ANNA) == "", "staff say whose it is"
    await resolved(texts, filed.ticket_id)
    assert [(row.channel, row.template) for row in await texts.outbox()] == [("sms", "resolved")]


async def test_a_burst_from_a_shared_number_is_one_ticket_all_the_same(texts: TextDesk) -> None:
    first = await texts.say("Не печатает", sender=LANDLINE)
    assert (await texts.say("принтер", sender=LANDLINE)).ticket_id == first.ticket_id
    assert await texts.outbox() == []


async def test_on_whatsapp_who_wrote_is_answered_and_told_no_more(texts: TextDesk) -> None:
    filed = await texts.say("Не печатает", sender=LANDLINE, channel="whatsapp", ProfileName="Ганна")
    assert [row.template for row in await texts.outbox()] == ["acknowledgement"]
    await resolved(texts, filed.ticket_id)
    assert [row.template for row in await texts.outbox()] == ["acknowledgement"]
    ticket = await texts.ticket(filed.ticket_id)
    contact = await texts.db.read(lambda conn: people.get(conn, ticket.requester_id))
    assert contact.name == "", "it is nobody's name"


@pytest.mark.parametrize("template", ["acknowledgement", "reply", "bot_rated", "word_stop"])
async def test_what_waits_to_go_out_is_looked_at_once_more(texts: TextDesk, template: str) -> None:
    filed = await texts.say("Не печатает")
    row_id = await texts.sent(filed, "SM" + "b" * 32)
    row: Row = replace(await texts.row(row_id), template=template, destination={"to": ANNA, "from": "+380440000001"})

    async def told() -> str:
        return await texts.db.read(lambda conn: may_send.why_not(conn, texts.ctx, row))

    assert await told() == ""
    await texts.say("СТОП")
    assert await told() == ("" if template == "word_stop" else may_send.STOPPED)
    await texts.say("СТАРТ")
    assert await told() == ""
    texts.ctx = replace(texts.ctx, policy=policy(ANNA))
    assert await told() == ("" if template == "word_stop" else f"a shared number: {LISTED}")


async def test_an_operators_number_is_what_the_configuration_says(texts: TextDesk) -> None:
    filed = await texts.say("Не печатает")
    row = replace(await texts.row(await texts.sent(filed, "SM" + "e" * 32)), template="alert", kind="alert")

    async def told(number: str) -> str:
        return await texts.db.read(lambda conn: may_send.why_not(conn, texts.ctx, replace(row, recipient=number)))

    assert await told(LANDLINE) == ""
    await texts.say("СТОП")
    assert await told(ANNA) == may_send.STOPPED, "the network lets nothing through"


# -- what it proves ---------------------------------------------------------------------------


def phone(number: str) -> Identity:
    return Identity(kind="phone", value=number)


async def telegram(texts: TextDesk, user: str, mail: str = "") -> None:
    """Somebody who writes by Telegram, and maybe by mail."""

    def job(conn: Connection) -> None:
        contact = people.contact_for(conn, "telegram", user, "", texts.clock())
        if mail:
            conn.execute(insert(schema.identity).values(kind="mail", value=mail, contact_id=contact))

    await texts.do(job)


async def shares(texts: TextDesk, user: str, number: str) -> bool:
    who, now = Identity(kind="telegram", value=user), texts.clock()
    return await texts.do(lambda conn: identities.share_phone(conn, texts.ctx, who, number, now=now))


async def test_a_shared_number_that_telegram_vouches_for_links_nobody(texts: TextDesk) -> None:
    texts.ctx = replace(texts.ctx, policy=policy(ANNA))
    await texts.also_by_mail(MAIL)
    await telegram(texts, "77")
    assert not await shares(texts, "77", ANNA)
    assert await known_as(texts, "telegram", "77") == ["telegram:77"]
    assert await known_as(texts, "phone", ANNA) == [f"phone:{ANNA}"]


@pytest.mark.parametrize("mails", [("", ""), ("one@client.example", ""), ("one@client.example", "two@client.example")])
async def test_a_number_that_two_people_call_theirs_is_nobodys(texts: TextDesk, mails: tuple[str, str]) -> None:
    for user, mail in zip(("77", "88"), mails, strict=True):
        await telegram(texts, user, mail)
    assert await shares(texts, "77", ANNA)
    assert f"phone:{ANNA}" in await known_as(texts, "telegram", "77")
    assert not await shares(texts, "88", ANNA)
    assert await why(texts, ANNA) == "seen with two people"
    assert await known_as(texts, "phone", ANNA) == [f"phone:{ANNA}"]
    for user, mail in zip(("77", "88"), mails, strict=True):
        assert await known_as(texts, "telegram", user) == [*([f"mail:{mail}"] if mail else []), f"telegram:{user}"]


async def test_no_proof_is_worth_anything_from_a_shared_number_but_staffs_word_is(texts: TextDesk) -> None:
    contact = await texts.do(lambda conn: people.contact_for(conn, "mail", MAIL, "", texts.clock()))
    who, now = phone(LANDLINE), texts.clock()
    await texts.do(lambda conn: identities.make_link(conn, contact, "t" * 48, actor="agent:olena", now=now))
    assert not await texts.do(lambda conn: identities.use_link(conn, texts.ctx, who, "t" * 48, now=now))
    left = await texts.do(lambda conn: proofs.by_hash(conn, proofs.hashed("t" * 48), now))
    assert left is not None, "whom it was made for can still use it"

    async def linked(how: Any) -> list[int]:
        return await texts.do(lambda conn: identities.link(conn, texts.ctx, who, contact, how=how, actor="x", now=now))

    assert await linked("code") == []
    assert len(await linked("staff")) == 1
    assert await why(texts, LANDLINE) == ""
    assert await known_as(texts, "mail", MAIL) == [f"mail:{MAIL}", f"phone:{LANDLINE}"]


async def test_a_shared_number_comes_along_with_nobody(texts: TextDesk) -> None:
    await telegram(texts, "77")
    assert await shares(texts, "77", ANNA)
    await texts.do(lambda conn: phones.say(conn, ANNA, True, actor="agent:olena", now=texts.clock()))
    contact = await texts.do(lambda conn: people.contact_for(conn, "mail", MAIL, "", texts.clock()))
    who, now = Identity(kind="telegram", value="77"), texts.clock()
    await texts.do(lambda conn: identities.link(conn, texts.ctx, who, contact, how="code", actor="x", now=now))
    assert await known_as(texts, "mail", MAIL) == [f"mail:{MAIL}", "telegram:77"]


@pytest.mark.parametrize(("second", "contract"), [("two@client.example", "acme"), ("two@home.example", None)])
async def test_a_number_of_several_people_of_one_client_is_the_clients(
    texts: TextDesk, second: str, contract: str | None
) -> None:
    texts.ctx = replace(texts.ctx, policy=policy())
    await telegram(texts, "77", "one@client.example")
    await telegram(texts, "88", second)
    await shares(texts, "77", ANNA)
    await shares(texts, "88", ANNA)
    ticket = await texts.ticket((await texts.say("Не печатает")).ticket_id)
    assert ticket.contract == contract
    why = [reason["detail"] for reason in ticket.because if reason["what"] == "contract"]
    assert ("covers everybody who was known by this number" in why) == (contract is not None)


# -- by channel -------------------------------------------------------------------------------


async def test_who_gets_no_text_messages_is_written_to_on_whatsapp(texts: TextDesk) -> None:
    ticket = await texts.say("Не печатает")
    row = await texts.sent(ticket, "SM" + "c" * 32)
    settings = texts.ctx.settings
    outbox = settings.outbox.model_copy(update={"next_channel": ("whatsapp", "mail")})
    texts.ctx = replace(texts.ctx, settings=settings.model_copy(update={"outbox": outbox}))
    await texts.report("SM" + "c" * 32, "undelivered", ErrorCode="30005", o=str(row))
    second = (await texts.outbox())[-1]
    assert (second.channel, second.recipient, second.template) == ("whatsapp", ANNA, "reply")
    assert second.destination == {"to": ANNA, "from": "+380440000001"}
    by_whatsapp = await texts.say("Не працює пошта", channel="whatsapp")
    assert ("whatsapp", "acknowledgement", by_whatsapp.ticket_id) in [
        (one.channel, one.template, one.ticket_id) for one in await texts.outbox()
    ]
    await texts.say("Я снова здесь")
    assert await texts.db.read(lambda conn: people.unreachable_by(conn, "phone", ANNA, "sms")) is None


async def test_what_a_person_said_to_one_number_of_ours_leaves_the_other(texts: TextDesk) -> None:
    await texts.say("СТОП", to="+380440000001", channel="whatsapp")
    ticket = await texts.say("Не печатает")
    row = await texts.sent(ticket, "SM" + "d" * 32)
    outbox = texts.ctx.settings.outbox.model_copy(update={"next_channel": ("whatsapp",)})
    texts.ctx = replace(texts.ctx, settings=texts.ctx.settings.model_copy(update={"outbox": outbox}))
    await texts.report("SM" + "d" * 32, "undelivered", ErrorCode="30004", o=str(row))
    second = (await texts.outbox())[-1]
    assert (second.channel, second.destination) == ("whatsapp", {"to": ANNA, "from": "+380440000002"})
