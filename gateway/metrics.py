"""Counters and timings of one gateway, in a registry of its own; `/metrics` shows them.

Labels are accounts, kinds and outcomes: few and known. Never an address or a ticket.
Gauges of what waits are read from the store when somebody looks (`show`), so they are always true.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from gateway.timings import Timings

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SHORT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_Labelled: TypeAlias = Callable[..., tuple[Counter, Timings, tuple[str, ...]]]
AT_ONCE = 256
"""Messages and requests that are counted together."""
_LONG = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 14400, 86400)


class Metrics:
    """What the parts of a running gateway count; each method is one thing that happened. For one thread, the loop's."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._accepted = self._counter("accepted", "Raw messages committed to the journal.", "channel", "account")
        self._duplicates = self._counter("duplicates", "Repeats answered from a row.", "channel", "account")
        self._accept_seconds = self._timing("accept", "From the last byte to the commit.", "channel")
        self._unverified = self._counter("unverified", "Requests that were not believed.", "channel", "account")
        self._processed = self._counter("processed", "Journal entries that were filed.", "outcome")
        self._process_seconds = self._timing("process", "From acceptance to the ticket.", buckets=_LONG)
        self._failed = self._counter("attempts_failed", "Attempts to read an entry that failed.", "reason")
        self._quarantined = self._counter("quarantined", "Entries given up after all attempts.")
        self._workers_lost = self._counter("workers_lost", "Worker processes killed or dead.", "reason")
        self._settled = self._counter("outbox_settled", "Delivery tries by result.", "channel", "result")
        self._send_seconds = self._timing("send", "One delivery try.", "channel")
        self._requests = self._counter("http_requests", "Requests answered.", "route", "method", "status")
        self._request_seconds = self._timing("http_request", "One request.", "route")
        self._unanswered = self._counter(
            "calls_unanswered", "Answers that a caller was recorded in place of.", "reason"
        )
        self._feed_tries = self._counter("feed_tries", "Tries to write to a ticket store by result.", "feed", "result")
        self._feed_seconds = self._timing("feed_try", "One try to write to a ticket store.", "feed")
        self._feed_heard = self._counter("feed_heard", "News of ticket stores by outcome.", "feed", "outcome")
        self._feed_read = Gauge(
            "gateway_feed_read_timestamp", "When a ticket store was last read, seconds since 1970.", ["feed"],
            registry=self.registry,
        )  # fmt: skip
        self._feed_waiting = Gauge(
            "gateway_feed_writes", "Writes to a ticket store by state.", ["feed", "state"], registry=self.registry
        )
        self._feed_oldest = Gauge(
            "gateway_feed_oldest_seconds", "Age of the oldest write that waits for a ticket store.", ["feed"],
            registry=self.registry,
        )  # fmt: skip
        self._feed_doubles = Gauge(
            "gateway_feed_doubles", "Tickets of ours that a ticket store has more than once, by its last look.",
            ["feed"], registry=self.registry,
        )  # fmt: skip
        self._alerts = self._counter("alerts", "Alerts raised for operators.", "kind")
        self._gauges: dict[str, Gauge] = {}
        # What comes in is counted many at a time: one by one it would cost as much as reading a message.
        self._seen: list[tuple[_Labelled, tuple[str | int, ...], float | None]] = []

    def _accept_labels(self, channel: str, account: str, duplicate: bool) -> tuple[Counter, Timings, tuple[str, ...]]:
        counted = self._duplicates if duplicate else self._accepted
        return counted.labels(channel, account), self._accept_seconds, (channel,)

    def _request_labels(self, route: str, method: str, status: int) -> tuple[Counter, Timings, tuple[str, ...]]:
        return self._requests.labels(route, method, str(status)), self._request_seconds, (route,)

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(f"gateway_{name}", meaning, labels, registry=self.registry)

    def _timing(self, name: str, meaning: str, *labels: str, buckets: Sequence[float] = _SHORT) -> Timings:
        return Timings(f"gateway_{name}_seconds", meaning, labels, buckets=buckets, registry=self.registry)

    def accepted(self, channel: str, account: str, *, duplicate: bool = False, seconds: float | None = None) -> None:
        """A raw message is safe (or was before)."""
        self._see(self._accept_labels, (channel, account, duplicate), seconds)

    def unverified(self, channel: str, account: str) -> None:
        """A webhook got a request whose signature or secret did not fit."""
        self._unverified.labels(channel, account).inc()

    def processed(self, outcome: str, seconds: float | None = None) -> None:
        """An entry was filed; `outcome` is what it became, `seconds` since its acceptance."""
        self._processed.labels(outcome).inc()
        if seconds is not None:
            self._process_seconds.observe((), (seconds,))

    def failed(self, reason: str, *, quarantined: bool = False) -> None:
        """An attempt to read an entry failed; `reason` is a short fixed word."""
        self._failed.labels(reason).inc()
        if quarantined:
            self._quarantined.inc()

    def worker_lost(self, reason: str) -> None:
        """A worker process is gone: time, memory, exit."""
        self._workers_lost.labels(reason).inc()

    def settled(self, channel: str, result: str, seconds: float | None = None) -> None:
        """A delivery try came to this result."""
        self._settled.labels(channel, result).inc()
        if seconds is not None:
            self._send_seconds.observe((channel,), (seconds,))

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """A request was answered; `route` is the pattern, never the path."""
        self._see(self._request_labels, (route, method, status), seconds)

    def _see(self, labelled: _Labelled, labels: tuple[str | int, ...], seconds: float | None) -> None:
        self._seen.append((labelled, labels, seconds))
        if len(self._seen) >= AT_ONCE:
            self._count_seen()

    def _count_seen(self) -> None:
        seen, self._seen = self._seen, []
        kinds: dict[tuple[_Labelled, tuple[str | int, ...]], list[float | None]] = {}
        for labelled, labels, seconds in seen:
            kinds.setdefault((labelled, labels), []).append(seconds)
        for (labelled, labels), took in kinds.items():
            counted, timed, of = labelled(*labels)
            counted.inc(len(took))
            if known := [seconds for seconds in took if seconds is not None]:
                timed.observe(of, known)

    def call_unanswered(self, reason: str) -> None:
        """A caller was recorded because there was no answer: "ours" (late, no database) or "fault"."""
        self._unanswered.labels(reason).inc()

    def alert(self, kind: str) -> None:
        """Operators are told of trouble."""
        self._alerts.labels(kind).inc()

    def feed_tried(self, feed: str, result: str, seconds: float) -> None:
        """A try to write to a ticket store came to this state."""
        self._feed_tries.labels(feed, result).inc()
        self._feed_seconds.observe((feed,), (seconds,))

    def feed_heard(self, feed: str, outcome: str, many: int = 1) -> None:
        """News of a ticket store: applied, or a look that failed."""
        self._feed_heard.labels(feed, outcome).inc(many)

    def feed_read(self, feed: str, at: float) -> None:
        """A ticket store was read at this time, in seconds since 1970."""
        self._feed_read.labels(feed).set(at)

    def feed_backlog(self, feed: str, states: Mapping[str, int], oldest: float) -> None:
        """What waits for a ticket store; `oldest` in seconds."""
        for state, many in states.items():
            self._feed_waiting.labels(feed, state).set(many)
        self._feed_oldest.labels(feed).set(oldest)

    def feed_doubles(self, feed: str, many: int) -> None:
        """How many keys of ours more than one ticket of a store has."""
        self._feed_doubles.labels(feed).set(many)

    def show(self, gauges: Mapping[str, float]) -> bytes:
        """All of it in the text format of Prometheus; `gauges` are set first, name -> value."""
        self._count_seen()
        for name, value in gauges.items():
            if name not in self._gauges:
                self._gauges[name] = Gauge(f"gateway_{name}", name.replace("_", " "), registry=self.registry)
            self._gauges[name].set(value)
        return generate_latest(self.registry)
