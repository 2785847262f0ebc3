"""Numbers of an account, people who write to them, and the webhooks that bring it to us.

What Twilio does when we do not answer is settled by the fragment of the address (`#rc=3&rp=all`): by default it
repeats nothing but a failed connect, once, then asks the other address, and then nothing more is done.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, TypeAlias, TypeVar
from urllib.parse import parse_qsl, urlsplit

from gateway.demo.twilio_api.signing import Fields, signed_form

Mishap: TypeAlias = Literal["late", "twice", "half", "never", "lost", "reset"]
"""What goes wrong with one request. late: it comes in pieces. twice: two at once. half: it breaks off in the middle.
never: it begins and does not end. lost: it is done, but the answer is not read. reset: cut before anything is sent."""
PIECE_PAUSE = 0.05
MOST_REPEATS = 5
"""The largest `rc`: https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides"""
Read = TypeVar("Read")
HTTP_FAILED = "11200"
"""Error for a webhook that was not answered with 2xx: https://www.twilio.com/docs/api/errors/11200"""


def _present() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Tried:
    """One request to us."""

    sid: str
    url: str
    status: int | None
    """None: no answer came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Number:
    url: str
    fallback: str
    status_url: str
    repeats: int | None
    """What the fragment of the address asks for; None: nothing."""


@dataclass(slots=True, kw_only=True)
class Network:
    """One account of Twilio's. `plan` says what goes wrong with the next requests, in their order."""

    account_sid: str
    token: str
    timeout: float = 15.0
    """Seconds that an answer may take."""
    repeats: int = 0
    """How often a request without a good answer is made again, after `pause` seconds, where the fragment of its address
    (`#rc=…&rp=all`) says nothing about it."""
    pause: float = 0.02
    plan: list[Mishap] = field(default_factory=list)
    tried: list[Tried] = field(default_factory=list)
    kept: list[dict[str, str]] = field(default_factory=list)
    """Every message that people sent, whether it reached us or not."""
    clock: Callable[[], datetime] = _present
    dates: dict[str, datetime] = field(default_factory=dict)
    """SID -> when Twilio got it, of every message that people sent; to the second."""
    _numbers: dict[str, _Number] = field(default_factory=dict)
    _count: int = 0

    def number(self, number: str, url: str, *, fallback: str = "") -> None:
        """What comes to this number goes to this address; of its fragment `rc` counts beside `rp=all`."""
        url, repeats = overrides(url)
        other = fallback.partition("#")[0]
        self._numbers[number] = _Number(url=url, fallback=other, status_url=f"{url}/status", repeats=repeats)

    def numbers(self) -> tuple[str, ...]:
        """The account's own."""
        return tuple(self._numbers)

    def new_sid(self, kind: str = "SM") -> str:
        """A SID that nothing had before."""
        self._count += 1
        return f"{kind}{self._count:032x}"

    def message(self, text: str, *, sender: str, to: str, sid: str = "", **more: str) -> dict[str, str]:
        """The parameters of a message that somebody sends; `more` adds to them or takes their place."""
        sid = sid or self.new_sid("MM" if int(more.get("NumMedia", "0")) else "SM")
        made = {
            "ToCountry": "UA", "ToState": "", "SmsMessageSid": sid, "NumMedia": "0", "ToCity": "", "FromZip": "",
            "SmsSid": sid, "FromState": "", "SmsStatus": "received", "FromCity": "", "Body": text, "FromCountry": "UA",
            "To": to, "NumSegments": "1", "MessageSid": sid, "AccountSid": self.account_sid, "From": sender,
            "ApiVersion": "2010-04-01", **more,
        }  # fmt: skip
        self.kept.append(made)
        self.dates[sid] = self.clock().astimezone(UTC).replace(microsecond=0)
        return made

    async def say(self, text: str, *, sender: str, to: str, **more: str) -> bool:
        """Somebody writes; True when we have it."""
        return await self.bring(self.message(text, sender=sender, to=to, **more))

    async def bring(self, message: dict[str, str]) -> bool:
        """Bring a message to its number's address, else to the other one; True when one of them took it."""
        number = self._numbers[message["To"].removeprefix("whatsapp:")]
        if await self.tell(number.url, list(message.items()), repeats=number.repeats):
            return True
        if not number.fallback:
            return False
        failed = {**message, "ErrorCode": HTTP_FAILED, "ErrorUrl": number.url}
        return await self.tell(number.fallback, list(failed.items()))

    async def report(self, sid: str, state: str, *, sender: str, to: str, query: str = "", **more: str) -> bool:
        """Tell what has become of a message of ours; `sender` is our number. True when we have it."""
        fields = {
            "SmsSid": sid, "SmsStatus": state, "MessageStatus": state, "To": to, "MessageSid": sid,
            "AccountSid": self.account_sid, "From": sender, "ApiVersion": "2010-04-01", **more,
        }  # fmt: skip
        url = self._numbers[sender.removeprefix("whatsapp:")].status_url
        return await self.tell(f"{url}?{query}" if query else url, list(fields.items()))

    # -- one request ------------------------------------------------------------------------

    async def tell(self, url: str, fields: Fields, *, repeats: int | None = None) -> bool:
        """One webhook, made again so many times, else as the network's `repeats` has it; True when it was answered
        with 2xx."""
        for number in range((self.repeats if repeats is None else repeats) + 1):
            if number:
                await asyncio.sleep(self.pause)
            mishap = self.plan.pop(0) if self.plan else None
            copies = 2 if mishap == "twice" else 1
            answers = await asyncio.gather(*(self._once(url, fields, mishap) for _ in range(copies)))
            if any(status is not None and 200 <= status < 300 for status in answers):
                return True
        return False

    async def _once(self, url: str, fields: Fields, mishap: Mishap | None) -> int | None:
        body, headers = signed_form(self.token, url, fields)
        status = await post(url, body, headers, mishap=mishap, seconds=self.timeout)
        self.tried.append(Tried(dict(fields).get("MessageSid", ""), url, status))
        return status

    def statuses(self) -> dict[str, list[int | None]]:
        """SID -> what each of its requests was answered with."""
        found: dict[str, list[int | None]] = defaultdict(list)
        for one in self.tried:
            found[one.sid].append(one.status)
        return found


def overrides(url: str) -> tuple[str, int | None]:
    """The address without its fragment, and how often that wants a request made again; None: it says nothing of it."""
    url, _, fragment = url.partition("#")
    said = dict(parse_qsl(fragment))
    return url, min(int(said.get("rc", "1")), MOST_REPEATS) if said.get("rp") == "all" else None


async def post(
    url: str, body: bytes, headers: dict[str, str], *, mishap: Mishap | None = None, seconds: float = 15.0
) -> int | None:
    """One request on a connection of its own; its status, None when no answer came."""
    try:
        async with asyncio.timeout(seconds):
            return await exchange(url, body, headers, read=_status, mishap=mishap)
    except OSError:  # TimeoutError is one.
        return None


async def exchange(
    url: str, body: bytes, headers: dict[str, str], *, read: Callable[[asyncio.StreamReader], Awaitable[Read | None]],
    method: str = "POST", mishap: Mishap | None = None,
) -> Read | None:  # fmt: skip
    """One request on a connection of its own, and what is read of its answer; None when it is not read.

    Raises OSError, and what `read` raises.
    """
    parts = urlsplit(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query or url.endswith("?") else "")
    lines = [f"{method} {path} HTTP/1.1", f"Host: {parts.netloc}", "Connection: close", f"Content-Length: {len(body)}"]
    head = "\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers.items()), "", ""]).encode()
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
    try:
        if not await _sent(writer, head, body, mishap):
            return None
        answer = await read(reader)
        return None if mishap == "lost" else answer
    finally:
        writer.close()


async def _sent(writer: asyncio.StreamWriter, head: bytes, body: bytes, mishap: Mishap | None) -> bool:
    """Send a request as the mishap has it; True when an answer may come."""
    if mishap == "reset":
        bound: socket.socket = writer.get_extra_info("socket")
        # With a linger of zero the kernel sends RST instead of FIN.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        return False
    for number, piece in enumerate(_pieces(body, mishap)):
        writer.write(piece if number else head + piece)
        await writer.drain()
        if mishap == "late":
            await asyncio.sleep(PIECE_PAUSE)
    if mishap == "never":
        await asyncio.Event().wait()
    return mishap != "half"


async def _status(reader: asyncio.StreamReader) -> int | None:
    words = (await reader.readline()).split(b" ")
    return int(words[1]) if len(words) > 1 and words[1].isdigit() else None


def _pieces(body: bytes, mishap: Mishap | None) -> Sequence[bytes]:
    half = len(body) // 2
    match mishap:
        case "half" | "never":
            return [body[:half]]
        case "late":
            return [body[:1], body[1:half], body[half:]]
        case _:
            return [body]
