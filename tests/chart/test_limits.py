"""What limits the operator's account beyond RBAC: nothing that it may create or delete is without a policy.

That the policies refuse what they should and let the operator work is for the tests before a real API server.
"""

from __future__ import annotations

import json
import re
from itertools import product
from typing import Any

import pytest
import yaml

from harness import ROOT
from headway_operator.serving.routes import ELSEWHERE

from .conftest import NAMESPACE, Chart, Manifests

LIMITED = {"create": "CREATE", "delete": "DELETE", "patch": "UPDATE"}
FREE = {("events.k8s.io", "events", "CREATE")}
"""What an account may create anywhere; a Lease only beside the operator."""


def limits(manifests: Manifests) -> dict[str, dict[str, Any]]:
    """The policies on the operator's account, by what they are about."""
    prefix = "headway-operator-"
    return {
        found["metadata"]["name"].removeprefix(prefix): found["spec"]
        for found in manifests.kind("ValidatingAdmissionPolicy")
        if found["metadata"]["name"].startswith(prefix)
    }


@pytest.mark.parametrize("values", [{}, {"gatewayApi": {"enabled": True}}, {"kserve": {"enabled": True}}], ids=str)
def test_whatever_the_account_may_create_change_or_delete_is_limited(chart: Chart, values: dict[str, Any]) -> None:
    rendered = chart.render(values)
    granted = {
        (group, resource, LIMITED[verb])
        for rule in rendered.one("ClusterRole", "headway-jobs")["rules"]
        for group, resource, verb in product(rule["apiGroups"], rule["resources"], rule["verbs"])
        if verb in LIMITED and not resource.endswith("/status")
    }
    covered = {
        single
        for spec in limits(rendered).values()
        for rule in spec["matchConstraints"]["resourceRules"]
        for single in product(rule["apiGroups"], rule["resources"], rule["operations"])
    }
    assert covered == granted - FREE


def test_only_the_operators_account_is_looked_at_and_a_policy_that_fails_refuses(chart: Chart) -> None:
    for values in ({}, {"watchNamespaces": ["team-a"]}):
        manifests = chart.render(values)
        bindings = {found["spec"]["policyName"]: found for found in manifests.kind("ValidatingAdmissionPolicyBinding")}
        for name, spec in limits(manifests).items():
            (condition,) = spec["matchConditions"]
            account = f"system:serviceaccount:{NAMESPACE}:{manifests.one('ServiceAccount')['metadata']['name']}"
            assert condition["expression"] == f"request.userInfo.username == '{account}'"
            assert spec["failurePolicy"] == "Fail"
            bound = bindings[f"headway-operator-{name}"]["spec"]
            assert bound == {"policyName": f"headway-operator-{name}", "validationActions": ["Deny"]}, "everywhere"


def test_objects_belong_to_a_kind_of_the_chart(default: Manifests) -> None:
    kinds = [
        yaml.safe_load(path.read_text())["spec"]["names"]["kind"] for path in sorted((ROOT / "crds").glob("*.yaml"))
    ]
    for limit in ("objects", "deletions"):
        text = str(limits(default)[limit]["validations"])
        assert f"owner.kind in {json.dumps(kinds, separators=(',', ':'))}" in text


def test_what_templates_may_ask_for_is_the_values(chart: Chart, default: Manifests) -> None:
    def rules(manifests: Manifests) -> str:
        return str(limits(manifests)["pods"]["validations"])

    assert '["","default","headway-trainer"]' in rules(default)
    assert "hostPath" in rules(default)
    named = rules(chart.render({"trainer": {"serviceAccounts": ["lake-reader"]}}))
    assert '["","default","headway-trainer","lake-reader"]' in named
    assert "serviceAccountName" not in rules(chart.render({"trainer": {"serviceAccounts": ["*"]}}))
    assert "hostPath" not in rules(chart.render({"trainer": {"hostAccess": True}}))
    assert "pods" not in limits(chart.render({"trainer": {"hostAccess": True, "serviceAccounts": ["*"]}}))


def test_a_filter_that_a_webhook_adds_to_a_route_keeps_the_operator_from_no_change_of_it(chart: Chart) -> None:
    routes = limits(chart.render({"gatewayApi": {"enabled": True}}))["routes"]
    (rule,) = (each["expression"] for each in routes["validations"] if "filter.type" in each["expression"])
    allowed = set(re.findall(r"'(\w+)'", rule))
    assert {"URLRewrite", "RequestHeaderModifier", "ExtensionRef"} <= allowed
    assert not allowed & set(ELSEWHERE)
