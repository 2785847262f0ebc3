"""Contracts, calendars and rules from files: what they become, and every fault by name."""

from __future__ import annotations

import json
import shutil
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.policy_files import load_policy, schemas
from gateway.policy_patterns import MAX_LENGTH, compile_pattern
from gateway.yaml_files import Problem
from router.classifier import LogLinear
from router.policy import Policy

CONFIG = Path(__file__).parent.parent.parent / "config"
CALENDARS = """
calendars:
  c: {zone: Europe/Kyiv, week: {mon-fri: 09:00-18:00}}
  a: {zone: UTC, week: {mon-sun: 00:00-24:00}}
"""


def cases(name: str) -> list[dict[str, str]]:
    path = Path(__file__).parent / "cases" / "policy" / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def folder(tmp_path: Path, *, calendars: str = CALENDARS, contracts: str = "", routing: str = "") -> Path:
    for name, text in (("calendars", calendars), ("contracts", contracts), ("routing", routing)):
        (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
    return tmp_path


def loaded(tmp_path: Path, **texts: str) -> Policy:
    found, problems = load_policy(folder(tmp_path, **texts))
    assert found is not None, problems
    return found


def faults(tmp_path: Path, **texts: Any) -> list[Problem]:
    accounts, channels = texts.pop("accounts", None), texts.pop("channels", None)
    found, problems = load_policy(folder(tmp_path, **texts), accounts=accounts, channels=channels)
    assert (found is None) == bool(problems)
    return problems


def test_the_shipped_files_are_good() -> None:
    found, problems = load_policy(CONFIG, accounts={"support"}, channels={"mail"})
    assert problems == [] and found is not None
    assert isinstance(found.classifier, LogLinear)
    assert found.calendars["always"].always and not found.calendars["weekdays"].always
    assert found.contracts["example"].term(3).reaction == timedelta(minutes=15)


def test_nothing_configured_still_takes_everybody_in(tmp_path: Path) -> None:
    found = loaded(tmp_path, calendars="")
    assert (found.contracts, found.rules, found.classifier, found.stranger_line) == ({}, (), None, "L1")


def test_a_calendar(tmp_path: Path) -> None:
    text = (
        "default: c\ncalendars:\n  c:\n    zone: Asia/Almaty\n"
        "    week:\n      fri-mon: [14:00-15:00, 09:00-13:00]\n      tue: []\n"
        "    holidays: [01-01, 2026-03-09, 02-29]\n    working:\n      2026-03-14: 10:00 – 12:00\n"
    )
    calendar = loaded(tmp_path, calendars=text).calendars["c"]
    span = ((540, 780), (840, 900))
    assert calendar.week == (span, (), (), (), span, span, span)
    assert calendar.holidays == {date(2026, 3, 9)} and calendar.yearly == {(1, 1), (2, 29)}
    assert calendar.working == {date(2026, 3, 14): ((600, 720),)}


@pytest.mark.parametrize("case", cases("calendars"), ids=str)
def test_faults_of_calendars(tmp_path: Path, case: dict[str, str]) -> None:
    _named(faults(tmp_path, calendars=case["text"]), "calendars.yaml", case["key"], case["said"])


@pytest.mark.parametrize("case", cases("contracts"), ids=str)
def test_faults_of_contracts(tmp_path: Path, case: dict[str, str]) -> None:
    text = f"contracts:\n  k: {case['text']}\n"
    _named(faults(tmp_path, contracts=text), "contracts.yaml", f"contracts.k.{case['key']}", case["said"])


def test_what_looks_like_a_number_or_no_is_what_it_looks_like(tmp_path: Path) -> None:
    classes = "{1: {covered: no}, 2: {reaction: 1d, calendar: a}}"
    text = f"contracts: {{no: {{calendar: c, covers: {{phones: [+380441112233]}}, classes: {classes}}}}}"
    contract = loaded(tmp_path, contracts=text).contracts["no"]
    assert contract.phones == ("+380441112233",) and not contract.term(1).covered
    assert contract.term(2).reaction == timedelta(days=1)


def test_two_contracts_may_not_claim_the_same(tmp_path: Path) -> None:
    one, two = "{calendar: c, covers: {domains: [A.example]}}", "{calendar: c, covers: {domains: [a.example]}}"
    text = f"contracts:\n  one: {one}\n  two: {two}\n"
    _named(
        faults(tmp_path, contracts=text), "contracts.yaml", "contracts.two.covers", "covered by contract one already"
    )


@pytest.mark.parametrize("case", cases("routing"), ids=str)
def test_faults_of_rules(tmp_path: Path, case: dict[str, str]) -> None:
    found = faults(tmp_path, routing=case["text"], accounts={"support"}, channels={"mail"})
    _named(found, "routing.yaml", case["key"], case["said"])


def test_a_stop_with_a_condition_hides_nothing(tmp_path: Path) -> None:
    first = "{id: r, why: W, when: {hours: open}, stop: true}"
    rules = f"rules: [{first}, {{id: s, why: W, when: {{contracts: [none]}}, set: {{line: L1}}}}]"
    found = loaded(tmp_path, routing=rules)
    assert [rule.id for rule in found.rules] == ["r", "s"]


def test_every_file_is_read_even_when_one_is_broken(tmp_path: Path) -> None:
    found = faults(tmp_path, calendars="default: x", contracts="contracts: [", routing="rules: 1")
    assert [Path(problem.file).name for problem in found] == ["calendars.yaml", "contracts.yaml", "routing.yaml"]
    absent, problems = load_policy(tmp_path / "gone")
    assert absent is None and len(problems) == 3


SHORT = '{"version": "1", "slope": 1, "intercept": 0, "weights": {"class": {"": [1]}}}'
EMPTY = '{"version": "1", "slope": 1, "intercept": 0, "weights": {}}'
WORDS = "classifier: {concepts: c.yaml, weights: w.json}"


@pytest.mark.parametrize(
    ("concepts", "weights", "file", "said"),
    [
        ("concepts: {a: ['!']}", EMPTY, "c.yaml", "not a word"),
        ("concepts: {a: [b]}", "{", "w.json", "fit it again"),
        ("concepts: {a: [b]}", '{"version": "1"}', "w.json", "fit it again"),
        ("concepts: {a: [b]}", SHORT, "w.json", "6 numbers"),
        ("concept: {a: [b]}", None, "c.yaml", "did you mean concepts?"),
        ("concepts: {a: [b]}", None, "w.json", "No such file"),
    ],
)  # fmt: skip
def test_faults_of_the_classifiers_files(
    tmp_path: Path, concepts: str, weights: str | None, file: str, said: str
) -> None:
    (tmp_path / "c.yaml").write_text(concepts)
    if weights is not None:
        (tmp_path / "w.json").write_text(weights)
    found = faults(tmp_path, routing=WORDS)
    assert any(Path(problem.file).name == file and said in problem.message for problem in found), found


def test_a_change_of_any_file_is_another_version(tmp_path: Path) -> None:
    shutil.copytree(CONFIG, tmp_path / "config")
    seen = set()
    for name in ("calendars.yaml", "contracts.yaml", "routing.yaml", "concepts.yaml", "classifier.json"):
        policy, _ = load_policy(tmp_path / "config")
        assert policy is not None
        seen.add(policy.version)
        path = tmp_path / "config" / name
        path.write_text(path.read_text() + "\n")
    assert len(seen) == 5


def test_schemas_name_every_key() -> None:
    found = schemas()
    assert set(found) == {"calendars.yaml", "contracts.yaml", "routing.yaml", "concepts.yaml"}
    assert "class" in found["routing.yaml"]["$defs"]["EffectsFile"]["properties"]
    assert found["calendars.yaml"]["$defs"]["CalendarFile"]["properties"]["zone"]["description"]


@pytest.mark.parametrize(
    "text",
    [
        "касс[аыу]",
        r"\bошибка \d{1,4}\b",
        "(?:не|ни) .{0,40} печат",
        "a?b{2}c{1,3}",
        "[]a-z]{1,20}x",
        r"\(x\)",
        "[^)]{0,9}a",
        "(a|b)?c",
    ],
)
def test_patterns_with_limits_are_taken(text: str) -> None:
    assert compile_pattern(text).pattern == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a.*b", "unlimited repeat"),
        ("a+", "unlimited repeat"),
        ("a{2,}", "unlimited repeat"),
        ("(a{1,9}){1,9}", "repeats"),
        ("((a|aa)x){2,9}", "repeats"),
        ("(a?){9}", "repeats"),
        (".{0,60}a.{0,60}", "3721 ways"),
        (r"(a)\1", "refers back"),
        ("(?P<a>b)(?P=a)", "refers back"),
        ("a{0,3}", "empty text"),
        ("(", "not a regular expression"),
        ("a" * (MAX_LENGTH + 1), "at most 200"),
    ],
)
def test_patterns_that_could_run_away_are_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        compile_pattern(text)


def test_the_worst_pattern_that_is_taken_is_quick() -> None:
    pattern = compile_pattern("a{0,40}a{0,40}b")
    begins = time.process_time()
    assert pattern.search("a" * 1500) is None
    assert time.process_time() - begins < 1.0


def _named(problems: list[Problem], file: str, key: str, said: str) -> None:
    assert any(
        Path(one.file).name == file and one.key == key and said in one.message and one.line for one in problems
    ), problems
