"""What is asked of the API: queries and bodies. Unknown keys are refused."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated, Literal, TypeAlias

from pydantic import AwareDatetime, BeforeValidator, Field, StringConstraints, WithJsonSchema

from gateway.web.api_models import ClassNumber, LineName, Status
from gateway.web.frame import Asked


def _without_nul(value: object) -> object:
    # NUL is no text, and PostgreSQL refuses it.
    return value.replace("\0", "") if isinstance(value, str) else value


def _from_base64(value: object) -> object:
    # Strict: what is not Base64 is refused, not skipped.
    try:
        return base64.b64decode(value, validate=True) if isinstance(value, str) else value
    except binascii.Error:
        raise ValueError("this is no Base64 (RFC 4648 section 4)") from None


Text: TypeAlias = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1), BeforeValidator(_without_nul)]
Base64: TypeAlias = Annotated[
    bytes, BeforeValidator(_from_base64), WithJsonSchema({"type": "string", "contentEncoding": "base64"})
]
Limit: TypeAlias = Annotated[int, Field(ge=1, le=200)]


class TicketQuery(Asked):
    """Which tickets."""

    channel: str | None = None
    requester: str | None = None
    """Exact address."""
    status: Status | None = None
    line: LineName | None = None
    contract: str | None = None
    class_: ClassNumber | None = Field(None, alias="class")
    assignee: str | None = None
    limit: Limit = 50
    cursor: str | None = None
    """`next_cursor` of the page before."""


class Upload(Asked):
    """A file to send along."""

    filename: Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^/\\\x00-\x1f\x7f]+$")]
    content_type: Annotated[str, StringConstraints(max_length=127, pattern=r"^[\w.+-]+/[\w.+-]+$")] = (
        "application/octet-stream"
    )
    content: Base64


class Words(Asked):
    """A text, and files."""

    text: Text
    attachments: Annotated[Sequence[Upload], Field(max_length=20)] = ()


class Resolution(Asked):
    """The result in plain words, for the requester."""

    result: str
    """Must be given; "" says on purpose that there is nothing to tell."""


class NewStatus(Asked):
    """A status set by hand."""

    status: Status


class NewClass(Asked):
    """A class; none: not sure."""

    class_: ClassNumber | None = Field(alias="class")


class NewContract(Asked):
    """A contract's key; none: no contract covers the ticket."""

    contract: str | None


class NewLine(Asked):
    """Another line."""

    line: LineName
    reason: Text
    """What the next line should do, or why it comes back."""


class OnSite(Asked):
    """Whether somebody has to come."""

    onsite: bool


class Window(Asked):
    """From and to."""

    start: AwareDatetime = Field(alias="from")
    end: AwareDatetime = Field(alias="to")


class Visit(Asked):
    """A visit's windows; what is left out stays as it was."""

    wanted: Window | None = None
    agreed: Window | None = None
    office: str = ""


class Assignee(Asked):
    """An agent's key; none: nobody."""

    agent: str | None


class Requester(Asked):
    """Somebody else."""

    address: Annotated[str, StringConstraints(strip_whitespace=True, min_length=3, max_length=320)]
    name: Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)] = ""


class NewTicket(Asked):
    """A ticket that staff register for somebody."""

    account: str
    """The account that its notices go out from."""
    channel: str = "mail"
    requester: Requester
    subject: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
    text: Text
    attachments: Annotated[Sequence[Upload], Field(max_length=20)] = ()
    language: Literal["ru", "uk", "en"] | None = None
    class_: ClassNumber | None = Field(None, alias="class")
    """None: the rules decide."""
    line: LineName | None = None
    contract: str | None = None
    notify: bool = True
    """Tell the requester that the ticket is there."""
