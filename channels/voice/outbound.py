"""The way out: the one call that we make, to ask for a mark; and whether it was made when nobody knows.

Nothing else is said by a call that nobody asked for: it is handed on to the next channel. The API knows no idempotency
key, so a call whose answer is lost is `uncertain`, and the list of calls tells whether it was made. One call of `send`
is one call on the wire. What is said in it, the webhook is asked for at the address that is given here.
https://www.twilio.com/docs/voice/api/call-resource
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from channels.contract import CannotTell, Clock
from channels.dialling import allowed
from channels.twilio.errors import Judged, Refused, Unanswered, Unsent, judge
from channels.twilio.outbound import BEFORE, REMEMBERED, SETTLES, WAITED, Line
from channels.voice.settings import VoiceAccount
from channels.voice.webhook import REPEATED
from normalizer.message import RATING_CALL, Delivery, Fault, Notice, Receipt

if TYPE_CHECKING:
    from channels.twilio.rest import Placed

LONGEST = 300
"""Seconds after which Twilio ends a call of ours, whatever goes on in it."""
MOST = 50
"""Calls to one person, the newest ones, that are looked through."""
_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")


class _Not(Exception):
    """Nobody is called; what it comes to."""

    def __init__(self, receipt: Receipt) -> None:
        super().__init__(receipt.detail)
        self.receipt = receipt


class CallSender:
    """Calls for one account; `channels.contract.Sender` and `Watched`."""

    def __init__(self, name: str, account: VoiceAccount, line: Line, *, public_url: str, clock: Clock) -> None:
        """`public_url`: what stands before "/channels" in the address that a call is led from; "": nobody is called."""
        self._name, self._account, self._line = name, account, line
        self._public_url, self._clock = public_url, clock
        self._troubles: dict[str, tuple[str, datetime]] = {}

    async def send(self, notice: Notice) -> Receipt:
        """One call, or none: who is not to be called is handed on (UNREACHABLE about the channel)."""
        try:
            parameters = self._parameters(notice)
        except _Not as no:
            return no.receipt
        try:
            made = await self._line.ask(lambda rest: rest.call(parameters))
        except (Refused, Unsent, Unanswered) as error:
            return self._failed(judge(error))
        self._troubles.pop(self._cause(0), None)
        return receipt_of(self._name, made, f"{made.status} at Twilio")

    async def troubles(self) -> Mapping[str, str]:
        """What of the account's setup keeps calls from being made."""
        since = self._clock() - REMEMBERED
        self._troubles = {cause: said for cause, said in self._troubles.items() if said[1] > since}
        return {cause: why for cause, (why, _) in self._troubles.items()}

    def _parameters(self, notice: Notice) -> dict[str, Any]:
        """As the library names them. Raises _Not."""
        to, ours = who(self._account, notice)
        if not self._public_url:
            raise _Not(_handed_on("no address of ours is known that a call could be led from (`public_url`)"))
        own = f"{self._public_url}/channels/voice/{self._name}"
        return {
            "to": to, "from_": ours, "url": f"{own}?o={notice.id}{REPEATED}", "method": "POST",
            "status_callback": f"{own}/status?o={notice.id}{REPEATED}", "status_callback_method": "POST",
            # Told once a call is over, in whatever way.
            "status_callback_event": ["completed"],
            "timeout": int(self._account.ring.total_seconds()), "time_limit": LONGEST,
            # The first question waits until it is known who took the call up.
            "machine_detection": "Enable",
        }  # fmt: skip

    def _failed(self, judged: Judged) -> Receipt:
        if judged.alarm:
            self._troubles[self._cause(0 if judged.whole else judged.code)] = (judged.alarm, self._clock())
        return judged.receipt

    def _cause(self, code: int) -> str:
        return f"twilio {code} voice/{self._name}" if code else f"twilio voice/{self._name}"


class CallProber:
    """Whether a call was made, by the account's list; `channels.contract.Prober`."""

    def __init__(
        self,
        name: str,
        account: VoiceAccount,
        line: Line,
        *,
        clock: Clock,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`sleep` waits so many seconds."""
        self._name, self._account, self._line, self._clock, self._sleep = name, account, line, clock, sleep

    async def find(self, notice: Notice, since: datetime) -> Receipt | CannotTell | None:
        """By both numbers, among what was made after `since` by Twilio's clock: nobody is called twice at a time."""
        try:
            to, ours = who(self._account, notice)
        except _Not:
            return None  # no call was made
        try:
            found = await self._look(to, ours, since)
            if found is None and self._clock() - since < WAITED:
                # A list may be a moment behind.
                await self._sleep(SETTLES)
                found = await self._look(to, ours, since)
        except (Refused, Unsent, Unanswered) as error:
            return CannotTell(judge(error).receipt.detail)
        if isinstance(found, CannotTell) or found is None:
            return found
        return receipt_of(self._name, found, f"{found.status} at Twilio, found in its list")

    async def _look(self, to: str, ours: str, since: datetime) -> Placed | CannotTell | None:
        calls, told = await self._line.ask(lambda rest: rest.placed(to=to, sender=ours, most=MOST))
        ahead = (told - self._clock()) if told is not None else timedelta(0)
        after = since + ahead - BEFORE
        new = [one for one in calls if one.created is not None and one.created >= after]
        if new:
            return new[-1]
        undated = any(one.created is None for one in calls)
        return CannotTell("the list does not say when calls were made") if undated else None


def who(account: VoiceAccount, notice: Notice) -> tuple[str, str]:
    """(whom, from which number of ours). Raises _Not."""
    if notice.kind != RATING_CALL or notice.act != "send":
        raise _Not(_handed_on("nobody is called for a notice; the next channel has it, where there is one"))
    person = notice.recipient.address
    if not _NUMBER.fullmatch(person):
        raise _Not(_handed_on("it is no telephone number with a country"))
    if not allowed(person, account.prefixes, account.numbers):
        raise _Not(_handed_on("we call no numbers of this country (`prefixes`)"))
    said = str(notice.destination.get("from") or "")
    return person, said if said in account.numbers else account.numbers[0]


def _handed_on(detail: str) -> Receipt:
    """About the channel: the number stays good."""
    return Receipt(delivery=Delivery.UNREACHABLE, fault=Fault.FAR_SIDE, about="channel", detail=detail)


def receipt_of(name: str, made: Placed, detail: str) -> Receipt:
    """SENT: the telephone rings, or rang; what came of it is told by the webhook."""
    return Receipt(delivery=Delivery.SENT, external_ids=(f"voice:{name}:{made.sid}",), detail=detail)
