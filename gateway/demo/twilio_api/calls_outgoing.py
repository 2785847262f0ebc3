"""Calls that the account makes: created and listed by the API, and then a telephone rings somewhere.

https://www.twilio.com/docs/voice/api/call-resource, https://www.twilio.com/docs/voice/answering-machine-detection and
https://www.twilio.com/docs/api/errors. The call goes on beside the answer to the request that made it, and is led
by its documents as any other. One that is not dialled yet has no time of its start. Calls that came in are in
`calls_listed`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

from gateway.demo.twilio_api.calls import Number, Telephony
from gateway.demo.twilio_api.calls_person import Person
from gateway.demo.twilio_api.calls_reports import Manner
from gateway.demo.twilio_api.calls_web import CallWeb
from gateway.demo.twilio_api.messages_checks import ApiError, Fields, People

CREATE = frozenset(
    (
        "To", "From", "Method", "FallbackUrl", "FallbackMethod", "StatusCallback", "StatusCallbackEvent",
        "StatusCallbackMethod", "SendDigits", "Timeout", "Record", "RecordingChannels", "RecordingStatusCallback",
        "RecordingStatusCallbackMethod", "SipAuthUsername", "SipAuthPassword", "MachineDetection",
        "MachineDetectionTimeout", "RecordingStatusCallbackEvent", "Trim", "CallerId",
        "MachineDetectionSpeechThreshold", "MachineDetectionSpeechEndThreshold", "MachineDetectionSilenceTimeout",
        "AsyncAmd", "AsyncAmdStatusCallback", "AsyncAmdStatusCallbackMethod", "Byoc", "CallReason", "CallToken",
        "RecordingTrack", "TimeLimit", "Url", "Twiml", "ApplicationSid",
    )
)  # fmt: skip
"""Of POST …/Calls.json."""
TIMES = ("StartTime", "StartTime<", "StartTime>", "EndTime", "EndTime<", "EndTime>")
LIST = frozenset(("To", "From", "ParentCallSid", "Status", *TIMES, "PageSize", "Page", "PageToken"))
"""Of GET …/Calls.json."""
EVENTS = frozenset(("initiated", "ringing", "answered", "completed"))
Answers: TypeAlias = Literal["person", "machine", "fax", "busy", "no-answer", "failed", "canceled"]
ANSWERED_BY: Mapping[Answers, str] = {"person": "human", "machine": "machine_start", "fax": "fax"}
"""Who takes a call up -> as it is told where that was to be found out."""
_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rings:
    """What comes of a telephone that rings."""

    answers: Answers = "no-answer"
    person: Person = field(default_factory=Person)
    """What is done by who takes it up."""
    manner: Manner = field(default_factory=Manner)
    """How its end is told."""
    wait: bool = False
    """It rings only when `Outgoing.go_on` is set."""


@dataclass(slots=True, kw_only=True)
class Made:
    """A call of the account's."""

    sid: str
    asked: Fields
    """What the request said that made it."""
    events: frozenset[str]
    """Of its progress that are told."""
    created: datetime
    status: str = "queued"
    started: datetime | None = None
    ended: datetime | None = None
    answered_by: str = ""

    @property
    def to(self) -> str:
        """Whom."""
        return self.asked["To"]

    def shown(self, account_sid: str) -> dict[str, object]:
        """As JSON has it."""
        uri = f"/2010-04-01/Accounts/{account_sid}/Calls/{self.sid}.json"
        started, ended = (None if at is None else format_datetime(at) for at in (self.started, self.ended))
        return {
            "sid": self.sid, "account_sid": account_sid, "api_version": "2010-04-01", "to": self.to,
            "from": self.asked["From"], "direction": "outbound-api", "status": self.status, "start_time": started,
            "end_time": ended, "duration": None, "answered_by": self.answered_by or None, "price": None,
            "price_unit": "USD", "date_created": format_datetime(self.created),
            "date_updated": format_datetime(self.ended or self.started or self.created), "parent_call_sid": None,
            "caller_name": None, "forwarded_from": None, "group_sid": None, "uri": uri,
        }  # fmt: skip


@dataclass(slots=True, kw_only=True)
class Outgoing:
    """The calls that one account makes."""

    telephony: Telephony
    people: People
    telephones: dict[str, list[Rings]] = field(default_factory=dict)
    """Number -> what comes of each call to it in turn, the last one for ever; nobody answers at others."""
    made: list[Made] = field(default_factory=list)
    """In the order in which they were made."""
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    news: Callable[[], None] = lambda: None
    """Called when a call is over."""
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def create(self, said: Fields, events: Sequence[str], numbers: frozenset[str]) -> Made:
        """A call that will be dialled soon. Raises ApiError."""
        _check(said, events, numbers, self.people)
        network = self.telephony.network
        now = network.clock().astimezone(UTC).replace(microsecond=0)
        told = frozenset(events) or frozenset(("completed",))
        made = Made(sid=network.new_sid("CA"), asked=dict(said), events=told, created=now)
        self.made.append(made)
        task = asyncio.create_task(self._ring(made, self._rings(made.to)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return made

    def to(self, number: str) -> list[Made]:
        """Those to one number."""
        return [one for one in self.made if one.to == number]

    def listed(self, wanted: Fields) -> list[Made]:
        """Those that fit the filters, the newest first. Times are compared by the day (UTC), as documented."""
        tests = [test(value) for name, test in _FILTERS.items() if (value := wanted.get(name))]
        return [one for one in reversed(self.made) if all(holds(one) for holds in tests)]

    async def end(self) -> None:
        """No call goes on."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _rings(self, number: str) -> Rings:
        waiting = self.telephones.get(number, [Rings()])
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]

    async def _ring(self, made: Made, rings: Rings) -> None:
        if rings.wait:
            await self.go_on.wait()
        # The answer to the request that made it is on its way.
        await asyncio.sleep(0)
        clock = self.telephony.network.clock
        made.started, made.status = clock().astimezone(UTC), "ringing"
        try:
            if rings.answers in ANSWERED_BY:
                await self._led(made, rings)
            else:
                made.status = rings.answers
                await self._tell_end(made, rings)
        finally:
            made.ended = clock().astimezone(UTC)
            self.news()

    async def _led(self, made: Made, rings: Rings) -> None:
        made.status = "in-progress"
        more = {}
        if made.asked.get("MachineDetection"):
            made.answered_by = more["AnsweredBy"] = ANSWERED_BY[rings.answers]
        told = made.asked.get("StatusCallback", "") if "completed" in made.events else ""
        led = Number(url=made.asked["Url"], fallback=made.asked.get("FallbackUrl", ""), status_url=told)
        call = await self.telephony.call(
            rings.person, sender=made.asked["From"], to=made.to, sid=made.sid, direction="outbound-api", led=led,
            manner=rings.manner, **more,
        )  # fmt: skip
        made.status = call.status

    async def _tell_end(self, made: Made, rings: Rings) -> None:
        url = made.asked.get("StatusCallback", "")
        if not url or "completed" not in made.events or rings.manner.ended.when == "never":
            return
        fields = self.telephony.ended_in_vain(made.sid, made.asked["From"], made.to, made.status)
        web = CallWeb(self.telephony.network)
        copies = [web.tell(url, tuple(fields.items())) for _ in range(2 if rings.manner.ended.twice else 1)]
        await asyncio.gather(*copies)


def check_list(said: Fields) -> None:
    """Raises ApiError for filters that are none."""
    size = said.get("PageSize", "50")
    if not size.isdigit() or not 1 <= int(size) <= 1000:
        raise ApiError(400, 20001, "PageSize is a number from 1 to 1000")
    if any(not re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", said[name]) for name in TIMES if name in said):
        raise ApiError(400, 20001, "a time is no date")


def _check(said: Fields, events: Sequence[str], numbers: frozenset[str], people: People) -> None:
    ours, theirs = said.get("From", ""), said.get("To", "")
    for fits, code, message in (
        (bool(theirs), 21201, "No 'To' number is specified"),
        (bool(ours), 21213, "No 'From' number is specified"),
        (bool(_NUMBER.fullmatch(theirs)), 21211, f"The phone number to call, {theirs}, is not valid."),
        (bool(_NUMBER.fullmatch(ours)), 21212, f"The source phone number provided, {ours}, is not valid."),
        (ours in numbers, 21210, f"The source phone number provided, {ours}, is not yet verified for your account."),
        (_is_url(said.get("Url", "")), 21205, "Url is not a valid URL"),
        (_is_url(said.get("StatusCallback", "http://none.example")), 21609, "StatusCallback is not a valid URL"),
        (set(events) <= EVENTS, 21626, "Invalid status callback events"),
        (said.get("MachineDetection", "Enable") in ("Enable", "DetectMessageEnd"), 20001, "no such MachineDetection"),
        (_is_count(said.get("Timeout", "60"), 600), 20001, "Timeout is a number from 1 to 600"),
        (_is_count(said.get("TimeLimit", "60"), 86_400), 20001, "TimeLimit is a number from 1 to 86400"),
        (theirs not in people.missing, 21211, f"The phone number to call, {theirs}, is not valid."),
        (not theirs.startswith(tuple(people.refused_prefixes)), 21215, f"Account not authorized to call {theirs}."),
        (theirs not in people.refused_calls, 21216, f"Account not allowed to call {theirs}"),
    ):  # fmt: skip
        if not fits:
            raise ApiError(400, code, message)


def _is_url(said: str) -> bool:
    parts = urlsplit(said)
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _is_count(said: str, most: int) -> bool:
    return said.isascii() and said.isdigit() and 1 <= int(said) <= most


Test: TypeAlias = Callable[[Made], bool]


def _day(of: Callable[[Made], datetime | None], compare: Callable[[str, str], bool]) -> Callable[[str], Test]:
    """What has no such time yet is in no list by it."""

    def wanted(value: str) -> Test:
        return lambda one: (at := of(one)) is not None and compare(at.date().isoformat(), value[:10])

    return wanted


_FILTERS: Mapping[str, Callable[[str], Test]] = {
    "To": lambda value: lambda one: one.to == value,
    "From": lambda value: lambda one: one.asked["From"] == value,
    "Status": lambda value: lambda one: one.status == value,
    "ParentCallSid": lambda value: lambda one: False,
    "StartTime": _day(lambda one: one.started, lambda have, want: have == want),
    "StartTime<": _day(lambda one: one.started, lambda have, want: have <= want),
    "StartTime>": _day(lambda one: one.started, lambda have, want: have >= want),
    "EndTime": _day(lambda one: one.ended, lambda have, want: have == want),
    "EndTime<": _day(lambda one: one.ended, lambda have, want: have <= want),
    "EndTime>": _day(lambda one: one.ended, lambda have, want: have >= want),
}
