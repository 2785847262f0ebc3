"""Calls of which no request reached us: the provider has them in its list, and plays callers an error of its own.

Read as the list of messages is (`channels.twilio.reconcile`): a cursor for each number, by the time at which calls
began; of a number whose calls are led to us, as the first of them shows. A call that is over, and of which nothing is
in the journal, is taken in as the requests about it would have been: its end, with the external id of the request that
did not come, and then what was recorded in it.
https://www.twilio.com/docs/voice/api/call-resource#read-multiple-call-resources
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from channels.contract import Clock, Intake, Ledger
from channels.rounds import Pace
from channels.twilio.listed import text_of, time_of
from channels.twilio.reconcile import SETTLED, ListReader, Reached
from channels.voice import told
from channels.voice.settings import VoiceAccount
from normalizer.message import RawMessage

LONGEST = timedelta(hours=6)
"""A call goes on for four hours at most (https://www.twilio.com/docs/voice/api/call-resource), and is not taken in
before its end: until then each comparison reads the place again where it began."""
RECORDED = timedelta(minutes=30)
"""What was recorded is waited for so long after the end of its call."""
LONGEST_SID = 64
INBOUND = "inbound"
"""Direction of those that came to us; others are ours, or parts of a call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedCall:
    """One call to us that is over."""

    sid: str
    sent_at: datetime | None
    """When it began."""
    ended_at: datetime
    said: Mapping[str, Any]
    """As the provider lists it."""
    whole: bool = True


class MissedCalls(ListReader[ListedCall]):
    """Calls to one account's numbers."""

    KEY = "calls"
    MISSED = "at {at} the provider listed {count} calls of which no request had reached us; they have tickets now"
    OVERLAP = LONGEST

    def __init__(
        self,
        account_name: str,
        account: VoiceAccount,
        tokens: Sequence[str],
        *,
        clock: Clock,
        ledger: Ledger,
        chance: Callable[[], float],
        pace: Pace | None = None,
    ) -> None:
        """`chance` gives numbers in [0, 1): it spreads the pauses."""
        super().__init__(
            "voice", account_name, account, tokens, every=account.reconcile, back=account.reconcile_back,
            clock=clock, ledger=ledger, chance=chance, pace=pace,
        )  # fmt: skip

    def _numbers(self) -> Sequence[str]:
        return self._account.numbers

    def _cursor_name(self, number: str) -> str:
        return f"calls {number}"

    async def _number(self, number: str, now: datetime, intake: Intake) -> int:
        if self._back or await self._ledger.has_been_called(self._channel, self._name, number):
            return await super()._number(number, now, intake)
        # Calls to it may be led elsewhere, to an exchange say, while we call from it or take its text messages.
        await intake([], self._cursor(number, Reached(begun=now, until=now)))
        return 0

    def _first_page(self, number: str, first: date, last: date) -> str:
        return self._lists.calls(number, first, last)

    def _read(self, item: Mapping[str, Any]) -> ListedCall | None:
        sid = text_of(item, "sid")
        named = 0 < len(sid) <= LONGEST_SID and sid.isascii() and sid.isprintable()
        ours = text_of(item, "direction") == INBOUND and text_of(item, "to") in self._account.numbers
        if not named or not ours or not told.is_over(item):
            return None
        begun = time_of(text_of(item, "start_time")) or time_of(text_of(item, "date_created"))
        ended, now = time_of(text_of(item, "end_time")) or begun, self._clock()
        # The request that tells of its end may be under way.
        if ended is not None and ended > now - SETTLED:
            return None
        return ListedCall(sid=sid, sent_at=begun, ended_at=ended or now, said=item)

    async def _known(self, sids: Sequence[str]) -> frozenset[str]:
        return await self._ledger.known_calls(self._channel, self._name, sids)

    async def _raws(self, one: ListedCall, now: datetime) -> Sequence[RawMessage]:
        async def asked() -> Sequence[Mapping[str, Any]]:
            return await self._lists.whole(self._lists.recordings(one.sid), "recordings")

        recordings = await self._patience.wait(one.sid, asked)
        if told.are_unfinished(recordings) and one.ended_at > now - RECORDED:
            return ()
        found = [(each, self._lists.recording(text_of(each, "sid"))) for each in recordings if text_of(each, "sid")]
        *heard, ended = told.raws_listed(one.said, found, channel=self._channel, account=self._name, now=now)
        # What is told of a recording does not say who called: the end does, and nothing else has.
        return (ended, *heard)
