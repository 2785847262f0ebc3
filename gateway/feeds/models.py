"""The model of `feeds` in the settings: that of each feed is its kind's.

The kinds are loaded when there is a feed: without one they would be a seventh of what a start loads.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Union

from pydantic import Discriminator, Tag, TypeAdapter

from gateway import yaml_files
from gateway.feeds.settings import FeedSettings

if TYPE_CHECKING:
    from gateway.feeds.kind import Kind

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")


def by_name() -> Any:
    """The type of the block: name -> the settings of its kind."""
    return _adapter(tuple(_kinds().items()))[0]


def schema() -> dict[str, Any]:
    """Its JSON Schema."""
    return dict(_adapter(tuple(_kinds().items()))[1].json_schema(by_alias=True))


def checked(value: object) -> object:
    """Each feed by the model of its kind. Raises ValueError, ValidationError."""
    if not isinstance(value, dict) or not value:
        return value or {}
    kinds = _kinds()
    for name, feed in value.items():
        kind = feed.get("kind") if isinstance(feed, dict) else getattr(feed, "kind", None)
        if not _NAME.fullmatch(str(name)):
            raise ValueError(f"{name} should be a short name of letters, digits, - and _")
        if kind not in kinds:
            raise ValueError(f"{name}.kind should be one of: {', '.join(kinds) or 'none'}")
    found: object = _adapter(tuple(_kinds().items()))[1].validate_python(value)
    return found


def _kinds() -> Mapping[str, Kind]:
    from gateway.feeds.registry import FEEDS

    return FEEDS


@cache
def _adapter(kinds: tuple[tuple[str, Kind], ...]) -> tuple[Any, TypeAdapter[Any]]:
    # Made once for each set of kinds: a union of models takes a while.
    def kind(value: object) -> object:
        said = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)
        return yaml_files.branch(said) if isinstance(said, str) else said

    models = [made.settings for _, made in kinds]
    one: Any = models[0] if models else FeedSettings
    if len(models) > 1:
        tagged = tuple(Annotated[made.settings, Tag(yaml_files.branch(name))] for name, made in kinds)
        one = Annotated[Union[tagged], Discriminator(kind)]  # noqa: UP007  the members are only known here
    several: Any = dict[str, one]
    return several, TypeAdapter(several)
