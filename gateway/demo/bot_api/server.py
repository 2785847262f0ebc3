"""The server: `/bot<token>/<method>` and `/file/bot<token>/<path>` on a free port of this machine."""

from __future__ import annotations

import asyncio
import json
import socket
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from gateway.demo.bot_api.bots import Bot
from gateway.demo.bot_api.calls import ApiError, Call, Method, RawJson, Upload, read
from gateway.demo.bot_api.faults import Fault, Gone, Kind, answered, before, give, refused
from gateway.demo.bot_api.files import Files
from gateway.demo.bot_api.webhooks import Deliverer
from gateway.web.closing import close

PATIENCE = 60.0
"""Seconds."""
FILE = "file"
"""Stands for a method where a file is fetched: in the plan and in the record."""


@dataclass(slots=True, kw_only=True)
class Called:
    """A call that was received."""

    token: str
    method: str
    parameters: Mapping[str, Any]
    files: Mapping[str, Upload] = field(default_factory=dict)
    fault: Kind | None = None
    """What went wrong with it by the plan."""
    error: int | None = None
    """Code of the refusal; None: not refused, or not answered yet."""
    done: bool = False
    """It has had its effect."""


class BotApi:
    """Any number of bots. Use it as `async with BotApi(methods).running() as api`."""

    def __init__(
        self, methods: Mapping[str, Method], *, delivery_timeout: float = 5.0, delivery_pause: float = 0.05
    ) -> None:
        """Seconds of one delivery to a webhook, and between a failed one and the next."""
        self._methods = methods
        self._by_name = {name.lower(): name for name in methods}
        self._delivery = (delivery_timeout, delivery_pause)
        self._bots: dict[str, Bot] = {}
        self._deliverers: list[asyncio.Task[None]] = []
        self._client: aiohttp.ClientSession | None = None
        self._plan: deque[Fault] = deque()
        self._go_on, self._closing = asyncio.Event(), asyncio.Event()
        self._news = asyncio.Event()
        self.calls: list[Called] = []
        self.complaints: list[str] = []
        """What no documented client would do: unknown methods and parameters."""
        self.port = 0

    # -- for the test or the demo -----------------------------------------------------------

    def bot(self, token: str = "100200300:standin-token-of-no-worth", username: str = "desk_bot", **more: Any) -> Bot:
        """The bot with this token; made at the first time."""
        if token not in self._bots:
            self._bots[token] = Bot(token, username=username, **more)
            if self._client is not None:
                self._deliver(self._bots[token])
        return self._bots[token]

    @property
    def api_url(self) -> str:
        """For `api_url` of an account: the token and the method follow."""
        return f"http://127.0.0.1:{self.port}/bot"

    @property
    def file_url(self) -> str:
        """For `file_url` of an account."""
        return f"http://127.0.0.1:{self.port}/file/bot"

    def plan(self, *faults: Fault) -> None:
        """What happens to the next calls, each to one; with a `method` to the next one of that method."""
        self._plan.extend(faults)

    def go_on(self) -> None:
        """Let calls that are late be answered, now and from now on."""
        self._go_on.set()

    def count(self, method: str) -> int:
        """How often a method was called."""
        return sum(call.method == method for call in self.calls)

    async def called(self, method: str, times: int = 1, *, within: float = PATIENCE) -> list[Called]:
        """Wait until a method was called so often; the calls. Raises TimeoutError after `within` seconds."""
        await self.until(lambda: self.count(method) >= times, within=within)
        return [call for call in self.calls if call.method == method]

    async def until(self, true: Callable[[], bool], *, within: float = PATIENCE) -> None:
        """Wait until something is true that calls or deliveries make so. Raises TimeoutError after `within` seconds."""
        try:
            async with asyncio.timeout(within):
                while not true():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise TimeoutError(f"not within {within:g} s; {self.story()}") from None

    def story(self) -> str:
        """The last calls, and what waits at each bot, in words."""
        calls = ", ".join(
            call.method + "".join(f" ({word})" for word in (call.fault, call.error) if word)
            + ("" if call.done or call.error else " (under way)")
            for call in self.calls[-12:]
        )  # fmt: skip
        bots = "; ".join(f"{len(bot.waiting)} updates wait at {bot.username}" for bot in self._bots.values())
        return f"{len(self.calls)} calls, the last: {calls or 'none'}; {bots}"

    def tell(self) -> None:
        """Something has changed that `until` may wait for."""
        self._news.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[BotApi]:
        """Serve on a free port of the loopback until the end of the block."""
        site = web.Application(client_max_size=64 * 1024 * 1024)
        site.router.add_route("*", "/bot{token}/{method}", self._called)
        site.router.add_get("/file/bot{token}/{path:.+}", self._file)
        # A client that hangs up ends its long poll.
        runner = web.AppRunner(site, access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
        await runner.setup()
        port = socket.create_server(("127.0.0.1", self.port))
        await web.SockSite(runner, port).start()
        self.port = port.getsockname()[1]
        self._closing.clear()
        try:
            async with aiohttp.ClientSession() as self._client:
                for bot in self._bots.values():
                    self._deliver(bot)
                try:
                    yield self
                finally:
                    await self._end()
        finally:
            self._client = None
            await close(runner, port)

    async def _end(self) -> None:
        self._closing.set()
        for bot in self._bots.values():
            bot.wake(False)
        for task in self._deliverers:
            task.cancel()
        await asyncio.gather(*self._deliverers, return_exceptions=True)
        self._deliverers.clear()

    def _deliver(self, bot: Bot) -> None:
        assert self._client is not None
        timeout, pause = self._delivery
        deliverer = Deliverer(bot, self._client, timeout=timeout, pause=pause, after=self.tell)
        self._deliverers.append(asyncio.create_task(deliverer.run()))

    # -- the wire ---------------------------------------------------------------------------

    async def _called(self, request: web.Request) -> web.StreamResponse:
        said = request.match_info["method"]
        name = self._by_name.get(said.lower(), said)
        fault = self._fault(name)
        note = self._note(Called(token=request.match_info["token"], method=name, parameters={}))
        note.fault = fault.kind if fault else None
        try:
            note.parameters, note.files = await read(request)
            self.tell()
            await before(fault, request, self._go_on, self._closing)
            call = Call(bot=self._known(note.token), method=name, parameters=note.parameters, files=note.files)
            call.again = fault is not None and fault.kind == "twice"
            answer = answered(_ok(await self._run(call)))
            if fault is not None and call.again:
                # There was nothing to give out twice yet.
                self._plan.appendleft(fault)
            note.done = True
            self.tell()
            return await give(fault, request, answer, self._closing)
        except ApiError as error:
            note.error = error.code
            self.tell()
            return refused(error)
        except Gone:
            return web.Response()

    async def _file(self, request: web.Request) -> web.StreamResponse:
        token, path = request.match_info["token"], request.match_info["path"]
        fault = self._fault(FILE)
        note = self._note(Called(token=token, method=FILE, parameters={"path": path}))
        note.fault = fault.kind if fault else None
        self.tell()
        try:
            await before(fault, request, self._go_on, self._closing)
            content = self._known(token).part(Files).at(path)
            if content is None:
                raise ApiError(404, "Not Found")
            note.done = True
            answer = web.Response(body=content, content_type="application/octet-stream")
            return await give(fault, request, answer, self._closing)
        except ApiError as error:
            note.error = error.code
            return refused(error)
        except Gone:
            return web.Response()

    def _known(self, token: str) -> Bot:
        bot = self._bots.get(token)
        if bot is None or bot.revoked:
            raise ApiError(401, "Unauthorized")
        return bot

    async def _run(self, call: Call) -> Any:
        row = self._methods.get(call.method)
        if row is None:
            self.complaints.append(f"no method {call.method}")
            raise ApiError(404, "Not Found")
        if unknown := sorted({*call.parameters, *call.files} - row.parameters - _attached(call)):
            self.complaints.append(f"{call.method}: no parameter {', '.join(unknown)}")
        if missing := sorted(row.required - {*call.parameters, *call.files}):
            raise ApiError(400, f"Bad Request: parameter {missing[0]} is missing")
        result = await row.run(call)
        if call.again and call.method != "getUpdates":
            result, call.again = await row.run(call), False
        return result

    def _fault(self, method: str) -> Fault | None:
        found = next((fault for fault in self._plan if fault.method in ("", method)), None)
        if found is not None:
            self._plan.remove(found)
        return found

    def _note(self, call: Called) -> Called:
        self.calls.append(call)
        return call


def _attached(call: Call) -> frozenset[str]:
    """Names of files that another parameter attaches (`attach://<name>`)."""
    texts = [value if isinstance(value, str) else json.dumps(value) for value in call.parameters.values()]
    return frozenset(name for name in call.files if any(f"attach://{name}" in text for text in texts))


def _ok(result: Any) -> str:
    text = result.text if isinstance(result, RawJson) else json.dumps(result)
    return f'{{"ok":true,"result":{text}}}'
