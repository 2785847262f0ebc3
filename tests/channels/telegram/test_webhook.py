"""The webhook: committed before 200, believed by its secret alone, and never a 500 for what somebody sends."""

from __future__ import annotations

import asyncio
import json
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from channels.contract import Unavailable, Unverified
from channels.telegram.webhook import HEADER, LONGEST
from normalizer.message import SpooledBody
from tests.channels.telegram.bots import NOW, PATIENCE, Journal, List, hook, mounted
from tests.channels.telegram.test_telegram_inbound import MALFORMED
from tests.telegram.standin import SECRET, said

UPDATE = json.dumps({"update_id": 7, **said("Не печатает")}).encode()


async def post(url: str, body: bytes = UPDATE, secret: str | bytes | None = SECRET) -> int:
    headers = {} if secret is None else {HEADER: secret if isinstance(secret, str) else secret.decode("latin-1")}
    async with aiohttp.ClientSession() as http, http.post(url, data=BytesIO(body), headers=headers) as answer:
        assert await answer.read() == b""
        return answer.status


async def test_200_is_said_only_after_the_intake_returned(tmp_path: Path) -> None:
    journal = Journal(gate=asyncio.Event())
    async with mounted(hook(tmp_path), journal) as url:
        answer = asyncio.create_task(post(url))
        await asyncio.wait_for(journal.news.wait(), PATIENCE)
        done, _ = await asyncio.wait({answer}, timeout=0.2)
        assert not done
        assert journal.gate is not None
        journal.gate.set()
        assert await asyncio.wait_for(answer, PATIENCE) == 200
    (raw,) = journal.raws
    assert list(journal.kept.values()) == [UPDATE]
    assert raw.facts == {"transport": "webhook", "bot_id": 100200300, "bot_name": "desk_bot"}


@pytest.mark.parametrize(
    ("secret", "status", "reason"),
    [
        (None, 401, "no secret"),
        ("", 403, "wrong secret"),
        (SECRET[:-1], 403, "wrong secret"),
        (SECRET + "x", 403, "wrong secret"),
        (SECRET.upper(), 403, "wrong secret"),
        ("секрет".encode(), 403, "wrong secret"),
        (b"\xff\xfe", 403, "wrong secret"),
        ("x" * 5000, 403, "wrong secret"),
    ],
)
async def test_who_does_not_show_the_secret_is_not_believed_but_kept(
    secret: str | bytes | None, status: int, reason: str, tmp_path: Path
) -> None:
    journal, suspects = Journal(), List()
    async with mounted(hook(tmp_path, suspects=suspects), journal) as url:
        assert await post(url, secret=secret) == status
    assert journal.raws == []
    (kept,) = suspects.requests
    assert (kept.reason, kept.body, kept.path) == (reason, UPDATE, urlsplit(url).path)
    assert set(kept.headers) <= {HEADER.lower()}
    assert all(len(value) <= 512 for value in kept.headers.values())


async def test_what_cannot_even_be_suspected_now_is_asked_for_again(tmp_path: Path) -> None:
    async with mounted(hook(tmp_path, suspects=List(failing=True)), Journal()) as url:
        assert await post(url, secret=None) == 503


async def test_a_big_body_without_the_secret_is_not_read_and_not_kept(tmp_path: Path) -> None:
    suspects = List()
    async with mounted(hook(tmp_path, suspects=suspects), Journal()) as url:
        assert await post(url, b"x" * (256 * 1024 + 1), secret="wrong") == 403
    assert suspects.requests == []


def test_a_request_is_believed_when_the_secret_was_mended(tmp_path: Path) -> None:
    request = Unverified(
        method="POST", path="/hook", headers={HEADER.lower(): "the-new-one"}, body=UPDATE, reason="wrong secret"
    )
    with pytest.raises(PermissionError):
        hook(tmp_path).recheck(request)
    (raw,) = hook(tmp_path, secret="the-new-one").recheck(request)
    assert raw.external_id == "main:7"
    with pytest.raises(PermissionError):
        hook(tmp_path).recheck(Unverified(method="POST", path="/hook", headers={}, body=UPDATE, reason="no secret"))


def test_a_webhook_without_a_secret_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no secret"):
        hook(tmp_path, secret="")


@pytest.mark.parametrize("body", MALFORMED)
async def test_what_is_no_update_is_kept_and_not_asked_for_again(body: bytes, tmp_path: Path) -> None:
    journal = Journal()
    async with mounted(hook(tmp_path), journal) as url:
        assert await post(url, body) == 200
        assert await post(url, body) == 200
        assert await post(url) == 200
    assert list(journal.kept.values()) == [body, UPDATE]


@pytest.mark.parametrize("failure", [Unavailable("locked"), OSError(28, "full")])
async def test_trouble_of_ours_makes_telegram_repeat(failure: Exception, tmp_path: Path) -> None:
    journal = Journal(failures=[failure])
    async with mounted(hook(tmp_path), journal) as url:
        assert await post(url) == 503
        assert await post(url) == 200
    assert list(journal.kept.values()) == [UPDATE]


async def test_ten_copies_at_once_are_one(tmp_path: Path) -> None:
    journal = Journal()
    async with mounted(hook(tmp_path), journal) as url:
        assert await asyncio.gather(*(post(url) for _ in range(10))) == [200] * 10
    assert len(journal.raws) == 10
    assert list(journal.kept.values()) == [UPDATE]


async def test_a_big_body_goes_to_disk_and_a_bigger_one_is_refused(tmp_path: Path) -> None:
    journal = Journal()
    big = json.dumps({"update_id": 7, **said("x" * 12 * 1024 * 1024)}).encode()
    async with mounted(hook(tmp_path), journal) as url:
        assert await post(url, big) == 200
        (raw,) = journal.raws
        assert isinstance(raw.body, SpooledBody)
        assert (raw.body.size, raw.external_id) == (len(big), "main:7")
        assert list(journal.kept.values()) == [big]
        assert await post(url, b"x" * (LONGEST + 1)) == 413
        assert await post(url) == 200
    assert len(journal.raws) == 2
    # What the intake did not take over does not stay.
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("body", [UPDATE, *MALFORMED])
async def test_what_is_taken_at_once_is_what_the_route_takes(body: bytes, tmp_path: Path) -> None:
    journal, made = Journal(), hook(tmp_path)
    async with mounted(made, journal) as url:
        assert await post(url, body) == 200
    assert [made.at_once({HEADER.lower(): SECRET}, body)] == journal.raws


def test_what_needs_the_route_is_not_taken_at_once(tmp_path: Path) -> None:
    made, shown = hook(tmp_path), HEADER.lower()
    assert made.at_once({}, UPDATE) is None
    assert made.at_once({shown: ""}, UPDATE) is None
    assert made.at_once({shown: SECRET + "x"}, UPDATE) is None
    assert made.at_once({shown: SECRET}, b"x" * (256 * 1024 + 1)) is None


HEAD = f"POST /hook HTTP/1.1\r\nHost: h\r\n{HEADER}: {SECRET}\r\n".encode()


@pytest.mark.parametrize(
    "request_",
    [
        HEAD + b"Content-Length: 1000\r\n\r\n" + UPDATE[:20],
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{\"upd",
        HEAD + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nnogzi",
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /hook HTTP/1.1\r\n" + HEADER.encode() + b": a\x00b\r\n\r\n",
        b"GET /hook HTTP/1.1\r\nHost: h\r\n\r\n",
    ],
)  # fmt: skip
async def test_what_does_not_arrive_whole_is_not_taken(request_: bytes, tmp_path: Path) -> None:
    journal = Journal()
    async with mounted(hook(tmp_path), journal) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(url).port)
        writer.write(request_)
        writer.write_eof()
        answer = await asyncio.wait_for(reader.read(), PATIENCE)
        writer.close()
        assert answer.split(b" ")[1:2] in ([], [b"400"], [b"405"])
        assert await post(url) == 200
    assert list(journal.kept.values()) == [UPDATE]
    assert journal.raws[0].received_at < NOW
