"""What an account for WhatsApp may be told."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from channels.twilio.settings import Template, TwilioAccount


class WhatsappAccount(TwilioAccount):
    """WhatsApp senders of one account of Twilio's."""

    templates: dict[str, dict[Literal["ru", "uk", "en"], Template]] = Field(default={})
    """Kind of a notice (acknowledgement, status, reply …; `any` for all others) -> language -> the approved text that
    says it to somebody who wrote nothing for 24 hours. Without one such a notice takes the next channel."""

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

    def template(self, kind: str, language: str) -> Template | None:
        """That of the kind and language, else of the account's language."""
        for found in (self.templates.get(kind, {}), self.templates.get("any", {})):
            for each in (language, self.language):
                if each in found:
                    return found[each]
        return None
