"""One adapter at least for each kind of `FEEDS`; the suite fails while one is missing."""

from __future__ import annotations

from collections.abc import Mapping

from tests.contract.adapters.feed_desks import REDMINE, RT
from tests.contract.adapters.feed_shelf import SHELF
from tests.contract.adapters.feed_sql import MARIADB, POSTGRESQL, SQLITE
from tests.contract.adapters.feed_web import REST, WEBHOOK
from tests.contract.feed_adapter import FeedAdapter

FEED_ADAPTERS: Mapping[str, FeedAdapter] = {
    "shelf": SHELF, "webhook": WEBHOOK, "rest": REST, "sqlite": SQLITE, "postgresql": POSTGRESQL, "mariadb": MARIADB,
    "rt": RT, "redmine": REDMINE,
}  # fmt: skip
