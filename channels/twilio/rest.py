"""The REST API by twilio's library, on a wire of ours: its own waits for ever and logs addresses and numbers.

https://www.twilio.com/docs/messaging/api/message-resource. Importing this loads the SDK.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

import aiohttp
from twilio.base.exceptions import TwilioException, TwilioRestException, TwilioServiceException
from twilio.http import AsyncHttpClient
from twilio.http.response import Response
from twilio.rest import Client
from yarl import URL

from channels.answers import bounded, seconds, time, why
from channels.twilio.errors import Refused, Unanswered, Unsent

T = TypeVar("T")
CONNECT = 5.0
"""Seconds for a connection; what is not connected by then was surely not sent."""
LONGEST_ANSWER = 8 * 1024 * 1024
"""Bytes; a page of the list is far below."""
PAGE = 50
_NOWHERE: Mapping[str, str] = {"TWILIO_EDGE": ""}
"""For what the library would else read from the environment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A message that Twilio has."""

    sid: str
    status: str
    sender: str
    to: str
    body: str
    created: datetime | None
    """To the second, by Twilio's clock."""
    outgoing: bool
    error: str = ""
    """Code, where it failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A call that Twilio has."""

    sid: str
    status: str
    created: datetime | None
    """To the second, by Twilio's clock."""
    outgoing: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """Addresses of a telephone number of ours; "": none, None: the provider does not say."""

    calls: str | None
    failures: str | None
    ends: str | None


class Rest:
    """One account. Nothing connects before the first call, and every connection is of one call.

    A call is done within `seconds`. Every method raises `Refused`, `Unsent` and `Unanswered`.
    """

    def __init__(self, account_sid: str, token: str, *, api_url: str, seconds: float) -> None:
        """`api_url`: what stands before "/2010-04-01"; the account's token goes there."""
        self._wire = _Wire(api_url, seconds)
        environment = dict(_NOWHERE)
        self._client = Client(account_sid, token, http_client=self._wire, environment=environment)

    async def create(self, parameters: Mapping[str, Any]) -> Sent:
        """Send a message; names as the library has them (`from_`, `body` …)."""
        return await self._asked(self._client.messages.create_async(**parameters), _sent)

    async def outgoing(
        self, *, to: str, sender: str, since: datetime | None, most: int
    ) -> tuple[Sequence[Sent], datetime | None]:
        """What the account sent to somebody, at most so much, and Twilio's clock, where it tells the time.

        `since` takes the day of it and later ones, and leaves out what still waits in the queue.
        """
        day = {} if since is None else {"date_sent_after": since.astimezone(UTC).date().isoformat()}
        asked = self._client.messages.list_async(to=to, from_=sender, limit=most, page_size=min(most, PAGE), **day)
        found = await self._asked(asked, lambda found: [one for one in map(_sent, found) if one.outgoing])
        return found, self._wire.their_time

    async def call(self, parameters: Mapping[str, Any]) -> Placed:
        """Call somebody; names as the library has them (`from_`, `url` …).
        https://www.twilio.com/docs/voice/api/call-resource#create-a-call-resource"""
        return await self._asked(self._client.calls.create_async(**parameters), _placed)

    async def placed(self, *, to: str, sender: str, most: int) -> tuple[Sequence[Placed], datetime | None]:
        """The account's calls from a number of ours to somebody, the newest first, at most so many; and Twilio's clock,
        where it tells the time. Those that still wait to be dialled are among them: no date is asked for."""
        asked = self._client.calls.list_async(to=to, from_=sender, limit=most, page_size=min(most, PAGE))
        found = await self._asked(asked, lambda found: [one for one in map(_placed, found) if one.outgoing])
        return found, self._wire.their_time

    async def status(self) -> str:
        """Of the account: "active", "suspended", "closed"."""
        asked = self._client.api.v2010.accounts(self._client.account_sid).fetch_async()
        return await self._asked(asked, lambda found: str(found.status))

    async def has_number(self, number: str) -> bool:
        """Whether the account has this telephone number."""
        asked = self._client.incoming_phone_numbers.list_async(phone_number=number, limit=1, page_size=1)
        return await self._asked(asked, bool)

    async def called(self, number: str) -> Called | None:
        """Where calls to this number of the account lead; None: it has no such number.
        https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource"""
        asked = self._client.incoming_phone_numbers.list_async(phone_number=number, limit=1, page_size=1)
        return await self._asked(asked, lambda found: _called(found[0]) if found else None)

    async def _asked(self, call: Awaitable[Any], shape: Callable[[Any], T]) -> T:
        try:
            return shape(await call)
        except TwilioRestException as error:
            code = error.code if isinstance(error.code, int) else error.status
            raise Refused(error.status, code, str(error.msg), self._wire.retry_after) from None
        except TwilioServiceException as error:
            said = str(error.detail or error.title)
            raise Refused(int(error.status), int(error.code), said, self._wire.retry_after) from None
        except TwilioException as error:
            # A page of a list that failed: the error has the whole answer, and so texts and numbers, in its words.
            answer = error.args[1] if len(error.args) > 1 else None
            status = answer.status_code if isinstance(answer, Response) else 500
            raise Refused(status, _code(answer, status), f"HTTP {status}", self._wire.retry_after) from None
        except (ValueError, KeyError, TypeError, AttributeError):
            # The library's words may hold the answer, and so a text.
            raise Unanswered("the answer is not the API's") from None


def _code(answer: Any, status: int) -> int:
    """Twilio's code in an answer; the status where there is none."""
    try:
        return int(json.loads(answer.text)["code"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return status


def _sent(made: Any) -> Sent:
    if not isinstance(made.sid, str) or not made.sid:
        raise ValueError("a message without a SID")
    return Sent(
        sid=made.sid, status=str(made.status or ""), sender=str(made.from_ or ""), to=str(made.to or ""),
        body=str(made.body or ""), created=made.date_created if isinstance(made.date_created, datetime) else None,
        outgoing=str(made.direction or "").startswith("outbound"), error=str(made.error_code or ""),
    )  # fmt: skip


def _placed(made: Any) -> Placed:
    if not isinstance(made.sid, str) or not made.sid:
        raise ValueError("a call without a SID")
    return Placed(
        sid=made.sid, status=str(made.status or ""), outgoing=str(made.direction or "").startswith("outbound"),
        created=made.date_created if isinstance(made.date_created, datetime) else None,
    )  # fmt: skip


class _Wire(AsyncHttpClient):  # type: ignore[misc]  # the library has no types for us
    """How the library's calls go out: to `api_url`, bounded in time and size, no redirects, no cookies, no log."""

    def __init__(self, api_url: str, seconds: float) -> None:
        super().__init__(logging.getLogger(__name__), is_async=True, timeout=seconds)
        self._base, self._seconds = api_url.rstrip("/"), seconds
        self.retry_after: float | None = None
        self.their_time: datetime | None = None

    async def request(
        self,
        method: str,
        uri: str,
        params: dict[str, object] | None = None,
        data: dict[str, object] | None = None,
        headers: dict[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109  the library's signature
        allow_redirects: bool = False,
    ) -> Response:
        """One call. A redirect would carry the token away: it is an answer like any other."""
        told = {**(headers or {})}
        if auth is not None:
            told["Authorization"] = "Basic " + base64.b64encode(":".join(auth).encode()).decode()
        body = urlencode(data or {}, doseq=True) if method.upper() != "GET" else None
        if body is not None:
            told["Content-Type"] = "application/x-www-form-urlencoded; charset=UTF-8"
        limits = aiohttp.ClientTimeout(total=None, connect=min(CONNECT, self._seconds))
        try:
            async with (
                asyncio.timeout(self._seconds),
                aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), timeout=limits) as session,
                session.request(
                    method, self._url(uri, params), data=body, headers=told, allow_redirects=False
                ) as answer,
            ):
                content = await bounded(answer, LONGEST_ANSWER)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL) as error:
            raise Unsent(why(error)) from None
        except TimeoutError:
            raise Unanswered("no answer in time") from None
        except (aiohttp.ClientError, OSError) as error:
            # The error's own words may have the address, and so a number.
            raise Unanswered(why(error)) from None
        self.retry_after = seconds(answer.headers.get("Retry-After", ""))
        self.their_time = time(answer.headers.get("Date", ""))
        return Response(answer.status, content.decode("utf-8", "replace"), answer.headers)

    def _url(self, uri: str, params: Mapping[str, object] | None) -> URL:
        parts = urlsplit(uri)
        query = "&".join(part for part in (parts.query, urlencode(params or {}, doseq=True)) if part)
        return URL(f"{self._base}{parts.path}" + (f"?{query}" if query else ""), encoded=True)


def _called(found: Any) -> Called:
    return Called(calls=found.voice_url, failures=found.voice_fallback_url, ends=found.status_callback)
