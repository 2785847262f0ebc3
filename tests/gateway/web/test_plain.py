"""Whatever the short way's reader takes for a plain request, the framework's parser reads in the same way."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpRequestParser
from hypothesis import given
from hypothesis import strategies as st

from gateway.web.plain import Plain, read

BODY = b'{"update_id": 7}'
HEADERS = (
    b"Host: desk.example", b"Content-Length: 16", b"Content-Type: application/json", b"X-Secret: a-secret",
    b"Connection: keep-alive", b"X-Odd:  spaces \t", b"Accept-Encoding: gzip, deflate", b"X-Empty: ",
)  # fmt: skip
STRANGE = (
    b"content-length: 15", b"Content-Length: 016", b"Content-Length: +16", b"Content-Length: 1_6", b"Connection: close",
    b"Connection: Keep-Alive, Upgrade", b"Transfer-Encoding: chunked", b"Transfer-Encoding : chunked", b"Expect: x",
    b"Content-Encoding: gzip", b"Upgrade: websocket", b"X-Secret: other", b" folded", b"\tfolded", b"", b"no colon",
    b"X-Nul: \0", b"X-CR: a\rb", b"X-LF: a\nContent-Length: 3", b"X-High: \xff", b"Host: other.example", b": nameless",
    b"X Y: z", b"Content-Length:16", b"Proxy-Connection: close", b"TE: trailers",
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


def lines(request_line: bytes, headers: list[bytes], body: bytes = BODY) -> bytes:
    return b"\r\n".join([request_line, *headers, b"", body])


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """One that is nearly plain, with anything replaced anywhere."""
    start = draw(
        st.sampled_from([b"POST /a HTTP/1.1"] * 5 + [b"POST /a HTTP/1.0", b"GET /a HTTP/1.1", b"POST * HTTP/1.1"])
    )
    headers = draw(st.permutations(HEADERS[: draw(st.integers(1, len(HEADERS)))]))
    for strange in draw(st.lists(st.sampled_from(STRANGE), max_size=2)):
        headers.insert(draw(st.integers(0, len(headers))), strange)
    data = lines(start, headers, draw(st.sampled_from([BODY] * 5 + [BODY[:-1], BODY + b"POST", b""])))
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(data)))
        put = draw(st.binary(max_size=2) | st.sampled_from([b"\r\n", b"\n", b" ", b"\t", b":", b"0"]))
        data = data[:at] + put + data[at + draw(st.integers(0, 2)) :]
    return data


def by_framework(data: bytes, loop: asyncio.AbstractEventLoop) -> Plain | None:
    """The same by the parser behind the long way; None where it finds no request, or more than a plain one."""
    parser = HttpRequestParser(BaseProtocol(loop), loop, 2**16, max_line_size=8190, max_field_size=8190)
    messages, upgraded, tail = parser.feed_data(data)
    ((message, payload),) = messages
    assert (upgraded, tail, message.method, message.should_close) == (False, b"", "POST", False)
    assert (message.chunked, message.compression, message.upgrade) == (False, None, False)
    assert payload.is_eof()
    assert len(message.headers) == len({name.lower() for name in message.headers})
    headers = {name.lower(): value for name, value in message.headers.items()}
    return Plain(message.path.encode(), headers, payload.read_nowait())


@given(requests())
def test_it_is_read_as_the_framework_reads_it(loop: asyncio.AbstractEventLoop, data: bytes) -> None:
    plain = read(data)
    if plain is not None:
        assert by_framework(data, loop) == plain


def test_a_plain_one_is_taken(loop: asyncio.AbstractEventLoop) -> None:
    data = lines(b"POST /a HTTP/1.1", [*HEADERS])
    found = read(data)
    assert found == by_framework(data, loop)
    assert found is not None
    assert (found.path, found.body, found.headers["x-odd"], found.headers["x-empty"]) == (b"/a", BODY, "spaces", "")


@pytest.mark.parametrize("strange", STRANGE)
def test_one_strange_line_is_enough_to_look_closer(strange: bytes) -> None:
    headers = [line for line in HEADERS if line.split(b":")[0].lower() != strange.split(b":")[0].lower()]
    taken = read(lines(b"POST /a HTTP/1.1", [*headers, strange]))
    harmless = {b"Host: other.example", b"X-Secret: other", b"Content-Length: 016"}
    assert (taken is not None) is (strange in harmless)
