"""What `config/gateway.yaml` may say. Unknown keys are refused; each field says what it does.

The keys `http`, `smtp`, `channels.<channel>.<account>` are public and mirror the URLs.
Secrets are never here: a channel's settings name them as `env:NAME` or `file:PATH`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeAlias, Union

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    GetJsonSchemaHandler,
    SecretStr,
    SerializeAsAny,
    Tag,
    create_model,
    field_validator,
    model_validator,
)
from pydantic_core import CoreSchema

from channels.contract import AccountSettings
from channels.credentials import reveal
from channels.described import Described
from channels.durations import Duration, Size
from channels.registry import CHANNELS, Channel
from gateway import yaml_files
from gateway.feeds import models as feed_models
from gateway.feeds.settings import FeedSettings
from gateway.way import Way, WayText

LineName: TypeAlias = Literal["L1", "L2", "L3", "L4"]
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


class Section(Described, BaseModel):
    """A part of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Http(Section):
    """The web server: webhooks, API, rating pages, health."""

    host: str = "127.0.0.1"
    """Where it listens; loopback until you say otherwise."""
    port: int = Field(default=8080, ge=0, le=65535)
    """0 means any free one; see `var/listening.json`."""
    public_url: str = Field(default="", pattern=r"^(https?://[^\s/]+[^\s]*[^/\s])?$")
    """How people and providers reach us, "https://help.example.com"; links in notices start with it.
    Empty: the address that listens."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses or networks whose X-Forwarded-For and -Proto are believed."""
    max_body: Size = 64 * 1024 * 1024
    """The biggest request body."""
    body_time: Duration = Field(default=2 * MINUTE, gt=timedelta(0))
    """The longest time that a request's body may take to arrive; then 408. `upload` has times of its own."""


class Database(Section):
    """Where everything is kept."""

    url: str = ""
    """A SQLAlchemy URL (`postgresql://user@host/name`), or `env:NAME` or `file:PATH` that holds one with a password.
    Empty: SQLite in `var/gateway.db`."""
    readers: int = Field(default=4, ge=1, le=64)
    """Threads that read."""
    writers: int = Field(default=3, ge=2, le=32)
    """Threads that write, one of them for accepting; PostgreSQL only."""
    lease: Duration = timedelta(seconds=30)
    """How long a node that says nothing keeps its work from the others; PostgreSQL only. Renewed at a third of it."""

    @field_validator("url", mode="before")
    @classmethod
    def _empty(cls, value: object) -> object:
        return "" if value is None else value  # `--set database.url=`, for a restoration


class Journal(Section):
    """The raw bytes of everything that came in."""

    keep_raw: Duration = 180 * DAY
    """How long raw bytes are kept for replay. The keys that recognise a repeat are kept for ever."""
    attempts: int = Field(default=3, ge=1, le=20)
    """How often a message that cannot be read is tried before it goes to quarantine."""
    backoff: Duration = timedelta(seconds=2)
    """Pause after the first failed attempt; doubles."""


class Retention(Section):
    """How long other things are kept; raw bytes have `journal.keep_raw`, and tickets are kept for ever."""

    attachments: Duration = timedelta(seconds=0)
    """Bytes of attachments of closed tickets, from the last change on; name and digest stay. 0s: for ever."""
    log: Duration = 90 * DAY
    """Records of operation: kept answers to API calls, ended links to tickets, counters of brakes, requests that
    webhooks did not believe. 0s: for ever."""
    calls: Duration = 365 * DAY
    """Telephone calls: what was chosen in each, what its requests were answered, what it left behind; its ticket and
    recordings stay. At least two days more than `journal.keep_raw`, or a replay would take a call for a new one. 0s:
    for ever."""


class Workers(Section):
    """The processes that parse and route."""

    count: int = Field(default=1, ge=1, le=64)
    """Processes. One reads hundreds of mails a second."""
    seconds: float = Field(default=10.0, gt=0, le=600)
    """Time limit of one message; the process is killed at it."""
    memory: Size = 1024 * 1024 * 1024
    """Memory limit of one process; it is killed above it."""


class Outbox(Section):
    """Delivery of notices."""

    concurrency: int = Field(default=8, ge=1, le=256)
    """Sends at the same time, over all accounts."""
    per_account: int = Field(default=4, ge=1, le=64)
    """Sends at the same time by one account."""
    send_timeout: Duration = MINUTE
    """Hard time limit of one try."""
    backoff: Duration = timedelta(seconds=30)
    """Pause after the first failed try; doubles up to `backoff_limit`, with jitter."""
    backoff_limit: Duration = HOUR
    """The longest pause between two tries."""
    max_age: Duration = 3 * DAY
    """After this a notice is a dead letter: staff see it and can send it again."""
    debounce: Duration = 2 * MINUTE
    """Status notices of one ticket within this time are one notice with the last state."""
    acknowledgement_delay: Duration = timedelta(seconds=0)
    """How long the acknowledgement waits for a ticket number of an external store, or for a burst to end."""
    chat_acknowledgement_delay: Duration = timedelta(seconds=3)
    """The same in chats, where people write in pieces; the longer of the two holds there."""
    next_channel: tuple[str, ...] = ("telegram", "mail", "sms")
    """Channels that a notice to a requester is tried on, in this order and once, when it cannot reach them on its own
    (they blocked the bot, the address is gone): by another identity of theirs that was proved. Empty: staff only hear
    that it did not arrive."""


class Media(Section):
    """Files that chats send by reference: the ticket opens at once, and they are fetched after that."""

    limit: Size = 20 * 1024 * 1024
    """The biggest file that is fetched; the person is asked for a link instead of a bigger one. Telegram itself
    passes on no more than 20 MB."""
    concurrency: int = Field(default=8, ge=1, le=64)
    """Files fetched at the same time, over all accounts."""
    per_account: int = Field(default=3, ge=1, le=64)
    """Files fetched at the same time for one account."""
    timeout: Duration = 20 * MINUTE
    """Hard time limit of one try."""
    backoff: Duration = timedelta(seconds=10)
    """Pause after the first failed try; doubles up to `backoff_limit`, with jitter."""
    backoff_limit: Duration = HOUR
    """The longest pause between two tries."""
    max_age: Duration = DAY
    """After this a file is given up; staff see it, and the person is asked to send it again."""
    attempts: int = Field(default=30, ge=1, le=1000)
    """After so many failed tries a file is given up, too."""


class Transcription(Section):
    """A program that writes down what is said in voice messages."""

    command: tuple[str, ...] = ()
    """The program and its arguments, run without a shell. It gets the file's path where "{file}" stands, else as the
    last argument, and the languages where "{languages}" stands; it prints the text. Empty: none, line 1 listens."""
    languages: tuple[str, ...] = ("ru", "uk", "en")
    """Languages that people speak, for the program."""
    timeout: Duration = 5 * MINUTE
    """The program and all that it started are killed after this."""
    concurrency: int = Field(default=1, ge=1, le=16)
    """Programs at the same time."""
    attempts: int = Field(default=3, ge=1, le=20)
    """After so many failed tries there will be no text."""


class Numbers(Section):
    """Ticket numbers."""

    first_digit: int = Field(default=1, ge=1, le=9)
    """Choose one that no number of the other ticket store starts with."""
    width: int = Field(default=8, ge=7, le=12)
    """Digits, the check digit included."""


class Desk(Section):
    """The desk as people know it."""

    name: str = "Support"
    """Signs the notices."""
    phone: str = ""
    """Shown in the signature of notices; empty: left out."""


class Agent(Section):
    """One person of staff."""

    name: str
    """Shown to requesters under answers."""
    addresses: tuple[str, ...] = ()
    """Mail addresses this person writes from."""
    lines: tuple[LineName, ...] = ()
    """Support lines this person works on."""
    languages: tuple[str, ...] = ()
    """Languages this person writes: ru, uk, en."""
    trust_unknown: bool = False
    """Believe mail in this name without a relay's verdict (only where strangers cannot reach the SMTP port)."""


class LineDesk(Section):
    """One support line."""

    recipients: tuple[str, ...] = ()
    """Mail addresses told of new and escalated tickets."""


class Operator(Section):
    """Somebody who is told of trouble with the gateway itself. A mail address alone is one with that way."""

    name: str = ""
    """For whoever reads this file."""
    language: Literal["ru", "uk", "en", ""] = ""
    """Of what they are told; empty: that of the account it goes out by."""
    ways: tuple[WayText, ...]
    """How they are reached, the best first: "mail:olha@ops.example", "telegram:5000000001" (a chat with our bot),
    "sms:+380670000001", or by one account: "telegram/desk:5000000001". They hear of a trouble by the first that is
    not in trouble itself, and by the next where that did not arrive."""

    @model_validator(mode="before")
    @classmethod
    def _address(cls, value: object) -> object:
        return {"ways": [f"mail:{value}"]} if isinstance(value, str) else value

    @field_validator("ways")
    @classmethod
    def _reaches_them(cls, ways: tuple[Way, ...]) -> tuple[Way, ...]:
        if not ways:
            raise ValueError("should name a way: mail:ADDRESS, telegram:CHAT, sms:+NUMBER")
        return ways

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        made = handler.resolve_ref_schema(super().__get_pydantic_json_schema__(schema, handler))
        return {"anyOf": [{"type": "string"}, dict(made)]}


class Tickets(Section):
    """How tickets live."""

    automatic_age: Duration = DAY
    """Nothing automatic goes out for a message older than this when it reaches us."""
    join_window: Duration = 10 * MINUTE
    """Equal mails without a Message-ID within this time are one message."""
    conversation_window: Duration = DAY
    """What somebody writes in a chat within this time after the last word there, theirs or ours, belongs to the ticket
    that was talked about, unless it is closed. A resolved one is opened again."""
    question_reminder: Duration = 2 * DAY
    """A question without an answer is repeated once after this; 0s: never."""
    close_waiting: Duration = 14 * DAY
    """A ticket that waits for the customer this long is closed; 0s: never."""
    close_resolved: Duration = 7 * DAY
    """A resolved ticket is closed after this; 0s: never."""
    severe_classes: tuple[int, ...] = (3,)
    """Watchers are told of new tickets of these classes."""
    warn_at: float = Field(default=0.75, gt=0, lt=1)
    """Share of a deadline's time after which line and watchers are warned."""


class Caps(Section):
    """Brakes on automatic mail that hold whatever headers say."""

    per_address_minute: int = Field(default=5, ge=1)
    """Automatic mails to one address a minute."""
    per_address_day: int = Field(default=40, ge=1)
    """Automatic mails to one address a day."""
    per_account_minute: int = Field(default=120, ge=1)
    """Automatic mails of one account a minute."""


class Alerts(Section):
    """When operators are told that the gateway itself is in trouble."""

    interval: Duration = MINUTE
    """How often the conditions are looked at."""
    outbox_age: Duration = 30 * MINUTE
    """A notice that is due this long is an alert."""
    journal_age: Duration = 10 * MINUTE
    """A message that is not filed this long is an alert."""
    repeat: Duration = DAY
    """An alert that lasts is sent again after this; 0s: never."""
    silence: Duration = timedelta(seconds=0)
    """An account that took nothing in for this long is an alert; 0s: never."""
    disk_full_in: Duration = 7 * DAY
    """The disk will be full within this at the pace of the last days: an alert. 0s: never."""
    certificate: Duration = 14 * DAY
    """The certificate of the SMTP port ends within this: an alert."""
    free_disk: Size = 1024 * 1024 * 1024
    """Less free space is an alert, and `/readyz` says no below a tenth of it."""


class Canary(Section):
    """A mail that the gateway sends to itself through the real relay and mailbox; operators hear when it is lost."""

    account: str = Field(min_length=1)
    """The mail account whose relay sends it and whose mailbox it comes back by; it needs `outbound: on`."""
    every: Duration = Field(default=30 * MINUTE, ge=timedelta(seconds=1))
    """How often one is sent."""
    within: Duration = Field(default=10 * MINUTE, ge=timedelta(seconds=1))
    """The time within which it should be back."""


class Log(Section):
    """What is logged: ids and counts; never bodies, addresses or secrets."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """What is left out below it."""
    format: Literal["auto", "json", "console"] = "auto"
    """auto: console on a terminal, JSON otherwise."""


def _smtp(value: object) -> BaseModel:
    options = CHANNELS["mail"].options
    if options is None:
        raise TypeError("the mail channel has no options")
    return options.model_validate(value)


def _account(channel: Channel) -> Any:
    """The model of an account; where a channel has several providers, that of the one which the account names."""
    if not channel.providers:
        return channel.settings
    usual = next(name for name, model in channel.providers.items() if model is channel.settings)

    def provider(value: object) -> object:
        said = value.get("provider", usual) if isinstance(value, dict) else getattr(value, "provider", usual)
        return yaml_files.branch(said) if isinstance(said, str) else said

    models: Any = tuple(_marked(model, yaml_files.branch(name)) for name, model in channel.providers.items())
    return Annotated[Union[models], Discriminator(provider)]  # noqa: UP007  the members are only known here


def _marked(model: Any, tag: str) -> Any:
    return Annotated[model, Tag(tag)]


def _by_name(model: Any) -> Any:
    return dict[str, model]


@cache
def _channels_model() -> type[BaseModel]:
    # Made once: a model takes a while.
    fields: dict[str, Any] = {name: (_by_name(_account(channel)), {}) for name, channel in CHANNELS.items()}
    return create_model("Channels", __base__=Section, __doc__="Accounts by channel.", **fields)


def channels_schema() -> tuple[dict[str, Any], dict[str, Any]]:
    """JSON Schema of `channels` and of `smtp`, which the static models leave open."""
    options = type(_smtp({}))
    return _channels_model().model_json_schema(by_alias=True), options.model_json_schema(by_alias=True)


class Core(Section):
    """Everything in the file that is not a channel's."""

    http: Http = Http()
    database: Database = Database()
    secret_key: str = Field(default="", pattern=r"^((env|file):.+)?$")
    """`env:NAME` or `file:PATH`: what links and tokens are made from, 16 bytes or more. Nodes at one PostgreSQL need
    the same one. Empty: `var/key`, made at the first start (SQLite only)."""
    journal: Journal = Journal()
    retention: Retention = Retention()
    workers: Workers = Workers()
    outbox: Outbox = Outbox()
    media: Media = Media()
    transcription: Transcription = Transcription()
    numbers: Numbers = Numbers()
    desk: Desk = Desk()
    agents: dict[str, Agent] = {}
    lines: dict[LineName, LineDesk] = {}
    watchers: tuple[str, ...] = ()
    """Mail addresses (the IT manager's) told of severe tickets, warnings, breaches and low ratings."""
    operators: tuple[Operator, ...] = ()
    """Who is told of trouble with the gateway itself: mail addresses, or blocks with several ways."""
    tickets: Tickets = Tickets()
    caps: Caps = Caps()
    alerts: Alerts = Alerts()
    canary: Canary | None = None
    """None: no mail to itself."""
    log: Log = Log()


class Settings(Core):
    """The whole file."""

    MADE: ClassVar[Mapping[str, Callable[[], Any]]] = {
        "channels": lambda: _channels_model(), "feeds": feed_models.by_name,
    }  # fmt: skip
    """Key -> the model that stands in for its annotation, for hints about unknown keys."""

    smtp: SerializeAsAny[BaseModel] = Field(default_factory=lambda: _smtp({}))
    """The SMTP port that all mail accounts share; its model is the mail channel's."""
    channels: Mapping[str, Mapping[str, SerializeAsAny[AccountSettings]]] = {}
    """`channels.<channel>.<account>`; each account's model is its channel's."""
    feeds: Mapping[str, SerializeAsAny[FeedSettings]] = {}
    """Ticket stores that the desk already has, by a name of yours; each one's model is its kind's."""

    @cached_property
    def _own(self) -> frozenset[str]:
        """Looked up several times for each mail, as are the agents' addresses."""
        return frozenset(
            endpoint.lower()
            for channel in CHANNELS
            for account in self.accounts(channel).values()
            for endpoint in account.endpoints()
        )

    @cached_property
    def _agents(self) -> Mapping[str, str]:
        """Address -> key; where two agents claim one, it is the first one's."""
        pairs = [(address.lower(), key) for key, agent in self.agents.items() for address in agent.addresses]
        return dict(reversed(pairs))

    @field_validator("smtp", mode="before")
    @classmethod
    def _check_smtp(cls, value: object) -> BaseModel:
        return value if isinstance(value, BaseModel) else _smtp(value)

    @field_validator("channels", mode="before")
    @classmethod
    def _check_channels(cls, value: object) -> object:
        # A ValidationError raised here keeps its own location below `channels`.
        return _channels_model().model_validate(value).__dict__ if isinstance(value, dict) else value

    @field_validator("feeds", mode="before")
    @classmethod
    def _check_feeds(cls, value: object) -> object:
        return feed_models.checked(value)

    def accounts(self, channel: str) -> Mapping[str, AccountSettings]:
        """The accounts of one channel by name; empty when it has none."""
        return self.channels.get(channel, {})

    def account(self, channel: str, account: str) -> AccountSettings | None:
        """One account, or None when the configuration no longer has it."""
        return self.accounts(channel).get(account)

    def own_addresses(self) -> frozenset[str]:
        """Our own endpoints on all channels, lower-case."""
        return self._own

    def is_own(self, address: str) -> bool:
        """One of our own endpoints, with or without a plus tag: `support+x@desk.example`."""
        local, at, domain = address.strip().lower().rpartition("@")
        return f"{local.partition('+')[0]}{at}{domain}" in self.own_addresses()

    def operator_addresses(self) -> tuple[str, ...]:
        """Mail addresses of operators."""
        return tuple(way.address for operator in self.operators for way in operator.ways if way.channel == "mail")

    def agent_by_address(self, address: str) -> str | None:
        """Key of the agent who writes from this mail address."""
        return self._agents.get(address.lower())


def database_url(settings: Core, var: Path) -> str:
    """The configured URL, or the embedded default in `var`. Raises KeyError or OSError for a secret that is absent."""
    configured = settings.database.url
    if configured.startswith(("env:", "file:")):
        return reveal(SecretStr(configured))
    return configured or f"sqlite:///{var / 'gateway.db'}"


def secret_key(settings: Core) -> bytes | None:
    """The configured key; None when it is `var/key`. Raises KeyError or OSError for a secret that is absent."""
    kind, _, name = settings.secret_key.partition(":")
    # The bytes of the file as they are: `var/key` is no text.
    return Path(name).read_bytes() if kind == "file" else os.environ[name].encode() if kind else None
