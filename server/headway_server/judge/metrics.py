"""What the judge tells Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from headway_api.drift_wire import DriftWord
from headway_api.rollout_wire import Verdict


class Metrics:
    """The judge's counters. Belongs to one process; the only words of servers are the names of the features that are
    farthest from the training rows, five at most."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.reports = Counter(
            "headway_judge_reports_total", "Reports of servers, by what became of them.", ["result"], registry=registry
        )
        self.exchanges = Counter(
            "headway_judge_exchanges_total",
            "Reads and writes of the ConfigMap, by result: ok, failed, conflict (it had been changed meanwhile).",
            ["result"],
            registry=registry,
        )
        self._servers = Gauge("headway_judge_servers", "Servers that were heard lately.", registry=registry)
        self._following = Gauge(
            "headway_judge_following", "Those of them that keep to the newest route.", registry=registry
        )
        self._evidence = Gauge(
            "headway_judge_evidence", "E of each gate, that the candidate is worse.", ["gate"], registry=registry
        )
        self._needed = Gauge(
            "headway_judge_evidence_needed",
            "What E has to reach for a gate to fail.",
            ["gate"],
            registry=registry,
        )
        self._queries = Counter(
            "headway_judge_queries_total",
            "Queries that were asked, by what came of them: value, none.",
            ["result"],
            registry=registry,
        )
        self._drift_rows = Gauge(
            "headway_judge_drift_rows",
            "Rows of the window that is open, of the version that is watched.",
            registry=registry,
        )
        self._drift_windows = Gauge(
            "headway_judge_drift_windows", "Windows of that version that are over.", registry=registry
        )
        self._drift_score = Gauge(
            "headway_judge_drift_score",
            "How far the features that are farthest from the training rows are from them: 1 and above alarms.",
            ["feature"],
            registry=registry,
        )
        for result in ("value", "none"):
            self._queries.labels(result)
        for result in ("ok", "failed", "conflict"):
            self.exchanges.labels(result)

    def took(self, result: str) -> None:
        """A report. result: taken, or the kind of its error."""
        self.reports.labels(result).inc()

    def asked(self, result: str) -> None:
        """A query. result: value or none."""
        self._queries.labels(result).inc()

    def tell(self, verdict: Verdict | None) -> None:
        """The newest verdict, or that there is no rollout."""
        self._servers.set(verdict.servers if verdict else 0)
        self._following.set(verdict.following if verdict else 0)
        self._evidence.clear()
        self._needed.clear()
        for gate in verdict.gates if verdict else ():
            self._evidence.labels(gate.name).set(gate.evidence)
            self._needed.labels(gate.name).set(gate.needed)

    def tell_drift(self, word: DriftWord | None) -> None:
        """What is known of drift, or that nothing is watched."""
        self._drift_rows.set(word.rows if word else 0)
        self._drift_windows.set(word.windows if word else 0)
        self._drift_score.clear()
        for one in word.features if word else ():
            self._drift_score.labels(one.name).set(one.score)

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self.registry)
