"""What sendsms answers, as receipts: one table, its first row that holds decides.

Kannel 1.4.5, gw/smsbox.c: 202 comes after bearerbox has the message in its store; the words say where it is then.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from normalizer.message import Delivery, Fault, Receipt

_DETAIL = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One row: status ("" fits all) and words."""

    status: str = ""
    words: str = ""
    delivery: Delivery
    fault: Fault = Fault.FAR_SIDE
    about: Literal["address", "channel"] = "address"
    says: str = ""
    """Before the far side's words."""


RULES: tuple[Rule, ...] = (
    Rule(status="202", words=r"^0:", delivery=Delivery.SENT, fault=Fault.NONE),
    Rule(status="202", words=r"^3:", delivery=Delivery.SENT, fault=Fault.NONE, says="waits in Kannel's queue"),
    Rule(status="2..", delivery=Delivery.SENT, fault=Fault.NONE),
    Rule(status="403", words="auth", delivery=Delivery.RETRY, fault=Fault.OURS, says="Kannel refuses our password"),
    Rule(status="403", delivery=Delivery.UNREACHABLE, about="channel", says="Kannel has no way there"),
    Rule(status="400", words="black-list", delivery=Delivery.UNREACHABLE, about="channel", says="its lists forbid it"),
    Rule(status="400", words="receiver", delivery=Delivery.REFUSED, fault=Fault.MESSAGE),
    Rule(status="400", delivery=Delivery.REFUSED, fault=Fault.OURS, says="Kannel does not understand us"),
    Rule(status="404", delivery=Delivery.RETRY, fault=Fault.OURS, says="api_url is not that of sendsms"),
    Rule(status="413", delivery=Delivery.REFUSED, fault=Fault.MESSAGE),
    Rule(status="[34]..", delivery=Delivery.RETRY, fault=Fault.OURS, says="api_url is not that of sendsms"),
    Rule(delivery=Delivery.RETRY, says="Kannel cannot now"),
)  # fmt: skip
"""403 beside a wrong password is "Not routable. Do not try again.", 503 "Temporal failure, try again later.", 500
"Sending failed."."""


def receipt_of(status: int, words: str, key: str) -> Receipt:
    """`words`: the answer's body; `key`: our name for the message."""
    said = " ".join(words.split())[:_DETAIL]
    rule = next(
        each
        for each in RULES
        if re.fullmatch(each.status or "...", str(status)) and re.search(each.words, said, re.IGNORECASE)
    )
    detail = ": ".join(part for part in (rule.says, f"{status} {said}".strip()) if part)
    sent = rule.delivery is Delivery.SENT
    keys = (key,) if sent else ()
    return Receipt(delivery=rule.delivery, external_ids=keys, detail=detail, fault=rule.fault, about=rule.about)
