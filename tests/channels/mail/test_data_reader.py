"""DATA side by side with stock aiosmtpd: the same bytes give the same content, the same rest and the same commands."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from channels.mail.data import DataReader
from channels.spool import Spool
from normalizer.message import InlineBody, SpooledBody

MEGABYTE = 1024 * 1024


async def read(chunks: list[bytes], folder: Path, **limits: int) -> tuple[bytes, bytes, str]:
    """(content, rest, refusal) after the chunks."""
    spool = Spool(folder, lambda: "1")
    data = DataReader(spool, size=limits.get("size", 50 * MEGABYTE), line=limits.get("line", 4 * MEGABYTE))
    try:
        for chunk in chunks:
            assert not data.ended
            await data.feed(chunk)
        assert data.ended
        if data.refusal:
            return b"", data.rest, data.refusal
        match spool.finish():
            case InlineBody(content=content):
                return content, data.rest, ""
            case SpooledBody(path=path):
                return path.read_bytes(), data.rest, ""
    finally:
        spool.discard()


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted({cut for cut in cuts if 0 < cut < len(data)}), len(data)]
    return [data[a:b] for a, b in pairwise(places)]


def by_lines(wire: bytes) -> tuple[bytes, bytes]:
    """The specification, line by line (RFC 5321 section 4.5.2): (content, rest)."""
    content = b""
    while True:
        line, _, wire = wire.partition(b"\r\n")
        if line == b".":
            return content, wire
        content += line.removeprefix(b".") + b"\r\n"


STREAMS = [
    b".\r\n",
    b"one\r\n.\r\n",
    b"..\r\n...\r\n.\r\n",
    b".x\r\n..y\r\n.\r\nMAIL FROM:<a@b.example>\r\n",
    b"\r\n\r\n.\r\n.\r\n",
    b"a\n.\nb\r.\rc\r\n.\nd\n.\r\ne\r\r\n.\r\n",
    b"\r\r\n..\r\n\r\n.\r\nQUIT\r\n",
    b"a\r\n.\r\r\n\r\n.\r\n",
    b"a\r\n.\n\r\n.\r\n",
]


@pytest.mark.parametrize("wire", STREAMS)
async def test_every_split_in_two_and_three_pieces_reads_the_same(wire: bytes, tmp_path: Path) -> None:
    wanted = by_lines(wire)
    for first in range(len(wire) + 1):
        for second in range(first, len(wire) + 1):
            pieces = split(wire, [first, second])
            consumed = 0
            # The reader is not fed after the end: what came in the same piece is its rest.
            given_pieces: list[bytes] = []
            for piece in pieces:
                given_pieces.append(piece)
                consumed += len(piece)
                if len(by_lines_or_none(wire[:consumed])):
                    break
            content, rest, refusal = await read(given_pieces, tmp_path)
            assert (content, rest + wire[consumed:], refusal) == (*wanted, "")


def by_lines_or_none(wire: bytes) -> list[int]:
    """Empty while the lone dot has not arrived."""
    return [1] if wire.startswith(b".\r\n") or b"\r\n.\r\n" in wire else []


PIECES = st.lists(
    st.sampled_from([b"\r\n", b".", b"\r", b"\n", b"a", b"\r\n.", b"\r\n..", b"\x00", b"\xff"]), max_size=30
)


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(pieces=PIECES, cuts=st.lists(st.integers(0, 80), max_size=12))
def test_any_bytes_in_any_pieces_are_read_as_line_by_line(pieces: list[bytes], cuts: list[int], tmp_path: Path) -> None:
    wire = b"".join(pieces) + b"\r\n.\r\n"
    wanted, after = by_lines(wire)
    end = len(wire) - len(after)
    fed = split(wire[:end], cuts)
    content, rest, refusal = asyncio.run(read(fed, tmp_path))
    assert (content, rest, refusal) == (wanted, b"", "")


@pytest.mark.parametrize(
    ("limits", "content", "refusal"),
    [
        ({"size": 1000}, b"x" * 98 + b"\r\n", ""),
        ({"size": 100}, b"x" * 98 + b"\r\n", ""),
        ({"size": 99}, b"x" * 98 + b"\r\n", "size"),
        ({"line": 98}, b"x" * 98 + b"\r\n" + b"y" * 98 + b"\r\n", ""),
        ({"line": 97}, b"x" * 98 + b"\r\n", "line"),
        ({"line": 97}, b"ok\r\n" * 60 + b"x" * 98 + b"\r\n", "line"),
        ({"line": 97}, b"x\n" * 49 + b"\r\n", "line"),
    ],
)
async def test_limits_hold_in_whatever_pieces_it_comes(
    limits: dict[str, int], content: bytes, refusal: str, tmp_path: Path
) -> None:
    wire = content + b".\r\nRSET\r\n"
    end = len(wire) - len(b"RSET\r\n")
    for size in (1, 2, 3, 7, 64, 1000):
        pieces = [wire[at : min(at + size, end)] for at in range(0, end, size)]
        got, _, why = await read(pieces, tmp_path, **limits)
        assert (why, got) == (refusal, b"" if refusal else content), size


async def test_a_big_body_is_one_file_with_its_digest(tmp_path: Path) -> None:
    body = (b"." + b"z" * 75 + b"\r\n") * 20_000
    wire = (b"\r\n" + body).replace(b"\r\n.", b"\r\n..")[2:] + b".\r\n"
    got, rest, _ = await read([wire[at : at + 70_001] for at in range(0, len(wire), 70_001)], tmp_path)
    assert got == body
    assert rest == b""
    assert list(tmp_path.iterdir()) == []


class FullDisk(Spool):
    """A disk that takes no more."""

    def _write(self) -> None:
        raise OSError(28, "No space left on device")


async def test_a_full_disk_is_found_out_and_the_rest_is_read_to_the_end(tmp_path: Path) -> None:
    data: Any = DataReader(FullDisk(tmp_path, lambda: "1"), size=50 * MEGABYTE, line=4 * MEGABYTE)
    for _ in range(10):
        await data.feed(b"y" * 100_000 + b"\r\n")
    assert data.refusal == "full"
    await data.feed(b".\r\nQUIT\r\n")
    assert data.ended
    assert data.rest == b"QUIT\r\n"
    assert list(tmp_path.iterdir()) == []
