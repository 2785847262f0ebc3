"""Calls of people to the account's numbers, led by the documents that the gateway answers with.

A call follows TwiML as the service does (https://www.twilio.com/docs/voice/twiml), with a clock of its own: time-outs
pass at once. What is not documented is taken so: keys behind the end of a Gather are lost; a person who hangs up in a
Dial still has its action asked for; the request to the other address carries the call's fields without the keys.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import urljoin
from xml.etree.ElementTree import Element

from aiohttp import web

from gateway.demo.twilio_api.calls_listed import Remembered
from gateway.demo.twilio_api.calls_person import Did, Doing, HungUp, Line, Person, Rung, Said, Silent
from gateway.demo.twilio_api.calls_recordings import Recording, Recordings
from gateway.demo.twilio_api.calls_reports import RFC_2822, Later, Manner, News, RecordingNews
from gateway.demo.twilio_api.calls_verbs import dial, gather, record, say
from gateway.demo.twilio_api.calls_web import Asked, CallError, CallWeb, Document
from gateway.demo.twilio_api.network import Network

MOST_DOCUMENTS = 300
REJECTED = {"busy": "busy", "rejected": "no-answer"}
"""Reason of a Reject -> the call's last status."""


class EndlessCall(Exception):
    """A call went on for more documents than any person would listen to."""


class _Over(Exception):
    """The call is ended by us."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """What is asked next."""

    url: str
    fields: Mapping[str, str] = field(default_factory=dict)
    method: str = "POST"


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """Where a call is led from."""

    url: str
    fallback: str
    status_url: str


@dataclass(slots=True, kw_only=True)
class Call:
    """One call, and what became of it."""

    sid: str
    about: Mapping[str, str]
    """Fields of every request but the status."""
    person: Person
    manner: Manner
    line: Line
    web: CallWeb
    status: str = "ringing"
    """CallStatus; the last one when it is over."""
    hung_up: bool = False
    """By the person."""
    errors: list[CallError] = field(default_factory=list)
    """Of documents that could not be followed."""
    recordings: list[Recording] = field(default_factory=list)
    begun: datetime | None = None
    ended: datetime | None = None
    """None: it goes on."""
    later: Later = field(init=False)
    """What is told beside its documents."""
    documents: int = 0
    """How many it asked for."""
    _doings: Iterator[Doing] = field(init=False)
    _rung: Iterator[Rung] = field(init=False)
    _minded: int = 0
    """How much of what was said they have thought of."""

    def __post_init__(self) -> None:
        self._doings, self._rung = iter(self.person.doings), iter(self.person.rung)
        self.later = Later(CallWeb(self.web.network))

    @property
    def said(self) -> list[Said]:
        """Everything that was heard, in order."""
        return self.line.said

    @property
    def story(self) -> list[Said | Did]:
        """The same, with what they did in between."""
        return self.line.story

    @property
    def words(self) -> str:
        """What was said to them, without sounds."""
        return "\n".join(one.words for one in self.said if one.kind == "say")

    @property
    def asked(self) -> list[Asked]:
        """The requests for its documents."""
        return self.web.asked

    @property
    def told(self) -> list[Asked]:
        """The requests beside those: recordings, transcripts, its end."""
        return self.later.web.asked

    @property
    def seconds(self) -> float:
        """How long it lasted by its own clock."""
        return self.line.elapsed

    @property
    def codes(self) -> list[str]:
        """Numbers of its errors."""
        return [error.code for error in self.errors]

    def standard(self) -> dict[str, str]:
        """Fields that every request has: https://www.twilio.com/docs/voice/twiml#request-parameters"""
        return {**self.about, "CallStatus": self.status}

    def doing(self, verb: Element) -> Doing:
        """What the person does at this verb, by what they heard since the last one and hear in it."""
        fresh = [one.words for one in self.said[self._minded :]]
        heard = " ".join([*fresh, *("".join(verb.itertext()).split())])
        return next((does for part, does in self.person.knows if part in heard), None) or next(self._doings, Silent())

    def done(self) -> None:
        """What was said so far is dealt with."""
        self._minded = len(self.said)

    def rung(self) -> Rung:
        """What comes of ringing somebody now."""
        return next(self._rung, Rung())


@dataclass(slots=True, kw_only=True)
class Telephony:
    """The calls of one account. Its `routes` are for `TwilioApi(more=…)`; then `recordings.api_url` is set."""

    network: Network
    recordings: Recordings = field(init=False)
    calls: list[Call] = field(default_factory=list)
    """In the order in which they began."""
    remembered: Remembered = field(init=False)
    """What can be asked about them."""
    _numbers: dict[str, Number] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.recordings = Recordings(network=self.network)
        self.remembered = Remembered(recordings=self.recordings, calls=self.calls)

    def number(self, number: str, url: str, *, fallback: str = "", status_url: str = "") -> None:
        """Calls to this number are led from this address; their end is told to `status_url` ("": nowhere)."""
        self._numbers[number] = Number(url=url, fallback=fallback, status_url=status_url)

    def routes(self) -> list[web.RouteDef]:
        """Recordings, and what is remembered of calls."""
        return [*self.recordings.routes(), *self.remembered.routes()]

    async def call(
        self, person: Person | None = None, *, sender: str, to: str, manner: Manner | None = None, sid: str = "",
        direction: str = "inbound", led: Number | None = None, **more: str,
    ) -> Call:  # fmt: skip
        """Somebody calls, and it is over when this returns; `more` adds to the fields of its requests. `led`: where a
        call of the account's own is led from, which was taken up.

        Raises EndlessCall.
        """
        person, sid = person or Person(), sid or self.network.new_sid("CA")
        placed = Call(
            sid=sid, person=person, manner=manner or Manner(), line=Line(leave_at=person.leave_at),
            web=CallWeb(self.network), begun=self.network.clock(),
            about=_about(self.network.account_sid, sid, sender, to, direction, more),
        )  # fmt: skip
        self.calls.append(placed)
        ours = led or self._numbers[to if direction == "inbound" else sender]
        placed.status = "ringing" if led is None else "in-progress"
        try:
            await self._followed(placed, ours)
        except HungUp:
            placed.hung_up = True
            placed.line.story.append(Did(kind="hang_up"))
            placed.status = "no-answer" if placed.status == "ringing" else "completed"
        except (_Over, CallError):
            placed.status = placed.status if placed.status in REJECTED.values() else "completed"
        placed.ended = self.network.clock()
        self._tell_end(placed, ours)
        await placed.later.settle("before", "after", "end")
        return placed

    def ended_in_vain(self, sid: str, sender: str, to: str, status: str) -> dict[str, str]:
        """What is told of a call of the account's that nobody took up."""
        about = _about(self.network.account_sid, sid, sender, to, "outbound-api", {"CallStatus": status})
        now = self.network.clock().strftime(RFC_2822)
        return {**about, "CallDuration": "0", "Timestamp": now, "SequenceNumber": "0",
                "CallbackSource": "call-progress-events"}  # fmt: skip

    async def settle(self) -> None:
        """Tell what is held."""
        for call in self.calls:
            await call.later.settle("held")

    # -- documents --------------------------------------------------------------------------

    async def _followed(self, call: Call, ours: Number) -> None:
        """Raises HungUp, _Over, CallError and EndlessCall; a call always ends in one of them."""
        step = _Step(url=ours.url)
        for _ in range(MOST_DOCUMENTS):
            document = await self._fetched(call, step, ours)
            await call.later.settle("before", "after")
            if call.status == "ringing" and not _rejects(document):
                call.status = "in-progress"
            following = await self._performed(call, document)
            if following is None:
                raise _Over  # The document ended, and with it the call.
            step = following
        raise EndlessCall(f"{MOST_DOCUMENTS} documents, the last one from {document.url}")

    async def _fetched(self, call: Call, step: _Step, ours: Number) -> Document:
        """What is next, or what the other address has. Raises HungUp and CallError."""
        try:
            return await self._document(call, step)
        except CallError as error:
            call.errors.append(error)
            if not ours.fallback:
                raise
            failed = _Step(url=ours.fallback, fields={"ErrorCode": error.code, "ErrorUrl": error.url})
            try:
                return await self._document(call, failed)
            except CallError as second:
                call.errors.append(second)
                raise

    async def _document(self, call: Call, step: _Step) -> Document:
        call.documents += 1
        leaves = call.person.leave_asking == call.documents
        try:
            fields = tuple({**call.standard(), **step.fields}.items())
            document = await call.web.document(step.url, fields, step.method)
        except CallError:
            if leaves:
                raise HungUp from None
            raise
        if leaves:
            raise HungUp
        return document

    async def _performed(self, call: Call, document: Document) -> _Step | None:
        """What is asked next; None when the document is at its end. Raises HungUp and _Over."""
        for verb in document.root:
            match verb.tag:
                case "Hangup":
                    raise _Over
                case "Reject":
                    if call.status == "ringing":
                        call.status = REJECTED[verb.get("reason", "rejected")]
                    raise _Over
                case "Redirect":
                    target = (verb.text or "").strip()
                    return _Step(url=urljoin(document.url, target), method=verb.get("method", "POST"))
                case "Gather":
                    step = _gathered(call, verb, document.url)
                case "Record":
                    step = await self._recorded(call, verb, document.url)
                case "Dial":
                    step = await self._dialled(call, verb, document.url)
                case _:
                    say([verb], call.line)
                    step = None
            if step is not None:
                return step
        return None

    # -- verbs that ask ---------------------------------------------------------------------

    async def _recorded(self, call: Call, verb: Element, base: str) -> _Step | None:
        """Silence asks for nothing."""
        sid = self.network.new_sid("RE")
        news = RecordingNews(
            verb=verb, base=base, standard=call.standard(), later=call.later, manner=call.manner, sid=sid,
            url=self.recordings.url(sid),
        )  # fmt: skip
        news.begun()
        try:
            heard = record(verb, call.doing(verb), call.line)
        except HungUp:
            news.absent()
            raise
        call.done()
        if heard is None:
            news.absent()
            await call.later.settle("before", "after")
            return None
        made = self.recordings.make(sid, call.sid, heard.seconds, heard.sound)
        call.recordings.append(made)
        news.completed(made, self.network.new_sid("TR"))
        await call.later.settle("before")
        fields = {
            "RecordingUrl": news.url, "RecordingSid": sid,
            "RecordingDuration": str(made.seconds), "Digits": heard.digits,
        }  # fmt: skip
        step = _action(verb, base, fields)
        if heard.hung_up:
            await self._asked_in_vain(call, step)
        return step

    async def _dialled(self, call: Call, verb: Element, base: str) -> _Step | None:
        """Without an action it goes on behind it."""
        came = dial(verb, call.rung(), call.line)
        fields = {"DialCallStatus": came.outcome, "DialCallSid": self.network.new_sid("CA")}
        if came.outcome == "completed":
            fields["DialCallDuration"] = str(round(came.seconds))
        step = _action(verb, base, fields) if "action" in verb.attrib else None
        if came.hung_up:
            await self._asked_in_vain(call, step)
        return step

    async def _asked_in_vain(self, call: Call, step: _Step | None) -> None:
        """The person hung up: the request comes still, and nobody hears the answer. Raises HungUp."""
        call.status = "completed"
        if step is not None:
            fields = tuple({**call.standard(), **step.fields}.items())
            await call.web.tell(step.url, fields, step.method)
        raise HungUp

    def _tell_end(self, call: Call, ours: Number) -> None:
        if not ours.status_url:
            return
        seconds = math.ceil(call.seconds)
        ended = self.network.clock() + timedelta(seconds=seconds)
        fields = {
            **call.standard(), "CallDuration": str(seconds), "Duration": str(math.ceil(seconds / 60)),
            "Timestamp": ended.strftime(RFC_2822), "SequenceNumber": "0",
            "CallbackSource": "call-progress-events", "SipResponseCode": "200",
        }  # fmt: skip
        if call.recordings:
            last = call.recordings[-1]
            fields |= {
                "RecordingSid": last.sid, "RecordingUrl": self.recordings.url(last.sid),
                "RecordingDuration": str(last.seconds),
            }  # fmt: skip
        call.later.add(News(url=ours.status_url, fields=tuple(fields.items()), told=call.manner.ended))


def _about(account: str, sid: str, sender: str, to: str, direction: str, more: Mapping[str, str]) -> dict[str, str]:
    places = {f"{who}{what}": "" for who in ("From", "To", "Caller", "Called") for what in ("City", "State", "Zip")}
    countries = {f"{who}Country": "UA" for who in ("From", "To", "Caller", "Called")}
    return {
        "CallSid": sid, "AccountSid": account, "From": sender, "To": to, "Caller": sender, "Called": to,
        "ApiVersion": "2010-04-01", "Direction": direction, **places, **countries, **more,
    }  # fmt: skip


def _rejects(document: Document) -> bool:
    return bool(len(document.root)) and document.root[0].tag == "Reject"


def _gathered(call: Call, verb: Element, base: str) -> _Step | None:
    """Without a key nothing is asked, unless the verb says so."""
    found = gather(verb, call.doing(verb), call.line)
    call.done()
    if not found.digits and verb.get("actionOnEmptyResult") != "true":
        return None
    fields = {"Digits": found.digits, "msg": "Gather End"}
    return _action(verb, base, {**fields, "FinishedOnKey": found.finished_on} if found.finished_on else fields)


def _action(verb: Element, base: str, fields: Mapping[str, str]) -> _Step:
    """The verb's action; without one the document is asked for again."""
    return _Step(url=urljoin(base, verb.get("action", base)), fields=fields, method=verb.get("method", "POST"))
