"""A feed of a real Request Tracker, for tests."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from itertools import count
from typing import Any

from gateway.feeds.contract import Ticket
from gateway.feeds.rt import RtFeed
from gateway.feeds.rt_settings import RtSettings
from tests.feeds.opened import opened, wiring
from tests.feeds.servers_rt import Rt
from tests.feeds.writes import ticket

MAP = {
    "line": {"L1": "General", "L2": "Engineers"},
    "class": {"2": "server", "6": "question"},
    "contract": {"alpha": "A"},
}
FIELDS = {"class": "SupportClass", "line": "SupportLine", "contract": "Contract", "onsite": "OnSite"}
_numbers = count(10000001)


def fresh(**over: Any) -> Ticket:
    """A ticket that no other test has."""
    return ticket(str(next(_numbers)), **over)


def settings(rt: Rt, user: str = "gateway", **over: Any) -> RtSettings:
    """Of a feed."""
    said = {"kind": "rt", "url": rt.url, "token": rt.token(user), "user": user, "map": MAP, "fields": FIELDS}
    return RtSettings.model_validate({**said, **over})


def feed_of(rt: Rt, user: str = "gateway", **over: Any) -> AbstractAsyncContextManager[RtFeed]:
    """A feed that is open."""
    return opened(RtFeed(settings(rt, user, **over), wiring()))


def field(shown: Any, name: str) -> list[str]:
    """Values of a custom field in what RT shows of a ticket."""
    return next((list(each["values"]) for each in shown["CustomFields"] if each["name"] == name), [])
