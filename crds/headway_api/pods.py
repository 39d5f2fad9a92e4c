"""`spec.head` and `spec.workers`: the pods of the job's Ray cluster."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from headway_api import quantities
from headway_api.base import FreeForm, Quantity, Section


def _positive(quantity: str | int) -> str | int:
    if quantities.parse(quantity) <= 0:
        raise ValueError("must be above 0")
    return quantity


Resource = Annotated[Quantity, AfterValidator(_positive)]


class Resources(Section):
    """What one pod asks for. memory is also its limit; cpu is a request alone, so that idle cores are used."""

    cpu: Resource = "1"
    """Cores."""
    memory: Resource = "2Gi"
    """Memory in bytes; a pod that takes more is ended as OutOfMemory."""
    gpu: Annotated[int, Field(ge=0, le=64)] = 0
    """GPUs."""
    gpu_resource: Annotated[str, StringConstraints(max_length=253, pattern=r"^[a-z0-9.-]+/[A-Za-z0-9._-]+$")] = (
        "nvidia.com/gpu"
    )
    """The extended resource that a GPU is."""


class Head(Section):
    """The head pod: it runs Ray's head and the job's driver, and no training."""

    resources: Resources = Resources()
    """The head pod's resources."""
    template: FreeForm = Field(default_factory=dict)
    """A pod template (`metadata`, `spec`) laid under what Headway sets; its container `main` is the driver's."""


class Workers(Section):
    """The worker pods: each runs one training process."""

    replicas: Annotated[int, Field(ge=1, le=10_000)] = 1
    """How many workers, which is the world size."""
    resources: Resources = Resources()
    """One worker pod's resources."""
    template: FreeForm = Field(default_factory=dict)
    """A pod template (`metadata`, `spec`) laid under what Headway sets; its container `main` is the worker's."""
