"""Operators hear 14 days before the login of a relay ends, also after a restart, and when it was renewed."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from gateway.store.database import Database
from normalizer.message import Delivery
from tests.channels.mail.certificates import make
from tests.channels.mail.far_side import far_side
from tests.channels.mail.test_outbound_relay import NOTICE
from tests.channels.mail.test_relay_tokens import logged_in_by_tokens
from tests.gateway.conftest import FrozenClock
from tests.gateway.test_alerts import Watch
from tests.mailboxes.test_login import Memory, provider

CAUSE = "token mail/support relay"


@pytest.mark.services("openssl")
async def test_the_end_of_its_token_is_an_alarm_with_an_all_clear(
    tmp_path: Path, db: Database, clock: FrozenClock
) -> None:
    pair = make(tmp_path)
    vault = Memory()
    async with provider() as server, far_side(tls=pair.server(), auth=True) as side:
        server.days = 20
        async with logged_in_by_tokens(side, pair, server, vault, clock) as relay:
            side.tokens = {"access-1"}
            assert (await relay.send(NOTICE)).delivery is Delivery.SENT
        # After a restart, before anything is sent: the end stands beside the kept token.
        async with logged_in_by_tokens(side, pair, server, vault, clock) as relay:
            watch = Watch(db, clock, watched=relay.troubles)
            assert await watch.look() == []
            clock.forward(timedelta(days=6, hours=1))
            assert await watch.look() == [(CAUSE, "raised")]
            side.tokens = {"access-2"}
            assert (await relay.send(NOTICE)).delivery is Delivery.SENT  # the provider gives a new one
            assert await watch.look() == [(CAUSE, "cleared")]
        clock.forward(timedelta(hours=1))
        ends = clock().date() + timedelta(days=10)
        async with logged_in_by_tokens(side, pair, server, vault, clock, expires=ends) as relay:
            watch = Watch(db, clock, watched=relay.troubles)
            assert await watch.look() == [(CAUSE, "raised")], "the client's secret, of which only the settings know"
        async with logged_in_by_tokens(side, pair, server, vault, clock, expires=date(2040, 1, 1)) as relay:
            assert await Watch(db, clock, watched=relay.troubles).look() == [(CAUSE, "cleared")]
