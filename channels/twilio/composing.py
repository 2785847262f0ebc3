"""A notice as the call that sends it: to whom, from which number of ours, which words. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from channels.dialling import allowed
from channels.segments import divided, divided_by, segments, shortened
from channels.twilio.settings import Template, TwilioAccount
from normalizer.message import Delivery, Fault, Notice, Receipt

WHATSAPP = "whatsapp"
PREFIX = "whatsapp:"
LONGEST = 1600
"""Characters of one message (error 21617)."""
LONGEST_VALUE = 900
"""Characters of a template's value: the whole text may have 1,024 (error 63013 and WhatsApp's own)."""
_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What one call sends."""

    to: str
    sender: str
    body: str
    template: Template | None = None
    """Instead of the body's own words."""
    variables: str = ""
    """JSON, for the template."""


class Not(Exception):
    """It does not go out this way; what it comes to."""

    def __init__(self, receipt: Receipt) -> None:
        super().__init__(receipt.detail)
        self.receipt = receipt


def divide(account: TwilioAccount, notice: Notice) -> Sequence[Notice]:
    """The notice as messages. What a person wrote goes on in further ones; what the gateway writes itself is one."""
    if notice.act != "send":
        return [notice]
    text = _text(notice)
    if notice.channel == WHATSAPP:
        pieces: Sequence[str] = divided_by(text, lambda part: len(part) <= LONGEST)
    elif notice.automatic and segments(text) > account.segments:
        # Where the text ends with its link, that is what would be cut off.
        pieces = [shortened(text.removesuffix(notice.link), account.segments, notice.link)]
    else:
        pieces = divided(text, account.segments)
    # Files without a link stay, so that the first call is refused and staff hear of it.
    files = () if notice.link else notice.attachments
    return [replace(notice, text=piece, attachments=files, part=number) for number, piece in enumerate(pieces)]


def wanted(account: TwilioAccount, notice: Notice, now: datetime) -> Wanted:
    """The call of one of these messages, if it were made `now`. Raises Not."""
    if notice.act != "send":
        raise Not(Receipt(delivery=Delivery.REFUSED, fault=Fault.MESSAGE, detail="what was sent cannot be changed"))
    if notice.attachments and not notice.link:
        raise Not(Receipt(delivery=Delivery.REFUSED, fault=Fault.MESSAGE, detail="a file, and no link to it"))
    if not notice.text.strip():
        raise Not(Receipt(delivery=Delivery.REFUSED, fault=Fault.MESSAGE, detail="there is no text"))
    person = notice.recipient.address.removeprefix(PREFIX)
    if not _NUMBER.fullmatch(person):
        detail = "nothing can be sent to this sender: it is no telephone number with a country"
        raise Not(Receipt(delivery=Delivery.UNREACHABLE, fault=Fault.FAR_SIDE, detail=detail))
    if not allowed(person, account.prefixes, account.numbers):
        raise Not(_elsewhere("we write to no numbers of this country (`prefixes`)"))
    ours, name = _ours(account, notice), PREFIX if notice.channel == WHATSAPP else ""
    made = Wanted(to=f"{name}{person}", sender=f"{name}{ours}", body=notice.text)
    if notice.channel != WHATSAPP or _is_open(notice, now):
        return made
    template = account.template(notice.kind, notice.language)
    if template is None:
        raise Not(_elsewhere("the person wrote nothing for a day: WhatsApp takes an approved text only, and none is"
                             f" configured for {notice.kind} ({notice.language})"))  # fmt: skip
    return replace(made, template=template, variables=_values(template, notice))


def _elsewhere(detail: str) -> Receipt:
    return Receipt(delivery=Delivery.UNREACHABLE, fault=Fault.MESSAGE, about="channel", detail=detail)


def _text(notice: Notice) -> str:
    """Files cannot go along: the text says where they are."""
    text = notice.text.strip()
    return f"{text}\n{notice.link}" if notice.attachments and notice.link and notice.link not in text else text


def _ours(account: TwilioAccount, notice: Notice) -> str:
    """The number that was written to, as long as it is ours; else the first one."""
    said = str(notice.destination.get("from") or "").removeprefix(PREFIX)
    return said if said in account.numbers else account.numbers[0]


def _is_open(notice: Notice, now: datetime) -> bool:
    until = notice.destination.get("window_until")
    return isinstance(until, str) and now < datetime.fromisoformat(until)


def _values(template: Template, notice: Notice) -> str:
    """WhatsApp takes no line break, no tab and not many spaces within a value, and no value that is empty."""
    line = " ".join(notice.text.split())
    text = line if len(line) <= LONGEST_VALUE else f"{line[: LONGEST_VALUE - 1].rstrip()}…"
    said = {"text": text, "link": notice.link or "-"}
    return json.dumps({number: said[what] for number, what in template.variables.items()}, ensure_ascii=False)
