"""What a bot's account may be told, and that none starts without its token and secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from channels.contract import Exclusive, Watched, Wiring
from channels.registry import CHANNELS
from channels.telegram.settings import OFFICIAL, TelegramAccount
from gateway.settings_files import load_settings
from tests.channels.telegram.bots import NOW
from tests.telegram.standin import SECRET, TOKEN

GOOD = {"token": "env:BOT_TOKEN"}


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOT_TOKEN", TOKEN)
    monkeypatch.setenv("BOT_SECRET", SECRET)


def test_the_smallest_account_polls_telegram_itself() -> None:
    account = TelegramAccount.model_validate(GOOD)
    assert (account.mode, account.outbound, account.poll.total_seconds()) == ("polling", "on", 50)
    assert account.endpoints() == ("100200300",)
    assert account.reading() == {"bot_id": 100200300}
    assert account.wrong_secrets() == {}
    assert account.method_url("1:t", "getMe") == f"{OFFICIAL}/bot1:t/getMe"
    assert account.content_url("1:t", "photos/f.jpg") == f"{OFFICIAL}/file/bot1:t/photos/f.jpg"


@pytest.mark.parametrize("url", ["http://h:8081", "http://h:8081/", "http://h:8081/bot", "http://h:8081/bot{token}"])
def test_a_server_of_ones_own_is_written_in_any_usual_way(url: str) -> None:
    account = TelegramAccount.model_validate({**GOOD, "api_url": url})
    assert account.method_url("1:t", "getMe") == "http://h:8081/bot1:t/getMe"
    assert account.content_url("1:t", "f") == "http://h:8081/file/bot1:t/f"
    files = TelegramAccount.model_validate({**GOOD, "file_url": "https://files.example/x/file/bot"})
    assert files.content_url("1:t", "f") == "https://files.example/x/file/bot1:t/f"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "token"),
        ({**GOOD, "mode": "webhook"}, "a webhook needs a secret"),
        ({**GOOD, "mode": "both"}, "'webhook' or 'polling'"),
        ({**GOOD, "api_url": "api.telegram.org"}, "https://api.telegram.org"),
        ({**GOOD, "api_url": "https://user:p@api.example"}, "without a token"),
        ({**GOOD, "api_url": ""}, "must not be empty"),
        ({**GOOD, "poll": "51s"}, "1s to 50s"),
        ({**GOOD, "poll": "0s"}, "1s to 50s"),
        ({**GOOD, "max_connections": 101}, "100"),
        ({**GOOD, "colour": "red"}, "Extra inputs"),
    ],
)
def test_faults_are_named(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        TelegramAccount.model_validate(settings)


def faults(folder: Path, text: str) -> list[str]:
    (folder / "gateway.yaml").write_text(f"channels:\n  telegram:\n    main: {text}\n", encoding="utf-8")
    _, problems = load_settings(folder, environment={})
    return [str(problem) for problem in problems]


WEBHOOK = "{token: env:BOT_TOKEN, secret: env:BOT_SECRET, mode: webhook}"


@pytest.mark.parametrize(
    ("token", "secret", "said"),
    [
        (TOKEN, "x" * 256, ""),
        (None, SECRET, "the environment has no BOT_TOKEN"),
        (TOKEN, None, "the environment has no BOT_SECRET"),
        (TOKEN, "", "the environment has no BOT_SECRET"),
        (TOKEN, "x" * 257, "channels.telegram.main.secret: should be 1-256 of"),
        (TOKEN, "with space", "channels.telegram.main.secret: should be 1-256 of"),
        (TOKEN, "секрет", "channels.telegram.main.secret: should be 1-256 of"),
        ("hunter2", SECRET, "channels.telegram.main.token: this is no bot token"),
    ],
)
def test_an_account_without_its_secrets_does_not_start(
    token: str | None, secret: str | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("BOT_TOKEN", token), ("BOT_SECRET", secret)):
        if value is None:
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, value)
    found = faults(tmp_path, WEBHOOK)
    assert len(found) == bool(said)
    assert all(said in each for each in found)
    assert not any(value in each for each in found for value in ("hunter2", "with space", "секрет"))


def test_an_empty_file_is_no_secret(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("\n")
    (found,) = faults(tmp_path, f"{{token: env:BOT_TOKEN, secret: 'file:{tmp_path}/secret', mode: webhook}}")
    assert "should be 1-256 of" in found


def test_one_bot_has_one_account(tmp_path: Path) -> None:
    (found,) = faults(tmp_path, "{token: env:BOT_TOKEN}\n    other: {token: env:BOT_TOKEN}")
    assert "100200300 belongs to channels.telegram.main already" in found


@pytest.mark.parametrize("secret", ["", "a b"])
def test_building_refuses_a_secret_that_changed_since_the_check(
    secret: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = TelegramAccount.model_validate({**GOOD, "secret": "env:BOT_SECRET", "mode": "webhook"})
    monkeypatch.setenv("BOT_SECRET", secret)
    wiring = Wiring(clock=lambda: NOW, spool=tmp_path, outgoing=tmp_path, upload_url="")
    with pytest.raises(ValueError, match="secret: should be 1-256"):
        CHANNELS["telegram"].build({"main": account}, wiring)


def test_the_mode_decides_what_listens(tmp_path: Path) -> None:
    wiring = Wiring(clock=lambda: NOW, spool=tmp_path, outgoing=tmp_path, upload_url="")
    polled = CHANNELS["telegram"].build({"main": TelegramAccount.model_validate(GOOD)}, wiring)
    poller, _ = polled.listeners
    assert isinstance(poller, Watched) and isinstance(poller, Exclusive)
    assert (set(polled.webhooks), poller.name, poller.lease) == (set(), "bot telegram/main", "telegram:100200300")
    hooked = {"main": TelegramAccount.model_validate({**GOOD, "secret": "env:BOT_SECRET", "mode": "webhook"})}
    assert set(CHANNELS["telegram"].build(hooked, wiring).webhooks) == {"main"}
