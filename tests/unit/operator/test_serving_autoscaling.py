"""An autoscaler sets the number of replicas, and takes no pods away that a version on its way will need."""

from __future__ import annotations

from typing import Any

import pytest

from headway_operator.engine import kube
from headway_operator.engine.kube import Object
from headway_operator.serving import names, records
from headway_operator.serving.plan.model import Autoscaler
from sim.builders import T0

from .serving_stage import DIGEST_2, Stage

SCALING = {"autoscaling": {"min": 2, "max": 9}}


def scaled(**more: Any) -> Stage:
    """The first version answers with two pods, and there is an autoscaler."""
    stage = Stage({"spec.autoscaling": {**SCALING["autoscaling"], **more}})
    stage.settle()
    stage.ready(1)
    stage.settle()
    assert stage.target() == 1
    return stage


def autoscaler(stage: Stage) -> Object:
    """The one that there is."""
    [found] = stage.server.of(kube.AUTOSCALERS)
    return found


def test_it_scales_the_deployment_and_no_version() -> None:
    stage = scaled()
    found = autoscaler(stage)
    assert found["metadata"]["name"] == names.shared_name("digits", stage.uid)
    assert found["spec"] == {
        "scaleTargetRef": {"apiVersion": "headway.dev/v1alpha1", "kind": "ModelDeployment", "name": "digits"},
        "minReplicas": 2,
        "maxReplicas": 9,
        "metrics": [
            {
                "type": "Resource",
                "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}},
            }
        ],
    }


def test_there_is_none_before_there_are_pods_to_go_by_nor_where_none_is_asked_for() -> None:
    stage = Stage({"spec.autoscaling": SCALING["autoscaling"]})
    stage.settle()
    assert stage.of(kube.AUTOSCALERS) == set()
    plain = Stage()
    plain.settle()
    plain.ready(1)
    plain.settle()
    assert plain.of(kube.AUTOSCALERS) == set()


def test_it_changes_with_the_spec_is_put_right_and_goes_with_it() -> None:
    stage = scaled()
    stage.edit({"autoscaling.max": 5, "autoscaling.cpuPercent": 50})
    stage.settle()
    spec = autoscaler(stage)["spec"]
    assert (spec["maxReplicas"], spec["metrics"][0]["resource"]["target"]["averageUtilization"]) == (5, 50)
    name = autoscaler(stage)["metadata"]["name"]

    def meddle(body: Object) -> None:
        body["spec"]["scaleTargetRef"]["name"] = "payments"

    stage.server.change(kube.AUTOSCALERS, name, meddle)
    stage.settle()
    assert autoscaler(stage)["spec"]["scaleTargetRef"]["name"] == "digits"
    stage.edit({"autoscaling": None})
    stage.settle()
    assert stage.of(kube.AUTOSCALERS) == set()


def test_how_it_does_wakes_nobody() -> None:
    stage = scaled()
    stage.watch()

    def report(body: Object) -> None:
        body["status"] = {"currentReplicas": 2, "desiredReplicas": 2}

    name = autoscaler(stage)["metadata"]["name"]
    stage.server.change(kube.AUTOSCALERS, name, report)
    news = stage.store.see(kube.AUTOSCALERS, "MODIFIED", autoscaler(stage), T0)
    assert news is None
    stage.server.change(kube.AUTOSCALERS, name, lambda body: body["spec"].update(maxReplicas=3))
    assert stage.store.see(kube.AUTOSCALERS, "MODIFIED", autoscaler(stage), T0) is not None


@pytest.mark.parametrize(
    "bend",
    [
        {"metrics": []},
        {"metrics": [{}, {}]},
        {"metrics": [{"type": "Pods"}]},
        {"scaleTargetRef": {"kind": "Deployment", "name": "digits"}},
        {"scaleTargetRef": None},
        {"minReplicas": "two"},
    ],
)
def test_one_that_goes_by_anything_else_is_not_as_it_should_be(bend: dict[str, Any]) -> None:
    found = autoscaler(scaled())
    known = records.autoscaler({**found, "spec": {**found["spec"], **bend}}, None, T0)
    assert isinstance(known, Autoscaler)
    assert (known.least, known.most, known.cpu_percent) != (2, 9, 70)


def test_both_versions_have_as_many_pods_as_the_autoscaler_asks_for() -> None:
    stage = scaled()
    stage.edit({"versions.source.digest": DIGEST_2, "replicas": 4})
    stage.settle()
    assert stage.replicas() == {1: 4, 2: 4}


def test_no_pods_are_taken_away_while_another_version_is_on_its_way_or_the_old_one_is_there() -> None:
    stage = scaled()
    stage.edit({"replicas": 5})
    stage.settle()
    stage.ready(1)
    stage.settle()
    stage.edit({"versions.source.digest": DIGEST_2})
    stage.settle()
    stage.edit({"replicas": 2})
    stage.settle(restarts=True)
    assert stage.replicas() == {1: 5, 2: 5}
    stage.ready(2)
    stage.settle()
    assert stage.target() == 2
    assert stage.replicas() == {1: 5, 2: 5}, "it has all requests by now, and the autoscaler has yet to see them"
    stage.after(61)
    assert stage.replicas() == {2: 2}


def test_people_take_pods_away_whenever_they_like() -> None:
    stage = scaled()
    stage.edit({"autoscaling": None, "replicas": 5})
    stage.settle()
    stage.ready(1)
    stage.edit({"versions.source.digest": DIGEST_2})
    stage.settle()
    stage.edit({"replicas": 2})
    stage.settle()
    assert stage.replicas() == {1: 2, 2: 2}
