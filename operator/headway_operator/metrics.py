"""The operator's Prometheus metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from headway_api.status import TrainingJobStatus
from headway_operator.plan.times import to_seconds

SHORT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
LONG = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)


@dataclass(frozen=True, slots=True)
class Reading:
    """A gauge that is read when it is scraped."""

    name: str
    text: str
    values: Mapping[str, float]
    label: str = ""
    """What the keys of `values` are; without it there is one value, under the empty key."""


class _Scraped(Collector):
    def __init__(self, read: Callable[[], Iterable[Reading]]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        for reading in self._read():
            family = GaugeMetricFamily(reading.name, reading.text, labels=[reading.label] if reading.label else [])
            for value, number in reading.values.items():
                family.add_metric([value] if reading.label else [], number)
            yield family


class Metrics:
    """All metrics, in a registry of their own."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # it ships so
        self.registry = CollectorRegistry()
        self.queue_seconds = Histogram(
            "headway_queue_seconds", "Seconds that a key waited for its look", buckets=SHORT, registry=self.registry
        )
        self.reconcile_seconds = Histogram(
            "headway_reconcile_seconds", "Seconds that a look at a job took", buckets=SHORT, registry=self.registry
        )
        self.reconciles = Counter("headway_reconciles", "Looks at jobs, by result", ["result"], registry=self.registry)
        self.api_calls = Counter(
            "headway_api_calls", "Calls of the API server; code 0: no answer", ["verb", "resource", "code"],
            registry=self.registry,
        )  # fmt: skip
        self.attempts_ended = Counter(
            "headway_attempts_ended", "Attempts that ended, by cause; Succeeded among them", ["cause"],
            registry=self.registry,
        )  # fmt: skip
        self.workers_replaced = Counter(
            "headway_workers_replaced", "Workers that were lost and replaced", registry=self.registry
        )
        self.startup_seconds = Histogram(
            "headway_attempt_startup_seconds", "Seconds from an attempt's start until all its pods were ready",
            buckets=LONG, registry=self.registry,
        )  # fmt: skip
        self.running_seconds = Histogram(
            "headway_attempt_running_seconds", "Seconds from all pods ready to the attempt's end",
            buckets=LONG, registry=self.registry,
        )  # fmt: skip
        self.events = Counter(
            "headway_events", "Kubernetes Events, by what became of them", ["result"], registry=self.registry
        )
        self.is_leader = Gauge("headway_is_leader", "Whether this process works", registry=self.registry)

    def call(self, verb: str, resource: str, code: int) -> None:
        """A call of the API server."""
        self.api_calls.labels(verb, resource, str(code)).inc()

    def status_written(self, before: TrainingJobStatus, after: TrainingJobStatus) -> None:
        """A status was written: count what it says for the first time."""
        known = {attempt.number: attempt for attempt in before.attempts}
        for attempt in after.attempts:
            old = known.get(attempt.number)
            start, running, end = map(to_seconds, (attempt.start_time, attempt.running_time, attempt.end_time))
            if running is not None and (old is None or old.running_time is None):
                self.startup_seconds.observe(running - (start or running))
            if end is not None and (old is None or old.end_time is None):
                self.attempts_ended.labels(attempt.cause or "Succeeded").inc()
                self.running_seconds.observe(end - (running or end))
            self.workers_replaced.inc(attempt.workers_replaced - (old.workers_replaced if old else 0))

    def on_scrape(self, read: Callable[[], Iterable[Reading]]) -> None:
        """Serve gauges that are read at each scrape."""
        self.registry.register(_Scraped(read))

    def text(self) -> bytes:
        """The exposition."""
        return generate_latest(self.registry)
