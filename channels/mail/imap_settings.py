"""What `channels.mail.<account>.imap` may say."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from channels.described import Described
from channels.durations import Duration, Size, parse_duration
from channels.mail.oauth_settings import OAuth

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_PORTS = {"tls": 993, "starttls": 143, "none": 143}
_EXISTING = re.compile(r"new|all|since \d{4}-\d{2}-\d{2}")
_AFTER = re.compile(r"flag|move \S.{0,390}")


def _existing(text: str) -> str:
    if not _EXISTING.fullmatch(text):
        raise ValueError("should be new, all, or since YYYY-MM-DD")
    if text.startswith("since "):
        date.fromisoformat(text[6:])
    return text


def _after(text: str) -> str:
    if not _AFTER.fullmatch(text):
        raise ValueError("should be flag, or move and the name of a folder: move Processed")
    return text


class _Model(Described, BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Imap(_Model):
    """A mailbox that is read by IMAP."""

    host: str = Field(min_length=1)
    """Name of the server, as its certificate has it."""
    port: int = Field(0, ge=0, le=65535)
    """0: what is usual for `tls` (993 or 143)."""
    tls: Literal["tls", "starttls", "none"] = "tls"
    """The certificate is always verified. none: only for a server on this machine or a trusted network."""
    ca: Path | None = None
    """PEM file of an authority of your own, when the server's certificate is not publicly signed."""
    user: str = Field(min_length=1)
    """Who logs in; often the address."""
    password: SecretStr | None = None
    """`env:NAME` or `file:PATH`."""
    oauth: OAuth | None = None
    """Instead of a password."""
    folder: str = Field("INBOX", min_length=1, max_length=400)
    """The folder that is read."""
    read_only: bool = False
    """Nothing is ever changed in the mailbox, not even a flag: the pilot beside another helpdesk."""
    after: Annotated[str, AfterValidator(_after)] = "flag"
    """What happens to a message when it is committed: flag (it is marked as seen), or `move FOLDER`."""
    existing: Annotated[str, AfterValidator(_existing)] = "new"
    """What of the mail that is there at the first start is taken in: new (none of it), all, or `since YYYY-MM-DD`."""
    confirmed: bool = False
    """Yes, answer everybody whose mail is there at the first start, even when they are more than 50; `serve --yes`
    says the same."""
    poll: Duration = parse_duration("1m")
    """How often new mail is looked for, beside what the server tells by itself (IDLE)."""
    idle: bool = True
    """Let the server tell of new mail at once (RFC 2177), where it can."""
    reconcile: Duration = parse_duration("1h")
    """How often all numbers of the folder are compared with what is known, each time by a new connection: a server may
    go on showing an open one what the folder was."""
    message_size: Size = Field(50 * 1024 * 1024, ge=64 * 1024)
    """Of a bigger message the beginning is taken in; the message stays in the mailbox."""
    timeout: Duration = parse_duration("60s")
    """The longest silence of the server within an answer."""
    retry: Duration = parse_duration("1s")
    """Pause after a connection that broke; doubles up to five minutes, and is spread at random."""

    @property
    def actual_port(self) -> int:
        """The port, with the usual one filled in."""
        return self.port or _PORTS[self.tls]

    @property
    def target(self) -> str:
        """The folder that messages are moved to; "" when they are flagged."""
        return self.after.removeprefix("move ").strip() if self.after.startswith("move ") else ""

    @property
    def since(self) -> datetime | None:
        """The day of `existing: since`, its first moment in UTC; None for new and all."""
        if not self.existing.startswith("since "):
            return None
        return datetime.combine(date.fromisoformat(self.existing[6:]), time(), UTC)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.password is None) == (self.oauth is None):
            raise ValueError("give either password (env:NAME or file:PATH) or oauth")
        if self.tls == "none" and self.host not in _LOOPBACK:
            raise ValueError("a password is not sent without TLS; set tls to tls or starttls")
        if self.target == self.folder:
            raise ValueError("after: the folder that is read cannot be the one that mail is moved to")
        return self
