"""The table of rules: each condition by itself, order, stop; and every rule that is shipped by a case of its own."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from normalizer.message import Address, Message, Trust
from router.policy import Conditions, Policy, Rule, glob, phrases
from router.route import route
from router.rules import Subject, hits, holds
from router.words import reduce
from tests.router.building import WEEKDAYS, at, message, shipped

WORKING, NIGHT = at("2026-11-23 10:00"), at("2026-11-23 23:00")


def subject(text: str = "не печатает принтер", *, now: datetime = WORKING, **changed: Any) -> Subject:
    said = message(
        text,
        sender="Zabbix@Mon.example",
        to=(Address(address="support@desk.example"),),
        cc=(Address(address="boss@acme.example"),),
        trust=Trust.VERIFIED,
    )
    given: dict[str, Any] = {
        "message": said,
        "reduced": reduce("", text),
        "channel": "mail",
        "account": "support",
        "contract": "acme",
        "calendar": WEEKDAYS,
        "now": now,
    }
    return Subject(**{**given, **changed})


HOLD: list[tuple[Mapping[str, Any], str]] = [
    ({}, ""),
    ({"channels": frozenset({"mail", "sms"})}, "mail"),
    ({"accounts": frozenset({"support"})}, "support"),
    ({"contracts": frozenset({"acme"})}, "acme"),
    ({"senders": (glob("zabbix@*"),)}, "zabbix@mon.example"),
    ({"recipients": (glob("support@desk.example"),)}, "support@desk.example"),
    ({"recipients": (glob("boss@*"),)}, "boss@acme.example"),
    ({"trust": frozenset({Trust.VERIFIED})}, "verified"),
    ({"languages": frozenset({"ru"})}, "ru"),
    ({"hours": "open"}, "open"),
    ({"words": phrases("сканер", "принтеры")}, "“принтер”"),
    ({"words": phrases("принтер"), "and_words": phrases("не печатает")}, "“принтер”, “не печатает”"),
    ({"patterns": (re.compile("печ.{0,9} при"),)}, "“печатает при”"),
]
FAIL: list[Mapping[str, Any]] = [
    {"channels": frozenset({"sms"})},
    {"accounts": frozenset({"sales"})},
    {"contracts": frozenset({"none"})},
    {"senders": (glob("zabbix@*.test"),)},
    {"senders": (glob("bbix@mon.example"),)},
    {"recipients": (glob("sales@*"),)},
    {"trust": frozenset({Trust.SUSPECT})},
    {"languages": frozenset({"en"})},
    {"hours": "closed"},
    {"words": phrases("сканер")},
    {"words": phrases("принтер"), "and_words": phrases("мастер")},
    {"patterns": (re.compile("мастер"),)},
]


@pytest.mark.parametrize(("conditions", "seen"), HOLD)
def test_a_condition_holds_and_says_what_it_saw(conditions: Mapping[str, Any], seen: str) -> None:
    assert holds(Conditions(**conditions), subject()) == seen


@pytest.mark.parametrize("conditions", FAIL)
def test_one_condition_that_fails_is_enough(conditions: Mapping[str, Any]) -> None:
    assert holds(Conditions(**conditions), subject()) is None
    assert holds(Conditions(**{"channels": frozenset({"mail"}), **conditions}), subject()) is None


def test_every_condition_is_looked_at() -> None:
    tried = {name for conditions in FAIL for name in conditions}
    assert tried == {field.name for field in dataclasses.fields(Conditions)}


def test_hours_are_the_calendars() -> None:
    assert holds(Conditions(hours="closed"), subject(now=NIGHT)) == "closed"
    assert holds(Conditions(hours="open"), subject(now=NIGHT, calendar=None)) == "open"


def test_the_message_says_its_language_better_than_its_letters() -> None:
    said = dataclasses.replace(subject().message, language="uk")
    assert holds(Conditions(languages=frozenset({"uk"})), subject(message=said)) == "uk"


def test_order_unless_and_stop() -> None:
    everything = [
        Rule(id="a", why="A", unless=Conditions(words=phrases("принтер"))),
        Rule(id="b", why="B", when=Conditions(channels=frozenset({"sms"})), stop=True),
        Rule(id="c", why="C", unless=Conditions(words=phrases("сканер"))),
        Rule(id="d", why="D", when=Conditions(words=phrases("принтер")), stop=True),
        Rule(id="e", why="E"),
    ]
    found = hits(everything, subject())
    assert [(hit.rule.id, hit.detail) for hit in found] == [("c", "C"), ("d", "D; “принтер”")]
    assert [hit.rule.id for hit in hits(everything, subject("сканер"))] == ["a", "e"]


# -- the shipped rules --------------------------------------------------------------------

CASES = [json.loads(line) for line in (Path(__file__).parent / "cases" / "rules.jsonl").read_text().splitlines()]
SHIPPED = shipped()


def decided(case: Mapping[str, Any], policy: Policy) -> dict[str, object]:
    said = Message(
        sender=Address(address=case.get("from", "ivan@client.example")),
        text=case["text"],
        visible_text=case["text"],
        trust=Trust(case.get("trust", "unknown")),
    )
    found = route(said, policy, at(case.get("at", "2026-11-23 10:00")), channel="mail", account="support")
    return {"class": found.class_, "line": found.line, "onsite": found.onsite, "tags": list(found.tags)}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['rule']}: {case['text'][:30]}")
def test_a_shipped_rule_does_what_its_case_says(case: Mapping[str, Any]) -> None:
    # without the classifier: what comes out is the rules' doing alone
    bare = dataclasses.replace(SHIPPED, classifier=None)
    found = decided(case, bare)
    assert {name: found[name] for name in case["expect"]} == case["expect"]


@pytest.mark.parametrize("rule", SHIPPED.rules, ids=lambda rule: rule.id)
def test_every_shipped_rule_has_a_case_that_fails_without_it(rule: Rule) -> None:
    bare = dataclasses.replace(SHIPPED, classifier=None)
    without = dataclasses.replace(bare, rules=tuple(one for one in bare.rules if one.id != rule.id))
    mine = [case for case in CASES if case["rule"] == rule.id and not case.get("not")]
    assert mine
    for case in mine:
        found = decided(case, without)
        assert {name: found[name] for name in case["expect"]} != case["expect"]
