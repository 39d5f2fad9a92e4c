"""What is counted, for Prometheus: the same of each protocol. Labels are the server's own words, never a client's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from headway_server.batching import Batcher
from headway_server.cache import Cache
from headway_server.errors import RequestError
from headway_server.model import ServedModel

Protocol = Literal["rest", "grpc"]
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_LABELS = ("model", "version")
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024, 4096, 16384)


class Metrics:
    """The server's counters, of one model and version. Belongs to one process."""

    def __init__(self, model: ServedModel) -> None:
        self.registry = registry = CollectorRegistry()
        self._values = (model.name, model.version)

        def histogram(name: str, told: str, buckets: Sequence[float], *more: str) -> Histogram:
            return Histogram(f"headway_server_{name}", told, (*_LABELS, *more), buckets=buckets, registry=registry)

        def gauge(name: str, told: str, *more: str) -> Gauge:
            return Gauge(f"headway_server_{name}", told, (*_LABELS, *more), registry=registry)

        seconds = histogram(
            "request_seconds",
            "Inference requests that were answered, by the seconds from their headers' arrival to the answer.",
            _SECONDS,
            "protocol",
        )
        self._seconds = {one: seconds.labels(*self._values, one) for one in ("rest", "grpc")}
        self._errors = Counter(
            "headway_server_errors_total",
            "Requests that got an error, by its kind.",
            (*_LABELS, "protocol", "kind"),
            registry=registry,
        )
        self._batched = Counter(
            "headway_server_batched_requests_total",
            "Requests that runs answered: more than there were runs, where some ran together.",
            _LABELS,
            registry=registry,
        ).labels(*self._values)
        self._rows = histogram("batch_rows", "Runs of the model, by their rows.", _ROWS).labels(*self._values)
        self._run_seconds = histogram("run_seconds", "Runs of the model, by their seconds.", _SECONDS).labels(
            *self._values
        )
        self._in_flight = gauge("in_flight", "Requests that wait or run.").labels(*self._values)
        self._queued = gauge("queued", "Requests that wait.").labels(*self._values)
        self.ready = gauge("ready", "Whether new requests are welcome: 1 or 0.").labels(*self._values)
        gauge("model_info", "The model that is served.", "digest").labels(*self._values, model.digest).set(1)

    def watch(self, batcher: Batcher) -> None:
        """Tell of a batcher's requests from now on."""
        self._in_flight.set_function(lambda: batcher.in_flight)
        self._queued.set_function(lambda: batcher.queued)

    def watch_cache(self, cache: Cache) -> Callable[[bool], None]:
        """Tell of a cache from now on. What is returned is to be told of each request, whether its answer was there."""

        def counter(name: str, about: str) -> Counter:
            return Counter(f"headway_server_{name}", about, _LABELS, registry=self.registry).labels(*self._values)

        def gauge(name: str, about: str, count: Callable[[], float]) -> None:
            made = Gauge(f"headway_server_{name}", about, _LABELS, registry=self.registry)
            made.labels(*self._values).set_function(count)

        hits = counter("cache_hits_total", "Small requests whose answer was kept.")
        misses = counter("cache_misses_total", "Small requests whose answer was not kept.")
        gauge("cache_entries", "Answers that are kept.", lambda: len(cache))
        gauge("cache_bytes", "What the answers that are kept take, about.", lambda: cache.bytes)
        return lambda hit: (hits if hit else misses).inc()

    def watch_records(self) -> Callable[[str, str, int], None]:
        """What is to be told of lines: their kind, what became of them (written, dropped, failed), and how many."""
        lines = Counter(
            "headway_server_records_total",
            "Records of requests, and labels, by what became of them.",
            (*_LABELS, "kind", "result"),
            registry=self.registry,
        )
        return lambda kind, result, count: lines.labels(*self._values, kind, result).inc(count)

    def watch_drift(self) -> Callable[[str, int], None]:
        """What is to be told of rows of the sample: what became of them (counted, dropped, failed), and how many."""
        rows = Counter(
            "headway_server_drift_rows_total",
            "Rows of sampled requests that are compared with the training rows, by what became of them.",
            (*_LABELS, "result"),
            registry=self.registry,
        )
        return lambda result, count: rows.labels(*self._values, result).inc(count)

    def ran(self, requests: int, rows: int, seconds: float) -> None:
        """A run: a batcher's observer."""
        self._rows.observe(rows)
        self._batched.inc(requests)
        self._run_seconds.observe(seconds)

    def answered(self, protocol: Protocol, seconds: float) -> None:
        """An inference request that got its answer, after so many seconds."""
        self._seconds[protocol].observe(seconds)

    def failed(self, protocol: Protocol, error: RequestError) -> None:
        """A request that got an error."""
        self._errors.labels(*self._values, protocol, error.kind).inc()

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self.registry)
