"""A store whose HTTP interface is described in the configuration (`rest_settings`); no single store is known here."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping, Sequence
from typing import Any

from channels.contract import Clock
from channels.credentials import reveal
from gateway.feeds import shapes
from gateway.feeds.contract import (
    Alter,
    CannotTell,
    Changes,
    FeedError,
    Finding,
    Open,
    Outcome,
    Pushed,
    Ref,
    Say,
    Write,
)
from gateway.feeds.kind import Wiring
from gateway.feeds.rest_expressions import Values, filling, read
from gateway.feeds.rest_reading import SHORT, Reading, failed
from gateway.feeds.rest_settings import Call, Find, Making, OpenCall, RestFeed
from gateway.feeds.settings import FeedSettings
from gateway.feeds.wire import Answer, Unanswered, Unsent, Wire, not_reached

GONE = frozenset({404, 410})


class DescribedRest:
    """`contract.Feed`."""

    def __init__(self, settings: RestFeed, *, clock: Clock) -> None:
        """Raises KeyError or OSError for a secret that is absent."""
        self._settings, self._clock = settings, clock
        headers = {name: reveal(value) for name, value in settings.headers.items()}
        if settings.basic is not None:
            pair = f"{settings.basic.user}:{reveal(settings.basic.password)}".encode()
            headers["Authorization"] = "Basic " + base64.b64encode(pair).decode("ascii")
        self._wire = Wire(settings.url, headers=headers, seconds=settings.timeout.total_seconds())

    async def open(self) -> None:
        """Nothing to make ahead."""

    async def close(self) -> None:
        """As the contract says."""
        await self._wire.close()

    # -- out --------------------------------------------------------------------------------

    async def push(self, write: Write) -> Pushed:
        """As the contract says."""
        call = self._call(write)
        if call is None:
            return Pushed(
                outcome=Outcome.DONE, ref=_known(write), left_out=[f"no call for {type(write).__name__.lower()}"]
            )
        try:
            made = asyncio.to_thread(self._values, write) if shapes.blocks(write) else None
            values, left_out = self._values(write) if made is None else await made
            answer = await self._ask(call, values)
            if not answer.good:
                gone = answer.status in GONE and not isinstance(write, Open)
                return Pushed(outcome=Outcome.VANISHED, detail=answer.words()) if gone else answer.failure()
            said = _said(answer, always=isinstance(call, OpenCall))
            if why := failed(call, said):
                return Pushed(outcome=Outcome.REFUSED, detail=why)
            ref = _ref(call, said) if isinstance(call, OpenCall) else _known(write)
        except (Unsent, Unanswered) as error:
            return not_reached(error)
        except OSError as error:
            detail = f"a file cannot be read: {type(error).__name__}"
            return Pushed(outcome=Outcome.RETRY, detail=detail, of_ticket=True)
        except FeedError as error:
            return Pushed(outcome=Outcome.REFUSED, detail=str(error))
        if ref is None:
            detail = "the answer to `open` has no id where `open.id` looks for it"
            return Pushed(outcome=Outcome.RETRY, detail=detail, uncertain=True)
        return Pushed(outcome=Outcome.DONE, ref=ref, left_out=left_out)

    async def find(self, write: Write) -> Ref | CannotTell | None:
        """As the contract says."""
        call = self._call(write)
        asked = call.find if isinstance(call, Making) else None
        if asked is None:
            return None  # the store knows a repeat, or to do it twice does no harm
        try:
            answer = await self._ask(asked, {**self._common(write), "message": _key_of(write)})
            if answer.status in GONE:
                return None
            if not answer.good:
                return CannotTell(detail=answer.words())
            said = answer.json()
            if why := failed(asked, said):
                return CannotTell(detail=why)
            found = _ref(asked, said)
        except (Unsent, Unanswered, FeedError) as error:
            return CannotTell(detail=str(error))
        return found if isinstance(write, Open) or found is None else _known(write)

    async def undo(self, ref: Ref) -> Pushed:
        """As the contract says."""
        if self._settings.undo is None:
            return Pushed(outcome=Outcome.REFUSED, detail="there is no call `undo`: close the test ticket by hand")
        try:
            answer = await self._ask(
                self._settings.undo, {"ref": shapes.ref(ref), "now": shapes.instant(self._clock())}
            )
        except (Unsent, Unanswered) as error:
            return not_reached(error)
        except FeedError as error:
            return Pushed(outcome=Outcome.REFUSED, detail=str(error))
        return Pushed(outcome=Outcome.DONE) if answer.good else answer.failure()

    def _call(self, write: Write) -> Call | None:
        match write:
            case Open():
                return self._settings.open
            case Say():
                return self._settings.say
            case Alter():
                return self._settings.alter

    def _common(self, write: Write) -> dict[str, Any]:
        known = _known(write)
        return {
            "key": write.key,
            "ticket": shapes.ticket(write.ticket, self._settings.map),
            "ref": shapes.ref(known) if known else None,
            "now": shapes.instant(self._clock()),
            "fields": sorted(write.fields) if isinstance(write, Alter) else [],
        }

    def _values(self, write: Write) -> tuple[Values, list[str]]:
        """What templates may say, and what was left out. Blocks. Raises OSError."""
        values = self._common(write)
        left_out = [*shapes.unmapped(write.ticket, values["ticket"])]
        message, limit = shapes.message_of(write), self._settings.file_limit
        if message is not None:
            files = [shapes.file(each, limit=limit) for each in message.files]
            left_out += [f"{each.filename}: over {limit} bytes" for each in message.files if each.size > limit]
            values |= {"message": shapes.said(message, files=files), "files": files}
        return values, left_out

    async def _ask(self, call: Call, values: Values) -> Answer:
        """Raises Unsent, Unanswered and FeedError."""
        made = call.filled(values)
        return await self._wire.ask(call.method, made.path, query=made.query, headers=made.headers, json=made.body)

    # -- in ---------------------------------------------------------------------------------

    async def changes(self, cursor: str | None) -> Changes:
        """As the contract says."""
        call = self._settings.changes
        if call is None:
            return Changes(heard=(), cursor="")
        now = shapes.instant(self._clock())
        if cursor is None:
            return Changes(heard=(), cursor=str(filling(call.start)({"now": now})))
        try:
            answer = await self._ask(call, {"cursor": cursor, "now": now})
            if not answer.good:
                raise answer.trouble()
            said = answer.json()
        except (Unsent, Unanswered) as error:
            raise FeedError(str(error)) from None
        if why := failed(call, said):
            raise FeedError(why, again=False)
        return Reading(call, self._settings, self._clock).page(said, cursor)

    # -- looking ----------------------------------------------------------------------------

    async def check(self) -> Sequence[Finding]:
        """Asks by `ping`, else by the list of changes."""
        host = self._wire.host
        if self._settings.ping is None and self._settings.changes is None:
            what = f"{host}: there is no call that is harmless; describe one as `ping`"
            return [Finding(good=False, warning=True, what=what)]
        name = "ping" if self._settings.ping else "changes"
        try:
            if self._settings.ping is not None:
                answer = await self._ask(self._settings.ping, {"now": shapes.instant(self._clock())})
                if not answer.good:
                    raise answer.trouble()
                if why := failed(self._settings.ping, _said(answer, always=False)):
                    raise FeedError(why)
            else:
                # Where reading begins: a cursor need not be a time.
                found = await self.changes((await self.changes(None)).cursor)
                if found.odd:
                    raise FeedError(found.odd[0])
        except (Unsent, Unanswered) as error:
            mend = "is `url` right, and is it running?"
            return [Finding(good=False, what=f"{name}: {error}", mend=mend)]
        except FeedError as error:
            return [Finding(good=False, what=f"{name}: {error}", mend="compare its description with what it answers")]
        return [Finding(good=True, what=f"{host} answers `{name}`")]


def _known(write: Write) -> Ref | None:
    return None if isinstance(write, Open) else write.ref


def _key_of(write: Write) -> Mapping[str, str] | None:
    message = shapes.message_of(write)
    return None if message is None else {"key": message.key}


def _said(answer: Answer, *, always: bool) -> Any:
    """The body; an empty or other one is none where nothing is wanted of it. Raises Unanswered."""
    try:
        return answer.json()
    except Unanswered:
        if always:
            raise
        return None


def _ref(call: Find | OpenCall, said: Any) -> Ref | None:
    values = {"answer": said}
    found = read(call.id, values)
    if found in (None, "", [], {}):
        return None
    name = str(found)
    if len(name) > SHORT:
        raise FeedError(f"the id has more than {SHORT} characters", again=False)
    number = read(call.number, values) if call.number else None
    url = read(call.url, values) if call.url else None
    return Ref(id=name, number=str(number or name)[:64], url=str(url or ""))


def build(name: str, settings: FeedSettings, wiring: Wiring) -> DescribedRest:
    """For the registry."""
    if not isinstance(settings, RestFeed):
        raise TypeError(f"feed {name} is not described")
    return DescribedRest(settings, clock=wiring.clock)
