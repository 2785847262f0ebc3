"""What the provider remembers of calls: each by its SID, and what was recorded in it.

https://www.twilio.com/docs/voice/api/call-resource#fetch-a-call-resource and
https://www.twilio.com/docs/voice/api/recording#read-multiple-recording-resources
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING

from aiohttp import web

from gateway.demo.twilio_api.calls_recordings import BASE, Recordings
from gateway.demo.twilio_api.messages_checks import ApiError

if TYPE_CHECKING:
    from gateway.demo.twilio_api.calls import Call


@dataclass(slots=True, kw_only=True)
class Remembered:
    """The calls of one account; `routes` are for `TwilioApi(more=…)`."""

    recordings: Recordings
    calls: list[Call]
    failing: int = 0
    """How many of the next requests are answered with 503."""
    asked: list[tuple[str, int]] = field(default_factory=list)
    """(path, status) of every request."""

    def routes(self) -> list[web.RouteDef]:
        """One call, and its recordings."""
        path = BASE + "/{account}/Calls/{sid}"
        return [
            web.get(path + ".json", self._call, allow_head=False),
            web.get(path + "/Recordings.json", self._recordings, allow_head=False),
        ]

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

    def _found(self, request: web.Request) -> Call:
        """Raises ApiError."""
        self.recordings.admit(request)
        if self.failing:
            self.failing -= 1
            raise ApiError(503, 20503, "Service unavailable")
        mine = request.match_info["account"] == self.recordings.network.account_sid
        found = [one for one in self.calls if mine and one.sid == request.match_info["sid"]]
        if not found:
            raise ApiError(404, 20404, "The requested resource was not found")
        return found[0]

    def _shown(self, call: Call) -> dict[str, object]:
        about, account = call.about, self.recordings.network.account_sid
        return {
            "sid": call.sid, "account_sid": account, "api_version": "2010-04-01", "to": about["To"],
            "from": about["From"], "direction": about["Direction"], "status": call.status,
            "start_time": _time(call.begun), "end_time": _time(call.ended),
            "duration": None if call.ended is None else str(math.ceil(call.seconds)),
            "answered_by": None, "forwarded_from": about.get("ForwardedFrom"), "caller_name": about.get("CallerName"),
            "parent_call_sid": None, "price": None, "price_unit": "USD",
            "uri": f"{BASE}/{account}/Calls/{call.sid}.json",
        }  # fmt: skip

    def _listed(self, call: Call) -> dict[str, object]:
        kept: Sequence[dict[str, object]] = [
            self.recordings.shown(one) for one in call.recordings if not one.deleted
        ]  # fmt: skip
        return {"recordings": list(reversed(kept)), "page": 0, "page_size": 50, "next_page_uri": None}


def _time(at: datetime | None) -> str | None:
    return None if at is None else format_datetime(at)
