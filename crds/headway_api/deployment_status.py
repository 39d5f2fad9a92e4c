"""`status` of a ModelDeployment: what the operator says of it, and all that it remembers."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator, Field, computed_field

from headway_api.base import MOST_COUNTED, Between, Cut, ListMap, OrElse, StatusSection
from headway_api.drift_wire import MOST_TOLD, DriftedFeature, QualityProblem
from headway_api.drift_wire import State as DriftState
from headway_api.rollout_wire import MOST_GATES, Mode
from headway_api.served import ModelSource, Server
from headway_api.status_words import Message, Time, Word

Phase = Literal["Pending", "Progressing", "Ready", "Degraded", "Suspended"]
State = Literal["Candidate", "Champion", "Previous", "Retired", "Rejected"]
"""What a version is. Those that are Retired or Rejected have no pods."""
Rejection = Literal["NotReady", "Crash", "Invalid", "Aborted", "ErrorRate", "Latency", "Agreement", "Query", "Stalled"]
"""Why a version was rejected."""
Stage = Literal["Preparing", "Splitting", "Baking", "Ending"]
"""Where a rollout is. Preparing: pods are made. Splitting: both versions get requests. Baking: the new one answers
alone, and the old one's pods are still there. Ending: the new one is given up, and servers are told so."""
Stage0 = Literal["Awake", "FallingAsleep", "Asleep", "Waking"]
"""Awake: clients are sent to the pods. FallingAsleep: to the holder, and the pods are there still. Asleep: there are no
pods. Waking: they are made, and the holder keeps requests until then."""
ConditionType = Literal[
    "Accepted", "Ready", "Progressing", "RolledBack", "RouteAccepted", "Scaling", "Drifted", "Reconciled"
]
MOST_KEPT = 8
"""Versions that are remembered beside those that have pods, at most."""
MOST_VERSIONS = MOST_KEPT + 3
MOST_RECENT = 8
"""Numbers of pods that the load asked for lately and asks for no more, that are remembered at most."""
Small = Annotated[int, Between(0, 1_000_000_000)]


class DeploymentCondition(StatusSection):
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
    observed_generation: Small = 0
    """The generation of the spec that this was said of."""


def _known(conditions: object) -> object:
    """The conditions of which this version knows what they are about."""
    if not isinstance(conditions, list):
        return conditions
    types = get_args(ConditionType)
    return [item for item in conditions if not isinstance(item, dict) or item.get("type", types[0]) in types]


class VersionReplicas(StatusSection):
    """The pods of a version."""

    desired: Small = 0
    """How many should be."""
    ready: Small = 0
    """How many are ready."""


class Version(StatusSection):
    """One version: a model and a server that never change, with a Deployment and a Service of its own."""

    name: Word
    """Its name: the deployment's, and its number."""
    number: Small
    """Counted from 1, and never used again."""
    state: Annotated[State, OrElse("Retired")]
    """What it is."""
    source: ModelSource
    """The model."""
    job: Word | None = None
    """The TrainingJob that has published it."""
    server: Server
    """The pods, as the spec had them."""
    image: Annotated[str, Cut(1024)]
    """The server image of all its pods."""
    weight: Annotated[int, Between(0, 100)] = 0
    """The share of the requests that it answers, in percent; those of all versions add up to 100, once there is one."""
    replicas: VersionReplicas = VersionReplicas()
    """Its pods."""
    since: Time
    """Since when it is in this state."""
    waiting_since: Time | None = None
    """From when on the deadline of a candidate counts: from its beginning, or the end of the last suspension."""
    reason: Annotated[Rejection | None, OrElse("NotReady")] = None
    """Why it was rejected."""
    message: Message | None = None
    """The same in words; of a candidate, what keeps it from being ready."""


class Published(StatusSection):
    """A model that a TrainingJob has offered by its `spec.publish`."""

    job: Word
    """The job's name; it may be gone by now."""
    uid: Word
    """The job's uid."""
    time: Time
    """When it ended."""
    source: ModelSource
    """The model."""


class RolloutGate(StatusSection):
    """The state of one gate of a rollout."""

    name: Word
    """Which."""
    verdict: Annotated[Literal["fail", "pass", "open"], OrElse("open")] = "open"
    """fail: the new version is proved worse than allowed. pass: proved to keep the limit. open: neither, so far."""
    value: float | None = None
    """The new version's rate."""
    limit: float | None = None
    """What it is held against: the limit, or the old version's rate."""
    evidence: float = 0.0
    """How strongly what was seen speaks against the new version: 1 is nothing. Of a query: how many evaluations in a
    row were beyond a limit."""
    needed: float = 0.0
    """What `evidence` has to reach for the gate to fail."""


class RolloutStatus(StatusSection):
    """A rollout by canary, abTest or shadow."""

    version: Word
    """The version that is on its way, or that bakes."""
    number: Small
    """Its number."""
    stable: Small
    """The number of the version whose servers split the requests."""
    mode: Annotated[Mode, OrElse("canary")]
    """The kind of rollout."""
    stage: Annotated[Stage, OrElse("Ending")]
    """Where it is."""
    step: Small = 0
    """The step, from 1; 0 before the first one."""
    of: Small = 0
    """How many there are."""
    weight: Annotated[int, Between(0, 100)] = 0
    """The new version's share of the requests, in percent."""
    epoch: Small = 0
    """The number of what servers are told now: each change of the shares has another one."""
    since: Time
    """Since when it is at this stage and step."""
    followed_since: Time | None = None
    """Since when all servers keep to this step's share, as far as the judge has heard."""
    judged_since: Time | None = None
    """Since when the new version has shown all that the last step asks for: it may wait for an approval."""
    counted: Time | None = None
    """When the numbers were taken from the judge."""
    stable_requests: Annotated[int, Between(0, MOST_COUNTED)] = 0
    """Requests of this step that the old version answered."""
    candidate_requests: Annotated[int, Between(0, MOST_COUNTED)] = 0
    """Requests of this step that the new version was chosen for; in mode shadow, copies."""
    gates: Annotated[list[RolloutGate], Cut(MOST_GATES), ListMap("name")] = Field(default_factory=list)
    """What it is held to, and the state of that, over the whole rollout."""
    message: Message | None = None
    """What the judge has found, in words."""


class RouteStatus(StatusSection):
    """What servers are told of shares, as far as it has to be remembered."""

    epoch: Small = 0
    """Its number, which grows over all rollouts."""
    digest: Annotated[str, Cut(32)] = ""
    """Tells it from another one."""


class Recommended(StatusSection):
    """A number of pods that the load has asked for."""

    replicas: Small
    """How many."""
    until: Time
    """When it asked for fewer."""


class AutoscalingStatus(StatusSection):
    """How many pods `spec.autoscaling.targetInFlight` has come to."""

    desired: Small
    """How many pods the version that answers is to have."""
    since: Time
    """Since when."""
    reason: Word = "Starting"
    """Why not another number, in a word."""
    asked: Small = 0
    """`spec.replicas`, as it was last obeyed."""
    in_flight: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] | None = None
    """Requests in flight in all pods of the version that answers, on average over some seconds."""
    counted: Time | None = None
    """When that was taken from the servers' reports."""
    stage: Annotated[Stage0, OrElse("Awake")] = "Awake"
    """With `min: 0`, whether there are pods, and where clients are sent to."""
    held_since: Time | None = None
    """Since when clients are seen to be sent to the holder, before the last pod is deleted."""
    recommended: Small | None = None
    """How many pods the load asks for now."""
    recent: Annotated[list[Recommended], Cut(MOST_RECENT), ListMap("replicas")] = Field(default_factory=list)
    """What it asked for before, of the time in which no fewer pods may be: the greatest first."""


class DriftStatus(StatusSection):
    """Whether the requests are like the rows that the model was trained on, by the judge's last word."""

    state: Annotated[DriftState, OrElse("Unavailable")]
    """Stable: as the training rows. Drifted: enough of the last windows alarm. Insufficient: too few rows came to tell.
    Unavailable: there is nothing to compare with, or nobody says."""
    version: Word
    """The version that it is about."""
    score: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] | None = None
    """How far the last window's significant features are from the training rows, the greatest of them, as a multiple of
    `minEffect`: 1 and above alarms."""
    features: Annotated[list[DriftedFeature], Cut(MOST_TOLD), ListMap("name")] = Field(default_factory=list)
    """Those with the greatest scores, at most 5."""
    data_quality: Annotated[list[QualityProblem], Cut(MOST_TOLD), ListMap("name")] = Field(default_factory=list)
    """Features whose values are missing, unseen or out of range more often than in the training rows, at most 5: these
    take no part in the score."""
    checked: Time | None = None
    """When the last window ended."""
    windows: Small = 0
    """Windows of this version that are over."""
    message: Message = ""
    """The same in words."""


class Endpoint(StatusSection):
    """Where clients send requests, within the cluster."""

    url: Word
    """For REST."""
    grpc: Word | None = None
    """Host and port for gRPC, where the version that answers has it."""


class ModelDeploymentStatus(StatusSection):
    """How the deployment is doing."""

    observed_generation: Small = 0
    """The generation of the spec that this status is about."""
    phase: Annotated[Phase | None, OrElse("Progressing")] = None
    """In a word. Degraded: fewer pods are ready than should be, or no version could be put to work."""
    conditions: Annotated[
        list[DeploymentCondition], BeforeValidator(_known), Cut(len(get_args(ConditionType))), ListMap("type")
    ] = Field(default_factory=list)
    """Accepted: the spec is valid; the last valid one is in force. Ready: a version answers. Progressing: a version
    is on its way. RolledBack: the last version that was tried was rejected, and why. RouteAccepted: gateways
    take its routes. Scaling: the number of pods follows the requests in flight, with `autoscaling.targetInFlight`;
    False while that is not known. Drifted: requests are unlike the training rows, with `monitoring.drift`; Unknown
    while nobody can tell."""
    champion: Word | None = None
    """The version that answers."""
    candidate: Word | None = None
    """The version that is on its way."""
    previous: Word | None = None
    """The version that answered before; its pods are still there for a while."""
    published: Published | None = None
    """The newest model that jobs have published here; `spec.versions.source` takes precedence."""
    last_number: Small = 0
    """The number of the newest version that there ever was."""
    route: RouteStatus | None = None
    """What servers are told of shares; absent until there was a rollout that splits requests."""
    rollout: RolloutStatus | None = None
    """The rollout in progress, where it is one that splits requests."""
    autoscaling: AutoscalingStatus | None = None
    """How many pods the load asks for, where `spec.autoscaling.targetInFlight` is set."""
    drift: DriftStatus | None = None
    """Whether the requests are like the training rows, where `spec.monitoring.drift` is set."""
    versions: Annotated[list[Version], Cut(MOST_VERSIONS), ListMap("name")] = Field(default_factory=list)
    """The versions that have pods, and as many others as `spec.versions.keep`; the newest last."""
    endpoint: Endpoint | None = None
    """Where clients send requests; absent until a version answers."""
    replicas: Small = 0
    """Pods of the version that answers, for the scale subresource."""
    selector: Annotated[str, Cut(512)] = ""
    """Selects these pods, for autoscalers."""

    @computed_field  # type: ignore[prop-decorator]  # mypy knows no decorators on top of a property
    @property
    def summary(self) -> DeploymentSummary:
        """The columns of `kubectl get`; it follows from the rest of the status."""
        return summarise(self)

    def version(self, name: str | None) -> Version | None:
        """The version of a name."""
        return next((version for version in self.versions if version.name == name), None)


class DeploymentSummary(StatusSection):
    """A status in a few words, for people: nothing reads it but `kubectl get`."""

    ready: Word | None = None
    """Pods that are ready of the version that answers, and how many should be: `2/3`."""
    weight: Word | None = None
    """The candidate's share of the requests: `0%`; nothing where there is none."""
    message: Message | None = None
    """The newest word of the conditions."""


def summarise(status: ModelDeploymentStatus) -> DeploymentSummary:
    """The summary of a status."""
    champion, candidate = status.version(status.champion), status.version(status.candidate)
    telling = [condition for condition in reversed(status.conditions) if condition.message]
    newest = max(telling, key=lambda condition: condition.last_transition_time, default=None)
    return DeploymentSummary(
        ready=f"{champion.replicas.ready}/{champion.replicas.desired}" if champion is not None else None,
        weight=f"{candidate.weight}%" if candidate is not None else None,
        message=newest.message if newest is not None else None,
    )
