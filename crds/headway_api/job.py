"""The kind TrainingJob: one file for a model's whole way from data to weights."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from headway_api import consistency
from headway_api.base import Rule, Section, StatusSection, formed, without_nulls
from headway_api.code import Code
from headway_api.consistency.facts import own_loop, own_tuner
from headway_api.data import Data
from headway_api.evaluation import Evaluation
from headway_api.export import Export
from headway_api.model import Model
from headway_api.pod_templates import (
    LABEL_FORM,
    LABEL_KEY,
    LABEL_KEY_FORM,
    LABEL_KEY_LENGTH,
    LABEL_VALUE,
    LABEL_VALUE_LENGTH,
)
from headway_api.pods import Head, Workers
from headway_api.status import TrainingJobStatus
from headway_api.storage import Storage
from headway_api.tracking import Tracking
from headway_api.training import Training
from headway_api.tuning import Tuning

NAME_PATTERN = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
NAME_MAX_LENGTH = 38
"""The longest pod name, `<job>-<5 of its uid>-<attempt>-worker-<index>-<replacement>`, must fit a DNS label of 63."""
NAME_FORM = (
    f"must be 1 to {NAME_MAX_LENGTH} lower-case letters, digits and '-', begin with a letter and not end with '-'"
)
GENERATED_LENGTH = 5
"""How many characters the API server appends to a generateName."""

Image = Annotated[
    str, formed(r"^[^\x00-\x20\x7f]+$", "must be an image's name, which holds no spaces", max_length=1024)
]
Retries = Annotated[int, Field(ge=0, le=1000)]


class Scheduling(Section):
    """How the job gets its place in the cluster."""

    startup_deadline_seconds: Annotated[int, Field(ge=10, le=604_800)] = 900
    """Seconds that an attempt's pods may take until all are ready, once all have a node; then the attempt ends.

    Waiting for room is not counted: the job is Queued meanwhile.
    """
    queue_deadline_seconds: Annotated[int, Field(ge=10, le=31_536_000)] | None = None
    """Seconds that the job may wait for room at a time; then it fails as DeadlineExceeded. Without end if absent."""
    gang: Literal["Auto", "PodGroup", "Release"] = "Auto"
    """How pods that do not all fit keep from holding what another job needs.

    PodGroup: the scheduler starts all of them or none, by the PodGroup API of `scheduling.k8s.io`, which the cluster
    has to serve. Release: pods that got a node are given back when the others stay without one for `releaseSeconds`,
    and asked for again later. Auto: PodGroup where the cluster serves it, else Release.
    """
    release_seconds: Annotated[int, Field(ge=5, le=86_400)] = 120
    """Seconds that a part of the pods may hold nodes while the rest finds none and another job waits for room.

    Then all are given back for a while. Where no other job of Headway waits, they are given back after 15 times as
    long. Pods for which an autoscaler makes nodes are waited for. A scheduler that keeps to the PodGroup never lets it
    come to that.
    """


class Retry(Section):
    """How many failures of each cause the job may survive; each is counted by itself.

    A lost head costs an attempt, and the next one resumes from the newest checkpoint; a lost worker is replaced within
    its attempt. Both count, and what one event takes down together counts once. A worker that is evicted by the
    eviction API, as by a drain of its node, costs nothing. Where a cause has no number of its own, `infrastructure` is
    its number. With steady progress failures are forgotten: see `forgetAfterSeconds`.
    """

    preempted: Retries | None = None
    """After an eviction or a preemption; if absent 20, and one more for each worker (at most 100 more)."""
    infrastructure: Retries = 5
    """After each of the causes below, as far as they are not set."""
    node_lost: Retries | None = None
    """After the loss of a node; if absent as `infrastructure`, and one more for each worker (at most 100 more)."""
    out_of_memory: Retries | None = None
    """After a container took more than its memory; as `infrastructure` if absent."""
    out_of_disk: Retries | None = None
    """After a pod took more of its node's disk than its own limits allow; as `infrastructure` if absent."""
    image_pull: Retries | None = None
    """After an image could not be pulled; as `infrastructure` if absent."""
    unschedulable: Retries | None = None
    """After pods that have nodes were not ready within startupDeadlineSeconds; as `infrastructure` if absent."""
    storage_error: Retries | None = None
    """After the storage refused or was not there; as `infrastructure` if absent."""
    hang: Retries | None = None
    """After training or the driver was stuck; as `infrastructure` if absent."""
    internal: Retries | None = None
    """After a crash without a known reason; as `infrastructure` if absent."""
    user_error: Retries = 0
    """After an exception in the user's code or data."""
    forget_after_seconds: Annotated[int, Field(ge=60, le=31_536_000)] = 3600
    """Seconds of steady progress after which the failures so far count no more.

    Progress is training that goes further than the job had been before it failed, in one attempt or in several. So a
    budget is for an hour of progress, by default, and not for the whole life of the job.
    """
    keep_failed_pods: Literal["Never", "Last"] = "Never"
    """Whether the pods of the last failed attempt stay after they have ended, to inspect them and their logs.

    Last: until another attempt fails, the job succeeds, is suspended or is deleted. They hold no GPU, CPU or memory.
    Pods that had to be stopped are gone.
    """


class Publish(Section):
    """Where the finished model goes to work."""

    deployment: Annotated[str, formed(NAME_PATTERN, NAME_FORM, max_length=NAME_MAX_LENGTH)]
    """The ModelDeployment of the job's namespace to which the model is offered once the job has succeeded.

    It may be made later. It takes what was published last, unless its `spec.versions.source` names a model. `headway
    run` publishes to nobody.
    """


def _has_function(spec: TrainingJobSpec) -> bool:
    return own_loop(spec) or bool(spec.model and spec.model.entrypoint)


def _watches_nothing(spec: TrainingJobSpec) -> bool:
    stopping, data = spec.training.early_stopping if spec.training else None, spec.data
    if stopping is None or data is None or not stopping.metric.startswith("validation/"):
        return False
    elsewhere = data.source.parts is not None or data.columns is not None or data.split.method == "fold"
    return data.split.validation == 0 and not elsewhere


def _a_process_for_each_gpu(workers: Workers) -> bool:
    return workers.resources.gpu == 0 or workers.processes is None or workers.processes >= workers.resources.gpu


_OWN_TRAINING = "has(self.training) && has(self.training.entrypoint)"
_OWN_TUNER = "has(self.tuning) && has(self.tuning.entrypoint)"
_OWN_LOOP = f"({_OWN_TRAINING}) || ({_OWN_TUNER})"


class TrainingJobSpec(Section):
    """What to train, from what, where, and how hard to try."""

    rules = (
        Rule(
            cel=f"has(self.training) || has(self.code) || ({_OWN_TUNER})",
            message="set training: without it and without code there is nothing to run",
            holds=lambda spec: spec.training is not None or spec.code is not None or own_tuner(spec),
            field="training",
        ),
        Rule(
            cel=f"({_OWN_LOOP}) || has(self.data)",
            message="set data: only a training.entrypoint or a tuning.entrypoint can do without it",
            holds=lambda spec: own_loop(spec) or spec.data is not None,
            field="data",
        ),
        Rule(
            cel=f"({_OWN_LOOP}) || has(self.model)",
            message="set model: only a training.entrypoint or a tuning.entrypoint can do without it",
            holds=lambda spec: own_loop(spec) or spec.model is not None,
            field="model",
        ),
        Rule(
            cel=f"!has(self.code) || ({_OWN_LOOP}) || (has(self.model) && has(self.model.entrypoint))",
            message="code is set, but nothing calls it: set training.entrypoint, tuning.entrypoint or model.entrypoint",
            holds=lambda spec: spec.code is None or _has_function(spec),
            field="code",
        ),
        Rule(
            cel=(
                "!has(self.data) || !has(self.training) || !has(self.training.earlyStopping)"
                " || !self.training.earlyStopping.metric.startsWith('validation/') || self.data.split.validation > 0.0"
                " || has(self.data.source.parts) || has(self.data.columns) || self.data.split.method == 'fold'"
            ),
            message="training.earlyStopping watches the validation part, which is empty: set data.split.validation",
            holds=lambda spec: not _watches_nothing(spec),
            field="training",
        ),
        Rule(
            cel=(
                f"({_OWN_LOOP}) || self.workers.resources.gpu == 0 || !has(self.workers.processes)"
                " || self.workers.processes >= self.workers.resources.gpu"
            ),
            message="workers.processes is below workers.resources.gpu, but a process of the built-in loop uses one GPU:"
            " leave workers.processes out, which gives each GPU a process",
            holds=lambda spec: own_loop(spec) or _a_process_for_each_gpu(spec.workers),
            field="workers",
        ),
        Rule(
            cel=f"!has(self.tuning) || !has(self.tuning.entrypoint) || !({_OWN_TRAINING})",
            message="trials are trained by tuning.entrypoint, or by training.entrypoint with the values of"
            " tuning.parameters: take one of the two out",
            holds=lambda spec: (
                spec.tuning is None
                or spec.tuning.entrypoint is None
                or spec.training is None
                or spec.training.entrypoint is None
            ),
            field="tuning",
        ),
        Rule(
            cel="!has(self.tuning) || !has(self.data) || !has(self.data.split.folds)"
            " || self.tuning.scheduler.name == 'none'",
            message="with data.split.folds a trial is a training for each fold, and tuning.scheduler compares trials"
            " epoch by epoch: set tuning.scheduler.name to none, or take data.split.folds out",
            holds=lambda spec: spec.tuning is None or not spec.has_folds or spec.tuning.scheduler.name == "none",
            field="tuning",
        ),
        Rule(
            cel="!has(self.tuning) || self.tuning.workersPerTrial <= self.workers.replicas",
            message="tuning.workersPerTrial is above workers.replicas, so no trial could ever begin: lower it, or raise"
            " workers.replicas",
            holds=lambda spec: spec.tuning is None or spec.tuning.workers_per_trial <= spec.workers.replicas,
            field="tuning",
        ),
        Rule(
            cel="!has(self.publish) || self.export.formats.exists(each, each == 'onnx')",
            message="publish needs model.onnx, which is what servers load: put onnx into export.formats",
            holds=lambda spec: spec.publish is None or "onnx" in spec.export.formats,
            field="publish",
        ),
    )
    checks = consistency.CHECKS

    image: Image | None = None
    """The trainer image; the operator's default if absent."""
    code: Code | None = None
    """The user's own code; what the image holds if absent."""
    data: Data | None = None
    """The data."""
    model: Model | None = None
    """The model."""
    training: Training | None = None
    """The training stage; its defaults if absent."""
    tuning: Tuning | None = None
    """Trials with other values of some fields, of which the best one's model is kept; none if absent."""
    evaluation: Evaluation = Evaluation()
    """The final evaluation."""
    export: Export = Export()
    """The forms in which the model is left."""
    publish: Publish | None = None
    """The ModelDeployment that the model is offered to; none if absent."""
    tracking: Tracking | None = None
    """Trackers of experiments; TensorBoard files alone if absent."""
    head: Head = Head()
    """The head pod."""
    workers: Workers = Workers()
    """The worker pods."""
    storage: Storage | None = None
    """Where checkpoints and results go; the operator's default if absent."""
    scheduling: Scheduling = Scheduling()
    """Scheduling."""
    retry: Retry = Retry()
    """Retries."""
    suspend: bool = False
    """Whether the job gives its pods back, after a checkpoint, until this is false again.

    A training.entrypoint continues from the last checkpoint that it reported.
    """
    active_deadline_seconds: Annotated[int, Field(ge=1, le=31_536_000)] | None = None
    """Seconds that the job may hold all its pods, over all attempts; then it fails as DeadlineExceeded.

    The clock is stopped while the job is suspended, waits for room or waits for its next attempt.
    """
    progress_deadline_seconds: Annotated[int, Field(ge=30, le=604_800)] = 1800
    """Seconds that training may go without an optimiser step; then the attempt ends as Hang, and is tried again.

    A training.entrypoint is watched from its first report, or first step of a torch optimiser, on. Preparing,
    evaluating and publishing are not timed, but a driver that has stopped answering is found in any stage.
    """
    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=31_536_000)] | None = None
    """Seconds after its end that the finished job is deleted; never if absent. The stored model stays."""
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    """Seeds the split, the initial weights, shuffling and dropout."""

    @property
    def has_folds(self) -> bool:
        """Whether rows are divided into folds, too, and a model is trained for each."""
        return self.data is not None and self.data.split.folds is not None


LabelKey = Annotated[str, formed(LABEL_KEY, LABEL_KEY_FORM, max_length=LABEL_KEY_LENGTH)]
LabelValue = Annotated[str, formed(LABEL_VALUE, LABEL_FORM, max_length=LABEL_VALUE_LENGTH)]


class ObjectMeta(StatusSection):
    """The part of an object's metadata that Headway reads."""

    model_config = ConfigDict(extra="allow")

    name: str = ""
    """The name. Those of its pods begin with it, hence its greatest length."""
    generate_name: str = ""
    """What `kubectl create` may give in place of a name: the API server appends five characters."""
    namespace: Annotated[
        str,
        formed(
            r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
            "must be lower-case letters, digits and '-', and begin and end with a letter or digit",
            max_length=63,
        ),
    ] = "default"
    """The namespace."""
    uid: str = ""
    """What tells this object from an earlier one of the same name."""
    generation: int = 0
    """Counts the changes of the spec."""
    labels: dict[LabelKey, LabelValue] = Field(default_factory=dict)
    """Labels."""
    annotations: dict[str, str] = Field(default_factory=dict)
    """Annotations."""

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, value: Any) -> Any:
        return without_nulls(value)

    @field_validator("name", "generate_name")
    @classmethod
    def _name_fits(cls, name: str, info: ValidationInfo) -> str:
        whole = name if info.field_name == "name" else name + "x" * GENERATED_LENGTH
        if len(whole) > NAME_MAX_LENGTH or not re.fullmatch(NAME_PATTERN, whole):
            raise PydanticCustomError("name", NAME_FORM)
        return name

    @model_validator(mode="after")
    def _has_a_name(self) -> ObjectMeta:
        if not self.name and not self.generate_name:
            raise PydanticCustomError("name_missing", "name is missing: give it a name")
        return self

    @property
    def title(self) -> str:
        """The name, or what it will begin with."""
        return self.name or self.generate_name.rstrip("-")


class TrainingJob(Section):
    """A training job."""

    api_version: Literal["headway.dev/v1alpha1"]
    """The API's group and version."""
    kind: Literal["TrainingJob"]
    """The kind."""
    metadata: ObjectMeta
    """The job's name, namespace, labels and annotations."""
    spec: TrainingJobSpec
    """What to train, from what, where, and how hard to try."""
    status: TrainingJobStatus | None = None
    """How the job is doing; the operator writes it."""
