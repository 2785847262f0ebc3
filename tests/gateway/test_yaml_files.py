"""YAML that means what it looks like, and faults with their place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from gateway.yaml_files import MAX_BYTES, check, load, parse, read, scalar


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Inner(Strict):
    zone: str
    count: int = Field(1, ge=1)
    on: bool = False
    token: str = ""


class Outer(Strict):
    one: Inner | None = None
    many: list[Inner] = []
    named: dict[str, Inner] = {}
    deep: dict[str, dict[str, Inner]] = {}
    class_: dict[int, str] = Field({}, alias="class")
    phone: str = ""


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("18:00", "18:00"),
        ("no", "no"),
        ("off", "off"),
        ("y", "y"),
        ("+380441112233", "+380441112233"),
        ("010", "010"),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"),
        ("2026-12-31", "2026-12-31"),
        ("1e3", 1000.0),
        (".5", ".5"),
        ("0.5", 0.5),
        ("-3", -3),
        ("0", 0),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("null", None),
    ],
)
def test_a_plain_scalar_means_what_it_looks_like(text: str, meant: object) -> None:
    assert scalar(text) == meant and type(scalar(text)) is type(meant)
    assert parse(f"a: {text}").data == {"a": meant}
    assert parse(f'a: "{text}"').data == {"a": text}


def problems(text: str) -> list[str]:
    return [str(problem).removeprefix("<text>:") for problem in check(parse(text), Outer)[1]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("one: {zone: 5}", "one.zone: should be text (got '5'); put it in quotes: \"…\""),
        ("one: {zone: no}", None),
        ("one: {zone: a, on: no}", None),
        ("one: {zone: a, on: maybe}", "one.on: should be a valid boolean"),
        ("one: {zone: a, count: 0}", "one.count: should be greater than or equal to 1 (got '0')"),
        ("one: {}", "one.zone: is missing; add it"),
        ("one: {zone: a, zoen: b}", "one.zoen: is not a known key; did you mean zone?"),
        ("many: [{zone: a, colour: b}]", "many[0].colour: is not a known key; known here: count, on, token, zone"),
        ("named: {x: {zone: a, contu: 1}}", "named.x.contu: is not a known key; did you mean count?"),
        ("deep: {x: {y: {zone: a, contu: 1}}}", "deep.x.y.contu: is not a known key; did you mean count?"),
        ("one: [1]", "one: should be a block of keys"),
        ("many: a", "many: should be a list (got 'a'); write - before each item, or [a, b]"),
        ("class: {1: a}", None),
        ("class: {x: a}", "class.x: should be a valid integer"),
        ("phone: +380441112233", None),
        ("named: {x: null}", "named.x: should be a block of keys (got 'None')"),
        ("one: {zone: [a], token: [hidden]}", "one.token: should be a valid string"),
        ("phone: 1\nphone: 2", "phone: stands twice (first in line 1); keep one of them"),
        ("- a", "should be a block of keys"),
        ("a: !py x", "has the tag !py"),
        ("a: &a [*a]", "refers to itself"),
        ("? [a]\n: b", "has a key that is not a plain word"),
        ("a: [1", "is not valid YAML"),
        ("a: 1\n---\nb: 2", "is not valid YAML: expected a single document"),
        ("\ta: 1", "is not valid YAML"),
        ("a: \x00", "is not valid YAML"),
        ("[" * 5000, "is not valid YAML"),
        ("", None),
        ("# nothing", None),
    ],
)
def test_a_fault_says_what_would_be_right(text: str, said: str | None) -> None:
    found = problems(text)
    assert (found == []) if said is None else any(said in one for one in found), found


def test_every_fault_at_once_in_the_order_of_the_file() -> None:
    text = "one:\n  zone: 5\n  zoen: 1\nmany:\n  - count: x\nphone: [1]\n"
    assert [line.split(": ")[0] for line in problems(text)] == ["2:9", "3:3", "5:5", "5:12", "6:8"]


def test_a_secret_is_never_shown() -> None:
    assert "hidden" not in "".join(
        problems("one: {zone: a, token: {a: hidden}}") + problems("one: {zone: a, token: 77}")
    )
    assert "77" not in "".join(problems("one: {zone: a, token: 77}"))


def test_places_fall_back_to_what_is_there() -> None:
    document = parse("one:\n  zone: a\n")
    assert document.place(("one", "zone")) == (2, 9)
    assert document.place(("one", "zone"), of_key=True) == (2, 3)
    assert document.place(("one", "gone", 3)) == (2, 3)
    assert parse("").place(("a",)) == (0, 0)
    assert document.text(("one",), "zone") == "a" and document.text(("x", 1)) == ""
    assert parse("a: [b, c]").text(("a", 1)) == "c"
    nested = parse("a: [{1: b}]")
    assert nested.dotted(("a", 0, 1)) == "a[0].1" and nested.dotted(("a", 5, "x")) == "a[5].x"


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    assert "cannot be read" in str(load(path, Outer)[1][0])
    path.write_bytes("one: {zone: Київ}".encode("cp1251"))
    assert "is not UTF-8 (byte 12)" in str(load(path, Outer)[1][0])
    path.write_bytes(b"\xef\xbb\xbfphone: a")
    assert load(path, Outer)[0] == Outer(phone="a")
    path.write_bytes(b"#" * (MAX_BYTES + 1))
    assert "at most" in str(read(path).problems[0])
    assert str(read(path).problems[0]).startswith(f"{path}: ")


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.text("abZ:-+ #'\"{}[],&*!?|>%@`\\\n", max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1, max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.text(max_size=80))
def test_no_text_raises(text: str) -> None:
    check(parse(text), Outer)


@given(st.dictionaries(st.sampled_from(["one", "many", "named", "deep", "phone", "x"]), VALUES))
def test_no_value_raises_and_every_refusal_has_a_reason(value: dict[str, Any]) -> None:
    found, said = check(parse(json.dumps(value)), Outer)
    assert (found is None) == bool(said)
    assert all(problem.line for problem in said)
