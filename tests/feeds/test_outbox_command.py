"""`gateway outbox` with `--feed`: what a store refused is seen, run again, or given up, by commands of their own."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.feeds.desk import desk
from tests.gateway.cli.running import gateway

pytestmark = pytest.mark.timeout(600)


async def test_what_a_store_refused_is_listed_run_again_and_given_up(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:

        async def run(*words: str, code: int = 0) -> str:
            done = await asyncio.to_thread(gateway, "outbox", *words, var=it.var, code=code)
            return done.stdout + done.stderr

        async def listed() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = json.loads(await run("list", "--feed", "--json"))["items"]
            return found

        assert "Nothing waits." in await run("list", "--feed")
        it.store.mishaps = [("open", "refuse")]
        first = await it.mail("First")
        await it.until(lambda: it.writes() == [("open", "refused")], "the refusal")
        [row] = await listed()
        assert (row["state"], row["feed"], row["kind"]) == ("refused", "store", "open")
        shown = await run("list", "--feed")
        assert "refused" in shown and "no such queue" in shown and it.ticket()["number"] in shown
        assert "see `gateway outbox list --feed`" in await run("list")

        assert f"{row['id']} is waiting" in await run("retry", str(row["id"]), "--feed")
        await it.opened()
        await it.until(it.is_quiet, "quiet")
        assert it.store.texts(1) == ["First"]

        it.store.mishaps = [("say", "refuse")]
        await it.mail("Second", answers=first)
        await it.until(lambda: it.writes()[-1] == ("say", "refused"), "another refusal")
        [row] = await listed()
        await it.mail("Third", answers=first)
        await it.until(lambda: len(it.writes()) == 3, "what waits behind it")
        assert it.store.texts(1) == ["First"]
        await run("drop", str(row["id"]), "--feed")
        await it.until(lambda: it.store.texts(1) == ["First", "Third"], "what came behind it")
        assert it.writes()[1] == ("say", "skipped")
        assert "no such" in (await run("retry", "4711", "--feed", code=1)).lower()
