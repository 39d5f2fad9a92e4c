"""What the chart lets the operator do with the objects of its kinds is what the kinds need, and no more."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from headway_operator.engine.kinds import Kind
from headway_operator.runtime import Operator
from headway_operator.settings import Settings

from .conftest import Chart, Manifests

EVENTS = ("events.k8s.io", "events")
"""Posted for people, and read for what autoscalers say, whatever the kind."""
Rights = dict[tuple[str, str], set[str]]


def needed(kinds: tuple[Kind, ...]) -> Rights:
    """By group and resource: the verbs that follow from what kinds say of themselves."""
    rights: Rights = defaultdict(set)
    for kind in kinds:
        own = kind.resource
        rights[own.group, own.plural] |= {"get", "list", "watch"} | ({"delete"} if kind.expires else set())
        rights[own.group, f"{own.plural}/status"] |= {"patch"}
        for child in kind.children:
            rights[child.resource.group, child.resource.plural] |= {"get", "list", "watch", "create", "delete"}
        for resource in kind.changes:
            rights[resource.group, resource.plural] |= {"patch"}
        for resource in kind.lists:
            rights[resource.group, resource.plural] |= {"list"}
        for resource in kind.makes:
            rights[resource.group, resource.plural] |= {"get", "create", "delete"}
        for resource in kind.shares:
            rights[resource.group, resource.plural] |= {"create"}
    rights[EVENTS] |= {"create", "list"}
    return dict(rights)


def given(rules: list[dict[str, Any]]) -> Rights:
    """The same of a role's rules; what names its objects is another matter."""
    rights: Rights = defaultdict(set)
    for rule in rules:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                if not rule.get("resourceNames"):
                    rights[group, resource] |= set(rule["verbs"])
    return dict(rights)


def test_the_rows_of_the_role_follow_from_the_kinds(default: Manifests) -> None:
    kinds = Operator(Settings()).kinds()
    role = default.one("ClusterRole", "headway-jobs")
    assert given(role["rules"]) == needed(kinds)


def test_the_rights_to_routes_of_gateways_come_with_the_value_that_has_them_made(chart: Chart) -> None:
    rendered = chart.render({"gatewayApi": {"enabled": True}})
    kinds = Operator(Settings(gateway_api=True)).kinds()
    assert given(rendered.one("ClusterRole", "headway-jobs")["rules"]) == needed(kinds)
    [operator] = rendered.one("Deployment")["spec"]["template"]["spec"]["containers"]
    assert {"name": "HEADWAY_GATEWAY_API", "value": "true"} in operator["env"]


def test_the_rights_to_inference_services_come_with_the_value_that_has_them_made(chart: Chart) -> None:
    rendered = chart.render({"kserve": {"enabled": True}})
    kinds = Operator(Settings(kserve=True)).kinds()
    assert given(rendered.one("ClusterRole", "headway-jobs")["rules"]) == needed(kinds)
    [operator] = rendered.one("Deployment")["spec"]["template"]["spec"]["containers"]
    assert {"name": "HEADWAY_KSERVE", "value": "true"} in operator["env"]


def test_no_kind_reads_secrets_that_it_does_not_name(default: Manifests) -> None:
    role = default.one("ClusterRole", "headway-jobs")
    assert given(role["rules"])["", "secrets"] & {"list", "watch", "patch", "update"} == set()
