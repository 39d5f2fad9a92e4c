"""Every metric that there is to ask Prometheus for, with its labels: the operator's, the servers' and others'."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from harness import ROOT
from headway_operator import reference
from headway_server.errors import RequestError
from headway_server.metrics import Metrics
from headway_server.split.metrics import SplitCollector

GPU_RULES = ROOT / "charts/headway/files/gpu-rules.yaml"
SCRAPED = frozenset({"deployment_namespace", "deployment_name", "instance", "job"})
"""Labels that Prometheus adds to what servers tell: they do not know whose they are."""
FOREIGN = {
    "ALERTS": frozenset(
        {"alertname", "alertstate", "severity", "job_namespace", "job_name", "deployment_namespace", "deployment_name"}
    ),
    "container_cpu_usage_seconds_total": frozenset({"namespace", "pod", "container"}),
    "container_memory_working_set_bytes": frozenset({"namespace", "pod", "container"}),
    "container_network_receive_bytes_total": frozenset({"namespace", "pod", "interface"}),
    "container_network_transmit_bytes_total": frozenset({"namespace", "pod", "interface"}),
    "process_cpu_seconds_total": frozenset({"instance", "job"}),
    "process_resident_memory_bytes": frozenset({"instance", "job"}),
}
"""Of Prometheus itself, of the kubelet's cAdvisor, and of every process."""


class _Empty(list[None]):
    """Of a cache, what metrics ask for."""

    bytes = 0


def known() -> dict[str, frozenset[str]]:
    """All of them."""
    operators = {name: frozenset(labels) | {"instance", "job"} for name, labels in _operators()}
    return FOREIGN | operators | _servers() | recorded()


def recorded() -> dict[str, frozenset[str]]:
    """What the rules for GPUs record."""
    rules = [rule for group in yaml.safe_load(GPU_RULES.read_text())["groups"] for rule in group["rules"]]
    labels = {rule["record"]: re.search(r"by \(([^)]*)\)", rule["expr"]) for rule in rules}
    return {name: frozenset(found[1].split(", ")) for name, found in labels.items() if found}


def _operators() -> list[tuple[str, tuple[str, ...]]]:
    found: list[tuple[str, tuple[str, ...]]] = []
    for entry in reference.catalogue():
        if entry.kind == "histogram":
            parts = (("_bucket", (*entry.labels, "le")), ("_sum", entry.labels), ("_count", entry.labels))
            found += [(entry.name + ending, labels) for ending, labels in parts]
        else:
            found.append((entry.name, entry.labels))
    return found


def _servers() -> dict[str, frozenset[str]]:
    """What a server exposes once each of its metrics has a value."""
    metrics = Metrics(cast("Any", SimpleNamespace(name="m", version="1", digest="sha256:0")))
    metrics.failed("rest", RequestError("x"))
    metrics.watch_cache(cast("Any", _Empty()))
    metrics.watch_records()("request", "written", 1)
    metrics.registry.register(_splitting())
    found: dict[str, frozenset[str]] = {}
    text = generate_latest(metrics.registry).decode()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, SCRAPED) | set(sample.labels)
    return found


def _splitting() -> SplitCollector:
    state = SimpleNamespace(version=1, route=None, role="stable", breaker=SimpleNamespace(opened=0, open=False))
    splitting = SimpleNamespace(state=state, answered={1: 1}, fallbacks={"late": 0}, handed=0)
    return SplitCollector("m", cast("Any", splitting), cast("Any", SimpleNamespace(sent=0, dropped=0)))


def files() -> list[Path]:
    """The dashboards that the chart ships."""
    return sorted((ROOT / "charts/headway/files/dashboards").glob("*.json"))
