"""The way out: sendsms by POST. The password goes in a header, because addresses stand in logs.

Kannel's user guide, "Using POST method to send SMS": text as the body, everything else in X-Kannel headers.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from urllib.parse import urlencode

import aiohttp

from channels import segments
from channels.dialling import allowed
from channels.sms.kannel_answers import receipt_of
from channels.sms.kannel_settings import KannelAccount
from channels.sms.kannel_webhook import SECRET
from normalizer.message import Delivery, Fault, Notice, Receipt

ALL_REPORTS = 1 + 2 + 8 + 16
"""Delivered, not delivered, taken by the network, refused by it; not "waits there" (4), which changes nothing."""
ESCAPES = "type=%d&reply=%A&from=%p&to=%P&smsc=%i&time=%T"
"""Kannel fills these in when it calls the address of reports."""
CODINGS: Mapping[segments.Encoding, str] = {"GSM-7": "0", "UCS-2": "2"}
LONGEST_ANSWER = 4096
_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")
_SPACE = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]+")


class KannelSender:
    """Sends for one account; `channels.contract.Sender`, `Divides` and `Watched`."""

    def __init__(
        self,
        name: str,
        account: KannelAccount,
        *,
        password: str,
        secret: str,
        public_url: str,
        unique: Callable[[], str],
    ) -> None:
        """`unique` names each call: what is reported of an earlier one says nothing about a later one."""
        self._name, self._account, self._password, self._unique = name, account, password, unique
        self._trouble = ""
        self._status_url = f"{public_url}/channels/sms/{name}/status?{urlencode({SECRET: secret})}"

    def divide(self, notice: Notice) -> Sequence[Notice]:
        """A person's words whole, in as many messages as they take; what we say ourselves in one, with its link."""
        most, text, link = self._account.segments, notice.text.strip(), notice.link
        if notice.attachments and link and link not in text:
            text = f"{text}\n{link}"  # files cannot go along
        if notice.automatic and segments.segments(text) > most:
            pieces: Sequence[str] = [segments.shortened(text.removesuffix(link), most, link)]
        else:
            pieces = segments.divided(text, most)
        # Files without a link stay, so that the first call is refused and staff hear of it.
        files = () if link else notice.attachments
        return [replace(notice, text=piece, attachments=files, part=number) for number, piece in enumerate(pieces)]

    async def send(self, notice: Notice) -> Receipt:
        """One call of sendsms."""
        to = str(notice.destination.get("to") or notice.recipient.address)
        text = _SPACE.sub(" ", notice.text).strip()
        if not _NUMBER.fullmatch(to):
            # A name in letters, a hidden number: another channel may know the person.
            return Receipt(delivery=Delivery.UNREACHABLE, detail="nobody can be written to there")
        if not allowed(to, self._account.prefixes, self._account.numbers):
            detail = "we write to no numbers of this country (`prefixes`)"
            return Receipt(delivery=Delivery.UNREACHABLE, fault=Fault.MESSAGE, about="channel", detail=detail)
        if notice.attachments and not notice.link:
            return Receipt(delivery=Delivery.REFUSED, fault=Fault.MESSAGE, detail="a file, and no link to it")
        if not text:
            return Receipt(delivery=Delivery.REFUSED, fault=Fault.MESSAGE, detail="there is nothing to send")
        key = self._unique()
        headers = self._headers(notice, to, text, key)
        try:
            status, words = await self._post(text, headers)
        except (TimeoutError, aiohttp.ClientConnectorError, aiohttp.ClientError, OSError) as error:
            return self._unanswered(error)
        receipt = receipt_of(status, words, f"sms:{self._name}:{key}")
        ours = receipt.delivery is Delivery.RETRY and receipt.fault is Fault.OURS
        self._trouble = receipt.detail if ours else ""
        return receipt

    async def troubles(self) -> Mapping[str, str]:
        """What of the account's setup keeps every message from going out."""
        return {f"kannel sms/{self._name}": self._trouble} if self._trouble else {}

    def _unanswered(self, error: Exception) -> Receipt:
        """Who never got the request has not sent it; who got it may have."""
        never = isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError | aiohttp.InvalidURL)
        what = "cannot be reached" if never else "did not answer"
        detail = f"Kannel {what}: {type(error).__name__}"
        return Receipt(delivery=Delivery.RETRY, fault=Fault.FAR_SIDE, detail=detail, uncertain=not never)

    async def _post(self, text: str, headers: Mapping[str, str]) -> tuple[int, str]:
        limit = aiohttp.ClientTimeout(total=self._account.timeout, sock_connect=min(5.0, self._account.timeout))
        async with (
            asyncio.timeout(self._account.timeout + 1),
            aiohttp.ClientSession(timeout=limit) as http,
            http.post(
                self._account.api_url, data=text.encode(), headers=dict(headers), allow_redirects=False
            ) as answer,
        ):
            said = await answer.content.read(LONGEST_ANSWER)
            return answer.status, said.decode("utf-8", "replace")

    def _headers(self, notice: Notice, to: str, text: str, key: str) -> dict[str, str]:
        ours = str(notice.destination.get("from") or "")
        made = {
            "Content-Type": "text/plain; charset=UTF-8",
            "X-Kannel-Username": self._account.username,
            "X-Kannel-Password": self._password,
            "X-Kannel-To": to,
            "X-Kannel-From": ours if ours in self._account.numbers else self._account.numbers[0],
            "X-Kannel-Coding": CODINGS[segments.encoding(text)],
            "X-Kannel-Validity": str(max(1, int(self._account.validity.total_seconds() // 60))),
            "X-Kannel-DLR-Mask": str(ALL_REPORTS),
            "X-Kannel-DLR-Url": f"{self._status_url}&o={notice.id}&k={key}&{ESCAPES}",
        }
        if self._account.smsc:
            made["X-Kannel-SMSC"] = self._account.smsc
        return made
