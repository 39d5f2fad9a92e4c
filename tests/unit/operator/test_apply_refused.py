"""What the API server does not take, and what is in the way: it is told, and asked for again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from headway_api import wire
from headway_operator.engine import kube
from headway_operator.engine.apply import CONCURRENCY
from headway_operator.engine.kube import ConflictError, DeniedError, InvalidError, RetryableError
from sim.builders import DEFAULTS
from sim.fakes.api import Call
from unit.operator.stage import Stage, end, let_go, running


def test_an_object_of_somebody_else_is_never_taken_nor_deleted() -> None:
    stage = Stage(suspend=False)
    foreign = {"metadata": {"name": stage.of()}, "spec": {}}
    stage.server.create(kube.SERVICES, "default", foreign)
    stage.reconcile()
    assert stage.condition("Scheduled")["reason"] == "PodsRefused"
    assert f"Service {stage.of()}" in stage.condition("Running")["message"]
    assert stage.names(kube.PODS) == []
    stage.server.change(kube.JOBS, "digits", lambda job: job["spec"].update(suspend=True))
    for _ in range(5):
        stage.reconcile()
    assert stage.status()["phase"] == "Suspended"
    assert stage.names(kube.SERVICES) == [stage.of()]
    assert stage.names(kube.SECRETS) == []


def test_a_quota_is_told_in_the_status_and_asked_again_with_growing_delay() -> None:
    stage = Stage()

    def before(call: Call) -> None:
        if call[:2] == ("create", "pods"):
            raise DeniedError(f'pods "{call.name}" is forbidden: exceeded quota')

    stage.api.before = before
    delays = []
    for _ in range(6):
        again_at = stage.reconcile()
        assert again_at is not None
        delays.append(again_at - stage.now)
        stage.now = again_at
    assert delays == [5, 10, 20, 40, 60, 60]
    assert "exceeded quota" in stage.condition("Running")["message"]
    stage.api.before = lambda *_: None
    stage.reconcile()
    assert len(stage.names(kube.PODS)) == 2
    stage.reconcile()
    assert stage.condition("Scheduled")["reason"] == "WaitingForNodes"


def test_a_pod_that_the_api_server_cannot_accept_fails_the_job_with_its_words() -> None:
    stage = Stage()
    stage.refuse(InvalidError('strict decoding error: unknown field "spec.nodeSelektor"'))
    for _ in range(3):
        stage.reconcile()
    assert stage.status()["phase"] == "Failed"
    assert "nodeSelektor" in stage.condition("Failed")["message"]
    assert stage.condition("Failed")["reason"] == "InvalidSpec"
    assert stage.names(kube.CONFIG_MAPS) == []


def test_a_template_of_the_wrong_shape_fails_the_job_and_names_the_field() -> None:
    stage = Stage(workers={"template": {"spec": {"containers": "main"}}})
    stage.reconcile()
    assert "spec.workers.template.spec.containers: " in stage.condition("Failed")["message"]
    assert stage.names(kube.PODS) == []
    assert not [call for call in stage.api.calls if call.verb == "create"], "nothing is made"


def _suspend(wish: bool, job: dict[str, Any]) -> None:
    job["spec"]["suspend"] = wish


def test_what_was_refused_of_an_earlier_attempt_is_not_said_of_a_later_one() -> None:
    stage = Stage()
    stage.refuse(DeniedError("exceeded quota"))
    stage.reconcile()
    assert stage.condition("Scheduled")["reason"] == "PodsRefused"
    stage.api.before = lambda _: None
    for suspend in (True, False):
        stage.server.change(kube.JOBS, "digits", partial(_suspend, suspend))
        for _ in range(3):
            stage.reconcile()
            stage.now += 1
    assert stage.status()["attempt"] == 2
    assert stage.condition("Scheduled")["reason"] == "WaitingForNodes"


def _says(**spec: Any) -> Callable[[dict[str, Any]], None]:
    return lambda job: job["spec"].update(spec)


@pytest.mark.parametrize("restarted", [True, False], ids=["another process", "the same one"])
def test_what_a_driver_is_told_is_what_its_config_map_says_though_somebody_deleted_the_first_one(
    *, restarted: bool
) -> None:
    stage = Stage(workers={"replicas": 3})
    stage.refuse(RetryableError("no answer"), kube.NETWORK_POLICIES.plural)
    with pytest.raises(RetryableError):
        stage.reconcile()
    assert stage.run_file().spec.workers.replicas == 3
    stage.api.before = lambda _: None
    stage.server.remove(kube.CONFIG_MAPS, stage.of())
    stage.server.change(kube.JOBS, "digits", _says(workers={"replicas": 1}))
    if restarted:
        stage.restart(DEFAULTS)
    for _ in range(2):
        stage.reconcile()
    assert stage.names(kube.PODS) == [stage.head(), stage.worker(0)]
    (told,) = stage.children(kube.CONFIG_MAPS)
    assert (stage.run_file().spec.workers.replicas, told.workers) == (1, 1), "it would wait for two that nobody makes"


def test_a_secret_that_pods_rest_upon_is_not_made_anew_whatever_it_says() -> None:
    stage = Stage(workers={"replicas": 3})

    def before(call: Call) -> None:
        if call.verb == "patch":
            raise RetryableError("no answer")

    stage.api.before = before
    with pytest.raises(RetryableError):
        stage.reconcile()
    assert len(stage.names(kube.PODS)) == 4, "all is there, but the status does not tell of the attempt"
    secret = stage.server.find(kube.SECRETS, stage.of())
    annotations = {wire.ANNOTATION_WORKERS: "7"}
    stage.server.change(kube.SECRETS, stage.of(), lambda body: body["metadata"].update(annotations=annotations))
    stage.server.remove(kube.CONFIG_MAPS, stage.of())
    stage.api.before = lambda _: None
    stage.restart(DEFAULTS)
    stage.reconcile()
    assert stage.names(kube.CONFIG_MAPS) == [stage.of()]
    found = stage.server.find(kube.SECRETS, stage.of())
    assert secret is not None
    assert found is not None
    assert found["metadata"]["uid"] == secret["metadata"]["uid"]


@pytest.mark.parametrize("resource", ["configmaps", "pods"])
def test_a_later_attempt_that_is_refused_says_so_and_is_asked_for_again(resource: str) -> None:
    stage = Stage(retry={"infrastructure": 3})
    running(stage)
    end(stage, stage.head(), 70)
    refused: list[str] = []

    def before(call: Call) -> None:
        if call.verb == "create" and call.resource == resource:
            refused.append(call.name)
            raise DeniedError("exceeded quota")

    stage.api.before = before
    while not refused:
        again_at = stage.reconcile()
        let_go(stage)
        stage.now += 1
    assert again_at is not None, "nobody else will say that it is time to ask again"
    assert "exceeded quota" in stage.condition("Running")["message"]
    stage.api.before = lambda _: None
    stage.now = again_at
    stage.reconcile()
    assert sorted(stage.names(kube.PODS)) == [stage.head(2), stage.worker(0, 0, 2)]


def test_workers_wait_for_no_head_while_somebody_else_s_pod_of_its_name_is_there() -> None:
    stage = Stage()
    old = {"kind": "Pod", "metadata": {"name": stage.head()}, "spec": {}}
    stage.server.create(kube.PODS, "default", old)
    again_at = stage.reconcile()
    assert stage.names(kube.PODS) == [stage.head()]
    assert "is not of this TrainingJob" in stage.condition("Running")["message"]
    assert again_at is not None
    stage.server.remove(kube.PODS, stage.head())
    stage.now = again_at
    stage.reconcile()
    assert stage.names(kube.PODS) == [stage.head(), stage.worker(0)]
    assert stage.status()["attempt"] == 1


def test_when_the_api_server_cannot_it_is_not_asked_for_all_the_other_pods_too() -> None:
    stage = Stage(workers={"replicas": 200})
    stage.refuse(RetryableError("too many requests"), naming="worker")
    with pytest.raises(RetryableError):
        stage.reconcile()
    assert len([call for call in stage.api.calls if call[:2] == ("create", "pods")]) <= 1 + CONCURRENCY


def test_a_webhook_that_cannot_be_called_is_told_and_the_job_s_clocks_run() -> None:
    stage = Stage()
    stage.refuse(DeniedError('failed calling webhook "inject.example.com"'))
    stage.reconcile()
    assert "failed calling webhook" in stage.condition("Scheduled")["message"]
    assert stage.status()["attempts"][0]["startTime"]


def test_what_was_in_the_way_and_goes_just_then_is_tried_again_and_not_taken_for_the_job_s_own_end() -> None:
    stage = Stage()
    stage.server.create(kube.SECRETS, "default", {"kind": "Secret", "metadata": {"name": stage.of()}})

    def gone(call: Call) -> None:
        if call[:2] == ("get", "secrets"):
            stage.server.remove(kube.SECRETS, stage.of())

    stage.api.before = gone
    with pytest.raises(ConflictError, match="has just gone"):
        stage.reconcile()
    stage.api.before = lambda _: None
    stage.reconcile()
    assert stage.status()["phase"] == "Starting"


def test_an_attempt_whose_config_map_could_not_be_made_leaves_nothing_else_behind() -> None:
    stage = Stage()
    stage.refuse(RetryableError("no answer"), "configmaps")
    with pytest.raises(RetryableError):
        stage.reconcile()
    assert not stage.names(kube.SECRETS) + stage.names(kube.SERVICES) + stage.names(kube.NETWORK_POLICIES)


def test_a_quota_that_refuses_the_workers_is_asked_now_and_then_and_what_was_prepared_not_again() -> None:
    stage = Stage(workers={"replicas": 500}, scheduling={"releaseSeconds": 86_400})
    stage.refuse(DeniedError('pods "x" is forbidden: exceeded quota: gpu'), naming="worker")
    begun = stage.now
    while stage.now < begun + 890:
        again = stage.reconcile()
        stage.now = max(stage.now + 0.5, min(again or begun + 890, begun + 890))
    asked = Counter(call.resource for call in stage.api.calls if call.verb == "create")
    assert sum(asked.values()) <= 60
    assert [asked[resource] for resource in ("configmaps", "secrets", "services", "networkpolicies")] == [1, 1, 1, 1]
