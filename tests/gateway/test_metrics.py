"""Counters: one registry per gateway, few labels, and gauges that are set when somebody looks."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gateway.metrics import AT_ONCE, Metrics

COUNTED: list[tuple[Callable[[Metrics], None], str]] = [
    (lambda m: m.accepted("mail", "a", seconds=0.1), 'accepted_total{account="a",channel="mail"} 1.0'),
    (lambda m: m.accepted("mail", "a", duplicate=True), 'duplicates_total{account="a",channel="mail"} 1.0'),
    (lambda m: m.accepted("mail", "a", seconds=0.1), 'accept_seconds_count{channel="mail"} 1.0'),
    (lambda m: m.processed("opened", 2.0), 'processed_total{outcome="opened"} 1.0'),
    (lambda m: m.processed("opened", 2.0), "process_seconds_sum 2.0"),
    (lambda m: m.failed("time"), 'attempts_failed_total{reason="time"} 1.0'),
    (lambda m: m.failed("time", quarantined=True), "quarantined_total 1.0"),
    (lambda m: m.worker_lost("memory"), 'workers_lost_total{reason="memory"} 1.0'),
    (lambda m: m.settled("mail", "sent", 0.3), 'outbox_settled_total{channel="mail",result="sent"} 1.0'),
    (
        lambda m: m.request("/x/{y}", "GET", 200, 0.1),
        'http_requests_total{method="GET",route="/x/{y}",status="200"} 1.0',
    ),
    (lambda m: m.feed_tried("rt", "sent", 0.3), 'feed_try_seconds_sum{feed="rt"} 0.3'),
    (lambda m: m.alert("disk"), 'alerts_total{kind="disk"} 1.0'),
]


@pytest.mark.parametrize(("happen", "line"), COUNTED, ids=[line.partition("{")[0] for _, line in COUNTED])
def test_what_happens_is_counted(happen: Callable[[Metrics], None], line: str) -> None:
    metrics = Metrics()
    before = metrics.show({}).decode()
    happen(metrics)
    assert f"gateway_{line}" not in before
    assert f"gateway_{line}" in metrics.show({}).decode().splitlines()


@pytest.mark.parametrize("times", [1, AT_ONCE - 1, AT_ONCE, 2 * AT_ONCE + 1])
def test_what_is_counted_many_at_a_time_is_all_there_when_somebody_looks(times: int) -> None:
    metrics = Metrics()
    for number in range(times):
        metrics.accepted("sms", "a", duplicate=number % 2 == 1, seconds=0.5)
        metrics.request("/x", "POST", 200, 0.25)
    shown = metrics.show({}).decode().splitlines()
    assert f'gateway_http_requests_total{{method="POST",route="/x",status="200"}} {times:.1f}' in shown
    assert f'gateway_http_request_seconds_sum{{route="/x"}} {times * 0.25}' in shown
    assert f'gateway_accepted_total{{account="a",channel="sms"}} {(times + 1) // 2:.1f}' in shown
    assert f'gateway_accept_seconds_sum{{channel="sms"}} {times * 0.5}' in shown
    assert metrics.show({}).decode().splitlines() == shown


def test_gauges_are_what_was_shown_last() -> None:
    metrics = Metrics()
    metrics.show({"outbox_dead": 3})
    assert "gateway_outbox_dead 2.0" in metrics.show({"outbox_dead": 2}).decode().splitlines()


def test_two_gateways_in_one_process_count_apart() -> None:
    one, other = Metrics(), Metrics()
    one.alert("disk")
    assert 'kind="disk"' not in other.show({}).decode()
