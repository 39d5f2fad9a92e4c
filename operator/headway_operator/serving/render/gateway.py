"""The HTTPRoute and the GRPCRoute of a deployment. All that the API server would fill in is said."""

from __future__ import annotations

from typing import Any

from headway_api.rollout_wire import ROUTE_HEADER
from headway_operator.engine.kube import Resource
from headway_operator.serving import names
from headway_operator.serving.plan.model import Parent, RouteSpec, Rules
from headway_operator.serving.render.objects import Manifest, Of, metadata


def route(of: Of, resource: Resource, said: RouteSpec) -> Manifest:
    """A route."""
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": metadata(of, names.route_name(of.name)),
        "spec": {key: value for key, value in (place(said) | rules(resource, said)).items() if value},
    }


def place(said: RouteSpec) -> Manifest:
    """The part of a route's spec that says where it is part of; as a merge patch."""
    return {"parentRefs": [_parent(each) for each in said.parents], "hostnames": list(said.hostnames) or None}


def rules(resource: Resource, said: RouteSpec) -> Manifest:
    """The part of a route's spec that says where it leads."""
    return {"rules": [] if said.rules is None else [_rule(resource, said.rules)]}


def _parent(parent: Parent) -> Manifest:
    ref: Manifest = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": parent.name}
    more: dict[str, Any] = {"namespace": parent.namespace, "sectionName": parent.section, "port": parent.port}
    return ref | {key: value for key, value in more.items() if value}


def _rule(resource: Resource, said: Rules) -> Manifest:
    filters: list[Manifest] = []
    if said.prefix != "/":
        path = {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}
        filters.append({"type": "URLRewrite", "urlRewrite": {"path": path}})
    if said.stamp:
        header = {"name": ROUTE_HEADER, "value": said.stamp}
        filters.append({"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [header]}})
    backends = [
        {"group": "", "kind": "Service", "name": each.name, "port": each.port, "weight": each.weight}
        for each in said.backends
    ]
    rule: Manifest = {"backendRefs": backends}
    if resource.kind == "HTTPRoute":
        rule["matches"] = [{"path": {"type": "PathPrefix", "value": said.prefix}}]
    return rule | ({"filters": filters} if filters else {})
