"""Which contract covers an address: the exact address, number or chat first, then the longest domain."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from router.assignment import Reason

if TYPE_CHECKING:
    from router.policy import Contract, Policy

_PHONE = re.compile(r"\+?[0-9][0-9 ()./-]{5,24}")
_NOT_DIGIT = re.compile(r"[^0-9]")


def normal(address: str, channel: str = "") -> str:
    """The form in which addresses are compared.

    Mail: lower case, the domain in ASCII (RFC 5890). A number: "+" and digits. Anything else: "<channel>:<id>".
    """
    address = address.strip().lower()
    if "@" in address:
        local, _, domain = address.rpartition("@")
        return f"{local}@{_ascii(domain)}"
    if channel not in _CHATS and _PHONE.fullmatch(address):
        return "+" + _NOT_DIGIT.sub("", address)
    return address if ":" in address or not channel else f"{channel}:{address}"


_CHATS = frozenset({"telegram"})
"""Channels whose numeric ids are not telephone numbers."""


def covering(policy: Policy, address: str, *, channel: str = "mail") -> tuple[Contract | None, Reason]:
    """The contract that covers an address and what of it does; None: a stranger, who is taken in all the same."""
    for candidate in _candidates(normal(address, channel)):
        key = policy.covers.get(candidate)
        if key is not None:
            reason = Reason(
                what="contract",
                value=key,
                cause=f"contract:{key}",
                detail=f"covers {'domain ' if candidate.startswith('@') else ''}{candidate.removeprefix('@')}",
            )
            return policy.contracts[key], reason
    return None, Reason(what="contract", value="none", cause="contract:none", detail="no contract covers the sender")


def coverage(contract: Contract) -> Iterator[str]:
    """What a contract covers, in the form that is compared; a domain with a leading "@"."""
    yield from (normal(address, "mail") for address in contract.addresses)
    yield from (normal(phone, "sms") for phone in contract.phones)
    yield from (normal(chat) for chat in contract.chats)
    yield from (f"@{_ascii(domain.strip().lower().removeprefix('@'))}" for domain in contract.domains)


def table(contracts: Mapping[str, Contract]) -> dict[str, str]:
    """What is covered -> key of the contract. What two claim goes to the first by key (`check` refuses it)."""
    found: dict[str, str] = {}
    for key in sorted(contracts):
        for covered in coverage(contracts[key]):
            found.setdefault(covered, key)
    return found


def _candidates(address: str) -> Iterator[str]:
    """From the exact address to the shortest domain."""
    yield address
    if "@" in address:
        domain = address.rpartition("@")[2]
        while domain:
            yield f"@{domain}"
            domain = domain.partition(".")[2]


def _ascii(domain: str) -> str:
    if domain.isascii():
        return domain
    try:
        return domain.encode("idna").decode("ascii")
    except UnicodeError:
        return domain
