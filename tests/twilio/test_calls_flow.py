"""The default way of a call through a whole gateway: languages, outages, the engineer on duty, numbers, hidden and
shared callers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from gateway.demo.twilio_api import Leave, Press, Talk
from gateway.demo.twilio_api.calls_person import Rung
from gateway.dialogs.ivr import spoken
from tests.twilio.call_house import DUTY, LISTED, House, house
from tests.twilio.provider import ANNA, OURS

BORIS = "+380670000002"
LANDLINE = "+380442000001"
FIRST = "SELECT text FROM message WHERE direction = 'in' ORDER BY id LIMIT 1"
OUTAGE = {"uk": "пошта не працює", "ru": "почта не работает", "en": "mail is down"}


async def test_a_known_outage_comes_first_once_and_only_for_whom_it_concerns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(tmp_path, monkeypatch) as desk:
        await desk.post("/incidents", text=OUTAGE, contracts=["acme"])
        for key, known, greeting, stopped in (
            ("2", "Мы знаем о сбое: почта не работает. Уже устраняем.", "Здравствуйте", "остановилось"),
            ("3", "We know about an outage: mail is down. We are fixing it.", "Hello", "stopped"),
        ):
            heard = await desk.call(Press(keys=key), Press(keys="*"), Leave(), sender=LISTED)
            said = [one.words for one in heard.said]
            assert [known in words for words in said].count(True) == 1
            # Behind the greeting, and in front of everything that can be chosen.
            at = next(number for number, words in enumerate(said) if known in words)
            assert said[at - 1].startswith(greeting) and stopped in said[at + 1]
        stranger = await desk.call(Press(keys="2"), Leave(), sender=BORIS)
        assert "Мы знаем о сбое" not in stranger.words
        # Who calls about it all the same has a ticket that is linked to it.
        await desk.call(Press(keys="2"), Press(keys="2"), Talk(seconds=4, leaves=True), sender=LISTED)
        await desk.gateway.tickets(1)
        assert desk.one("SELECT count(*) FROM incident_ticket") == 1


async def test_out_of_hours_the_contracts_engineer_is_rung_and_who_does_not_answer_leaves_the_caller_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = (Press(keys="2"), Press(keys="1"))
    async with house(tmp_path, monkeypatch, is_open=False) as desk:
        call = await desk.call(*keys, Talk(seconds=7), Press(keys="1"), sender=LISTED, rung=(Rung(outcome="busy"),))
        assert "Сейчас нерабочее время." in call.words and "Сейчас все заняты." in call.words
        assert _rung(desk) == [DUTY]
        assert (len(call.recordings), desk.one("SELECT proposed_class FROM ticket")) == (1, 3)
        assert "выбрано: всё остановилось" in desk.one(FIRST)
        assert desk.one("SELECT contract FROM ticket") == "acme"
        stranger = await desk.call(*keys, Talk(seconds=7), Press(keys="1"), sender=BORIS)
        assert _rung(desk) == [DUTY] and len(stranger.recordings) == 1
        # For what can wait nobody is rung at night.
        await desk.call(Press(keys="2"), Press(keys="0"), Talk(seconds=7), Press(keys="1"), sender=LISTED)
        assert _rung(desk) == [DUTY]
        await desk.outcomes("ticket", "ticket", "ticket")


async def test_whom_the_engineer_on_duty_spoke_to_has_a_ticket_to_complete_and_was_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(tmp_path, monkeypatch, is_open=False) as desk:
        took = Rung(outcome="completed", seconds=65)
        await desk.call(Press(keys="2"), Press(keys="1"), sender=LISTED, rung=(took,))
        await desk.outcomes("put_through")
        await desk.gateway.tickets(1)
        said = desk.one(FIRST)
        assert re.fullmatch(
            rf"\[звонок: с номера \{LISTED}; [^;]+, \d+:\d\d; выбрано: всё остановилось; соединён с \{DUTY}, 1:05\]",
            said,
        )
        notes = desk.rows("SELECT text FROM message WHERE direction = 'note'")
        assert notes == [("[разговор не записан: заявку дополняет первая линия]",)]
        assert "put-through" in desk.one("SELECT tags FROM ticket")
        assert desk.one("SELECT reaction_met_at IS NOT NULL FROM ticket")
        lengths = desk.rows("SELECT data FROM event WHERE kind IN ('call', 'call_ended') ORDER BY id")
        assert '"seconds":65' in lengths[0][0] and len(lengths) == 2


async def test_who_is_known_by_something_else_under_a_contract_has_its_engineer_on_duty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(tmp_path, monkeypatch, is_open=False) as desk:
        await desk.call(Press(keys="2"), Leave(), sender=ANNA)
        contact = desk.one("SELECT contact_id FROM identity WHERE value = ?", ANNA)
        desk.gateway.store.change(
            f"INSERT INTO identity (kind, value, contact_id) VALUES ('mail', 'anna@acme.example', {contact})"
        )
        await desk.call(Press(keys="1"), Leave(), sender=ANNA)
        assert _rung(desk) == [DUTY]


async def test_a_known_caller_keeps_the_language_and_may_change_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(tmp_path, monkeypatch) as desk:
        first = await desk.call(Press(keys="2"), Leave())
        assert [one.language for one in first.said[:3]] == ["uk-UA", "ru-RU", "en-US"]
        again = await desk.call(Press(keys="9"), Press(keys="3"), Leave())
        assert again.said[0].words == "Здравствуйте! Служба поддержки."
        third = await desk.call(Leave())
        assert {one.language for one in third.said} == {"en-US"} and third.said[0].words.startswith("Hello")
        other = await desk.call(Leave(wait=20), sender=BORIS)
        assert {one.language for one in other.said} == {"uk-UA", "ru-RU", "en-US"}


async def test_the_number_is_said_twice_in_pairs_and_sent_by_text_message_where_that_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(tmp_path, monkeypatch, sms={}) as desk:
        keys = (Press(keys="2"), Press(keys="2"), Talk(seconds=5), Press(keys="1"))
        for who, allowed in ((ANNA, True), (LANDLINE, False), (LISTED, False)):
            call = await desk.call(*keys, sender=who)
            number = desk.one("SELECT number FROM ticket ORDER BY id DESC")
            assert call.words.count(spoken(str(number))) == 2, call.words
            assert f"{spoken(str(number))}. Повторяю: {spoken(str(number))}." in call.words
            assert ("Мы пришлём его и по SMS." in call.words) is allowed
            if allowed:
                await desk.gateway.until(lambda who=who: desk.texts_to(who), "the text message")  # type: ignore[misc]
                assert str(number) in desk.texts_to(who)[0] and "Принтер" not in desk.texts_to(who)[0]
        assert desk.texts_to(LANDLINE) == desk.texts_to(LISTED) == []
        # Nothing is queued that could only fail; the history has the reason.
        assert {row[0] for row in desk.rows("SELECT recipient FROM outbox")} == {ANNA}
        reasons = desk.rows("SELECT data FROM event WHERE kind = 'silent' ORDER BY id")
        assert ["a shared number" in row[0] for row in reasons] == [True, True]
        notes = desk.rows("SELECT text FROM message WHERE direction = 'note' ORDER BY id")
        assert [row[0] for row in notes] == [f"[перезвонить: {who}]" for who in (ANNA, LANDLINE, LISTED)]


@pytest.mark.parametrize("outbound", ["on", "capture"])
async def test_who_said_stop_or_calls_a_desk_that_writes_to_nobody_is_promised_no_text_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outbound: str
) -> None:
    async with house(tmp_path, monkeypatch, sms={"outbound": outbound}) as desk:
        if outbound == "on":
            desk.gateway.store.change(
                "INSERT INTO consent (channel, endpoint, peer, wish, how, at) VALUES"
                f" ('sms', '{OURS}', '{ANNA}', 'stop', 'word', 1)"
            )
        call = await desk.call(Press(keys="2"), Press(keys="2"), Talk(seconds=5), Press(keys="1"))
        await desk.outcomes("ticket")
        assert "Номер вашей заявки" in call.words and "SMS" not in call.words and desk.texts_to(ANNA) == []


async def test_a_tickets_state_is_a_state_and_a_date_and_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(tmp_path, monkeypatch) as desk:
        await desk.call(Press(keys="2"), Press(keys="2"), Talk(seconds=5), Press(keys="1"))
        number = str(desk.one("SELECT number FROM ticket"))
        wrong = number[:-1] + str((int(number[-1]) + 1) % 10)
        heard = await desk.call(Press(keys="3"), Press(keys=f"{wrong}#"), Press(keys=f"{number}#"))
        said = [one.words for one in heard.said if one.kind == "say"]
        assert any(words.startswith("В номере ошибка.") for words in said)
        state = next(number for number, words in enumerate(said) if "принята" in words)
        assert re.fullmatch(rf"Заявка {spoken(number)} принята \d+ \w+\.", said[state])
        assert said[state + 1 :] == [said[state], "Спасибо, до свидания."]
        stranger = await desk.call(Press(keys="2"), Press(keys="3"), Press(keys=f"{number}#"), Leave(), sender=BORIS)
        assert "Такую заявку не нашли." in stranger.words and "принята" not in stranger.words


async def test_a_shared_number_is_nobodys_and_hears_of_no_ticket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(tmp_path, monkeypatch) as desk:
        keys = (Press(keys="2"), Press(keys="2"), Talk(seconds=5), Press(keys="1"))
        for _ in range(2):
            call = await desk.call(*keys, sender=LISTED)
            assert len({one.language for one in call.said[:3]}) == 3, "nobody's choice is everybody's"
        await desk.gateway.tickets(2)
        assert desk.one("SELECT count(*) FROM contact WHERE language IS NOT NULL") == 0
        assert desk.rows("SELECT DISTINCT name FROM contact") == [("",)]
        assert all("shared-number" in row[0] for row in desk.rows("SELECT tags FROM ticket"))
        number = str(desk.one("SELECT number FROM ticket"))
        heard = await desk.call(Press(keys="2"), Press(keys="3"), Press(keys=f"{number}#"), Leave(), sender=LISTED)
        assert "Такую заявку не нашли." in heard.words


async def test_a_number_that_turns_out_to_be_shared_is_taken_from_its_person(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(tmp_path, monkeypatch) as desk:
        keys = (Press(keys="2"), Talk(seconds=5), Press(keys="1"))
        await desk.call(Press(keys="2"), *keys)
        contact = desk.one("SELECT requester_id FROM ticket")
        number = str(desk.one("SELECT number FROM ticket"))
        desk.gateway.store.change(
            f"INSERT INTO identity (kind, value, contact_id) VALUES ('mail', 'anna@client.example', {contact})",
            "INSERT INTO phone_fact (value, shared, why, actor, at) VALUES "
            f"('{ANNA}', 1, 'two contacts', 'mail:boris@client.example', 0)",
        )
        heard = await desk.call(Press(keys="2"), Press(keys="3"), Press(keys=f"{number}#"), Leave())
        assert "Такую заявку не нашли." in heard.words
        # Who asked in vain and hung up, and who spoke, are somebody else now.
        await desk.call(Press(keys="2"), *keys)
        await desk.gateway.tickets(3)
        # What came by the number goes along with it, and the person keeps what else is theirs.
        (whose,) = (row[0] for row in desk.rows("SELECT DISTINCT requester_id FROM ticket"))
        assert whose != contact
        assert desk.one("SELECT contact_id FROM identity WHERE kind = 'mail'") == contact


async def test_hidden_callers_are_asked_for_a_number_told_nothing_and_never_one_person(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(tmp_path, monkeypatch, sms={}) as desk:
        keys = (Press(keys="2"), Press(keys="2"), Talk(seconds=5), Press(keys="0671234567#"))
        for hidden in ("+266696687", "anonymous", "+266696687"):
            call = await desk.call(*keys, sender=hidden)
            assert "Наберите номер, на который перезвонить" in call.words and "SMS" not in call.words
            assert len({one.language for one in call.said[:3]}) == 3, "nobody's choice is kept"
        await desk.gateway.tickets(3)
        assert desk.one("SELECT count(DISTINCT requester_id) FROM ticket") == 3
        assert desk.rows("SELECT count(*) FROM outbox") == [(0,)]
        reasons = [row[0] for row in desk.rows("SELECT data FROM event WHERE kind = 'silent'")]
        assert len(reasons) == 3 and all("a hidden number" in reason for reason in reasons)
        assert "номер скрыт" in desk.one(FIRST)
        notes = desk.rows("SELECT DISTINCT text FROM message WHERE direction = 'note'")
        assert notes == [("[перезвонить: 0671234567]",)]


def _rung(desk: House) -> list[str]:
    """Numbers that were rung, in order."""
    said = [json.loads(row[0]) for row in desk.rows("SELECT answer FROM call_step ORDER BY call_id, step")]
    return [answer["number"] for answer in said if answer["kind"] == "connect"]
