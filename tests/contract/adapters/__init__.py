"""One adapter for each channel of `CHANNELS`; the suite fails while one is missing."""

from __future__ import annotations

from collections.abc import Mapping

from tests.contract.adapters import mail, telegram, twilio
from tests.contract.channel_adapter import ChannelAdapter

ADAPTERS: Mapping[str, ChannelAdapter] = {
    "mail": mail.ADAPTER,
    "telegram": telegram.ADAPTER,
    "sms": twilio.SMS,
    "whatsapp": twilio.WHATSAPP,
}
