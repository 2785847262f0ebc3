"""How an HTTP interface is described: the calls, and where in their answers things are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from channels.described import Described
from channels.durations import Size
from gateway.feeds.contract import Name
from gateway.feeds.rest_expressions import Expression, Filling, Template, Values, checked, filling
from gateway.feeds.settings import FeedSettings

Method: TypeAlias = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


class _Part(Described, BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True)
class Filled:
    """A call with its templates filled in."""

    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any


class Call(_Part):
    """One call. In templates: `ticket`, `message`, `files`, `ref`, `key`, `fields`, `cursor`, `now`."""

    method: Method = "POST"
    """Of HTTP."""
    path: Template
    """After `url`; put what may hold a slash through a filter: `/tickets/{{ ref.id | part }}`."""
    query: dict[str, Template] = {}
    """Name -> value; encoded by us."""
    headers: dict[str, Template] = {}
    """Beside those of the whole feed: `Idempotency-Key: "{{ key }}"`."""
    body: Any = None
    """JSON with templates for its texts; a text that is only `{{ … }}` keeps the value's type."""
    failed: Expression = ""
    """Of `answer`: what the store says when it refuses with a 2xx; empty or false means that it did not."""

    @field_validator("body")
    @classmethod
    def _has_templates(cls, body: Any) -> Any:
        _look(body)
        return body

    @cached_property
    def _filling(self) -> tuple[Filling, Filling, Filling, Filling]:
        return filling(self.path), filling(self.query), filling(self.headers), filling(self.body)

    def filled(self, values: Values) -> Filled:
        """The call for one write. Raises FeedError for a name that there is not."""
        path, query, headers, body = self._filling
        return Filled(
            path=str(path(values)),
            query={name: str(each) for name, each in query(values).items()},
            headers={name: str(each) for name, each in headers(values).items()},
            body=body(values),
        )


class Find(Call):
    """Asks by our key. A 404, and an `id` that is empty, mean that it is not there."""

    method: Method = "GET"
    """Of HTTP."""
    id: Expression
    """Of `answer`: what the store's interface calls the ticket."""
    number: Expression = ""
    """What people call it; empty: the same."""
    url: Expression = ""
    """Where it is seen."""


class Making(Call):
    """Makes something once."""

    idempotent: bool = False
    """The store itself knows a repeat by the key that we send; then nothing is asked before one."""
    find: Find | None = None
    """Else: how to ask."""

    @model_validator(mode="after")
    def _can_be_repeated(self) -> Making:
        if self.find is None and not self.idempotent:
            raise ValueError("needs `find`, or `idempotent: yes` where the store knows a repeat by our key")
        return self


class OpenCall(Making):
    """Makes a ticket."""

    id: Expression
    """Of `answer`: what the store's interface calls the ticket; at most 255 characters."""
    number: Expression = ""
    """What people call it; empty: the same."""
    url: Expression = ""
    """Where it is seen."""


class Reply(_Part):
    """Where a change says what staff wrote."""

    text: Expression
    """Of `item`; empty: this item has no reply."""
    public: Expression = "false"
    """True: the requester gets it."""
    files: Expression = "[]"
    """A list of `{filename, content_type, content}` with base64."""


class ChangesCall(Call):
    """Lists what changed."""

    method: Method = "GET"
    """Of HTTP."""
    start: Template = "{{ now }}"
    """The first cursor."""
    items: Expression = "answer"
    """Of `answer`: the list."""
    id: Expression
    """Of `item`: the change's own name; a repeat is known by it. A list by time may give the last ones again."""
    ref: Expression
    """Of `item`: the ticket, as `open.id` has it."""
    at: Expression = ""
    """Of `item`: when; ISO 8601, in `timezone` where it has no offset."""
    actor: Expression = ""
    """Of `item`: who."""
    ours: Expression = "false"
    """Of `item`: true for what we did ourselves."""
    set: dict[Name, Expression] = {}
    """Field -> where its value is; none means that it did not change."""
    reply: Reply | None = None
    """What staff wrote."""
    merged: Expression = ""
    """Of `item`: the id of the ticket that this one is a part of now."""
    vanished: Expression = "false"
    """Of `item`: true when it was deleted."""
    cursor: Expression
    """Of `answer`, `items` and the old `cursor`: the new one."""
    more: Expression = "false"
    """True: ask again at once."""


class Basic(_Part):
    """User and password (RFC 7617, UTF-8)."""

    user: str
    """Name."""
    password: SecretStr
    """`env:NAME` or `file:PATH`."""


class RestFeed(FeedSettings):
    """A store whose HTTP interface is described here."""

    kind: Literal["rest"]
    """This kind of store."""
    url: str = Field(pattern=r"^https?://[^\s@?#]+$")
    """The beginning of every path."""
    basic: Basic | None = None
    """User and password."""
    headers: Mapping[str, SecretStr] = {}
    """Of every call; `env:NAME` and `file:PATH` keep a token out of this file."""
    timezone: str = "UTC"
    """IANA zone of times that the store writes without an offset."""
    file_limit: Size = 5 * 1024 * 1024
    """Files up to this size go along in base64; of bigger ones only name, size and digest."""
    open: OpenCall
    """Makes a ticket."""
    say: Making | None = None
    """Appends a message; none: nothing but the first one is written."""
    alter: Call | None = None
    """Brings fields to what they are; none: they are not kept in step."""
    changes: ChangesCall | None = None
    """Lists what changed; none: nothing is read."""
    undo: Call | None = None
    """Closes the ticket that `gateway feeds try` made."""
    ping: Call | None = None
    """A harmless call for `gateway check --online`; none: the list of changes, or `open.find`."""

    @field_validator("timezone")
    @classmethod
    def _is_a_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"there is no time zone {name!r}; write an IANA name: Europe/Kyiv") from None
        return name


def _look(shape: Any) -> None:
    match shape:
        case str():
            checked(shape)
        case Mapping():
            for each in shape.values():
                _look(each)
        case list() | tuple():
            for each in shape:
                _look(each)
        case _:
            return
