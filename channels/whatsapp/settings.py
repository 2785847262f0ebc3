"""What an account for WhatsApp may be told."""

from __future__ import annotations

from pydantic import field_validator

from channels.twilio.settings import TwilioAccount


class WhatsappAccount(TwilioAccount):
    """WhatsApp senders of one account of Twilio's."""

    @field_validator("numbers", mode="before")
    @classmethod
    def _bare(cls, numbers: object) -> object:
        """As Twilio writes them, with "whatsapp:" in front, too."""
        if not isinstance(numbers, list | tuple):
            return numbers
        return [one.removeprefix("whatsapp:") if isinstance(one, str) else one for one in numbers]

    def endpoints(self) -> tuple[str, ...]:
        """Our senders as Twilio writes them: the same number may take text messages, too."""
        return tuple(f"whatsapp:{number}" for number in self.numbers)
