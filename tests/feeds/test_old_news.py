"""Requests of a store that were not believed, looked at again after newer ones were: they override nothing."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.feeds.signing import key_of, signed
from tests.feeds.receiver import BACK, OUT, receiver
from tests.feeds.test_reload import Reloading, desk
from tests.gateway.cli.running import gateway, told
from tests.services.answers import status_of

OTHER = "whsec_" + "b3RoZXI5" * 4


async def tell(it: Reloading, key: str, name: str, at: datetime, **fields: str) -> int:
    """The store tells of fields that changed: the status of our answer."""
    body = json.dumps(
        {"changes": [{"id": name, "ref": "id-1", "actor": "olga", "at": at.isoformat(), "set": fields}]}
    ).encode()
    headers = {**signed(key_of(key), name=name, at=datetime.now(UTC), body=body), "Content-Type": "application/json"}
    request = urllib.request.Request(f"http://{it.running.listening['http']}/feeds/store", body, headers)
    return await status_of(request)


@pytest.mark.timeout(300)
async def test_old_news_that_is_believed_late_overrides_nothing_newer(tmp_path: Path) -> None:
    out, back = tmp_path / "out", tmp_path / "back"
    out.write_text(OUT)
    back.write_text(OTHER)
    async with receiver(None) as hook:
        store = {"kind": "webhook", "url": hook.url, "secret": f"file:{out}", "answer_secrets": [f"file:{back}"]}
        async with desk(tmp_path, store=store) as it:
            await it.mail("First")
            await it.opened()
            now = datetime.now(UTC)
            assert await tell(it, BACK, "old", now - timedelta(minutes=9), status="resolved", line="L2") == 403
            back.write_text(BACK)
            await it.api("POST", "/reload", {})
            assert await tell(it, BACK, "new", now - timedelta(minutes=1), status="waiting") == 200
            done = await asyncio.to_thread(gateway, "replay", "--unverified", var=it.var)
            assert "1 changes too late" in done.stdout and "1 believed, with 2 new" in done.stdout
            assert (it.ticket()["status"], it.ticket()["line"]) == ("waiting", "L2")
            [older] = [event for event in it.events() if event["what"] == "older"]
            assert (older["field"], older["value"]) == ("status", "resolved")
            again = await asyncio.to_thread(told, "replay", "--unverified", var=it.var)
            assert (again["believed"], again["older"], again["still"]) == (0, 0, [])
            # One that was overtaken on its way, though it is believed at once.
            assert await tell(it, BACK, "overtaken", now - timedelta(minutes=5), status="closed") == 200
            assert it.ticket()["status"] == "waiting"
