"""values.yaml: each value is explained, known to the schema, and changes what is rendered; anything else is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import reduce
from typing import Any

import pytest
import yaml

from .conftest import CHART, Chart

VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())

CLAIM = {"defaultStorage.persistentVolumeClaim.name": "models"}
MADE_CLAIM = {**CLAIM, "defaultStorage.persistentVolumeClaim.create.namespaces": ["team-a"]}
DASHBOARDS = {"grafanaDashboards.enabled": True}
MONITOR = {"serviceMonitor.enabled": True}

# Each value, another one that it may have, and the values without which it has no say.
CHANGES: dict[str, tuple[Any, dict[str, Any]]] = {
    "operator.image": ("registry.example.com/operator@sha256:" + 64 * "0", {}),
    "operator.imagePullPolicy": ("Always", {}),
    "operator.replicas": (3, {}),
    "operator.resources": ({"requests": {"cpu": 1}, "limits": {"memory": "1Gi"}}, {}),
    "operator.logLevel": ("debug", {}),
    "operator.priorityClassName": ("high", {}),
    "operator.nodeSelector": ({"pool": "system"}, {}),
    "operator.tolerations": ([{"key": "pool", "operator": "Exists"}], {}),
    "operator.affinity": ({"nodeAffinity": {}}, {}),
    "operator.podLabels": ({"team": "ml"}, {}),
    "operator.podAnnotations": ({"note": "x"}, {}),
    "operator.env": ({"HEADWAY_RESYNC_SECONDS": "120"}, {}),
    "operator.serviceAccountAnnotations": ({"iam": "x"}, {}),
    "operator.podDisruptionBudget": (False, {}),
    "trainer.image": ("registry.example.com/trainer:1", {}),
    "trainer.imagePullPolicy": ("Never", {}),
    "trainer.serviceAccounts": (["lake-reader"], {}),
    "trainer.hostAccess": (True, {}),
    "server.image": ("registry.example.com/server:1", {}),
    "imagePullSecrets": ([{"name": "pull"}], {}),
    "watchNamespaces": (["team-a"], {}),
    "defaultStorage.uri": ("s3://models/headway", {}),
    "defaultStorage.secretName": ("writer", {"defaultStorage.uri": "s3://models/headway"}),
    "defaultStorage.persistentVolumeClaim.name": ("models", {}),
    "defaultStorage.persistentVolumeClaim.path": ("headway", CLAIM),
    "defaultStorage.persistentVolumeClaim.create.namespaces": (["team-a", "team-b"], CLAIM),
    "defaultStorage.persistentVolumeClaim.create.size": ("5Gi", MADE_CLAIM),
    "defaultStorage.persistentVolumeClaim.create.storageClassName": ("fast", MADE_CLAIM),
    "defaultStorage.persistentVolumeClaim.create.accessModes": (["ReadWriteOnce"], MADE_CLAIM),
    "gatewayApi.enabled": (True, {}),
    "kserve.enabled": (True, {}),
    "notifications.secretName": ("headway-webhooks", {}),
    "notifications.ports": ([443, 8443], {"networkPolicy.enabled": True, "notifications.secretName": "webhooks"}),
    "crds.install": (False, {}),
    "serviceMonitor.enabled": (True, {}),
    "serviceMonitor.interval": ("1m", MONITOR),
    "serviceMonitor.labels": ({"release": "prometheus"}, MONITOR),
    "metrics.jobs": ("off", {}),
    "metrics.jobsLimit": (5000, {}),
    "podMonitor.enabled": (True, {}),
    "podMonitor.interval": ("1m", {"podMonitor.enabled": True}),
    "podMonitor.labels": ({"release": "prometheus"}, {"podMonitor.enabled": True}),
    "prometheusRule.enabled": (True, {}),
    "prometheusRule.jobAlerts": (True, {"prometheusRule.enabled": True}),
    "prometheusRule.labels": ({"release": "prometheus"}, {"prometheusRule.enabled": True}),
    "grafanaDashboards.enabled": (True, {}),
    "grafanaDashboards.labels": ({"dashboards": "yes"}, DASHBOARDS),
    "grafanaDashboards.annotations": ({"folder": "ML"}, DASHBOARDS),
    "grafanaDashboards.namespace": ("monitoring", DASHBOARDS),
    "grafanaDashboards.grafanaOperator.enabled": (True, {}),
    "grafanaDashboards.grafanaOperator.matchLabels": (
        {"team": "ml"},
        {"grafanaDashboards.grafanaOperator.enabled": True},
    ),
    "networkPolicy.enabled": (True, {}),
    "networkPolicy.apiServerPorts": ([16443], {"networkPolicy.enabled": True}),
}

# What is refused, and the words that its message must have.
REFUSALS: list[tuple[dict[str, Any], list[str]]] = [
    ({"replicas": 3}, ["replicas", "not allowed"]),
    ({"operator.replica": 3}, ["/operator", "replica", "not allowed"]),
    ({"operator.replicas": "two"}, ["/operator/replicas", "integer"]),
    ({"operator.replicas": -1}, ["/operator/replicas", "0"]),
    ({"operator.image": ""}, ["/operator/image"]),
    ({"operator.image": "two words"}, ["/operator/image"]),
    ({"operator.imagePullPolicy": "Sometimes"}, ["/operator/imagePullPolicy", "IfNotPresent"]),
    ({"operator.logLevel": "loud"}, ["/operator/logLevel", "warning"]),
    ({"operator.resources.limits.memory": "lots"}, ["/operator/resources/limits/memory"]),
    ({"operator.resources.claims": []}, ["/operator/resources", "claims"]),
    ({"operator.podLabels": {"a": 1}}, ["/operator/podLabels/a", "string"]),
    ({"trainer.repository": "x"}, ["/trainer", "repository"]),
    ({"trainer.serviceAccounts": ["Not a name"]}, ["/trainer/serviceAccounts/0"]),
    ({"trainer.hostAccess": "yes"}, ["/trainer/hostAccess", "boolean"]),
    ({"imagePullSecrets": ["pull"]}, ["/imagePullSecrets/0", "object"]),
    ({"watchNamespaces": "team-a"}, ["/watchNamespaces", "array"]),
    ({"watchNamespaces": ["Team_A"]}, ["/watchNamespaces/0"]),
    ({"watchNamespaces": ["a", "a"]}, ["/watchNamespaces"]),
    ({"watchNamespaces": ["a", "headway-system"]}, ["watchNamespaces", "headway-system", "the operators own"]),
    ({"watchNamespaces": ["kube-system"]}, ["watchNamespaces", "kube-system", "the clusters"]),
    ({"defaultStorage.uri": "models"}, ["/defaultStorage/uri"]),
    ({"notifications.secretName": "https://hooks.example/x"}, ["/notifications/secretName"]),
    ({"notifications.ports": [0]}, ["/notifications/ports/0"]),
    ({"defaultStorage.uri": "file:///tmp"}, ["/defaultStorage/uri"]),
    ({"defaultStorage.persistentVolumeClaim.path": "/abs"}, ["/defaultStorage/persistentVolumeClaim/path"]),
    ({"defaultStorage.persistentVolumeClaim.create.accessModes": []}, ["accessModes"]),
    ({"defaultStorage.persistentVolumeClaim.create.namespaces": ["a"]}, ["persistentVolumeClaim.name"]),
    ({"defaultStorage.uri": "s3://a/b", **CLAIM}, ["defaultStorage.uri", "defaultStorage.persistentVolumeClaim.name"]),
    ({"defaultStorage.secretName": "writer"}, ["defaultStorage.secretName", "defaultStorage.uri"]),
    (
        {"defaultStorage.persistentVolumeClaim.path": "runs"},
        ["defaultStorage.persistentVolumeClaim.path", "defaultStorage.persistentVolumeClaim.name"],
    ),
    ({"crds.keep": False}, ["/crds", "keep"]),
    ({"serviceMonitor.interval": "often"}, ["/serviceMonitor/interval"]),
    ({"metrics.jobs": "all"}, ["/metrics/jobs", "running"]),
    ({"metrics.jobsLimit": 0}, ["/metrics/jobsLimit", "1"]),
    ({"podMonitor.interval": "often"}, ["/podMonitor/interval"]),
    ({"prometheusRule.labels": {"a": 1}}, ["/prometheusRule/labels/a", "string"]),
    ({"grafanaDashboards.labels": {"grafana_dashboard": 1}}, ["/grafanaDashboards/labels/grafana_dashboard", "string"]),
    ({"grafanaDashboards.namespace": "No Name"}, ["/grafanaDashboards/namespace"]),
    ({"grafanaDashboards.grafanaOperator.matchLabels": {"dashboards": None}}, ["matchLabels"]),
    ({"networkPolicy.apiServerPorts": [70000]}, ["/networkPolicy/apiServerPorts/0"]),
]


def nested(flat: dict[str, Any]) -> dict[str, Any]:
    """Values by dotted path as the tree that Helm takes."""
    tree: dict[str, Any] = {}
    for path, value in flat.items():
        *parents, last = path.split(".")
        reduce(lambda node, name: node.setdefault(name, {}), parents, tree)[last] = value
    return tree


def leaves(tree: dict[str, Any], schema: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """The dotted paths of the values: what the schema does not open further is one value."""
    for name, value in tree.items():
        inner = schema["properties"][name]
        if isinstance(value, dict) and "properties" in inner:
            yield from leaves(value, inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def lines_of_values() -> Iterator[tuple[str, str]]:
    """Each `key:` line of values.yaml that holds a value, and the line before it."""
    lines = (CHART / "values.yaml").read_text().splitlines()
    for before, line in zip(["", *lines], lines, strict=False):
        key, colon, rest = line.strip().partition(":")
        if colon and not key.startswith("#") and rest.strip():
            yield f"{key}:{rest}", before.strip()


def test_every_value_has_a_sentence_that_explains_it() -> None:
    undocumented = [
        line
        for line, before in lines_of_values()
        if not (before.startswith("# ") and before.endswith("."))
        and not line.startswith(("requests:", "limits:"))  # `resources` above them is the value
    ]
    assert undocumented == []


def test_the_table_of_changes_holds_every_value() -> None:
    assert sorted(leaves(VALUES, SCHEMA)) == sorted(CHANGES)


@pytest.mark.parametrize("path", CHANGES)
def test_every_value_changes_what_is_rendered(chart: Chart, path: str) -> None:
    value, others = CHANGES[path]
    assert chart.render(nested({**others, path: value})).text != chart.render(nested(others)).text


@pytest.mark.parametrize(("values", "words"), REFUSALS, ids=[next(iter(values)) for values, _ in REFUSALS])
def test_a_wrong_value_is_refused_by_name(chart: Chart, values: dict[str, Any], words: list[str]) -> None:
    message = chart.refusal(nested(values))
    assert [word for word in words if word not in message.replace("'", "")] == [], message


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    """Each part of the schema that lists properties."""
    if isinstance(schema, dict):
        if "properties" in schema:
            yield schema
        for inner in schema.values():
            yield from objects(inner)


def test_the_schema_is_strict_everywhere() -> None:
    assert [part for part in objects(SCHEMA) if part.get("additionalProperties") is not False] == []


def test_the_default_values_are_their_own_proof(chart: Chart) -> None:
    assert chart.render(VALUES).text == chart.render().text
