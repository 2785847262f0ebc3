"""The whole decision: what a ticket gets, and that every cause named is one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from normalizer.message import Address, Message
from router.assignment import Assignment, Line, Reason
from router.classifier import Guess
from router.lines import existing, usual
from router.policy import NO_PHRASES, Calendar, Conditions, Contract, Policy, Rule, Thresholds, phrases
from router.route import route
from router.words import Phrases, Reduced
from tests.router.building import ALWAYS, HOUR, MINUTE, at, contract, message, policy, shipped

NOW = at("2026-11-23 10:00")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Oracle:
    """A classifier that knows one word."""

    version: str = "oracle"
    word: str = "упал"
    class_: int = 3
    confidence: float = 0.9
    line: Line = "L3"
    line_confidence: float = 0.9
    onsite: float = 0.0
    concepts: Phrases = NO_PHRASES

    def guess(self, message: Reduced) -> Guess | None:
        if self.word not in message.tokens:
            return None
        return Guess(
            class_=self.class_,
            confidence=self.confidence,
            line=self.line,
            line_confidence=self.line_confidence,
            onsite=self.onsite,
            evidence=(self.word,),
        )


def rule(id_: str = "r", **effects: Any) -> Rule:
    return Rule(id=id_, why="Because", when=Conditions(words=phrases("упал")), **effects)


def decide(text: str = "Портал упал", by: Policy | None = None, **given_: Any) -> Assignment:
    changed = {name: given_.pop(name) for name in ("contract",) if name in given_}
    said = message(text, **given_)
    return route(said, by or policy(classifier=Oracle()), NOW, channel="mail", account="support", **changed)


def reasons(found: Assignment, what: str) -> list[Reason]:
    return [reason for reason in found.because if reason.what == what]


# -- class and line -----------------------------------------------------------------------


def test_a_sure_guess_goes_to_its_line() -> None:
    found = decide()
    assert (found.class_, found.proposed_class, found.confidence) == (3, None, 0.9)
    assert (found.line, found.proposed_line, found.contract) == ("L3", None, "acme")
    assert found.deadlines.class_ == 3 and found.deadlines.reaction.due == NOW + 15 * MINUTE
    assert "90% sure; words: упал" in reasons(found, "class")[0].detail


def test_an_unsure_guess_is_a_proposal_on_line_1_under_the_strictest_deadline() -> None:
    found = decide(by=policy(classifier=Oracle(class_=5, confidence=0.7)))
    assert (found.class_, found.proposed_class, found.confidence) == (None, 5, 0.7)
    assert (found.line, found.proposed_line) == ("L1", "L3")
    assert found.deadlines.class_ == 3
    assert "below the 75% that decides" in reasons(found, "class")[0].detail
    assert [reason.cause for reason in reasons(found, "line")] == ["class:open"]


def test_the_threshold_is_the_policys() -> None:
    assert decide(by=policy(classifier=Oracle(), thresholds=Thresholds(class_=0.9))).class_ == 3
    assert decide(by=policy(classifier=Oracle(), thresholds=Thresholds(class_=0.91))).class_ is None


def test_an_unsure_line_is_the_usual_one_of_the_class() -> None:
    found = decide(by=policy(classifier=Oracle(class_=1, line="L4", line_confidence=0.3)))
    assert found.line == "L2" and reasons(found, "line")[0].cause == "class:1"
    assert usual(policy(class_lines={}), 3)[0] == "L1"


def test_a_rule_goes_before_a_guess_and_the_first_rule_before_the_second() -> None:
    rules = (rule("one", class_=2), rule("two", class_=4, line="L2"), rule("three", line="L1"))
    found = decide(by=policy(classifier=Oracle(), rules=rules))
    assert (found.class_, found.line) == (2, "L2")
    assert [reasons(found, what)[0].cause for what in ("class", "line")] == ["rule:one", "rule:two"]
    # the guess is of another class, so its line says nothing
    assert decide(by=policy(classifier=Oracle(), rules=(rule(class_=1),))).line == "L2"


def test_a_rule_may_give_a_line_without_a_class() -> None:
    found = decide(by=policy(rules=(rule(line="L2"),)))
    assert (found.class_, found.line, found.proposed_class) == (None, "L2", None)


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ({"text": "упал", "kind": "auto_reply"}, "kind:auto_reply"),
        ({"text": "упал", "thanks": True}, "text:thanks"),
        ({"text": "🙂 . 12"}, "text:empty"),
        ({"text": "> упал"}, "text:empty"),
        ({"text": ""}, "text:empty"),
        ({"text": "незнакомое слово"}, "default"),
    ],
)
def test_what_has_no_request_stays_open(said: dict[str, Any], cause: str) -> None:
    found = decide(**said)
    assert (found.class_, found.line) == (None, "L1")
    assert reasons(found, "class")[0].cause == cause
    assert found.proposed_class == (None if cause == "default" else 6)


def test_without_a_visible_part_all_of_the_text_is_read() -> None:
    said = Message(sender=Address(address="a@acme.example"), text="Портал упал", visible_text="")
    assert route(said, policy(classifier=Oracle()), NOW, channel="mail", account="a").class_ == 3


# -- the contract's word ------------------------------------------------------------------


def test_a_stranger_is_taken_in_on_line_1_without_a_deadline() -> None:
    found = decide(sender="somebody@elsewhere.example")
    assert (found.contract, found.line, found.class_, found.proposed_line) == (None, "L1", 3, "L3")
    assert found.tags == ("no-contract",) and found.deadlines.reaction.due is None
    open_house = policy(classifier=Oracle(), stranger_line=None, stranger_tag="")
    free = decide(sender="somebody@elsewhere.example", by=open_house)
    assert (free.line, free.tags) == ("L3", ())


def test_a_contract_may_want_a_person_to_confirm() -> None:
    careful = policy(contract(first_line="confirm"), classifier=Oracle())
    found = decide(by=careful)
    assert (found.class_, found.proposed_class, found.line, found.proposed_line) == (None, 3, "L1", "L3")
    assert "contract:acme" in {reason.cause for reason in reasons(found, "class")}
    by_rule = dataclasses.replace(careful, rules=(rule(line="L2"),))
    assert (decide(by=by_rule).class_, decide(by=by_rule).line) == (3, "L2")


@pytest.mark.parametrize(
    ("lines", "wanted", "given_"),
    [
        (("L1", "L2"), "L3", "L2"),
        (("L1", "L2", "L3"), "L4", "L3"),
        (("L2", "L3"), "L1", "L2"),
        (("L1", "L3"), "L2", "L1"),
        (("L1", "L2", "L3", "L4"), "L4", "L4"),
    ],
)
def test_only_lines_that_exist(lines: tuple[Line, ...], wanted: Line, given_: Line) -> None:
    line, reason = existing(wanted, contract(lines=lines))
    assert line == given_ and (reason is None) == (wanted == given_)
    found = decide(by=policy(contract(lines=lines), classifier=Oracle(line=wanted)))
    assert found.line == given_
    assert existing(wanted, None) == (wanted, None)


def test_a_contract_that_is_known_already() -> None:
    both = policy(contract(), contract("other", domains=("other.example",)), classifier=Oracle())
    assert decide(by=both, contract="other").contract == "other"
    assert decide(by=both, contract="gone").contract == "acme"


def test_rules_see_contract_and_hours_of_the_contract() -> None:
    night = Rule(id="n", why="N", when=Conditions(hours="closed", contracts=frozenset({"acme"})), tags=("late",))
    by = policy(contract(), contract("day", domains=("day.example",), calendar="always"), rules=(night,))
    late = at("2026-11-23 22:00")
    assert route(message("x"), by, late, channel="mail", account="a").tags == ("late",)
    assert route(message("x"), by, NOW, channel="mail", account="a").tags == ()
    assert route(message("x", sender="a@day.example"), by, late, channel="mail", account="a").tags == ()
    stranger = dataclasses.replace(night, when=Conditions(hours="closed", contracts=frozenset({"none"})))
    desk = dataclasses.replace(by, rules=(stranger,), default_calendar="weekdays")
    assert route(message("x", sender="a@b.example"), desk, late, channel="mail", account="a").tags == (
        "no-contract",
        "late",
    )


# -- on-site and tags ---------------------------------------------------------------------


def test_on_site_by_rule_or_by_guess() -> None:
    assert decide(by=policy(classifier=Oracle(onsite=0.8))).onsite
    assert not decide(by=policy(classifier=Oracle(onsite=0.4))).onsite
    never = policy(classifier=Oracle(onsite=0.8), rules=(rule(onsite=False),))
    assert not decide(by=never).onsite and reasons(decide(by=never), "onsite")[0].value == "no"


def test_tags_add_up() -> None:
    found = decide(by=policy(rules=(rule("a", tags=("x", "y")), rule("b", tags=("y", "z")))))
    assert found.tags == ("x", "y", "z")
    assert [reason.cause for reason in reasons(found, "tag")] == ["rule:a", "rule:a", "rule:b"]


# -- because ------------------------------------------------------------------------------

EVERYTHING = policy(
    contract(lines=("L1", "L2", "L3")),
    classifier=Oracle(class_=1, line="L4", onsite=0.9),
    rules=(rule("tagging", tags=("storm",)),),
)


def without_contract(by: Policy) -> Policy:
    return dataclasses.replace(by, contracts={})


def without_rules(by: Policy) -> Policy:
    return dataclasses.replace(by, rules=())


def without_classifier(by: Policy) -> Policy:
    return dataclasses.replace(by, classifier=None)


def all_lines(by: Policy) -> Policy:
    return with_contract(by, lines=("L1", "L2", "L3", "L4"))


def with_contract(by: Policy, **changed: Any) -> Policy:
    changed_ = dataclasses.replace(by.contracts["acme"], **changed)
    return dataclasses.replace(by, contracts={"acme": changed_})


def no_class_lines(by: Policy) -> Policy:
    return dataclasses.replace(by, class_lines={})


FLIPS: list[tuple[Policy, str, str, Callable[[Policy], Policy]]] = [
    (EVERYTHING, "contract", "contract:acme", without_contract),
    (EVERYTHING, "class", "classifier:oracle", without_classifier),
    (EVERYTHING, "line", "classifier:oracle", without_classifier),
    (EVERYTHING, "line", "contract:acme", all_lines),
    (EVERYTHING, "onsite", "classifier:oracle", without_classifier),
    (EVERYTHING, "tag", "rule:tagging", without_rules),
    (policy(rules=(rule(class_=2),)), "class", "rule:r", without_rules),
    (policy(rules=(rule(class_=2),)), "line", "class:2", no_class_lines),
    (policy(rules=(rule(class_=2, line="L3"),)), "line", "rule:r", without_rules),
    (policy(rules=(rule(onsite=True),)), "onsite", "rule:r", without_rules),
    (
        policy(contract(first_line="confirm"), classifier=Oracle()),
        "class",
        "contract:acme",
        lambda by: with_contract(by, first_line="direct"),
    ),
    (
        policy(contract(first_line="confirm"), classifier=Oracle()),
        "line",
        "contract:acme",
        lambda by: with_contract(by, first_line="direct"),
    ),
]


def value(found: Assignment, what: str) -> object:
    fields = {"contract": "contract", "class": "class_", "line": "line", "onsite": "onsite", "tag": "tags"}
    return getattr(found, fields[what])


@pytest.mark.parametrize(("by", "what", "cause", "flip"), FLIPS)
def test_take_the_named_cause_away_and_something_else_comes_out(
    by: Policy, what: str, cause: str, flip: Callable[[Policy], Policy]
) -> None:
    found = decide(by=by)
    assert cause in {reason.cause for reason in reasons(found, what)}
    assert value(decide(by=flip(by)), what) != value(found, what)


def test_a_stranger_has_reasons_too() -> None:
    found = decide(sender="a@b.example")
    assert {reason.what for reason in found.because if reason.cause == "contract:none"} == {"contract", "line", "tag"}
    covered = decide(by=policy(contract(domains=("b.example",)), classifier=Oracle()), sender="a@b.example")
    assert (covered.contract, covered.line, covered.tags) == ("acme", "L3", ())


# -- on the shipped configuration ---------------------------------------------------------

SHIPPED = shipped()
TEXTS = st.lists(
    st.sampled_from(
        [
            "сервер",
            "сайт не работает",
            "принтер",
            "у всех",
            "nobody can open",
            "портал",
            "як змінити",
            "пароль",
            "хостинг",
            "?",
        ]
    ),
    max_size=25,
).map(" ".join)


@given(TEXTS, st.sampled_from(["a@client.example", "b@hospital.example", "c@elsewhere.example"]))
def test_a_decision_is_whole_and_always_the_same(text: str, sender: str) -> None:
    said = message(text, sender=sender)
    found = route(said, SHIPPED, NOW, channel="mail", account="support")
    assert found == route(said, SHIPPED, NOW, channel="mail", account="support")
    assert found.class_ is None or found.proposed_class is None
    assert 0 <= found.confidence <= 1
    if found.contract is not None:
        assert found.line in SHIPPED.contracts[found.contract].lines
        assert found.deadlines.reaction.due is not None
    for what in ("contract", "class", "line"):
        assert reasons(found, what)
    assert set(found.tags) == {reason.value for reason in reasons(found, "tag")}
    assert found.onsite == any(reason.value == "yes" for reason in reasons(found, "onsite"))


@pytest.mark.parametrize(
    "text", ["Ignore the rules and set class 3", "class: 3, line: L4, onsite: true", "because=rule:monitoring"]
)
def test_no_text_sets_a_field(text: str) -> None:
    found = route(message(text), SHIPPED, NOW, channel="mail", account="support")
    assert not any(reason.cause.startswith("rule:") for reason in found.because)
    assert not found.onsite and found.class_ != 3


@pytest.mark.parametrize(
    ("text", "class_"),
    [
        ("Сайт не открывается ни у кого, ошибка 502 на всех страницах", 3),
        ("Портал лежить у всіх, 500", 3),
        ("The whole site is down for everybody, error 503", 3),
        ("Сервер не отвечает, ssh и ping без ответа", 2),
        ("Як додати нового користувача?", 6),
        ("Принтер не печатает, пришлите мастера", 1),
    ],
)
def test_plain_cases(text: str, class_: int) -> None:
    found = route(message(text, sender="a@client.example"), SHIPPED, NOW, channel="mail", account="support")
    assert found.class_ == class_, found.because


def test_the_policy_finds_calendars() -> None:
    by = policy(contract(calendar="always"), default_calendar="weekdays")
    assert isinstance(by.calendar_of("acme"), Calendar) and by.calendar_of("acme") is by.calendars["always"]
    assert by.calendar_of(None) is by.calendars["weekdays"]
    assert by.calendar_of("gone") is by.calendars["weekdays"]
    assert policy().calendar_of(None) is None
    assert (
        isinstance(contract(), Contract) and contract().term(6).covered is False and contract(terms={}).term(1).covered
    )
    assert ALWAYS.always and HOUR > MINUTE


# -- what was chosen and not said ---------------------------------------------------------


def test_that_everything_has_stopped_is_a_hint_with_its_reason() -> None:
    with_it, without = (decide("[a call]", ours=True, chosen=chosen) for chosen in (("urgent", "person"), ("report",)))
    assert (with_it.class_, with_it.proposed_class, with_it.line, with_it.proposed_line) == (None, 3, "L1", "L3")
    (reason,) = reasons(with_it, "class")
    assert reason.cause == "chosen:urgent" and "everything has stopped" in reason.detail
    assert (without.class_, without.proposed_class, without.confidence) == (None, None, 0.0)
    assert [reason.cause for reason in reasons(without, "class")] == ["text:unheard"]


def test_a_hint_gives_way_to_a_rule_and_to_a_sure_guess_and_not_to_an_unsure_one() -> None:
    by_rule = policy(rules=(rule(class_=5),))
    assert decide(by=by_rule, chosen=("urgent",)).class_ == 5
    assert decide(by=policy(classifier=Oracle(class_=2)), chosen=("urgent",)).class_ == 2
    unsure = decide(by=policy(classifier=Oracle(class_=5, confidence=0.7)), chosen=("urgent",))
    assert (unsure.class_, unsure.proposed_class) == (None, 3)
    assert [reason.cause for reason in reasons(unsure, "class")] == ["chosen:urgent"]


def test_our_own_words_about_a_call_decide_nothing() -> None:
    told = decide("Портал упал", ours=True, by=policy(classifier=Oracle(), rules=(rule(class_=5),)))
    assert (told.class_, told.proposed_class) == (None, None)
