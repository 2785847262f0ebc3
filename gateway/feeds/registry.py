"""The kinds of feeds, a visible line for each. The modules of kinds load no SDK when they are imported."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.feeds import described_rest, redmine, rt, sql_table, webhook
from gateway.feeds.kind import Kind, Wiring
from gateway.feeds.redmine_settings import RedmineSettings
from gateway.feeds.rest_settings import RestFeed
from gateway.feeds.rt_settings import RtSettings
from gateway.feeds.sql_table_settings import SqlSettings

__all__ = ["FEEDS", "Kind", "Wiring"]

FEEDS: Mapping[str, Kind] = {
    "rt": Kind(settings=RtSettings, build=rt.build),
    "redmine": Kind(settings=RedmineSettings, build=redmine.build),
    "sql": Kind(settings=SqlSettings, build=sql_table.build),
    "webhook": Kind(settings=webhook.WebhookFeed, build=webhook.build),
    "rest": Kind(settings=RestFeed, build=described_rest.build),
}
"""Kind -> how its settings look and how it is built."""
