"""`spec.autoscaling` of a ModelDeployment: who sets its number of replicas, and by what."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from headway_api.base import Rule, Section

MOST_REPLICAS = 1000


class Autoscaling(Section):
    """A HorizontalPodAutoscaler sets `replicas` by the processor time that the answering version's pods take.

    It needs the cluster's resource metrics (metrics-server). Leave `replicas` out of the file then: each apply would
    set it back. While another version is on its way, and until the old one's pods are gone, no pods are taken away.
    """

    rules = (
        Rule(
            cel="self.min <= self.max",
            message="min is above max: no number of replicas would be right; correct one of the two",
            holds=lambda scaling: scaling.min <= scaling.max,
            field="min",
        ),
    )

    min: Annotated[int, Field(ge=1, le=MOST_REPLICAS)] = 1
    """Pods that answer, at least."""
    max: Annotated[int, Field(ge=1, le=MOST_REPLICAS)]
    """Pods that answer, at most."""
    cpu_percent: Annotated[int, Field(ge=1, le=100)] = 70
    """Of `server.resources.cpu`, what pods are to take on average: more pods are made above it, fewer below."""
