"""Two real nodes and one list of calls: one reads it at a time, and when it dies the other goes on."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.demo.twilio_api import Network, Telephony, TwilioApi
from tests.nodes.nodes import Node, until
from tests.postgres import Server
from tests.twilio.provider import ANNA, OURS, SID, TOKEN

PATIENCE = 120.0


@pytest.mark.xdist_group("nodes")
@pytest.mark.timeout(600)
async def test_one_node_reads_the_list_of_calls_and_the_other_goes_on_when_it_dies(
    server: Server, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWILIO_TOKEN", TOKEN)
    telephony = Telephony(network=Network(account_sid=SID, token=TOKEN))
    sids: set[str] = set()

    def called(count: int) -> None:
        """So many people called ten minutes ago, and nobody was there."""
        begun = (datetime.now(UTC) - timedelta(minutes=10)).replace(microsecond=0)
        came = telephony.remembered.came
        for _ in range(count):
            sids.add(came(sender=f"{ANNA[:-3]}{len(sids):03}", to=OURS, begun=begun))

    def kept() -> list[tuple[object, ...]]:
        return server.run("SELECT peer, count(*) FROM entry WHERE channel = 'voice' GROUP BY peer", database)

    def ticketed() -> bool:
        return server.run("SELECT count(*), count(DISTINCT ticket_id) FROM call", database) == [(len(sids), len(sids))]

    async with TwilioApi(telephony.network, more=telephony.routes(), telephony=telephony).running() as api:
        account = {
            "account_sid": SID, "auth_token": "env:TWILIO_TOKEN", "numbers": [OURS], "api_url": api.url,
            "outbound": "off", "reconcile_back": "1h",
        }  # fmt: skip
        settings = (f"channels.voice.main={json.dumps(account)}",)
        called(60)
        nodes = [Node(tmp_path / name, server.url(database), settings) for name in ("a", "b")]
        try:
            for node in nodes:
                await node.start()
            await until(ticketed, seconds=PATIENCE)
            # The first one that is up has the lease.
            await nodes[0].kill()
            called(40)
            await nodes[1].stop()
            # It reads at once where nobody else does.
            await nodes[1].start()
            await until(ticketed, seconds=PATIENCE)
            await nodes[1].stop()
        finally:
            for node in nodes:
                await node.kill()
        assert api.complaints == []
    assert sorted(kept()) == sorted((sid, 1) for sid in sids)
