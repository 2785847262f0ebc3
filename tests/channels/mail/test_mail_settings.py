"""What mail accounts and the port may be told, and which address is whose."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from channels.mail.addresses import Recipients
from channels.mail.settings import MailAccount, Relay, SmtpOptions

ADDRESSES = {"addresses": ["support@desk.example"]}


def test_the_smallest_account() -> None:
    account = MailAccount.model_validate(ADDRESSES)
    assert account.endpoints() == ("support@desk.example",)
    assert account.sender_address == "support@desk.example"
    assert (account.outbound, account.relay, account.sender_name()) == ("on", None, "")


def test_the_sender_is_the_configured_one_else_address_and_brand() -> None:
    account = MailAccount.model_validate({**ADDRESSES, "brand": "Desk", "from": {"address": "help@Desk.Example"}})
    assert (account.sender_name(), account.sender_address) == ("Desk", "help@desk.example")
    named = MailAccount.model_validate({**ADDRESSES, "from": {"name": "Helpers", "address": "h@desk.example"}})
    assert named.sender_name() == "Helpers"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "addresses"),
        ({"addresses": []}, "at least 1"),
        ({"addresses": ["not an address"]}, "plain mail address"),
        ({"addresses": ["a+b@desk.example"]}, "plus part"),
        ({**ADDRESSES, "colour": "red"}, "Extra inputs"),
        ({**ADDRESSES, "outbound": "maybe"}, "'on', 'capture' or 'off'"),
        ({**ADDRESSES, "relay": {"host": "r.example", "user": "u"}}, "user needs a password"),
        ({**ADDRESSES, "relay": {"host": "r.example", "tls": "none", "user": "u", "password": "env:P"}}, "without TLS"),
        ({**ADDRESSES, "relay": {"host": "r.example", "tls": "yes"}}, "starttls"),
    ],
)
def test_faults_are_named(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        MailAccount.model_validate(settings)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"certificate": "a.pem"}, "go together"),
        ({"require_tls": True}, "needs a certificate"),
        ({"message_size": "50"}, "unit"),
        ({"port": 70000}, "65535"),
    ],
)
def test_faults_of_the_port_are_named(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        SmtpOptions.model_validate(options)


def test_a_password_is_not_shown() -> None:
    relay = Relay.model_validate({"host": "r.example", "user": "u", "password": "env:SECRET_NAME"})
    assert "SECRET_NAME" not in repr(relay)
    assert (relay.actual_port, Relay.model_validate({"host": "h", "tls": "tls"}).actual_port) == (587, 465)


OWN = Recipients(
    {
        "support": MailAccount.model_validate({"addresses": ["Support@desk.example", "help@пошта.example"]}),
        "sales": MailAccount.model_validate({"addresses": ["sales@desk.example"]}),
    }
)


@pytest.mark.parametrize(
    ("address", "account"),
    [
        ("support@desk.example", "support"),
        ("SUPPORT@Desk.Example", "support"),
        ("support+abc.def@desk.example", "support"),
        ("sales+@desk.example", "sales"),
        ("help@пошта.example", "support"),
        ("help@" + "пошта.example".encode("idna").decode(), "support"),
        ("postmaster@desk.example", "support"),
        ("Postmaster", "support"),
        ("postmaster@elsewhere.example", None),
        ("support", None),
        ("support@elsewhere.example", None),
        ("support@desk.example.elsewhere.example", None),
        ("+support@desk.example", None),
        ("@desk.example", None),
        ("", None),
    ],
)
def test_whose_mail_it_is(address: str, account: str | None) -> None:
    assert OWN.account_of(address) == account
