"""A whole gateway beside a shelf, on real ports: mail goes in by SMTP, and what goes out is files and rows."""

from __future__ import annotations

import asyncio
import json
import smtplib
import urllib.request
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, TypeVar, cast

from channels.contract import Clock
from gateway.app import utc_now
from tests.feeds.shelf import Shelf, shelf
from tests.feeds.shelf_feed import registered
from tests.mailboxes.desk import Running, running, until

T = TypeVar("T")
AGENT = json.dumps({"olga": {"name": "Olga", "addresses": ["olga@desk.example"], "trust_unknown": True}})
QUICKLY = (
    "smtp.port=0", "http.port=0", "workers.count=1", "outbox.debounce=0s",
    # However often a slow machine has a try repeated, the next one is not far.
    "outbox.backoff=1s", "outbox.backoff_limit=4s",
    "caps.per_account_minute=1000000", "caps.per_address_minute=1000000",
)  # fmt: skip
"""Settings of a gateway that is quick about everything."""
LONG = 120.0
"""Seconds for anything that should happen at once: a shared machine pauses, and its disk is slow at times."""
TALK = 90.0
"""Seconds for one answer by SMTP or HTTP."""
TELLING = {
    "feed_write": "id, kind, state, attempts, uncertain, sending_at, due_at, detail",
    "feed_link": "ticket_id, feed, state, ref, number",
    "event": "id, ticket_id, at, kind, actor, data",
    "outbox": "id, ticket_id, kind, template, state, attempts, due_at",
    "entry": "id, channel, state, attempts",
}
"""What a wait that failed tells of the gateway: table -> columns."""


class Ahead:
    """The wall clock of a gateway, and as much later as a test has let pass: nobody waits for what takes its time by
    design, and no time limit has to be short."""

    def __init__(self, **by: float) -> None:
        self.by = timedelta(**by)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.by

    def passes(self, **by: float) -> None:
        """So much."""
        self.by += timedelta(**by)


def feed_of(store: Shelf, **said: Any) -> dict[str, Any]:
    """The settings of a feed that is quick about everything; a try may take longer than any pause of the machine."""
    quick = {"poll": "1s", "doubt": "1s", "timeout": "5m"}
    return {"kind": "shelf", "url": store.url, **quick, **said}


def settings(store: Shelf, *more: str, feed: Mapping[str, Any] | None = None) -> tuple[str, ...]:
    """Of a gateway with this store."""
    mapped = {"store": feed_of(store, **(feed or {}))}
    return (*QUICKLY, f"agents={AGENT}", f"feeds={json.dumps(mapped)}", *more)


@dataclass
class Desk:
    """What a test holds."""

    var: Path
    store: Shelf
    running: Running
    sent: int = field(default=0)

    async def mail(
        self, text: str = "The printer is broken.", *, subject: str = "Printer", sender: str = "anna@client.example",
        files: Mapping[str, bytes] | None = None, answers: str = "", to: str = "support@desk.example",
        headers: Mapping[str, str] | None = None,
    ) -> str:  # fmt: skip
        """A mail comes in by SMTP. Returns its Message-ID."""
        self.sent += 1
        mail = EmailMessage(policy=policy.SMTP)
        mail["From"], mail["To"], mail["Subject"] = sender, to, subject
        mail["Message-ID"] = f"<feeds-{self.sent}@client.example>"
        if answers:
            mail["In-Reply-To"] = f"<{answers}>"
        for name, value in (headers or {}).items():
            mail[name] = value
        mail.set_content(text)
        for name, body in (files or {}).items():
            mail.add_attachment(body, maintype="application", subtype="octet-stream", filename=name)
        host, _, port = self.running.listening["smtp"].rpartition(":")

        def send() -> None:
            with smtplib.SMTP(host, int(port), timeout=TALK) as wire:
                wire.send_message(mail)

        await asyncio.to_thread(send)
        return str(mail["Message-ID"]).strip("<>")

    def letters(self, to: str = "anna@client.example") -> list[EmailMessage]:
        """Mails that went out to somebody, the oldest first."""
        paths = sorted((self.var / "outgoing").glob("*.eml"), key=lambda path: int(path.stem))
        found = [message_from_bytes(path.read_bytes(), policy=policy.default) for path in paths]
        return [cast("EmailMessage", mail) for mail in found if to in str(mail["To"])]

    def said_to(self, to: str = "anna@client.example") -> list[str]:
        """Their texts."""
        return [text_of(mail) for mail in self.letters(to)]

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        return self.running.store.rows(query, *values)

    def writes(self) -> list[tuple[str, str]]:
        """(kind, state) of every feed write."""
        return [(row[0], row[1]) for row in self.rows("SELECT kind, state FROM feed_write ORDER BY id")]

    def is_quiet(self) -> bool:
        """Nothing waits for the store."""
        return not self.rows("SELECT id FROM feed_write WHERE state IN ('waiting', 'sending')")

    def link(self, ticket: int = 1) -> dict[str, Any]:
        names = ("ref", "number", "state", "into", "told")
        wanted = f"SELECT {', '.join(chr(34) + name + chr(34) for name in names)} FROM feed_link WHERE ticket_id = ?"
        row = dict(zip(names, self.rows(wanted, ticket)[0], strict=True))
        return {**row, "told": json.loads(row["told"]) if isinstance(row["told"], str) else row["told"]}

    def ticket(self, number: int = 1) -> dict[str, Any]:
        names = ("number", "status", "line", "assignee", "subject", "reaction_met_at")
        return dict(
            zip(names, self.rows(f"SELECT {', '.join(names)} FROM ticket WHERE id = ?", number)[0], strict=True)
        )

    def events(self, kind: str = "feed", ticket: int = 1) -> list[dict[str, Any]]:
        rows = self.rows("SELECT data FROM event WHERE kind = ? AND ticket_id = ? ORDER BY id", kind, ticket)
        return [json.loads(row[0]) if isinstance(row[0], str) else row[0] for row in rows]

    async def api(self, method: str, path: str, body: object = None) -> Any:
        """A call of the API by the first token."""
        token = (self.var / "token").read_text().strip()
        url = f"http://{self.running.listening['http']}/api/v1{path}"
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()

        def ask() -> Any:
            request = urllib.request.Request(url, data, headers, method=method)
            with urllib.request.urlopen(request, timeout=TALK) as answer:
                return json.loads(answer.read())

        return await asyncio.to_thread(ask)

    async def until(self, look: Callable[[], T], what: str) -> T:
        """Wait until `look` gives something true; when it does not come, say what there was instead."""
        try:
            return await until(look, what, LONG)
        except AssertionError as error:
            for note in self.told():
                error.add_note(note)
            raise

    def told(self) -> list[str]:
        """What there is, for those who read of a wait that failed somewhere else."""
        notes = [
            f"{table}: {row}"[:500] for table, columns in TELLING.items()
            for row in reversed(self.rows(f"SELECT {columns} FROM {table} ORDER BY 1 DESC LIMIT 6"))
        ]  # fmt: skip
        if isinstance(self.store, Shelf):
            notes.append(f"the store: {self.store.tickets()}, called {self.store.seen[-30:]}, {self.store.mishaps}")
        return [*notes, f"letters: {[(str(mail['To']), str(mail['Subject'])) for mail in self.letters('')]}"]

    async def opened(self, count: int = 1) -> None:
        """Wait until the store has so many tickets of ours, and we know; and until we listen to it: what staff did
        there before that is no news."""
        linked = "SELECT feed FROM feed_link WHERE state != 'wanted'"
        await self.until(lambda: len(self.rows(linked)) >= count, f"{count} tickets in the store")
        await self.listened({row[0] for row in self.rows(linked)})

    async def listened(self, feeds: Collection[str]) -> None:
        """Wait until we know from where on what happens in these stores is news."""
        begun = "SELECT account FROM cursor WHERE channel = 'feed' AND name = 'changes'"
        await self.until(lambda: {row[0] for row in self.rows(begun)} >= {*feeds}, f"a first look at {feeds}")

    async def heard(self, count: int, kind: str) -> None:
        """Wait for so many events of a kind."""
        wanted = "SELECT id FROM event WHERE kind = ?"
        await self.until(lambda: len(self.rows(wanted, kind)) >= count, f"{count} x {kind}")


def text_of(mail: EmailMessage) -> str:
    """What it says."""
    body = mail.get_body(("plain",))
    return body.get_content() if body is not None else ""


@asynccontextmanager
async def beside(
    store: Shelf, var: Path, *more: str, feed: Mapping[str, Any] | None = None, clock: Clock = utc_now
) -> AsyncIterator[Desk]:
    """A gateway beside a store that is there."""
    with registered():
        async with running(var, settings(store, *more, feed=feed), clock=clock) as gateway:
            yield Desk(var=var, store=store, running=gateway)


@asynccontextmanager
async def desk(
    folder: Path, *more: str, feed: Mapping[str, Any] | None = None, clock: Clock = utc_now
) -> AsyncIterator[Desk]:
    """A store and a gateway."""
    async with shelf(folder) as store, beside(store, folder / "var", *more, feed=feed, clock=clock) as found:
        yield found
