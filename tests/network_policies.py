"""What NetworkPolicies let through, as Kubernetes defines it: where a network enforces them, and this one may not.

It knows what Headway and its pages use: selectors of pods and namespaces, and ports by number or name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Policy = dict[str, Any]


@dataclass(frozen=True)
class Pod:
    """A pod, as policies see it."""

    namespace: str
    labels: dict[str, str]
    ports: dict[str, int] = field(default_factory=dict)
    """Those that have a name."""


def lets_through(policies: Iterable[Policy], source: Pod, target: Pod, port: int) -> bool:
    """Whether one pod reaches a TCP port of another: the policies of both have to allow it."""
    given = list(policies)
    return all(_allowed(given, way, source, target, port) for way in ("Egress", "Ingress"))


def _allowed(policies: list[Policy], way: str, source: Pod, target: Pod, port: int) -> bool:
    """Whether the policies of one end allow the connection; with none of that way everything is allowed."""
    of, other = (source, target) if way == "Egress" else (target, source)
    chosen = [each for each in policies if way in each["spec"]["policyTypes"] and _is_about(each, of)]
    peer = "to" if way == "Egress" else "from"
    rules = [(each, rule) for each in chosen for rule in each["spec"].get(way.lower()) or []]
    return not chosen or any(
        _has_peer(rule.get(peer), policy, other) and _has_port(rule.get("ports"), port, target)
        for policy, rule in rules
    )


def _is_about(policy: Policy, pod: Pod) -> bool:
    return policy["metadata"]["namespace"] == pod.namespace and _fits(policy["spec"]["podSelector"], pod.labels)


def _has_peer(peers: list[dict[str, Any]] | None, policy: Policy, other: Pod) -> bool:
    if not peers:
        return True
    for peer in peers:
        if unknown := set(peer) - {"podSelector", "namespaceSelector"}:
            raise AssertionError(f"nobody has told this test of {unknown}")
        namespace = {"kubernetes.io/metadata.name": other.namespace}
        own = policy["metadata"]["namespace"] == other.namespace
        near = _fits(peer["namespaceSelector"], namespace) if "namespaceSelector" in peer else own
        if near and _fits(peer.get("podSelector", {}), other.labels):
            return True
    return False


def _has_port(ports: list[dict[str, Any]] | None, port: int, listener: Pod) -> bool:
    return not ports or any(
        each.get("protocol", "TCP") == "TCP" and listener.ports.get(str(each["port"]), each["port"]) == port
        for each in ports
    )


def _fits(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    if unknown := set(selector) - {"matchLabels", "matchExpressions"}:
        raise AssertionError(f"nobody has told this test of {unknown}")
    expressions = selector.get("matchExpressions", [])
    assert all(each["operator"] == "In" for each in expressions), "nobody has told this test of others"
    return all(labels.get(name) == value for name, value in selector.get("matchLabels", {}).items()) and all(
        labels.get(each["key"]) in each["values"] for each in expressions
    )
