"""What an account for text messages may be told."""

from __future__ import annotations

from typing import Literal

from channels.twilio.settings import TwilioAccount
from normalizer.message import Facts


class SmsAccount(TwilioAccount):
    """Numbers that take text messages."""

    provider: Literal["twilio"] = "twilio"
    """Twilio, https://www.twilio.com. There is also `kannel`, with keys of its own."""
    opt_out: Literal["twilio", "gateway"] = "twilio"
    """Who answers STOP, START and HELP in English: Twilio does by default on long numbers. Words in other languages
    are always ours to answer."""

    def reading(self) -> Facts:
        """Also who answers the words that Twilio knows."""
        return {**super().reading(), "opt_out": self.opt_out}
