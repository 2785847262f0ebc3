"""What a feed to a table of tickets may be told: which table, which columns, in which words."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, field_validator, model_validator
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from channels.described import Described
from channels.durations import Duration, Size
from gateway.feeds.settings import FeedSettings, ValueMap

TicketField: TypeAlias = Literal[
    "key", "number", "subject", "requester", "requester_name", "requester_channel", "copies", "status", "class", "line",
    "onsite", "contract", "assignee", "language", "tags", "result", "text", "opened_at", "updated_at", "closed_at",
    "reaction_due", "resolution_due", "url", "now", "actor",
]  # fmt: skip
"""What of a ticket can stand in a column. `key`: ours, required; `text`: of the first message; `now`: when we wrote;
`closed_at`: when it was resolved or closed, else nothing; `actor`: who wrote last, `user` when it was us."""
MessageField: TypeAlias = Literal[
    "key", "text", "subject", "author", "author_name", "channel", "at", "now", "public", "inward", "kind",
    "message_id", "format", "actor",
]  # fmt: skip
"""What of a message can stand in a column. `kind`: in (from outside), out (the desk's, public), note; `format`: text
or html."""
FileField: TypeAlias = Literal["filename", "content_type", "size", "sha256", "data", "path", "now"]
"""What of an attachment can stand in a column: its bytes (`data`), or where below `folder` they are (`path`)."""
Scalar: TypeAlias = bool | int | float | str
Names: TypeAlias = Annotated[
    tuple[str, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value), Field(min_length=1)
]
"""Names of columns; one alone needs no list."""


class _Block(Described, BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class SqlLookup(_Block):
    """A table that has a word for each code: the map says the word, the column holds the code."""

    table: str
    """Its name."""
    word: str
    """Its column with the word (or with the address, for a requester)."""
    value: str
    """Its column with the code."""


class SqlSpec(_Block):
    """How a value gets into a column and out of it."""

    values: ValueMap = {}
    """Our word: theirs; instead of what `map` says."""
    default: Scalar | None = None
    """What is written when we have no value, or none that the column takes."""
    lookup: SqlLookup | None = None
    """The words of the map stand in another table."""
    way: Literal["both", "out", "in", "new"] = "both"
    """both: written and read; out: only written; in: only read; new: written with a new ticket, and read."""
    too_long: Literal["cut", "refuse"] = "cut"
    """A text that the column cannot hold: cut, with a mark at its end and a line for staff; or the write is refused."""
    unit: Literal["seconds", "milliseconds"] | None = None
    """Of a time that is kept as a number since 1970."""


class SqlTicketColumn(SqlSpec):
    """A column of the tickets."""

    field: TicketField
    """Which of ours stands there."""


class SqlMessageColumn(SqlSpec):
    """A column of the messages."""

    field: MessageField
    """Which of ours stands there."""


class SqlFileColumn(SqlSpec):
    """A column of the attachments."""

    field: FileField
    """Which of ours stands there."""


def _named(value: object) -> object:
    """`title: subject` is short for `title: {field: subject}`."""
    if not isinstance(value, Mapping):
        return value
    return {name: {"field": given} if isinstance(given, str) else given for name, given in value.items()}


class _Table(_Block):
    table: str
    """Its name."""
    constants: Mapping[str, Scalar] = {}
    """Column: what stands there in every row of ours."""


class SqlBeside(_Table):
    """A table with one row for each ticket: further columns, or what the messages hang on."""

    ticket: Mapping[str, str]
    """Its column: the column of the tickets that it repeats."""
    columns: Annotated[Mapping[str, SqlTicketColumn], BeforeValidator(_named)] = {}
    """Its column: our field."""


class SqlTickets(_Table):
    """The table of the tickets. Only the columns that are named are written, and only they are read."""

    id: Names
    """The key: one column, or several."""
    columns: Annotated[Mapping[str, SqlTicketColumn], BeforeValidator(_named)]
    """Their column: our field."""
    next: str | None = None
    """A column of the key that the database does not count: the greatest one and 1, within the other columns."""
    number: str | None = None
    """The column that people know as the number; without it the key is shown."""
    changed: str | None = None
    """The column with the time of the last change. Without one the mapped columns are compared at each look."""
    merged: str | None = None
    """The column that names the ticket which this one became a part of."""
    gone: Mapping[str, Annotated[tuple[Scalar, ...], BeforeValidator(lambda v: v if isinstance(v, list) else [v])]] = {}
    """Column: values that mean "deleted"."""
    link: str = ""
    """Address of a ticket for people, with {id} or {number}."""
    beside: Mapping[str, SqlBeside] = {}
    """Further tables with a row for each ticket, by names of your choice."""

    @model_validator(mode="after")
    def _keyed(self) -> SqlTickets:
        if len(self.keys) != 1:
            raise ValueError("columns: exactly one column must hold our `key`, here or in a table beside")
        if self.next is not None and self.next not in self.id:
            raise ValueError(f"next: {self.next} is no column of `id`")
        return self

    @property
    def keys(self) -> list[tuple[str, str]]:
        """(name of the table beside or "", column) of what holds our key."""
        places = {"": self.columns, **{name: each.columns for name, each in self.beside.items()}}
        return [
            (name, column)
            for name, columns in places.items()
            for column, spec in columns.items()
            if spec.field == "key"
        ]


class SqlMessages(_Table):
    """The table of the messages."""

    id: Names
    """The key: one column, or several."""
    ticket: Mapping[str, str]
    """Its column: the column of the tickets that it repeats; `thread.id` is the column id of the table `thread`
    beside."""
    columns: Annotated[Mapping[str, SqlMessageColumn], BeforeValidator(_named)]
    """Their column: our field."""
    next: str | None = None
    """As for tickets."""

    @model_validator(mode="after")
    def _keyed(self) -> SqlMessages:
        fields = [spec.field for spec in self.columns.values()]
        if fields.count("key") != 1:
            raise ValueError("columns: exactly one column must hold our `key`")
        if self.next is not None and self.next not in self.id:
            raise ValueError(f"next: {self.next} is no column of `id`")
        return self


class SqlAttachments(_Table):
    """The table of the attachments."""

    message: Mapping[str, str]
    """Its column: the column of the messages that it repeats."""
    columns: Annotated[Mapping[str, SqlFileColumn], BeforeValidator(_named)]
    """Their column: our field; `filename` and one of `data` and `path` are needed."""
    folder: Path | None = None
    """Where the bytes are, when a column says `path`."""
    largest: Size = 10 * 1024 * 1024
    """Bigger ones are left out, and staff is told."""

    @model_validator(mode="after")
    def _whole(self) -> SqlAttachments:
        fields = {spec.field for spec in self.columns.values()}
        if "filename" not in fields or not fields & {"data", "path"}:
            raise ValueError("columns: `filename` and one of `data` and `path` are needed")
        if "path" in fields and self.folder is None:
            raise ValueError("folder: is needed where a column says `path`")
        return self


class SqlSettings(FeedSettings):
    """A table of tickets in SQLite, PostgreSQL, MariaDB or MySQL. Nothing in the database is altered."""

    kind: Literal["sql"] = "sql"
    """This one."""
    url: SecretStr
    """`env:NAME` or `file:PATH` that holds `postgresql://user:password@host/name`, `mysql://…` or
    `sqlite:////path/to/file`."""
    concurrency: int = Field(default=8, ge=1, le=64)
    """Tickets that are pushed at the same time, over one connection more than that at most. New ones that wait together
    share a transaction."""
    schema_: str | None = Field(default=None, alias="schema")
    """Of the tables, on PostgreSQL; empty: where the user looks first."""
    timezone: str = "UTC"
    """Of columns that hold a time without a zone."""
    user: str = "gateway"
    """What stands in a column of the field `actor` when we wrote."""
    overlap: Duration = Field(default=timedelta(minutes=10), gt=timedelta(0))
    """With `changed`: how far back each look goes, for clocks that differ and long transactions."""
    sweep: Duration = timedelta(minutes=10)
    """With `changed`: how often deleted rows are looked for. 0s: never."""
    compare: Literal["ours", "all"] = "ours"
    """Without `changed`: which tickets are compared, those with a key of ours or all (imported ones have no key)."""
    rows: int = Field(default=20_000, ge=1, le=50_000)
    """How many tickets are compared, or looked over for deleted ones, at most."""
    tickets: SqlTickets | None = None
    """The table of the tickets; only `gateway feeds inspect` does without."""
    messages: SqlMessages | None = None
    """The table of the messages; without it only the first one is written, where a column takes `text`."""
    attachments: SqlAttachments | None = None
    """The table of the attachments; without it they are left out, and staff is told."""

    @field_validator("timezone")
    @classmethod
    def _zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("no such time zone; write one as in Europe/Kyiv") from None
        return value

    @field_validator("url")
    @classmethod
    def _without_password(cls, value: SecretStr) -> SecretStr:
        text = value.get_secret_value()
        if text.startswith(("env:", "file:")):
            return value
        try:
            found = make_url(text)
        except (ArgumentError, ValueError):
            raise ValueError("no URL of a database; write env:NAME, file:PATH or sqlite:////path/to/file") from None
        if found.password is not None:
            raise ValueError("a password does not stand in a file; write env:NAME or file:PATH")
        return value

    @model_validator(mode="after")
    def _hangs_together(self) -> SqlSettings:
        if self.attachments is not None and self.messages is None:
            raise ValueError("attachments: need `messages`, which they hang on")
        if self.messages is not None and self.tickets is not None:
            for column, of in self.messages.ticket.items():
                name, dot, _ = of.rpartition(".")
                if dot and name not in self.tickets.beside:
                    raise ValueError(f"messages.ticket.{column}: there is no `{name}` in tickets.beside")
        return self
