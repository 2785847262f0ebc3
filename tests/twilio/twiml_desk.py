"""A small gateway of its own that answers calls with the documents it was given, and notes what it was asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeAlias

from aiohttp import web
from twilio.request_validator import RequestValidator

from gateway.demo.twilio_api import Call, Manner, Network, Person, Telephony, TwilioApi
from tests.twilio.provider import ANNA, ANSWERED, OURS, SID, TOKEN

Answer: TypeAlias = str | Callable[[web.Request], Awaitable[web.StreamResponse]]
BEGUN = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)


@dataclass(slots=True, kw_only=True)
class Desk:
    """Documents by path, without <Response> around them; everything else is answered with 204."""

    telephony: Telephony
    api: TwilioApi
    url: str = ""
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    """(path with its query, fields of the form or of the query) of every request, in order."""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Every path; the signature must be right by Twilio's own library."""
        form = await request.post()
        validator = RequestValidator(TOKEN)
        signed = request.headers["X-Twilio-Signature"]
        assert validator.validate(f"{self.url}{request.raw_path}", form, signed), request.raw_path
        fields = {name: str(value) for name, value in (form or request.query).items()}
        self.asked.append((request.raw_path if form else request.path, fields))
        answer = self.answers.get(request.path)
        if answer is None:
            return web.Response(status=204)
        if callable(answer):
            return await answer(request)
        return web.Response(text=f"<Response>{answer}</Response>", content_type="text/xml")

    async def call(self, *doings: object, person: Person | None = None, manner: Manner | None = None,
                   **more: str) -> Call:  # fmt: skip
        """Anna calls, and does this."""
        person = person or Person(doings=doings)  # type: ignore[arg-type]
        return await self.telephony.call(person, sender=ANNA, to=OURS, manner=manner, **more)

    def fields(self, path: str) -> list[dict[str, str]]:
        """What came to a path."""
        return [fields for asked, fields in self.asked if asked.partition("?")[0] == path]

    def paths_and_end(self) -> list[str]:
        """What was asked for."""
        return [path for path, _ in self.asked]

    @property
    def paths(self) -> list[str]:
        """What was asked for, but the end of calls."""
        return [path for path, _ in self.asked if path != "/ended"]


@asynccontextmanager
async def twiml_desk(*, patience: float = ANSWERED, fallback: bool = False, **answers: Answer) -> AsyncIterator[Desk]:
    """A running one: `begin` is asked for first, `rescue` is the other address; seconds for an answer."""
    network = Network(account_sid=SID, token=TOKEN, timeout=patience, clock=lambda: BEGUN)
    telephony = Telephony(network=network)
    desk = Desk(telephony=telephony, api=TwilioApi(network, more=telephony.routes()))
    desk.answers = {f"/{name}": answer for name, answer in answers.items()}
    site = web.Application()
    site.router.add_route("*", "/{path:.*}", desk.handle)
    runner = web.AppRunner(site, access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
    async with desk.api.running() as api:
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            desk.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            telephony.recordings.api_url = api.url
            telephony.number(OURS, f"{desk.url}/begin", fallback=f"{desk.url}/rescue" if fallback else "",
                             status_url=f"{desk.url}/ended")  # fmt: skip
            yield desk
        finally:
            await runner.cleanup()
