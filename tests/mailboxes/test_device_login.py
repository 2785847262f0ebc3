"""The first token of an account, by a browser anywhere (RFC 8628): the function, and the command."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from channels.mail.device_login import LoginFailed, login
from channels.mail.settings import MailAccount
from tests.gateway.cli.running import gateway

USER_CODE = "ABCD-EFGH"


@dataclass
class Device:
    """A provider where a person says yes at once, or what `answers` says first."""

    url: str = ""
    answers: list[tuple[int, str]] = field(default_factory=list)
    begun: list[dict[str, str]] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)
    interval: int = 0

    async def begin(self, request: web.Request) -> web.Response:
        self.begun.append({key: str(value) for key, value in (await request.post()).items()})
        said = {"device_code": f"D{len(self.begun)}", "user_code": USER_CODE, "interval": self.interval}
        return web.json_response({**said, "verification_uri": "https://login.example/device", "expires_in": 900})

    async def token(self, request: web.Request) -> web.Response:
        form = {key: str(value) for key, value in (await request.post()).items()}
        self.asked.append(form)
        status, error = self.answers.pop(0) if self.answers else (200, "")
        said = {"error": error} if error else {"refresh_token": f"of-{form['device_code']}"}
        return web.json_response(said, status=status)

    def oauth(self, file: Path, **more: Any) -> dict[str, Any]:
        urls = {"token_url": f"{self.url}/token", "device_url": f"{self.url}/device"}
        return {**urls, "client_id": "gateway", "refresh_token": f"file:{file}", **more}


@asynccontextmanager
async def provided() -> AsyncIterator[Device]:
    one = Device()
    site = web.Application()
    site.add_routes([web.post("/device", one.begin), web.post("/token", one.token)])
    runner = web.AppRunner(site)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        one.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield one
    finally:
        await runner.cleanup()


@contextmanager
def provider() -> Iterator[Device]:
    """The same in a thread, for commands."""
    ready, there = threading.Event(), {}

    def run() -> None:
        async def serve() -> None:
            async with provided() as one:
                stop = asyncio.Event()
                there.update(one=one, stop=stop, loop=asyncio.get_running_loop())
                ready.set()
                await stop.wait()

        asyncio.run(serve())

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(90)
    try:
        yield there["one"]
    finally:
        there["loop"].call_soon_threadsafe(there["stop"].set)
        thread.join(90)


async def test_it_asks_until_a_person_said_yes(tmp_path: Path) -> None:
    pauses: list[float] = []
    told: list[str] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    async with provided() as device:
        device.interval = 2
        device.answers = [(400, "authorization_pending"), (400, "slow_down"), (200, "")]
        imap = {"host": "imap.example", "user": "u", "oauth": device.oauth(tmp_path / "t")}
        account = MailAccount.model_validate({"addresses": ["support@desk.example"], "imap": imap})
        (path,) = await login(account, told.append, pause=pause)
        device.answers.append((400, "access_denied"))
        with pytest.raises(LoginFailed, match="access_denied"):
            await login(account, told.append, pause=pause)
    assert path.read_text() == "of-D1\n"
    assert path.stat().st_mode & 0o077 == 0
    assert pauses[:3] == [2.0, 2.0, 7.0]
    assert USER_CODE in told[0] and "for imap" in told[0]
    assert device.asked[0]["grant_type"] == "urn:ietf:params:oauth:grant-type:device_code"


def settings(device: Device, imap: Path | None, relay: Path | None) -> tuple[str, ...]:
    said: dict[str, dict[str, Any]] = {}
    if imap is not None:
        said["imap"] = {"host": "imap.example", "user": "u", "oauth": device.oauth(imap, scope="imap offline")}
    if relay is not None:
        said["relay"] = {"host": "relay.example", "user": "u", "oauth": device.oauth(relay, scope="smtp offline")}
    return tuple(f"--set=channels.mail.support.{key}={json.dumps(value)}" for key, value in said.items())


@pytest.mark.parametrize(
    ("only", "scopes"),
    [
        ((), ["imap offline", "smtp offline"]),
        (("--only=relay",), ["smtp offline"]),
        (("--only=imap",), ["imap offline"]),
    ],
    ids=["both", "relay", "imap"],
)
def test_the_command_logs_in_mailbox_and_relay(tmp_path: Path, only: tuple[str, ...], scopes: list[str]) -> None:
    imap, relay = tmp_path / "imap-token", tmp_path / "relay-token"
    with provider() as device:
        done = gateway("mail", "login", "support", *only, *settings(device, imap, relay), var=tmp_path / "var")
    assert [form["scope"] for form in device.begun] == scopes
    wanted = {"imap offline": imap, "smtp offline": relay}
    for number, scope in enumerate(scopes, 1):
        assert wanted.pop(scope).read_text() == f"of-D{number}\n"
    assert not any(file.exists() for file in wanted.values())
    assert done.stdout.count(USER_CODE) == len(scopes)
    assert "of-D" not in done.stdout + done.stderr, "a secret is shown"


def test_one_file_is_one_login(tmp_path: Path) -> None:
    file = tmp_path / "token"
    with provider() as device:
        said = gateway("mail", "login", "support", *settings(device, file, file), var=tmp_path / "var").stdout
    assert len(device.begun) == 1
    assert "for imap and relay: open https://login.example/device" in said
    assert file.read_text() == "of-D1\n"


def test_a_refusal_is_told(tmp_path: Path) -> None:
    imap, relay = tmp_path / "imap-token", tmp_path / "relay-token"
    var = tmp_path / "var"
    with provider() as device:
        device.answers = [(200, ""), (400, "access_denied")]
        failed = gateway("mail", "login", "support", *settings(device, imap, relay), var=var, code=1)
        assert "access_denied" in failed.stderr
        assert imap.read_text() == "of-D1\n" and not relay.exists(), "what was got is kept"
        nothing = gateway("mail", "login", "support", "--only=relay", *settings(device, imap, None), var=var, code=1)
        assert "no relay that logs in with tokens" in nothing.stderr
    gateway("mail", "login", "nobody", var=var, code=2)
