"""LMTP: one reply for each recipient, after one commit of one entry (RFC 2033)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from channels.contract import Unavailable
from tests.channels.mail.support import Client, Port, letter, running, stuffed

TWO = ("support@desk.example", "sales@desk.example")


@asynccontextmanager
async def lmtp(tmp_path: Path, **options: Any) -> AsyncIterator[tuple[Port, Client]]:
    """A listener with both ports, and a greeted client of the LMTP one."""
    async with running(tmp_path, lmtp={"port": 0}, **options) as port:
        host, _, number = port.listener.listening()["lmtp"].rpartition(":")
        client = await Client.to(host, int(number))
        try:
            assert "LMTP" in await client.reply()
            assert "PIPELINING" in await client.say("LHLO relay.example")
            yield port, client
        finally:
            await client.close()


async def deliver(client: Client, content: bytes, *recipients: str) -> list[str]:
    """Send one message to several; the replies to RCPT are good, those to the message are returned."""
    assert (await client.say("MAIL FROM:<anna@client.example>"))[:3] == "250"
    for recipient in recipients:
        assert (await client.say(f"RCPT TO:<{recipient}>"))[:3] == "250"
    assert (await client.say("DATA"))[:3] == "354"
    await client.send(stuffed(content))
    return [await client.reply() for _ in recipients]


async def test_each_recipient_has_a_reply_after_one_commit(tmp_path: Path) -> None:
    async with lmtp(tmp_path) as (port, client):
        assert await deliver(client, letter(1), *TWO) == ["250 2.0.0 OK, taken in"] * 2
        assert await deliver(client, letter(2), TWO[0]) == ["250 2.0.0 OK, taken in"]
        # No reply is left over: what comes next is the answer to the next command.
        assert (await client.say("NOOP")).startswith("250 2.0.0 OK")
        assert port.journal.calls == 2
        first = port.journal.raws[0]
        assert first.deliveries == (("support", TWO[0]), ("sales", TWO[1]))
        assert (first.facts["transport"], first.facts["rcpt_to"]) == ("lmtp", list(TWO))


async def test_one_that_is_refused_at_rcpt_has_no_second_reply(tmp_path: Path) -> None:
    async with lmtp(tmp_path) as (_, client):
        assert (await client.say("MAIL FROM:<anna@client.example>"))[:3] == "250"
        assert (await client.say(f"RCPT TO:<{TWO[0]}>"))[:3] == "250"
        assert (await client.say("RCPT TO:<nobody@desk.example>")).startswith("550 5.1.1")
        assert (await client.say(f"RCPT TO:<{TWO[0]}>"))[:3] == "250"
        assert (await client.say("DATA"))[:3] == "354"
        await client.send(stuffed(letter(1)) + b"NOOP\r\n")
        replies = [await client.reply() for _ in range(3)]
        assert replies == ["250 2.0.0 OK, taken in"] * 2 + ["250 2.0.0 OK"], "a repeat of RCPT counts, too"


async def test_a_failure_is_each_recipients(tmp_path: Path) -> None:
    async with lmtp(tmp_path, message_size=64 * 1024) as (port, client):
        port.journal.failure = Unavailable("the database is locked")
        assert [reply[:3] for reply in await deliver(client, letter(1), *TWO)] == ["451", "451"]
        port.journal.failure = None
        too_big = letter(2, b"b" * 76 + b"\r\n" + b"b\r\n" * 30_000)
        assert [reply[:3] for reply in await deliver(client, too_big, *TWO)] == ["552", "552"]
        assert [reply[:3] for reply in await deliver(client, letter(1), *TWO)] == ["250", "250"]
        assert len(port.journal.raws) == 1


async def test_a_commit_that_takes_too_long_is_each_recipients(tmp_path: Path) -> None:
    async with lmtp(tmp_path, commit_time="1s") as (port, client):
        port.journal.gate = asyncio.Event()
        try:
            assert [reply[:3] for reply in await deliver(client, letter(1), *TWO)] == ["451", "451"]
        finally:
            port.journal.gate.set()


async def test_a_fault_of_ours_leaves_no_reply_to_be_taken_for_another(tmp_path: Path) -> None:
    async with lmtp(tmp_path) as (port, client):

        def broken() -> Any:
            raise RuntimeError("no place for a body")

        port.listener.new_spool = broken  # type: ignore[method-assign]
        assert (await client.say("MAIL FROM:<anna@client.example>"))[:3] == "250"
        for recipient in TWO:
            assert (await client.say(f"RCPT TO:<{recipient}>"))[:3] == "250"
        await client.send(b"DATA\r\n" + stuffed(letter(1)) + b"NOOP\r\n")
        replies = []
        while line := await client.reply():
            replies.append(line[:3])
        assert replies == ["354", "421"]


@pytest.mark.parametrize("greeting", ["HELO relay.example", "EHLO relay.example"])
async def test_the_greetings_of_smtp_are_refused(greeting: str, tmp_path: Path) -> None:
    async with running(tmp_path, lmtp={"port": 0}) as port:
        host, _, number = port.listener.listening()["lmtp"].rpartition(":")
        client = await Client.to(host, int(number))
        try:
            await client.reply()
            assert (await client.say(greeting)).startswith("500 ")
            assert (await client.say("MAIL FROM:<anna@client.example>")) == "503 5.5.1 Error: send LHLO first"
        finally:
            await client.close()


async def test_smtp_has_one_reply_for_all(tmp_path: Path) -> None:
    async with running(tmp_path, lmtp={"port": 0}) as port, port.client() as client:
        assert (await client.say("LHLO relay.example")).startswith("500 ")
        assert (await client.say("MAIL FROM:<anna@client.example>"))[:3] == "250"
        for recipient in TWO:
            await client.say(f"RCPT TO:<{recipient}>")
        await client.say("DATA")
        await client.send(stuffed(letter(1)) + b"QUIT\r\n")
        assert [(await client.reply())[:3] for _ in range(2)] == ["250", "221"]


async def test_a_port_that_is_taken_leaves_none_open(tmp_path: Path) -> None:
    async with running(tmp_path / "one", lmtp={"port": 0}) as port:
        taken = int(port.listener.listening()["lmtp"].rpartition(":")[2])
        with pytest.raises(OSError):
            async with running(tmp_path / "two", lmtp={"port": taken}):
                raise AssertionError("it started")
