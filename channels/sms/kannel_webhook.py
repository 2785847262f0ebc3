"""What Kannel brings: messages by get-url or post-url, reports by dlr-url. Believed by a shared secret alone.

Kannel takes only 200 and 202 for an answer and repeats everything else (`http-request-retry`), so a report is answered
with 200, too. The words of an answer would go to the person as a text message: it has none.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Literal, TypeAlias
from urllib.parse import parse_qsl

from aiohttp import web

from channels.arriving import BROKEN, TooBig, whole
from channels.contract import Clock, Intake, Suspects, Unavailable, Unverified
from normalizer.message import Facts, InlineBody, RawMessage

log = logging.getLogger(__name__)

Kind: TypeAlias = Literal["message", "report"]
FORMATS: Mapping[Kind, str] = {"message": "kannel/1", "report": "kannel_report/1"}
LONGEST = 64 * 1024
"""Bytes of a body; 255 parts of a text message hold 35,700."""
SECONDS = 15.0
FIELDS = 200
SECRET = "secret"
"""The parameter that is taken out before anything is kept in the journal."""
OLDEST = timedelta(days=30)
"""A message that claims to be older has the time of its arrival."""
HEADERS = ("Authorization", "Content-Type", "X-Kannel-From", "X-Kannel-To", "X-Kannel-Coding", "X-Kannel-UDH",
           "X-Kannel-Time", "X-Kannel-SMSC")  # fmt: skip
LONGEST_HEADER = 1024


class KannelHook:
    """The webhooks of one account; `channels.contract.Webhook`, `Rechecks` and `Replaced`."""

    def __init__(
        self,
        account: str,
        secrets: Sequence[str],
        *,
        clock: Clock,
        suspects: Suspects | None,
        unique: Callable[[], str],
        channel: str = "sms",
    ) -> None:
        """`secrets`: any of them is believed. `unique` names what has neither id nor time. Raises ValueError for an
        empty secret."""
        if not secrets or not all(secrets):
            raise ValueError("an account needs a secret that is not empty; anybody could write in its name")
        self._channel, self._name, self._secrets = channel, account, tuple(one.encode() for one in secrets)
        self._clock, self._suspects, self._unique = clock, suspects, unique

    @property
    def name(self) -> str:
        """For `channels.contract.Replaced`."""
        return f"webhook {self._channel}/{self._name}"

    def serves(self, successor: KannelHook) -> bool:
        """The secrets are the same: the sender gives new ones to Kannel at once."""
        return self._secrets == successor._secrets

    def routes(self, intake: Intake) -> Sequence[web.RouteDef]:
        """Messages and reports, by GET or POST: 200 after the commit; 403 for what brings no secret of ours; 413, 400
        and 408 for a body that is too big or does not arrive; 503 when nothing can be kept."""
        take, told = (partial(self._take, intake, kind) for kind in ("message", "report"))
        return [
            web.get("/", take, allow_head=False),
            web.post("/", take),
            web.get("/status", told, allow_head=False),
            web.post("/status", told),
        ]

    def recheck(self, request: Unverified) -> Sequence[RawMessage]:
        """What the request brings, when it is believed by now. Raises PermissionError when not."""
        if (reason := self._doubt(request.path, request.headers)) is not None:
            raise PermissionError(reason)
        kind: Kind = "report" if request.path.partition("?")[0].endswith("/status") else "message"
        return [self._raw(kind, request.method, request.path, request.headers, request.body)]

    async def _take(self, intake: Intake, kind: Kind, request: web.Request) -> web.StreamResponse:
        try:
            body = b"" if request.method == "GET" else await whole(request, LONGEST, SECONDS)
            headers = _headers(request)
            if (reason := self._doubt(request.raw_path, headers)) is not None:
                return await self._doubted(request, headers, body, reason)
            await intake([self._raw(kind, request.method, request.raw_path, headers, body)])
        except TooBig:
            log.error("%s/%s: a request of more than %d bytes is not taken", self._channel, self._name, LONGEST)
            return web.Response(status=413)
        except TimeoutError:
            return web.Response(status=408)
        except BROKEN:
            return web.Response(status=400)
        except Unavailable as error:
            log.warning("%s/%s: a request cannot be kept now: %s", self._channel, self._name, type(error).__name__)
            return web.Response(status=503)
        return web.Response(status=200, text="")

    def _doubt(self, path: str, headers: Mapping[str, str]) -> str | None:
        """Why it is not believed; None when it is Kannel's."""
        brought = [value.encode("utf-8", "surrogateescape") for name, value in _pairs(_query(path)) if name == SECRET]
        brought += _password(headers.get("authorization", ""))
        if not brought:
            return "no secret"
        # No `any` that ends early: each pair takes the same time.
        fits = [hmac.compare_digest(ours, theirs) for ours in self._secrets for theirs in brought[:4]]
        return None if sum(fits) else "wrong secret"

    async def _doubted(
        self, request: web.Request, headers: Mapping[str, str], body: bytes, reason: str
    ) -> web.StreamResponse:
        """Keep it, should the secret be ours to mend; never act on it (rule 5)."""
        log.info("%s/%s: a request is not believed: %s", self._channel, self._name, reason)
        if self._suspects is None:
            return web.Response(status=403)
        kept = Unverified(method=request.method, path=request.raw_path, headers=headers, body=body, reason=reason)
        try:
            await self._suspects(self._channel, self._name, kept)
        except Unavailable:
            return web.Response(status=503)
        return web.Response(status=403)

    def _raw(self, kind: Kind, method: str, path: str, headers: Mapping[str, str], body: bytes) -> RawMessage:
        query = without_secret(_query(path))
        said = dict(reversed(_pairs(query)))
        facts: Facts = {"transport": "webhook"}
        if method != "GET":
            known = {name: value for name, value in headers.items() if name != "authorization"}
            facts = {**facts, "query": query, "headers": known}
        content = body if method != "GET" else query.encode("utf-8", "surrogateescape")
        theirs, ours = said.get("from") or headers.get("x-kannel-from", ""), said.get("to", "")
        at = said.get("time") or headers.get("x-kannel-time", "")
        if kind == "message" and not (_id(said) or at):
            # Nothing tells a repeat from the same words on another day: rather twice than not at all.
            at = self._unique()
        whole_of_it = f"{query}\n{headers.get('x-kannel-from', '')}\n{at}".encode("utf-8", "replace") + body
        named = _named(kind, said, whole_of_it)
        return RawMessage(
            channel=self._channel,
            account=self._name,
            format=FORMATS[kind],
            external_id=named,
            fingerprint=hashlib.sha256(named.encode("utf-8", "replace")).hexdigest(),
            peer=theirs[:255],
            received_at=self._time(said.get("time", "")) if kind == "message" else self._clock(),
            body=InlineBody(content=content),
            facts=facts,
            deliveries=((self._name, (ours or headers.get("x-kannel-to", ""))[:255]),),
        )

    def _time(self, said: str) -> datetime:
        """When Kannel got it: an outage of ours makes no message younger."""
        now = self._clock()
        if not re.fullmatch(r"[0-9]{9,11}", said):
            return now
        found = datetime.fromtimestamp(int(said), UTC)
        return found if now - OLDEST <= found <= now else now


def without_secret(query: str) -> str:
    """The query as it came, but for the secret: what is journalled is read by more people."""
    return "&".join(part for part in query.split("&") if part.partition("=")[0] != SECRET)


def _named(kind: Kind, said: Mapping[str, str], all_of_it: bytes) -> str:
    """A message is a repeat by Kannel's id (%I). A report has a new id each time: it is one of our key and its type."""
    if kind == "message" and (known := _id(said)):
        return known
    if kind == "report" and said.get("k"):
        return f"{said['k'][:100]}:{said.get('type', '')[:10]}"
    return f"sha256:{hashlib.sha256(all_of_it).hexdigest()}"


def _id(said: Mapping[str, str]) -> str:
    """Kannel's id; "" for none, and for an escape that nobody filled in: it would be every message's."""
    known = said.get("id", "")[:255]
    return "" if "%" in known else known


def _query(path: str) -> str:
    return path.partition("?")[2]


def _pairs(query: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(query, keep_blank_values=True, max_num_fields=FIELDS, errors="surrogateescape")
    except ValueError:
        return []


def _password(header: str) -> list[bytes]:
    """The password of "http://any:secret@…" in Kannel's address (RFC 7617)."""
    scheme, _, packed = header.partition(" ")
    if scheme.lower() != "basic":
        return []
    try:
        return [base64.b64decode(packed, validate=True).partition(b":")[2]]
    except (binascii.Error, ValueError):
        return [b""]


def _headers(request: web.Request) -> dict[str, str]:
    found = {name.lower(): request.headers.get(name, "")[:LONGEST_HEADER] for name in HEADERS}
    return {name: value for name, value in found.items() if value}
