"""What a mail account and the SMTP port may be told."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from channels.contract import AccountSettings
from channels.described import Described
from channels.durations import Duration, Size, parse_duration
from channels.mail.imap_settings import Imap
from channels.mail.oauth_settings import OAuth
from normalizer.message import Facts

_ADDRESS = re.compile(r"[^\s<>()\[\]\\,;:@\"\x00-\x1f\x7f]{1,64}@[^\s<>()\[\]\\,;:@\"\x00-\x1f\x7f]{1,255}")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_RELAY_PORTS = {"starttls": 587, "tls": 465, "none": 25}


def _address(text: str) -> str:
    if not _ADDRESS.fullmatch(text):
        raise ValueError("should be a plain mail address: name@domain.example")
    local, _, domain = text.partition("@")
    return f"{local}@{domain.lower()}"


def _own_address(text: str) -> str:
    address = _address(text)
    if "+" in address.partition("@")[0]:
        raise ValueError("write it without the plus part: what follows a + is ours to use")
    return address


MailAddress = Annotated[str, AfterValidator(_address)]
OwnAddress = Annotated[str, AfterValidator(_own_address)]


class Model(Described, BaseModel):
    """A part of the mail settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Relay(Model):
    """The mail server that carries our mail."""

    host: str = Field(min_length=1)
    """Name of the relay, as its certificate has it."""
    port: int = Field(0, ge=0, le=65535)
    """0: what is usual for `tls` (587, 465 or 25)."""
    tls: Literal["starttls", "tls", "none"] = "starttls"
    """The certificate is always verified. none: only for a relay on this machine or a trusted network."""
    ca: Path | None = None
    """PEM file of an authority of your own, when the relay's certificate is not publicly signed."""
    user: str = ""
    """User name for AUTH; empty: none."""
    password: SecretStr | None = None
    """`env:NAME` or `file:PATH`."""
    oauth: OAuth | None = None
    """Instead of a password."""
    connections: int = Field(2, ge=1, le=32)
    """Kept connections at the same time."""
    timeout: Duration = parse_duration("50s")
    """Hard limit of one delivery, connecting included."""

    @property
    def actual_port(self) -> int:
        """The port, with the usual one filled in."""
        return self.port or _RELAY_PORTS[self.tls]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.user and (self.password is None) == (self.oauth is None):
            raise ValueError("user needs a password (env:NAME or file:PATH), or oauth")
        if self.oauth and not self.user:
            raise ValueError("oauth needs the user")
        if self.user and self.tls == "none" and self.host not in _LOOPBACK:
            raise ValueError("a password is not sent without TLS; set tls to starttls or tls")
        return self


class Sender(Model):
    """Who notices are from."""

    name: str = ""
    """The display name."""
    address: MailAddress
    """The address; also the envelope sender, so that bounces come back."""


class Upload(Model):
    """The page `/upload`: a form for what is too big for a mail, answered by mail."""

    size: Size = Field(default=200 * 1024 * 1024, ge=64 * 1024, le=384 * 1024 * 1024)
    """The most bytes of one upload, all files together. Reading one takes twice as much of `workers.memory`."""
    per_client: int = Field(default=20, ge=1)
    """Uploads begun by one IP address (IPv6: one /64 network) within `window`."""
    window: Duration = parse_duration("10m")
    """The time in which uploads of one address are counted."""
    at_once: int = Field(default=20, ge=1)
    """Uploads of all people that may be arriving at the same time."""
    idle_time: Duration = parse_duration("1m")
    """Silence after which an upload is given up."""
    time: Duration = parse_duration("1h")
    """The longest time one upload may take to arrive."""
    keep_free: Size = Field(default=1024 * 1024 * 1024, ge=0)
    """Uploads are not taken when they would leave less than this on the disk: mail needs the room more."""


class MailAccount(AccountSettings):
    """One mailbox of the desk."""

    addresses: tuple[OwnAddress, ...] = Field(min_length=1)
    """Mail to these (and to their plus-addresses) is taken in; the first is where answers go to."""
    imap: Imap | None = None
    """A mailbox that is read by IMAP. None: mail comes by SMTP only."""
    relay: Relay | None = None
    """None: notices are written to `var/outgoing/<notice>.eml`."""
    from_: Sender | None = Field(None, alias="from")
    """Empty: the first address, with the brand as its name."""
    authserv_ids: tuple[str, ...] = ()
    """Names under which our own mail servers write Authentication-Results (RFC 8601); nobody else is believed."""

    upload: Upload | None = Upload()
    """What `/upload` takes for this account. null: nothing; SMTP then names no page when a mail is too big."""

    def upload_limit(self) -> int | None:
        """Of `upload`."""
        return self.upload.size if self.upload else None

    def endpoints(self) -> tuple[str, ...]:
        """The addresses."""
        return self.addresses

    def web_servers(self) -> tuple[str, ...]:
        """Where tokens are given out."""
        return tuple(one.oauth.token_url for one in (self.imap, self.relay) if one is not None and one.oauth)

    def sender_name(self) -> str:
        """The display name in From."""
        return (self.from_.name if self.from_ else "") or self.brand

    def reading(self) -> Facts:
        """Whose verdicts about a sender are believed."""
        return {"authserv_ids": list(self.authserv_ids)} if self.authserv_ids else {}

    @property
    def sender_address(self) -> str:
        """The address in From and of the envelope."""
        return self.from_.address if self.from_ else self.addresses[0]


class Lmtp(Model):
    """A port for the last hop from a mail server such as Postfix: one reply for each recipient (RFC 2033)."""

    host: str = "127.0.0.1"
    """Loopback, or a network that only the mail server reaches: LMTP is not for the Internet."""
    port: int = Field(2424, ge=0, le=65535)
    """0 means any free one; see `var/listening.json`. Never 25 (RFC 2033 section 5)."""


class SmtpOptions(Model):
    """The SMTP port that all mail accounts share. A limit that is reached gets a clear answer on the wire."""

    host: str = "127.0.0.1"
    """Where it listens; loopback until you say otherwise."""
    port: int = Field(2525, ge=0, le=65535)
    """0 means any free one; see `var/listening.json`."""
    lmtp: Lmtp | None = None
    """None: no LMTP port. The limits below hold on both ports together."""
    hostname: str = Field("", pattern=r"^[A-Za-z0-9.\-]*$")
    """The name in the greeting. Empty: the domain of the first account."""
    certificate: Path | None = None
    """PEM chain for STARTTLS; read again when the file changes. None: no STARTTLS."""
    key: Path | None = None
    """Its private key."""
    require_tls: bool = False
    """Refuse mail before STARTTLS."""
    message_size: Size = Field(50 * 1024 * 1024, ge=64 * 1024)
    """The biggest message; a bigger one gets 552 with the address of the upload page."""
    line_length: Size = Field(4 * 1024 * 1024, ge=1000)
    """The longest line; RFC 5321 asks for 1000, sloppy senders write far longer ones."""
    connections: int = Field(500, ge=1)
    """Connections at the same time."""
    connections_per_client: int = Field(100, ge=1)
    """Connections of one IP address."""
    recipients: int = Field(100, ge=1)
    """Of one message; RFC 5321 section 4.5.3.1.8 asks for 100."""
    commands: int = Field(500, ge=10)
    """Commands without a message accepted between them."""
    idle_time: Duration = parse_duration("5m")
    """Silence after which a connection is closed (RFC 5321 section 4.5.3.2.7 asks for 5 minutes)."""
    data_time: Duration = parse_duration("30m")
    """The longest time one message may take to arrive."""
    commit_time: Duration = parse_duration("2m")
    """How long an answer waits for the commit; then 451, and the repeat is recognised."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together")
        if self.require_tls and self.certificate is None:
            raise ValueError("require_tls needs a certificate and a key")
        return self
