"""A gateway killed between the commit that says it is writing and the one that says it has: one ticket, one message."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.feeds.desk import LONG, Ahead, Desk, beside, settings
from tests.feeds.shelf import shelf
from tests.mailboxes.desk import Running, Store, child, until

pytestmark = pytest.mark.timeout(600)

SCRIPT = Path(__file__).with_name("child.py")


class Gone:
    """What is left of a gateway that is killed: its folder and where it listened."""

    def __init__(self, var: Path) -> None:
        self.store = Store(var)
        self.listening = json.loads((var / "listening.json").read_text())


@pytest.mark.parametrize("point", ["feed-sending-committed", "feed-pushed-unsettled"])
@pytest.mark.parametrize(("count", "texts"), [(1, ["First"]), (2, ["First", "Second"])])
async def test_killed_in_the_middle_of_a_push(point: str, count: int, texts: list[str], tmp_path: Path) -> None:
    var = tmp_path / "var"
    async with shelf(tmp_path) as store:
        async with child(var, settings(store), point, str(count), script=SCRIPT) as process:
            await until((var / "listening.json").exists, "the start", LONG)
            it = Desk(var=var, store=store, running=Gone(var))  # type: ignore[arg-type]
            answers = ""
            for text in texts:
                if answers:
                    await it.opened()
                answers = await it.mail(text, answers=answers)
            await asyncio.wait_for(process.wait(), LONG)
        done = 0 if point == "feed-sending-committed" else 1
        assert len(store.tickets()) == (done if count == 1 else 1)
        (var / "listening.json").unlink(missing_ok=True)
        # It is started again when nothing of the dead one can be under way any more.
        async with beside(store, var, clock=Ahead(hours=1)) as again:
            assert isinstance(again.running, Running)
            await again.until(lambda: again.is_quiet() and len(again.writes()) == len(texts), "everything written")
            assert {state for _, state in again.writes()} == {"done"}
        assert len(store.tickets()) == 1
        assert store.texts(1) == texts
        calls = store.seen.count("open") + store.seen.count("say")
        assert calls == len(texts), "what the store had done was done again"
