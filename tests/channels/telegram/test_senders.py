"""Connections of senders end when the gateway stops, and when a reload made others."""

from __future__ import annotations

from pathlib import Path

from channels.contract import Reloads, Wiring
from channels.registry import CHANNELS
from channels.telegram.senders import OpenSenders
from tests.channels.telegram.bots import NOW, Journal, account


async def test_a_reload_closes_the_old_ones_and_a_stop_the_new(tmp_path: Path) -> None:
    closed: list[str] = []

    def senders(name: str) -> OpenSenders:
        async def close() -> None:
            closed.append(name)

        return OpenSenders([close])

    ours = senders("old")
    await ours.start(Journal())
    for close in ours.adopt(senders("new")):
        await close()
    assert closed == ["old"]
    await ours.stop()
    assert closed == ["old", "new"]


def test_every_bots_sender_is_among_them(tmp_path: Path) -> None:
    wiring = Wiring(clock=lambda: NOW, spool=tmp_path, outgoing=tmp_path, upload_url="")
    parts = CHANNELS["telegram"].build({"a": account(), "b": account(mode="webhook")}, wiring)
    (ours,) = (one for one in parts.listeners if isinstance(one, Reloads))
    assert list(ours.adopt(OpenSenders([]))) == [parts.senders[name].close for name in ("a", "b")]  # type: ignore[attr-defined]
