"""The kind ModelDeployment: finished models at work, one version of them at a time in front of the clients."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from headway_api.autoscaling import MOST_REPLICAS, Autoscaling
from headway_api.base import Rule, Section, all_different, formed
from headway_api.deployment_status import MOST_KEPT, ModelDeploymentStatus
from headway_api.gateway import Gateway, Route
from headway_api.job import NAME_MAX_LENGTH, ObjectMeta
from headway_api.monitoring import Monitoring
from headway_api.rollout import Rollout
from headway_api.served import ModelSource, Server

VERSION_LENGTH = NAME_MAX_LENGTH + 10
KSERVE_NAME_LENGTH = 35
"""KServe puts `isvc.` before the name of a version's InferenceService, and `-predictor` behind it, into one label: this
leaves room for the uid's part and the numbers of a million versions."""
MOST_KSERVE_REPLICAS = 100
"""Of one version: they are listed whenever a decision is made, as KServe does not tell how many are ready."""

VersionName = Annotated[
    str,
    formed(
        r"^[a-z]([-a-z0-9]*[a-z0-9])?-[1-9][0-9]{0,8}$",
        "must be the name of a version as the status has it, for example digits-3",
        max_length=VERSION_LENGTH,
    ),
]


class Versions(Section):
    """Which version is wanted, and what is asked of versions by name.

    A name asks once: where it does not name what it is meant for, it changes nothing, so it may stay in the file.
    """

    source: ModelSource | None = None
    """The model that is wanted, whatever jobs publish; if absent, the newest that a TrainingJob has published here.

    Another model makes a new version, which has to prove itself before it gets requests.
    """
    pin: VersionName | None = None
    """A version that is kept which is to answer in place of what `source` and `server` say, until this is taken out."""
    approve: VersionName | None = None
    """A candidate that may take the old version's place, where `rollout.approval` is manual and it is good enough."""
    abort: VersionName | None = None
    """A candidate that is to be given up."""
    retry: Annotated[
        list[VersionName],
        AfterValidator(all_different),
        Field(max_length=MOST_KEPT, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ] = Field(default_factory=list)
    """Rejected versions of which the like may be tried once more, as another version."""
    keep: Annotated[int, Field(ge=1, le=MOST_KEPT)] = 3
    """How many versions without pods are remembered: those before the present one, and rejected ones."""


def _drawn_by_servers(spec: ModelDeploymentSpec) -> bool:
    return spec.rollout.ab_test is None or spec.gateway is None or spec.gateway.split == "servers"


def _grpc_answered(spec: ModelDeploymentSpec) -> bool:
    return spec.gateway is None or spec.gateway.grpc is None or spec.server.grpc


def _bounded_below(spec: ModelDeploymentSpec) -> bool:
    scaling = spec.autoscaling
    if scaling is None or scaling.target_in_flight is None:
        return True
    return 5 * scaling.target_in_flight <= 4 * spec.server.limits.max_in_flight


def _held(spec: ModelDeploymentSpec) -> bool:
    if spec.autoscaling is None or spec.autoscaling.min > 0:
        return True
    return not spec.server.grpc and (spec.gateway is None or spec.gateway.split == "servers")


def _never_without(spec: ModelDeploymentSpec) -> bool:
    if spec.server.backend is None:
        return True
    return spec.rollout.recreate is None and (spec.autoscaling is None or spec.autoscaling.min > 0)


def _counted(spec: ModelDeploymentSpec) -> bool:
    if spec.server.backend is None:
        return True
    most = spec.autoscaling.max if spec.autoscaling is not None else 0
    return max(spec.replicas, most) <= MOST_KSERVE_REPLICAS


def _short_enough(deployment: ModelDeployment) -> bool:
    return deployment.spec.server.backend is None or len(deployment.metadata.name) <= KSERVE_NAME_LENGTH


class ModelDeploymentSpec(Section):
    """Which model answers, with how many pods, and how a new version comes to it."""

    rules = (
        Rule(
            cel="!has(self.route) || !has(self.route.gateway) || self.route.gateway.split == 'servers' ||"
            " !has(self.rollout.abTest)",
            message="route.gateway.split is gateway with rollout.abTest, where the same users have to meet the same"
            " version, which the weights of a route do not keep to: set split to servers, or take canary",
            holds=_drawn_by_servers,
            field="route",
        ),
        Rule(
            cel="!has(self.route) || !has(self.route.gateway) || !has(self.route.gateway.grpc) || self.server.grpc",
            message="route.gateway.grpc needs server.grpc: true, without which nobody answers there: set it, or take"
            " grpc out of the gateway",
            holds=_grpc_answered,
            field="route",
        ),
        Rule(
            cel="!has(self.autoscaling) || !has(self.autoscaling.targetInFlight) || "
            "5 * self.autoscaling.targetInFlight <= 4 * self.server.limits.maxInFlight",
            message="autoscaling.targetInFlight must be at most 80 % of server.limits.maxInFlight (64 if absent): pods"
            " refuse what is beyond that, so there would never be a reason for more of them",
            holds=_bounded_below,
            field="autoscaling",
        ),
        Rule(
            cel="!has(self.autoscaling) || self.autoscaling.min > 0 || !self.server.grpc && (!has(self.route) || "
            "!has(self.route.gateway) || self.route.gateway.split == 'servers')",
            message="autoscaling.min: 0 is neither for server.grpc nor for route.gateway.split: gateway: requests are"
            " held by REST, at the clients' Service, and nowhere else; set min to 1",
            holds=_held,
            field="autoscaling",
        ),
        Rule(
            cel="!has(self.server.backend) || !has(self.rollout.recreate) && "
            "(!has(self.autoscaling) || self.autoscaling.min > 0)",
            message="server.backend: kserve is neither for rollout.recreate nor for autoscaling.min: 0, which take the"
            " last pod of a version away and keep the version: an InferenceService is never left without pods; take"
            " another rollout, set min to 1, or take backend out",
            holds=_never_without,
            field="server",
        ),
        Rule(
            cel=f"!has(self.server.backend) || self.replicas <= {MOST_KSERVE_REPLICAS} && "
            f"(!has(self.autoscaling) || self.autoscaling.max <= {MOST_KSERVE_REPLICAS})",
            message=f"server.backend: kserve takes replicas and autoscaling.max of up to {MOST_KSERVE_REPLICAS}, as the"
            " operator counts these pods one by one: lower them, or take backend out",
            holds=_counted,
            field="server",
        ),
    )

    suspend: bool = False
    """Whether versions are left as they are: none begins, none is promoted, rejected or taken away. Pods stay."""
    versions: Versions = Versions()
    """Versions."""
    server: Server = Server()
    """The pods."""
    replicas: Annotated[int, Field(ge=1, le=MOST_REPLICAS)] = 1
    """How many pods answer; `kubectl scale` and autoscalers set it. One more than is needed lets a node be drained.

    With `autoscaling.targetInFlight`: how many there are at first. Another number that is written here later is kept to
    at once, within `min` and `max`, and the load decides from there.
    """
    autoscaling: Autoscaling | None = None
    """By what the number of pods follows; if absent, `replicas` says it, which people and other autoscalers set."""
    rollout: Rollout = Rollout()
    """Rollouts."""
    route: Route | None = None
    """Ways in from outside the cluster; none if absent."""
    monitoring: Monitoring | None = None
    """What is watched of the requests; nothing if absent."""

    @property
    def gateway(self) -> Gateway | None:
        """How the Gateway API leads requests here, if it does."""
        return self.route.gateway if self.route is not None else None


class ModelDeployment(Section):
    """A model that answers requests."""

    rules = (
        Rule(
            cel=f"!has(self.spec.server.backend) || self.metadata.name.size() <= {KSERVE_NAME_LENGTH}",
            message=f"metadata.name is longer than {KSERVE_NAME_LENGTH} characters, which spec.server.backend: kserve"
            " takes at most, as KServe makes longer names of it: choose a shorter one, or take backend out",
            holds=_short_enough,
            field="spec",
        ),
    )

    api_version: Literal["headway.dev/v1alpha1"]
    """The API's group and version."""
    kind: Literal["ModelDeployment"]
    """The kind."""
    metadata: ObjectMeta
    """The deployment's name, which is that of its Service; namespace, labels and annotations."""
    spec: ModelDeploymentSpec
    """Which model answers, with how many pods, and how a new version comes to it."""
    status: ModelDeploymentStatus | None = None
    """How the deployment is doing; the operator writes it."""
