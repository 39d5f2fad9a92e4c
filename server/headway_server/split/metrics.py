"""What a server tells Prometheus of its splitting. It is read from what is counted anyway, so requests do not pay."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from headway_server.split.handing import Splitting
from headway_server.split.mirror import Mirror

_PREFIX = "headway_server_"


class SplitCollector(Collector):
    """Of one server of `model`."""

    def __init__(self, model: str, splitting: Splitting, mirror: Mirror) -> None:
        self._labels = (model, str(splitting.state.version))
        self._splitting = splitting
        self._mirror = mirror

    def collect(self) -> Iterator[Metric]:
        """All of it, as it is now."""
        splitting, state = self._splitting, self._splitting.state
        answers = self._counter("answers", "Requests that were answered, by the version that did.", "answered_by")
        for number, count in splitting.answered.items():
            answers.add_metric((*self._labels, str(number)), count)
        yield answers
        fallbacks = self._counter(
            "fallbacks", "Requests of the candidate that the own model answered, by what was the matter.", "reason"
        )
        for reason, count in splitting.fallbacks.items():
            fallbacks.add_metric((*self._labels, reason), count)
        yield fallbacks
        opened = self._counter(
            "breaker_opened", "Times that nothing was handed over any more, as the candidate failed."
        )
        opened.add_metric(self._labels, splitting.state.breaker.opened)
        yield opened
        for name, told, count in (
            ("mirrored", "Copies of requests that the candidate answered or failed at.", self._mirror.sent),
            ("mirrors_dropped", "Copies of requests that there was no room for.", self._mirror.dropped),
        ):
            counter = self._counter(name, told)
            counter.add_metric(self._labels, count)
            yield counter
        route = state.route
        shared = route.share if route is not None and state.role == "stable" else 0.0
        yield self._gauge("handed", "Requests that are with the candidate.", splitting.handed)
        yield self._gauge("breaker_open", "Whether the candidate is left alone: 1 or 0.", int(state.breaker.open))
        yield self._gauge("route_epoch", "The epoch of the route that is kept to.", route.epoch if route else 0)
        yield self._gauge("route_share", "The part of the requests that is the candidate's here.", shared)

    def _counter(self, name: str, told: str, *more: str) -> CounterMetricFamily:
        return CounterMetricFamily(_PREFIX + name, told, labels=("model", "version", *more))

    def _gauge(self, name: str, told: str, value: float) -> GaugeMetricFamily:
        found = GaugeMetricFamily(_PREFIX + name, told, labels=("model", "version"))
        found.add_metric(self._labels, value)
        return found
