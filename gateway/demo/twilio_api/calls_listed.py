"""What the provider remembers of calls: those that came in, each by its SID, and what was recorded in it.

https://www.twilio.com/docs/voice/api/call-resource#read-multiple-call-resources,
https://www.twilio.com/docs/voice/api/call-resource#fetch-a-call-resource and
https://www.twilio.com/docs/voice/api/recording#read-multiple-recording-resources
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING

from aiohttp import web

from gateway.demo.twilio_api.calls_recordings import BASE, Recording, Recordings
from gateway.demo.twilio_api.messages_checks import ApiError

if TYPE_CHECKING:
    from gateway.demo.twilio_api.calls import Call

TIMES = frozenset({"StartTime", "EndTime"})
OVER = frozenset({"completed", "busy", "no-answer", "failed", "canceled"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """A call of which nothing is left but what is remembered."""

    sid: str
    about: Mapping[str, str]
    """Fields of the requests about it."""
    begun: datetime
    ended: datetime | None
    seconds: float
    status: str = "completed"
    recordings: Sequence[Recording] = ()


@dataclass(slots=True, kw_only=True)
class Remembered:
    """The calls of one account; `routes` are for `TwilioApi(more=…)`."""

    recordings: Recordings
    calls: list[Call]
    past: list[Past] = field(default_factory=list)
    """Beside them."""
    failing: int = 0
    """How many of the next requests are answered with 503."""
    asked: list[tuple[str, int]] = field(default_factory=list)
    """(path, status) of every request."""

    def came(
        self, *, sender: str, to: str, begun: datetime, seconds: int = 30, heard: Sequence[int] = (), **more: str
    ) -> str:
        """Somebody called, and nobody here knows. `heard`: seconds of each recording that another document made.
        `more`: fields of its requests, and `status`. Its SID."""
        sid, status = self.recordings.network.new_sid("CA"), more.pop("status", "completed")
        made = [self.recordings.make(self.recordings.network.new_sid("RE"), sid, each) for each in heard]
        about = {"From": sender, "To": to, "Direction": "inbound", **more}
        ended = begun + timedelta(seconds=seconds) if status in OVER else None
        self.past.append(
            Past(sid=sid, about=about, begun=begun, ended=ended, seconds=seconds, status=status, recordings=made)
        )
        return sid

    def listed(self, wanted: Mapping[str, str]) -> list[dict[str, object]]:
        """What came in and fits the filters, in any order. Times are compared by the day (UTC), as documented."""
        return [self._shown(one) for one in self._all() if _fits(one, wanted)]

    def routes(self) -> list[web.RouteDef]:
        """One call, and its recordings."""
        path = BASE + "/{account}/Calls/{sid}"
        return [
            web.get(path + ".json", self._call, allow_head=False),
            web.get(path + "/Recordings.json", self._recordings, allow_head=False),
        ]

    def _all(self) -> list[Call | Past]:
        return [*self.past, *self.calls]

    async def _call(self, request: web.Request) -> web.Response:
        return self._answered(request, whole=True)

    async def _recordings(self, request: web.Request) -> web.Response:
        return self._answered(request, whole=False)

    def _answered(self, request: web.Request, *, whole: bool) -> web.Response:
        try:
            call = self._found(request)
            answer = web.json_response(self._shown(call) if whole else self._listed(call))
        except ApiError as error:
            answer = web.json_response(error.shown(), status=error.status)
        self.asked.append((request.path, answer.status))
        return answer

    def _found(self, request: web.Request) -> Call | Past:
        """Raises ApiError."""
        self.recordings.admit(request)
        if self.failing:
            self.failing -= 1
            raise ApiError(503, 20503, "Service unavailable")
        mine = request.match_info["account"] == self.recordings.network.account_sid
        found = [one for one in self._all() if mine and one.sid == request.match_info["sid"]]
        if not found:
            raise ApiError(404, 20404, "The requested resource was not found")
        return found[0]

    def _shown(self, call: Call | Past) -> dict[str, object]:
        about, account = call.about, self.recordings.network.account_sid
        return {
            "sid": call.sid, "account_sid": account, "api_version": "2010-04-01", "to": about["To"],
            "from": about["From"], "direction": about["Direction"], "status": call.status,
            "start_time": _time(call.begun), "date_created": _time(call.begun), "end_time": _time(call.ended),
            "duration": None if call.ended is None else str(math.ceil(call.seconds)),
            "answered_by": None, "forwarded_from": about.get("ForwardedFrom"), "caller_name": about.get("CallerName"),
            "parent_call_sid": None, "price": None, "price_unit": "USD",
            "uri": f"{BASE}/{account}/Calls/{call.sid}.json",
        }  # fmt: skip

    def _listed(self, call: Call | Past) -> dict[str, object]:
        kept: Sequence[dict[str, object]] = [
            self.recordings.shown(one) for one in call.recordings if not one.deleted
        ]  # fmt: skip
        return {"recordings": list(reversed(kept)), "page": 0, "page_size": 50, "next_page_uri": None}


def _fits(call: Call | Past, wanted: Mapping[str, str]) -> bool:
    about = call.about
    names = all(wanted.get(name, about[name]) == about[name] for name in ("To", "From"))
    if about["Direction"] != "inbound" or not names or wanted.get("Status", call.status) != call.status:
        return False
    times = {"StartTime": call.begun, "EndTime": call.ended}
    return "ParentCallSid" not in wanted and all(
        _day_fits(times[name.rstrip("<>")], name[-1], value) for name, value in wanted.items() if name[:-1] in TIMES
    )


def _day_fits(at: datetime | None, compare: str, value: str) -> bool:
    day = "" if at is None else at.astimezone(UTC).date().isoformat()
    return bool(day) and {"<": day <= value[:10], ">": day >= value[:10]}[compare]


def _time(at: datetime | None) -> str | None:
    return None if at is None else format_datetime(at)
