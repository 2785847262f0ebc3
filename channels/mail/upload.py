"""The upload form of a mail account: its bytes into the spool as they come, answered after the commit.

Nothing is parsed here: `normalizer/form.py` reads the journalled bytes. Of the first fields only two things are
looked at while they pass: the trap for robots, and whether there is an address to answer to.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import re
import shutil
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta

from aiohttp import ClientPayloadError, web
from aiohttp.http_exceptions import HttpProcessingError

from channels.client import CLIENT
from channels.contract import Intake, Unavailable, Wiring, own_time
from channels.mail.settings import MailAccount, Upload
from channels.spool import Spool
from normalizer.message import RawMessage

log = logging.getLogger(__name__)

FORMAT = "form/1"
HEAD = 32 * 1024
"""Bytes at the beginning in which the address and the trap are looked for."""
TRAP = "website"
"""A field that people do not see and robots fill in."""
CLIENTS = 10_000
"""Addresses that are counted at the same time; beyond it the one counted longest ago is forgotten."""
RETRY_AFTER = {503: "30", 429: "600"}

_FORM = re.compile(r"multipart/form-data\s*;.*\bboundary=", re.IGNORECASE)
_FIELD = (
    rb"content-disposition:[^\r\n]*;[ \t]*name=\"?%s\"?[ \t]*\r\n(?:[^\r\n]+\r\n)*\r\n(?P<value>[^\r\n]{0,1000})\r\n--"
)
_TRAP = re.compile(_FIELD % TRAP.encode(), re.IGNORECASE)
_ADDRESS = re.compile(_FIELD % b"address", re.IGNORECASE)
_PLAUSIBLE = re.compile(r"[^\s@<>,;:()\"]{1,64}@[^\s@<>,;:()\"]{1,250}")


class Refused(Exception):
    """Not taken; nothing of it is kept."""

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason)
        self.reason, self.status = reason, status


class Budget:
    """How often each client came within a window. Bounded, in memory; a restart forgives."""

    def __init__(self, most: int, window: timedelta) -> None:
        self._most, self._window = most, window
        self._seen: OrderedDict[str, tuple[datetime, int]] = OrderedDict()

    def spend(self, client: str, now: datetime) -> bool:
        """Count one; False: it is one too many."""
        begun, count = self._seen.get(client, (now, 0))
        if not begun <= now < begun + self._window:
            begun, count = now, 0
        if count == 0:
            self._seen.pop(client, None)
        self._seen[client] = (begun, min(count + 1, self._most + 1))
        while len(self._seen) > CLIENTS:
            self._seen.popitem(last=False)
        return count < self._most


class UploadHook:
    """The webhook `POST …/upload` of one account."""

    def __init__(
        self, name: str, account: MailAccount, options: Upload, *, wiring: Wiring, unique: Callable[[], str]
    ) -> None:
        """`unique` gives 128 random bits in hex: the id of an upload is what its page is shown for."""
        self._name, self._account, self._options, self._wiring = name, account, options, wiring
        self._unique = unique
        self._budget = Budget(options.per_client, options.window)
        self._arriving = 0

    @property
    def name(self) -> str:
        """For `channels.contract.Replaced`."""
        return f"upload mail/{self._name}"

    def serves(self, successor: UploadHook) -> bool:
        """The form says the same. What is counted is kept."""
        return (self._options, self._account.addresses[0]) == (successor._options, successor._account.addresses[0])

    def routes(self, intake: Intake) -> list[web.RouteDef]:
        """One route. A refusal is a page with its status; 303 leads to the page that shows the number."""

        @own_time  # `upload.idle_time` and `upload.time`
        async def take(request: web.Request) -> web.StreamResponse:
            try:
                upload = await self._counted(request, intake)
            except Refused as refusal:
                answer = self._wiring.answer(request, refusal.reason, refusal.status)
                if refusal.status in RETRY_AFTER:
                    answer.headers["Retry-After"] = RETRY_AFTER[refusal.status]
                return answer
            # A reload of the page that follows sends nothing again. Relative: a proxy may have put us below a path.
            return web.Response(status=303, headers={"Location": f"../../../upload?got={upload}"})

        return [web.post("/upload", take)]

    async def _counted(self, request: web.Request, intake: Intake) -> str:
        client = request.get(CLIENT) or request.remote or ""
        if not self._budget.spend(network_of(client), self._wiring.clock()):
            raise Refused("upload_often", 429)
        if self._arriving >= self._options.at_once:
            raise Refused("upload_later", 503)
        self._arriving += 1
        spool = Spool(self._wiring.spool, self._unique)
        try:
            return await self._take(request, client, spool, intake)
        except OSError as error:
            log.error("an upload could not be spooled: %s", type(error).__name__, exc_info=error)
            raise Refused("upload_later", 503) from error
        finally:
            # A body that was taken over has another name by now.
            spool.discard()
            self._arriving -= 1

    async def _take(self, request: web.Request, client: str, spool: Spool, intake: Intake) -> str:
        content_type = request.headers.get("Content-Type", "")
        if not _FORM.match(content_type) or request.headers.get("Content-Encoding", "identity") != "identity":
            raise Refused("upload_form", 415)
        if (request.content_length or 0) > self._options.size:
            raise Refused("upload_big", 413)
        free = (await asyncio.to_thread(shutil.disk_usage, self._wiring.spool)).free
        if free - (request.content_length or 0) < self._options.keep_free:
            raise Refused("upload_later", 503)
        peer = await self._receive(request, spool)
        body = spool.finish()
        upload = self._unique()
        raw = RawMessage(
            channel="mail",
            account=self._name,
            format=FORMAT,
            external_id=f"upload:{upload}",
            fingerprint=body.sha256,
            peer=peer,
            received_at=self._wiring.clock(),
            body=body,
            facts={"transport": "upload", "client_ip": client, "content_type": content_type[:1000]},
            deliveries=((self._name, self._account.addresses[0]),),
        )
        try:
            await intake([raw])
        except Unavailable:
            raise Refused("upload_later", 503) from None
        return upload

    async def _receive(self, request: web.Request, spool: Spool) -> str:
        """The whole body into the spool. Returns the address in the form; "" when it stands further behind."""
        head, looked, peer = bytearray(), False, ""
        idle = self._options.idle_time.total_seconds()
        try:
            async with asyncio.timeout(self._options.time.total_seconds()):
                while chunk := await _next_of(request, idle):
                    if spool.size + len(chunk) > self._options.size:
                        raise Refused("upload_big", 413)
                    await spool.append(chunk)
                    if not looked:
                        head += chunk[: HEAD - len(head)]
                        # Said before the rest has come: nobody waits an hour to hear of a missing address.
                        if looked := len(head) >= HEAD:
                            peer = look(bytes(head), whole=False)
        except TimeoutError:
            raise Refused("upload_slow", 408) from None
        except (ClientPayloadError, HttpProcessingError, ConnectionError) as error:
            raise Refused("upload_broken", 400) from error
        return peer if looked else look(bytes(head), whole=True)


async def _next_of(request: web.Request, idle: float) -> bytes:
    async with asyncio.timeout(idle):
        return await request.content.readany()


def look(head: bytes, *, whole: bool) -> str:
    """The address in the first bytes of a form. Raises Refused for a trap that was filled in and a bad address."""
    trap, found = _TRAP.search(head), _ADDRESS.search(head)
    if trap and trap["value"].strip():
        raise Refused("upload_trap", 422)
    if not found and not whole:
        return ""  # big files come first; the parser will find it behind them
    address = found["value"].decode("utf-8", "replace").strip() if found else ""
    if not _PLAUSIBLE.fullmatch(address):
        raise Refused("upload_address", 422)
    return address.lower()


def network_of(client: str) -> str:
    """What one client can choose freely counts as one: an IPv6 client has a whole /64."""
    try:
        address = ipaddress.ip_address(client.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(getattr(address, "ipv4_mapped", None) or address)
