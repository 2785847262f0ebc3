"""What holds for every request: errors that leak nothing, headers, ids, limits, proxies, health, metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from channels.contract import Accepted, Cursor, Intake, Unavailable
from gateway import health
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from gateway.web.problems import Problem
from gateway.web.proxies import CLIENT, SCHEME, believed, networks
from normalizer.message import RawMessage
from tests.gateway.conftest import FrozenClock
from tests.gateway.staffed import Site, desk_context, served


class Hooks:
    """A webhook that says what it saw, or fails as it is told to."""

    def routes(self, intake: Intake) -> Sequence[web.RouteDef]:
        async def show(request: web.Request) -> web.Response:
            return web.json_response({"client": request[CLIENT], "scheme": request[SCHEME]})

        async def fail(request: web.Request) -> web.Response:
            match request.path.rpartition("/")[2]:
                case "secret":
                    raise RuntimeError("password of ann@client.example is hunter2")
                case "later":
                    raise Unavailable("disk full at /srv/secret")
                case _:
                    raise Problem(418, "no")

        async def body(request: web.Request) -> web.Response:
            await intake([])
            return web.json_response({"size": len(await request.read())})

        async def page(_request: web.Request) -> web.Response:
            return web.Response(text="<p>taken", content_type="text/html")

        async def onward(_request: web.Request) -> web.Response:
            return web.Response(status=303, headers={"Location": "../upload"})

        failing = [web.get(f"/fail/{how}", fail) for how in ("secret", "later", "tea")]
        people = [web.get("/page", page), web.get("/onward", onward)]
        return [web.get("/show", show), *failing, *people, web.post("/", body)]


async def _intake(raws: Sequence[RawMessage], cursor: Cursor | None = None, /) -> Sequence[Accepted]:
    return ()


@pytest.fixture
async def hooked(db: Database, blobs: Blobs, clock: FrozenClock, tmp_path: Path) -> Any:
    ctx = desk_context(http={"trusted_proxies": ["127.0.0.0/8", "10.1.0.0/16"], "max_body": "1KB"})
    webhooks = {("mail", "support"): Hooks()}
    async with served(db, blobs, clock, tmp_path, ctx, webhooks=webhooks, intake=_intake) as running:
        yield running


async def _get(site: Site, path: str, **headers: str) -> tuple[int, str, Any]:
    async with site.session.get(site.url + path, headers=headers) as response:
        return response.status, await response.text(), response.headers


@pytest.mark.parametrize(("how", "status"), [("secret", 500), ("later", 503), ("tea", 418)])
async def test_an_error_leaks_nothing(hooked: Site, how: str, status: int) -> None:
    got, text, headers = await _get(hooked, f"/channels/mail/support/fail/{how}")
    assert got == status
    assert not any(word in text for word in ("hunter2", "ann@", "/srv", "Traceback", "RuntimeError", "aiohttp"))
    assert headers["X-Request-Id"] in text
    assert headers["Server"] == "gateway"


async def test_every_answer_has_the_headers_of_a_careful_site(site: Site) -> None:
    for path in ("/healthz", "/nowhere", "/api/v1/tickets", "/api/v1/openapi.json"):
        _, _, headers = await _get(site, path)
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] == "no-store"
        assert len(headers["X-Request-Id"]) == 16


@pytest.mark.parametrize(
    ("path", "browsers"), [("show", False), ("page", True), ("onward", True), ("fail/later", True), ("none", True)]
)
async def test_what_a_webhook_says_to_a_machine_has_no_headers_for_browsers(
    hooked: Site, path: str, browsers: bool
) -> None:
    where = f"{hooked.url}/channels/mail/support/{path}"
    async with hooked.session.get(where, allow_redirects=False) as answer:
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert (answer.headers["Server"], len(answer.headers["X-Request-Id"])) == ("gateway", 16)
        for name in ("Content-Security-Policy", "X-Frame-Options", "Referrer-Policy", "Cross-Origin-Resource-Policy"):
            assert (name in answer.headers) is browsers


async def test_peoples_pages_are_mounted_and_keep_their_own_policy(site: Site) -> None:
    status, text, headers = await _get(site, "/")
    assert (status, headers["X-Content-Type-Options"]) == (200, "nosniff")
    assert "support@desk.example" in text
    assert (await _get(site, "/rate/" + "a" * 26))[0] == (await _get(site, "/t/" + "a" * 26))[0] == 404


async def test_an_unknown_address_is_a_page_or_a_problem(site: Site) -> None:
    status, text, headers = await _get(site, "/nowhere/<script>")
    assert (status, headers["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert "<script>" not in text
    status, problem = await site.get("/nowhere")
    assert (status, problem["status"], problem["type"]) == (404, 404, "about:blank")
    async with site.session.delete(f"{site.url}/api/v1/tickets") as response:
        assert response.status == 405
        assert response.headers["Allow"] == "GET,HEAD,POST"


@pytest.mark.parametrize(
    ("data", "kind", "expected"),
    [
        (b"{", "application/json", 422),
        (b"[]", "application/json", 422),
        (b'"x"', "application/json", 422),
        (b"\xff\xfe", "application/json", 422),
        (b'{"text":"\\ud800"}', "application/json", 422),
        (b"[" * 50_000, "application/json", 422),
        (b"text=x", "application/x-www-form-urlencoded", 415),
        (b"", "application/json", 422),
    ],
)
async def test_a_body_that_is_no_request(site: Site, data: bytes, kind: str, expected: int) -> None:
    ticket, token = await site.ticket(), await site.token()
    status, problem = await site.ask(
        "POST", f"/tickets/{ticket}/reply", token, data=data, headers={"Content-Type": kind}
    )
    assert (status, problem["status"]) == (expected, expected)


async def test_nul_in_a_text_is_dropped(site: Site) -> None:
    ticket, token = await site.ticket(), await site.token()
    await site.post(f"/tickets/{ticket}/reply", token, {"text": "a\0b"})
    assert (await site.get(f"/tickets/{ticket}", token))[1]["messages"][0]["text"] == "ab"


async def test_a_body_over_the_limit_is_413(hooked: Site) -> None:
    for size, expected in ((1024, 200), (1025, 413)):
        async with hooked.session.post(f"{hooked.url}/channels/mail/support", data=b"x" * size) as response:
            assert response.status == expected


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ("", "127.0.0.1"),
        ("203.0.113.7", "203.0.113.7"),
        ("6.6.6.6, 203.0.113.7", "203.0.113.7"),
        ("203.0.113.7, 10.1.2.3", "203.0.113.7"),
        ("not an address", "not an address"),
    ],
)
async def test_a_proxy_of_ours_names_the_client(hooked: Site, forwarded: str, client: str) -> None:
    headers = {"X-Forwarded-For": forwarded, "X-Forwarded-Proto": "https"} if forwarded else {}
    _, text, answered = await _get(hooked, "/channels/mail/support/show", **headers)
    assert f'"client": "{client}"' in text
    assert ("Strict-Transport-Security" in answered) is bool(forwarded)


async def test_headers_of_a_stranger_name_nobody(site: Site) -> None:
    _, _, headers = await _get(
        site, "/healthz", **{"X-Forwarded-Proto": "https", "X-Request-Id": "chosen-by-a-stranger"}
    )
    assert "Strict-Transport-Security" not in headers
    assert headers["X-Request-Id"] != "chosen-by-a-stranger"


async def test_a_request_id_of_our_proxy_is_kept(hooked: Site) -> None:
    assert (await _get(hooked, "/healthz", **{"X-Request-Id": "edge-0001"}))[2]["X-Request-Id"] == "edge-0001"
    assert (await _get(hooked, "/healthz", **{"X-Request-Id": "a b"}))[2]["X-Request-Id"] != "a b"


def test_networks_hold_both_families() -> None:
    trusted = networks(["10.0.0.0/8", "::1", "192.0.2.1"])
    assert [believed(a, trusted) for a in ("10.2.3.4", "::1", "::ffff:10.0.0.1", "192.0.2.1", "192.0.2.2", "")] == [
        True, True, True, True, False, False,
    ]  # fmt: skip


# -- health -------------------------------------------------------------------------------


class _Switch:
    """Stands where the database stands for the check."""

    healthy = True


async def test_readiness_names_each_trouble(db: Database, blobs: Blobs, clock: FrozenClock, tmp_path: Path) -> None:
    switch, alive, listening = _Switch(), [1], {"http": "127.0.0.1:1"}
    checks = (
        health.database(switch),
        health.workers(lambda: alive[0], lambda: 2),
        health.listeners(lambda: listening, ("http", "smtp")),
        health.disk(tmp_path, lambda: 1),
        health.disk(tmp_path / "gone", lambda: 1),
    )
    async with served(db, blobs, clock, tmp_path, checks=checks[:2]) as running:
        assert (await _get(running, "/readyz"))[:2] == (200, '{"ready": true, "trouble": {}}')
        switch.healthy, alive[0] = False, 0
        status, text, _ = await _get(running, "/readyz")
        assert status == 503
        assert "probe" in text
        assert "worker" in text
        assert (await _get(running, "/healthz"))[0] == 200
        assert not (await running.get("/status", await running.token()))[1]["ready"]
    assert health.look(checks[2:]) == {
        "listeners": "not listening: smtp",
        "disk": "cannot look: No such file or directory",
    }
    assert "MB are needed" in health.look([health.disk(tmp_path, lambda: 1 << 60)])["disk"]


async def test_metrics_count_requests_by_pattern_and_show_what_waits(site: Site) -> None:
    ticket, token = await site.ticket(), await site.token()
    await site.get(f"/tickets/{ticket}", token)
    site.services.metrics.accepted("mail", "support", seconds=0.004)
    status, text, headers = await _get(site, "/metrics")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert 'gateway_http_requests_total{method="GET",route="/api/v1/tickets/{ticket}",status="200"} 1.0' in text
    assert 'gateway_accepted_total{account="support",channel="mail"} 1.0' in text
    assert "gateway_tickets_new 1.0" in text
    assert "gateway_outbox_dead 0.0" in text
    assert "gateway_writer_commits 3.0" in text  # the ticket, the token, its first use
    assert token not in text


async def test_metrics_are_there_while_the_database_is_not(site: Site) -> None:
    await site.db.close()
    status, text, _ = await _get(site, "/metrics")
    assert status == 200
    assert "gateway_ready 0.0" in text
    assert (await site.get("/tickets", "gw_00000000_" + "0" * 40))[0] == 503


async def test_a_client_that_goes_away_loses_no_commit(site: Site) -> None:
    ticket, token = await site.ticket(), await site.token()
    host, port = site.url.removeprefix("http://").split(":")
    body = b'{"text": "hello"}'
    head = f"POST /api/v1/tickets/{ticket}/note HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nIdempotency-Key: k\r\n\r\n"
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(head.encode() + body)
    await writer.drain()
    writer.close()
    status, _ = await site.post(f"/tickets/{ticket}/note", token, {"text": "hello"}, key="k")
    assert status == 200
    _, found = await site.get(f"/tickets/{ticket}", token)
    assert [message["text"] for message in found["messages"]] == ["hello"]
