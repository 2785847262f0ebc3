"""A look at a telephone of our own, for `gateway check --online`; nobody is called."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence

from channels.contract import Finding, Surroundings
from channels.voice.sip.settings import SipAccount


async def look(accounts: Mapping[str, SipAccount], around: Surroundings) -> Sequence[Finding]:
    """Of each account: what must be installed, its recorded sounds, and the port where no gateway runs."""
    return [
        found
        for name, account in accounts.items()
        for found in (_needs(f"voice/{name}", account), _port(f"voice/{name}", account, around))
    ]


def _needs(name: str, account: SipAccount) -> Finding:
    what = f"{name} programs"
    lacks = list(account.lacks())
    if account.recorded is not None and not account.recorded.is_dir():
        lacks.append(f"recorded: there is no folder {account.recorded}")
    if lacks:
        return Finding(what=what, trouble="; ".join(lacks))
    return Finding(what=what, good="all there; `gateway prompts make` makes the sounds before somebody calls")


def _port(name: str, account: SipAccount, around: Surroundings) -> Finding:
    what = f"{name} SIP"
    if name in around.listening:
        return Finding(what=what, good=f"rings on {around.listening[name]}")
    family = socket.AF_INET6 if ":" in account.host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as trial:
            trial.bind((account.host, account.port))
    except OSError as error:
        return Finding(what=what, trouble=f"{account.host}:{account.port} cannot be listened on: {error.strerror}")
    return Finding(what=what, good=f"{account.host}:{account.port} is free")
