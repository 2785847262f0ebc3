"""The way out: notices as messages of one account, and what went out when nobody knows.

The API knows no idempotency key: a call whose answer is lost is `uncertain`, and the list of messages tells whether it
was done. One call of `send` is one call on the wire (two where the address for reports was refused).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from channels.contract import CannotTell, Clock
from channels.segments import segments
from channels.twilio.composing import WHATSAPP, Not, Wanted, divide, wanted
from channels.twilio.errors import CALLBACK, Judged, Refused, Unanswered, Unsent, judge
from channels.twilio.settings import TwilioAccount, TwilioNumbers
from normalizer.message import Delivery, Notice, Receipt

if TYPE_CHECKING:
    from channels.twilio.rest import Rest, Sent

T = TypeVar("T")
FAILED = frozenset({"failed", "undelivered", "canceled"})
REMEMBERED = timedelta(hours=1)
"""After the last answer that complained of something its trouble is taken to be over."""
MOST = 200
"""Messages to one person in a day that are looked through."""
QUEUED = 50
"""The newest ones of any day, sent or not."""
BEFORE = timedelta(seconds=3)
"""Twilio's times have no fractions, and its clock is read to the second."""
SETTLES = 2.0
"""Seconds after which a list is believed that does not have a message yet."""
WAITED = timedelta(seconds=20)
"""A message that was sent longer ago stands in the list."""


class Line:
    """The REST API of one account; the SDK is loaded with the first call."""

    def __init__(self, account: TwilioNumbers, *tokens: str) -> None:
        """`tokens`: the usual one, and while tokens are changed the other. Nothing is loaded or connected yet."""
        if not tokens or not all(tokens):
            raise ValueError("an account without a token cannot send")
        self._account, self._tokens = account, tokens
        self._rests: dict[int, Rest] = {}
        self._used = 0
        self._loading = asyncio.Lock()

    async def ask(self, call: Callable[[Rest], Awaitable[T]]) -> T:
        """What a call comes to, with the other token when this one is refused: such a call was surely not done.

        Raises what the call does.
        """
        used = self._used
        try:
            return await call(await self._with(used))
        except Refused as refused:
            if refused.status != 401 or len(self._tokens) == 1:
                raise
        other = (used + 1) % len(self._tokens)
        made = await call(await self._with(other))
        self._used = other
        return made

    async def _with(self, used: int) -> Rest:
        async with self._loading:
            if used not in self._rests:
                module = await asyncio.to_thread(import_module, "channels.twilio.rest")
                account, token = self._account, self._tokens[used]
                seconds = account.timeout.total_seconds()
                self._rests[used] = module.Rest(account.account_sid, token, api_url=account.api_url, seconds=seconds)
            return self._rests[used]


class TwilioSender:
    """Sends for one account; `channels.contract.Sender`, `Divides` and `Watched`."""

    def __init__(
        self, channel: str, name: str, account: TwilioAccount, line: Line, *, public_url: str, clock: Clock
    ) -> None:
        """`public_url`: what stands before "/channels" in the address that reports are sent to; "" for none."""
        self._channel, self._name, self._account = channel, name, account
        self._line, self._public_url, self._clock = line, public_url, clock
        self._troubles: dict[str, tuple[str, datetime]] = {}

    def divide(self, notice: Notice) -> Sequence[Notice]:
        """The notice as messages, each a row of the outbox; see `composing.divide`."""
        return divide(self._account, notice)

    async def send(self, notice: Notice) -> Receipt:
        """One message."""
        try:
            what = wanted(self._account, notice, self._clock())
        except Not as no:
            return no.receipt
        parameters = self._parameters(what, notice)
        try:
            made = await self._made(parameters)
        except (Refused, Unsent, Unanswered) as error:
            return self._failed(judge(error))
        self._troubles.pop(self._cause(0), None)
        return receipt_of(self._channel, self._name, made, _size(what))

    async def troubles(self) -> Mapping[str, str]:
        """What of the account's setup keeps messages from going out."""
        since = self._clock() - REMEMBERED
        self._troubles = {cause: said for cause, said in self._troubles.items() if said[1] > since}
        return {cause: why for cause, (why, _) in self._troubles.items()}

    async def _made(self, parameters: dict[str, Any]) -> Sent:
        try:
            return await self._line.ask(lambda rest: rest.create(parameters))
        except Refused as refused:
            # A refusal is certain, so nothing is doubled; without reports the message is worth more than none.
            if refused.code != CALLBACK or "status_callback" not in parameters:
                raise
        why = f"Twilio does not take the address for reports ({CALLBACK}): nobody knows what arrives; see public_url"
        self._troubles[self._cause(CALLBACK)] = (why, self._clock())
        fewer = {name: value for name, value in parameters.items() if name != "status_callback"}
        return await self._line.ask(lambda rest: rest.create(fewer))

    def _parameters(self, what: Wanted, notice: Notice) -> dict[str, Any]:
        """As the library names them."""
        made: dict[str, Any] = {"to": what.to, "from_": what.sender}
        if self._public_url:
            path = f"/channels/{self._channel}/{self._name}/status?o={notice.id}"
            made["status_callback"] = self._public_url + path
        if self._channel != WHATSAPP:
            # What goes out is what we wrote, letter by letter: a list is compared with it.
            made |= {"validity_period": int(self._account.validity.total_seconds()), "smart_encoded": False}
        if what.template is None:
            return {**made, "body": what.body}
        return {**made, "content_sid": what.template.content_sid, "content_variables": what.variables}

    def _failed(self, judged: Judged) -> Receipt:
        if judged.alarm:
            self._troubles[self._cause(0 if judged.whole else judged.code)] = (judged.alarm, self._clock())
        return judged.receipt

    def _cause(self, code: int) -> str:
        """A cause of its own for each code; 0 is for what stops the whole account."""
        return f"twilio {code} {self._channel}/{self._name}" if code else f"twilio {self._channel}/{self._name}"


class TwilioProber:
    """Whether a message went out, by the account's list; `channels.contract.Prober`."""

    def __init__(
        self,
        channel: str,
        name: str,
        account: TwilioAccount,
        line: Line,
        *,
        clock: Clock,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`sleep` waits so many seconds."""
        self._channel, self._name, self._account = channel, name, account
        self._line, self._clock, self._sleep = line, clock, sleep

    async def find(self, notice: Notice, since: datetime) -> Receipt | CannotTell | None:
        """By number, number of ours and words, among what was sent after `since` by Twilio's clock."""
        try:
            what = wanted(self._account, notice, since)
        except Not:
            return None  # no call was made
        try:
            found = await self._look(what, since)
            if found is None and self._clock() - since < WAITED:
                # A list may be a moment behind.
                await self._sleep(SETTLES)
                found = await self._look(what, since)
        except (Refused, Unsent, Unanswered) as error:
            return CannotTell(judge(error).receipt.detail)
        if isinstance(found, CannotTell) or found is None:
            return found
        return receipt_of(self._channel, self._name, found, "found in its list")

    async def _look(self, what: Wanted, since: datetime) -> Sent | CannotTell | None:
        day, who = since - timedelta(hours=1), {"to": what.to, "sender": what.sender}
        begun, told = await self._line.ask(lambda rest: rest.outgoing(**who, since=day, most=MOST))
        ahead = (told - self._clock()) if told is not None else timedelta(0)
        # What waits in the queue has no date of sending, and is in no list by date.
        queued, _ = await self._line.ask(lambda rest: rest.outgoing(**who, since=None, most=QUEUED))
        after = since + ahead - BEFORE
        new = [one for one in [*begun, *queued] if one.created is not None and one.created >= after]
        if what.template is not None:
            detail = "something was sent to this person, and a template's words cannot be compared"
            return CannotTell(detail) if new else None
        same = [one for one in new if _words(one.body) == _words(what.body)]
        if not same and len(begun) >= MOST:
            return CannotTell("too much was sent to this person today to look through")
        return same[0] if same else None


def receipt_of(channel: str, name: str, made: Sent, detail: str) -> Receipt:
    """SENT, with the key that reports name it by; what has failed already is not."""
    if made.status in FAILED:
        code = int(made.error) if made.error.isdigit() else 0
        return judge(Refused(400, code, f"{made.status} at Twilio")).receipt
    detail = f"{made.status} at Twilio, {detail}"
    return Receipt(delivery=Delivery.SENT, external_ids=(f"{channel}:{name}:{made.sid}",), detail=detail)


def _words(text: str) -> str:
    """White space at the ends, and how a line ends, may change on the way."""
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def _size(what: Wanted) -> str:
    if what.template is not None:
        return "an approved text"
    count = segments(what.body)
    return f"{count} {'part' if count == 1 else 'parts'}"
