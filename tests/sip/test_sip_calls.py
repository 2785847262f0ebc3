"""Real calls by SIP and RTP, made by another stack: keys, recordings, the number, a mark, and whatever goes wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.services.sipp import Ends, Press, Speak, Wait, tone
from tests.sip.desk import telephone

pytestmark = pytest.mark.services("sipp", "espeak-ng")


async def test_who_reports_a_problem_hears_the_number_and_rates_in_the_next_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    voice = tone(tmp_path / "voice.alaw", 4.0)
    async with telephone(tmp_path, monkeypatch) as phone:
        gateway = phone.gateway
        await phone.call(
            Press(key="2"),
            Wait(seconds=1.6),
            Speak(file=voice, seconds=2.5),
            Press(key="#"),
            Wait(seconds=8),
            Press(key="1"),
            Ends(),
        )
        await phone.until_outcomes("ticket")
        await gateway.tickets(1)
        number = gateway.store.one("SELECT number FROM ticket")
        assert -1 not in phone.spoken(number + number)
