"""A held copy of a desk does not register at the exchange: calls would ring there from then on."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.gateway.held_desk import api, mail, put_hold
from tests.mailboxes.desk import running
from tests.sip.desk import overrides, short_words

pytestmark = pytest.mark.services("espeak-ng")


class Exchange(asyncio.DatagramProtocol):
    """Hears who registers, and answers nobody."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.heard.append(data.decode("latin-1").partition("\r\n")[0])


@pytest.mark.timeout(300)
async def test_a_held_copy_registers_nowhere_until_it_is_released(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIP_PASSWORD", "invented-secret")
    short_words(tmp_path)
    var = tmp_path / "var"
    var.mkdir()
    await put_hold(var)
    transport, exchange = await asyncio.get_running_loop().create_datagram_endpoint(
        Exchange, local_addr=("127.0.0.1", 0)
    )
    try:
        told = {
            "registrar": f"127.0.0.1:{transport.get_extra_info('sockname')[1]}", "user": "101",
            "password": "env:SIP_PASSWORD", "recorded": str(tmp_path / "recorded"),
        }  # fmt: skip
        async with running(var, overrides(**told), config=tmp_path / "config") as gateway:
            await asyncio.to_thread(mail, gateway.listening["smtp"])
            await gateway.tickets(1)
            assert "voice/main" not in gateway.listening
            assert exchange.heard == []

            await api(gateway, var, "POST", "/outbox/release", {})
            await gateway.until(lambda: exchange.heard, "the registration")
            assert exchange.heard[0].startswith("REGISTER ")
            # Whoever looks where it listens sees the telephone now.
            await gateway.until(lambda: "voice/main" in json.loads((var / "listening.json").read_text()), "its port")
    finally:
        transport.close()


async def test_a_telephone_that_only_listens_rings_in_a_held_copy_too(tmp_path: Path) -> None:
    short_words(tmp_path)
    var = tmp_path / "var"
    var.mkdir()
    await put_hold(var)
    told = overrides(recorded=str(tmp_path / "recorded"))
    async with running(var, told, config=tmp_path / "config") as gateway:
        assert "voice/main" in gateway.listening
