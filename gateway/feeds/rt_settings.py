"""What a feed of Request Tracker may be told."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from channels.credentials import reveal
from channels.described import Described
from gateway.feeds.settings import FeedSettings, Maps

STATUSES: Mapping[str, tuple[str, ...]] = {
    "new": ("new",), "open": ("open",), "waiting": ("stalled",), "resolved": ("resolved",),
    "closed": ("resolved", "rejected"), "held": ("new",),
}  # fmt: skip
"""Our statuses in those of RT's default lifecycle."""
NOBODY = "Nobody"
"""RT's user who owns what nobody owns."""


class RtFields(Described, BaseModel):
    """Names of RT's custom fields of tickets."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str = "GatewayKey"
    """Holds our key of the ticket; by it a ticket is found before anything is repeated."""
    class_: str = Field(default="", alias="class")
    """The class; empty: not written."""
    line: str = ""
    """The line, beside the queue or in its place; empty: not written."""
    contract: str = ""
    """The contract; empty: not written."""
    onsite: str = ""
    """"yes" or "no": whether somebody has to come; empty: not written."""

    @field_validator("key", "class_", "line", "contract", "onsite")
    @classmethod
    def _can_be_searched(cls, name: str) -> str:
        if re.search(r"""[{}'"\\\x00-\x1f]""", name):
            raise ValueError("should be the name of a custom field without quotes, braces and backslashes")
        return name.strip()

    def written(self) -> Mapping[str, str]:
        """Our field -> RT's, for those that have one; without the key."""
        named = {"class": self.class_, "line": self.line, "contract": self.contract, "onsite": self.onsite}
        return {ours: theirs for ours, theirs in named.items() if theirs}


class RtSettings(FeedSettings):
    """Request Tracker 5 by its REST2 interface."""

    kind: Literal["rt"]
    """Request Tracker 5."""
    url: str
    """Of RT as people open it: "https://rt.desk.example"; what it has behind the host, too."""
    token: SecretStr
    """`env:NAME` or `file:PATH`: an authentication token of RT's user for us."""
    user: str = "gateway"
    """Name of that user in RT. It is ours alone: what it does is never taken for news."""
    queue: str = "General"
    """Where tickets go whose line has no queue in `map.line`."""
    fields: RtFields = RtFields()
    """RT's custom fields."""
    squelch: bool = True
    """Tell RT with each new ticket never to mail its requester and copies: they hear from us, on their channel."""
    stand_in: str = Field(default="gateway.invalid", pattern=r"^[a-z0-9.-]*$")
    """Domain of made-up requester addresses for people without a mail address (Telegram, telephone); empty: such a
    ticket has no requester in RT."""
    largest_file: int = Field(default=10_000_000, ge=0, le=40_000_000)
    """Bytes; greater files are named in the message and left out. No more than RT's own MaxAttachmentSize."""
    certificate: Path | None = None
    """PEM file of the authority of RT's certificate, when it is one of your own."""

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, url: str) -> str:
        base = url.rstrip("/").removesuffix("/REST/2.0")
        if not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", base):
            raise ValueError("should be an address such as https://rt.desk.example, without a user and a query")
        return base

    @field_validator("queue", "user")
    @classmethod
    def _is_a_name(cls, name: str) -> str:
        if not name.strip() or re.search(r"""['"\\/\x00-\x1f]""", name):
            raise ValueError("should be a name without quotes, slashes and backslashes")
        return name.strip()

    def statuses(self) -> Maps:
        """`map` with RT's own statuses where it says nothing about them."""
        return self.map if self.map.status else self.map.model_copy(update={"status": STATUSES})

    def queues(self) -> tuple[str, ...]:
        """Every queue that tickets may go to."""
        mapped = (words[0] for words in self.map.line.values())
        return tuple(dict.fromkeys((self.queue, *mapped)))

    def wrong_secrets(self) -> Mapping[str, str]:
        """RT's tokens look like 1-14-7b2e…."""
        try:
            token = reveal(self.token)
        except (KeyError, OSError):
            return {}
        good = re.fullmatch(r"[0-9]+-[0-9]+-[0-9a-f]{16,}", token)
        return {} if good else {"token": "should be a token of RT's such as 1-14-0123456789abcdef…"}
