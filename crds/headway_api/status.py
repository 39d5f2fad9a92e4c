"""`status` of a TrainingJob: what the operator says of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from headway_api.base import StatusSection

Phase = Literal["Pending", "Queued", "Starting", "Running", "Suspended", "Succeeded", "Failed"]
FINISHED: tuple[Phase, ...] = ("Succeeded", "Failed")

Cause = Literal[
    "Preempted",
    "NodeLost",
    "OutOfMemory",
    "ImagePull",
    "Unschedulable",
    "UserError",
    "StorageError",
    "Hang",
    "DeadlineExceeded",
    "InvalidSpec",
    "Suspended",
    "Internal",
]
"""Why an attempt, or the job, ended."""

ConditionType = Literal["Accepted", "Scheduled", "Running", "Suspended", "Complete", "Failed"]
Time = str
"""RFC 3339, UTC, whole seconds."""

MAX_ATTEMPTS_KEPT = 20


class Condition(StatusSection):
    """A condition as in the Kubernetes API conventions."""

    type: ConditionType
    """What the condition is about."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    reason: str
    """One word for programs."""
    message: str = ""
    """A sentence for people."""
    last_transition_time: Time
    """When status last changed."""
    observed_generation: int = 0
    """The generation of the spec that this was said of."""


class Attempt(StatusSection):
    """One attempt: a Ray cluster of its own."""

    number: int
    """Counted from 1."""
    start_time: Time
    """When the attempt's first pod was asked for."""
    running_time: Time | None = None
    """When all its pods were ready for the first time."""
    end_time: Time | None = None
    """When it ended."""
    cause: Cause | None = None
    """Why it ended, if not by success."""
    exit_code: int | None = None
    """The driver's exit code, where there was one."""
    node: str | None = None
    """The node of the pod that ended it."""
    message: str | None = None
    """A sentence for people."""
    resumed_from_step: int | None = None
    """The optimiser step it started from."""
    steps_lost: int | None = None
    """Steps of the attempt before that had to be done again."""
    workers_replaced: int = 0
    """Worker pods that were lost and replaced within the attempt."""


class Failures(StatusSection):
    """How often the job has failed, by kind of failure; each is compared with the field of its name in `spec.retry`."""

    preempted: int = 0
    """Evictions and preemptions of the head or of a worker."""
    infrastructure: int = 0
    """Lost nodes, lack of memory, images that did not come, unreachable storage, faults of Headway."""
    user_error: int = 0
    """Exceptions in the user's code or data."""


class WorkersStatus(StatusSection):
    """The worker pods."""

    desired: int = 0
    """How many should be."""
    ready: int = 0
    """How many are ready."""


class CheckpointStatus(StatusSection):
    """The newest durable checkpoint."""

    uri: str
    """Where it is."""
    step: int
    """Its optimiser step."""
    time: Time
    """When it was committed."""


class Progress(StatusSection):
    """How far the running attempt is."""

    percent: Annotated[int, Field(ge=0, le=100)] | None = None
    """Share of the planned optimiser steps that is done; absent for a training.entrypoint that does not say."""
    stage: Literal["Preparing", "Training", "Evaluating", "Publishing"] = "Preparing"
    """What the driver is doing."""
    epoch: int | None = None
    """The epoch, counted from 1."""
    step: int | None = None
    """Optimiser steps done since the first attempt."""
    eta_seconds: int | None = None
    """Expected seconds to the end of training."""
    samples_per_second: float | None = None
    """Rows a second over all workers."""
    metrics: dict[str, str] = Field(default_factory=dict)
    """The newest value of each metric, as `split/name`."""
    update_time: Time | None = None
    """When the driver last said so."""


class Artifact(StatusSection):
    """A file that the job left on its storage."""

    name: str
    """What it is: `model`, `result`, `report`."""
    uri: str
    """Where it is."""
    sha256: str
    """Its digest."""
    size_bytes: int
    """Its size."""


class Result(StatusSection):
    """What came out."""

    metrics: dict[str, str] = Field(default_factory=dict)
    """The final metrics as `split/name`: scalars only, the rest is in the result file."""
    artifacts: list[Artifact] = Field(default_factory=list)
    """The files."""


class TrainingJobStatus(StatusSection):
    """The status of a job."""

    observed_generation: int = 0
    """The generation of the spec that this status is about."""
    phase: Phase | None = None
    """A summary of the conditions for people."""
    conditions: list[Condition] = Field(default_factory=list)
    """Accepted, Scheduled, Running, Suspended, Complete, Failed."""
    attempt: int = 0
    """The number of the current or last attempt."""
    attempts: list[Attempt] = Field(default_factory=list)
    """The newest attempts, at most 20."""
    failures: Failures | None = None
    """Failures so far, of the job's attempts and of single workers."""
    start_time: Time | None = None
    """When the first attempt began."""
    completion_time: Time | None = None
    """When the job ended."""
    active_seconds: int = 0
    """Seconds for which finished attempts held pods.

    activeDeadlineSeconds is compared with this, the running attempt's seconds added.
    """
    workers: WorkersStatus | None = None
    """The worker pods."""
    progress: Progress | None = None
    """How far it is."""
    checkpoint: CheckpointStatus | None = None
    """The newest durable checkpoint."""
    result: Result | None = None
    """What came out."""
