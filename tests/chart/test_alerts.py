"""The chart's alerts, judged by promtool; and that they speak only of metrics that the operator has."""

from __future__ import annotations

import re
from typing import get_args

import yaml

from harness import ROOT, run
from headway_api.status import Cause
from headway_operator import reference

from .conftest import CHART, Chart

ALERTS = CHART / "files/alerts.yaml"
CASES = ROOT / "tests/chart/alerts.test.yaml"


def names() -> set[str]:
    return {rule["alert"] for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]}


def test_each_alert_fires_when_it_should_and_not_before(promtool: str) -> None:
    assert "SUCCESS" in run(promtool, "test", "rules", CASES)
    tested = {
        case["alertname"]
        for test in yaml.safe_load(CASES.read_text())["tests"]
        for case in test["alert_rule_test"]
        if case.get("exp_alerts")
    }
    assert tested == names()


def test_alerts_speak_of_metrics_that_there_are() -> None:
    spoken = set(re.findall(r"headway_[a-z_]+", ALERTS.read_text()))
    assert spoken <= {entry.name for entry in reference.catalogue()}


def test_alerts_speak_of_causes_that_there_are() -> None:
    spoken = {cause for values in re.findall(r'cause[!=]~"([^"]+)"', ALERTS.read_text()) for cause in values.split("|")}
    assert spoken
    assert spoken <= set(get_args(Cause))


def test_the_rule_object_holds_them_all(chart: Chart) -> None:
    rule = chart.render({"prometheusRule": {"enabled": True, "labels": {"release": "x"}}}).one(
        "PrometheusRule", "headway"
    )
    assert {each["alert"] for group in rule["spec"]["groups"] for each in group["rules"]} == names()
    assert rule["metadata"]["labels"]["release"] == "x"
