"""One adapter for each channel of `CHANNELS`; the suite fails while one is missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from tests.contract.adapters import kannel, mail, telegram, twilio, voice
from tests.contract.channel_adapter import ChannelAdapter

ADAPTERS: Mapping[str, ChannelAdapter] = {
    "mail": mail.ADAPTER,
    "telegram": telegram.ADAPTER,
    "sms": replace(
        twilio.SMS,
        inbound={**twilio.SMS.inbound, **kannel.INBOUND},
        senders={**twilio.SMS.senders, **kannel.SENDERS},
        notice={**kannel.NOTICE, **twilio.SMS.notice},
    ),
    "voice": voice.VOICE,
    "whatsapp": twilio.WHATSAPP,
}
