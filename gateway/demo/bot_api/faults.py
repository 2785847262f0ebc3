"""What can go wrong on the wire, and how it is done to one request."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from dataclasses import dataclass
from typing import Literal, TypeAlias, assert_never

from aiohttp import web

from gateway.demo.bot_api.calls import ApiError

Kind: TypeAlias = Literal[
    "too_many", "error", "html", "reset", "lost", "slow", "half", "never", "mute", "late", "twice"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What happens to one call. It has its effect only beside lost, slow, half, mute, late and twice."""

    kind: Kind
    """too_many: 429. error: `status` with a description. html: 502, a page of a proxy. reset: before it is read.
    lost: it is done, the answer is not sent. slow: the answer takes `seconds`. half: half of the answer. never: no
    answer. mute: it is done, and never answered. late: it waits for `go_on`. twice: done twice; for getUpdates and
    deliveries, given out twice."""
    retry_after: int = 1
    """Beside too_many, seconds."""
    status: int = 500
    description: str = "Internal Server Error"
    seconds: float = 1.0
    """Beside slow."""
    method: str = ""
    """Only a call of this method."""


HTML = (
    "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n"
    "<hr><center>nginx/1.18.0</center>\r\n</body>\r\n</html>\r\n"
)


class Gone(Exception):
    """The connection was cut on purpose; no answer follows."""


def answered(text: str, status: int = 200) -> web.Response:
    """An answer of the API."""
    return web.Response(text=text, status=status, content_type="application/json")


def refused(error: ApiError) -> web.Response:
    """An answer with `ok: false`."""
    said: dict[str, object] = {"ok": False, "error_code": error.code, "description": error.description}
    if error.parameters:
        said["parameters"] = error.parameters
    return answered(json.dumps(said), error.code)


def cut(request: web.Request) -> None:
    """Reset the connection."""
    transport = request.transport
    if transport is not None:
        bound: socket.socket | None = transport.get_extra_info("socket")
        if bound is not None:
            # With a linger of zero the kernel sends RST instead of FIN.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()


async def before(fault: Fault | None, request: web.Request, go_on: asyncio.Event, closing: asyncio.Event) -> None:
    """What happens to a request that is not looked at. Raises ApiError, Gone, or an HTTP answer; else it is done."""
    if fault is None:
        return
    match fault.kind:
        case "too_many":
            text = f"Too Many Requests: retry after {fault.retry_after}"
            raise ApiError(429, text, {"retry_after": fault.retry_after})
        case "error":
            raise ApiError(fault.status, fault.description)
        case "html":
            raise web.HTTPBadGateway(text=HTML, content_type="text/html")
        case "reset":
            cut(request)
            raise Gone
        case "never":
            await closing.wait()
            raise Gone
        case "late":
            await go_on.wait()
        case "lost" | "slow" | "half" | "mute" | "twice":
            pass
        case _:
            assert_never(fault.kind)


async def give(
    fault: Fault | None, request: web.Request, answer: web.Response, closing: asyncio.Event
) -> web.StreamResponse:
    """The answer, as the fault has it. Raises Gone when it is cut."""
    if fault is None or fault.kind not in ("lost", "slow", "half", "mute"):
        return answer
    if fault.kind == "mute":
        await closing.wait()
        raise Gone
    if fault.kind == "lost":
        cut(request)
        raise Gone
    content = answer.body if isinstance(answer.body, bytes) else b""
    stream = web.StreamResponse(status=answer.status, headers={"Content-Type": "application/json"})
    stream.content_length = len(content)
    await stream.prepare(request)
    if fault.kind == "half":
        await stream.write(content[: len(content) // 2])
        cut(request)
        raise Gone
    for piece in (content[:1], content[1 : len(content) // 2], content[len(content) // 2 :]):
        await stream.write(piece)
        await asyncio.sleep(fault.seconds / 3)
    await stream.write_eof()
    return stream
