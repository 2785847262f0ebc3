"""What goes out by text message and WhatsApp through the whole gateway: once, by the right number, or another way."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from channels.contract import Clock
from gateway.app import utc_now
from gateway.client import Client
from gateway.demo.twilio_api import NEVER, Fault, Network, Reports, TwilioApi
from gateway.demo.twilio_api.messages import Message
from tests.mailboxes.desk import Running, Store, child, running, until
from tests.twilio.calling import Clock as Noon
from tests.twilio.provider import ANNA, ANSWERED, LONG, OURS, ROOM, SID, TOKEN
from tests.twilio.standin import standin

SECOND, BOB = "+380440000002", "+380670000002"
PATIENCE = pytest.mark.timeout(LONG)


class Story:
    """People with telephones, Twilio, and the desk."""

    def __init__(self, api: TwilioApi, desk: Running, var: Path) -> None:
        self.api, self.desk, self.var = api, desk, var
        connect(api.network, desk.listening["http"])

    async def says(self, text: str, *, sender: str = ANNA, to: str = OURS, **more: str) -> None:
        channel = "whatsapp" if sender.startswith("whatsapp:") else "sms"
        url = f"http://{self.desk.listening['http']}/channels/{channel}/main"
        self.api.network.number(to.removeprefix("whatsapp:"), url)
        assert await self.api.network.say(text, sender=sender, to=to, **more)

    async def sent(self, count: int, *, to: str = ANNA) -> list[Message]:
        """What somebody was sent, once it is so much."""

        def look() -> list[Message]:
            return [one for one in self.api.sent if one.to == to]

        await self.api.until(lambda: len(look()) >= count)
        assert len(look()) == count
        return look()

    async def act(self, number: str, what: str, **body: Any) -> None:
        await asyncio.to_thread(Client.find(self.var).post, f"/tickets/{number}/{what}", body)

    async def until(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        return await self.desk.until(lambda: self.desk.store.rows(query, *values), query)

    async def number(self) -> str:
        ((number,),) = await self.until("SELECT number FROM ticket")
        return str(number)

    def give_mail(self, person: str = ANNA) -> None:
        """A mail address of theirs is known, too."""
        self.desk.store.change(
            "INSERT INTO identity (kind, value, contact_id) SELECT 'mail', 'anna@client.example', contact_id"
            f" FROM identity WHERE kind = 'phone' AND value = '{person}'"
        )

    async def mailed(self) -> bytes:
        """The mail that says it instead."""
        await self.until("SELECT 1 FROM outbox WHERE channel = 'mail' AND recipient = 'anna@client.example' AND"
                         " state = 'sent'")  # fmt: skip
        mails = [path.read_bytes() for path in (self.var / "outgoing").glob("*.eml")]
        (found,) = [mail for mail in mails if b"anna@client.example" in mail]
        return found


def connect(network: Network, http: str, *numbers: str) -> None:
    for number in numbers or (OURS, SECOND):
        network.number(number, f"http://{http}/channels/sms/main")


def settings(api: TwilioApi, secret: Path, *more: str, **account: Any) -> tuple[str, ...]:
    secret.write_text(TOKEN, encoding="ascii")
    said = {
        "account_sid": SID, "auth_token": f"file:{secret}", "numbers": [OURS, SECOND], "language": "ru",
        "api_url": api.url, "reconcile": "0s", "timeout": "50s", **account,
    }  # fmt: skip
    texts = {name: value for name, value in said.items() if name != "templates"}
    quick = ("smtp.port=0", "http.port=0", ROOM, "outbox.debounce=0s", "outbox.chat_acknowledgement_delay=0s")
    accounts = (f"channels.sms.main={json.dumps(texts)}", f"channels.whatsapp.main={json.dumps(said)}")
    return (*quick, *accounts, *more)


@asynccontextmanager
async def story(var: Path, *more: str, clock: Clock = utc_now, **account: Any) -> AsyncIterator[Story]:
    async with (
        standin(numbers=(OURS, SECOND)) as api,
        running(var, settings(api, var.with_suffix(".token"), *more, **account), clock=clock) as desk,
    ):
        yield Story(api, desk, var)


@PATIENCE
async def test_a_text_message_is_acknowledged_and_its_arrival_stands_on_the_ticket(tmp_path: Path) -> None:
    async with story(tmp_path / "var") as phones:
        phones.api.report(Reports(states=("delivered", "sent"), early=True, twice=True))
        await phones.says("Не печатает принтер")
        number = await phones.number()
        (told,) = await phones.sent(1)
        assert (told.sender, number in told.body, len(told.body) <= 70) == (OURS, True, True)
        assert told.asked["ValidityPeriod"] == "14400"
        await phones.until("SELECT 1 FROM event WHERE kind = 'delivered'")
        ((row, state, ids),) = phones.desk.store.rows("SELECT id, state, external_ids FROM outbox")
        assert (state, json.loads(ids)) == ("sent", [f"sms:main:{told.sid}"])
        assert told.callback.endswith(f"/channels/sms/main/status?o={row}")
        history = phones.desk.store.rows("SELECT kind FROM event")
        assert history.count(("delivered",)) == 1
        # What the desk's people write is not cut: it goes on in further messages.
        answer = " ".join(f"{step}. Откройте панель и нажмите кнопку." for step in range(1, 16))
        await phones.act(number, "reply", text=answer[:168])
        await phones.sent(2)


@PATIENCE
async def test_each_person_is_answered_from_the_number_they_wrote_to(tmp_path: Path) -> None:
    async with story(tmp_path / "var") as phones:
        await phones.says("Первый номер")
        await phones.says("Второй номер", sender=BOB, to=SECOND)
        await phones.says("WhatsApp", sender=f"whatsapp:{BOB}", to=f"whatsapp:{SECOND}")
        ((anna,), (bob,), (chat,)) = (
            await phones.sent(1), await phones.sent(1, to=BOB), await phones.sent(1, to=f"whatsapp:{BOB}"),
        )  # fmt: skip
        assert (anna.sender, bob.sender, chat.sender) == (OURS, SECOND, f"whatsapp:{SECOND}")


@PATIENCE
@pytest.mark.parametrize("fault", ["lost", "half", "mute"])
async def test_an_answer_that_is_lost_doubles_nothing(tmp_path: Path, fault: Any) -> None:
    # Only who is never answered waits for the end of it: longer than a machine may stand still.
    more = {"timeout": "12s"} if fault == "mute" else {}
    async with story(tmp_path / "var", **more) as phones:
        phones.api.plan(Fault(kind=fault, on="create"))
        # Its state is not told either: only the list says that it went out.
        phones.api.report(NEVER)
        await phones.says("Не печатает принтер")
        await phones.until("SELECT 1 FROM outbox WHERE state = 'sent'")
        (told,) = await phones.sent(1)
        ((ids,),) = phones.desk.store.rows("SELECT external_ids FROM outbox")
        assert json.loads(ids) == [f"sms:main:{told.sid}"]
        assert phones.api.count("list") >= 2


@PATIENCE
@pytest.mark.parametrize(("point", "sends"), [("sent-unsettled", 1), ("sending-committed", 1)])
async def test_killed_between_the_call_and_its_settlement_nothing_is_sent_twice_or_lost(
    tmp_path: Path, point: str, sends: int
) -> None:
    var = tmp_path / "var"
    async with standin(numbers=(OURS, SECOND)) as api:
        api.reporter.usual = NEVER
        told = settings(api, tmp_path / "token")
        store = Store(var)
        async with child(var, told, point, script=Path(__file__).with_name("child.py")) as process:
            http = (await until(lambda: (var / "listening.json").exists() and listening(var), "the start"))["http"]
            connect(api.network, http)
            # Whether that is still answered is a matter of microseconds.
            await api.network.say("Не печатает принтер", sender=ANNA, to=OURS)
            assert await asyncio.wait_for(process.wait(), 120) == -signal.SIGKILL
        assert store.rows("SELECT state FROM outbox") == [("sending",)]
        async with running(var, told) as desk:
            await desk.until(lambda: store.rows("SELECT state FROM outbox WHERE state != 'sending'"), "settled")
            await desk.until(lambda: store.rows("SELECT 1 FROM outbox WHERE state = 'sent'"), "sent")
        assert len(api.sent) == sends
        assert store.rows("SELECT count(*) FROM outbox") == [(1,)]


def listening(var: Path) -> dict[str, str]:
    try:
        found: dict[str, str] = json.loads((var / "listening.json").read_text(encoding="utf-8"))
    except ValueError:
        return {}
    return found


@PATIENCE
async def test_who_stopped_at_twilio_is_told_by_mail_and_staff_see_it(tmp_path: Path) -> None:
    async with story(tmp_path / "var") as phones:
        await phones.says("Не печатает принтер")
        number = await phones.number()
        await phones.sent(1)
        phones.give_mail()
        phones.api.people.stopped.add((OURS, ANNA))
        await phones.act(number, "reply", text="Включите принтер.")
        assert b"Reply-To: " in await phones.mailed()
        rows = phones.desk.store.rows("SELECT channel, endpoint, peer, wish, how FROM consent")
        assert rows == [("sms", OURS, ANNA, "stop", "far side")]
        ((data,),) = await phones.until("SELECT data FROM event WHERE kind = 'undelivered'")
        assert "21610" in data and "anna@client.example" in data
        # The number is as good as before: START brings it back.
        assert phones.desk.store.rows("SELECT 1 FROM unreachable") == []


@PATIENCE
@pytest.mark.parametrize(
    ("states", "code", "marked", "wishes"),
    [(("sent", "undelivered"), "30005", True, []), (("failed",), "21610", False, [("stop",)])],
)
async def test_a_report_after_it_went_out_takes_the_next_channel(
    tmp_path: Path, states: tuple[str, ...], code: str, marked: bool, wishes: list[Any]
) -> None:
    async with story(tmp_path / "var") as phones:
        await phones.says("Не печатает принтер")
        number = await phones.number()
        await phones.sent(1)
        phones.give_mail()
        phones.api.report(Reports(states=states, code=code))
        await phones.act(number, "reply", text="Включите принтер.")
        await phones.mailed()
        assert phones.desk.store.rows("SELECT wish FROM consent") == wishes
        assert phones.desk.store.rows("SELECT value, channel FROM unreachable") == ([(ANNA, "sms")] if marked else [])
        assert len(phones.api.sent) == 2


@PATIENCE
async def test_a_telephone_that_is_off_is_tried_three_times_and_then_the_next_channel(tmp_path: Path) -> None:
    async with story(tmp_path / "var") as phones:
        await phones.says("Не печатает принтер")
        number = await phones.number()
        await phones.sent(1)
        phones.give_mail()
        phones.api.people.off.add(ANNA)
        await phones.act(number, "reply", text="Включите принтер.")
        for tries in (1, 2):
            await phones.until(
                "SELECT 1 FROM outbox WHERE kind = 'reply' AND state = 'waiting' AND attempts = ?", tries
            )
            assert phones.desk.store.rows("SELECT 1 FROM outbox WHERE channel = 'mail'") == []
            # Half an hour goes by; somebody else writes, and the gateway looks what is due.
            phones.desk.store.change("UPDATE outbox SET due_at = 1 WHERE state = 'waiting'")
            await phones.says(f"Ещё {tries}", sender=f"+38067000009{tries}")
        await phones.mailed()
        assert len(await phones.sent(4)) == 4
        # The number is as good as before: telephones are switched on again.
        assert phones.desk.store.rows("SELECT 1 FROM unreachable") == []


@PATIENCE
async def test_a_closed_window_takes_a_template_or_the_next_channel(tmp_path: Path) -> None:
    template = {"reply": {"ru": {"content_sid": "HX" + "a" * 32, "variables": {"1": "text"}}}}
    async with story(tmp_path / "var", templates=template) as phones:
        await phones.says("Не печатает принтер", sender=f"whatsapp:{ANNA}", to=f"whatsapp:{OURS}")
        number = await phones.number()
        (free,) = await phones.sent(1, to=f"whatsapp:{ANNA}")
        assert "ContentSid" not in free.asked
        # A day and more goes by.
        phones.desk.store.change("UPDATE message SET at = at - 25 * 3600 * 1000000")
        await phones.act(number, "reply", text="Включите\nпринтер.")
        _, told = await phones.sent(2, to=f"whatsapp:{ANNA}")
        assert told.asked["ContentSid"] == "HX" + "a" * 32
        (value,) = json.loads(told.asked["ContentVariables"]).values()
        assert "Включите принтер." in value and "\n" not in value
        # Nothing is approved for a question; a text message says it to the same number.
        await phones.act(number, "ask", text="Какой принтер?")
        (asked,) = await phones.sent(1)
        assert "Какой принтер?" in asked.body
        assert phones.desk.store.rows("SELECT 1 FROM unreachable") == []


@PATIENCE
async def test_over_the_limit_of_a_day_the_next_channel_says_it_and_operators_hear_of_it(tmp_path: Path) -> None:
    more = ("operators=[ops@desk.example]", "alerts.interval=1s")
    # All of it on one day, whenever this runs.
    async with story(tmp_path / "var", *more, clock=Noon(), daily_limit=1) as phones:
        await phones.says("Не печатает принтер")
        number = await phones.number()
        await phones.sent(1)
        phones.give_mail()
        await phones.act(number, "reply", text="Включите принтер.")
        await phones.mailed()
        ((alarm,),) = await phones.until("SELECT variables FROM outbox WHERE kind = 'alert'")
        assert "daily limit sms/main" in alarm
        assert phones.desk.store.rows("SELECT 1 FROM unreachable") == []
        assert len(phones.api.sent) == 1


@PATIENCE
async def test_a_wrong_token_is_an_alarm_and_what_waits_goes_out_when_it_is_mended(tmp_path: Path) -> None:
    more = ("operators=[ops@desk.example]", "alerts.interval=1s", "outbox.backoff=1s")
    async with story(tmp_path / "var", *more) as phones:
        phones.api.network.token, right = "another", phones.api.network.token
        wrong = Network(account_sid=SID, token=right, timeout=ANSWERED)
        connect(wrong, phones.desk.listening["http"])
        assert await wrong.say("Не печатает принтер", sender=ANNA, to=OURS)
        # The account of WhatsApp has the same token, and an alarm of its own.
        ((alarm,),) = await phones.until(
            "SELECT variables FROM outbox WHERE kind = 'alert' AND variables LIKE '%\"twilio sms/main\"%'"
        )
        assert "20003" in alarm
        phones.api.network.token = right
        await phones.sent(1)
