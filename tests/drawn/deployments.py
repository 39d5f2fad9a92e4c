"""The deployments of the pictures: one tries a new version on a part of its requests, one lacks a pod, one is well."""

from __future__ import annotations

import math
from dataclasses import dataclass

from drawn.history import HOURS, LONG, History, Value, after, once_in, scaled, steady, wave
from drawn.jobs import LEADER

SPLIT_SINCE = 4.0
DRIFT_SINCE = 2.5
"""From when on requests of fraud move away from its training rows."""
SHORT_SINCE = HOURS - 0.3
"""From when on search lacks a pod, and refuses some requests."""


@dataclass(frozen=True)
class Deployment:
    """A deployment of these hours."""

    namespace: str
    name: str
    pods: int
    ready: int
    phase: str
    requests: float
    """A second."""
    versions: tuple[tuple[int, str], ...] = ((3, "champion"),)

    @property
    def named(self) -> dict[str, str]:
        """The labels that it is known by."""
        return {"deployment_namespace": self.namespace, "deployment_name": self.name}

    def server(self, version: int) -> dict[str, str]:
        """The labels of a server's series."""
        added = {"instance": f"10.0.3.{version}:8081", "job": "headway-servers"}
        return self.named | added | {"model": self.name, "version": str(version)}

    def share(self, role: str, hour: float) -> float | None:
        """Of the requests."""
        if len(self.versions) == 1:
            return 1.0
        if hour < SPLIT_SINCE:
            return 1.0 if role == "champion" else None
        candidate = (0.01, 0.05, 0.2, 0.5)[min(3, int((hour - SPLIT_SINCE) / 0.5))]
        return candidate if role == "candidate" else 1 - candidate

    def load(self, role: str) -> Value:
        """Requests per second of a version."""

        def told(hour: float) -> float | None:
            share = self.share(role, hour)
            daily = 1 + 0.35 * math.sin((hour - 2) * 0.9)
            return None if share is None else self.requests * share * daily * wave(self.name, hour, 0.04)

        return told


DEPLOYMENTS = (
    Deployment("risk", "fraud", 3, 3, "Ready", 140.0, ((7, "champion"), (8, "candidate"))),
    Deployment("vision", "search", 3, 2, "Degraded", 45.0),
    Deployment("language", "spam", 2, 2, "Ready", 22.0),
)


def add_deployments(made: History) -> None:
    """What the operator tells of them, and what their servers tell."""
    for one in DEPLOYMENTS:
        _status(made, one)
        for version, role in one.versions:
            _answers(made, one, version, role)
            _errors(made, one, version, role)
        if len(one.versions) > 1:
            _split(made, one)
    made.histogram("headway_rollout_seconds", LEADER, once_in(1.3, at=0.9), 22.0, bounds=LONG)
    for outcome, hours in (("Promoted", 1.3), ("Latency", 4.9)):
        made.counter("headway_rollouts_ended_total", LEADER | {"outcome": outcome}, once_in(hours, at=0.9))


def _status(made: History, one: Deployment) -> None:
    labels = LEADER | one.named
    made.gauge("headway_deployment_info", labels | {"phase": one.phase}, steady(1))
    made.gauge("headway_deployment_desired", labels, steady(one.pods))
    made.gauge("headway_deployment_ready", labels, lambda hour: one.ready if hour > SHORT_SINCE else one.pods)
    split = SPLIT_SINCE if len(one.versions) > 1 else math.inf
    made.gauge("headway_deployment_rollout", labels | {"state": "Idle"}, after(0, steady(1), split))
    made.gauge("headway_deployment_rollout", labels | {"state": "Splitting"}, after(split, steady(1)))
    for version, role in one.versions:
        told = {"version": f"{one.name}-{version}", "role": role}

        def share(hour: float, role: str = role) -> float | None:
            return one.share(role, hour)

        made.gauge("headway_deployment_version_share", labels | told, share)
    _drift(made, one)


def _drift(made: History, one: Deployment) -> None:
    """Of fraud the amounts change since a while; of search a column is missing since it lacks a pod."""
    version = {"version": f"{one.name}-{one.versions[0][0]}"}
    labels = LEADER | one.named | version

    def score(hour: float) -> float:
        away = max(0.0, hour - DRIFT_SINCE) * 0.6 if one.name == "fraud" else 0.0
        return round(0.3 + 0.2 * wave(one.name + "drift", hour, 0.5) + away, 3)

    made.gauge("headway_deployment_drift_score", labels, score)
    drifts = DRIFT_SINCE + 1.2 if one.name == "fraud" else math.inf
    made.gauge("headway_deployment_drift_state", labels | {"state": "Stable"}, after(0, steady(1), drifts))
    made.gauge("headway_deployment_drift_state", labels | {"state": "Drifted"}, after(drifts, steady(1)))
    missing = one.name == "search"
    made.gauge("headway_deployment_data_quality_problems", labels, lambda hour: int(missing and hour > SHORT_SINCE))


def _answers(made: History, one: Deployment, version: int, role: str) -> None:
    labels, load = one.server(version), one.load(role)
    slow = 1.9 if role == "candidate" else 1.0
    made.histogram("headway_server_request_seconds", labels | {"protocol": "rest"}, load, 0.009 * slow)
    made.histogram("headway_server_run_seconds", labels, scaled(load, 0.3), 0.004 * slow)
    made.counter("headway_server_batch_rows_count", labels, scaled(load, 0.3))
    made.counter("headway_server_batch_rows_sum", labels, scaled(load, 1.1))
    made.gauge("headway_server_queued", labels, lambda hour: round(3 * wave(one.name + "queue", hour, 0.9)))
    if one.name == "spam":
        made.counter("headway_server_cache_hits_total", labels, scaled(load, 0.4))
        made.counter("headway_server_cache_misses_total", labels, scaled(load, 0.6))
    for result, part in (("written", 0.1), ("dropped", 0.0004)):
        told = labels | {"kind": "request", "result": result}
        made.counter("headway_server_records_total", told, scaled(load, part))


def _errors(made: History, one: Deployment, version: int, role: str) -> None:
    labels, load = one.server(version) | {"protocol": "rest"}, one.load(role)
    made.counter("headway_server_errors_total", labels | {"kind": "invalid"}, scaled(load, 0.002))
    if one.name == "search":

        def refused(hour: float) -> float:
            return 0.03 * (load(hour) or 0) if hour > SHORT_SINCE else 0.0

        made.counter("headway_server_errors_total", labels | {"kind": "overloaded"}, refused)


def _split(made: History, one: Deployment) -> None:
    labels = one.server(one.versions[0][0])
    for version, role in one.versions:
        told = labels | {"answered_by": str(version)}
        made.counter("headway_server_answers_total", told, after(SPLIT_SINCE, one.load(role)))
    for reason, part in (("late", 0.0008), ("failed", 0.0002), ("refused", 0.0), ("unreached", 0.0)):
        failing = after(SPLIT_SINCE, scaled(one.load("candidate"), part))
        made.counter("headway_server_fallbacks_total", labels | {"reason": reason}, failing)
