"""`check --online` and `send-test` against a real relay on loopback: what is good, and each thing that is not."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest

from gateway import cli
from gateway.online import Place, look
from gateway.settings import Settings
from tests.channels.mail.certificates import Pair, make
from tests.channels.mail.far_side import FarSide, far_side
from tests.gateway.cli.running import ROOT

pytestmark = pytest.mark.services("openssl")


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return make(tmp_path / "tls")


@pytest.fixture
def var(tmp_path: Path) -> Path:
    (tmp_path / "var").mkdir(mode=0o700)
    return tmp_path / "var"


def settings(side: FarSide, pair: Pair, **relay: Any) -> Settings:
    given = {"host": "localhost", "port": side.port, "ca": str(pair.certificate), **relay}
    return Settings.model_validate(
        {"channels": {"mail": {"support": {"addresses": ["support@desk.example"], "relay": given}}}}
    )


async def found(made: Settings, var: Path, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> dict[str, str]:
    """What -> trouble ("" when good)."""
    findings = await look(Place(settings=made, config=ROOT / "config", var=var, clock=now))
    assert all(bool(each.good) != bool(each.trouble) for each in findings)
    return {each.what: each.trouble for each in findings}


@asynccontextmanager
async def relay(pair: Pair) -> AsyncIterator[FarSide]:
    async with far_side(tls=pair.server(), auth=True) as side:
        yield side


async def test_a_relay_is_logged_in_to_and_nobody_is_written_to(
    pair: Pair, var: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with relay(pair) as side:
        monkeypatch.setenv("RELAY_PASSWORD", side.password)
        made = settings(side, pair, user=side.user, password="env:RELAY_PASSWORD")
        assert (await found(made, var))["mail/support"] == ""
        assert side.got == []
        monkeypatch.setenv("RELAY_PASSWORD", "wrong-secret")
        refused = (await found(made, var))["mail/support"]
        assert "refuses user" in refused and "wrong-secret" not in refused


async def test_a_relay_that_is_not_who_it_says_is_told(pair: Pair, var: Path, tmp_path: Path) -> None:
    other = make(tmp_path / "other")
    async with relay(pair) as side:
        assert "certificate is not good" in (await found(settings(side, other), var))["mail/support"]
        port = side.port
    closed = settings(FarSide(), pair, port=port)
    assert (await found(closed, var))["mail/support"]


async def test_a_relay_without_starttls_is_told(pair: Pair, var: Path) -> None:
    async with far_side() as side:
        assert "STARTTLS" in (await found(settings(side, pair), var))["mail/support"]


async def test_folders_clock_and_disk(var: Path) -> None:
    usual = Settings()
    what = f"data in {var}"
    assert (await found(usual, var))[what] == ""
    (var / "key").write_text("secret")
    (var / "key").chmod(0o644)
    assert "others can read key" in (await found(usual, var))[what]
    (var / "key").chmod(0o600)
    if os.geteuid() == 0:
        os.chown(var / "key", 65534, -1)
        assert "another user owns key" in (await found(usual, var))[what]
    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
    assert "files here are newer" in (await found(usual, var, lambda: an_hour_ago))["clock"]
    full = Settings.model_validate({"alerts": {"free_disk": 10**15}})
    assert "MB free" in (await found(full, var))["disk"]


async def test_a_certificate_of_ours_that_ends_is_told(pair: Pair, var: Path) -> None:
    given = {"smtp": {"certificate": str(pair.certificate), "key": str(pair.key)}}
    assert "renew it" in (await found(Settings.model_validate(given), var))["smtp"]
    calm = Settings.model_validate({**given, "alerts": {"certificate": "1d"}})
    assert (await found(calm, var))["smtp"] == ""


async def run(*words: str) -> int:
    def call() -> int:
        try:
            cli.main(list(words))
        except SystemExit as ended:
            return int(ended.code or 0)
        return 0

    return await asyncio.to_thread(call)


async def test_the_commands(pair: Pair, var: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with far_side(tls=pair.server()) as side:
        where = f"{{host: localhost, port: {side.port}, ca: {pair.certificate}}}"
        common = ("--config", str(ROOT / "config"), "--var", str(var), "--set", f"channels.mail.support.relay={where}")
        await run("check", "--online", "--json", *common)
        rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert {"what": "mail/support", "trouble": ""}.items() <= next(
            r for r in rows if r.get("what", "")[:4] == "mail"
        ).items()
        assert await run("send-test", "me@client.example", *common) == 0
        assert "queued as 4XYZ" in capsys.readouterr().out
        sender, recipients, content = side.got[0]
        assert recipients == ["me@client.example"] and sender == "support@desk.example"
        assert message_from_bytes(content)["Subject"] == "Test of the intake gateway"
        silent = (*common, "--set", 'channels.mail.support.outbound="off"')
        assert await run("send-test", "me@client.example", *silent) == 1
        assert await run("send-test", "nobody", *common) == 2
        assert await run("send-test", "me@client.example", "--account", "none", *common) == 2
    assert await run("send-test", "me@client.example", *common) == 1
    assert len(side.got) == 1
    assert await run("check", "--online", *common) == 1
    assert "TROUBLE  mail/support" in capsys.readouterr().out
