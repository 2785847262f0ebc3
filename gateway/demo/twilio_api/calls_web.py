"""The requests of a call: a document is asked for, and what is no document of TwiML has the number of its error.

https://www.twilio.com/docs/voice/twiml and https://www.twilio.com/docs/api/errors.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import urljoin
from xml.etree.ElementTree import Element, ParseError, SubElement, fromstring

from gateway.demo.twilio_api.answers import Answer, read_answer
from gateway.demo.twilio_api.network import HTTP_FAILED, Mishap, Network, Tried, exchange, overrides
from gateway.demo.twilio_api.signing import Fields, encoded, signed_form
from gateway.demo.twilio_api.twiml_grammar import LONGEST_DOCUMENT, schema_faults

NOT_CONNECTED, TOO_LARGE = "11205", "11750"
NO_XML, NO_RESPONSE, NOT_IN_SCHEMA, WRONG_TYPE = "12100", "12102", "12200", "12300"
XML_TYPES = frozenset({"text/xml", "application/xml", "text/html"})
"""Types that are read as TwiML; text/plain is said as it stands: https://www.twilio.com/docs/voice/twiml#xml-declaration"""
MOST_REDIRECTS = 10
LOSING, KEEPING = frozenset({301, 302, 303}), frozenset({307, 308})
"""Redirects that are followed by a GET without parameters, and those that are followed as it was."""
Reader: TypeAlias = Callable[[asyncio.StreamReader], Awaitable[Answer | None]]


class CallError(Exception):
    """A document could not be had, or cannot be followed; it ends the call unless another address helps."""

    def __init__(self, code: str, url: str, why: str = "") -> None:
        super().__init__(f"{code} {url} {why}".strip())
        self.code, self.url, self.why = code, url, why


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request of a call's, and what it was answered with."""

    url: str
    fields: Mapping[str, str]
    method: str = "POST"
    status: int | None = None
    """None: no answer came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """TwiML, and the address it really came from: others count from there."""

    root: Element
    url: str


@dataclass(slots=True)
class CallWeb:
    """Signed requests in the network's way: its token, limit, repeats and mishaps."""

    network: Network
    asked: list[Asked] = field(default_factory=list)
    """All of them, in the order of their answers."""

    async def document(self, url: str, fields: Fields, method: str = "POST") -> Document:
        """The document that is at an address. Raises CallError."""
        try:
            async with asyncio.timeout(self.network.timeout):
                return await self._followed(url, fields, method)
        except TimeoutError:
            raise CallError(HTTP_FAILED, url, "late") from None

    async def tell(self, url: str, fields: Fields, method: str = "POST") -> bool:
        """A request whose answer does not matter; True when it was answered with 2xx."""
        try:
            async with asyncio.timeout(self.network.timeout):
                answer = await self._repeated(url, fields, method)
        except (CallError, TimeoutError):
            return False
        return 200 <= answer.status < 300

    async def _followed(self, url: str, fields: Fields, method: str) -> Document:
        for _ in range(MOST_REDIRECTS):
            answer = await self._repeated(url, fields, method)
            if answer.status not in LOSING | KEEPING:
                return _document(answer, overrides(url)[0])
            url = urljoin(url, answer.headers.get("location", ""))
            if answer.status in LOSING:
                fields, method = (), "GET"
        raise CallError(HTTP_FAILED, url, "it redirects for ever")

    async def _repeated(self, url: str, fields: Fields, method: str) -> Answer:
        """As often as the fragment of the address wants it.

        Raises CallError when the last of the repeats has no good answer either.
        """
        url, repeats = overrides(url)
        for number in range((self.network.repeats if repeats is None else repeats) + 1):
            if number:
                await asyncio.sleep(self.network.pause)
            try:
                answer = await self._once(url, fields, method)
                if answer.status < 400:
                    return answer
                failed = CallError(HTTP_FAILED, url, str(answer.status))
            except CallError as error:
                failed = error
        raise failed

    async def _once(self, url: str, fields: Fields, method: str) -> Answer:
        plan = self.network.plan
        mishap = plan.pop(0) if plan else None
        copies = [self._copy(url, fields, method, mishap) for _ in range(2 if mishap == "twice" else 1)]
        came = await asyncio.gather(*copies, return_exceptions=True)
        for one in sorted(came, key=lambda one: isinstance(one, BaseException)):
            if isinstance(one, BaseException):
                raise one
            return one
        raise AssertionError("there is one copy at least")

    async def _copy(self, url: str, fields: Fields, method: str, mishap: Mishap | None) -> Answer:
        there, form = url, fields
        if method == "GET":
            joined = "&" if "?" in url else "?"
            there, form = f"{url}{joined}{encoded(fields).decode()}" if fields else url, ()
        body, headers = signed_form(self.network.token, there, form)
        if method == "GET":
            del headers["Content-Type"]
        answer, code = None, HTTP_FAILED
        try:
            answer = await exchange(there, body, headers, read=_read, method=method, mishap=mishap)
        except ConnectionRefusedError:
            code = NOT_CONNECTED
        except (OSError, ValueError) as error:  # ValueError: a port that is none.
            raise CallError(HTTP_FAILED, url, str(error)) from error
        finally:
            status = None if answer is None else answer.status
            self.asked.append(Asked(url=there, fields=dict(fields), method=method, status=status))
            self.network.tried.append(Tried(dict(fields).get("CallSid", ""), there, status))
        if answer is None:
            raise CallError(code, url, "no answer")
        return answer


async def _read(reader: asyncio.StreamReader) -> Answer | None:
    return await read_answer(reader, LONGEST_DOCUMENT)


def _document(answer: Answer, url: str) -> Document:
    """Raises CallError for what is no TwiML."""
    if len(answer.content) > LONGEST_DOCUMENT:
        raise CallError(TOO_LARGE, url, "more than 64 KB")
    if answer.content_type == "text/plain":
        root = Element("Response")
        SubElement(root, "Say").text = answer.content.decode(errors="replace")
        return Document(root=root, url=url)
    if answer.content_type not in XML_TYPES:
        raise CallError(WRONG_TYPE, url, answer.content_type)
    try:
        root = fromstring(answer.content)
    except ParseError as error:
        raise CallError(NO_XML, url, str(error)) from error
    if root.tag != "Response":
        raise CallError(NO_RESPONSE, url, root.tag)
    if found := schema_faults(root):
        # The service warns and goes on with some of these; here each one ends the call, so that it is seen.
        raise CallError(NOT_IN_SCHEMA, url, "; ".join(found))
    return Document(root=root, url=url)
