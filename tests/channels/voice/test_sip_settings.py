"""What an account for a telephone of our own may say, and what it may not."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from channels.voice.sip.settings import SipAccount

GOOD: dict[str, Any] = {"provider": "sip", "numbers": ["101", "+380441234567"]}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"peers": ["pbx.example"]}, "should be an address or a network"),
        ({"peers": []}, "at least 1 item"),
        ({"host": "pbx.example"}, "should be an address of this machine"),
        ({"registrar": "pbx.example"}, "registrar needs a password"),
        ({"registrar": "pbx.example", "password": "env:X", "reg_interval": "5s"}, "from 30s to 1h"),
        ({"transfer_to": "pbx.example;user=phone"}, "should match pattern"),
        ({"user": "101\nX: y"}, "should match pattern"),
        ({"rtp_ports": "20000-20001"}, "a range of ports"),
        ({"account_sid": "AC"}, "not permitted"),
    ],
)
def test_what_cannot_be_right_is_refused(more: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        SipAccount.model_validate({**GOOD, **more})


def test_it_listens_to_this_machine_alone_until_told_otherwise() -> None:
    account = SipAccount.model_validate(GOOD)
    assert (account.host, account.peers) == ("127.0.0.1", ("127.0.0.1", "::1"))
    assert account.endpoints() == ("voice:101", "voice:+380441234567")


@pytest.mark.parametrize("password", ["", 'a"b', "a\\b", "a\nb"])
def test_a_password_that_the_stack_cannot_write_down_is_named_and_not_shown(
    password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIP_PASSWORD", password)
    account = SipAccount.model_validate({**GOOD, "password": "env:SIP_PASSWORD"})
    assert list(account.wrong_secrets()) == ["password"]
    assert not password or password not in account.wrong_secrets()["password"]
