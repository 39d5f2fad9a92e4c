"""The routes of gateways: where they lead, and whether gateways take them.

Where a gateway splits, its weights are the shares. A share whose Service has nobody behind it is answered with 503, and
not by the other version: so a weight rises while all pods of the candidate are ready, and is 0 as soon as none is.
"""

from __future__ import annotations

from headway_api.deployment import ModelDeploymentSpec
from headway_api.deployment_status import DeploymentCondition, RolloutStatus, Version
from headway_api.gateway import Gateway, ParentRef
from headway_api.served import GRPC_PORT
from headway_operator.serving import names
from headway_operator.serving.plan import verdict
from headway_operator.serving.plan.book import Book
from headway_operator.serving.plan.model import (
    Backend,
    GatewayRoute,
    Parent,
    RouteSpec,
    Rules,
    Situation,
    Taken,
    Ways,
)

NEEDED = "clients within the cluster use the Service all the same"


def of(spec: ModelDeploymentSpec | None) -> Gateway | None:
    """What the spec asks for."""
    return spec.gateway if spec is not None else None


def splits(spec: ModelDeploymentSpec, rollout: RolloutStatus) -> bool:
    """Whether the weights of a route are to be the shares at present, and servers are not to draw."""
    gateway = of(spec)
    asked = gateway is not None and gateway.split == "gateway"
    return asked and rollout.mode == "canary" and rollout.stage == "Splitting"


def ways(situation: Situation, book: Book) -> Ways:
    """The routes that are to be there."""
    gateway, champion = of(situation.spec), book.champion
    if situation.spec is None:
        # Nobody knows where they should be, but whoever uses them is one of the clients.
        http = _as_it_is(situation, situation.http_route, names.CLIENT_PORT)
        return Ways(http, _as_it_is(situation, situation.grpc_route, GRPC_PORT), keep=True)
    if gateway is None:
        return Ways()
    if champion is None:
        return Ways(keep=True)
    http = RouteSpec(
        _parents(gateway.parent_refs),
        tuple(gateway.hostnames),
        _rules(situation, book, situation.http_route, names.CLIENT_PORT, gateway.path_prefix),
    )
    if gateway.grpc is None or not champion.server.grpc:
        return Ways(http)
    grpc = RouteSpec(
        _parents(gateway.grpc.parent_refs or gateway.parent_refs),
        tuple(gateway.grpc.hostnames),
        _rules(situation, book, situation.grpc_route, GRPC_PORT, "/"),
    )
    return Ways(http, grpc)


def _as_it_is(situation: Situation, route: GatewayRoute | None, port: int) -> RouteSpec | None:
    """A route of which nothing is known but that it leads to the clients' Service, and to no candidate any more: which
    of its backends that is tells their name, as they may stand in any order."""
    if route is None or route.said.rules is None:
        return None
    rules = Rules((Backend(situation.name, port),), route.said.rules.prefix)
    return RouteSpec(route.said.parents, route.said.hostnames, rules)


def _rules(situation: Situation, book: Book, route: GatewayRoute | None, port: int, prefix: str) -> Rules:
    clients = Backend(situation.name, port)
    rollout, candidate = book.rollout, book.candidate
    if situation.spec is None or rollout is None or candidate is None or not splits(situation.spec, rollout):
        return Rules((clients,), prefix)
    if verdict.failure(situation, rollout.number) is not None:
        # Also where nothing may move, as spec.suspend says: servers, too, are told by the judge then.
        return Rules((clients,), prefix)
    other = names.object_name(situation.name, situation.uid, rollout.number)
    weight = _weight(situation, candidate, rollout.weight, _given(route, other))
    if port == GRPC_PORT and not candidate.server.grpc:
        weight = 0
    if weight == 0:
        return Rules((clients,), prefix)
    shared = Backend(situation.name, port, 100 - weight), Backend(other, port, weight)
    # At another weight than the servers know of, what the gateway draws is no evidence: it is not stamped.
    return Rules(shared, prefix, str(rollout.epoch) if weight == rollout.weight else "")


def _given(route: GatewayRoute | None, backend: str) -> int:
    """The weight that a backend has at present."""
    rules = route.said.rules if route is not None else None
    return next((each.weight for each in rules.backends if each.name == backend), 0) if rules is not None else 0


def _weight(situation: Situation, candidate: Version, wanted: int, given: int) -> int:
    """The candidate's weight: lowered at once, raised while all its pods are ready, and 0 while none is."""
    workload, front = situation.workloads.get(candidate.number), situation.fronts.get(candidate.number)
    if workload is None or workload.deleting or front is None or front.deleting or workload.ready == 0:
        return 0
    return wanted if wanted <= given or workload.complete else given


def _parents(refs: list[ParentRef]) -> tuple[Parent, ...]:
    return tuple(Parent(ref.name, ref.namespace or "", ref.section_name or "", ref.port or 0) for ref in refs)


Said = tuple[str, str, str]


def accepted(situation: Situation, book: Book) -> Said | None:
    """The condition RouteAccepted: status, reason and message; None where no route is asked for."""
    gateway = of(situation.spec)
    if situation.spec is None:
        before = _said(situation)
        return (before.status, before.reason, before.message) if before is not None else None
    if gateway is None:
        return None
    lacking = _lacking(situation, gateway)
    if lacking is not None:
        return lacking
    if book.champion is None:
        return "Unknown", "NoVersion", "the route is made once a version answers"
    refusal = situation.refusals.get(names.route_name(situation.name))
    if refusal is not None:
        return "False", "Refused", f"the route {names.route_name(situation.name)} is refused: {refusal.message}"
    found = [_told("HTTPRoute", situation.http_route, _parents(gateway.parent_refs))]
    if gateway.grpc is not None and book.champion.server.grpc:
        found.append(
            _told("GRPCRoute", situation.grpc_route, _parents(gateway.grpc.parent_refs or gateway.parent_refs))
        )
    order = {"False": 0, "Unknown": 1, "True": 2}
    return min(found, key=lambda said: order[said[0]])


def _said(situation: Situation) -> DeploymentCondition | None:
    """What the status says so far."""
    return next((each for each in situation.status.conditions if each.type == "RouteAccepted"), None)


def _lacking(situation: Situation, gateway: Gateway) -> Said | None:
    """What of the cluster or the installation there has to be for a route, and is not."""
    has = situation.gateways
    if not has.enabled:
        text = "the operator has no right to make routes of gateways: set gatewayApi.enabled in the chart's values"
        return "False", "NotEnabled", f"{text}; {NEEDED}"
    kinds = [("httproutes", has.http)]
    if gateway.grpc is not None:
        kinds.append(("grpcroutes", has.grpc))
    absent = [name for name, served in kinds if not served]
    if absent:
        text = f"the API server does not serve {' and '.join(absent)} of gateway.networking.k8s.io/v1"
        return "False", "NotServed", f"{text}: install the CRDs of the Gateway API, 1.1 or newer; {NEEDED}"
    return None


def _told(kind: str, route: GatewayRoute | None, parents: tuple[Parent, ...]) -> Said:
    if route is None or route.deleting:
        return "Unknown", "Pending", f"the {kind} is about to be made"
    heard: list[Taken] = []
    for parent in parents:
        words = [each for each in route.taken if each.parent == parent]
        if not words:
            text = f"no gateway has said anything of the {kind} {route.name} at {_called(parent)}"
            return "Unknown", "Unheard", f"{text}: is there a Gateway of that name, and a controller for its class?"
        heard += words
    bad = next((each for each in heard if each.accepted == "False"), None)
    if bad is not None:
        return "False", bad.reason, f"the {kind} {route.name} at {_called(bad.parent)}: {bad.message or bad.reason}"
    silent = next((each for each in heard if each.accepted != "True"), None)
    if silent is not None:
        return "Unknown", silent.reason, f"the {kind} {route.name} at {_called(silent.parent)}: {silent.message}"
    return "True", "Accepted", ""


def _called(parent: Parent) -> str:
    where = f"{parent.namespace}/{parent.name}" if parent.namespace else parent.name
    return f"the Gateway {where}" + (f", listener {parent.section}" if parent.section else "")


def obstacle(situation: Situation, rollout: RolloutStatus) -> str | None:
    """Why a gateway that is to split does not; None if it does."""
    spec = situation.spec
    if spec is None or not splits(spec, rollout):
        return None
    told = _said(situation)
    if told is not None and told.status == "False":
        return f"no gateway splits the requests: {told.message}"
    return None
