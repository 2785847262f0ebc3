"""The way in to the normaliser: raw bytes to an Event, by one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from normalizer.form import read as read_form
from normalizer.kannel import read as read_kannel
from normalizer.kannel_report import read as read_kannel_report
from normalizer.mail.read import read as read_mail
from normalizer.message import Event, RawMessage
from normalizer.sip_call import read as read_sip_call
from normalizer.telegram import read as read_telegram
from normalizer.twilio_call import read as read_twilio_call
from normalizer.twilio_message import read as read_twilio_message
from normalizer.twilio_status import read as read_twilio_status

PARSERS: Mapping[str, Callable[[RawMessage], Event]] = {
    "mail/1": read_mail,
    "form/1": read_form,
    "telegram/1": read_telegram,
    "twilio_message/1": read_twilio_message,
    "twilio_status/1": read_twilio_status,
    "twilio_call/1": read_twilio_call,
    "sip_call/1": read_sip_call,
    "kannel/1": read_kannel,
    "kannel_report/1": read_kannel_report,
}
"""Format of a raw message -> its parser."""


def normalize(raw: RawMessage) -> Event:
    """What a raw message means. Pure, and total over bytes: it never raises for what stands in the body.

    Raises ValueError for a format that no parser knows and TypeError for a body that was not loaded: both are ours.
    """
    parser = PARSERS.get(raw.format)
    if parser is None:
        raise ValueError(f"no parser for the format {raw.format!r}")
    return parser(raw)
