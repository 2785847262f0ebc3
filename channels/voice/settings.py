"""What an account for telephone calls may be told."""

from __future__ import annotations

from typing import Literal

from channels.twilio.settings import TwilioNumbers


class VoiceAccount(TwilioNumbers):
    """Numbers of Twilio's that people call. Nobody is called: who called is written to by the next channel."""

    provider: Literal["twilio"] = "twilio"
    """Twilio, https://www.twilio.com. There is also `sip`, a telephone of our own, with keys of its own."""

    def endpoints(self) -> tuple[str, ...]:
        """Our numbers with "voice:" in front: the same ones may take text messages, too."""
        return tuple(f"voice:{number}" for number in self.numbers)
