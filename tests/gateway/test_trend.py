"""Operators hear of a disk that fills up, and of a certificate that ends, days before it happens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway import certificates, health
from gateway.store.database import Database
from gateway.trend import Trend, check, full_in
from tests.channels.mail.certificates import make
from tests.gateway.conftest import START, FrozenClock
from tests.gateway.test_alerts import Watch

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
GB = 1024**3


def line(free: int, per_hour: int, hours: int) -> list[tuple[datetime, int]]:
    return [(START + number * HOUR, free + per_hour * number) for number in range(hours + 1)]


def test_the_pace_of_the_past_says_when() -> None:
    assert full_in(line(100 * GB, -GB, 50)) == pytest.approx(50 * HOUR, abs=timedelta(minutes=1))
    assert full_in(line(100 * GB, 0, 50)) is None
    assert full_in(line(100 * GB, GB, 50)) is None
    assert full_in(line(100 * GB, -GB, 5)) is None, "five hours say nothing"
    odd = line(100 * GB, -1, 100)
    odd[50] = (odd[50][0], 10 * GB)
    left = full_in(odd)
    assert left is None or left > 30 * DAY, "one odd sample decides nothing"


async def test_operators_hear_of_it_once_and_of_its_end(db: Database, clock: FrozenClock, tmp_path: Path) -> None:
    free = [100 * GB]

    def watch() -> Watch:
        # Made anew each time: a restart forgets nothing.
        trend = Trend(tmp_path / "trend.json", lambda: free[0], clock)
        return Watch(db, clock, checks=[check(trend, lambda: 7 * DAY)])

    told = []
    for _ in range(24):
        told += await watch().look()
        free[0] -= GB
        clock.forward(HOUR)
    assert told == [("disk trend", "raised")]
    free[0] = 200 * GB
    for _ in range(8 * 24):
        told += await watch().look()
        clock.forward(HOUR)
    assert told[-1] == ("disk trend", "cleared") and [state for _, state in told].count("raised") == 1


@pytest.mark.services("openssl")
def test_a_certificate_that_ends_is_told(tmp_path: Path, clock: FrozenClock) -> None:
    pair = make(tmp_path)
    clock.now = datetime.now(UTC)  # after its beginning, however long it took to make
    text = pair.certificate.read_text()
    left = certificates.ends(text) - clock.now
    assert timedelta(days=1) < left <= 2 * DAY
    told = certificates.check(lambda: [pair.certificate], lambda: 14 * DAY, clock).trouble()
    assert told.endswith("ends in 1 days; renew it")
    assert certificates.check(lambda: [pair.certificate], lambda: DAY, clock).trouble() == ""
    clock.forward(3 * DAY)
    assert "has ended" in certificates.check(lambda: [pair.certificate], lambda: DAY, clock).trouble()
    pair.certificate.write_text("nothing")
    assert health.look([certificates.check(lambda: [pair.certificate], lambda: DAY, clock)])["certificate"]


@pytest.mark.parametrize("text", ["", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n", "x"])
def test_what_is_no_certificate_is_refused(text: str) -> None:
    with pytest.raises(certificates.NotACertificate):
        certificates.ends(text)
