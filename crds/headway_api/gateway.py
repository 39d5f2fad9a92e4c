"""`spec.route` of a ModelDeployment: how requests from outside the cluster come to it, by the Gateway API."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from headway_api.base import DnsName, Rule, Section, all_different, formed

MOST_PARENTS = 8
MOST_HOSTNAMES = 16
Hostname = Annotated[
    str,
    formed(
        r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        "must be a host's name in lower case, for example models.example.com or *.example.com, without port or path",
        max_length=253,
    ),
]
Hostnames = Annotated[
    list[Hostname],
    AfterValidator(all_different),
    Field(max_length=MOST_HOSTNAMES, json_schema_extra={"x-kubernetes-list-type": "set"}),
]
Label = Annotated[
    str,
    formed(
        r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        "must be lower-case letters, digits and '-', and begin and end with a letter or digit",
        max_length=63,
    ),
]


class ParentRef(Section):
    """A Gateway that the route is to be part of, or one of its listeners."""

    name: DnsName
    """The Gateway's name."""
    namespace: Label | None = None
    """The Gateway's namespace; the deployment's own if absent. Its listeners say from which they take routes."""
    section_name: DnsName | None = None
    """The name of one of its listeners; all that take such routes if absent."""
    port: Annotated[int, Field(ge=1, le=65_535)] | None = None
    """The port of its listeners; all if absent."""


Parents = Annotated[
    list[ParentRef],
    Field(min_length=1, max_length=MOST_PARENTS, json_schema_extra={"x-kubernetes-list-type": "atomic"}),
]


_NO_TWO_ALIKE = Rule(
    cel="!has(self.parentRefs) || self.parentRefs.all(one, self.parentRefs.exists_one(other, other == one))",
    message="parentRefs names a Gateway, with the same listener, twice: take one out",
    holds=lambda section: all((section.parent_refs or []).count(each) == 1 for each in section.parent_refs or []),
    field="parentRefs",
)


class GrpcGateway(Section):
    """How requests by gRPC come in. A listener takes a host's name for REST or for gRPC, but not for both."""

    rules = (_NO_TWO_ALIKE,)

    parent_refs: Parents | None = None
    """Gateways; those of REST if absent, and then `hostnames` have to be others than those of REST."""
    hostnames: Hostnames = Field(default_factory=list)
    """The names of hosts whose requests come here; all that the listeners have if empty."""


def _apart(gateway: Any) -> bool:
    if gateway.grpc is None or gateway.grpc.parent_refs is not None:
        return True
    both = gateway.hostnames, gateway.grpc.hostnames
    return all(both) and not set(both[0]) & set(both[1])


class Gateway(Section):
    """An HTTPRoute `NAME-route` that the operator makes, and a GRPCRoute of the same name where `grpc` is set.

    They lead to the clients' Service. The cluster has to have the Gateway API with a gateway of any make, and the
    chart's `gatewayApi.enabled`.
    """

    rules = (
        _NO_TWO_ALIKE,
        Rule(
            cel="!has(self.grpc) || has(self.grpc.parentRefs) || (has(self.hostnames) && has(self.grpc.hostnames) &&"
            " self.hostnames.size() > 0 && self.grpc.hostnames.size() > 0 &&"
            " !self.hostnames.exists(host, host in self.grpc.hostnames))",
            message="grpc needs hostnames of its own, and hostnames for REST beside them, as a listener takes a host's"
            " name for one of the two alone: name different ones in both, or set grpc.parentRefs",
            holds=_apart,
            field="grpc",
        ),
    )

    parent_refs: Parents
    """Gateways, or listeners of them."""
    hostnames: Hostnames = Field(default_factory=list)
    """The names of hosts whose requests come here; all that the listeners have if empty."""
    path_prefix: Annotated[
        str,
        formed(
            r"^/$|^(/[-A-Za-z0-9_~][-A-Za-z0-9._~]*)+$",
            "must be / or parts of letters, digits and -._~ that begin with '/' and no dot, for example /models/digits",
            max_length=256,
        ),
    ] = "/"
    """The beginning of the paths whose requests come here: it is taken off, so servers see /v2/... behind it."""
    grpc: GrpcGateway | None = None
    """For versions with `server.grpc`; no gateway leads to their gRPC port if absent."""
    split: Literal["servers", "gateway"] = "servers"
    """Who splits the requests of a canary.

    servers: the old version's servers, as without a gateway: for all clients, and what the new version fails at is
    answered by the old one. gateway: the weights of the route, for what comes by it alone; a request that the new
    version fails at has failed. Copies (shadow, agreement) are always the servers' work.
    """


class Route(Section):
    """How requests come in from outside the cluster."""

    gateway: Gateway | None = None
    """By the Gateway API."""
