"""`spec.autoscaling` of a ModelDeployment: who sets its number of pods, and by what."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from headway_api.base import Rule, Section

MOST_REPLICAS = 1000
CPU_PERCENT = 70
SCALE_DOWN_SECONDS = 300
IDLE_SECONDS = 300
HOLD_SECONDS = 60


class Autoscaling(Section):
    """How many pods answer follows from what they do. Leave `replicas` out of the file then.

    With `targetInFlight` the operator itself goes by what the servers report, and needs no add-on of the cluster.
    Else a HorizontalPodAutoscaler sets `replicas` by the processor time that the answering version's pods take, which
    needs the cluster's resource metrics (metrics-server). While another version is on its way, and until the old one's
    pods are gone, no pods are taken away.
    """

    rules = (
        Rule(
            cel="self.min <= self.max",
            message="min is above max: no number of replicas would be right; correct one of the two",
            holds=lambda scaling: scaling.min <= scaling.max,
            field="min",
        ),
        Rule(
            cel="!has(self.cpuPercent) || !has(self.targetInFlight)",
            message="set one of cpuPercent, targetInFlight: pods are counted by one of the two; `cpuPercent: null`"
            " takes out one that was there before",
            holds=lambda scaling: scaling.cpu_percent is None or scaling.target_in_flight is None,
        ),
        Rule(
            cel="!has(self.scaleDownSeconds) || has(self.targetInFlight)",
            message="scaleDownSeconds needs targetInFlight: a HorizontalPodAutoscaler waits for 300 s",
            holds=lambda scaling: scaling.scale_down_seconds is None or scaling.target_in_flight is not None,
            field="scaleDownSeconds",
        ),
        Rule(
            cel="self.min > 0 || has(self.targetInFlight)",
            message="min: 0 needs targetInFlight: by processor time nobody knows when the first pod is needed again",
            holds=lambda scaling: scaling.min > 0 or scaling.target_in_flight is not None,
            field="min",
        ),
        Rule(
            cel="self.min == 0 || !(has(self.idleSeconds) || has(self.holdSeconds))",
            message="idleSeconds and holdSeconds are for min: 0",
            holds=lambda scaling: scaling.min == 0 or scaling.idle_seconds is scaling.hold_seconds is None,
            field="min",
        ),
    )

    min: Annotated[int, Field(ge=0, le=MOST_REPLICAS)] = 1
    """Pods that answer, at least. 0, with `targetInFlight`: none while nobody asks; the next request is held until
    there is one again."""
    max: Annotated[int, Field(ge=1, le=MOST_REPLICAS)]
    """Pods that answer, at most."""
    cpu_percent: Annotated[int, Field(ge=1, le=100)] | None = None
    """Of `server.resources.cpu`, what pods are to take on average: more pods are made above it, fewer below. 70, where
    neither this nor `targetInFlight` is set."""
    target_in_flight: Annotated[int, Field(ge=1, le=65_536)] | None = None
    """Requests that wait or run in a pod, on average: more pods are made above it, fewer below, by the rules of a
    HorizontalPodAutoscaler: not within 10 %, and twice as many at most every 15 s."""
    scale_down_seconds: Annotated[int, Field(ge=0, le=3600)] | None = None
    """With `targetInFlight`: pods are taken away that no load of so many seconds has asked for. 300 if absent."""

    idle_seconds: Annotated[int, Field(ge=10, le=604_800)] | None = None
    """With `min: 0`: seconds without any request after which the last pod is deleted. 300 if absent."""
    hold_seconds: Annotated[int, Field(ge=1, le=600)] | None = None
    """With `min: 0`: seconds for which a request is held while there is no pod; then it gets 503. 60 if absent."""

    @property
    def idle(self) -> int:
        """Seconds without a request before no pod is left."""
        return IDLE_SECONDS if self.idle_seconds is None else self.idle_seconds

    @property
    def hold(self) -> int:
        """Seconds for which a request is held."""
        return HOLD_SECONDS if self.hold_seconds is None else self.hold_seconds

    @property
    def cpu_target(self) -> int:
        """What a HorizontalPodAutoscaler goes by."""
        return CPU_PERCENT if self.cpu_percent is None else self.cpu_percent

    @property
    def window(self) -> int:
        """Seconds of load that no pod may be missing for."""
        return SCALE_DOWN_SECONDS if self.scale_down_seconds is None else self.scale_down_seconds
