"""The operator's Prometheus metrics: one registry for the engine's and those of all kinds.

Of those no label holds a name. What is told of single objects comes from sources of their own, at each scrape.
docs/reference/metrics.md is made of this.
"""

from __future__ import annotations

import asyncio
import platform
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version

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
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from headway_operator.engine.exposition import Entry, Source, told_by
from headway_operator.engine.keys import Key

EXEMPLAR_LIMIT = 128
_LAST_WORD = re.compile("[A-Z][a-z]*")
RESULTS = ("done", "conflict", "retry", "gone", "bug")
"""What becomes of a reconcile."""
SHORT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
OPENMETRICS = "application/openmetrics-text"
OPENMETRICS_TYPE = f"{OPENMETRICS}; version=1.0.0; charset=utf-8"
PLAIN_TYPE = "text/plain; version=0.0.4; charset=utf-8"
END = b"# EOF\n"
"""The last line of OpenMetrics."""
LONG = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)


@dataclass(frozen=True, slots=True)
class Reading:
    """The values of a metric that is read when it is scraped: by its label, or under the empty key."""

    name: str
    values: Mapping[str, float]


class MetricSet:
    """A registry, and what is in it."""

    def __init__(self, *, names_objects: bool = True) -> None:
        self._names_objects = names_objects
        disable_created_metrics()  # type: ignore[no-untyped-call]  # it ships so
        self.registry = CollectorRegistry()
        self.catalogue: list[Entry] = []
        self.read: dict[str, Entry] = {}
        """Those that are read when they are scraped, by name."""
        self._sources: list[Source] = []
        self._scrape = asyncio.Lock()
        ProcessCollector(registry=self.registry)

    def counter(self, name: str, text: str, *labels: str) -> Counter:
        """Declare a counter; its name ends in `_total`."""
        self.catalogue.append(Entry(f"{name}_total", "counter", labels, text))
        return Counter(name, text, labels, registry=self.registry)

    def gauge(self, name: str, text: str, *labels: str) -> Gauge:
        """Declare a gauge."""
        self.catalogue.append(Entry(name, "gauge", labels, text))
        return Gauge(name, text, labels, registry=self.registry)

    def histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        """Declare a histogram."""
        self.catalogue.append(Entry(name, "histogram", labels, text))
        return Histogram(name, text, labels, buckets=buckets, registry=self.registry)

    def exemplar(self, kind: str, namespace: str, name: str) -> dict[str, str] | None:
        """What names an object where a histogram has it for an example: `{job="team-a/churn"}`.

        OpenMetrics allows 128 characters for names and values together. None where objects are not to be named.
        """
        label = _LAST_WORD.findall(kind)[-1].lower()
        return {label: f"{namespace}/{name}"[: EXEMPLAR_LIMIT - len(label)]} if self._names_objects else None

    def read_when_scraped(self, *entries: Entry) -> None:
        """Declare metrics whose values are asked for at each scrape, each with one label at most."""
        self.catalogue.extend(entries)
        self.read |= {entry.name: entry for entry in entries}

    def on_scrape(self, read: Callable[[], Iterable[Reading]]) -> None:
        """Where these values come from."""
        self.registry.register(_Scraped(self.read, read))

    def tell_of(self, source: Source) -> None:
        """Have a source asked at each scrape."""
        self._sources.append(source)

    def declare(self, entries: Iterable[Entry]) -> None:
        """Put metrics into the catalogue that a source tells."""
        self.catalogue.extend(entries)

    def text(self) -> bytes:
        """What the registry holds, without the sources."""
        return generate_latest(self.registry)

    async def scrape(self, accept: str) -> tuple[bytes, str]:
        """All of it, and its content type. accept: the header of the request, which may ask for OpenMetrics.

        One at a time: the text of thousands of jobs takes megabytes.
        """
        wants_openmetrics = OPENMETRICS in accept
        async with self._scrape:
            told = await told_by(self._sources, openmetrics=wants_openmetrics)
            if not wants_openmetrics:
                return self.text() + told, PLAIN_TYPE
            whole: bytes = openmetrics.generate_latest(self.registry)  # type: ignore[no-untyped-call]  # it ships so
            return whole.removesuffix(END) + told + END, OPENMETRICS_TYPE


class _Scraped(Collector):
    def __init__(self, declared: Mapping[str, Entry], read: Callable[[], Iterable[Reading]]) -> None:
        self._declared = declared
        self.read = read

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        for reading in self.read():
            entry = self._declared[reading.name]
            make = CounterMetricFamily if entry.kind == "counter" else GaugeMetricFamily
            family = make(entry.name, entry.text, labels=entry.labels)
            for value, number in reading.values.items():
                family.add_metric([value] if entry.labels else [], number)
            yield family


_READ = (
    Entry("headway_queue_depth", "gauge", (), "Objects that wait to be reconciled"),
    Entry(
        "headway_queue_oldest_seconds",
        "gauge",
        (),
        "For how long the oldest object has waited to be reconciled, or been reconciled",
    ),
    Entry("headway_reconcile_longest_seconds", "gauge", (), "For how long the oldest reconcile under way has lasted"),
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
        "headway_namespaces_lost",
        "gauge",
        (),
        "Namespaces of watchNamespaces that are gone, or that the operator may not read",
    ),
    Entry(
        "headway_resync_last_timestamp_seconds",
        "gauge",
        (),
        "When what is known was last compared with what exists, in seconds since the epoch",
    ),
    Entry(
        "headway_clock_offset_seconds",
        "gauge",
        (),
        "By how much the API server's clock is ahead of this machine's",
    ),
)


class EngineMetrics:
    """What is measured whatever is reconciled."""

    def __init__(self, metrics: MetricSet) -> None:
        metrics.read_when_scraped(*_READ)
        self._exemplar = metrics.exemplar
        self.queue_seconds = metrics.histogram(
            "headway_queue_seconds", "Seconds that an object waited in the queue to be reconciled", SHORT
        )
        self._reconcile_seconds = metrics.histogram(
            "headway_reconcile_seconds", "Seconds that a reconcile took; exemplars name the object", SHORT
        )
        self.reconciles = metrics.counter(
            "headway_reconciles", f"Reconciles, by result: {', '.join(RESULTS)}", "result"
        )
        self._api_calls = metrics.counter(
            "headway_api_calls",
            "Calls of the API server; code 0: no answer. The watches' own lists and watches are not counted",
            *("verb", "resource", "code"),
        )
        self._forbidden = metrics.counter(
            "headway_forbidden",
            "Calls that the operator's account has no right to; what a quota or a policy refuses is not among them",
            *("verb", "resource"),
        )
        self.watch_lag_seconds = metrics.histogram(
            "headway_watch_lag_seconds", "Seconds from a write of this operator until its watch showed it", SHORT,
            "resource",
        )  # fmt: skip
        self._unreadable = metrics.counter(
            "headway_unreadable_objects",
            "Objects that could not be read and were left out, each time that they were shown; the log names them",
            "resource",
        )
        self.events = metrics.counter(
            "headway_events", "Kubernetes Events, by what became of them: posted, repeated, dropped, failed", "result"
        )
        self.notifications = metrics.counter(
            "headway_notifications", "Words to webhooks, by what became of them: sent, failed, dropped", "result"
        )
        self.is_leader = metrics.gauge("headway_is_leader", "1 in the one replica that works, 0 in those that wait")
        metrics.gauge("headway_build_info", "1; the labels say what runs", "version", "python").labels(
            version("headway"), platform.python_version()
        ).set(1)
        # A counter that appears with its first number hides that from increase(): these begin at 0.
        for result in RESULTS:
            self.reconciles.labels(result)
        self._calls: dict[tuple[str, str, int], Counter] = {}

    def reconciled(self, key: Key, result: str, seconds: float) -> None:
        """A reconcile has ended."""
        self.reconciles.labels(result).inc()
        self._reconcile_seconds.observe(seconds, self._exemplar(key.kind, key.namespace, key.name))

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

    def unreadable(self, resource: str) -> None:
        """An object could not be read."""
        self._unreadable.labels(resource).inc()
