"""Plans carried out against an API server in memory: what is made, and what is written."""

from __future__ import annotations

from typing import Any

import pytest

from headway_api import wire
from headway_api.storage import Storage
from headway_operator.engine import kube
from headway_operator.engine.apply import merge_patch
from headway_operator.engine.kube import RetryableError
from headway_operator.training.plan.spec import Defaults
from sim.builders import DEFAULTS
from sim.fakes.api import Call
from unit.operator.stage import Stage, all_ready, end, let_go, running, speak


def test_the_first_reconcile_creates_all_and_writes_the_status_last() -> None:
    stage = Stage(workers={"replicas": 2})
    stage.reconcile()
    assert stage.names(kube.PODS) == [stage.head(), stage.worker(0), stage.worker(1)]
    for resource in (kube.CONFIG_MAPS, kube.SECRETS, kube.SERVICES, kube.NETWORK_POLICIES):
        assert stage.names(resource) == [stage.of()]
    assert stage.names(kube.SERVICE_ACCOUNTS) == stage.names(kube.ROLE_BINDINGS) == ["headway-trainer"]
    assert stage.server.writes[-1] == ("patch", "trainingjobs", "digits", "default")
    assert stage.status()["phase"] == "Starting"
    assert stage.notices == ["AttemptStarted"]


def test_a_pod_group_is_made_before_the_pods_and_goes_with_the_attempt() -> None:
    stage = Stage()
    stage.served = True
    stage.reconcile()
    order = [call.resource for call in stage.server.writes]
    assert order.index("podgroups") < order.index("pods")
    group = stage.server.find(kube.POD_GROUPS, stage.of())
    assert group is not None
    assert group["spec"] == {"schedulingPolicy": {"gang": {"minCount": 2}}}
    # What it began with holds to the end, whatever the API server serves by then.
    stage.served = False
    stage.server.change(kube.JOBS, "digits", lambda job: job["spec"].update(suspend=True))
    for _ in range(6):
        stage.reconcile()
        stage.now += 200
    assert stage.status()["phase"] == "Suspended"
    assert stage.names(kube.POD_GROUPS) == []


def test_a_driver_that_speaks_goes_on_and_one_that_falls_silent_is_stopped() -> None:
    stage = Stage()
    running(stage)
    for _ in range(20):
        stage.now += 60
        speak(stage)
        stage.reconcile()
    assert stage.status()["phase"] == "Running"
    due = stage.reconcile()
    assert due == pytest.approx(stage.now + 210, abs=1)
    stage.now += 211
    stage.reconcile()
    assert stage.status()["attempts"][0]["cause"] == "Hang"
    stage.reconcile()
    head = stage.server.find(kube.PODS, stage.head())
    assert head is not None
    assert "deletionTimestamp" in head["metadata"]


def test_a_watch_that_is_silent_ends_no_driver_that_speaks() -> None:
    stage = Stage()
    running(stage)
    stage.now += 400
    speak(stage)
    stage.reconcile(watch=False)
    assert stage.status()["phase"] == "Running"
    assert "cause" not in stage.status()["attempts"][0]


def test_pods_come_after_what_they_mount() -> None:
    stage = Stage()
    stage.reconcile()
    order = [call.resource for call in stage.server.writes]
    assert max(order.index("configmaps"), order.index("secrets"), order.index("serviceaccounts")) < order.index("pods")


def test_a_second_look_before_the_watch_shows_anything_does_nothing() -> None:
    stage = Stage()
    stage.reconcile()
    writes = len(stage.server.writes)
    stage.reconcile(watch=False)
    assert len(stage.server.writes) == writes


def test_every_object_of_an_attempt_has_the_job_as_its_owner_that_blocks_nothing() -> None:
    stage = Stage()
    stage.reconcile()
    job = stage.server.find(kube.JOBS, "digits")
    assert job is not None
    for resource in (kube.PODS, kube.CONFIG_MAPS, kube.SECRETS, kube.SERVICES, kube.NETWORK_POLICIES):
        for body in stage.server.of(resource):
            (owner,) = body["metadata"]["ownerReferences"]
            assert (owner["uid"], owner["controller"]) == (job["metadata"]["uid"], True)
            assert "blockOwnerDeletion" not in owner
            assert "finalizers" not in body["metadata"]


@pytest.mark.parametrize("lost", ["pods", "configmaps", "secrets", "services", "trainingjobs"])
def test_a_write_whose_answer_is_lost_is_not_made_twice(lost: str) -> None:
    stage = Stage()
    failures = [RetryableError("time-out")]

    def after(call: Call) -> None:
        if call.resource == lost and failures:
            raise failures.pop()

    stage.api.after = after
    stage.watch()
    with pytest.raises(RetryableError):
        stage.reconcile(watch=False)
    stage.reconcile()
    stage.reconcile()
    assert stage.names(kube.PODS) == [stage.head(), stage.worker(0)]
    assert stage.status()["attempt"] == 1
    assert "failures" not in stage.status()


def test_a_status_write_on_old_knowledge_is_a_conflict_and_changes_nothing() -> None:
    stage = Stage()
    stage.watch()
    stage.server.change(kube.JOBS, "digits", lambda job: job["spec"].update(suspend=True))
    with pytest.raises(kube.ConflictError):
        stage.reconcile(watch=False)
    job = stage.server.find(kube.JOBS, "digits")
    assert job is not None
    assert "status" not in job


def test_a_pod_that_was_there_already_is_known_with_its_state() -> None:
    stage = Stage()
    stage.reconcile()
    all_ready(stage)
    del stage.server.objects["trainingjobs", "default", "digits"]["status"]
    fresh = one_that_knows_but_the_job(stage)
    fresh.reconcile(watch=False)
    fresh.reconcile(watch=False)
    assert fresh.status()["phase"] == "Running"


def test_what_was_there_already_is_read_before_the_status_tells_of_it() -> None:
    stage = Stage(tuning=raisable(2), workers={"replicas": 2})
    stage.refuse(RetryableError("gone for now"), "secrets")
    with pytest.raises(RetryableError):
        stage.reconcile()
    assert stage.names(kube.CONFIG_MAPS) == [stage.of()]
    stage.server.change(
        kube.JOBS, "digits", lambda job: job["spec"].update(tuning=raisable(4), workers={"replicas": 1})
    )
    job = stage.server.find(kube.JOBS, "digits")
    assert job is not None
    fresh = one_that_knows_but_the_job(stage)
    fresh.reconcile(watch=False)
    assert "status" not in stage.server.objects["trainingjobs", "default", "digits"], "what it would say is wrong"
    fresh.reconcile(watch=False)
    (attempt,) = fresh.status()["attempts"]
    assert (attempt["trials"], fresh.status()["workers"]["desired"]) == (2, 2), "as its driver is told"


def test_a_spec_is_not_judged_again_where_but_pods_say_that_the_job_has_begun() -> None:
    stage = Stage()
    stage.reconcile()
    stage.server.delete(kube.CONFIG_MAPS, stage.of())
    job = stage.server.objects["trainingjobs", "default", "digits"]
    del job["status"]
    job["spec"]["newer"] = True
    stage.restart(DEFAULTS)
    stage.reconcile()
    assert stage.condition("Accepted")["status"] == "True"
    assert stage.names(kube.CONFIG_MAPS) == [stage.of()]


def one_that_knows_but_the_job(stage: Stage) -> Stage:
    """Another operator, whose watches have not shown any of the job's objects yet."""
    fresh = Stage()
    fresh.server = fresh.api.server = stage.server
    job = stage.server.find(kube.JOBS, "digits")
    assert job is not None
    fresh.store.see(kube.JOBS, None, job, fresh.now)
    return fresh


def raisable(trials: int) -> dict[str, Any]:
    """A search whose trials can be raised."""
    return {"trials": trials, "parameters": {"training.optimizer.lr": {"uniform": {"min": 0.1, "max": 0.2}}}}


def test_the_token_is_in_the_secret_and_nowhere_else() -> None:
    stage = Stage()
    stage.reconcile()
    secret = stage.server.find(kube.SECRETS, stage.of())
    assert secret is not None
    assert secret["stringData"][wire.KEY_TOKEN] == "secret"
    others = [body for (kind, _, _), body in stage.server.objects.items() if kind != "secrets"]
    assert '"secret"' not in str(others).replace("'", '"').replace('"secret":', "")


def test_run_json_is_what_the_trainer_reads() -> None:
    stage = Stage(workers={"replicas": 3, "template": {"metadata": {"labels": {"a": "b"}}}})
    stage.reconcile()
    run = stage.run_file()
    assert (run.attempt, run.config_map, run.spec.workers.replicas, run.spec.image) == (1, stage.of(), 3, "trainer:1")
    assert run.storage_uri == f"s3://bucket/headway/default/digits-{run.uid[:8]}"
    assert run.spec.workers.template == {}


def test_a_config_map_has_room_for_what_the_driver_says_and_tells_who_may_write_and_how_often() -> None:
    stage = Stage(workers={"replicas": 3})
    stage.reconcile()
    config = stage.server.find(kube.CONFIG_MAPS, stage.of())
    assert config is not None
    assert config["data"] == {wire.KEY_PROGRESS: ""}
    assert config["metadata"]["annotations"] == {
        wire.ANNOTATION_WRITER: stage.head(),
        wire.ANNOTATION_WORKERS: "3",
        wire.ANNOTATION_PROGRESS_SECONDS: "2.000",
    }
    (seen,) = stage.children(kube.CONFIG_MAPS)
    assert (seen.workers, seen.progress_seconds) == (3, stage.run_file().progress_seconds)


@pytest.mark.parametrize(
    ("before", "after", "patch"),
    [
        ({}, {"a": 1}, {"a": 1}),
        ({"a": 1}, {"a": 1}, {}),
        ({"a": 1, "b": 2}, {"b": 2}, {"a": None}),
        ({"a": {"x": 1, "y": 2}}, {"a": {"x": 1, "z": 3}}, {"a": {"y": None, "z": 3}}),
        ({"a": [1]}, {"a": [1, 2]}, {"a": [1, 2]}),
        ({"a": 1}, {"a": {"x": 1}}, {"a": {"x": 1}}),
    ],
)
def test_the_status_patch_is_the_difference(before: Any, after: Any, patch: Any) -> None:
    assert merge_patch(before, after) == patch


def test_a_running_job_asks_for_nothing_that_is_not_watched() -> None:
    stage = Stage()
    running(stage)
    stage.api.calls.clear()
    for _ in range(3):
        stage.now += 100
        stage.reconcile()
    assert [call for call in stage.api.calls if call.verb != "patch"] == []


def test_a_replacement_that_is_recorded_asks_for_the_look_that_takes_the_old_pod_away() -> None:
    stage = Stage()
    running(stage)
    end(stage, stage.worker(0), 137)
    stage.reconcile()
    assert stage.reconcile(watch=False) == stage.now
    stage.reconcile(watch=False)
    assert [call.name for call in stage.api.calls if call[:2] == ("delete", "pods")] == [stage.worker(0)]


def test_an_upgrade_of_the_operator_changes_neither_a_running_attempt_s_image_nor_where_a_job_s_files_lie() -> None:
    stage = Stage(retry={"infrastructure": 3})
    running(stage)
    assert stage.status()["attempts"][0]["image"] == DEFAULTS.image
    assert DEFAULTS.storage is not None
    assert stage.status()["storage"]["uri"] == DEFAULTS.storage.uri
    stage.restart(Defaults(image="trainer:newer", storage=Storage(uri="s3://elsewhere")))
    stage.server.remove(kube.PODS, stage.worker(0))
    for _ in range(3):
        stage.reconcile()
    replacement = stage.server.find(kube.PODS, stage.worker(0, 1))
    assert replacement is not None
    assert replacement["spec"]["containers"][0]["image"] == DEFAULTS.image, "Ray's processes are of one version"
    stage.server.remove(kube.PODS, stage.head())
    while stage.status()["attempt"] == 1:
        stage.reconcile()
        let_go(stage)
        stage.now += 1
    assert stage.status()["attempts"][1]["image"] == "trainer:newer"
    assert DEFAULTS.storage is not None
    assert stage.run_file(2).storage_uri.startswith(f"{DEFAULTS.storage.uri}/")


def test_a_default_that_is_taken_away_fails_no_job_that_has_begun() -> None:
    stage = Stage()
    running(stage)
    stage.restart(Defaults())
    for _ in range(3):
        stage.reconcile()
    assert stage.status()["phase"] == "Running"
    stage.server.change(kube.JOBS, "digits", lambda job: job["spec"].update(suspend=True))
    for _ in range(6):
        stage.reconcile()
        stage.now += 200
    stage.server.change(kube.JOBS, "digits", lambda job: job["spec"].update(suspend=False))
    for _ in range(3):
        stage.reconcile()
    assert stage.status()["phase"] == "Starting"
