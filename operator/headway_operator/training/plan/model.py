"""The nouns of a decision: what is asked for, what was seen, and what is to be done about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from headway_api import wire
from headway_api.job import TrainingJobSpec
from headway_api.status import TrainingJobStatus
from headway_operator.engine.steps import Refusal

Role = Literal["head", "worker"]
Fact = Literal["live", "left", "objects", "scaleUps"]
"""What a decision may need read from the API server, beyond what the watches show.

live: the job's pods and ConfigMaps. left: the workers of the attempt that ended last, by all names that they may have:
whoever made them may be gone, and they may have lost the label that they are watched by. objects: which of the open
attempt's unwatched objects do not exist. scaleUps: for which pending pods an autoscaler is making a node.
"""
UNWATCHED: tuple[str, ...] = ("Secret", "Service", "NetworkPolicy")
"""The kinds of an attempt's objects that nobody watches; where pods are scheduled as one, PodGroup is one more."""


@dataclass(frozen=True, slots=True)
class Job:
    """One TrainingJob as it was last seen."""

    namespace: str
    name: str
    uid: str
    generation: int
    version: str
    """The resourceVersion that a status write is conditional on."""
    created: float
    deleting: bool
    status: TrainingJobStatus
    spec: TrainingJobSpec | None
    """The spec with the operator's defaults filled in; None if it has problems."""
    problems: tuple[str, ...] = ()
    """What is wrong with the spec, a sentence each."""


@dataclass(frozen=True, slots=True)
class ContainerEnd:
    """How a pod's main container ended."""

    exit_code: int
    reason: str
    message: str
    """The termination message."""
    at: float | None


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod of a job, as little of it as decisions need."""

    name: str
    uid: str
    owner_uid: str
    version: int
    attempt: int
    role: str
    index: int
    """The worker's index; 0 for the head."""
    number: int
    """Which replacement this is, counted over the whole attempt; 0 for a pod that was there from the start."""
    created: float
    phase: str = "Pending"
    node: str | None = None
    ready: bool = False
    deleting: float | None = None
    """When Kubernetes means to have it gone; None if nobody asked for that."""
    end: ContainerEnd | None = None
    reason: str = ""
    """`status.reason`, for example Evicted."""
    message: str = ""
    """`status.message`."""
    disruption: str = ""
    """The reason of the condition DisruptionTarget."""
    scheduled_at: float | None = None
    """When the scheduler gave it its node."""
    unschedulable: str = ""
    """The scheduler's message, while it finds no node."""
    waiting: str = ""
    """Why a container does not start, for example ImagePullBackOff."""
    waiting_message: str = ""
    waiting_since: float | None = None
    gone: bool = False
    """The object is deleted; this is what was last seen of it."""
    nominated: str = ""
    """The node that the scheduler means to give it once it has made room there."""
    grace: float | None = None
    """Seconds from the request to delete it until its processes are killed; None if it is not known."""
    deleting_seen_at: float | None = None
    """When this operator first saw that somebody asked for its deletion."""
    ended_seen_at: float | None = None
    """When this operator first saw that its work is over."""
    told_workers: int = 0
    """How many workers its attempt's driver was told to wait for; 0 if it does not say."""
    told_trials: int = 0
    """How many trials that was told of; 0 if it does not say."""

    @property
    def ended(self) -> bool:
        """Whether the pod's work is over."""
        return self.gone or self.end is not None or self.phase in ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True)
class AttemptConfig:
    """The ConfigMap of an attempt: it says that the attempt has objects, and what its driver says."""

    name: str
    attempt: int
    progress: str
    """The text of progress.json."""
    reported_at: float | None = None
    """When that text was first seen."""
    grouped: bool = False
    """Whether the attempt's pods are scheduled as one PodGroup."""
    workers: int = 0
    """How many workers its driver was told to wait for; 0 if it does not say."""
    trials: int = 0
    """How many trials its driver was told of; 0 if it does not say."""
    uid: str = ""
    """The ConfigMap's uid."""
    progress_seconds: float = 0.0
    """How often its driver was told to speak; 0 if it does not say."""


@dataclass(frozen=True, slots=True)
class Observed:
    """What was seen of a job's objects."""

    pods: tuple[Pod, ...] = ()
    configs: tuple[AttemptConfig, ...] = ()
    made: frozenset[tuple[str, str]] = frozenset()
    """Unwatched objects, as far as we made them and did not delete them: their resources' plurals and names."""
    left: frozenset[int] = frozenset()
    """Attempts whose Secret, Service or NetworkPolicy we have made and not deleted. Nobody watches these kinds, so this
    is no sign that an attempt has begun; it is one that there is something to delete, also where somebody has deleted
    the ConfigMap."""
    read: frozenset[Fact] = frozenset()
    """What was read from the API server for this very decision."""
    missing: frozenset[str] = frozenset()
    """The kinds of the open attempt's unwatched objects that do not exist; known if `objects` was read."""
    scale_ups: Mapping[str, float] = field(default_factory=dict)
    """Names of pending pods for which an autoscaler is making a node, with the time of its newest word of that; known
    if `scaleUps` was read."""
    others_waiting: bool = False
    """Whether another job of this operator lacks room right now."""
    status_refused: bool = False
    """Whether the API server refused the last status."""
    pod_groups: bool = False
    """Whether the API server serves PodGroups."""
    refusals: Mapping[str, Refusal] = field(default_factory=dict)
    """Pods that the API server did not take, by name."""
    last_write: float | None = None
    """When the status was last written."""
    write_interval: float = 2.0
    """Seconds between status writes that can wait."""
    progress_interval: float = 2.0
    """How often the driver of a new attempt is to be told to speak, in seconds."""

    @property
    def live(self) -> bool:
        """Whether pods and ConfigMaps were read from the API server for this very decision."""
        return "live" in self.read

    def told(self, attempt: int) -> tuple[int, int]:
        """How many workers and trials an attempt's driver was told of; 0 for what nothing says any more."""
        said = [(config.workers, config.trials) for config in self.configs if config.attempt == attempt]
        said += [(pod.told_workers, pod.told_trials) for pod in self.pods if pod.attempt == attempt]
        return next((workers for workers, _ in said if workers), 0), next((trials for _, trials in said if trials), 0)

    def attempts_with_objects(self) -> set[int]:
        """Attempts of which more than pods may be there."""
        return {config.attempt for config in self.configs} | self.left


@dataclass(frozen=True, slots=True)
class NewPod:
    """A pod that should exist."""

    role: Role
    index: int = 0
    number: int = 0

    def name(self, job: str, uid: str, attempt: int) -> str:
        """The pod's name, as a pod of an attempt of the job of that name and uid."""
        if self.role == wire.ROLE_HEAD:
            return wire.head_name(job, uid, attempt)
        return wire.worker_name(job, uid, attempt, self.index, self.number)


@dataclass(frozen=True, slots=True)
class Notice:
    """A Kubernetes Event for a person."""

    reason: str
    message: str
    warning: bool = False
    cause: str = ""
    """Of an attempt's end."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done now. Deletions rest on what the status already says, so a crash between them loses nothing."""

    attempt: int = 0
    """The open attempt: the one that `create`, `ensure_objects` and `read` are about."""
    workers: int = 0
    """How many workers that attempt has."""
    create: tuple[NewPod, ...] = ()
    """Pods to create, after the attempt's other objects."""
    dry_run: tuple[NewPod, ...] = ()
    """Pods that the API server has to judge before anything is made. If it refuses one, nothing is."""
    ensure_objects: frozenset[str] = frozenset()
    """The kinds of the attempt's objects (`ConfigMap`, those of UNWATCHED, `PodGroup`) that have to be made sure of
    first."""
    grouped: bool = False
    """Whether that attempt's pods are scheduled as one PodGroup, which is one more of its objects."""
    delete: tuple[Pod, ...] = ()
    """Pods to delete."""
    delete_objects: tuple[int, ...] = ()
    """Attempts whose ConfigMap, Secret, Service and NetworkPolicy are to go."""
    delete_job: bool = False
    status: TrainingJobStatus | None = None
    """The status to write, last; None if it is as it should be or can wait."""
    notices: tuple[Notice, ...] = ()
    forget: tuple[Pod, ...] = ()
    """Deleted pods whose last word is recorded."""
    read: frozenset[Fact] = frozenset()
    """What to read from the API server before deciding again; nothing of this plan is carried out before that."""
    requeue_at: float | None = None
    """When to reconcile again at the latest."""
