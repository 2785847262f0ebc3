"""What an account for telephone calls may be told."""

from __future__ import annotations

from channels.twilio.settings import TwilioNumbers


class VoiceAccount(TwilioNumbers):
    """Numbers of Twilio's that people call. Nobody is called: who called is written to by the next channel."""

    def endpoints(self) -> tuple[str, ...]:
        """Our numbers with "voice:" in front: the same ones may take text messages, too."""
        return tuple(f"voice:{number}" for number in self.numbers)
