"""`gateway telegram setup|status` and `check --online` against a Bot API server on loopback."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from channels.telegram.inbound import ALLOWED_UPDATES
from channels.telegram.settings import OFFICIAL
from gateway import cli
from gateway.cli.telegram import menu
from gateway.demo.bot_api import BotApi, Fault
from gateway.demo.bot_api.bots import Hook, Menu
from gateway.settings_files import load
from tests.gateway.cli.running import ROOT, gateway
from tests.telegram.standin import SECRET, TOKEN, said, standin

PUBLIC = "https://help.desk.example"


@dataclass
class Terminal:
    """Runs commands with one bot configured."""

    api: BotApi
    var: Path
    capsys: pytest.CaptureFixture[str]

    async def run(self, *words: str, **more: Any) -> tuple[int, str]:
        """Exit code and what was printed."""
        told = {"token": "env:BOT_TOKEN", "secret": "env:BOT_SECRET", "api_url": self.api.api_url, **more}
        public_url = told.pop("public_url", PUBLIC)
        sets = [f"--set=channels.telegram.main.{key}={value}" for key, value in told.items()]
        argv = [
            *words,
            f"--config={ROOT / 'config'}",
            f"--var={self.var}",
            f"--set=http.public_url={public_url}",
            *sets,
        ]
        code = await asyncio.to_thread(_code, argv)
        said_ = self.capsys.readouterr()
        printed = said_.out + said_.err
        assert TOKEN not in printed and SECRET not in printed
        return code, printed


def _code(argv: list[str]) -> int:
    try:
        cli.main(argv)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@asynccontextmanager
async def running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> AsyncIterator[Terminal]:
    monkeypatch.setenv("BOT_TOKEN", TOKEN)
    monkeypatch.setenv("BOT_SECRET", SECRET)
    (tmp_path / "var").mkdir(mode=0o700)
    async with standin() as api:
        yield Terminal(api, tmp_path / "var", capsys)


@pytest.fixture
async def terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> AsyncIterator[Terminal]:
    async with running(tmp_path, monkeypatch, capsys) as made:
        yield made


def menus(api: BotApi) -> Mapping[str, list[tuple[str, str]]]:
    """Language -> commands, as a person's client shows them."""
    return {
        language: [(one["command"], one["description"]) for one in commands]
        for (scope, language), commands in api.bot().part(Menu).commands.items()
        if scope == '{"type": "default"}'
    }


async def test_a_webhook_is_registered_and_its_menu_is_set_in_three_languages(terminal: Terminal) -> None:
    api = terminal.api
    # What waits at Telegram stays there.
    api.bot().push(said("a"))
    code, printed = await terminal.run("telegram", "setup", "main", mode="webhook", max_connections=7)
    assert code == 0, printed
    assert "@desk_bot" in printed
    (call,) = (call for call in api.calls if call.method == "setWebhook")
    assert call.parameters == {
        "url": f"{PUBLIC}/channels/telegram/main", "secret_token": SECRET, "max_connections": 7,
        "allowed_updates": json.dumps(ALLOWED_UPDATES),
    }  # fmt: skip
    assert len(api.bot().waiting) == 1
    wanted = menu(load(ROOT / "config"))
    assert set(wanted) == {"ru", "uk", "en"}
    assert menus(api) == {**wanted, "": wanted["en"]}
    assert {name for name, _ in wanted["ru"]} >= {"new", "status", "language", "help", "stop"}


async def test_polling_removes_a_webhook(terminal: Terminal) -> None:
    terminal.api.bot().hook = Hook("https://other.example/x", "", 1)
    terminal.api.bot().push(said("a"))
    code, printed = await terminal.run("telegram", "setup", "main")
    assert (code, terminal.api.bot().hook) == (0, None), printed
    assert len(terminal.api.bot().waiting) == 1


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"public_url": "''"}, "http.public_url is empty"),
        ({"public_url": "http://help.desk.example", "api_url": OFFICIAL}, "https only"),
        ({"public_url": "https://help.desk.example:444", "api_url": OFFICIAL}, "443, 80, 88 and 8443"),
    ],
)
async def test_an_address_that_telegram_would_not_take_is_not_sent(
    more: dict[str, Any], words: str, terminal: Terminal
) -> None:
    from channels.telegram.setup import unreachable
    from tests.channels.telegram.bots import account

    given = account(mode="webhook", api_url=more.get("api_url", terminal.api.api_url))
    assert words in unreachable(more["public_url"].strip("'"), given)
    if "api_url" not in more:
        code, printed = await terminal.run("telegram", "setup", "main", mode="webhook", **more)
        assert code == 1
        assert words in printed
        assert terminal.api.count("setWebhook") == 0


async def test_status_shows_token_queue_and_the_last_error(terminal: Terminal) -> None:
    api = terminal.api
    api.bot().push(said("a"))
    code, printed = await terminal.run("telegram", "status", "main")
    assert (code, api.count("getUpdates")) == (0, 0)
    for words in ("the token is good: @desk_bot, id 100200300", "polling; 1 updates wait"):
        assert words in printed
    code, printed = await terminal.run("telegram", "status", "main", mode="webhook")
    assert code == 1
    assert "no webhook is set" in printed
    # Refused by everybody, so that nothing is delivered while the test looks.
    api.bot().hook = Hook("http://127.0.0.1:9/channels/telegram/main", "", 40, 1_700_000_000, "Connection refused")
    code, printed = await terminal.run("telegram", "status", "main", mode="webhook")
    assert "Connection refused" in printed
    assert "1 updates wait" in printed
    code, printed = await terminal.run("telegram", "status", "main")
    assert code == 1
    assert "a webhook is set, so polling gets nothing" in printed


async def test_a_bad_token_is_told_in_words(terminal: Terminal) -> None:
    terminal.api.bot().revoked = True
    for words in (("telegram", "setup", "main"), ("telegram", "status", "main")):
        code, printed = await terminal.run(*words)
        assert code == 1
        assert "refuses the token" in printed
    terminal.api.bot().revoked = False
    terminal.api.plan(Fault(kind="html", method="getMe"))
    code, printed = await terminal.run("telegram", "setup", "main")
    assert code == 1
    assert "HTTP 502" in printed


async def test_a_bot_that_is_not_configured_is_named(terminal: Terminal) -> None:
    code, printed = await terminal.run("telegram", "status", "other")
    assert code == 2
    assert "there is main" in printed


async def test_check_online_looks_at_bots(terminal: Terminal) -> None:
    code, printed = await terminal.run("check", "--online")
    assert "telegram/main: the token is good" in printed
    assert "telegram/main updates: polling; 0 updates wait" in printed
    terminal.api.bot().revoked = True
    code, printed = await terminal.run("check", "--online")
    assert code == 1
    assert "telegram/main: " in printed and "refuses the token" in printed


async def test_check_online_looks_at_a_webhook(terminal: Terminal) -> None:
    api, checked = terminal.api, ("check", "--online")
    code, printed = await terminal.run(*checked, mode="webhook")
    assert code == 1
    assert "telegram/main updates: no webhook is set" in printed and "gateway telegram setup main" in printed
    code, printed = await terminal.run("telegram", "setup", "main", mode="webhook")
    assert code == 0, printed
    calls = len(api.calls)
    code, printed = await terminal.run(*checked, mode="webhook")
    assert f"telegram/main updates: webhook {PUBLIC}/channels/telegram/main, 40 at a time; 0 updates wait" in printed
    assert {call.method for call in api.calls[calls:]} == {"getMe", "getWebhookInfo"}, "it only looks"
    # Whose is it? Somebody else's is trouble, and so is one that fails.
    ours = f"{PUBLIC}/channels/telegram/main"
    for url, words in (("https://other.example/x", "not that of this account"), (ours, "Connection refused")):
        api.bot().hook = Hook(url, SECRET, 40, int(time.time()), "Connection refused")
        code, printed = await terminal.run(*checked, mode="webhook")
        assert code == 1
        assert words in printed


@pytest.mark.parametrize("kind", ["empty", "blank", "missing"])
def test_serve_refuses_a_webhook_without_its_secret(kind: str, tmp_path: Path) -> None:
    token, secret, var = tmp_path / "token", tmp_path / "secret", tmp_path / "var"
    token.write_text(TOKEN)
    if kind != "missing":
        secret.write_text({"empty": "", "blank": " \n"}[kind])
    account = {"token": f"file:{token}", "secret": f"file:{secret}", "mode": "webhook"}
    refused = gateway("serve", f"--set=channels.telegram.main={json.dumps(account)}", var=var, code=2)
    assert "channels.telegram.main.secret" in refused.stderr
    assert not (var / "listening.json").exists()
    assert TOKEN not in refused.stdout + refused.stderr
