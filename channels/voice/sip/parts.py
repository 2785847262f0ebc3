"""The parts of accounts with a telephone of our own."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

from channels.contract import Fetcher, Listener, Parts, Sender, Wiring
from channels.credentials import reveal
from channels.voice.sip.fetch import FolderFetcher
from channels.voice.sip.listener import SipPhone
from channels.voice.sip.no_calls import NoCalls
from channels.voice.sip.settings import EXTRA, STACK, SipAccount
from channels.voice.sip.story import Desk

NO_STACK = f"the SIP stack is not installed: pip install 'intake-gateway[{EXTRA}]'"


def parts(accounts: Mapping[str, SipAccount], wiring: Wiring) -> Parts:
    """A telephone and what fetches its recordings for each account. Raises KeyError or OSError for a secret that is not
    there, ValueError for one that cannot be one, or without the stack."""
    listeners: list[Listener] = []
    senders: dict[str, Sender] = {}
    fetchers: dict[str, Fetcher] = {}
    for name, account in accounts.items():
        if find_spec(STACK) is None:
            raise ValueError(f"channels.voice.{name}: {NO_STACK}")
        for key, said in account.wrong_secrets().items():
            raise ValueError(f"channels.voice.{name}.{key}: {said}")
        desk = Desk(
            account=name,
            folder=wiring.data / "voice" / name,
            facts={"country": account.country, "trunk": account.trunk},
            speech=account.speech(wiring.data),
        )
        password = reveal(account.password) if account.password is not None else ""
        listeners.append(
            SipPhone(
                account, desk, password=password, clock=wiring.clock, dialog=wiring.dialog, suspects=wiring.suspects
            )
        )
        senders[name] = NoCalls()
        fetchers[name] = FolderFetcher(desk.folder)
    return Parts(senders=senders, listeners=listeners, fetchers=fetchers)
