"""Recordings of calls: given out with the account's password, sometimes not there yet, and deleted on demand.

https://www.twilio.com/docs/voice/api/recording
"""

from __future__ import annotations

import base64
import hmac
import io
import wave
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime

from aiohttp import web

from gateway.demo.twilio_api.messages_checks import ApiError
from gateway.demo.twilio_api.network import Network

BASE = "/2010-04-01/Accounts"
RATE = 8000
_FRAME = b"\xff\xf3\x10\xc4" + b"\0" * 44
"""A silent frame of MPEG-2 layer III: 16 kbit/s, 24 kHz, 576 samples, 48 bytes."""
_FRAMES_A_SECOND = 24_000 / 576


@dataclass(slots=True, kw_only=True)
class Recording:
    """One recording."""

    sid: str
    call_sid: str
    seconds: int
    created: datetime
    sound: bytes = b""
    """b"": a file is made when it is asked for."""
    missing: int = 0
    """How many of the next requests for it are answered with 404."""
    deleted: bool = False
    status: str = "completed"


@dataclass(slots=True, kw_only=True)
class Recordings:
    """Those of one account; `routes` are for `TwilioApi(more=…)`."""

    network: Network
    api_url: str = ""
    """Of the server that has the routes."""
    kept: dict[str, Recording] = field(default_factory=dict)
    missing: int = 0
    """`Recording.missing` of new ones."""
    asked: list[tuple[str, str, int]] = field(default_factory=list)
    """(method, path, status) of every request."""

    def make(self, sid: str, call_sid: str, seconds: float, sound: bytes = b"") -> Recording:
        """Keep a new one."""
        made = Recording(
            sid=sid, call_sid=call_sid, seconds=max(1, round(seconds)), sound=sound,
            created=self.network.clock(), missing=self.missing,
        )  # fmt: skip
        self.kept[made.sid] = made
        return made

    def url(self, sid: str) -> str:
        """RecordingUrl: without an ending it gives the sound as WAV."""
        return f"{self.api_url}{BASE}/{self.network.account_sid}/Recordings/{sid}"

    def routes(self) -> list[web.RouteDef]:
        """The sound, what is known of it, and its end."""
        path = BASE + "/{account}/Recordings/{name}"
        return [web.get(path, self._get, allow_head=False), web.delete(path, self._delete)]

    async def _get(self, request: web.Request) -> web.Response:
        return self._answered(request, self._given)

    async def _delete(self, request: web.Request) -> web.Response:
        return self._answered(request, _gone)

    def _answered(self, request: web.Request, act: Callable[[Recording, str], web.Response]) -> web.Response:
        try:
            found, kind = self._found(request)
            answer = act(found, kind)
        except ApiError as error:
            answer = web.json_response(error.shown(), status=error.status)
        self.asked.append((request.method, request.path, answer.status))
        return answer

    def admit(self, request: web.Request) -> None:
        """The account's password is there. Raises ApiError."""
        wanted = base64.b64encode(f"{self.network.account_sid}:{self.network.token}".encode()).decode()
        if not hmac.compare_digest(request.headers.get("Authorization", ""), f"Basic {wanted}"):
            raise ApiError(401, 20003, "Authenticate")

    def _found(self, request: web.Request) -> tuple[Recording, str]:
        """Raises ApiError."""
        self.admit(request)
        sid, _, kind = request.match_info["name"].partition(".")
        found = self.kept.get(sid) if request.match_info["account"] == self.network.account_sid else None
        if found is not None and found.missing and request.method == "GET":
            found.missing -= 1
            found = None
        if found is None or found.deleted:
            raise ApiError(404, 20404, "The requested resource was not found")
        return found, kind

    def shown(self, found: Recording) -> dict[str, object]:
        """As JSON has it."""
        return {
            "sid": found.sid, "account_sid": self.network.account_sid, "call_sid": found.call_sid,
            "duration": str(found.seconds), "channels": 1, "source": "RecordVerb", "status": found.status,
            "date_created": format_datetime(found.created), "error_code": None, "price": None,
            "uri": f"{BASE}/{self.network.account_sid}/Recordings/{found.sid}.json",
        }  # fmt: skip

    def _given(self, found: Recording, kind: str) -> web.Response:
        match kind:
            case "" | "wav":
                return web.Response(body=found.sound or tone(found.seconds), content_type="audio/x-wav")
            case "mp3":
                content = found.sound or _FRAME * round(found.seconds * _FRAMES_A_SECOND)
                return web.Response(body=content, content_type="audio/mpeg")
            case "json":
                return web.json_response(self.shown(found))
            case _:
                raise ApiError(404, 20404, "The requested resource was not found")


def tone(seconds: int) -> bytes:
    """A WAV of so many seconds: 8 kHz, 8 bits, a tone of 400 Hz."""
    made = io.BytesIO()
    with wave.open(made, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(1)
        file.setframerate(RATE)
        file.writeframes((b"\x90" * 10 + b"\x70" * 10) * (RATE // 20 * seconds))
    return made.getvalue()


def _gone(found: Recording, kind: str) -> web.Response:
    if kind not in ("", "json"):
        raise ApiError(404, 20404, "The requested resource was not found")
    found.deleted = True
    return web.Response(status=204)
