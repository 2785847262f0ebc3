"""`gateway check` names what will keep providers from reaching us, and lets a good configuration pass."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.gateway.cli.running import ROOT, gateway

ACCOUNT = {"account_sid": "AC" + "0" * 32, "auth_token": "env:TWILIO_TOKEN", "numbers": ["+380440000001"]}
WANTED = "missing: http.public_url: sms/main"


@pytest.mark.parametrize(
    ("more", "whole", "named"),
    [
        ({}, "", True),
        ({}, "https://help.example.com", False),
        ({"public_url": "https://help.example.com"}, "", False),
        ({"api_url": "http://127.0.0.1:8087"}, "", False),
    ],
)
def test_an_address_that_twilio_must_know_is_named(
    more: dict[str, str], whole: str, named: bool, tmp_path: Path
) -> None:
    sets = [f"--set=channels.sms.main={json.dumps({**ACCOUNT, **more})}", f"--set=http.public_url={json.dumps(whole)}"]
    done = gateway("check", *sets, var=tmp_path, TWILIO_TOKEN="0" * 32)
    assert (WANTED in done.stderr) == named


@pytest.mark.parametrize("token", [None, "", " "])
def test_an_empty_token_is_a_fault_of_the_configuration(token: str | None, tmp_path: Path) -> None:
    said = {} if token is None else {"TWILIO_TOKEN": token}
    for command in ("check", "serve"):
        done = gateway(command, f"--set=channels.sms.main={json.dumps(ACCOUNT)}", var=tmp_path, code=2, **said)
        assert "channels.sms.main.auth_token: " in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("calls", "account", "named"),
    [
        ("true", {}, True),
        ("true", {"timezone": "Europe/Kyiv"}, False),
        ("true", {"timezone": "UTC"}, False),
        ("true", {"outbound": "off"}, False),
        ("false", {}, False),
    ],
)
def test_an_account_that_calls_people_and_names_no_zone_is_named(
    calls: str, account: dict[str, str], named: bool, tmp_path: Path
) -> None:
    config = tmp_path / "config"
    shutil.copytree(ROOT / "config", config)
    (config / "surveys.yaml").write_text(f"calls: {calls}\n", encoding="utf-8")
    told = json.dumps({**ACCOUNT, **account})
    done = gateway("check", f"--set=channels.voice.main={told}", var=tmp_path, config=config, TWILIO_TOKEN="0" * 32)
    assert ("missing: channels.voice.main.timezone: " in done.stderr) == named, done.stderr
