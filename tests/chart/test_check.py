"""What `helm test` runs: the script asks for each right in the rules, and says which is missing."""

from __future__ import annotations

import importlib.util
import io
import json
from email.message import Message
from typing import Any
from urllib.error import HTTPError

import pytest

from .conftest import CHART, Chart, Manifests

RULES = [
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "create"]},
    {"apiGroups": ["headway.dev"], "resources": ["trainingjobs/status"], "verbs": ["patch"]},
    {"apiGroups": ["x"], "resources": ["clusterroles"], "resourceNames": ["headway-trainer"], "verbs": ["bind"]},
]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    """files/check.py as a module, before an API server that refuses what is named in `refused` (verb, resource).

    `limits`: what it says to an object that is no job's; None if it takes it.
    """
    spec = importlib.util.spec_from_file_location("check", CHART / "files/check.py")
    assert spec
    assert spec.loader
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.refused, module.asked, module.limits = set(), [], "ValidatingAdmissionPolicy ... denied request"

    def call(path: str, body: dict[str, Any] | None = None) -> Any:
        if body is None:
            assert path.startswith("/apis/")
            return {"items": []}
        if body["kind"] == "ConfigMap":
            assert path.endswith("?dryRun=All"), "nothing is made"
            if module.limits is not None:
                raise HTTPError(path, 403, "Forbidden", Message(), io.BytesIO(module.limits.encode()))
            return body
        wanted = body["spec"]["resourceAttributes"]
        module.asked.append(wanted)
        return {"status": {"allowed": (wanted["verb"], wanted["resource"]) not in module.refused}}

    monkeypatch.setattr(module, "call", call)
    return module


def test_each_verb_resource_and_name_is_asked_for_once(script: Any) -> None:
    asked = [(a["verb"], a["resource"], a["subresource"], a["name"]) for a in script.attributes(RULES)]
    assert asked == [
        ("get", "pods", "", ""),
        ("create", "pods", "", ""),
        ("patch", "trainingjobs", "status", ""),
        ("bind", "clusterroles", "", "headway-trainer"),
    ]


@pytest.mark.parametrize(
    ("namespaces", "where"), [([], ["in all namespaces"]), (["a", "b"], ["in namespace a", "in namespace b"])]
)
def test_a_missing_right_is_named_for_each_namespace(script: Any, namespaces: list[str], where: list[str]) -> None:
    script.refused = {("patch", "trainingjobs")}
    assert list(script.missing(RULES, namespaces)) == [f"may not patch trainingjobs/status {place}" for place in where]
    assert {asked["namespace"] for asked in script.asked} == set(namespaces or [""])


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ("ValidatingAdmissionPolicy 'headway-operator-objects' denied request: ...", None),
        (None, "policies are not in force"),
        ("etcd is away", "cannot be told: etcd is away"),
    ],
)
def test_an_account_that_nothing_limits_is_a_fault(script: Any, said: str | None, fault: str | None) -> None:
    script.limits = said
    faults = list(script.unlimited("team-a"))
    assert len(faults) == (fault is not None)
    assert fault is None or fault in faults[0]


def test_all_faults_are_printed_and_the_pod_fails(
    script: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script.refused = {("create", "pods")}
    # Nothing listens on port 9 of this machine: the operator is not ready.
    monkeypatch.setattr("sys.argv", ["-c", json.dumps(RULES), "[]", "http://127.0.0.1:9"])
    assert script.main() == 1
    out = capsys.readouterr().out
    assert "the operator is not ready: http://127.0.0.1:9/readyz" in out
    assert "may not create pods in all namespaces" in out


def test_the_pod_gets_the_script_the_operators_rules_and_the_health_port(chart: Chart, default: Manifests) -> None:
    for manifests, namespaces in ((default, []), (chart.render({"watchNamespaces": ["team-a"]}), ["team-a"])):
        pod = manifests.one("Pod")
        code, rules, watched, url = pod["spec"]["containers"][0]["args"]
        role = "Role" if namespaces else "ClusterRole"
        assert code == (CHART / "files/check.py").read_text()
        assert json.loads(rules) == manifests.one(role, "headway-jobs")["rules"]
        assert json.loads(watched) == namespaces
        service = manifests.one("Service")
        assert url == f"http://{service['metadata']['name']}.headway-system:8081"
        assert 8081 in {port["port"] for port in service["spec"]["ports"]}
        assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
