"""What somebody has deleted: made again where it can be, told where it cannot, and nothing is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from headway_operator.engine import kube
from headway_operator.engine.kube import NotFoundError
from sim.builders import document
from unit.operator.stage import KEY, Stage, running


def test_a_config_map_that_somebody_deleted_is_made_again() -> None:
    stage = Stage()
    stage.reconcile()
    stage.reconcile()
    stage.server.delete(kube.CONFIG_MAPS, stage.of())
    stage.reconcile()
    assert stage.names(kube.CONFIG_MAPS) == [stage.of()]
    assert stage.status()["attempt"] == 1


def test_what_somebody_deleted_is_made_again_when_a_worker_has_to_join() -> None:
    stage = Stage()
    running(stage)
    for resource in (kube.SERVICES, kube.NETWORK_POLICIES, kube.CONFIG_MAPS):
        stage.server.delete(resource, stage.of())
    stage.server.remove(kube.PODS, stage.worker(0))
    stage.api.calls.clear()
    stage.reconcile()
    stage.reconcile()
    assert stage.worker(0, 1) in stage.names(kube.PODS)
    for resource in (kube.SERVICES, kube.NETWORK_POLICIES, kube.CONFIG_MAPS):
        assert stage.names(resource) == [stage.of()]
    assert stage.status()["attempt"] == 1
    assert not [call for call in stage.api.calls if call.verb == "create" and call.resource == "secrets"]


@pytest.mark.parametrize("begin", [running, Stage.reconcile], ids=["running", "starting"])
def test_nothing_is_made_again_for_a_job_whose_deletion_the_watch_has_not_shown(begin: Callable[[Stage], Any]) -> None:
    stage = Stage()
    begin(stage)
    del stage.server.objects[kube.JOBS.plural, "default", "digits"]
    stage.server.delete(kube.CONFIG_MAPS, stage.of())
    stage.api.calls.clear()
    with pytest.raises(NotFoundError):
        stage.reconcile()
    assert [call for call in stage.api.calls if call.verb == "create"] == []


def test_a_token_that_somebody_deleted_ends_the_attempt_when_a_worker_has_to_join() -> None:
    stage = Stage()
    running(stage)
    stage.server.delete(kube.SECRETS, stage.of())
    stage.reconcile()
    assert stage.status()["phase"] == "Running", "pods that run have read it"
    stage.server.remove(kube.PODS, stage.worker(0))
    for _ in range(3):
        stage.reconcile()
    first = stage.status()["attempts"][0]
    assert first["cause"] == "Internal"
    assert f"deleted the Secret {stage.of()} with Ray's token" in first["message"]
    assert stage.names(kube.SECRETS) == []


def test_what_a_namespace_needs_is_made_again_for_attempts_ten_minutes_later() -> None:
    stage = Stage()
    stage.reconcile()
    stage.reconcile()
    stage.server.delete(kube.ROLE_BINDINGS, "headway-trainer")
    for name in ("early", "late"):
        stage.server.create(kube.JOBS, "default", document(name))
        stage.watch()
        asyncio.run(stage.reconciler.reconcile(KEY._replace(name=name)))
        assert bool(stage.names(kube.ROLE_BINDINGS)) == (name == "late")
        stage.now += 601


def test_what_an_attempt_had_goes_though_its_pods_and_its_config_map_went_unseen() -> None:
    stage = Stage(retry={"infrastructure": 3})
    running(stage)
    stage.server.delete(kube.CONFIG_MAPS, stage.of())
    for name in stage.names(kube.PODS):
        stage.server.remove(kube.PODS, name)
    stage.watch()
    stage.store.forget(KEY, [pod.uid for pod in stage.children(kube.PODS)])
    while stage.status()["attempt"] == 1:
        stage.reconcile()
        stage.now += 1
    stage.reconcile()
    for resource in (kube.SECRETS, kube.SERVICES, kube.NETWORK_POLICIES):
        assert stage.names(resource) == [stage.of(2)]
