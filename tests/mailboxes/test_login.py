"""Logging in: verified TLS, STARTTLS, and tokens that a provider renews and replaces."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web
from pydantic import SecretStr, ValidationError

from channels.mail.imap_settings import Imap
from channels.mail.oauth import TokenRefused, Tokens, TokenUnavailable
from channels.mail.oauth_settings import OAuth
from tests.channels.mail import certificates
from tests.mailboxes.desk import letter, overrides, reading, running, until
from tests.services.dovecot import dovecot

real = [pytest.mark.services("dovecot", "openssl"), pytest.mark.xdist_group("dovecot")]

OAUTH = {"token_url": "https://t.example/", "client_id": "c", "refresh_token": "env:B"}


def real_server(test: Any) -> Any:
    """Marks of a test that needs Dovecot."""
    for mark in real:
        test = mark(test)
    return test


@dataclass
class Provider:
    """A token server that forgets a refresh token when it has been used."""

    url: str = ""
    valid: str = "first-refresh"
    access: set[str] = field(default_factory=set)
    asked: list[dict[str, str]] = field(default_factory=list)
    life: int = 3600
    status: int = 200
    days: int = 10
    """Life of a refresh token."""

    async def token(self, request: web.Request) -> web.Response:
        form = {key: str(value) for key, value in (await request.post()).items()}
        self.asked.append(form)
        if self.status != 200:
            return web.json_response({"error": "server_error"}, status=self.status)
        if form["refresh_token"] != self.valid:
            return web.json_response({"error": "invalid_grant"}, status=400)
        number = len(self.asked)
        self.valid = f"refresh-{number}"
        self.access = {f"access-{number}"}
        said = {"access_token": f"access-{number}", "expires_in": self.life, "refresh_token": self.valid}
        return web.json_response({**said, "refresh_token_expires_in": self.days * 86400})

    async def introspect(self, request: web.Request) -> web.Response:
        known = request.match_info["token"] in self.access
        return web.json_response({"email": "support"} if known else {}, status=200 if known else 401)


@asynccontextmanager
async def provider() -> AsyncIterator[Provider]:
    """A token server on loopback."""
    one = Provider()
    site = web.Application()
    site.add_routes([web.post("/token", one.token), web.get("/introspect/{token}", one.introspect)])
    runner = web.AppRunner(site)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        one.url = f"http://{host}:{port}"
        yield one
    finally:
        await runner.cleanup()


class Memory:
    """A vault that forgets at the end."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    async def get(self, name: str) -> str | None:
        return self.kept.get(name)

    async def put(self, name: str, secret: str) -> None:
        self.kept[name] = secret


def oauth(url: str, **more: Any) -> OAuth:
    return OAuth(token_url=f"{url}/token", client_id="gateway", refresh_token=SecretStr("first-refresh"), **more)


@real_server
@pytest.mark.parametrize("tls", ["tls", "starttls"])
async def test_tls_is_verified(tmp_path: Path, tls: str, caplog: pytest.LogCaptureFixture) -> None:
    pair = certificates.make(tmp_path)
    with dovecot(tls=(pair.certificate, pair.key)) as server:
        server.append(letter(1))
        port = server.imaps if tls == "tls" else server.imap
        unknown = overrides(server, port=port, imap={"tls": tls, "host": "localhost"})
        async with reading(tmp_path / "var", unknown) as store:
            await until(lambda: "CERTIFICATE_VERIFY_FAILED" in caplog.text, "the refusal")
            assert store.entries() == 0
        known = overrides(server, port=port, imap={"tls": tls, "host": "localhost", "ca": str(pair.certificate)})
        async with reading(tmp_path / "var", known) as store:
            await store.filed(settled=1)
            server.append(letter(2))
            await store.filed(settled=2)


@real_server
async def test_tokens_are_renewed_replaced_and_kept_encrypted(tmp_path: Path) -> None:
    secret = tmp_path / "refresh"
    secret.write_text("first-refresh")
    async with provider() as tokens:
        with dovecot(introspection=f"{tokens.url}/introspect/") as server:
            server.append(letter(1))
            said = {"token_url": f"{tokens.url}/token", "client_id": "gateway", "refresh_token": f"file:{secret}"}
            settings = overrides(server, imap={"password": None, "oauth": said})
            async with reading(tmp_path / "var", settings) as store:
                await store.filed(settled=1)
            server.append(letter(2))
            async with reading(tmp_path / "var", settings):
                await store.filed(settled=2)
    assert [form["refresh_token"] for form in tokens.asked] == ["first-refresh", "refresh-1"]
    kept = store.one("SELECT value FROM sealed WHERE name = 'imap/support'")
    assert b"refresh" not in kept
    raw = b"".join(path.read_bytes() for path in (tmp_path / "var").glob("gateway.db*"))
    assert b"refresh-2" not in raw


async def test_the_configured_token_counts_again_when_the_kept_one_is_revoked() -> None:
    vault = Memory()
    async with provider() as server:
        tokens = Tokens("imap/support", oauth(server.url), vault, lambda: datetime.now(UTC))
        assert await tokens.access() == "access-1"
        assert await tokens.access() == "access-1", "a good token is kept"
        server.valid = "first-refresh"  # somebody has logged in again
        tokens.forget()
        assert await tokens.access() == "access-3"
        server.valid = "nobody's"
        tokens.forget()
        with pytest.raises(TokenRefused, match="invalid_grant"):
            await tokens.access()
        server.status = 503
        with pytest.raises(TokenUnavailable, match="503"):
            await tokens.access()
    with pytest.raises(TokenUnavailable) as told:
        await tokens.access()
    assert "refresh" not in str(told.value)


async def test_a_token_that_ends_is_renewed_before_and_its_end_is_told_14_days_ahead() -> None:
    now = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)
    async with provider() as server:
        tokens = Tokens("imap/support", oauth(server.url), Memory(), lambda: now)
        await tokens.access()
        assert "2026-05-14" in tokens.trouble(now)
        now += timedelta(seconds=3599)
        assert await tokens.access() == "access-2"
    far, near = date(2026, 6, 1), date(2026, 5, 10)
    for ends, told in ((far, False), (near, True)):
        quiet = Tokens("imap/support", oauth("http://127.0.0.1:9", expires=ends), Memory(), lambda: now)
        assert bool(quiet.trouble(now)) is told


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({}, "either password"),
        ({"password": "env:A", "oauth": OAUTH}, "either password"),
        ({"password": "env:A", "tls": "none"}, "without TLS"),
        ({"password": "env:A", "after": "delete"}, "flag, or move"),
        ({"password": "env:A", "after": "move INBOX"}, "cannot be the one"),
        ({"password": "env:A", "existing": "since yesterday"}, "since YYYY-MM-DD"),
        ({"oauth": {**OAUTH, "token_url": "http://t.example/"}}, "token_url"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_meant(said: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Imap.model_validate_json(json.dumps({"host": "imap.example", "user": "u", **said}))


@real_server
async def test_operators_hear_of_a_refused_login_and_the_gateway_stays_ready(tmp_path: Path) -> None:
    secret = tmp_path / "wrong"
    secret.write_text("wrong")
    with dovecot() as server:
        settings = overrides(server, "alerts.interval=1s", "operators=[operator@desk.example]",
                             imap={"password": f"file:{secret}"})  # fmt: skip
        async with running(tmp_path / "var", settings) as desk:
            alert = "SELECT detail FROM alert WHERE name = 'mailbox mail/support'"
            ((detail,),) = await desk.until(lambda: desk.store.rows(alert), "the alert")
            assert "refuses the login" in detail
            assert "wrong" not in detail
            async with ClientSession() as site, site.get(f"http://{desk.listening['http']}/readyz") as ready:
                assert ready.status == 200
