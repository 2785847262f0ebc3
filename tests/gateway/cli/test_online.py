"""`check --online` and `send-test` against a real relay on loopback: what is good, and each thing that is not."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from channels.mail.online import ahead
from gateway import cli
from gateway.online import Place, look
from gateway.settings import Settings
from tests import postgres
from tests.channels.mail.certificates import Pair, make
from tests.channels.mail.far_side import FarSide, far_side
from tests.gateway.cli.running import ROOT, gateway, serving

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
        assert (await found(made, var))["mail/support relay"] == ""
        assert side.got == []
        monkeypatch.setenv("RELAY_PASSWORD", "wrong-secret")
        refused = (await found(made, var))["mail/support relay"]
        assert "refuses user" in refused and "wrong-secret" not in refused


async def test_a_relay_that_is_not_who_it_says_is_told(pair: Pair, var: Path, tmp_path: Path) -> None:
    other = make(tmp_path / "other")
    async with relay(pair) as side:
        assert "certificate is not good" in (await found(settings(side, other), var))["mail/support relay"]
        port = side.port
    closed = settings(FarSide(), pair, port=port)
    assert (await found(closed, var))["mail/support relay"]


async def test_a_relay_without_starttls_is_told(pair: Pair, var: Path) -> None:
    async with far_side() as side:
        assert "STARTTLS" in (await found(settings(side, pair), var))["mail/support relay"]


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
        assert {"what": "mail/support relay", "trouble": ""}.items() <= next(
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


@contextmanager
def deaf(pair: Pair) -> Iterator[tuple[int, list[bool]]]:
    """A relay inside TLS that takes one mail and answers no farewell: its port, and whether the client has gone."""
    gone: list[bool] = []
    listening = socket.create_server(("127.0.0.1", 0))
    listening.settimeout(90)

    def serve() -> None:
        client, _ = listening.accept()
        client.settimeout(90)
        with pair.server().wrap_socket(client, server_side=True) as wire, wire.makefile("rb") as lines:
            wire.sendall(b"220 relay.example\r\n")
            for answer in (b"250 relay.example", b"250 ok", b"250 ok", b"354 go on"):
                lines.readline()
                wire.sendall(answer + b"\r\n")
            while lines.readline() != b".\r\n":
                pass
            wire.sendall(b"250 taken\r\n")
            with socket.socket(fileno=os.dup(wire.fileno())) as raw:
                raw.settimeout(90)
                try:
                    while raw.recv(1000):
                        pass
                    gone.append(True)
                except ConnectionError:
                    gone.append(True)
                except TimeoutError:
                    gone.append(False)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield int(listening.getsockname()[1]), gone
    finally:
        thread.join()
        listening.close()


def test_a_command_leaves_no_connection_open(pair: Pair, var: Path, no_collector: None) -> None:
    """Also beside a relay that does not end what TLS began."""
    with deaf(pair) as (port, gone):
        where = f"{{host: localhost, port: {port}, ca: {pair.certificate}, tls: tls}}"
        words = ("send-test", "me@client.example", "--config", str(ROOT / "config"), "--var", str(var))
        assert asyncio.run(run(*words, "--set", f"channels.mail.support.relay={where}")) == 0
    assert gone == [True]


@pytest.fixture
def no_collector() -> Iterator[None]:
    """What nobody closes stays open."""
    gc.disable()
    yield
    gc.enable()


def own(pair: Pair, **smtp: Any) -> Settings:
    given = {
        "smtp": {"certificate": str(pair.certificate), "key": str(pair.key), **smtp},
        "alerts": {"certificate": "0s"},
    }
    return Settings.model_validate(
        {**given, "channels": {"mail": {"support": {"addresses": ["support@desk.example"]}}}}
    )


async def good(made: Settings, var: Path) -> dict[str, str]:
    findings = await look(Place(settings=made, config=ROOT / "config", var=var, clock=lambda: datetime.now(UTC)))
    return {each.what: each.good for each in findings}


async def test_starttls_of_our_own_port_is_tried_before_the_first_start(pair: Pair, var: Path, tmp_path: Path) -> None:
    assert "smtp STARTTLS" not in await found(Settings(), var)
    said = (await good(own(pair), var))["smtp STARTTLS"]
    assert said == (
        "works on a port opened for the try, certificate not for senders that verify it (self-signed certificate)"
    )
    assert (await good(own(pair, require_tls=True), var))["smtp STARTTLS"]
    other = make(tmp_path / "other")
    mixed = own(Pair(certificate=pair.certificate, key=other.key))
    assert "it does not work" in (await found(mixed, var))["smtp STARTTLS"]
    assert list(var.iterdir()) == []


def test_starttls_of_a_running_gateway_is_tried_on_its_port(pair: Pair, tmp_path: Path) -> None:
    var = tmp_path / "running"
    words = (f"--set=smtp.certificate={pair.certificate}", f"--set=smtp.key={pair.key}")
    with serving(var, *words):
        said = gateway("check", "--online", *words, "--set=smtp.port=0", var=var, code=None).stdout
        assert "good     smtp STARTTLS: works on the running gateway" in said
        newer = make(tmp_path / "newer")
        words = (f"--set=smtp.certificate={newer.certificate}", f"--set=smtp.key={newer.key}")
        said = gateway("check", "--online", *words, var=var, code=1).stdout
        assert "TROUBLE  smtp STARTTLS: the running gateway shows another certificate" in said


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("mx.example ESMTP Sendmail; Mon, 4 May 2026 09:00:30 GMT", 30.0),
        ("mail.example Microsoft ESMTP MAIL Service ready at Mon, 4 May 2026 12:00:00 +0300", 0.0),
        ("mx.example ESMTP Postfix", None),
        ("mx.example 99 May 2026 99:00:00 +0000", None),
    ],
)
def test_the_time_in_a_greeting(text: str, seconds: float | None) -> None:
    assert ahead(text, lambda: datetime(2026, 5, 4, 9, 0, tzinfo=UTC)) == seconds


async def test_a_clock_that_others_contradict_is_told(pair: Pair, var: Path) -> None:
    now = [datetime.now(UTC)]

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(headers={"Date": format_datetime(now[0], usegmt=True)})

    site = web.Application()
    site.add_routes([web.head("/", answer)])
    runner = web.AppRunner(site)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        made = Settings.model_validate({"http": {"public_url": url}})
        assert "another time" not in (await found(made, var))["clock"]
        now[0] += timedelta(minutes=10)
        assert "others tell another time: 127.0.0.1 " in (await found(made, var))["clock"]
        assert "s ahead" in (await found(made, var))["clock"]
    finally:
        await runner.cleanup()
    greeting = f"mx.example ready at {format_datetime(now[0])}"
    async with far_side(tls=pair.server(), greeting=greeting) as side:
        assert "another time: mail/support relay " in (await found(settings(side, pair), var))["clock"]


async def test_postgresql_is_asked_whether_it_keeps_what_it_commits_and_for_the_time(var: Path) -> None:
    with postgres.running() as server:
        made = Settings.model_validate({"database": {"url": server.url()}})
        assert (await found(made, var))["database"] == ""
        an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
        later = await found(made, var, lambda: an_hour_ago)
        assert "others tell another time: database 36" in later["clock"] or "files here are newer" in later["clock"]
        server.run("ALTER SYSTEM SET synchronous_commit = off")
        server.run("SELECT pg_reload_conf()")
        assert "synchronous_commit=off" in (await found(made, var))["database"]
    gone = (await found(made, var))["database"]
    assert gone.startswith("it cannot be used: ") and "\n" not in gone
