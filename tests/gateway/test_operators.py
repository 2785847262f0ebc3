"""Operators with several ways: the first that is not in trouble, and the next where that did not arrive."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from gateway import health, operators
from gateway.alerts import Alerts
from gateway.metrics import Metrics
from gateway.settings import Settings
from gateway.settings_files import load_settings
from gateway.store import alerts, outbox, schema
from gateway.store.database import Database
from tests.gateway.conftest import FrozenClock
from tests.gateway.outgoing import context

CHAT, NUMBER, MAIL = "5000000001", "+380670000001", "op@ops.example"
KANNEL = {"provider": "kannel", "secret": "s" * 20, "numbers": ["+380440000001"], "api_url": "http://127.0.0.1:9/x",
          "username": "gw", "password": "p"}  # fmt: skip
CHANNELS: dict[str, Any] = {
    "mail": {"support": {"addresses": ["support@desk.example"]}, "sales": {"addresses": ["sales@desk.example"]}},
    "telegram": {"desk": {"token": "1:x"}, "other": {"token": "2:x"}},
    "sms": {"main": KANNEL},
}
OLHA = {"name": "Olha", "ways": [f"mail:{MAIL}", f"telegram:{CHAT}", f"sms:{NUMBER}"]}


class Watch:
    """Causes that are told, and what went to whom by what."""

    def __init__(self, db: Database, clock: FrozenClock, *who: Any, **channels: Any) -> None:
        self.db, self.causes = db, dict[str, str]()

        async def watched() -> dict[str, str]:
            return dict(self.causes)

        ctx = context(operators=list(who), channels={**CHANNELS, **channels})
        self.alerts = Alerts(
            db, ctx, clock, checks=list[health.Check](), watched=watched, metrics=Metrics(), after=lambda: None
        )
        self._seen, self._last = 0, {"": 0}

    async def look(self, *causes: str) -> list[tuple[str, str, str, str]]:
        """(state, cause, "channel/account", recipient) of what is new after a look at these causes."""
        self.causes = dict.fromkeys(causes, "it is broken")
        await self.alerts.look()
        rows = await self.db.read(lambda conn: outbox.listing(conn, after=self._seen))
        self._seen = max([self._seen, *(row.id for row in rows)])
        self._last |= {row.variables["alert"]: row.id for row in rows} | {"": self._seen}
        return [
            (row.variables["state"], row.variables["alert"], f"{row.channel}/{row.account}", row.recipient)
            for row in rows
        ]

    async def settled(self, state: str, attempts: int = 1, cause: str = "", **more: Any) -> None:
        """What was put last, about this cause where one is named, came to this."""
        await self.db.write(
            lambda conn: conn.execute(
                update(schema.outbox)
                .where(schema.outbox.c.id == self._last[cause])
                .values(state=state, attempts=attempts, **more)
            )
        )


async def test_the_first_way_that_is_well_is_taken_and_the_all_clear_goes_there_too(
    db: Database, clock: FrozenClock
) -> None:
    watch = Watch(db, clock, OLHA)
    assert await watch.look("disk") == [("raised", "disk", "mail/support", MAIL)]
    await watch.settled("sent")
    told = await watch.look("disk", "mailbox mail/support")
    # The channel in trouble is not the one that tells of it, although another account of it is well.
    assert told == [("raised", "mailbox mail/support", "telegram/desk", CHAT)]
    await watch.settled("sent")
    told = await watch.look("disk", "mailbox mail/support", "bot telegram/desk")
    assert told == [("raised", "bot telegram/desk", "sms/main", NUMBER)]
    await watch.settled("sent")
    assert await watch.look("disk", "mailbox mail/support", "bot telegram/desk") == []
    told = await watch.look("disk", "bot telegram/desk")
    assert told[0][:2] == ("cleared", "mailbox mail/support")
    assert told[0][2] in ("sms/main", "mail/sales", "mail/support")
    await watch.settled("sent")
    assert await watch.look("disk") == [("cleared", "bot telegram/desk", "sms/main", NUMBER)]
    assert await watch.look() == [("cleared", "disk", "mail/support", MAIL)]


async def test_the_all_clear_of_a_mailbox_goes_where_its_alarm_went(db: Database, clock: FrozenClock) -> None:
    watch = Watch(db, clock, OLHA)
    assert await watch.look("mailbox mail/support") == [("raised", "mailbox mail/support", "telegram/desk", CHAT)]
    await watch.settled("sent")
    assert await watch.look() == [("cleared", "mailbox mail/support", "telegram/desk", CHAT)]


@pytest.mark.parametrize(
    ("state", "attempts", "again"),
    [("refused", 1, True), ("unreachable", 1, True), ("dead", 9, True), ("unknown", 1, True), ("waiting", 3, True),
     ("waiting", 2, False),
     ("sending", 3, False), ("sent", 1, False), ("captured", 1, False)],
)  # fmt: skip
async def test_what_did_not_arrive_goes_by_the_next_way_once(
    db: Database, clock: FrozenClock, state: str, attempts: int, again: bool
) -> None:
    watch = Watch(db, clock, OLHA)
    assert len(await watch.look("disk")) == 1
    await watch.settled(state, attempts, "disk")

    async def told() -> list[tuple[str, str, str, str]]:
        # What was given up is a cause of its own.
        return [one for one in await watch.look("disk") if one[1] == "disk"]

    assert await told() == ([("raised", "disk", "mail/sales", MAIL)] if again else [])
    for place, address in (("telegram/desk", CHAT), ("sms/main", NUMBER)) if again else ():
        await watch.settled("refused", 1, "disk")
        assert await told() == [("raised", "disk", place, address)]
    await watch.settled("refused" if again else state, attempts, "disk")
    assert await told() == []


async def test_a_telephone_that_is_off_is_not_waited_for(db: Database, clock: FrozenClock) -> None:
    """The network says that it did not arrive, and the same way would be tried again half an hour later."""
    watch = Watch(db, clock, {"ways": [f"sms:{NUMBER}", f"mail:{MAIL}"]})
    assert await watch.look("disk") == [("raised", "disk", "sms/main", NUMBER)]
    await watch.settled("waiting", 1, "disk", external_ids=["sms:main:SM1"])
    assert await watch.look("disk") == [("raised", "disk", "mail/support", MAIL)]


async def test_a_repeated_alarm_takes_the_next_way_again(db: Database, clock: FrozenClock) -> None:
    watch = Watch(db, clock, {"ways": [f"telegram:{CHAT}", f"sms:{NUMBER}"]})
    for _ in range(3):
        assert [one[1:] for one in await watch.look("disk")] == [("disk", "telegram/desk", CHAT)]
        await watch.settled("refused", 1, "disk")
        assert await watch.look("disk") == [("raised", "disk", "sms/main", NUMBER)]
        await watch.settled("sent", 1, "disk")
        assert await watch.look("disk") == []
        clock.now += timedelta(days=1)


async def test_who_heard_of_no_alarm_hears_of_no_all_clear(db: Database, clock: FrozenClock) -> None:
    """Else an alarm that fails would be a trouble of its own again and again: its all-clear fails as it did."""
    watch = Watch(db, clock, {"ways": [f"sms:{NUMBER}"]}, "other@ops.example")
    cause = "twilio 21408 sms/main"
    told = await watch.look(cause)
    assert [one[2:] for one in told] == [("sms/main", NUMBER), ("mail/support", "other@ops.example")]
    await watch.settled("sent", 1, cause)
    rows = await db.read(lambda conn: outbox.listing(conn))
    lost = schema.outbox.c.id == rows[0].id
    await db.write(lambda conn: conn.execute(update(schema.outbox).where(lost).values(state="unreachable")))
    assert await watch.look() == [("cleared", cause, "mail/support", "other@ops.example")]


async def test_a_cause_that_comes_and_goes_is_told_of_now_and_then(db: Database, clock: FrozenClock) -> None:
    """Anybody can send three requests with a wrong signature, each quarter of an hour."""
    watch, told = Watch(db, clock, OLHA, "other@ops.example"), list[str]()
    for _ in range(96):
        for causes in (["unverified sms/main"], []):
            found = await watch.look(*causes)
            told += [one[0] for one in found if one[1] == "unverified sms/main" and one[3] == MAIL]
            for cause in {one[1] for one in found}:
                await watch.settled("sent", 1, cause)
            clock.now += timedelta(minutes=7, seconds=30)
    assert told[:6] == ["raised", "cleared", "raised", "cleared", "raised", "cleared"]
    assert 6 < len(told) <= 50
    clock.now += timedelta(hours=3)
    await watch.look()
    assert "unverified sms/main" not in await db.read(alerts.standing)


async def test_each_operator_has_ways_of_their_own_and_one_alarm_for_each_cause(
    db: Database, clock: FrozenClock
) -> None:
    petro = {"ways": [f"telegram/other:{CHAT}"], "language": "uk"}
    watch = Watch(db, clock, OLHA, petro, "third@ops.example")
    assert await watch.look("disk") == [
        ("raised", "disk", "mail/support", MAIL),
        ("raised", "disk", "telegram/other", CHAT),
        ("raised", "disk", "mail/support", "third@ops.example"),
    ]
    rows = await db.read(lambda conn: outbox.listing(conn))
    assert [row.language for row in rows] == ["en", "uk", "en"]
    assert [row.destination for row in rows] == [None, {"chat": int(CHAT)}, None]
    assert await watch.look("disk") == []


async def test_who_has_no_way_that_is_well_is_told_by_one_that_is_not(db: Database, clock: FrozenClock) -> None:
    watch = Watch(db, clock, {"ways": [f"telegram:{CHAT}"]})
    assert await watch.look("bot telegram/desk") == [("raised", "bot telegram/desk", "telegram/desk", CHAT)]


async def test_an_account_that_sends_nothing_is_no_way(db: Database, clock: FrozenClock) -> None:
    off = {"support": {"addresses": ["support@desk.example"], "outbound": "off"}}
    watch = Watch(db, clock, OLHA, mail=off)
    assert await watch.look("disk") == [("raised", "disk", "telegram/desk", CHAT)]


@pytest.mark.parametrize(
    ("said", "key", "why"),
    [
        ("mail", "operators[0]", "should stand a mail address"),
        ({"ways": ["telegram:@olha"]}, "operators[0].ways[0]", "the number of a chat"),
        ({"ways": ["sms:0670000001"]}, "operators[0].ways[0]", "in international form"),
        ({"ways": ["fax:1"]}, "operators[0].ways[0]", "channels: mail, telegram, sms, whatsapp"),
        ({"ways": []}, "operators[0].ways", "should name a way"),
        ({"way": ["mail:a@b.example"]}, "operators[0].way", "did you mean ways?"),
        ({"ways": ["whatsapp:+380670000001"]}, "operators[0].ways[0]", "there is no whatsapp account"),
        ({"ways": ["telegram/dsk:5"]}, "operators[0].ways[0]", "there are: desk, other"),
    ],
)
def test_faults_are_named_with_their_place(
    said: Any, key: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TOKEN", "SECRET", "PASSWORD"):
        monkeypatch.setenv(name, "s" * 20)
    channels = {
        **CHANNELS,
        "telegram": {name: {"token": "env:TOKEN"} for name in ("desk", "other")},
        "sms": {"main": {**KANNEL, "secret": "env:SECRET", "password": "env:PASSWORD"}},
    }
    text = json.dumps({"channels": channels, "operators": [said]}, indent=1)
    (tmp_path / "gateway.yaml").write_text(text, encoding="utf-8")
    _, problems = load_settings(tmp_path, environment={})
    found = {problem.key: problem for problem in problems}
    assert key in found, problems
    assert why in found[key].message
    assert found[key].line > text[: text.index('"operators"')].count("\n")


@pytest.mark.parametrize(
    ("said", "channels", "gaps"),
    [
        ([], {}, ["operators: nobody is told"]),
        ([OLHA], {}, []),
        (["op@ops.example"], {}, ["operators[0]: only by mail, so trouble with that may go unheard"]),
        ([{"ways": ["telegram:5"]}], {}, ["operators[0]: only by telegram"]),
        ([OLHA], {"sms": {"main": {**KANNEL, "outbound": "off"}}}, ["operators[0]: no account of ours sends by sms"]),
        (["op@ops.example"], {"mail": {}}, ["operators[0]: no account sends by any of their ways"]),
    ],
)
def test_check_names_what_is_missing(said: list[Any], channels: Any, gaps: list[str]) -> None:
    settings = Settings.model_validate({"operators": said, "channels": {**CHANNELS, **channels}})
    found = operators.gaps(settings)
    assert [one.startswith(wanted) for one, wanted in zip(found, gaps, strict=True)] == [True] * len(gaps)


def test_the_command_says_so_and_finds_no_fault_in_it(tmp_path: Path) -> None:
    config = Path(__file__).parents[2] / "config"
    asked = [sys.executable, "-m", "gateway", "check", "--config", str(config), "--set", "operators=[op@ops.example]"]
    said = subprocess.run(asked, capture_output=True, text=True, check=True)
    assert "good" in said.stdout
    assert "missing: operators[0]: only by mail" in said.stderr
