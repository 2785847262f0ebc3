"""The webhooks: the signature is checked, the body committed as it came, and only then is it answered.

Twilio waits 15 seconds at most and by default repeats nothing that was answered, not even with a 5xx: so there is
no work between body and commit, no 429, no redirect, and what a list says later finds what was missed.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

from aiohttp import web

from channels.arriving import BROKEN, TooBig, whole
from channels.contract import Accepted, Clock, Intake, Suspects, Unavailable, Unverified
from channels.spool import Spool
from channels.twilio.inbound import fields_of_json, kind_of, raw_message
from channels.twilio.settings import TwilioNumbers
from channels.twilio.signature import HEADERS, Fields, Keys, Signed, doubt, fields_of
from normalizer.message import INLINE_LIMIT, Body, Facts, InlineBody, RawMessage

log = logging.getLogger(__name__)

MESSAGE, STATUS = "message", "status"
"""What an address of ours is for."""
LONGEST = 1024 * 1024
"""Bytes of a body that is taken; Twilio's own are below a hundred kilobytes."""
SECONDS = 15.0
"""Twilio gives up by then."""
QUICK = 64 * 1024
"""Bytes of a form that is read at once."""
LONGEST_HEADER = 1024
"""Characters of a header that are kept."""
EMPTY = b'<?xml version="1.0" encoding="UTF-8"?><Response/>'
"""TwiML that says nothing: answers go out by the outbox, where they are kept and repeated."""


class TwilioHook:
    """The webhooks of one account; `channels.contract.Webhook`, `Rechecks` and `Replaced`."""

    BESIDE: ClassVar[frozenset[str]] = frozenset({STATUS})
    """Last parts of the addresses beside the first one."""

    def __init__(
        self,
        channel: str,
        account_name: str,
        account: TwilioNumbers,
        keys: Keys,
        *,
        public_url: str,
        clock: Clock,
        spool: Path,
        unique: Callable[[], str],
        suspects: Suspects | None,
    ) -> None:
        """`public_url`: what stands before the path in the address that Twilio was told."""
        self._channel, self._name, self._account, self._keys = channel, account_name, account, keys
        self._public_url, self._clock, self._suspects = public_url, clock, suspects
        self._spool, self._unique = spool, unique

    @property
    def name(self) -> str:
        """For `channels.contract.Replaced`."""
        return f"webhook {self._channel}/{self._name}"

    def serves(self, successor: TwilioHook) -> bool:
        """The account, its keys and the address are the same: senders give new ones to the far side at once."""
        return (self._account, self._keys, self._public_url) == (
            successor._account,
            successor._keys,
            successor._public_url,
        )

    def routes(self, intake: Intake) -> Sequence[web.RouteDef]:
        """Messages and reports of what became of ours, by POST or GET: 200 or 204 after the commit; 403 for what is
        not signed; 413, 400 and 408 for a body that is too big or does not arrive; 503 when nothing can be kept."""
        take, told = (partial(self._take, intake, route) for route in (MESSAGE, STATUS))
        return [
            web.post("/", take),
            web.get("/", take, allow_head=False),
            web.post("/status", told),
            web.get("/status", told, allow_head=False),
        ]

    def recheck(self, request: Unverified) -> Sequence[RawMessage]:
        """What the request brings, when it is believed by now. Raises PermissionError when not."""
        path = request.path.partition("?")[0]
        signed = self._signed(request.method, request.path, request.headers, request.body)
        if (reason := self._doubt(signed)) is not None:
            raise PermissionError(reason)
        content = _content(request.method, request.path, request.body)
        last = path.rpartition("/")[2]
        return [self._raw(signed, content, InlineBody(content=content), last if last in self.BESIDE else MESSAGE)]

    # -- one request ------------------------------------------------------------------------

    async def _take(self, intake: Intake, route: str, request: web.Request) -> web.StreamResponse:
        spool: Spool | None = None
        try:
            body = await whole(request, LONGEST, SECONDS)
            signed = self._signed(request.method, request.raw_path, _headers(request), body)
            big = len(body) > QUICK
            # Anybody can send a big body: it is looked at beside the loop that everybody shares.
            if (reason := await asyncio.to_thread(self._doubt, signed) if big else self._doubt(signed)) is not None:
                return await self._doubted(request, signed, reason)
            content = _content(request.method, request.raw_path, body)
            if len(content) > INLINE_LIMIT:
                spool = Spool(self._spool, self._unique)
                await spool.append(content)
            kept = InlineBody(content=content) if spool is None else await asyncio.to_thread(spool.finish)
            raw = self._raw(signed, content, kept, route)
            (accepted,) = await intake([raw])
        except TooBig:
            log.error("%s/%s: a request of more than %d bytes is not taken", self._channel, self._name, LONGEST)
            return web.Response(status=413)
        except TimeoutError:
            return web.Response(status=408)
        except BROKEN:
            return web.Response(status=400)
        except (Unavailable, OSError) as error:
            log.warning("%s/%s: a request cannot be kept now: %s", self._channel, self._name, type(error).__name__)
            return web.Response(status=503)
        finally:
            if spool is not None:
                # A body that was taken over has another name by now.
                spool.discard()
        return await self._answer(route, accepted, raw)

    async def _answer(self, route: str, _accepted: Accepted, _raw: RawMessage) -> web.StreamResponse:
        """What is said once it is safe."""
        return web.Response(status=204) if route == STATUS else web.Response(body=EMPTY, content_type="text/xml")

    def _signed(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Signed:
        # A GET has its parameters in its address, and no body that anybody signed.
        return Signed(url=self._public_url + path, headers=headers, body=b"" if method == "GET" else body)

    def _doubt(self, signed: Signed) -> str | None:
        if (reason := doubt(signed, self._keys)) is not None:
            return reason
        fields = dict(reversed(_fields(signed, signed.body or _query(signed.url))))
        # A subaccount signs with a token of its own; this one's parent may know it, and is another account.
        told = fields.get("AccountSid", self._account.account_sid)
        return None if told == self._account.account_sid else "another account"

    async def _doubted(self, request: web.Request, signed: Signed, reason: str) -> web.StreamResponse:
        """Keep it, should the token or the address be ours to mend; never act on it (rule 5)."""
        log.info("%s/%s: a request is not believed: %s", self._channel, self._name, reason)
        if self._suspects is None or len(signed.body) > INLINE_LIMIT:
            return web.Response(status=403)
        kept = Unverified(
            method=request.method, path=request.raw_path, headers=signed.headers, body=signed.body, reason=reason
        )
        try:
            await self._suspects(self._channel, self._name, kept)
        except Unavailable:
            return web.Response(status=503)
        return web.Response(status=403)

    def _raw(self, signed: Signed, content: bytes, body: Body, route: str) -> RawMessage:
        fields, facts = self._read(signed, content)
        return raw_message(
            fields,
            hashlib.sha256(content).hexdigest(),
            kind=kind_of(fields, "status" if route == STATUS else "message"),
            channel=self._channel,
            account=self._name,
            body=body,
            now=self._clock(),
            facts=facts,
        )

    def _read(self, signed: Signed, content: bytes) -> tuple[Fields, Facts]:
        """The parameters, and what a parser must know beside them."""
        query = _query(signed.url)
        facts: Facts = {"transport": "webhook"}
        if signed.is_json:
            facts = {**facts, "json": True}
        if query and signed.body:
            # The part of the address that we chose ourselves names the notice that a report is about.
            facts = {**facts, "query": query.decode("ascii", "replace")[:LONGEST_HEADER]}
        return _fields(signed, content), facts


def _headers(request: web.Request) -> dict[str, str]:
    """Those that the check needs."""
    found = {name.lower(): request.headers.get(name, "")[:LONGEST_HEADER] for name in HEADERS}
    return {name: value for name, value in found.items() if value}


def _content(method: str, path: str, body: bytes) -> bytes:
    """What is kept: the body, of a GET the query."""
    return _query(path) if method == "GET" else body


def _query(path: str) -> bytes:
    return path.partition("?")[2].encode("utf-8", "surrogateescape")


def _fields(signed: Signed, content: bytes) -> Fields:
    if signed.is_json:
        return fields_of_json(content)
    return signed.form if content == signed.body else fields_of(content)
