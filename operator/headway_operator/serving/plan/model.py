"""What decisions about a ModelDeployment rest on, and what they say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from headway_api.deployment import ModelDeploymentSpec
from headway_api.deployment_status import ModelDeploymentStatus
from headway_api.drift_wire import DriftWord, Watch
from headway_api.rollout_wire import Load, Route, Verdict
from headway_operator.engine.steps import Notice, Refusal
from headway_operator.serving.plan.offers import Offer


@dataclass(frozen=True, slots=True)
class Workload:
    """The Deployment of a version, of the judge or of the holder; or the InferenceService of a version."""

    name: str
    uid: str
    owner_uid: str
    version: int
    number: int
    """The version's; names.JUDGE for the judge's."""
    desired: int
    """The replicas that it is to have."""
    replicas: int
    """The pods that it has, whatever state they are in."""
    ready: int
    """Pods of its newest template that are ready."""
    seen: bool
    """Whether its controller has seen what it is to be now."""
    made_as: str = ""
    """What tells its template from another one: of the judge's, which is made anew where that is another by now."""
    reports: bool = False
    """Whether its servers report to the judge, and split requests as they are told: those that an older operator has
    made do not."""
    secrets: tuple[str, ...] = ()
    """Of the judge: the Secrets that it has for its queries."""
    kserve: bool = False
    """Whether it is an InferenceService; it is `seen` then while KServe says that it is ready."""
    said: str = ""
    """Why it is not, in KServe's words."""
    deleting: bool = False

    @property
    def complete(self) -> bool:
        """Whether all pods that it is to have are ready."""
        return self.seen and not self.deleting and self.ready >= self.desired


@dataclass(frozen=True, slots=True)
class Front:
    """A Service: that of a version, or that of the clients."""

    name: str
    uid: str
    owner_uid: str
    version: int
    number: int
    """The version's; 0 for the clients', names.JUDGE for the judge's."""
    selector: tuple[tuple[str, str], ...]
    """By which it finds pods, sorted."""
    ports: tuple[int, ...] = ()
    """That it answers on, in its order."""
    deleting: bool = False


@dataclass(frozen=True, slots=True)
class RolloutRecord:
    """The ConfigMap by which operator and judge talk: of what is not as it should be there, nothing is known."""

    name: str
    uid: str
    owner_uid: str
    version: int
    route: Route | None
    """What servers are told; None where that is missing, or cannot be read."""
    verdict: Verdict | None
    """The judge's last word; None where there is none, or it cannot be read."""
    heard: float
    """The operator's time at which the text of the verdict was last seen to change; 0 where it was seen only once."""
    load: Load | None = None
    """How busy the servers are; None where nobody says, or it cannot be read."""
    load_heard: float = 0.0
    """As `heard`, of the load."""
    watch: Watch | None = None
    """What the judge is told to watch; None where it is told nothing, or it cannot be read."""
    drift: DriftWord | None = None
    """What the judge has found of drift; None where nobody says, or it cannot be read."""
    drift_heard: float = 0.0
    """As `heard`, of the drift."""
    seen: float = 0.0
    """The operator's time at which the ConfigMap was first seen, with words in it of any age."""
    texts: tuple[int, ...] = ()
    """What tells the texts from others: those that have not changed are not read again."""
    deleting: bool = False


@dataclass(frozen=True, slots=True)
class Autoscaler:
    """The HorizontalPodAutoscaler of a deployment."""

    name: str
    uid: str
    owner_uid: str
    version: int
    least: int
    most: int
    cpu_percent: int
    """What pods are to take on average; 0 where it goes by anything else than that alone."""
    deleting: bool = False


@dataclass(frozen=True, slots=True)
class Parent:
    """A Gateway that a route is part of, as the spec of a route names it."""

    name: str
    namespace: str = ""
    """Empty: the route's own."""
    section: str = ""
    port: int = 0


@dataclass(frozen=True, slots=True)
class Backend:
    """A Service that a route leads to."""

    name: str
    port: int
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Rules:
    """Where a route leads: all of this is ours, and changes with the shares of versions."""

    backends: tuple[Backend, ...]
    prefix: str = "/"
    """The beginning of the paths, which is taken off. A GRPCRoute has none."""
    stamp: str = ""
    """What servers find in each request, as rollout_wire.ROUTE_HEADER; empty: nothing."""


@dataclass(frozen=True, slots=True)
class RouteSpec:
    """What a route is to be, or is."""

    parents: tuple[Parent, ...]
    hostnames: tuple[str, ...]
    rules: Rules | None
    """None: it is none that would have been made here."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What a controller of gateways says of a route at one of its parents."""

    parent: Parent
    accepted: str
    """True, False or Unknown; of the two conditions Accepted and ResolvedRefs the worse one."""
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class GatewayRoute:
    """The HTTPRoute or the GRPCRoute of a deployment."""

    name: str
    uid: str
    owner_uid: str
    version: int
    said: RouteSpec
    taken: tuple[Taken, ...] = ()
    deleting: bool = False


@dataclass(frozen=True, slots=True)
class Gateways:
    """Whether there may be routes."""

    enabled: bool = False
    """Whether the operator's settings, and so its rights, are for it."""
    http: bool = False
    """Whether the API server serves HTTPRoutes."""
    grpc: bool = False
    """Whether it serves GRPCRoutes."""


@dataclass(frozen=True, slots=True)
class KServe:
    """Whether there may be InferenceServices."""

    enabled: bool = False
    """Whether the operator's settings, and so its rights, are for them."""
    served: bool = False
    """Whether the API server serves them, too."""


@dataclass(frozen=True, slots=True)
class ServerPod:
    """A pod of a version, as far as it tells why it is not ready."""

    name: str
    ready: bool
    restarts: int
    """How often one of its containers has been started again."""
    waiting: str = ""
    """The reason for which a container does not run, beyond the ordinary."""
    words: str = ""
    """What that reason, the scheduler, or a container at its last end said."""


@dataclass(frozen=True, slots=True)
class Defaults:
    """What the operator's own settings give to deployments that do not say."""

    image: str | None = None


@dataclass(frozen=True, slots=True)
class Situation:
    """A deployment, and all that is known about it."""

    name: str
    namespace: str
    uid: str
    generation: int
    now: float
    status: ModelDeploymentStatus
    spec: ModelDeploymentSpec | None
    """None where it is not valid."""
    problems: tuple[str, ...] = ()
    workloads: Mapping[int, Workload] = field(default_factory=dict)
    """By the number of the version; the judge's is not among them."""
    fronts: Mapping[int, Front] = field(default_factory=dict)
    refusals: Mapping[str, Refusal] = field(default_factory=dict)
    verified: bool = False
    """Whether what exists was read for this decision."""
    pods: Mapping[int, tuple[ServerPod, ...]] = field(default_factory=dict)
    """Of the versions whose pods were read for this decision."""
    defaults: Defaults = Defaults()
    rollout: RolloutRecord | None = None
    """None: there is none yet, or none any more."""
    judge: Workload | None = None
    """The judge's Deployment."""
    holder: Workload | None = None
    """The Deployment of the holder."""
    autoscaler: Autoscaler | None = None
    """None: there is none."""
    kserve: KServe = KServe()
    gateways: Gateways = Gateways()
    http_route: GatewayRoute | None = None
    """None: there is none."""
    grpc_route: GatewayRoute | None = None
    offers: tuple[Offer, ...] = ()
    """What jobs have published for it, in no order."""


@dataclass(frozen=True, slots=True)
class Ways:
    """The routes of gateways that are to be there, and what becomes of those that are."""

    http: RouteSpec | None = None
    """None: no HTTPRoute is to be there, unless `keep`."""
    grpc: RouteSpec | None = None
    keep: bool = False
    """Whether a route that is there, and not wanted by the above, stays as it is."""


@dataclass(frozen=True, slots=True)
class Next:
    """What has to be read before it can be decided, or else when to look again."""

    verify: bool = False
    look_at: int | None = None
    wake: float | None = None

    @property
    def reads(self) -> bool:
        """Whether anything has to be read."""
        return self.verify or self.look_at is not None


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done. Where versions change places only that is written; what follows from it is done next."""

    status: ModelDeploymentStatus
    moved: bool = False
    """Whether a version has begun, or has another place than before."""
    verify: bool = False
    """What exists is to be read first."""
    look_at: frozenset[int] = frozenset()
    """The versions whose pods are to be read first."""
    replicas: Mapping[int, int] = field(default_factory=dict)
    """The versions that are to have pods, and how many."""
    target: int | None = None
    """The version that clients are sent to; None: leave that as it is."""
    remove: tuple[int, ...] = ()
    """The versions whose objects are to go."""
    route: Route | None = None
    """What servers are to be told; None: nothing, and the objects by which that is done are not needed."""
    judge: bool = False
    """Whether the judge's pod is to be there."""
    ways: Ways = Ways()
    load: bool = False
    """Whether it is to tell how busy servers are."""
    watch: Watch | None = None
    """What it is to watch for drift; None: nothing."""
    hold: bool = False
    """Whether there is to be a holder."""
    asleep: bool = False
    """Whether clients are sent to the holder."""
    wake: float | None = None
    notices: tuple[Notice, ...] = ()
