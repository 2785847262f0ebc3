"""The parts of the channel: a webhook for each account."""

from __future__ import annotations

from collections.abc import Mapping

from channels.contract import Parts, Wiring
from channels.twilio.parts import parts
from channels.whatsapp.settings import WhatsappAccount


def build(accounts: Mapping[str, WhatsappAccount], wiring: Wiring) -> Parts:
    """Make the parts; nothing connects. Raises KeyError or OSError for a secret that is not there, ValueError for one
    that is empty."""
    return parts("whatsapp", accounts, wiring)
