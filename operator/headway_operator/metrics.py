"""The operator's Prometheus metrics: all their names and labels are here. What a job's name is, no label ever says.

docs/reference/metrics.md is made of this.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Literal, get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from headway_api.status import Cause

RESULTS = ("done", "conflict", "retry", "gone", "bug")
"""What becomes of a look."""
SHORT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
LONG = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)


@dataclass(frozen=True, slots=True)
class Entry:
    """A metric, as the reference tells it."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    text: str


READ = (
    Entry("headway_jobs", "gauge", ("phase",), "TrainingJobs by phase; New: not looked at yet"),
    Entry("headway_queue_depth", "gauge", (), "Jobs that wait for their look"),
    Entry(
        "headway_queue_oldest_seconds",
        "gauge",
        (),
        "For how long the oldest job has waited for its look, or been looked at",
    ),
    Entry("headway_reconcile_longest_seconds", "gauge", (), "For how long the oldest look under way has gone on"),
    Entry(
        "headway_watch_last_event_timestamp_seconds",
        "gauge",
        ("resource",),
        "When a watch last showed anything, in seconds since the epoch",
    ),
    Entry(
        "headway_watch_behind_seconds",
        "gauge",
        ("resource",),
        "For how long a watch has not shown what this operator itself wrote",
    ),
    Entry(
        "headway_watch_missed_changes_total",
        "counter",
        ("resource",),
        "Changes that a watch has not shown, as the comparison with the API server found",
    ),
    Entry(
        "headway_resync_last_timestamp_seconds",
        "gauge",
        (),
        "When what is known was last compared with what exists, in seconds since the epoch",
    ),
)
"""What is read when it is scraped."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The values of a metric in READ: by its label, or under the empty key."""

    name: str
    values: Mapping[str, float]


class _Scraped(Collector):
    def __init__(self, read: Callable[[], Iterable[Reading]]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        declared = {entry.name: entry for entry in READ}
        for reading in self._read():
            entry = declared[reading.name]
            make = CounterMetricFamily if entry.kind == "counter" else GaugeMetricFamily
            family = make(entry.name, entry.text, labels=entry.labels)
            for value, number in reading.values.items():
                family.add_metric([value] if entry.labels else [], number)
            yield family


class Metrics:
    """All metrics, in a registry of their own."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # it ships so
        self.registry = CollectorRegistry()
        self.catalogue: list[Entry] = list(READ)
        ProcessCollector(registry=self.registry)
        self.queue_seconds = self._histogram(
            "headway_queue_seconds", "Seconds that a job waited in the queue for a look", SHORT
        )
        self.reconcile_seconds = self._histogram(
            "headway_reconcile_seconds", "Seconds that a look at a job took", SHORT
        )
        self.reconciles = self._counter(
            "headway_reconciles", f"Looks at jobs, by result: {', '.join(RESULTS)}", "result"
        )
        self._api_calls = self._counter(
            "headway_api_calls",
            "Calls of the API server; code 0: no answer. The watches' own lists and watches are not counted",
            *("verb", "resource", "code"),
        )
        self._forbidden = self._counter(
            "headway_forbidden",
            "Calls that the operator's account has no right to; what a quota or a policy refuses is not among them",
            *("verb", "resource"),
        )
        self.watch_lag_seconds = self._histogram(
            "headway_watch_lag_seconds", "Seconds from a write of this operator until its watch showed it", SHORT,
            "resource",
        )  # fmt: skip
        self.start_phase_seconds = self._histogram(
            "headway_start_phase_seconds",
            "Seconds of each part of a start: first_look (from the job's creation), and of each attempt pods_created, "
            "pods_scheduled, pods_ready, first_step (the first optimiser step that was reported)",
            LONG, "phase",
        )  # fmt: skip
        self.startup_seconds = self._histogram(
            "headway_attempt_startup_seconds", "Seconds from an attempt's start until all its pods were ready", LONG
        )
        self.running_seconds = self._histogram(
            "headway_attempt_running_seconds", "Seconds from all pods ready to the attempt's end", LONG
        )
        self.stop_seconds = self._histogram(
            "headway_stop_seconds",
            "Seconds from the decision to stop an attempt (Suspended, DeadlineExceeded, ...) to the end of its driver, "
            "which saves a checkpoint meanwhile",
            LONG, "cause",
        )  # fmt: skip
        self.recovery_seconds = self._histogram(
            "headway_recovery_seconds",
            "Seconds from the loss of a worker or a head until all pods were ready again (until=running), and until an "
            "optimiser step was reported again (until=step)",
            LONG, "lost", "until",
        )  # fmt: skip
        self.attempts_ended = self._counter(
            "headway_attempts_ended", "Attempts that ended, by cause; Succeeded among them", "cause"
        )
        self.jobs_ended = self._counter(
            "headway_jobs_ended", "Jobs that ended, by the cause of the last attempt; Succeeded among them", "cause"
        )
        self.jobs_expired = self._counter(
            "headway_jobs_expired", "Finished jobs that were deleted as their ttlSecondsAfterFinished was over"
        )
        self.workers_replaced = self._counter("headway_workers_replaced", "Workers that were lost and replaced")
        self.events = self._counter(
            "headway_events", "Kubernetes Events, by what became of them: posted, repeated, dropped, failed", "result"
        )
        self.is_leader = self._gauge("headway_is_leader", "1 in the one replica that works, 0 in those that wait")
        self._gauge("headway_build_info", "1; the labels say what runs", "version", "python").labels(
            version("headway"), platform.python_version()
        ).set(1)
        # A counter that appears with its first number hides that from increase(): these begin at 0.
        for result in RESULTS:
            self.reconciles.labels(result)
        for cause in ("Succeeded", *get_args(Cause)):
            self.attempts_ended.labels(cause)
            self.jobs_ended.labels(cause)
        self._calls: dict[tuple[str, str, int], Counter] = {}

    def call(self, verb: str, resource: str, code: int) -> None:
        """A call of the API server."""
        counter = self._calls.get((verb, resource, code))
        if counter is None:
            counter = self._calls[verb, resource, code] = self._api_calls.labels(verb, resource, str(code))
        counter.inc()

    def forbidden(self, verb: str, resource: str) -> None:
        """A call that the operator's account has no right to."""
        self._forbidden.labels(verb, resource).inc()

    def lag(self, resource: str, seconds: float) -> None:
        """A watch showed what we wrote so many seconds ago."""
        self.watch_lag_seconds.labels(resource).observe(seconds)

    def on_scrape(self, read: Callable[[], Iterable[Reading]]) -> None:
        """Serve the metrics of READ, which are read at each scrape."""
        self.registry.register(_Scraped(read))

    def text(self) -> bytes:
        """The exposition."""
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        self.catalogue.append(Entry(f"{name}_total", "counter", labels, text))
        return Counter(name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        self.catalogue.append(Entry(name, "gauge", labels, text))
        return Gauge(name, text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        self.catalogue.append(Entry(name, "histogram", labels, text))
        return Histogram(name, text, labels, buckets=buckets, registry=self.registry)
