"""Whose mail an envelope recipient is. Only addresses of configured accounts are taken, so nothing is relayed."""

from __future__ import annotations

from collections.abc import Mapping

from channels.mail.settings import MailAccount


class Recipients:
    """Finds the account of an address: exact, with a plus part, or postmaster of one of our domains."""

    def __init__(self, accounts: Mapping[str, MailAccount]) -> None:
        self._accounts: dict[str, str] = {}
        self._postmasters: dict[str, str] = {}
        self.domain = ""
        """Domain of the first account: our name where no other is configured."""
        for name, account in accounts.items():
            for address in account.addresses:
                local, domain = _split(address)
                self._accounts.setdefault(f"{local}@{domain}", name)
                # RFC 5321 section 4.5.1: postmaster must be reachable wherever mail is taken in.
                self._postmasters.setdefault(domain, name)
                self._postmasters.setdefault("", name)
                self.domain = self.domain or domain

    def account_of(self, address: str) -> str | None:
        """Name of the account, or None when the address is not ours."""
        local, domain = _split(address)
        base = local.partition("+")[0]
        found = self._accounts.get(f"{base}@{domain}")
        if found is None and base == "postmaster":
            return self._postmasters.get(domain)
        return found


def _split(address: str) -> tuple[str, str]:
    """(local part, domain) as they are compared: lower-case, the domain as A-labels (RFC 5890)."""
    local, at, domain = address.rpartition("@")
    if not at:
        return address.lower(), ""
    return local.lower(), a_labels(domain)


def a_labels(domain: str) -> str:
    """A domain as DNS has it, lower-case; unchanged where it cannot be encoded."""
    if domain.isascii():
        return domain.lower()
    try:
        return domain.encode("idna").decode("ascii").lower()
    except UnicodeError:
        return domain.lower()
