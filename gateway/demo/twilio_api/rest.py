"""The REST API: the account, and its messages made, fetched and listed; and what goes wrong on the way.

https://www.twilio.com/docs/messaging/api/message-resource and https://www.twilio.com/docs/usage/requests-to-twilio.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import socket
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from typing import Literal, TypeAlias
from urllib.parse import urlencode

from aiohttp import web

from gateway.demo.bot_api.faults import Gone, cut
from gateway.demo.twilio_api import calls_outgoing
from gateway.demo.twilio_api.calls import Telephony
from gateway.demo.twilio_api.calls_outgoing import Outgoing
from gateway.demo.twilio_api.messages import Message, Messages
from gateway.demo.twilio_api.messages_checks import (
    CREATE,
    LIST,
    NUMBERS,
    ApiError,
    People,
    check_create,
    check_list,
    unknown,
)
from gateway.demo.twilio_api.network import Network
from gateway.demo.twilio_api.reports import Reporter, Reports
from gateway.web.closing import close

Kind: TypeAlias = Literal["too_many", "error", "server", "html", "empty", "reset", "never", "late", "lost", "half",
                          "mute", "broken"]  # fmt: skip
On: TypeAlias = Literal["", "create", "fetch", "list", "account", "numbers", "call", "calls"]
BASE = "/2010-04-01/Accounts"
HTML = "<html><head><title>503 Service Unavailable</title></head><body><h1>503</h1>no server is here</body></html>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What happens to one call. It has its effect only beside late, lost, half, mute and broken.

    too_many: 429. error: `status` with `code`. server: a 500 in JSON. html: 503, a page of a proxy. empty: 200 and not
    a byte. reset: cut before it is read. never: no answer. late: it waits for `go_on`. lost: it is done and the
    connection cut. half: half of the answer. mute: it is done, and never answered. broken: it is done, and the
    answer a 500.
    """

    kind: Kind
    on: On = ""
    """Only a call of this."""
    status: int = 400
    code: int = 20001
    message: str = "Bad request"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call that was received."""

    on: On
    fields: tuple[tuple[str, str], ...] = ()
    fault: Kind | None = None
    error: int = 0
    """Code of the refusal; 0: not refused, or not answered yet."""


@dataclass(slots=True)
class TwilioApi:
    """One account's REST API. Use it as `async with TwilioApi(network).running() as api`."""

    network: Network
    more: Sequence[web.RouteDef] = ()
    """Routes of the same server beside these."""
    telephony: Telephony | None = None
    """That follows the account's calls; None: one of its own."""
    people: People = field(default_factory=People)
    calls: list[Call] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    """What no documented client would do."""
    numbers: set[str] | None = None
    """The account's numbers; None: those that the network has."""
    addresses: dict[str, str] = field(default_factory=dict)
    """Of every number: voice_url, voice_fallback_url, status_callback."""
    state: str = "active"
    """Of the account: active, suspended, closed."""
    port: int = 0
    messages: Messages = field(init=False)
    reporter: Reporter = field(init=False)
    outgoing: Outgoing = field(init=False)
    """The calls that the account makes."""
    _plan: deque[Fault] = field(default_factory=deque)
    _go_on: asyncio.Event = field(default_factory=asyncio.Event)
    _closing: asyncio.Event = field(default_factory=asyncio.Event)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.messages = Messages(self.network)
        self.reporter = Reporter(self.network, self.messages, self._news.set)
        telephony = self.telephony or Telephony(network=self.network)
        self.outgoing = Outgoing(telephony=telephony, people=self.people, news=self._news.set)

    # -- for the test or the demo -----------------------------------------------------------

    @property
    def url(self) -> str:
        """For `api_url` of an account."""
        return f"http://127.0.0.1:{self.port}"

    def plan(self, *faults: Fault) -> None:
        """What happens to the next calls, each to one; with `on` to the next one of that."""
        self._plan.extend(faults)

    def report(self, *reports: Reports) -> None:
        """How the states of the next messages are told, each of one; of all others `reporter.usual`."""
        self.reporter.plan.extend(reports)

    def go_on(self) -> None:
        """Let what is late be done, now and from now on: calls, and reports."""
        self._go_on.set()
        self.reporter.go_on.set()

    def count(self, on: On) -> int:
        """How many calls there were."""
        return sum(call.on == on for call in self.calls)

    @property
    def sent(self) -> list[Message]:
        """What the account sent, in order."""
        return self.messages.made

    async def until(self, true: Callable[[], bool], *, within: float = 60.0) -> None:
        """Wait until something is true that calls or reports make so. Raises TimeoutError, with what there was."""
        try:
            async with asyncio.timeout(within):
                while not true():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise TimeoutError(f"not within {within:.0f} s; there was: {self._so_far()}") from None

    def _so_far(self) -> str:
        """What was asked for, and what became of it."""
        asked = [(call.on, call.fault, call.error) for call in self.calls]
        sent = [(one.to, one.status, one.body[:60]) for one in self.sent]
        made = [(one.to, one.status, one.ended) for one in self.outgoing.made]
        return f"requests {asked}, messages {sent}, calls {made}"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[TwilioApi]:
        """Serve on a free port of the loopback (or on `port`) until the end of the block."""
        site = web.Application()
        site.add_routes(
            [
                web.get(BASE + "/{account}.json", self._handler("account")),
                web.post(BASE + "/{account}/Messages.json", self._handler("create")),
                web.get(BASE + "/{account}/Messages.json", self._handler("list"), allow_head=False),
                web.post(BASE + "/{account}/Calls.json", self._handler("call")),
                web.get(BASE + "/{account}/Calls.json", self._handler("calls"), allow_head=False),
                web.get(BASE + "/{account}/IncomingPhoneNumbers.json", self._handler("numbers"), allow_head=False),
                web.get(BASE + "/{account}/Messages/{sid}.json", self._handler("fetch"), allow_head=False),
                *self.more,
            ]
        )
        runner = web.AppRunner(site, access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
        await runner.setup()
        self._closing.clear()
        port = socket.create_server(("127.0.0.1", self.port))
        try:
            await web.SockSite(runner, port).start()
            self.port = port.getsockname()[1]
            yield self
        finally:
            self._closing.set()
            await self.reporter.end()
            await self.outgoing.end()
            await close(runner, port)

    # -- the wire ---------------------------------------------------------------------------

    def _handler(self, on: On) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            return await self._answered(on, request)

        return handle

    async def _answered(self, on: On, request: web.Request) -> web.StreamResponse:
        fault = next((one for one in self._plan if one.on in ("", on)), None)
        if fault is not None:
            self._plan.remove(fault)
        try:
            fields = await request.post() if request.method == "POST" else request.query
            said = tuple((name, str(value)) for name, value in fields.items())
            self._note(Call(on=on, fields=said, fault=fault.kind if fault else None))
            if (early := await self._before(fault, request)) is not None:
                return early
            self._authorized(request)
            status, made = await self._done(on, request, dict(reversed(said)))
            return await self._given(fault, request, web.json_response(made, status=status))
        except ApiError as error:
            self.calls[-1] = replace(self.calls[-1], error=error.code)
            return web.json_response(error.shown(), status=error.status)
        except Gone:
            return web.Response()
        finally:
            self._news.set()

    def _own(self) -> frozenset[str]:
        return frozenset(self.numbers if self.numbers is not None else self.network.numbers())

    def _note(self, call: Call) -> None:
        self.calls.append(call)
        self._news.set()

    def _authorized(self, request: web.Request) -> None:
        """HTTP Basic with the account's SID and token."""
        wanted = base64.b64encode(f"{self.network.account_sid}:{self.network.token}".encode()).decode()
        if not hmac.compare_digest(request.headers.get("Authorization", ""), f"Basic {wanted}"):
            raise ApiError(401, 20003, "Authenticate")
        if request.match_info["account"] != self.network.account_sid:
            raise ApiError(404, 20404, "The requested resource was not found")

    async def _done(self, on: On, request: web.Request, said: dict[str, str]) -> tuple[int, object]:
        match on:
            case "create":
                return 201, await self._create(said)
            case "list":
                return 200, self._list(request, said)
            case "call":
                fields = await request.post()
                self._complain(unknown(list(said), calls_outgoing.CREATE, "call"))
                events = [str(one) for one in fields.getall("StatusCallbackEvent", [])]
                return 201, self.outgoing.create(said, events, self._own()).shown(self.network.account_sid)
            case "calls":
                return 200, self._calls(said)
            case "fetch":
                found = self.messages.find(request.match_info["sid"])
                if found is None:
                    raise ApiError(404, 20404, "The requested resource was not found")
                return 200, found.shown(self.network.account_sid)
            case "numbers":
                self._complain(unknown(list(said), NUMBERS, "numbers"))
                wanted = said.get("PhoneNumber", "")
                found_numbers = [
                    {"sid": f"PN{n:032x}", "phone_number": one, **self.addresses}
                    for n, one in enumerate(self._own())
                    if wanted in one
                ]
                return 200, {"incoming_phone_numbers": found_numbers, "next_page_uri": None}
            case _:
                return 200, {
                    "sid": self.network.account_sid,
                    "status": self.state,
                    "type": "Full",
                    "friendly_name": "d",
                }

    async def _create(self, said: dict[str, str]) -> object:
        self._complain(unknown(list(said), CREATE, "create"))
        check_create(said, self._own(), self.people)
        body = said.get("Body") or f"template {said.get('ContentSid')}: {said.get('ContentVariables', '')}"
        made = self.messages.send(said, body)
        shown = made.shown(self.network.account_sid)
        await self.reporter.begin(made, self.people)
        return shown

    def _list(self, request: web.Request, said: dict[str, str]) -> object:
        self._complain(unknown(list(said), LIST, "list"))
        check_list(said)
        size, page = int(said.get("PageSize", "50")), int(said.get("Page", "0"))
        found = self.messages.listed(said)
        shown = found[page * size : (page + 1) * size]
        token = f"PA{shown[-1].sid}" if shown else ""
        more = {**said, "PageSize": str(size), "Page": str(page + 1), "PageToken": token}
        path = f"{BASE}/{self.network.account_sid}/Messages.json"
        return {
            "messages": [one.shown(self.network.account_sid) for one in shown], "page": page, "page_size": size,
            "uri": request.raw_path, "first_page_uri": f"{path}?{urlencode({**said, 'Page': '0'})}",
            "next_page_uri": f"{path}?{urlencode(more)}" if len(found) > (page + 1) * size else None,
            "previous_page_uri": None, "start": page * size, "end": page * size + max(len(shown) - 1, 0),
        }  # fmt: skip

    def _calls(self, said: dict[str, str]) -> object:
        """Calls of the account's and those that came in, the newest first."""
        self._complain(unknown(list(said), calls_outgoing.LIST, "calls"))
        calls_outgoing.check_list(said)
        found = [one.shown(self.network.account_sid) for one in self.outgoing.listed(said)]
        found += self.outgoing.telephony.remembered.listed(said)
        found.sort(key=lambda one: parsedate_to_datetime(str(one["date_created"])), reverse=True)
        size, page = int(said.get("PageSize", "50")), int(said.get("Page", "0"))
        more = {**said, "PageSize": str(size), "Page": str(page + 1), "PageToken": f"PACA{page}"}
        path = f"{BASE}/{self.network.account_sid}/Calls.json"
        return {
            "calls": found[page * size : (page + 1) * size], "page": page, "page_size": size,
            "next_page_uri": f"{path}?{urlencode(more)}" if len(found) > (page + 1) * size else None,
            "previous_page_uri": None,
        }  # fmt: skip

    def _complain(self, complaint: str) -> None:
        if complaint:
            self.complaints.append(complaint)
            raise ApiError(400, 20001, complaint)

    # -- what goes wrong --------------------------------------------------------------------

    async def _before(self, fault: Fault | None, request: web.Request) -> web.Response | None:
        """The answer to a call that has no effect; None when it is to be done. Raises ApiError and Gone."""
        match fault.kind if fault is not None else "":
            case "too_many":
                raise ApiError(429, 20429, "Too Many Requests")
            case "error" if fault is not None:
                raise ApiError(fault.status, fault.code, fault.message)
            case "server":
                raise ApiError(500, 20500, "An internal server error has occurred")
            case "html":
                return web.Response(status=503, text=HTML, content_type="text/html")
            case "empty":
                return web.Response(status=200)
            case "reset":
                cut(request)
                raise Gone
            case "never":
                await self._closing.wait()
                raise Gone
            case "late":
                await self._go_on.wait()
        return None

    async def _given(self, fault: Fault | None, request: web.Request, answer: web.Response) -> web.StreamResponse:
        """The answer to a call that had its effect. Raises Gone when it is cut."""
        match fault.kind if fault is not None else "":
            case "mute":
                await self._closing.wait()
                raise Gone
            case "broken":
                return web.json_response(ApiError(500, 20500, "An internal error has occurred").shown(), status=500)
            case "lost":
                cut(request)
                raise Gone
            case "half":
                content = answer.body if isinstance(answer.body, bytes) else b""
                stream = web.StreamResponse(status=answer.status, headers={"Content-Type": "application/json"})
                stream.content_length = len(content)
                await stream.prepare(request)
                await stream.write(content[: len(content) // 2])
                cut(request)
                raise Gone
        return answer
