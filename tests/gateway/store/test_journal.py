"""The journal: repeats, cursors, the order of filing, quarantine and replay."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, create_engine, func, select

from channels.contract import Accepted, Cursor, Unavailable
from gateway.store import cursors, journal
from gateway.store.blobs import Blobs
from gateway.store.schema import delivery, entry, metadata
from gateway.store.schema import raw as raw_table
from normalizer.message import InlineBody, RawMessage, SpooledBody
from tests.gateway.store.mails import NOW, digests, mail, spooled

SECOND = timedelta(seconds=1)


@pytest.fixture
def conn(db_url: str) -> Any:
    """One connection in one transaction: these tests are about rows, not about commits."""
    engine = create_engine(db_url)
    with engine.connect() as open_connection:
        yield open_connection
    engine.dispose()


@pytest.fixture
def take(conn: Connection, blobs: Blobs) -> Callable[..., list[Accepted]]:
    def record(*raws: RawMessage, cursor: Cursor | None = None, now: Any = NOW) -> list[Accepted]:
        return journal.record(conn, journal.prepare(raws, blobs), cursor, now=now, blobs=blobs)

    return record


def waiting(conn: Connection, blobs: Blobs, now: Any = NOW, **options: Any) -> list[int]:
    found = journal.pending(conn, blobs=blobs, now=now, **({"limit": 100} | options))
    return [one.id for one in found]


# -- accepting ----------------------------------------------------------------------------


def _came(name: str, print_: str, to: str) -> RawMessage:
    return mail(1, external_id=name, fingerprint=print_, deliveries=(("support", f"{to}@desk.example"),))


ids = st.sampled_from(["a@x.example", "b@x.example", "a@x.examplemail", ""])
prints = st.sampled_from(["0" * 64, "1" * 64])
batches = st.lists(st.lists(st.tuples(ids, prints, st.sampled_from("xyz")), max_size=6), max_size=10)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(batches)
def test_a_repeat_is_the_same_id_and_the_same_fingerprint(
    blobs: Blobs, batches: list[list[tuple[str, str, str]]]
) -> None:
    engine = create_engine("sqlite://")
    metadata.create_all(engine)
    seen: dict[tuple[str, str], int] = {}
    deliveries: set[tuple[int, str]] = set()
    with engine.connect() as conn:
        came = [
            pair
            for batch in batches
            for pair in zip(batch, journal.record(conn, [_came(*one) for one in batch], None, now=NOW, blobs=blobs),
                            strict=True)
        ]  # fmt: skip
        for (name, print_, to), accepted in came:
            assert accepted.duplicate == ((name, print_) in seen)
            assert accepted.variant == (not accepted.duplicate and any(other == name for other, _ in seen))
            assert seen.setdefault((name, print_), accepted.entry) == accepted.entry
            deliveries.add((accepted.entry, f"{to}@desk.example"))
        assert conn.execute(select(func.count()).select_from(entry)).scalar_one() == len(seen)
        rows = conn.execute(select(delivery.c.entry_id, delivery.c.recipient)).all()
    engine.dispose()
    assert sorted((row.entry_id, row.recipient) for row in rows) == sorted(deliveries)


def test_the_parts_of_the_key_cannot_run_into_each_other() -> None:
    one = mail(1, external_id="a", fingerprint="bc")
    other = mail(1, external_id="ab", fingerprint="c")
    assert journal.dedupe_key(one) != journal.dedupe_key(other)


def test_a_repeat_in_one_call_is_one_entry(take: Any) -> None:
    first, second, third = take(mail(1), mail(1), mail(2))
    assert (first.entry, first.duplicate) == (second.entry, not second.duplicate)
    assert third.entry != first.entry


def test_many_at_once_are_kept_as_each_alone(conn: Connection, blobs: Blobs, take: Any, tmp_path: Any) -> None:
    two = (("support", "a@desk.example"), ("sales", "b@desk.example"), ("support", "a@desk.example"))
    raws = [mail(number, facts={"n": number}, deliveries=two) for number in range(150)]
    raws[70] = spooled(70, b"x" * 300_000, tmp_path / "spool")
    accepted = take(*raws)
    assert [one.duplicate or one.variant for one in accepted] == [False] * len(raws)
    kept = [each.raw for each in journal.load(conn, [one.entry for one in accepted], blobs)]
    assert [each.facts for each in kept] == [raw.facts for raw in raws]
    assert [each.body.sha256 for each in kept] == [raw.body.sha256 for raw in raws]
    assert kept[0].deliveries == (("sales", "b@desk.example"), ("support", "a@desk.example"))
    again = take(mail("new"), *raws[:60], mail("newer"))
    assert [one.entry for one in again[1:-1]] == [one.entry for one in accepted[:60]]
    assert [one.duplicate for one in again] == [False, *[True] * 60, False]


def test_what_is_kept_is_what_came(conn: Connection, blobs: Blobs, take: Any) -> None:
    raw = mail(1, b"\x00\xff\r\n.\r\n", facts={"tls": True, "rcpt_to": ["x@desk.example"], "n": None})
    (accepted,) = take(raw)
    (found,) = journal.load(conn, [accepted.entry], blobs)
    assert found.raw == raw
    assert (found.state, found.attempts, found.generation, found.alone) == ("pending", 0, 0, False)
    assert found.accepted_at == NOW


def test_a_big_body_is_a_blob(conn: Connection, blobs: Blobs, take: Any, tmp_path: Any) -> None:
    take(spooled(1, b"x" * 300_000, tmp_path / "spool"), mail(2, b"y" * 300_000), mail(3, b""))
    found = journal.pending(conn, blobs=blobs, now=NOW, limit=10)
    assert [type(one.raw.body) for one in found] == [SpooledBody, SpooledBody, InlineBody]
    assert conn.execute(select(func.count()).select_from(raw_table)).scalar_one() == 1
    assert list((tmp_path / "spool").iterdir()) == []
    assert len(digests(conn, blobs)) == 3


def test_a_blob_that_was_swept_meanwhile_is_not_acknowledged(conn: Connection, blobs: Blobs, tmp_path: Any) -> None:
    prepared = journal.prepare([spooled(1, b"x" * 300_000, tmp_path / "spool")], blobs)
    blobs.path(prepared[0].body.sha256).unlink()
    with pytest.raises(Unavailable):
        journal.record(conn, prepared, None, now=NOW, blobs=blobs)


def test_odd_ids_are_kept_bounded_and_still_told_apart(conn: Connection, take: Any) -> None:
    long = "x" * 1_000_000
    odd = [mail(1, external_id=long + "1"), mail(1, external_id=long + "2"), mail(1, external_id="nul\0\ud800")]
    assert [one.duplicate for one in take(*odd, odd[0])] == [False, False, False, True]
    kept = conn.execute(select(entry.c.external_id).order_by(entry.c.id)).scalars().all()
    assert [len(name) for name in kept] == [1000, 1000, 5]
    assert kept[0] != kept[1]
    assert take(mail(1, peer="p" * 1000, external_id="other"))[0].variant is False


def test_a_cursor_goes_with_what_it_passes(conn: Connection, take: Any) -> None:
    take(mail(1), cursor=Cursor(channel="mail", account="support", name="INBOX", value="7:41"))
    take(cursor=Cursor(channel="mail", account="support", name="INBOX", value="7:42"))
    assert cursors.get(conn, "mail", "support", "INBOX") == "7:42"
    assert cursors.get(conn, "mail", "other", "INBOX") is None


# -- filing -------------------------------------------------------------------------------


def test_entries_come_in_journal_order_and_within_limits(conn: Connection, blobs: Blobs, take: Any) -> None:
    take(*(mail(n, b"x" * 1000) for n in range(10)))
    assert waiting(conn, blobs) == list(range(1, 11))
    assert waiting(conn, blobs, limit=3) == [1, 2, 3]
    assert waiting(conn, blobs, max_bytes=2500) == [1, 2]
    assert waiting(conn, blobs, max_bytes=10) == [1]
    assert waiting(conn, blobs, limit=3, exclude={1, 2}) == [3, 4, 5]
    journal.done(conn, 4, outcome={"kind": "message"}, now=NOW)
    assert waiting(conn, blobs, limit=4) == [1, 2, 3, 5]


def test_an_entry_in_work_holds_its_peer_back(conn: Connection, blobs: Blobs, take: Any) -> None:
    take(*(mail(n, peer=peer) for n, peer in enumerate(["ann", "bob", "ann", "", ""])))
    assert waiting(conn, blobs, exclude={1}) == [2, 4, 5]
    assert waiting(conn, blobs, exclude={4}) == [1, 2, 3, 5], "nobody's mails do not wait for each other"


def test_a_retried_entry_holds_its_peer_back_for_ten_seconds_at_most(conn: Connection, blobs: Blobs, take: Any) -> None:
    take(mail(1, peer="ann"), mail(2, peer="ann"), mail(3, peer="bob"))
    assert not journal.failed(conn, 1, reason="parser", now=NOW, limit=9, backoff=4 * SECOND)
    assert waiting(conn, blobs, NOW + 3 * SECOND) == [3]
    assert waiting(conn, blobs, NOW + 4 * SECOND) == [1, 2, 3]
    assert not journal.failed(conn, 1, reason="parser", now=NOW + 5 * SECOND, limit=9, backoff=4 * SECOND)
    assert waiting(conn, blobs, NOW + 9 * SECOND) == [3]
    assert waiting(conn, blobs, NOW + 11 * SECOND) == [2, 3]
    assert waiting(conn, blobs, NOW + 13 * SECOND) == [1, 2, 3]


def test_after_its_attempts_an_entry_is_in_quarantine_and_blocks_nothing(
    conn: Connection, blobs: Blobs, take: Any
) -> None:
    take(mail(1, peer="ann"), mail(2, peer="ann"))
    assert [journal.failed(conn, 1, reason=f"try {n}", now=NOW, limit=3) for n in range(3)] == [False, False, True]
    assert waiting(conn, blobs) == [2]
    (found,) = journal.quarantined(conn, 10)
    assert (found.id, found.peer, found.attempts, found.error) == (1, "ann", 3, "try 2")
    assert journal.quarantined(conn, 10, after=1) == []


def test_alone_counts_no_attempt(conn: Connection, blobs: Blobs, take: Any) -> None:
    take(mail(1), mail(2))
    journal.set_alone(conn, [1])
    assert [(one.alone, one.attempts) for one in journal.load(conn, [1, 2], blobs)] == [(True, 0), (False, 0)]


def test_replay_raises_the_generation(conn: Connection, blobs: Blobs, take: Any) -> None:
    take(mail(1), mail(2), mail(3))
    journal.done(conn, 1, outcome={"ticket": 1}, now=NOW)
    assert journal.failed(conn, 2, reason="bad", now=NOW, limit=1)
    assert journal.replay(conn, [1, 2, 3, 99], reroute=True, notify=False, now=NOW) == 2
    again = journal.pending(conn, blobs=blobs, now=NOW, limit=9)
    assert [(one.id, one.generation, one.reroute, one.notify, one.attempts) for one in again] == [
        (1, 1, True, False, 0),
        (2, 1, True, False, 0),
        (3, 0, False, True, 0),
    ]


def test_filing_that_was_overtaken_by_a_replay_is_not_the_end(conn: Connection, take: Any) -> None:
    take(mail(1))
    journal.done(conn, 1, outcome={}, now=NOW, generation=0)
    journal.replay(conn, [1], reroute=False, notify=False, now=NOW)
    assert not journal.done(conn, 1, outcome={}, now=NOW, generation=0)
    assert journal.backlog(conn) == (1, NOW)
    assert journal.done(conn, 1, outcome={}, now=NOW, generation=1)
    assert journal.backlog(conn) == (0, None)


def test_old_bytes_are_dropped_but_never_the_key_nor_the_quarantine(
    conn: Connection, blobs: Blobs, take: Any, tmp_path: Any
) -> None:
    big = spooled(2, b"x" * 300_000, tmp_path / "spool")
    take(mail(1), big, mail(3), mail(4))
    take(mail(5), now=NOW + SECOND)
    for number in (1, 2, 5):
        journal.done(conn, number, outcome={}, now=NOW)
    journal.failed(conn, 3, reason="bad", now=NOW, limit=1)
    assert journal.drop_raw(conn, before=NOW + SECOND) == 2
    assert journal.drop_raw(conn, before=NOW + SECOND) == 0
    assert [one.id for one in journal.load(conn, [1, 2, 3, 4, 5], blobs)] == [3, 4, 5]
    assert journal.replay(conn, [1, 2, 3], reroute=False, notify=False, now=NOW) == 1
    assert take(mail(1))[0].duplicate


def test_those_that_must_wait_hide_nobody_behind_them(
    conn: Connection, blobs: Blobs, take: Callable[..., list[Accepted]]
) -> None:
    taken = [one.entry for number in range(12) for one in take(mail(f"{number}@x.example", peer=f"{number}@x.example"))]
    for entry_id in taken[:9]:
        journal.put_back(conn, entry_id, NOW + 5 * SECOND)
    assert waiting(conn, blobs, limit=2) == taken[9:11]
    assert waiting(conn, blobs, limit=2, exclude=taken[9:10]) == taken[10:]
    assert waiting(conn, blobs, limit=50) == taken[9:]
