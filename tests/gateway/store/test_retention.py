"""What is old is forgotten in small pieces; what is needed stays."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection, func, insert, select, update

from gateway.housekeeping import Housekeeping
from gateway.store import calls, counters, journal, schema, tickets
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from normalizer.message import Attachment
from tests.gateway.conftest import START, FrozenClock
from tests.gateway.outgoing import context, open_ticket
from tests.gateway.store.mails import mail

DAY = timedelta(days=1)


def attached(name: str) -> Attachment:
    return Attachment(filename=name, content_type="text/plain", size=1, sha256="0" * 64, content=b"x")


async def ticket(db: Database, status: str, files: int) -> int:
    ticket_id = await db.write(lambda conn: open_ticket(conn, START, status=status))

    def fill(conn: object) -> None:
        message = tickets.add_message(
            conn,
            ticket_id,
            direction="in",
            kind="message",
            author="ann",
            text="x",
            at=START,  # type: ignore[arg-type]
        )
        tickets.add_attachments(conn, message, [attached(str(number)) for number in range(files)])  # type: ignore[arg-type]

    await db.write(fill)
    return ticket_id


async def test_attachments_of_closed_tickets_go_in_pieces(
    db: Database, clock: FrozenClock, blobs: Blobs, tmp_path: Path
) -> None:
    (tmp_path / "spool").mkdir()
    await ticket(db, "closed", 70)
    await ticket(db, "open", 2)
    ctx = context(retention={"attachments": "30d", "log": "30d"})
    keeping = Housekeeping(db, ctx, blobs, tmp_path / "spool", clock)
    clock.forward(30 * DAY)
    assert (await keeping.tidy())["attachments_forgotten"] == 0
    clock.forward(timedelta(seconds=1))
    jobs = db.stats.jobs
    assert (await keeping.tidy())["attachments_forgotten"] == 70
    assert db.stats.jobs - jobs >= 3, "more than one transaction"
    states = await db.read(
        lambda conn: conn.execute(select(schema.attachment.c.state, schema.attachment.c.content)).all()
    )
    assert sorted(states, key=str).count(("forgotten", None)) == 70
    assert [row for row in states if row.state == "here"] == [("here", b"x")] * 2


async def test_records_of_operation_go(db: Database, clock: FrozenClock, blobs: Blobs, tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    ticket_id = await ticket(db, "open", 0)
    answer = {"token_id": 1, "fingerprint": "0", "status": 200, "body": "{}"}
    link = {"ticket_id": ticket_id, "recipient": "ann@client.example"}
    minute, day = timedelta(minutes=1), DAY
    for name, at in (("old", START), ("new", START + 40 * DAY)):
        rows = (
            (schema.idempotency, {**answer, "key": name, "at": at}),
            (schema.view_token, {**link, "token_hash": name, "expires_at": at}),
        )
        for table, row in rows:
            await db.write(lambda conn, t=table, r=row: conn.execute(insert(t).values(r)))
        for prefix, span in (("auto:minute:address:", minute), ("auto:day:address:", day)):
            bucket = counters.bucket(at, span)
            await db.write(lambda conn, p=prefix, b=bucket: counters.count_up(conn, f"{p}ann", b))
    clock.now = START + 50 * DAY
    ctx = context(retention={"log": "30d"})
    assert (await Housekeeping(db, ctx, blobs, tmp_path / "spool", clock).tidy())["records_forgotten"] == 4
    left = await db.read(lambda conn: conn.execute(select(schema.counter)).all())
    assert len(left) == 2
    for_ever = context(retention={"log": "0s"})
    clock.forward(1000 * DAY)
    assert (await Housekeeping(db, for_ever, blobs, tmp_path / "spool", clock).tidy())["records_forgotten"] == 0
    await db.write(lambda conn: conn.execute(update(schema.ticket).values(status="closed")))


async def test_records_and_raw_bytes_go_in_pieces(
    db: Database, clock: FrozenClock, blobs: Blobs, tmp_path: Path
) -> None:
    (tmp_path / "spool").mkdir()
    ctx = context(retention={"log": "30d"}, journal={"keep_raw": "30d"})
    raws = [mail(number) for number in range(1, 101)]

    def take(conn: Connection) -> None:
        for accepted in journal.record(conn, raws, None, now=START, blobs=blobs):
            journal.done(conn, accepted.entry, outcome={}, now=START)

    await db.write(take)
    rows = [
        {"token_id": 1, "fingerprint": "0", "status": 200, "body": "{}", "key": f"{number}", "at": START}
        for number in range(1100)
    ]
    await db.write(lambda conn: conn.execute(insert(schema.idempotency), rows))
    keeping = Housekeeping(db, ctx, blobs, tmp_path / "spool", clock)
    clock.forward(30 * DAY)
    kept = await keeping.tidy()
    assert (kept["raw_forgotten"], kept["records_forgotten"]) == (0, 0), "not before its time"
    clock.forward(timedelta(seconds=1))
    went = await _tidied(db, keeping)
    assert (went.done["raw_forgotten"], went.done["records_forgotten"]) == (100, 1100)
    again = await _tidied(db, keeping)
    assert (again.done["raw_forgotten"], again.done["records_forgotten"]) == (0, 0)
    assert went.transactions - again.transactions == 4 + 3, "100 in pieces of 32, 1,100 in pieces of 500"
    # The keys stay: what comes again is known.
    found = await db.write(lambda conn: journal.record(conn, raws, None, now=clock(), blobs=blobs))
    assert all(accepted.duplicate for accepted in found)


@dataclass(frozen=True)
class Tidied:
    """What went, and in how many transactions."""

    done: dict[str, int]
    transactions: int


async def _tidied(db: Database, keeping: Housekeeping) -> Tidied:
    before = db.stats.jobs
    done = await keeping.tidy()
    return Tidied(done, db.stats.jobs - before)


async def test_calls_are_forgotten_after_their_time_and_never_before_what_could_be_filed_again(
    db: Database, blobs: Blobs, clock: FrozenClock, tmp_path: Path
) -> None:
    def begin(conn: Connection, sid: str, outcome: str, ended: datetime | None) -> None:
        row = calls.lock(
            conn, "voice", "main", sid, caller="+380670000001", called="+380440000001", state={}, now=START
        )
        calls.change(conn, row.id, outcome=outcome, ended_at=ended)
        calls.keep_answer(conn, row.id, 0, {"kind": "hang_up"}, START)
        calls.add_recording(conn, row.id, "RE1", source="", seconds=1, now=START)

    async def kept() -> list[int]:
        tables = (schema.call, schema.call_step, schema.call_recording)
        return [
            await db.read(lambda conn, t=table: conn.scalar(select(func.count()).select_from(t))) for table in tables
        ]

    for sid, outcome, ended in (("CA1", "ticket", START), ("CA2", "no_end", None), ("CA3", "", None)):
        await db.write(lambda conn, one=(sid, outcome, ended): begin(conn, *one))
    clock.now = START
    ctx = context(retention={"calls": "10d"}, journal={"keep_raw": "30d"})
    (tmp_path / "spool").mkdir()
    keeping = Housekeeping(db, ctx, blobs, tmp_path / "spool", clock)
    clock.forward(32 * DAY)
    assert (await keeping.tidy())["calls_forgotten"] == 0 and await kept() == [3, 3, 3]
    # The last of them has no request in the journal, and so no more than a reason.
    assert await db.read(lambda conn: conn.scalar(select(func.count()).where(schema.call.c.outcome == "no_end"))) == 2
    clock.forward(timedelta(seconds=1))
    assert (await keeping.tidy())["calls_forgotten"] == 3 and await kept() == [0, 0, 0]


async def test_zero_keeps_calls_for_ever(db: Database, blobs: Blobs, clock: FrozenClock, tmp_path: Path) -> None:
    def begin(conn: Connection) -> None:
        row = calls.lock(conn, "voice", "main", "CA1", caller="+1", called="+2", state={}, now=START)
        calls.change(conn, row.id, outcome="ticket")

    await db.write(begin)
    (tmp_path / "spool").mkdir()
    clock.forward(4000 * DAY)
    kept = await Housekeeping(db, context(retention={"calls": "0s"}), blobs, tmp_path / "spool", clock).tidy()
    assert kept["calls_forgotten"] == 0
