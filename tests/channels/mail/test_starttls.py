"""STARTTLS on the port: offered when there is a certificate, reloaded when it changes."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvloop

from tests.channels.mail.certificates import Pair, make
from tests.channels.mail.support import PATIENCE, Client, Port, letter, running, stuffed, until

pytestmark = pytest.mark.services("openssl")


@contextmanager
def loop_of(kind: str) -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop if kind == "uvloop" else asyncio.new_event_loop) as runner:
        yield runner


async def upgraded(port: Port, pair: Pair) -> Client:
    """A client after STARTTLS and the second EHLO."""
    client = await port.connect()
    await client.reply()
    assert "250-STARTTLS" in await client.say("EHLO client.example")
    assert (await client.say("STARTTLS")).startswith("220 ")
    await client.writer.start_tls(pair.client(), server_hostname="localhost")
    again = await client.say("EHLO client.example")
    assert "STARTTLS" not in again
    assert "AUTH" not in again
    return client


def options(pair: Pair) -> dict[str, str]:
    return {"certificate": str(pair.certificate), "key": str(pair.key)}


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_mail_over_tls(loop: str, tmp_path: Path) -> None:
    pair = make(tmp_path)

    async def story() -> None:
        async with running(tmp_path, **options(pair)) as port:
            client = await upgraded(port, pair)
            big = letter(2, b"t" * 76 + b"\r\n" + b"u" * 400_000 + b"\r\n")
            assert (await client.mail(letter(1))).startswith("250 ")
            assert (await client.mail(big)).startswith("250 ")
            assert port.journal.contents == [letter(1), big]
            assert [raw.facts["tls"] for raw in port.journal.raws] == [True, True]
            assert (await client.say("QUIT")).startswith("221 ")
            await client.close()

    with loop_of(loop) as runner:
        runner.run(story())


async def test_without_a_certificate_it_is_not_offered(tmp_path: Path) -> None:
    async with running(tmp_path) as port:
        client = await port.connect()
        await client.reply()
        assert "STARTTLS" not in await client.say("EHLO client.example")
        await client.close()


async def test_tls_can_be_required(tmp_path: Path) -> None:
    pair = make(tmp_path)
    async with running(tmp_path, require_tls=True, **options(pair)) as port:
        async with port.client() as plain:
            assert (await plain.say("MAIL FROM:<a@client.example>")).startswith("530 5.7.0")
        client = await upgraded(port, pair)
        assert (await client.mail(letter(1))).startswith("250 ")
        await client.close()


async def test_a_new_certificate_is_used_without_a_restart_and_a_broken_one_is_not(tmp_path: Path) -> None:
    pair = make(tmp_path)
    async with running(tmp_path, **options(pair)) as port:
        await (await upgraded(port, pair)).close()
        old = pair.client()
        make(tmp_path)
        await (await upgraded(port, pair)).close()
        client = await port.connect()
        await client.reply()
        await client.say("EHLO client.example")
        await client.say("STARTTLS")
        with pytest.raises(ssl.SSLCertVerificationError):
            await client.writer.start_tls(old, server_hostname="localhost")
        client.drop()
        good = pair.client()
        pair.certificate.write_text("half a file")
        client = await port.connect()
        await client.reply()
        assert "250-STARTTLS" in await client.say("EHLO client.example")
        await client.say("STARTTLS")
        await client.writer.start_tls(good, server_hostname="localhost")
        assert (await client.say("EHLO client.example")).startswith("250-")
        await client.close()


async def test_commands_sent_before_the_handshake_are_thrown_away(tmp_path: Path) -> None:
    """CVE-2024-34083: what an attacker puts behind STARTTLS must not run inside TLS."""
    pair = make(tmp_path)
    async with running(tmp_path, **options(pair)) as port:
        client = await port.connect()
        await client.reply()
        await client.say("EHLO client.example")
        await client.send(b"STARTTLS\r\nMAIL FROM:<evil@client.example>\r\n")
        assert (await client.reply()).startswith("220 ")
        await client.writer.start_tls(pair.client(), server_hostname="localhost")
        assert (await client.say("EHLO client.example")).startswith("250-")
        assert (await client.say("MAIL FROM:<a@client.example>")).startswith("250 2.1.0")
        await client.close()


async def test_a_client_that_breaks_the_handshake_is_gone_and_nothing_else_is(tmp_path: Path) -> None:
    pair = make(tmp_path)
    async with running(tmp_path, **options(pair)) as port:
        client = await port.connect()
        await client.reply()
        await client.say("EHLO client.example")
        await client.say("STARTTLS")
        await client.send(b"this is no TLS record\r\n" * 10)
        await asyncio.wait_for(client.reader.read(), PATIENCE)
        client.drop()
        await until(lambda: not port.listener._open)
        async with port.client() as fine:
            await fine.begin()
            await fine.send(stuffed(letter(1)))
            assert (await fine.reply()).startswith("250 ")


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_stopping_while_a_connection_inside_tls_is_closing(loop: str, tmp_path: Path) -> None:
    """After QUIT the server waits for the client's end of TLS; stopping then must not break off half way."""
    pair = make(tmp_path)
    closed: list[str] = []

    async def story() -> None:
        async with running(tmp_path, **options(pair)) as port:

            async def close() -> None:
                closed.append("a relay's connections")

            port.listener._on_stop = [close]
            client = await upgraded(port, pair)
            connection = next(iter(port.listener._open))
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await client.send(b"QUIT\r\n")
            await until(lambda: connection.transport is None or connection.transport.is_closing())
            await port.listener.stop()
            client.drop()
        assert closed[0]

    with loop_of(loop) as runner:
        runner.run(story())
