"""A relay that is logged in to by XOAUTH2: tokens are renewed and kept."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from channels.mail.oauth import Tokens
from channels.mail.oauth_settings import OAuth
from channels.mail.outbound_relay import RelayTransport
from channels.mail.settings import Relay
from normalizer.message import Delivery, Fault
from tests.channels.mail.certificates import Pair, make
from tests.channels.mail.far_side import FarSide, far_side
from tests.channels.mail.test_outbound_relay import NOTICE, ORIGIN
from tests.mailboxes.test_login import Memory, Provider, provider

pytestmark = pytest.mark.services("openssl")


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


@asynccontextmanager
async def logged_in_by_tokens(
    side: FarSide, pair: Pair, server: Provider, vault: Memory, clock: Any, **oauth: Any
) -> AsyncIterator[RelayTransport]:
    said = OAuth(
        token_url=f"{server.url}/token", client_id="gateway", refresh_token=SecretStr("first-refresh"), **oauth
    )
    relay = Relay.model_validate(
        {"host": "localhost", "port": side.port, "ca": str(pair.certificate), "user": side.user, "timeout": "5m",
         "oauth": said.model_dump()}
    )  # fmt: skip
    tokens = Tokens("relay/support", said, vault, clock)
    transport = RelayTransport(relay, "", ORIGIN, clock, "desk.example", tokens)
    try:
        yield transport
    finally:
        await transport.close()


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return make(tmp_path)


async def test_it_logs_in_renews_what_is_over_and_what_is_refused(pair: Pair) -> None:
    clock, vault = Clock(), Memory()
    async with (
        provider() as server,
        far_side(tls=pair.server(), auth=True) as side,
        logged_in_by_tokens(side, pair, server, vault, clock) as relay,
    ):
        side.tokens = {"access-1"}
        assert (await relay.send(NOTICE)).delivery is Delivery.SENT
        assert side.shown == ["user=relay-user\x01auth=Bearer access-1\x01\x01"] and side.tls == [True]
        await side.hang_up()
        assert (await relay.send(NOTICE)).delivery is Delivery.SENT
        assert len(server.asked) == 1, "a good token is used again"

        side.tokens = {"access-2"}  # the relay takes the old one no longer
        await side.hang_up()
        refused = await relay.send(NOTICE)
        assert (refused.delivery, refused.fault) == (Delivery.RETRY, Fault.OURS)
        assert "access-" not in refused.detail and "refresh" not in refused.detail
        assert (await relay.send(NOTICE)).delivery is Delivery.SENT
        assert [form["refresh_token"] for form in server.asked] == ["first-refresh", "refresh-1"]

        clock.now += timedelta(hours=2)
        side.tokens = {"access-3"}
        await side.hang_up()
        assert (await relay.send(NOTICE)).delivery is Delivery.SENT, "over by the clock: renewed before it is shown"
    assert len(side.got) == 4


async def test_a_provider_that_gives_none_is_trouble_of_ours_and_nothing_is_sent(pair: Pair) -> None:
    async with (
        provider() as server,
        far_side(tls=pair.server(), auth=True) as side,
        logged_in_by_tokens(side, pair, server, Memory(), Clock()) as relay,
    ):
        server.valid = "nobody's"
        receipt = await relay.send(NOTICE)
        assert (receipt.delivery, receipt.fault) == (Delivery.RETRY, Fault.OURS)
        assert "invalid_grant" in receipt.detail
        server.status = 503
        assert (await relay.send(NOTICE)).delivery is Delivery.RETRY
    assert side.got == [] and side.shown == []
