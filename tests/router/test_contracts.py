"""Who is covered by what."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.contracts import coverage, covering, normal, table
from router.policy import Policy
from tests.router.building import contract, policy

EVERYBODY = policy(
    contract("acme", domains=("acme.example", "пошта.example")),
    contract("lab", domains=("lab.acme.example",), phones=("+380441112233",), chats=("telegram:-100500",)),
    contract("boss", domains=(), addresses=("Director@acme.example", "one@lab.acme.example")),
)


@pytest.mark.parametrize(
    ("address", "channel", "key", "detail"),
    [
        ("ivan@acme.example", "mail", "acme", "covers domain acme.example"),
        ("IVAN@Acme.Example", "mail", "acme", "covers domain acme.example"),
        ("ivan@mail.acme.example", "mail", "acme", "covers domain acme.example"),
        ("ivan@lab.acme.example", "mail", "lab", "covers domain lab.acme.example"),
        ("ivan@deep.lab.acme.example", "mail", "lab", "covers domain lab.acme.example"),
        ("director@acme.example", "mail", "boss", "covers director@acme.example"),
        ("one@lab.acme.example", "mail", "boss", "covers one@lab.acme.example"),
        ("ivan@пошта.example", "mail", "acme", "covers domain xn--80a1acn3a.example"),
        ("ivan@xn--80a1acn3a.example", "mail", "acme", "covers domain xn--80a1acn3a.example"),
        ("+380 44 111-22-33", "sms", "lab", "covers +380441112233"),
        ("-100500", "telegram", "lab", "covers telegram:-100500"),
        ("telegram:-100500", "telegram", "lab", "covers telegram:-100500"),
    ],
)
def test_the_most_exact_wins(address: str, channel: str, key: str, detail: str) -> None:
    found, reason = covering(EVERYBODY, address, channel=channel)
    assert found is not None and found.key == key
    assert (reason.cause, reason.detail) == (f"contract:{key}", detail)


@pytest.mark.parametrize(
    ("address", "channel"),
    [
        ("ivan@notacme.example", "mail"),
        ("ivan@acme.example.test", "mail"),
        ("ivan@example", "mail"),
        ("+380441112234", "sms"),
        ("100500", "telegram"),
        ("380441112233", "telegram"),  # an id of a chat is no telephone number
        ("", "mail"),
        ("@", "mail"),
        ("a@" + "x." * 200, "mail"),
        ("a@\udcff.example", "mail"),
    ],
)
def test_a_stranger(address: str, channel: str) -> None:
    found, reason = covering(EVERYBODY, address, channel=channel)
    assert found is None and reason.cause == "contract:none"


@given(st.text(max_size=30), st.sampled_from(["mail", "sms", "telegram", ""]))
def test_no_address_raises(address: str, channel: str) -> None:
    covering(EVERYBODY, address, channel=channel)
    assert normal(normal(address, channel), channel) == normal(address, channel) or "@" not in address


def test_a_claim_of_two_goes_to_the_first_by_key() -> None:
    pair = {key: contract(key) for key in ("b", "a")}
    assert table(pair) == {"@acme.example": "a"}
    assert Policy(contracts=pair).covers == {"@acme.example": "a"}


def test_the_reason_holds_without_the_contract_somebody_else_covers_or_nobody() -> None:
    for key, address in [("boss", "director@acme.example"), ("lab", "ivan@lab.acme.example")]:
        rest = policy(*(one for one in EVERYBODY.contracts.values() if one.key != key))
        assert covering(rest, address)[1].cause == "contract:acme"
    assert set(coverage(EVERYBODY.contracts["lab"])) == {"@lab.acme.example", "+380441112233", "telegram:-100500"}
