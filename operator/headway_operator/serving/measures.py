"""What the metrics learn of deployments: how many there are in which phase, and what becomes of new versions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

from headway_api.deployment_status import ModelDeploymentStatus, Rejection, RolloutStatus
from headway_api.rollout_wire import Mode
from headway_operator.engine.exposition import Entry
from headway_operator.engine.kinds import View
from headway_operator.engine.metrics import LONG, MetricSet
from headway_operator.engine.steps import Decision
from headway_operator.engine.times import to_seconds

PROMOTED = "Promoted"


@dataclass(frozen=True, slots=True)
class Decided:
    """The account of a decision for the measures."""

    before: ModelDeploymentStatus
    after: ModelDeploymentStatus


class DeploymentMetrics:
    """The metrics of ModelDeployments."""

    def __init__(self, metrics: MetricSet) -> None:
        metrics.read_when_scraped(
            Entry("headway_deployments", "gauge", ("phase",), "ModelDeployments by phase; New: not reconciled yet")
        )
        self.ended = metrics.counter(
            "headway_rollouts_ended",
            "Versions that were promoted, or rejected, by outcome: Promoted, or the reason of the rejection", "outcome",
        )  # fmt: skip
        self.seconds = metrics.histogram(
            "headway_rollout_seconds", "Seconds from a version's beginning until it answered", LONG
        )
        self.steps = metrics.counter(
            "headway_rollout_steps",
            "Steps of rollouts that split requests, as they begin, by mode: canary, abTest, shadow", "mode",
        )  # fmt: skip
        self.scaled = metrics.counter(
            "headway_deployments_scaled",
            "Changes of a number of pods by autoscaling.targetInFlight, by direction: up, down", "direction",
        )  # fmt: skip
        for direction in ("up", "down"):
            self.scaled.labels(direction)
        for mode in get_args(Mode):
            self.steps.labels(mode)
        # A counter that appears with its first number hides that from increase(): these begin at 0.
        for outcome in (PROMOTED, *get_args(Rejection)):
            self.ended.labels(outcome)


class DeploymentMeasures:
    """Counts what a status says for the first time; it remembers nothing of its own."""

    def __init__(self, metrics: DeploymentMetrics) -> None:
        self._metrics = metrics

    def decided(self, course: Any, _: View, __: Decision) -> Any:
        """A decision was made."""
        return course

    def wrote(self, course: Any, view: View, decision: Decision) -> Any:
        """A status was written."""
        detail: Decided = decision.detail
        before, after = detail.before, detail.after
        self._count_step(before.rollout, after.rollout)
        old_number, number = (each.autoscaling.desired if each.autoscaling else None for each in (before, after))
        if old_number is not None and number is not None and number != old_number:
            self._metrics.scaled.labels("up" if number > old_number else "down").inc()
        known = {version.name: version for version in before.versions}
        for version in after.versions:
            old = known.get(version.name)
            if old is None or old.state == version.state:
                continue
            if version.state == "Rejected":
                self._metrics.ended.labels(version.reason or "NotReady").inc()
            elif version.state == "Champion" and old.state == "Candidate":
                self._metrics.ended.labels(PROMOTED).inc()
                self._metrics.seconds.observe(max(0.0, view.now - (to_seconds(old.since) or view.now)))
        return course

    def _count_step(self, before: RolloutStatus | None, after: RolloutStatus | None) -> None:
        last = before.step if before is not None and after is not None and before.number == after.number else 0
        if after is not None and after.stage == "Splitting" and after.step > last:
            self._metrics.steps.labels(after.mode).inc()

    def deleted(self, view: View) -> None:
        """No decision deletes a deployment."""

    def awaits(self, _: Any) -> bool:
        """Nothing is timed that news which could wait would tell the end of."""
        return False
