"""The chart's alerts, judged by promtool; and that they speak only of metrics that the operator has."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from harness import ROOT, run
from headway_api.status import Cause
from headway_operator.serving.figures import ENTRIES as DEPLOYMENTS
from headway_operator.training.figures import ENTRIES as JOBS
from metric_names import known

from .conftest import CHART, Chart

ALERTS = CHART / "files/alerts.yaml"
CASES = ROOT / "tests/chart/alerts.test.yaml"
JOB_ALERTS = CHART / "files/job-alerts.yaml"
JOB_CASES = ROOT / "tests/chart/job-alerts.test.yaml"


def rules(file: Path) -> list[dict[str, Any]]:
    """The alerts of a file."""
    return [rule for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]


def names(file: Path = ALERTS) -> set[str]:
    return {rule["alert"] for rule in rules(file)}


@pytest.mark.parametrize(("alerts", "cases"), [(ALERTS, CASES), (JOB_ALERTS, JOB_CASES)])
def test_each_alert_fires_when_it_should_and_not_before(promtool: str, alerts: Path, cases: Path) -> None:
    assert "SUCCESS" in run(promtool, "test", "rules", cases)
    told = [case for test in yaml.safe_load(cases.read_text())["tests"] for case in test["alert_rule_test"]]
    assert {case["alertname"] for case in told if case.get("exp_alerts")} == names(alerts)
    if alerts == JOB_ALERTS:
        assert {case["alertname"] for case in told if not case.get("exp_alerts")} == names(alerts)


@pytest.mark.parametrize("alerts", [ALERTS, JOB_ALERTS])
def test_alerts_speak_of_metrics_that_there_are(alerts: Path) -> None:
    for rule in rules(alerts):
        spoken = set(re.findall(r"headway_[a-z_]+(?::\w+)*", rule["expr"]))
        assert spoken, rule["alert"]
        assert spoken <= set(known()), rule["alert"]


def test_alerts_on_jobs_say_whose_they_are_and_whom_they_are_for() -> None:
    for rule in rules(JOB_ALERTS):
        about = rule["labels"]["about"]
        by = {f"{about}_namespace", f"{about}_name"}
        assert set(re.search(r"by \(([^)]*)\)", rule["expr"])[1].split(", ")) == by  # type: ignore[index]  # each has one
        assert set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"])) == by
        assert rule["labels"]["severity"] in ("warning", "info"), "no job of one tenant's is critical for a platform"


def test_alerts_on_jobs_come_when_they_are_asked_for(chart: Chart) -> None:
    off = chart.render({"prometheusRule": {"enabled": True}})
    assert [rule["metadata"]["name"] for rule in off.kind("PrometheusRule")] == ["headway", "headway-gpu"]
    on = chart.render({"prometheusRule": {"enabled": True, "jobAlerts": True, "labels": {"release": "x"}}})
    rule = on.one("PrometheusRule", "headway-jobs")
    assert {each["alert"] for group in rule["spec"]["groups"] for each in group["rules"]} == names(JOB_ALERTS)
    assert rule["metadata"]["labels"]["release"] == "x"


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


def test_pods_of_tenants_that_are_scraped_as_servers_tell_nothing_in_the_place_of_the_operator(chart: Chart) -> None:
    (endpoint,) = chart.render({"podMonitor": {"enabled": True}}).one("PodMonitor")["spec"]["podMetricsEndpoints"]
    (rule,) = endpoint["metricRelabelings"]
    assert (rule["sourceLabels"], rule["action"]) == (["__name__"], "keep")
    kept = re.compile(rule["regex"])
    assert all(kept.fullmatch(f"headway_server_{name}") for name in ("errors_total", "request_seconds_bucket"))
    assert kept.fullmatch("headway_holder_held")
    assert kept.fullmatch("headway_judge_evidence")
    told = [entry.name for entry in (*JOBS, *DEPLOYMENTS)]
    assert told
    assert not [name for name in (*told, "headway_build_info", "headway_is_leader") if kept.fullmatch(name)]
