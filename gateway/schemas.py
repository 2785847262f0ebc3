"""JSON Schema of each configuration file, by file name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gateway import policy_files
from gateway.call_policy import CallPolicy
from gateway.feeds import models as feed_models
from gateway.settings import Settings, channels_schema
from gateway.survey_policy import SurveyPolicy

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def gateway_yaml() -> dict[str, Any]:
    """Of gateway.yaml, the accounts of every channel included."""
    schema = Settings.model_json_schema(by_alias=True)
    channels, options = channels_schema()
    for part in (channels, options):
        schema.setdefault("$defs", {}).update(part.pop("$defs", {}))
    feeds = feed_models.schema()
    schema.setdefault("$defs", {}).update(feeds.pop("$defs", {}))
    schema["properties"]["feeds"] = feeds
    schema["properties"]["channels"] = channels
    schema["properties"]["smtp"] = options
    return {"$schema": DIALECT, "title": "gateway.yaml", **schema}


def _policy(name: str) -> Callable[[], dict[str, Any]]:
    return lambda: {"$schema": DIALECT, "title": name, **policy_files.schemas()[name]}


SCHEMAS: Mapping[str, Callable[[], dict[str, Any]]] = {
    "gateway.yaml": gateway_yaml,
    "surveys.yaml": lambda: {"$schema": DIALECT, "title": "surveys.yaml", **SurveyPolicy.model_json_schema()},
    "ivr.yaml": lambda: {"$schema": DIALECT, "title": "ivr.yaml", **CallPolicy.model_json_schema()},
    **{name: _policy(name) for name in ("contracts.yaml", "calendars.yaml", "routing.yaml")},
}
