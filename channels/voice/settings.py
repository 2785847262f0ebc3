"""What an account for telephone calls may be told."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import Field, field_validator

from channels.dialling import allowed
from channels.durations import Duration
from channels.twilio.settings import Prefix, TwilioNumbers, not_too_often
from normalizer.message import RATING_CALL


class VoiceAccount(TwilioNumbers):
    """Numbers of Twilio's that people call. They call nobody but those whom `surveys.yaml` lets be asked for a mark
    (`calls`): everything else that is to be told goes by the next channel."""

    prefixes: tuple[Prefix, ...] = ()
    """Countries, or parts of them, that are called: +380, +4866. Empty: those of `numbers`."""
    daily_limit: int = Field(default=100, ge=1)
    """Calls that this account makes in a day (UTC): each costs money. Who would be called above it is asked by the next
    channel, where there is one, and operators hear of it."""
    ring: Duration = timedelta(seconds=30)
    """How long a call of ours rings; from 10s to 1m."""

    transcripts: Literal["none", "provider"] = "none"
    """Who writes down what callers say. provider: Twilio, for a price, of calls in English, up to two minutes of them:
    it can no more; none: `transcription.command` alone, where there is one."""
    delete_recordings_after: Duration | None = None
    """How long after a recording is here, and listened to, it is deleted at the provider: 0s for at once. Without it
    recordings stay there as a second copy, for ever."""
    reconcile: Duration = timedelta(minutes=15)
    """How often the provider's list of calls is compared with what came, also at each start: a call during which
    nothing here could be reached becomes a ticket. A number is compared from its first call on that did reach us: where
    none does, calls may be led elsewhere. 0s: never, for a provider without a list."""
    reconcile_back: Duration = timedelta(0)
    """Calls to a number so long before its first start are taken in, too, also where none ever reached us. Nothing
    older ever is."""
    provider: Literal["twilio"] = "twilio"
    """Twilio, https://www.twilio.com. There is also `sip`, a telephone of our own, with keys of its own."""

    @field_validator("ring")
    @classmethod
    def _rings_for_a_while(cls, span: timedelta) -> timedelta:
        if not timedelta(seconds=10) <= span <= timedelta(minutes=1):
            raise ValueError("should be from 10s to 1m")
        return span

    _is_not_too_often = field_validator("reconcile")(not_too_often)

    def endpoints(self) -> tuple[str, ...]:
        """Our numbers with "voice:" in front: the same ones may take text messages, too."""
        return tuple(f"voice:{number}" for number in self.numbers)

    def most_a_day(self) -> int | None:
        """`daily_limit`."""
        return self.daily_limit

    def costs(self, kind: str, recipient: str) -> bool:
        """Calls alone, where we call: nothing else goes out by this channel."""
        return kind == RATING_CALL and allowed(recipient, self.prefixes, self.numbers)
