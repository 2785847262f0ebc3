"""The upload webhook on a real port: bytes into the spool, an answer after the commit, refusals in words."""

from __future__ import annotations

import asyncio
import hashlib
import io
import itertools
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from channels.contract import Accepted, Cursor, Unavailable, Wiring
from channels.mail.settings import MailAccount, Upload
from channels.mail.upload import CLIENTS, HEAD, Budget, UploadHook, look, network_of
from normalizer.message import InlineBody, RawMessage
from tests.channels.mail.support import NOW, PATIENCE, until

MEGABYTE = 1024 * 1024
TYPE = {"Content-Type": "multipart/form-data; boundary=XX"}


def field_of(name: str, value: str) -> bytes:
    return f'--XX\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()


def form(content: bytes = b"x", address: str = "Anna@client.example", trap: str = "") -> bytes:
    head = b'--XX\r\nContent-Disposition: form-data; name="files"; filename="a.bin"\r\n\r\n'
    return field_of("address", address) + field_of("website", trap) + head + content + b"\r\n--XX--\r\n"


@dataclass
class Kept:
    """An intake that keeps what it took, and says no or waits as it is told to."""

    raws: list[tuple[RawMessage, bytes]] = field(default_factory=list)
    failure: Exception | None = None
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    gate: asyncio.Event | None = None

    async def __call__(self, raws: Sequence[RawMessage], cursor: Cursor | None = None, /) -> Sequence[Accepted]:
        self.reached.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        for raw in raws:
            body = raw.body
            self.raws.append((raw, body.content if isinstance(body, InlineBody) else body.path.read_bytes()))
        return [Accepted(entry=number, duplicate=False) for number, _ in enumerate(raws, 1)]


@dataclass
class Door:
    """The running webhook."""

    url: str
    intake: Kept
    spool: Path
    session: aiohttp.ClientSession

    async def post(self, content: Any, **headers: str) -> tuple[int, str, str]:
        """(status, text, Location)."""
        given = {**TYPE, **{name.replace("_", "-"): value for name, value in headers.items()}}
        async with self.session.post(self.url, data=content, headers=given, allow_redirects=False) as answer:
            return answer.status, (await answer.text()).strip(), answer.headers.get("Location", "")

    def left(self) -> list[Path]:
        return list(self.spool.iterdir())


@asynccontextmanager
async def opened(folder: Path, **options: Any) -> AsyncIterator[Door]:
    spool = folder / "spool"
    spool.mkdir()
    numbers = itertools.count(1)
    wiring = Wiring(clock=lambda: NOW, spool=spool, outgoing=folder, upload_url="")
    account = MailAccount.model_validate({"addresses": ["support@desk.example"]})
    given = Upload.model_validate({"keep_free": 0, "per_client": 1000, "size": MEGABYTE, **options})
    hook = UploadHook("support", account, given, wiring=wiring, unique=lambda: f"{next(numbers):032x}")
    intake = Kept()
    # As the site does it: a limit of its own, which streaming never meets.
    app = web.Application(client_max_size=1000)
    app.add_routes(hook.routes(intake))
    runner = web.AppRunner(app, access_log=None, lingering_time=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        async with aiohttp.ClientSession() as session:
            yield Door(f"http://{host}:{port}/upload", intake, spool, session)
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("size", [1, 900 * 1024], ids=["in memory", "spooled"])
async def test_the_journal_gets_every_byte_and_the_answer_names_the_upload(tmp_path: Path, size: int) -> None:
    content = form(bytes(range(256)) * (size // 256) + b"end")
    async with opened(tmp_path) as door:
        status, _, where = await door.post(content)
        [(raw, kept)] = door.intake.raws
        assert door.left() == []
    assert (status, where) == (303, f"../../../upload?got={raw.external_id.removeprefix('upload:')}")
    assert kept == content
    assert raw.fingerprint == raw.body.sha256 == hashlib.sha256(content).hexdigest()
    assert (raw.channel, raw.account, raw.format, raw.peer) == ("mail", "support", "form/1", "anna@client.example")
    assert raw.deliveries == (("support", "support@desk.example"),)
    assert raw.facts == {"transport": "upload", "client_ip": "127.0.0.1", "content_type": TYPE["Content-Type"]}


async def test_nothing_is_answered_before_the_intake_returned(tmp_path: Path) -> None:
    async with opened(tmp_path) as door:
        door.intake.gate = asyncio.Event()
        asking = asyncio.create_task(door.post(form()))
        await asyncio.wait_for(door.intake.reached.wait(), PATIENCE)
        done, _ = await asyncio.wait({asking}, timeout=0.2)
        assert not done
        door.intake.gate.set()
        assert (await asking)[0] == 303


async def test_too_much_is_413_declared_or_not_and_leaves_nothing(tmp_path: Path) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield form()[:-10]
        for _ in range(40):
            yield b"x" * 64 * 1024

    async with opened(tmp_path) as door:
        assert (await door.post(io.BytesIO(form(b"x" * MEGABYTE))))[:2] == (413, "upload_big")
        assert (await door.post(pieces()))[:2] == (413, "upload_big")
        await until(lambda: not door.left())
        assert door.intake.raws == []


async def test_a_client_that_vanishes_leaves_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path) as door:
        host, port = door.url.split("/")[2].split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        head = f"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\nContent-Type: {TYPE['Content-Type']}\r\n"
        writer.write(head.encode() + b"\r\n" + form(b"y" * 600_000))
        await writer.drain()
        await until(door.left)
        writer.transport.abort()
        await until(lambda: not door.left())
        assert not door.intake.reached.is_set()


@pytest.mark.parametrize(
    ("content", "headers", "status", "reason"),
    [
        (form(trap="http://spam.example"), {}, 422, "upload_trap"),
        (form(address=""), {}, 422, "upload_address"),
        (form(address="nobody"), {}, 422, "upload_address"),
        (form(address="") + b"z" * HEAD * 2, {}, 422, "upload_address"),
        (b"", {}, 422, "upload_address"),
        (b"\xff\x00--XX\r\n\r\n", {}, 422, "upload_address"),
        (b"a=1", {"Content_Type": "application/x-www-form-urlencoded"}, 415, "upload_form"),
        (b"a=1", {"Content_Type": "multipart/form-data"}, 415, "upload_form"),
        (form(), {"Content_Encoding": "gzip"}, 415, "upload_form"),
    ],
)
async def test_bad_input_is_refused_in_words(
    tmp_path: Path, content: bytes, headers: dict[str, str], status: int, reason: str
) -> None:
    async with opened(tmp_path) as door:
        assert (await door.post(content, **headers))[:2] == (status, reason)
        assert not door.intake.reached.is_set()
        await until(lambda: not door.left())


async def test_a_broken_transfer_is_no_error_of_ours(tmp_path: Path) -> None:
    async with opened(tmp_path, idle_time="1s") as door:
        host, port = door.url.split("/")[2].split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = "POST /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
        head += f"Content-Type: {TYPE['Content-Type']}\r\n"
        begun = form(b"y" * 600_000)
        writer.write(head.encode() + f"\r\n{len(begun):x}\r\n".encode() + begun + b"\r\n")
        await until(door.left)
        writer.write(b"not a length\r\n")
        answer = await asyncio.wait_for(reader.readline(), PATIENCE)
        writer.close()
        assert re.match(rb"HTTP/1\.[01] 4\d\d ", answer)
        await until(lambda: not door.left())
        assert not door.intake.reached.is_set()


async def test_a_failure_of_ours_is_503_and_the_next_try_is_taken(tmp_path: Path) -> None:
    async with opened(tmp_path) as door:
        door.intake.failure = Unavailable("locked")
        assert (await door.post(form(b"x" * 500_000)))[:2] == (503, "upload_later")
        assert door.left() == []
        door.intake.failure = None
        assert (await door.post(form(b"x" * 500_000)))[0] == 303


async def test_a_full_disk_is_503_before_mail_feels_it(tmp_path: Path) -> None:
    async with opened(tmp_path, keep_free=1 << 60) as door:
        assert (await door.post(form()))[:2] == (503, "upload_later")


async def test_one_client_has_so_many_and_only_so_many_arrive_at_once(tmp_path: Path) -> None:
    async with opened(tmp_path, per_client=3, at_once=1) as door:
        door.intake.gate = asyncio.Event()
        first = asyncio.create_task(door.post(form()))
        await asyncio.wait_for(door.intake.reached.wait(), PATIENCE)
        assert (await door.post(form()))[:2] == (503, "upload_later")
        door.intake.gate.set()
        assert (await first)[0] == 303
        assert (await door.post(form()))[0] == 303
        assert (await door.post(form()))[:2] == (429, "upload_often")


async def test_silence_ends_an_upload(tmp_path: Path) -> None:
    async def stuck() -> AsyncIterator[bytes]:
        yield form()[:-4]
        await asyncio.Event().wait()

    async with opened(tmp_path, idle_time="1s") as door:
        assert (await asyncio.wait_for(door.post(stuck()), PATIENCE))[:2] == (408, "upload_slow")
        assert door.left() == []


def test_a_budget_comes_back_and_is_bounded() -> None:
    budget = Budget(2, timedelta(minutes=10))
    assert [budget.spend("a", NOW) for _ in range(3)] == [True, True, False]
    assert budget.spend("b", NOW)
    assert not budget.spend("a", NOW + timedelta(minutes=9))
    assert budget.spend("a", NOW + timedelta(minutes=10))
    for number in range(2 * CLIENTS):
        budget.spend(f"c{number}", NOW)
    assert len(budget._seen) == CLIENTS


def test_what_a_client_chooses_freely_counts_as_one() -> None:
    assert network_of("2001:db8:1:2:3::4") == network_of("2001:db8:1:2:ffff::1") != network_of("2001:db8:1:3::1")
    assert network_of("::ffff:192.0.2.7") == network_of("192.0.2.7") == "192.0.2.7"
    assert network_of("unix") == ""


def test_the_beginning_is_looked_at_for_fields_only() -> None:
    as_file = b'--XX\r\nContent-Disposition: form-data; name="files"; filename="website"\r\n\r\nfull\r\n--XX\r\n'
    assert look(as_file + form(), whole=True) == "anna@client.example"
    assert look(as_file, whole=False) == ""
