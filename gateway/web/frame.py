"""How a route of the API is described and answered.

A route is one row of a table; the site's routing and the OpenAPI document are both made from it. One that
reads gives its answer. One that writes gives a function on a Connection: the frame runs it in the writer's
transaction together with the `Idempotency-Key`, and answers after the COMMIT.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection

from channels.described import Described
from gateway.store import tokens
from gateway.store.tokens import Answer, Caller
from gateway.web.auth import authenticate
from gateway.web.problems import Problem
from gateway.web.services import SERVICES, Services

T = TypeVar("T")
Scope: TypeAlias = Literal["read", "reply", "admin"]
PREFIX = "/api/v1"
_KEY = re.compile(r"[\x21-\x7e]{1,128}")


class ApiModel(Described, BaseModel):
    """Base of everything that goes over the API."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Asked(ApiModel):
    """Base of requests: unknown keys are refused, and texts without end."""

    model_config = ConfigDict(str_max_length=1_000_000)


class Nothing(Asked):
    """An empty request or query."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request to the API, checked."""

    request: web.Request
    services: Services
    caller: Caller
    params: Mapping[str, str]
    query: Any
    """An instance of the route's `query`."""
    body: Any
    """An instance of the route's `body`."""

    async def read(self, job: Callable[[Connection], T]) -> T:
        """Run a short read."""
        return await self.services.db.read(job)

    def number(self, name: str) -> int:
        """A path parameter that is an id. Raises Problem 404."""
        text = self.params[name]
        if not re.fullmatch(r"[0-9]{1,18}", text):
            raise Problem(404, "there is nothing with this id")
        return int(text)


Job: TypeAlias = Callable[[Connection], ApiModel]
Reads: TypeAlias = Callable[[Call], Awaitable[ApiModel | web.StreamResponse]]
Writes: TypeAlias = Callable[[Call], Awaitable[Job]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One row of the API's table. Exactly one of `reads` and `writes` is given."""

    method: Literal["GET", "POST"]
    path: str
    """Below `/api/v1`."""
    summary: str
    scope: Scope | None
    """None: anybody may ask."""
    answer: type[ApiModel] | None
    """None: not JSON (a download)."""
    reads: Reads | None = None
    writes: Writes | None = None
    query: type[Asked] = Nothing
    body: type[Asked] = Nothing
    status: int = 200
    whole: bool = False
    """Not for tokens that are limited to contracts."""
    once: frozenset[str] = field(default_factory=frozenset)
    """Fields of the answer that are shown once and never stored."""

    @property
    def pattern(self) -> str:
        """The full path."""
        return PREFIX + self.path


def endpoint(route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """The handler of a route for aiohttp."""

    async def handle(request: web.Request) -> web.StreamResponse:
        services = request.app[SERVICES]
        caller = await authenticate(request, services, route.scope, whole=route.whole)
        call = Call(
            request=request,
            services=services,
            caller=caller,
            params=request.match_info,
            query=route.query.model_validate(_query(request)),
            body=route.body.model_validate_json(await _json(request)) if route.writes else Nothing(),
        )
        if route.reads is not None:
            found = await route.reads(call)
            return found if isinstance(found, web.StreamResponse) else _respond(route.status, _text(found))
        return await _write(route, call)

    return handle


def _query(request: web.Request) -> dict[str, str]:
    repeated = {name for name in request.query if len(request.query.getall(name)) > 1}
    if repeated:
        raise Problem(422, f"given more than once: {', '.join(sorted(repeated))}")
    return dict(request.query)


async def _json(request: web.Request) -> bytes:
    content = await request.read()
    if not content.strip():
        return b"{}"
    if request.content_type not in ("application/json", "application/octet-stream"):
        raise Problem(415, "send JSON: Content-Type: application/json")
    return content


async def _write(route: Route, call: Call) -> web.Response:
    assert route.writes is not None
    key = _key(call.request)
    fingerprint = hashlib.sha256(
        "\n".join((call.request.method, call.request.path, call.body.model_dump_json(by_alias=True))).encode()
    ).hexdigest()
    now = call.services.clock()
    job = await route.writes(call)

    def transaction(conn: Connection) -> tuple[Answer, bool]:
        if key and (known := tokens.reserve(conn, call.caller.token_id, key, fingerprint, now)):
            return known, True
        made = job(conn)
        if key:
            kept = made.model_copy(update=dict.fromkeys(route.once)) if route.once else made
            tokens.keep(conn, call.caller.token_id, key, Answer(status=route.status, body=_text(kept)))
        return Answer(status=route.status, body=_text(made)), False

    try:
        answer, repeated = await call.services.db.write(transaction)
    except tokens.KeyReused:
        raise Problem(422, "this Idempotency-Key was used with another request; use a new one") from None
    for wake in (call.services.wake_outbox, call.services.wake_timers, call.services.wake_journal):
        wake()  # whatever the transaction put there need not wait for the next look
    response = _respond(answer.status, answer.body)
    if repeated:
        response.headers["Idempotent-Replayed"] = "true"
    return response


def _key(request: web.Request) -> str:
    key = request.headers.get("Idempotency-Key", "")
    if key and not _KEY.fullmatch(key):
        raise Problem(422, "an Idempotency-Key has 1 to 128 printable ASCII characters and no space")
    return key


def _text(model: ApiModel) -> str:
    return model.model_dump_json(by_alias=True)


def _respond(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text, content_type="application/json")
