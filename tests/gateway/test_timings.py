"""Our histogram shows what the library's own shows."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Histogram, generate_latest

from gateway.timings import Timings

BUCKETS = (0.001, 0.25, 1, 30)
TOOK = (0.0, 0.001, 0.0011, 0.25, 0.5, 1.0, 29.5, 31.0)


def _shown(registry: CollectorRegistry) -> list[str]:
    """Without the times of making, which ours does not tell."""
    return [line for line in generate_latest(registry).decode().splitlines() if "_created" not in line]


def test_it_shows_what_the_librarys_histogram_shows() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    timings = Timings("one_seconds", "One thing.", ("channel",), buckets=BUCKETS, registry=ours)
    histogram = Histogram("one_seconds", "One thing.", ("channel",), buckets=BUCKETS, registry=theirs)
    for channel in ("mail", 'odd "name"\\'):
        timings.observe((channel,), TOOK[:3])
        timings.observe((channel,), TOOK[3:])
        for seconds in TOOK:
            histogram.labels(channel).observe(seconds)
    assert _shown(ours) == _shown(theirs)


def test_without_labels_it_is_there_from_the_start() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    Timings("one_seconds", "One thing.", (), buckets=BUCKETS, registry=ours)
    Histogram("one_seconds", "One thing.", buckets=BUCKETS, registry=theirs)
    assert _shown(ours) == _shown(theirs)
