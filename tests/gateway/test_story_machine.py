"""A state machine over journal, filing and outbox: crashes between any two steps, repeats, late parents, clocks.

Everything is the product's own: real bytes through the parser, real transactions in both databases, the real settling
of sends. A crash is a transaction that ends in ROLLBACK, or a wire call whose result is never written. The invariants
are those of docs/architecture.md; each check names its number.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import Connection, select

from gateway import desk, updates
from gateway.filing import file_entry
from gateway.outbox_results import apply, of_doubt, of_receipt
from gateway.store import journal, outbox, schema
from gateway.store.blobs import Blobs
from gateway.worker import read_entry
from gateway.worker_protocol import Parsed
from normalizer.message import Delivery, InlineBody, RawMessage, Receipt
from router.policy import Policy
from tests.gateway.conftest import START, FrozenClock
from tests.gateway.databases import writer_engine
from tests.gateway.filing_desk import SUPPORT, context

CRASHES = st.sampled_from(["", "", "before-commit"])
SENDS = st.sampled_from(["", "", "", "before-wire", "after-wire", "temporary"])


class Crash(Exception):
    """The process dies here; what is not committed is gone."""


@dataclass(slots=True)
class Mail:
    """A mail in the world, whether it reached us or not."""

    message_id: str
    thread: int
    sender: str
    content: bytes
    robot: bool = False
    acknowledged: bool = False


@dataclass(slots=True)
class Wire:
    """The far side of outgoing mail: what it took, for ever."""

    took: list[tuple[int, str, str]] = field(default_factory=list)
    """(row id, kind, recipient)."""


class StoryMachine(RuleBasedStateMachine):
    emptied: ClassVar[Callable[[], str]]
    """Gives the URL of an empty database."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="story-machine-"))
        self.engine = writer_engine(type(self).emptied())
        self.blobs = Blobs(self.folder / "blobs")
        self.clock = FrozenClock(START)
        self.ctx = context(caps={"per_address_minute": 1000, "per_address_day": 9999, "per_account_minute": 9999})
        self.random = Random(7)
        self.mails: list[Mail] = []
        self.wire = Wire()
        self.life = 0
        self.staff_keys = 0

    @initialize()
    def begin(self) -> None:
        self.write_new(0)

    @contextmanager
    def transaction(self, crash: str = "") -> Iterator[Connection]:
        with self.engine.begin() as conn:
            yield conn
            if crash == "before-commit":
                raise Crash

    def read(self, query: Any) -> list[Any]:
        with self.engine.begin() as conn:
            return list(conn.execute(query).all())

    # -- the world writes -------------------------------------------------------------------

    def compose(self, thread: int, chain: list[str], *, sender: str, robot: bool = False) -> Mail:
        message_id = f"m{len(self.mails)}@client.example"
        lines = [
            f"From: <{sender}>", f"To: {SUPPORT}", f"Subject: {'Re: ' if chain else ''}request {thread}",
            f"Message-ID: <{message_id}>", "Date: Mon, 2 Mar 2026 09:30:00 +0000",
        ]  # fmt: skip
        if chain:
            lines += [f"In-Reply-To: <{chain[-1]}>", f"References: {' '.join(f'<{one}>' for one in chain)}"]
        if robot:
            lines.append("Auto-Submitted: auto-replied")
        body = f"The server does not answer since this morning, part {len(self.mails)}."
        mail = Mail(message_id, thread, sender, "\r\n".join([*lines, "", body, ""]).encode(), robot)
        self.mails.append(mail)
        return mail

    def chain(self, thread: int) -> list[str]:
        return [mail.message_id for mail in self.mails if mail.thread == thread and not mail.robot]

    def receive(self, mail: Mail, crash: str) -> None:
        """What SMTP does: the entry is acknowledged by the return of the COMMIT only."""
        raw = RawMessage(
            channel="mail", account="support", format="mail/1", external_id=mail.message_id,
            fingerprint=hashlib.sha256(mail.content).hexdigest(), peer=mail.sender, received_at=self.clock(),
            body=InlineBody(content=mail.content), deliveries=(("support", SUPPORT),),
        )  # fmt: skip
        try:
            with self.transaction(crash) as conn:
                [accepted] = journal.record(conn, [raw], None, now=self.clock(), blobs=self.blobs)
        except Crash:
            return
        assert accepted.duplicate or not mail.acknowledged, "I1: an acknowledged mail was taken for a new one"
        mail.acknowledged = True

    @rule(crash=CRASHES, late=st.booleans())
    def new_thread(self, crash: str, late: bool) -> None:
        self.write_new(len(self.mails), crash, late)

    def write_new(self, thread: int, crash: str = "", late: bool = False) -> None:
        mail = self.compose(thread, [], sender=f"person{thread}@client.example")
        if not late:
            self.receive(mail, crash)

    @rule(index=st.integers(0, 99), crash=CRASHES, late=st.booleans())
    def answer(self, index: int, crash: str, late: bool) -> None:
        thread = self.mails[index % len(self.mails)].thread
        mail = self.compose(thread, self.chain(thread), sender=f"person{thread}@client.example")
        if not late:
            self.receive(mail, crash)

    @rule(index=st.integers(0, 99), crash=CRASHES)
    def repeat_or_deliver_late(self, index: int, crash: str) -> None:
        self.receive(self.mails[index % len(self.mails)], crash)

    @precondition(lambda self: self.wire.took)
    @rule(index=st.integers(0, 99), crash=CRASHES)
    def robot_answers_us(self, index: int, crash: str) -> None:
        row_id, _, recipient = self.wire.took[index % len(self.wire.took)]
        [row] = self.read(select(schema.outbox.c.message_id).where(schema.outbox.c.id == row_id))
        mail = self.compose(-1, [row.message_id or "none@desk.example"], sender=recipient, robot=True)
        self.receive(mail, crash)

    # -- the gateway works ------------------------------------------------------------------

    @rule(crash=CRASHES)
    def file_what_is_pending(self, crash: str) -> None:
        with self.engine.begin() as conn:
            entries = journal.pending(conn, blobs=self.blobs, now=self.clock(), limit=10, exclude=())
        for entry in entries:
            parsed = read_entry(entry.raw, Policy(), self.blobs)
            assert isinstance(parsed, Parsed)
            try:
                with self.transaction(crash) as conn:
                    file_entry(conn, self.ctx, entry, parsed, self.clock())
            except Crash:
                return

    @rule(end=SENDS)
    def send_what_is_due(self, end: str) -> None:
        owner, now = f"server:{self.life}", self.clock()
        with self.engine.begin() as conn:
            ids = outbox.due(conn, "mail", "support", now, 5)
            rows = outbox.claim(conn, ids, owner, now)
        for row in rows:
            if end == "before-wire":
                return self.crash()
            if end != "temporary":
                self.wire.took.append((row.id, row.kind, row.recipient))
            if end == "after-wire":
                return self.crash()
            receipt = Receipt(delivery=Delivery.RETRY if end == "temporary" else Delivery.SENT)
            with self.engine.begin() as conn:
                settlement = of_receipt(
                    row, receipt, captured=False, settings=self.ctx.settings.outbox, random=self.random, now=now
                )
                assert apply(conn, self.ctx, updates.compose, row, settlement, now)
        return None

    def crash(self) -> None:
        """The server dies and starts again: what it left SENDING is in doubt (rule 12)."""
        self.life += 1
        now = self.clock()
        with self.engine.begin() as conn:
            for row in outbox.abandoned(conn, f"server:{self.life}"):
                settlement = of_doubt(
                    row, "died", settings=self.ctx.settings.outbox, random=self.random, now=now, at_once=True
                )
                assert apply(conn, self.ctx, updates.compose, row, settlement, now)

    @rule(minutes=st.sampled_from([1, 5, 60, 600]))
    def time_passes(self, minutes: int) -> None:
        self.clock.forward(timedelta(minutes=minutes))

    @rule(index=st.integers(0, 99), act=st.sampled_from(["reply", "resolve", "note"]), crash=CRASHES)
    def staff_acts(self, index: int, act: str, crash: str) -> None:
        tickets = self.read(select(schema.ticket.c.id, schema.ticket.c.status).order_by(schema.ticket.c.id))
        if not tickets:
            return
        ticket = tickets[index % len(tickets)]
        if act == "resolve" and ticket.status in ("resolved", "closed"):
            return
        self.staff_keys += 1
        given: dict[str, Any] = {"actor": "agent:olena", "now": self.clock(), "key": f"act:{self.staff_keys}"}
        given |= {"result": "We restarted it."} if act == "resolve" else {"text": "We are looking."}
        try:
            with self.transaction(crash) as conn:
                getattr(desk, act)(conn, self.ctx, ticket.id, **given)
        except Crash:
            return

    @rule(index=st.integers(0, 99), crash=CRASHES)
    def replay(self, index: int, crash: str) -> None:
        done = self.read(select(schema.entry.c.id).where(schema.entry.c.state == "done"))
        if done:
            try:
                with self.transaction(crash) as conn:
                    chosen = [done[index % len(done)].id]
                    journal.replay(conn, chosen, reroute=False, notify=False, now=self.clock())
            except Crash:
                return

    # -- what must hold ---------------------------------------------------------------------

    @invariant()
    def acknowledged_is_in_the_journal_once(self) -> None:
        kept = Counter(row.sha256 for row in self.read(select(schema.entry.c.sha256)))
        for mail in self.mails:
            digest = hashlib.sha256(mail.content).hexdigest()
            assert kept[digest] == (1 if mail.acknowledged else 0), "I1"

    @invariant()
    def journalled_is_filed_once(self) -> None:
        filed = Counter(
            row.entry_id
            for row in self.read(
                select(schema.message.c.entry_id).where(schema.message.c.current, schema.message.c.direction == "in")
            )
        )
        robots = {mail.message_id for mail in self.mails if mail.robot}
        for entry in self.read(select(schema.entry)):
            if entry.state == "done" and entry.external_id not in robots:
                assert filed[entry.id] == 1, "I2"
            assert filed[entry.id] <= 1, "I2"

    @invariant()
    def a_thread_is_one_ticket(self) -> None:
        found: dict[int, set[int]] = {}
        threads = {mail.message_id: mail.thread for mail in self.mails if not mail.robot}
        query = select(schema.entry.c.external_id, schema.message.c.ticket_id).join(
            schema.message, schema.message.c.entry_id == schema.entry.c.id
        )
        for row in self.read(query.where(schema.message.c.current)):
            if row.external_id in threads:
                found.setdefault(threads[row.external_id], set()).add(row.ticket_id)
        assert all(len(tickets) == 1 for tickets in found.values()), f"I3: {found}"

    @invariant()
    def what_must_not_repeat_went_out_once(self) -> None:
        repeatable = {
            row.id: row.repeatable for row in self.read(select(schema.outbox.c.id, schema.outbox.c.repeatable))
        }
        for row_id, count in Counter(row_id for row_id, _, _ in self.wire.took).items():
            assert count == 1 or repeatable[row_id], f"I4: notice {row_id} went out {count} times"

    @invariant()
    def one_acknowledgement_a_ticket(self) -> None:
        kinds = Counter(
            row.ticket_id
            for row in self.read(select(schema.outbox.c.ticket_id).where(schema.outbox.c.kind == "acknowledgement"))
        )
        assert all(count == 1 for count in kinds.values()), "I4"

    @invariant()
    def no_robot_has_a_ticket(self) -> None:
        robots = {mail.message_id for mail in self.mails if mail.robot}
        opened = self.read(
            select(schema.entry.c.external_id).join(schema.ticket, schema.ticket.c.entry_id == schema.entry.c.id)
        )
        assert not robots & {row.external_id for row in opened}, "I6"

    def teardown(self) -> None:
        """Let everything come to rest: then nothing may be left over."""
        try:
            for _ in range(12):
                self.clock.forward(timedelta(hours=1))
                self.file_what_is_pending("")
                self.send_what_is_due("")
            left = self.read(select(schema.entry.c.id, schema.entry.c.error).where(schema.entry.c.state != "done"))
            assert not left, f"I2: {left}"
            self.acknowledged_is_in_the_journal_once()
            self.journalled_is_filed_once()
            self.a_thread_is_one_ticket()
            self.what_must_not_repeat_went_out_once()
        finally:
            self.engine.dispose()
            shutil.rmtree(self.folder)


EXAMPLES = {"sqlite": 25, "postgresql": 15}
"""Kind of database -> stories; a story on PostgreSQL takes longer."""


@pytest.mark.timeout(600)
def test_story(emptied: Callable[[], str], db_url: str) -> None:
    StoryMachine.emptied = staticmethod(emptied)
    rules = settings(
        max_examples=EXAMPLES["sqlite" if db_url.startswith("sqlite") else "postgresql"], stateful_step_count=30,
        deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )  # fmt: skip
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(StoryMachine, settings=rules)  # type: ignore[no-untyped-call]
