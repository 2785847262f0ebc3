"""A feed of a real Redmine, for tests."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from itertools import count
from typing import Any

from gateway.feeds.contract import Ticket
from gateway.feeds.redmine import RedmineFeed
from gateway.feeds.redmine_settings import RedmineSettings
from tests.feeds.opened import opened, wiring
from tests.feeds.servers_redmine import Redmine
from tests.feeds.writes import ticket

MAP = {
    "line": {"L1": "support", "L2": "engineers"}, "class": {"2": "server", "6": "question"}, "contract": {"alpha": "A"},
    "assignee": {"o.koval": "Olena Koval"},
}  # fmt: skip
_numbers = count(30000001)


def fresh(**over: Any) -> Ticket:
    """A ticket that no other test has."""
    return ticket(str(next(_numbers)), **over)


def settings(redmine: Redmine, user: str = "gateway", **over: Any) -> RedmineSettings:
    """Of a feed."""
    fields = {
        "key": redmine.field("GatewayKey"), "message": redmine.field("GatewayMessage"), "line": "project",
        "class": redmine.field("Class"), "contract": redmine.field("Contract"), "onsite": redmine.field("OnSite"),
    }  # fmt: skip
    said = {
        "kind": "redmine", "url": redmine.url, "api_key": redmine.key(user), "project": "support", "tracker": "Support",
        "fields": fields, "map": MAP,
    }  # fmt: skip
    return RedmineSettings.model_validate({**said, **over})


def feed_of(redmine: Redmine, user: str = "gateway", **over: Any) -> AbstractAsyncContextManager[RedmineFeed]:
    """A feed that is open."""
    return opened(RedmineFeed(settings(redmine, user, **over), wiring()))
