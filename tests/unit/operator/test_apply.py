"""Plans carried out against an API server in memory."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from headway_api import wire
from headway_operator import kube
from headway_operator.apply import Applier, merge_patch
from headway_operator.cache import Cache
from headway_operator.controller import Controller
from headway_operator.kube import ConflictError, DeniedError, InvalidError, NotFoundError, RetryableError
from headway_operator.plan.model import Job, Notice
from headway_operator.plan.times import to_text
from sim.builders import DEFAULTS, T0, document
from sim.fakes.api import ApiServer, Call, FakeKube

KEY = ("default", "digits")


class Stage:
    """An API server, and an operator that looks when it is told to."""

    def __init__(self, **spec: Any) -> None:
        self.now = T0
        self.server = ApiServer(lambda: self.now)
        self.api = FakeKube(self.server)
        self.cache = Cache()
        self.notices: list[str] = []
        self.served = False
        """Whether there are PodGroups."""
        applier = Applier(
            self.api, self.cache, pull_policy="IfNotPresent", now=lambda: self.now, new_token=lambda: "secret"
        )
        self.controller = Controller(
            api=self.api,
            cache=self.cache,
            applier=applier,
            recorder=self,
            defaults=DEFAULTS,
            now=lambda: self.now,
            pod_groups=lambda: self.served,
        )
        self.server.create(kube.JOBS, "default", document(**spec))

    def post(self, job: Job, notices: tuple[Notice, ...]) -> None:
        assert job.namespace == "default"
        self.notices += [notice.reason for notice in notices]

    def watch(self) -> None:
        """Let the watches show what has happened."""
        for event in self.server.events:
            kind: Any = event.type
            if event.resource == "trainingjobs":
                self.cache.see_job(kind, event.body)
            elif event.resource == "pods":
                self.cache.see_pod(kind, event.body, self.now)
            elif event.resource == "configmaps":
                self.cache.see_config(kind, event.body, self.now)
        self.server.events.clear()

    def look(self, *, watch: bool = True) -> float | None:
        if watch:
            self.watch()
        return asyncio.run(self.controller.reconcile(KEY))

    def status(self) -> dict[str, Any]:
        job = self.server.find(kube.JOBS, "digits")
        assert job is not None
        status: dict[str, Any] = job["status"]
        return status

    def names(self, resource: kube.Resource) -> list[str]:
        return sorted(body["metadata"]["name"] for body in self.server.of(resource))

    def condition(self, kind: str) -> dict[str, Any]:
        return next(item for item in self.status()["conditions"] if item["type"] == kind)


def test_the_first_look_creates_all_and_writes_the_status_last() -> None:
    stage = Stage(workers={"replicas": 2})
    stage.look()
    assert stage.names(kube.PODS) == ["digits-1-head", "digits-1-worker-0-0", "digits-1-worker-1-0"]
    for resource in (kube.CONFIG_MAPS, kube.SECRETS, kube.SERVICES, kube.NETWORK_POLICIES):
        assert stage.names(resource) == ["digits-1"]
    assert stage.names(kube.SERVICE_ACCOUNTS) == stage.names(kube.ROLE_BINDINGS) == ["headway-trainer"]
    assert stage.server.writes[-1] == ("patch", "trainingjobs", "digits")
    assert stage.status()["phase"] == "Starting"
    assert stage.notices == ["AttemptStarted"]


def test_a_pod_group_is_made_before_the_pods_and_goes_with_the_attempt() -> None:
    stage = Stage()
    stage.served = True
    stage.look()
    order = [resource for _, resource, _ in stage.server.writes]
    assert order.index("podgroups") < order.index("pods")
    group = stage.server.find(kube.POD_GROUPS, "digits-1")
    assert group is not None
    assert group["spec"] == {"schedulingPolicy": {"gang": {"minCount": 2}}}
    # What it began with holds to the end, whatever the API server serves by then.
    stage.served = False
    stage.server.change(kube.JOBS, "digits", lambda job: job["spec"].update(suspend=True))
    for _ in range(6):
        stage.look()
        stage.now += 200
    assert stage.status()["phase"] == "Suspended"
    assert stage.names(kube.POD_GROUPS) == []


def running_stage() -> Stage:
    """A job whose pods are all ready, and whose driver has just spoken."""
    stage = Stage()
    stage.look()

    def ready(pod: dict[str, Any]) -> None:
        pod["spec"]["nodeName"] = "node-1"
        pod["status"] = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}

    for name in stage.names(kube.PODS):
        stage.server.change(kube.PODS, name, ready)
    speak(stage)
    stage.look()
    assert stage.status()["phase"] == "Running"
    return stage


def speak(stage: Stage) -> None:
    """The driver gives its sign of life."""
    word = wire.ProgressFile(attempt=1, heartbeat_time=to_text(stage.now)).model_dump_json(by_alias=True)
    stage.server.change(kube.CONFIG_MAPS, "digits-1", lambda body: body["data"].update({wire.KEY_PROGRESS: word}))


def test_a_driver_that_speaks_goes_on_and_one_that_falls_silent_is_stopped() -> None:
    stage = running_stage()
    for _ in range(20):
        stage.now += 60
        speak(stage)
        stage.look()
    assert stage.status()["phase"] == "Running"
    due = stage.look()
    assert due == pytest.approx(stage.now + 210, abs=1)
    stage.now += 211
    stage.look()
    assert stage.status()["attempts"][0]["cause"] == "Hang"
    stage.look()
    head = stage.server.find(kube.PODS, "digits-1-head")
    assert head is not None
    assert "deletionTimestamp" in head["metadata"]


def test_a_watch_that_is_silent_ends_no_driver_that_speaks() -> None:
    stage = running_stage()
    stage.now += 400
    speak(stage)
    stage.look(watch=False)
    assert stage.status()["phase"] == "Running"
    assert "cause" not in stage.status()["attempts"][0]


def test_pods_come_after_what_they_mount() -> None:
    stage = Stage()
    stage.look()
    order = [resource for _, resource, _ in stage.server.writes]
    assert max(order.index("configmaps"), order.index("secrets"), order.index("serviceaccounts")) < order.index("pods")


def test_a_second_look_before_the_watch_shows_anything_does_nothing() -> None:
    stage = Stage()
    stage.look()
    writes = len(stage.server.writes)
    stage.look(watch=False)
    assert len(stage.server.writes) == writes


def test_every_object_of_an_attempt_has_the_job_as_its_owner_that_blocks_nothing() -> None:
    stage = Stage()
    stage.look()
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
        stage.look(watch=False)
    stage.look()
    stage.look()
    assert stage.names(kube.PODS) == ["digits-1-head", "digits-1-worker-0-0"]
    assert stage.status()["attempt"] == 1
    assert "failures" not in stage.status()


def test_a_status_write_on_old_knowledge_is_a_conflict_and_changes_nothing() -> None:
    stage = Stage()
    stage.watch()
    stage.server.change(kube.JOBS, "digits", lambda job: job["spec"].update(suspend=True))
    with pytest.raises(kube.ConflictError):
        stage.look(watch=False)
    job = stage.server.find(kube.JOBS, "digits")
    assert job is not None
    assert "status" not in job


def test_an_object_of_somebody_else_is_never_taken_nor_deleted() -> None:
    stage = Stage(suspend=False)
    foreign = {"metadata": {"name": "digits-1"}, "spec": {}}
    stage.server.create(kube.SERVICES, "default", foreign)
    stage.look()
    assert stage.condition("Scheduled")["reason"] == "PodsRefused"
    assert "Service digits-1" in stage.condition("Running")["message"]
    assert stage.names(kube.PODS) == []
    stage.server.change(kube.JOBS, "digits", lambda job: job["spec"].update(suspend=True))
    for _ in range(5):
        stage.look()
    assert stage.status()["phase"] == "Suspended"
    assert stage.names(kube.SERVICES) == ["digits-1"]
    assert stage.names(kube.SECRETS) == []


def test_a_quota_is_told_in_the_status_and_asked_again_with_growing_delay() -> None:
    stage = Stage()

    def before(call: Call) -> None:
        if call[:2] == ("create", "pods"):
            raise DeniedError(f'pods "{call.name}" is forbidden: exceeded quota')

    stage.api.before = before
    delays = []
    for _ in range(6):
        again_at = stage.look()
        assert again_at is not None
        delays.append(again_at - stage.now)
        stage.now = again_at
    assert delays == [5, 10, 20, 40, 60, 60]
    assert "exceeded quota" in stage.condition("Running")["message"]
    stage.api.before = lambda *_: None
    stage.look()
    assert len(stage.names(kube.PODS)) == 2
    stage.look()
    assert stage.condition("Scheduled")["reason"] == "WaitingForNodes"


def test_a_pod_that_the_api_server_cannot_accept_fails_the_job_with_its_words() -> None:
    stage = Stage()

    def before(call: Call) -> None:
        if call[:2] == ("create", "pods"):
            raise InvalidError('strict decoding error: unknown field "spec.nodeSelektor"')

    stage.api.before = before
    for _ in range(3):
        stage.look()
    assert stage.status()["phase"] == "Failed"
    assert "nodeSelektor" in stage.condition("Failed")["message"]
    assert stage.condition("Failed")["reason"] == "InvalidSpec"
    assert stage.names(kube.CONFIG_MAPS) == []


def test_a_template_of_the_wrong_shape_fails_the_job_and_names_the_field() -> None:
    stage = Stage(workers={"template": {"spec": {"containers": "main"}}})
    for _ in range(4):
        stage.look()
    assert "spec.workers.template.spec.containers must be a list" in stage.condition("Failed")["message"]
    assert stage.names(kube.PODS) == []


def test_a_pod_that_was_there_already_is_known_with_its_state() -> None:
    stage = Stage()
    stage.look()

    def run(pod: dict[str, Any]) -> None:
        pod["spec"]["nodeName"] = "n1"
        pod["status"] = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}

    for name in stage.names(kube.PODS):
        stage.server.change(kube.PODS, name, run)
    del stage.server.objects["trainingjobs", "default", "digits"]["status"]
    fresh = Stage()
    fresh.server = stage.server
    fresh.api.server = stage.server
    job = stage.server.find(kube.JOBS, "digits")
    assert job is not None
    fresh.cache.see_job(None, job)
    fresh.look(watch=False)
    fresh.look(watch=False)
    assert fresh.status()["phase"] == "Running"


def test_the_token_is_in_the_secret_and_nowhere_else() -> None:
    stage = Stage()
    stage.look()
    secret = stage.server.find(kube.SECRETS, "digits-1")
    assert secret is not None
    assert secret["stringData"] == {"token": "secret"}
    others = [body for (kind, _, _), body in stage.server.objects.items() if kind != "secrets"]
    assert '"secret"' not in str(others).replace("'", '"').replace('"secret":', "")


def test_run_json_is_what_the_trainer_reads() -> None:
    stage = Stage(workers={"replicas": 3, "template": {"metadata": {"labels": {"a": "b"}}}})
    stage.look()
    config = stage.server.find(kube.CONFIG_MAPS, "digits-1")
    assert config is not None
    run = wire.RunFile.model_validate_json(config["data"]["run.json"])
    assert (run.attempt, run.config_map, run.spec.workers.replicas, run.spec.image) == (1, "digits-1", 3, "trainer:1")
    assert run.storage_uri == f"s3://bucket/headway/default/digits-{run.uid[:8]}"
    assert run.spec.workers.template == {}
    assert config["metadata"]["annotations"] == {wire.ANNOTATION_WRITER: "digits-1-head", wire.ANNOTATION_WORKERS: "3"}


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


def test_a_config_map_that_somebody_deleted_is_made_again() -> None:
    stage = Stage()
    stage.look()
    stage.look()
    stage.server.delete(kube.CONFIG_MAPS, "digits-1")
    stage.look()
    assert stage.names(kube.CONFIG_MAPS) == ["digits-1"]
    assert stage.status()["attempt"] == 1


def running(stage: Stage) -> None:
    """Two looks and all pods ready: the attempt runs."""
    for _ in range(2):
        stage.look()
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    for name in stage.names(kube.PODS):
        stage.server.change(kube.PODS, name, lambda pod: pod.update(status=ready))
    stage.look()
    assert stage.status()["phase"] == "Running"


def test_what_somebody_deleted_is_made_again_when_a_worker_has_to_join() -> None:
    stage = Stage()
    running(stage)
    for resource in (kube.SERVICES, kube.NETWORK_POLICIES, kube.CONFIG_MAPS):
        stage.server.delete(resource, "digits-1")
    stage.server.remove(kube.PODS, "digits-1-worker-0-0")
    stage.api.calls.clear()
    stage.look()
    stage.look()
    assert "digits-1-worker-0-1" in stage.names(kube.PODS)
    for resource in (kube.SERVICES, kube.NETWORK_POLICIES, kube.CONFIG_MAPS):
        assert stage.names(resource) == ["digits-1"]
    assert stage.status()["attempt"] == 1
    assert not [call for call in stage.api.calls if call.verb == "create" and call.resource == "secrets"]


def test_nothing_is_made_again_for_a_job_whose_deletion_the_watch_has_not_shown() -> None:
    stage = Stage()
    running(stage)
    del stage.server.objects[kube.JOBS.plural, "default", "digits"]
    stage.server.delete(kube.CONFIG_MAPS, "digits-1")
    stage.api.calls.clear()
    with pytest.raises(NotFoundError):
        stage.look()
    assert [call for call in stage.api.calls if call.verb == "create"] == []


def test_a_token_that_somebody_deleted_ends_the_attempt_when_a_worker_has_to_join() -> None:
    stage = Stage()
    running(stage)
    stage.server.delete(kube.SECRETS, "digits-1")
    stage.look()
    assert stage.status()["phase"] == "Running", "pods that run have read it"
    stage.server.remove(kube.PODS, "digits-1-worker-0-0")
    for _ in range(3):
        stage.look()
    first = stage.status()["attempts"][0]
    assert first["cause"] == "Internal"
    assert "deleted the Secret digits-1 with Ray's token" in first["message"]
    assert stage.names(kube.SECRETS) == []


def test_a_running_job_asks_for_nothing_that_is_not_watched() -> None:
    stage = Stage()
    running(stage)
    stage.api.calls.clear()
    for _ in range(3):
        stage.now += 100
        stage.look()
    assert [call for call in stage.api.calls if call.verb != "patch"] == []


def test_what_a_namespace_needs_is_made_again_for_attempts_ten_minutes_later() -> None:
    stage = Stage()
    stage.look()
    stage.look()
    stage.server.delete(kube.ROLE_BINDINGS, "headway-trainer")
    for name in ("early", "late"):
        stage.server.create(kube.JOBS, "default", document(name))
        stage.watch()
        asyncio.run(stage.controller.reconcile(("default", name)))
        assert bool(stage.names(kube.ROLE_BINDINGS)) == (name == "late")
        stage.now += 601


def test_what_was_refused_of_an_earlier_attempt_is_not_said_of_a_later_one() -> None:
    stage = Stage(scheduling={"startupDeadlineSeconds": 10})
    refuse = True

    def before(call: Call) -> None:
        if call[:2] == ("create", "pods") and refuse:
            raise DeniedError("exceeded quota")

    stage.api.before = before
    for _ in range(12):
        again_at = stage.look()
        stage.now = max(stage.now + 1, again_at or 0)
        if stage.status()["attempt"] == 2:
            break
        refuse = stage.status()["attempts"][-1].get("endTime") is None
    assert stage.status()["attempts"][0]["cause"] == "Unschedulable"
    assert "exceeded quota" in stage.status()["attempts"][0]["message"]
    assert stage.condition("Scheduled")["reason"] == "WaitingForNodes"


def test_a_replacement_that_is_recorded_asks_for_the_look_that_takes_the_old_pod_away() -> None:
    stage = Stage()
    running(stage)
    ended = {"name": "main", "state": {"terminated": {"exitCode": 137, "reason": "Error"}}}
    status = {"phase": "Failed", "containerStatuses": [ended]}
    stage.server.change(kube.PODS, "digits-1-worker-0-0", lambda pod: pod.update(status=status))
    stage.look()
    assert stage.look(watch=False) == stage.now
    stage.look(watch=False)
    assert [call.name for call in stage.api.calls if call[:2] == ("delete", "pods")] == ["digits-1-worker-0-0"]


@pytest.mark.parametrize("resource", ["configmaps", "pods"])
def test_a_later_attempt_that_is_refused_says_so_and_is_asked_for_again(resource: str) -> None:
    stage = Stage(retry={"infrastructure": 3})
    running(stage)
    ended = {"name": "main", "state": {"terminated": {"exitCode": 70, "reason": "Error"}}}
    status = {"phase": "Failed", "containerStatuses": [ended]}
    stage.server.change(kube.PODS, "digits-1-head", lambda pod: pod.update(status=status))

    refused: list[str] = []

    def before(call: Call) -> None:
        if call.verb == "create" and call.resource == resource:
            refused.append(call.name)
            raise DeniedError("exceeded quota")

    stage.api.before = before
    while not refused:
        again_at = stage.look()
        for name in stage.names(kube.PODS):
            pod = stage.server.find(kube.PODS, name)
            if pod is not None and pod["metadata"].get("deletionTimestamp"):
                stage.server.remove(kube.PODS, name)
        stage.now += 1
    assert again_at is not None, "nobody else will say that it is time to ask again"
    assert "exceeded quota" in stage.condition("Running")["message"]
    stage.api.before = lambda _: None
    stage.now = again_at
    stage.look()
    assert sorted(stage.names(kube.PODS)) == ["digits-2-head", "digits-2-worker-0-0"]


def test_what_was_in_the_way_and_goes_just_then_is_tried_again_and_not_taken_for_the_job_s_own_end() -> None:
    stage = Stage()
    stage.server.create(kube.SECRETS, "default", {"kind": "Secret", "metadata": {"name": "digits-1"}})

    def gone(call: Call) -> None:
        if call[:2] == ("get", "secrets"):
            stage.server.remove(kube.SECRETS, "digits-1")

    stage.api.before = gone
    with pytest.raises(ConflictError, match="has just gone"):
        stage.look()
    stage.api.before = lambda _: None
    stage.look()
    assert stage.status()["phase"] == "Starting"


def test_an_attempt_whose_config_map_could_not_be_made_leaves_nothing_else_behind() -> None:
    stage = Stage()

    def fail(call: Call) -> None:
        if call[:2] == ("create", "configmaps"):
            raise RetryableError("no answer")

    stage.api.before = fail
    with pytest.raises(RetryableError):
        stage.look()
    assert not stage.names(kube.SECRETS) + stage.names(kube.SERVICES) + stage.names(kube.NETWORK_POLICIES)
