"""Grafana's dashboards as the chart brings them, their PromQL as promtool judges it, and the rules for GPUs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness import ROOT, run
from headway_api import wire
from headway_dashboards import all_dashboards, promql
from headway_dashboards.expressions import POD
from metric_names import GPU_RULES, files

from .conftest import NAMESPACE, Chart

MIB = 1024 * 1024
VALUES = {"grafanaDashboards": {"enabled": True}}
OPERATED = {"grafanaDashboards": {"grafanaOperator": {"enabled": True, "matchLabels": {"team": "ml"}}}}


def checked(promtool: str, folder: Path, exprs: list[str]) -> str:
    """What promtool says of expressions."""
    rules = [{"record": f"dashboards:{at}", "expr": expr} for at, expr in enumerate(exprs)]
    path = folder / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboards", "rules": rules}]}))
    return run(promtool, "check", "rules", path, check=False)


def expressions() -> list[str]:
    """What the shipped dashboards ask, with values in place of variables."""
    found: list[str] = []
    for path in files():
        dashboard = json.loads(path.read_text())
        asked = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
        asked += [annotation["expr"] for annotation in dashboard["annotations"]["list"]]
        found += map(promql.made_up, asked)
    return found


def test_promtool_takes_every_expression(promtool: str, tmp_path: Path) -> None:
    exprs = expressions()
    assert len(exprs) > 150
    assert f"SUCCESS: {len(exprs)} rules found" in checked(promtool, tmp_path, exprs)


def test_promtool_would_not_take_a_broken_one(promtool: str, tmp_path: Path) -> None:
    said = checked(promtool, tmp_path, [*expressions(), "sum by (le (x)"])
    assert "SUCCESS" not in said
    assert "could not parse expression" in said


def config_maps(chart: Chart, values: dict[str, Any]) -> list[dict[str, Any]]:
    """The dashboards that the chart makes of values."""
    found = chart.render(values).kind("ConfigMap")
    return [one for one in found if "-dashboard-" in one["metadata"]["name"]]


def test_nobody_gets_dashboards_who_did_not_ask(chart: Chart) -> None:
    assert config_maps(chart, {}) == []


def test_each_dashboard_is_a_config_map_for_the_sidecar_with_its_braces_as_they_are(chart: Chart) -> None:
    made = config_maps(chart, VALUES)
    assert [one["metadata"]["name"] for one in made] == [f"headway-dashboard-{path.stem}" for path in files()]
    for one, path in zip(made, files(), strict=True):
        assert one["data"] == {path.name: path.read_text()}
        assert "{{" in path.read_text()
        assert len(json.dumps(one)) < MIB
        assert one["metadata"]["namespace"] == NAMESPACE
        assert one["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert one["metadata"]["annotations"] == {"grafana_folder": "Headway"}


def test_labels_annotations_and_namespace_are_those_that_are_asked_for(chart: Chart) -> None:
    asked = {"labels": {"grafana_dashboard": "", "find": "me"}, "annotations": {"dir": "ML"}, "namespace": "monitoring"}
    for one in config_maps(chart, {"grafanaDashboards": {"enabled": True, **asked}}):
        assert one["metadata"]["labels"].items() >= {"grafana_dashboard": "", "find": "me"}.items()
        assert one["metadata"]["annotations"]["dir"] == "ML"
        assert one["metadata"]["namespace"] == "monitoring"


def test_the_grafana_operator_gets_a_dashboard_of_each_config_map_and_the_sidecar_does_not(chart: Chart) -> None:
    maps = config_maps(chart, OPERATED)
    assert all("grafana_dashboard" not in one["metadata"]["labels"] for one in maps), "both would bring it"
    told = chart.render(OPERATED).kind("GrafanaDashboard")
    assert [one["spec"]["configMapRef"] for one in told] == [
        {"name": one["metadata"]["name"], "key": next(iter(one["data"]))} for one in maps
    ]
    assert len(told) == len(all_dashboards()) == 6
    assert all(one["spec"]["instanceSelector"]["matchLabels"]["team"] == "ml" for one in told)


def test_the_rules_for_gpus_know_both_ways_to_scrape_the_exporter(promtool: str) -> None:
    assert "SUCCESS" in run(promtool, "test", "rules", ROOT / "tests/chart/gpu.test.yaml")


def test_the_rules_for_gpus_come_with_the_alerts(chart: Chart) -> None:
    rule = chart.render({"prometheusRule": {"enabled": True, "labels": {"release": "x"}}}).one(
        "PrometheusRule", "headway-gpu"
    )
    assert rule["spec"] == yaml.safe_load(GPU_RULES.read_text())
    assert rule["metadata"]["labels"]["release"] == "x"


@pytest.mark.parametrize("uid", ["7f3a91c2-0000", "00000000-ffff"])
def test_pods_are_found_by_the_names_that_the_operator_gives_them(promtool: str, tmp_path: Path, uid: str) -> None:
    pods = [wire.head_name("a-1", uid, 2), wire.worker_name("a-1", uid, 12, 3, 4)]
    series = [{"series": f'x{{pod="{pod}"}}', "values": "1 1"} for pod in [*pods, "a-1-abcde-2", "b-" + pods[0]]]
    wanted = [{"labels": f'x{{pod="{pod}"}}', "value": 1} for pod in pods]
    case = {"expr": f'x{{pod=~"a-1{POD}"}}', "eval_time": "1m", "exp_samples": wanted}
    path = tmp_path / "pods.yaml"
    path.write_text(yaml.safe_dump({"tests": [{"input_series": series, "promql_expr_test": [case]}]}))
    assert "SUCCESS" in run(promtool, "test", "rules", path)
    assert POD.replace("(", "(?:") in GPU_RULES.read_text()
