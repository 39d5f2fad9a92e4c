"""`status` of a TrainingJob: what the operator says of it."""

from __future__ import annotations

import math
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, computed_field

from headway_api.base import Between, Cut, ListMap, OrElse, StatusSection
from headway_api.parameters import MAX_PARAMETERS
from headway_api.status_words import MAX_METRIC_NAME_LENGTH, Count, Message, MetricValues, Number, Place, Time, Word
from headway_api.storage import Bundle, Storage
from headway_api.summary import Summary, summarise
from headway_api.tuning import MAX_TRIALS

Phase = Literal["Pending", "Queued", "Starting", "Running", "Suspended", "Succeeded", "Failed"]
FINISHED: tuple[Phase, ...] = ("Succeeded", "Failed")

Cause = Literal[
    "Preempted",
    "NodeLost",
    "OutOfMemory",
    "OutOfDisk",
    "ImagePull",
    "Unschedulable",
    "UserError",
    "StorageError",
    "Hang",
    "GateFailed",
    "DeadlineExceeded",
    "InvalidSpec",
    "Suspended",
    "Released",
    "Upgraded",
    "Internal",
]
"""Why an attempt, or the job, ended."""

ConditionType = Literal[
    "Accepted", "Scheduled", "Running", "Suspended", "Complete", "Failed", "Published", "Reconciled"
]
MAX_WARNINGS = 20
Warnings = Annotated[list[Annotated[str, Cut(512)]], Cut(MAX_WARNINGS)]
"""What people should know of the data and the model, a sentence each."""
MAX_ATTEMPTS_KEPT = 20
MAX_LOSS_EVENTS_KEPT = 16
MAX_RUNNING_TRIALS = 16
EndedState = Literal["completed", "stopped", "failed"]
ENDED_STATES: tuple[EndedState, ...] = get_args(EndedState)
"""How a trial may have ended."""


class Condition(StatusSection):
    """A condition as in the Kubernetes API conventions."""

    type: ConditionType
    """What the condition is about."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    reason: Word
    """One word for programs."""
    message: Message = ""
    """A sentence for people."""
    last_transition_time: Time
    """When status last changed."""
    observed_generation: int = 0
    """The generation of the spec that this was said of."""


def _known(conditions: object) -> object:
    """The conditions of which this version knows what they are about."""
    if not isinstance(conditions, list):
        return conditions
    types = get_args(ConditionType)
    return [item for item in conditions if not isinstance(item, dict) or item.get("type", types[0]) in types]


class LossEvent(StatusSection):
    """Workers of an attempt that were lost for one cause at nearly the same time: they count as one failure."""

    cause: Annotated[Cause, OrElse("Internal")]
    """Why they were lost."""
    time: Time
    """When the first of their replacements was recorded."""
    workers_replaced: int = 0
    """How many workers had been replaced before: the loss of one that came later is another failure."""


class Attempt(StatusSection):
    """One attempt: a Ray cluster of its own."""

    number: int
    """Counted from 1."""
    name: Word | None = None
    """The name of its Secret, ConfigMap and Service; the names of its pods begin with it."""
    image: Annotated[str, Cut(1024)] | None = None
    """The trainer image of all its pods, also of those that replace lost ones."""
    start_time: Time
    """When the attempt's first pod was asked for."""
    queued_time: Time | None = None
    """Since when the job has looked for room, if attempts before this one gave back what they held for want of it."""
    releases: int = 0
    """How many attempts directly before this one gave back what they held; those that never ran are not listed."""
    scheduled_time: Time | None = None
    """When all its pods had a node for the first time."""
    running_time: Time | None = None
    """When all its pods were ready for the first time."""
    end_time: Time | None = None
    """When it ended."""
    cause: Annotated[Cause | None, OrElse("Internal")] = None
    """Why it ended, if not by success."""
    exit_code: int | None = None
    """The driver's exit code, where there was one."""
    node: Word | None = None
    """The node of the pod that ended it."""
    message: Message | None = None
    """A sentence for people."""
    resumed_from_step: Count | None = None
    """The optimiser step it started from."""
    steps_lost: Count | None = None
    """Steps of the attempt before that had to be done again."""
    logs: Place | None = None
    """The folder with what its processes printed: it outlives their pods."""
    trials: Count | None = None
    """How many trials its driver was told of; absent where `spec.tuning.trials` cannot be raised."""
    workers_replaced: int = 0
    """Worker pods that were lost and replaced within the attempt."""
    losses: int = 0
    """As how many failures these count: workers that are lost for one cause at nearly the same time are one."""
    loss_events: Annotated[list[LossEvent], Cut(MAX_LOSS_EVENTS_KEPT), ListMap("cause")] = Field(default_factory=list)
    """The newest of these failures of each cause."""


class Failures(StatusSection):
    """How often the job has failed, by cause, its head and its workers together; see `spec.retry`."""

    preempted: int = 0
    """Evictions and preemptions."""
    node_lost: int = 0
    """Lost nodes."""
    out_of_memory: int = 0
    """Containers that took more than their memory."""
    out_of_disk: int = 0
    """Pods that took more of their node's disk than their own limits allow."""
    image_pull: int = 0
    """Images that could not be pulled."""
    unschedulable: int = 0
    """Attempts whose pods had nodes, and were not ready within startupDeadlineSeconds."""
    storage_error: int = 0
    """Storage that refused or was not there."""
    hang: int = 0
    """Training, or a driver, that was stuck."""
    internal: int = 0
    """Crashes without a known reason."""
    user_error: int = 0
    """Exceptions in the user's code or data."""


class RecentFailures(StatusSection):
    """Failures that count against `spec.retry`: those that steady progress has not made good yet."""

    counts: Failures | None = None
    """How many there are, by cause."""
    furthest_step: int | None = None
    """The furthest optimiser step that training had come to when it was last interrupted."""
    steady_seconds: int | None = None
    """Seconds of training beyond that since the oldest of them; with forgetAfterSeconds of it all are forgotten."""
    steady_since: Time | None = None
    """Since when training has been further than that; absent while it is not."""


class WorkersStatus(StatusSection):
    """The worker pods: pods are counted, not the training processes in them."""

    desired: int = 0
    """How many should be."""
    ready: int = 0
    """How many are ready."""


class CheckpointStatus(StatusSection):
    """The newest durable checkpoint."""

    uri: Place
    """Where it is."""
    step: Count
    """Its optimiser step."""
    time: Time
    """When it was committed."""


def _rate(value: float | None) -> float | None:
    """JSON has no NaN, so a rate that is no number is left out."""
    return None if value is None or not math.isfinite(value) else max(0.0, value)


class Progress(StatusSection):
    """How far the running attempt is."""

    percent: Annotated[int, Between(0, 100)] | None = None
    """Share of the planned optimiser steps that is done; absent for a training.entrypoint."""
    stage: Annotated[Literal["Preparing", "Training", "Evaluating", "Publishing"], OrElse("Preparing")] = "Preparing"
    """What the driver is doing."""
    scope: Word | None = None
    """Which of several models are trained now, as `fold-2, fold-3 (1 of 5 done)`; absent for the one that is kept."""
    epoch: Count | None = None
    """The epoch, counted from 1."""
    step: Count | None = None
    """Optimiser steps done since the first attempt, of all models that the job trains."""
    eta_seconds: Count | None = None
    """Expected seconds to the end of training."""
    samples_per_second: Annotated[float | None, AfterValidator(_rate)] = None
    """Rows a second over all workers."""
    checkpoint_seconds: Count | None = None
    """Seconds for which training paused for checkpoints, since this group of workers began."""
    metrics: MetricValues = Field(default_factory=dict)
    """The newest value of each metric, as `split/name`."""
    update_time: Time | None = None
    """When the driver last said so."""


class Artifact(StatusSection):
    """A file that the job left on its storage."""

    name: Word
    """What it is: `model`, `result`, `report`."""
    uri: Place
    """Where it is."""
    sha256: Word
    """Its digest."""
    size_bytes: Count
    """Its size."""


class Result(StatusSection):
    """What came out."""

    metrics: MetricValues = Field(default_factory=dict)
    """The final metrics as `split/name`: scalars only, the rest is in the result file."""
    artifacts: Annotated[list[Artifact], Cut(32), ListMap("name")] = Field(default_factory=list)
    """The files, no two of one name."""
    bundle: Bundle | None = None
    """The model as a ModelDeployment takes it; absent where there is no model.onnx, which servers need."""


TrialCount = Annotated[int, Between(0, MAX_TRIALS)]


class BestTrial(StatusSection):
    """The trial with the best value so far."""

    trial: Count
    """Its number, counted from 1."""
    value: Number
    """The metric's best value over its epochs; with `tuning.seeds`, the mean over its seeds."""
    deviation: Number | None = None
    """The standard deviation of the values with these seeds."""
    parameters: Annotated[dict[Annotated[str, Cut(128)], Annotated[str, Cut(128)]], Cut(MAX_PARAMETERS)] = Field(
        default_factory=dict
    )
    """What it was given, by path, as JSON."""


class RunningTrial(StatusSection):
    """A trial that runs."""

    trial: Count
    """Its number, counted from 1."""
    epoch: Count | None = None
    """Epochs that it has finished."""
    value: Number | None = None
    """The metric's newest value."""


class TuningStatus(StatusSection):
    """The trials of `spec.tuning`."""

    metric: Annotated[str, Cut(MAX_METRIC_NAME_LENGTH)] = ""
    """What they are compared by."""
    planned: TrialCount | None = None
    """How many there are to be, unless the search ends early."""
    running: TrialCount = 0
    """How many run."""
    waiting: TrialCount = 0
    """How many of a population (`pbt`) wait for workers, or for the others to come as far."""
    completed: TrialCount = 0
    """How many have trained to their end."""
    stopped: TrialCount = 0
    """How many were ended early by the scheduler, a budget or `stopWhen`; their values count."""
    failed: TrialCount = 0
    """How many have failed; they have no value."""
    best: BestTrial | None = None
    """The best one so far."""
    retrain: bool = False
    """Whether the model is trained again after the trials: then `best` has the value of a trial's model alone."""
    running_trials: Annotated[list[RunningTrial], Cut(MAX_RUNNING_TRIALS), ListMap("trial")] = Field(
        default_factory=list
    )
    """The newest of those that run, at most 16."""

    @property
    def ended(self) -> int:
        """How many trials have ended."""
        return self.completed + self.stopped + self.failed

    def after(self, before: TuningStatus | None) -> TuningStatus:
        """This, said after `before`: a trial that has ended once has ended."""
        if before is None:
            return self
        ended: dict[str, int] = {state: max(getattr(self, state), getattr(before, state)) for state in ENDED_STATES}
        return self.model_copy(update={**ended, "best": self.best or before.best})


Spent = Literal[
    "queued",
    "starting",
    "preparing",
    "productive",
    "redone",
    "checkpointing",
    "recovering",
    "stopping",
    "evaluating",
    "publishing",
]
"""What the seconds of a job are counted as."""
SPENT: tuple[Spent, ...] = get_args(Spent)
Doing = Literal["queued", "starting", "preparing", "training", "recovering", "stopping", "evaluating", "publishing"]
"""What a job does. Whether training was productive is known only with the next step."""


class TimeStatus(StatusSection):
    """Where the time of the job went since it first asked for pods, without the time for which it was suspended."""

    since: Time
    """Since when it is counted."""
    until: Time
    """Until when; of training, until the last step that was reported."""
    doing: Annotated[Doing | None, OrElse("starting")] = None
    """What the job does since then; absent while it rests."""
    seconds: Annotated[dict[Annotated[str, Cut(16)], Count], Cut(16)] = Field(default_factory=dict)
    """By what they went into: docs/explanation/clocks.md."""
    goodput_percent: Annotated[int, Between(0, 100)] | None = None
    """The share of them that is productive: steps that were kept."""
    attempt: Count = 0
    """The newest attempt whose driver has reported."""
    step: Count = 0
    """The step that it reported last."""
    furthest_step: Count = 0
    """The furthest step of all attempts."""
    steps_again: Count = 0
    """Steps that were lost, and had to be done again."""
    saving: Count = 0
    """Seconds of checkpoints that the driver has counted."""


class TrainingJobStatus(StatusSection):
    """The status of a job."""

    observed_generation: int = 0
    """The generation of the spec that this status is about."""
    phase: Annotated[Phase | None, OrElse(None)] = None
    """A summary of the conditions for people."""
    conditions: Annotated[list[Condition], BeforeValidator(_known), Cut(16), ListMap("type")] = Field(
        default_factory=list
    )
    """Accepted, Scheduled, Running, Suspended, Complete, Failed; Published of a job with `spec.publish`; Reconciled
    where the operator cannot do its part."""
    attempt: int = 0
    """The number of the current or last attempt."""
    attempts: Annotated[list[Attempt], Cut(MAX_ATTEMPTS_KEPT), ListMap("number")] = Field(default_factory=list)
    """The newest attempts, at most 20."""
    failures: Failures | None = None
    """All failures so far, of the job's attempts and of single workers."""
    recent_failures: RecentFailures | None = None
    """Those of them that count against `spec.retry`."""
    start_time: Time | None = None
    """When the first attempt began."""
    completion_time: Time | None = None
    """When the job ended."""
    active_seconds: int = 0
    """Seconds for which finished attempts held all their pods.

    activeDeadlineSeconds is compared with this, the running attempt's seconds added.
    """
    workers: WorkersStatus | None = None
    """The worker pods."""
    progress: Progress | None = None
    """How far it is."""
    checkpoint: CheckpointStatus | None = None
    """The newest durable checkpoint."""
    storage: Storage | None = None
    """Where the job keeps its files: what `spec.storage` said, or the operator's default when the job began."""
    tuning: TuningStatus | None = None
    """The trials of `spec.tuning`."""
    result: Result | None = None
    """What came out."""
    time: TimeStatus | None = None
    """Where its time went."""
    warnings: Warnings = Field(default_factory=list)
    """What people should know of the data and the model, as the newest attempt has found it; at most 20 sentences."""

    @computed_field  # type: ignore[prop-decorator]  # mypy knows no decorators on top of a property
    @property
    def summary(self) -> Summary:
        """The columns of `kubectl get`; it follows from the rest of the status."""
        return summarise(self, finished=self.phase in FINISHED)
