"""A burst: every part is committed and filed at once; only the acknowledgement waits, and there is one (rule 10)."""

from __future__ import annotations

from datetime import timedelta

from gateway.store import outbox
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from tests.gateway.conftest import FrozenClock
from tests.gateway.filing_desk import Desk, context

ANN = "ann@client.example"


async def test_the_acknowledgement_waits_for_the_end_of_a_burst_and_is_one(
    db: Database, blobs: Blobs, clock: FrozenClock
) -> None:
    desk = Desk(db, blobs, clock, context(outbox={"acknowledgement_delay": "1m"}))
    first = await desk.mail(sender=ANN, message_id="1@client.example", trust="verified")
    for number in (2, 3):
        clock.forward(timedelta(seconds=10))
        filed = await desk.mail(
            sender=ANN, message_id=f"{number}@client.example", trust="verified",
            text=f"And this too: {number}.", thread_keys=["message_id:1@client.example"],
        )  # fmt: skip
        assert filed.ticket_id == first.ticket_id
    assert len(await desk.messages(first.ticket_id)) == 3, "each part is in the ticket at once"
    assert await desk.to(ANN) == ["acknowledgement"]
    due = lambda: desk.db.read(lambda conn: outbox.due(conn, "mail", "support", clock(), 10))  # noqa: E731
    assert await due() == [], "nothing is said while the burst lasts"
    clock.forward(timedelta(seconds=41))
    assert len(await due()) == 1
