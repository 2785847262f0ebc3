"""What an account for telephone calls may be told."""

from __future__ import annotations

from typing import Literal

from channels.durations import Duration
from channels.twilio.settings import TwilioNumbers


class VoiceAccount(TwilioNumbers):
    """Numbers of Twilio's that people call. Nobody is called: who called is written to by the next channel."""

    transcripts: Literal["none", "provider"] = "none"
    """Who writes down what callers say. provider: Twilio, for a price, of calls in English, up to two minutes of them:
    it can no more; none: `transcription.command` alone, where there is one."""
    delete_recordings_after: Duration | None = None
    """How long after a recording is here, and listened to, it is deleted at the provider: 0s for at once. Without it
    recordings stay there as a second copy, for ever."""
    provider: Literal["twilio"] = "twilio"
    """Twilio, https://www.twilio.com. There is also `sip`, a telephone of our own, with keys of its own."""

    def endpoints(self) -> tuple[str, ...]:
        """Our numbers with "voice:" in front: the same ones may take text messages, too."""
        return tuple(f"voice:{number}" for number in self.numbers)
