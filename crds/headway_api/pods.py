"""`spec.head` and `spec.workers`: the pods of the job's Ray cluster."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field

from headway_api import quantities
from headway_api.base import Quantity, Rule, Section, formed
from headway_api.pod_templates import HeadTemplate, PodTemplate

MOST_WORKERS = 10_000
"""Worker pods that a job may ask for."""
MOST_PROCESSES = 64
"""Training processes of one pod; as many as it can have GPUs."""


def above_zero(field: str) -> Rule:
    """A quantity of which there has to be some."""
    return Rule(
        cel=f"quantity(string(self.{field})).isGreaterThan(quantity('0'))",
        message=f"{field} must be above 0",
        holds=lambda resources: quantities.parse(getattr(resources, field)) > 0,
        field=field,
    )


class Resources(Section):
    """What one pod asks for. memory is also its limit; cpu is a request alone, so that idle cores are used."""

    rules = (above_zero("cpu"), above_zero("memory"))

    cpu: Quantity = "1"
    """Cores."""
    memory: Quantity = "2Gi"
    """Memory in bytes; a pod that takes more is ended as OutOfMemory."""
    gpu: Annotated[int, Field(ge=0, le=64)] = 0
    """GPUs of one pod. `workers.processes` says among how many training processes a worker pod's are divided."""
    gpu_resource: Annotated[
        str,
        formed(
            r"^[a-z0-9.-]+/[A-Za-z0-9._-]+$",
            "must be domain/name, for example nvidia.com/gpu or amd.com/gpu",
            max_length=253,
        ),
    ] = "nvidia.com/gpu"
    """The extended resource that a GPU is."""


class Head(Section):
    """The head pod: it runs Ray's head and the job's driver, and no training."""

    rules = (
        Rule(
            cel="!has(self.template) || !has(self.template.spec) || !has(self.template.spec.serviceAccountName)",
            message="template.spec.serviceAccountName cannot be set: the head runs as headway-trainer, which may write"
            " the job's progress; for an identity of the cloud, annotate the ServiceAccount headway-trainer there",
            holds=lambda head: "serviceAccountName" not in (head.template.get("spec") or {}),
            field="template",
        ),
    )

    resources: Resources = Resources()
    """The head pod's resources."""
    template: HeadTemplate = Field(default_factory=dict)
    """A pod template (`metadata`, `spec`) laid under what Headway sets; its container `main` is the driver's."""


class Workers(Section):
    """The worker pods. The training processes of all of them are one world: `replicas` x `processes` ranks."""

    rules = (
        Rule(
            cel="!has(self.processes) || self.resources.gpu == 0 || self.resources.gpu % self.processes == 0",
            message="processes must divide resources.gpu, as each process has as many GPUs of its own: set it to"
            " resources.gpu for one each, or to 1 for one process with all of them",
            holds=lambda workers: workers.resources.gpu % (workers.processes or 1) == 0,
            field="processes",
        ),
    )

    replicas: Annotated[int, Field(ge=1, le=MOST_WORKERS)] = 1
    """How many worker pods. A change counts from the next attempt on."""
    processes: Annotated[int, Field(ge=1, le=MOST_PROCESSES)] | None = None
    """Training processes in each worker pod, which share its cores; if absent, one for each GPU, or one without GPUs.

    Those of a pod have ranks that follow each other. A change counts from the next attempt on.
    """
    resources: Resources = Resources()
    """One worker pod's resources, for all its processes together."""
    template: PodTemplate = Field(default_factory=dict)
    """A pod template (`metadata`, `spec`) laid under what Headway sets; its container `main` is the worker's."""

    @property
    def processes_each(self) -> int:
        """The training processes of one pod."""
        return self.processes or max(1, self.resources.gpu)

    @property
    def world_size(self) -> int:
        """The training processes of all pods together."""
        return self.replicas * self.processes_each

    def for_each_of(self, children: int) -> int:
        """The worker pods that each of so many models has that are trained beside each other; at least one."""
        return max(1, self.replicas // children)

    def shared_by(self, trials: int) -> Workers:
        """What each of so many trials has of one pod, as if it were a pod of its own.

        Its part of the training processes and GPUs, at least one of each where there are some: a GPU of fewer than
        there are trials is in several parts.
        """
        if trials == 1:
            return self.model_copy(update={"replicas": 1})
        own = self.resources
        part = {
            "cpu": f"{max(1, math.floor(quantities.parse(own.cpu) * 1000 / trials))}m",
            "memory": str(max(1, math.floor(quantities.parse(own.memory) / trials))),
            "gpu": max(1, own.gpu // trials) if own.gpu else 0,
        }
        processes = max(1, self.processes_each // trials)
        return self.model_copy(update={"replicas": 1, "processes": processes, "resources": own.model_copy(update=part)})

    @property
    def gpus_each(self) -> int:
        """The GPUs that the job asks for, for one training process."""
        return self.resources.gpu // self.processes_each
