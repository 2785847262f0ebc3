"""What a feed of Redmine may be told."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, field_validator

from channels.credentials import reveal
from channels.described import Described
from gateway.feeds.settings import FeedSettings, Maps

STATUSES: Mapping[str, tuple[str, ...]] = {
    "new": ("New",), "open": ("In Progress",), "waiting": ("Feedback",), "resolved": ("Resolved",),
    "closed": ("Closed", "Rejected"), "held": ("New",),
}  # fmt: skip
"""Our statuses in those that Redmine's default data has, in English."""


def _place(value: object) -> object:
    return f"field {value}" if isinstance(value, int) and not isinstance(value, bool) else value


Place = Annotated[str, BeforeValidator(_place), Field(pattern=r"^(|project|tracker|priority|field [1-9][0-9]*)$")]
"""project, tracker, priority, or the number of a custom field."""


class RedmineFields(Described, BaseModel):
    """Where our words stand in an issue. Custom fields are named by number: it stands in the address of the field's
    page, /custom_fields/7/edit; their names are shown to administrators alone."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: int = Field(gt=0)
    """Number of the custom field (text, "used as a filter") for our key of the ticket; by it an issue is found before
    anything is repeated."""
    message: int = Field(gt=0)
    """Number of the custom field (text) for our key of the last message; its changes in the history tell what was
    written already. Make both visible to the role of our user alone."""
    class_: Place = Field(default="", alias="class")
    """Where the class stands: project, tracker, priority, or the number of a custom field. Empty: not written."""
    line: Place = ""
    """The same for the line."""
    contract: Place = ""
    """The same for the contract."""
    onsite: int = Field(default=0, ge=0)
    """Number of a custom field of the kind Boolean; 0: not written."""

    def places(self) -> Mapping[str, str]:
        """Our field -> where it stands, for those that have a place."""
        named = {"class": self.class_, "line": self.line, "contract": self.contract}
        named["onsite"] = f"field {self.onsite}" if self.onsite else ""
        return {ours: place for ours, place in named.items() if place}


class RedmineSettings(FeedSettings):
    """Redmine 5 by its REST interface."""

    kind: Literal["redmine"]
    """Redmine 5."""
    url: str
    """Of Redmine as people open it: "https://redmine.desk.example"."""
    api_key: SecretStr
    """`env:NAME` or `file:PATH`: API access key of Redmine's user for us. The user is ours alone: what it does is never
    taken for news."""
    project: str = Field(pattern=r"^[a-z0-9_-]+$", max_length=100)
    """Identifier of the project that issues are made in, where no map says otherwise."""
    tracker: str = ""
    """Tracker of new issues, by name; empty: the project's first."""
    fields: RedmineFields
    """Where our words stand."""
    constants: Mapping[str, str] = {}
    """Number of a custom field: value that every new issue gets there, for fields that Redmine requires."""
    public_notes: bool = True
    """A note of staff's that is not private is an answer, and goes to the requester. Off: nothing that is written in
    Redmine ever leaves."""
    largest_file: int = Field(default=5_000_000, ge=0, le=60_000_000)
    """Bytes; greater files are named in the message and left out. No more than "Maximum attachment size" of Redmine."""
    certificate: Path | None = None
    """PEM file of the authority of Redmine's certificate, when it is one of your own."""

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, url: str) -> str:
        base = url.rstrip("/")
        if not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", base):
            raise ValueError("should be an address such as https://redmine.desk.example, without a user and a query")
        return base

    @field_validator("constants", mode="before")
    @classmethod
    def _are_by_number(cls, said: object) -> object:
        if not isinstance(said, Mapping):
            return said
        if not all(re.fullmatch("[1-9][0-9]*", str(key)) for key in said):
            raise ValueError("should be numbers of custom fields: 7: value")
        return {str(key): str(value) for key, value in said.items()}

    def statuses(self) -> Maps:
        """`map` with Redmine's own statuses where it says nothing about them."""
        return self.map if self.map.status else self.map.model_copy(update={"status": STATUSES})

    def wrong_secrets(self) -> Mapping[str, str]:
        """Redmine's keys are 40 characters of 0-9a-f."""
        try:
            key = reveal(self.api_key)
        except (KeyError, OSError):
            return {}
        return {} if re.fullmatch(r"[0-9a-f]{40}", key) else {"api_key": "should be 40 characters of 0-9a-f"}
