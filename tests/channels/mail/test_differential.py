"""Our SMTP dialogue beside stock aiosmtpd's: the same bytes get the same codes and become the same messages."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

import pytest
from aiosmtpd.smtp import SMTP
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from channels.mail.listener import SmtpListener
from channels.mail.server import Connection
from channels.mail.settings import SmtpOptions
from tests.channels.mail.stock import Sink, stock
from tests.channels.mail.support import ACCOUNTS, NOW, PATIENCE, running

BEGIN = b"MAIL FROM:<a@client.example>\r\nRCPT TO:<support@desk.example>\r\nDATA\r\n"


Outcome: TypeAlias = tuple[list[str] | None, list[bytes]]


async def play(host: str, port: int, pieces: list[bytes]) -> list[str] | None:
    """The codes of all replies to the pieces and a QUIT; None when the server left before it had read everything."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            # Let the server see the pieces one by one.
            await asyncio.sleep(0)
        writer.write(b"QUIT\r\n")
        heard = await asyncio.wait_for(reader.read(), PATIENCE)
    except ConnectionError:
        return None  # a QUIT in the middle: unread bytes turn the goodbye into a reset, and replies may be lost
    finally:
        writer.close()
    return [line[:3] for line in heard.decode("utf-8", "replace").split("\r\n") if line and line[3:4] != "-"]


async def both(
    pieces: list[bytes], folder: Path
) -> tuple[tuple[list[str], list[bytes]], tuple[list[str], list[bytes]]]:
    """(codes, contents) of ours and of stock."""
    async with running(folder) as port, stock() as (host, number, sink):
        ours = await play(port.host, port.number, pieces)
        theirs = await play(host, number, pieces)
        return (ours, port.journal.contents), (theirs, sink.contents)


DIALOGUES = [
    b"HELO x\r\n" + BEGIN + b"before\r\n.\r\nQUIT\r\n" + BEGIN + b"behind\r\n.\r\n",
    b"EHLO x\r\n" + BEGIN + b"Subject: a\r\n\r\n..dot\r\n...\r\n.\r\n" + BEGIN + b"second\r\n.\r\n",
    b"HELO x\r\n" + BEGIN + b".\r\nNOOP\r\nRSET\r\n" + BEGIN + b"x\r\n.\r\n",
    b"HELO x\r\n" + BEGIN + b"a\n.\nMAIL FROM:<evil@x.example>\r.\r\nb\r\n.\nc\n.\r\nd\r\n.\r\n",
    b"HELO x\r\n" + BEGIN + b"y" * 300_000 + b"\r\n" + b"z" * 1_500_000 + b"\r\n.\r\nNOOP\r\n",
    b"HELO x\r\n" + BEGIN + b"k\r\n" * 200_000 + b".\r\n" + BEGIN + b".\r\n",
    b"NOOP\r\nMAIL FROM:<a@b.example>\r\nHELO x\r\nRCPT TO:<support@desk.example>\r\nDATA\r\nRSET\r\n",
    b"HELO x\r\nMAIL FROM:<a@b.example>\r\nMAIL FROM:<a@b.example>\r\nDATA\r\nRCPT TO:<no@where.example>\r\nDATA\r\n",
    b"EHLO x\r\nMAIL FROM:<a@b.example> SIZE=10 BODY=8BITMIME SMTPUTF8\r\nRSET x\r\nRSET\r\nHELP\r\nVRFY a@b.c\r\n",
    b"EHLO x\r\nMAIL FROM:<a@b.example> FOO=BAR\r\nMAIL FROM:<a@b.example> BODY=BINARYMIME\r\nMAIL FROM:<>\r\nRSET\r\n",
    b"EHLO x\r\nMAIL FROM:a@b.c\r\nRSET\r\nMAIL from: <a@b.c>\r\nRCPT to: support@desk.example\r\nDATA x\r\n",
    b"HELO x\r\n" + b"WHAT\r\n" * 5 + BEGIN + b"behind the goodbye\r\n.\r\n",
    b"EHLO x\r\n" + b"NOOP " + b"n" * 70_000 + b"\r\nNOOP\r\nNOOP\nNOOP\n",
]


@pytest.mark.parametrize("wire", DIALOGUES)
async def test_same_codes_and_same_messages(wire: bytes, tmp_path: Path) -> None:
    ours, theirs = await both([wire], tmp_path)
    assert ours[1] == theirs[1]
    assert ours[0] == theirs[0] or ours[0] is None or theirs[0] is None


async def test_same_messages_when_every_byte_comes_alone(tmp_path: Path) -> None:
    wire = DIALOGUES[1] + DIALOGUES[3].removeprefix(b"HELO x\r\n")
    ours, theirs = await both([wire[at : at + 1] for at in range(len(wire))], tmp_path)
    assert ours == theirs
    assert len(ours[1]) == 3


BODY = st.lists(st.sampled_from([b"\r\n", b".", b"\r", b"\n", b"a", b"\r\n.", b"QUIT", b"\x00", b"\xd0"]), max_size=20)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(bodies=st.lists(BODY, min_size=1, max_size=3), cuts=st.lists(st.integers(1, 300), max_size=8))
def test_any_bodies_in_any_pieces(bodies: list[list[bytes]], cuts: list[int], tmp_path: Path) -> None:
    wire = b"HELO x\r\n" + b"".join(BEGIN + b"".join(body) + b"\r\n.\r\n" for body in bodies)
    places = [0, *sorted({cut for cut in cuts if cut < len(wire)}), len(wire)]
    ours, theirs = asyncio.run(both([wire[a:b] for a, b in pairwise(places)], tmp_path))
    assert ours[1] == theirs[1]
    if ours[0] is not None and theirs[0] is not None:
        assert ours[0] == theirs[0]


# -- addresses ----------------------------------------------------------------------------


def parsers(folder: Path) -> tuple[Connection, SMTP]:
    """Two connections that only parse."""
    options = SmtpOptions.model_validate({})
    port = SmtpListener(ACCOUNTS, options, clock=lambda: NOW, spool=folder, unique=lambda: "u")
    loop = asyncio.new_event_loop()
    loop.close()
    return Connection(port, loop, None), SMTP(Sink(), hostname="x", enable_SMTPUTF8=True, loop=loop)


ADDRESSES = [
    "<a@b.example>", "<a.b+c@d-e.example> SIZE=12 BODY=8BITMIME", "<a@b.example>  SIZE=1", "<a@b.example>\tSIZE=1",
    "<>", "<> SIZE=5", "<a@b.example", "a@b.example", "a@b.example SIZE=1", "<a..b@c.example>", "<.a@b.example>",
    "<a@b..example>", "<a@.example>", "<a@b.example.>", '<"a b"@c.example>', '<"a\\"b"@c.example>', "<a@[127.0.0.1]>",
    "<@x.example:a@b.example>", "<a@b.example>x", "<a@b.example>(comment) SIZE=1", "<(c)a@b.c>", "< a@b.example >",
    "<анна@пример.example>", "<a@b@c.example>", "<a b@c.example>", "<a@b.example>>", "<<a@b.example>>", "<a@-.example>",
    "<a_b%c!d#e@f.example>", "<a@b.example> =x", "<a@b.example> SIZE", "<a@localhost>",
]  # fmt: skip


@pytest.mark.parametrize("arg", ADDRESSES)
def test_addresses_are_read_as_stock_reads_them(arg: str, tmp_path: Path) -> None:
    ours, theirs = parsers(tmp_path)
    assert ours._getaddr(arg) == theirs._getaddr(arg)


@settings(
    max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(arg=st.text(alphabet='<>@.ab-_+ (),:;"\\[]=é1S', max_size=24).map(lambda text: f"<{text}>"))
def test_any_address_is_read_as_stock_reads_it_or_is_malformed(arg: str, tmp_path: Path) -> None:
    ours, theirs = parsers(tmp_path)
    try:
        wanted = theirs._getaddr(arg)
    except (AttributeError, IndexError, TypeError, ValueError):
        wanted = (None, None)  # stock answers 500 with the text of the error here
    assert ours._getaddr(arg) == wanted


@pytest.mark.parametrize("arg", ["<", "<(", "<" + "(" * 2000, "<a@", "<@", "(", "@" * 1000])
def test_hostile_addresses_are_malformed_and_never_an_error(arg: str, tmp_path: Path) -> None:
    ours, _ = parsers(tmp_path)
    assert ours._getaddr(arg) == (None, None)
