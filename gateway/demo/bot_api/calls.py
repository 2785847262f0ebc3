"""One call of a method: its parameters however they came, its files, and how it can fail.

The Bot API takes parameters in the query, as a form, as multipart and as JSON; lists and objects in the first three
are JSON texts (core.telegram.org/bots/api#making-requests).
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from aiohttp import BodyPartReader, web

if TYPE_CHECKING:
    from gateway.demo.bot_api.bots import Bot


class ApiError(Exception):
    """The answer is `ok: false`."""

    def __init__(self, code: int, description: str, parameters: Mapping[str, int] | None = None) -> None:
        """`parameters`: `retry_after` in seconds, or `migrate_to_chat_id`."""
        super().__init__(description)
        self.code, self.description, self.parameters = code, description, dict(parameters or {})


@dataclass(frozen=True, slots=True)
class RawJson:
    """A result that is JSON text already; it goes into the answer as it is."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file that came with a multipart request."""

    filename: str
    content_type: str
    content: bytes


@dataclass(slots=True, kw_only=True)
class Call:
    """What was asked."""

    bot: Bot
    method: str
    parameters: Mapping[str, Any]
    files: Mapping[str, Upload] = field(default_factory=dict)
    again: bool = False
    """The plan of faults wants this call to have its effect twice; False as soon as it had it."""

    def text(self, name: str, default: str = "") -> str:
        """A string parameter."""
        value = self.parameters.get(name, default)
        return value if isinstance(value, str) else json.dumps(value)

    def integer(self, name: str, default: int = 0) -> int:
        """An integer parameter. Raises ApiError 400 for anything else."""
        value = self.parameters.get(name, default)
        try:
            return int(value)
        except (TypeError, ValueError):
            raise ApiError(400, f"Bad Request: parameter {name} must be an integer") from None

    def flag(self, name: str) -> bool:
        """A boolean parameter."""
        return self.parameters.get(name) in (True, 1, "true", "True", "1")

    def value(self, name: str) -> Any:
        """A list or an object; None when it was not given. Raises ApiError 400 when it is no JSON."""
        value = self.parameters.get(name)
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except ValueError:
            raise ApiError(400, f"Bad Request: can't parse {name} JSON object") from None


Run: TypeAlias = Callable[[Call], Awaitable[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """A row of the table of methods."""

    run: Run
    """Gives the `result`. Raises ApiError."""
    parameters: frozenset[str]
    """Every name that the documentation has; others are complained of."""
    required: frozenset[str] = frozenset()


def method(run: Run, parameters: str = "", required: str = "") -> Method:
    """A row; the names are separated by blanks, and the required ones need not be said twice."""
    needed = frozenset(required.split())
    return Method(run=run, parameters=needed | frozenset(parameters.split()), required=needed)


async def read(request: web.Request) -> tuple[dict[str, Any], dict[str, Upload]]:
    """Parameters and files of a request. Raises ApiError 400 for a body that cannot be read."""
    given: dict[str, Any] = dict(request.query)
    files: dict[str, Upload] = {}
    if request.content_type == "application/json":
        try:
            body = json.loads(await request.read() or b"{}")
        except ValueError:
            raise ApiError(400, "Bad Request: can't parse JSON") from None
        if not isinstance(body, dict):
            raise ApiError(400, "Bad Request: the body is no JSON object")
        given |= body
    elif request.content_type == "multipart/form-data" and request.can_read_body:
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader) or part.name is None:
                raise ApiError(400, "Bad Request: a part without a name")
            if part.filename is None:
                given[part.name] = await part.text()
            else:
                kind = part.headers.get("Content-Type", "application/octet-stream")
                content = bytes(await part.read(decode=False))
                files[part.name] = Upload(filename=part.filename, content_type=kind, content=content)
    else:
        given |= await request.post()
    return given, files
