"""What a watch does not show any more, though it exists: it has lost a label, or has not been shown yet."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from headway_api import wire
from headway_operator.engine import kube
from headway_operator.engine.comparison import Comparison
from headway_operator.engine.freshness import Freshness
from headway_operator.engine.kube import ConflictError, DeniedError, Object, Resource, RetryableError
from sim.builders import DEFAULTS
from sim.fakes.api import Call
from unit.operator.stage import KEY, Stage, end, running


def unlabel(stage: Stage, resource: Resource, name: str) -> None:
    """Somebody takes the label away that the watch selects by."""

    def edit(body: Object) -> None:
        del body["metadata"]["labels"][wire.LABEL_MANAGED_BY]

    stage.server.change(resource, name, edit)


def compared(stage: Stage) -> Comparison:
    """A comparison of what the operator knows, after its watches have shown all that they will."""
    freshness = Freshness(stage.store.resources(), now=lambda: stage.now, namespaces=(), lag=lambda _, __: None)
    stage.watch()
    for resource in stage.store.resources():
        freshness.shown(resource.plural, {"metadata": {"resourceVersion": "1000000"}})
    comparison = Comparison(stage.api, stage.store, freshness, add=lambda _: None, namespaces=(), now=lambda: stage.now)
    asyncio.run(comparison.compare())
    return comparison


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headway_operator.engine.comparison.PATIENCE_SECONDS", 0)


@pytest.mark.parametrize("which", ["head", "worker", "ConfigMap"])
def test_an_object_that_loses_its_label_is_not_taken_for_deleted(which: str) -> None:
    stage = Stage()
    running(stage)
    pods = stage.names(kube.PODS)
    name = {"head": stage.head(), "worker": stage.worker(0), "ConfigMap": stage.of()}[which]
    unlabel(stage, kube.CONFIG_MAPS if which == "ConfigMap" else kube.PODS, name)
    for _ in range(3):
        stage.reconcile()
    assert stage.names(kube.PODS) == pods
    assert (stage.status()["phase"], stage.status()["attempt"], stage.status().get("failures")) == ("Running", 1, None)
    stage.server.change(kube.JOBS, "digits", lambda job: job["spec"].update(suspend=True))
    for _ in range(9):
        stage.reconcile()
        for pod in stage.names(kube.PODS):
            if stage.server.objects["pods", "default", pod]["metadata"].get("deletionTimestamp"):
                stage.server.remove(kube.PODS, pod)
        stage.now += 40
    assert stage.status()["phase"] == "Suspended"
    assert stage.names(kube.PODS) == stage.names(kube.CONFIG_MAPS) == []


def losing_while_read(stage: Stage, times: int) -> list[str]:
    """Each time that the worker or the ConfigMap is read, the other loses its label; the names that were read."""
    read: list[str] = []
    names = {"pods": (kube.CONFIG_MAPS, stage.of()), "configmaps": (kube.PODS, stage.worker(0))}

    def before(call: Call) -> None:
        if call.verb != "get" or call.resource not in names or len(read) >= times:
            return
        read.append(call.name)
        resource, name = names[call.resource]
        stage.server.change(resource, name, lambda body: body["metadata"]["labels"].update(KEPT))
        stage.watch()
        unlabel(stage, resource, name)
        stage.watch()

    stage.api.before = before
    return read


KEPT = {wire.LABEL_MANAGED_BY: wire.MANAGED_BY}


def test_an_object_that_loses_its_label_while_another_is_looked_for_is_looked_for_too() -> None:
    stage = Stage()
    running(stage)
    pods = stage.names(kube.PODS)
    losing_while_read(stage, 1)
    unlabel(stage, kube.CONFIG_MAPS, stage.of())
    for _ in range(3):
        stage.reconcile()
    assert stage.names(kube.PODS) == pods, "a second worker would run in the place of the one that runs"


def test_labels_that_are_taken_away_without_end_hold_nobody_up() -> None:
    stage = Stage()
    running(stage)
    pods = stage.names(kube.PODS)
    read = losing_while_read(stage, 1000)
    unlabel(stage, kube.CONFIG_MAPS, stage.of())
    with pytest.raises(ConflictError, match="lose and regain their labels faster than they can be read"):
        stage.reconcile()
    assert len(read) < 10
    assert stage.names(kube.PODS) == pods


def test_what_could_not_be_looked_for_is_looked_for_again() -> None:
    stage = Stage()
    running(stage)
    unlabel(stage, kube.PODS, stage.worker(0))

    def before(call: Call) -> None:
        if call.verb == "get":
            raise RetryableError("no answer")

    stage.api.before = before
    for _ in range(2):
        with pytest.raises(RetryableError):
            stage.reconcile()
    assert [ref.name for ref in stage.store.take_doubtful(KEY)] == [stage.worker(0)]


def test_a_pod_that_is_deleted_is_asked_for_once_and_replaced() -> None:
    stage = Stage()
    running(stage)
    stage.server.remove(kube.PODS, stage.worker(0))
    stage.api.calls.clear()
    stage.reconcile()
    assert stage.worker(0, 1) in stage.names(kube.PODS)
    assert [call.name for call in stage.api.calls if call[:2] == ("get", "pods")] == [stage.worker(0)]


def test_as_long_as_the_api_server_does_not_answer_nothing_is_believed() -> None:
    stage = Stage()
    running(stage)
    unlabel(stage, kube.PODS, stage.worker(0))

    def before(call: Call) -> None:
        if call.verb == "get":
            raise RetryableError("no answer")

    stage.api.before = before
    with pytest.raises(RetryableError):
        stage.reconcile()
    stage.api.before = lambda _: None
    stage.reconcile()
    assert stage.names(kube.PODS) == [stage.head(), stage.worker(0)]


def test_a_comparison_finds_what_became_of_a_pod_without_its_label_and_calls_no_watch_blind() -> None:
    stage = Stage()
    running(stage)
    unlabel(stage, kube.PODS, stage.worker(0))
    stage.reconcile()
    end(stage, stage.worker(0), 137)
    for _ in range(3):
        comparison = compared(stage)
        assert (comparison.blind_rounds["pods"], comparison.missed["pods"]) == (0, 0)
    stage.reconcile()
    assert stage.worker(0, 1) in stage.names(kube.PODS)


def test_a_worker_that_was_not_shown_yet_is_looked_for_before_its_place_is_filled() -> None:
    stage = Stage(workers={"replicas": 2})
    running(stage)
    hidden = stage.server.objects.pop(("pods", "default", stage.worker(1)))
    stage.restart(DEFAULTS)
    stage.server.objects["pods", "default", stage.worker(1)] = hidden
    for _ in range(3):
        stage.reconcile()
    assert stage.names(kube.PODS) == [stage.head(), stage.worker(0), stage.worker(1)]
    assert KEY in stage.store.owners()


def test_an_attempt_without_a_status_has_not_ended_because_a_new_process_does_not_see_its_head() -> None:
    stage = Stage(retry={"infrastructure": 0})
    stage.reconcile()
    del stage.server.objects["trainingjobs", "default", "digits"]["status"]
    end(stage, stage.worker(0), 137)
    unlabel(stage, kube.PODS, stage.head())
    stage.restart(DEFAULTS)
    stage.store.seeded()
    for _ in range(3):
        stage.reconcile(watch=False)
        (attempt,) = stage.status()["attempts"]
        assert (attempt["cause"], attempt.get("endTime")) == ("Internal", None)
    deleted = stage.server.objects.get(("pods", "default", stage.head()), {"metadata": {}})["metadata"]
    assert "deletionTimestamp" in deleted or stage.head() not in stage.names(kube.PODS), "it is asked to stop"


def test_an_attempt_that_is_being_stopped_has_not_ended_because_a_new_process_does_not_see_its_head() -> None:
    stage = Stage()
    running(stage)
    stage.server.change(kube.JOBS, "digits", lambda job: job["spec"].update(suspend=True))
    stage.reconcile()
    unlabel(stage, kube.PODS, stage.head())
    stage.restart(DEFAULTS)
    stage.store.seeded()
    for _ in range(3):
        stage.reconcile()
        (attempt,) = stage.status()["attempts"]
        assert (attempt["cause"], attempt.get("endTime")) == ("Suspended", None)
    for name in (stage.head(), stage.worker(0)):
        stage.server.remove(kube.PODS, name)
    compared(stage)
    for _ in range(3):
        stage.reconcile()
    assert stage.status()["phase"] == "Suspended"


def test_a_pod_that_is_on_its_way_out_is_not_gone_when_it_loses_its_label() -> None:
    stage = Stage()
    running(stage)
    stage.server.delete(kube.PODS, stage.worker(0))
    stage.reconcile()
    unlabel(stage, kube.PODS, stage.worker(0))
    for _ in range(3):
        stage.reconcile()
        assert stage.names(kube.PODS) == [stage.head(), stage.worker(0)]
    stage.server.remove(kube.PODS, stage.worker(0))
    compared(stage)
    stage.reconcile()
    assert stage.names(kube.PODS) == [stage.head(), stage.worker(0, 1)]


def test_before_a_new_attempt_what_the_last_one_has_left_without_labels_is_looked_for_by_name() -> None:
    stage = Stage()
    running(stage)
    end(stage, stage.head(), 137)

    def before(call: Call) -> None:
        if call.verb == "delete":
            raise RetryableError("no answer")

    stage.api.before = before
    for _ in range(3):
        with contextlib.suppress(RetryableError):
            stage.reconcile()
    assert stage.status()["attempts"][0]["endTime"]
    assert stage.worker(0) in stage.names(kube.PODS)
    stage.server.change(kube.PODS, stage.worker(0), lambda pod: pod["metadata"].pop("labels"))
    stage.api.before = lambda _: None
    stage.restart(DEFAULTS)
    for _ in range(6):
        stage.reconcile()
        stage.now += 40
        there = stage.names(kube.PODS)
        assert not {stage.worker(0), stage.head(attempt=2)} <= set(there), "two attempts run at the same time"
        pod = stage.server.find(kube.PODS, stage.worker(0))
        if pod is not None and pod["metadata"].get("deletionTimestamp"):
            stage.server.remove(kube.PODS, stage.worker(0))
    assert stage.head(attempt=2) in stage.names(kube.PODS)


def test_a_replacement_without_its_label_is_looked_for_before_a_new_process_fills_what_was_refused() -> None:
    stage = Stage(workers={"replicas": 2})
    stage.reconcile()
    end(stage, stage.worker(0), 137)
    for _ in range(3):
        stage.reconcile()
    assert stage.names(kube.PODS) == [stage.head(), stage.worker(0, 1), stage.worker(1)]
    stage.refuse(DeniedError("exceeded quota"), naming="worker-1")
    stage.server.remove(kube.PODS, stage.worker(1))
    stage.reconcile()
    assert stage.condition("Scheduled")["reason"] == "PodsRefused"
    unlabel(stage, kube.PODS, stage.worker(0, 1))
    stage.restart(DEFAULTS)
    stage.store.seeded()
    stage.api.before = lambda _: None
    for _ in range(3):
        stage.reconcile()
    assert stage.names(kube.PODS) == [stage.head(), stage.worker(0, 1), stage.worker(1)]
