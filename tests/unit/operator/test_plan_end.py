"""How an attempt ends, what is recorded of it, and what follows."""

from __future__ import annotations

from typing import Any

import pytest

from headway_api.status import CheckpointStatus, Progress, Result
from headway_operator.engine.times import to_text
from sim.builders import T0, UID, deleted, make_job, names, outcome, said

OUTCOMES: list[tuple[str, dict[str, Any], str | None]] = [
    ("success", {"exit_code": 0, "said": outcome("Succeeded", message="stored")}, None),
    ("success, then killed", {"exit_code": 137, "said": outcome("Succeeded")}, None),
    ("user error", {"exit_code": 64, "said": outcome("Failed", cause="UserError", message="no column y")}, "UserError"),
    ("storage", {"exit_code": 74, "said": outcome("Failed", cause="StorageError")}, "StorageError"),
    ("failed without a cause", {"exit_code": 70, "said": outcome("Failed")}, "Internal"),
    ("os._exit(0)", {"exit_code": 0}, "UserError"),
    ("exit 1, no word", {"exit_code": 1}, "Internal"),
    ("exit 64, no word", {"exit_code": 64}, "UserError"),
    ("exit 70, no word", {"exit_code": 70}, "Internal"),
    ("exit 74, no word", {"exit_code": 74}, "StorageError"),
    ("segfault", {"exit_code": 139}, "Internal"),
    ("killed", {"exit_code": 137}, "Internal"),
    ("out of memory", {"exit_code": 137, "exit_reason": "OOMKilled"}, "OutOfMemory"),
    ("another attempt's word", {"exit_code": 0, "said": outcome("Succeeded", attempt=7)}, "UserError"),
    ("no JSON", {"exit_code": 0, "said": "{not json"}, "UserError"),
    ("evicted", {"phase": "Failed", "ready": False, "reason": "Evicted"}, "Preempted"),
    ("preempted", {"exit_code": 143, "disruption": "PreemptionByScheduler"}, "Preempted"),
    (
        "too much on its disk",
        {"phase": "Failed", "reason": "Evicted", "message": 'Usage of EmptyDir volume "a" exceeds the limit "20Gi". '},
        "OutOfDisk",
    ),
    ("drained", {"exit_code": 143, "disruption": "EvictionByEvictionAPI", "said": outcome("Interrupted")}, "Preempted"),
    ("node lost", {"phase": "Failed", "ready": False, "disruption": "DeletionByTaintManager"}, "NodeLost"),
    ("node gone", {"gone": True, "ready": False, "disruption": "DeletionByPodGC"}, "NodeLost"),
    ("deleted by hand", {"exit_code": 143, "deleting": T0 + 90, "said": outcome("Interrupted")}, "Preempted"),
    ("deleted by hand, no word", {"gone": True, "deleting": T0 + 90}, "Preempted"),
    ("vanished", {"gone": True}, "NodeLost"),
    ("refused by the kubelet", {"phase": "Failed", "ready": False, "reason": "OutOfcpu"}, "Unschedulable"),
    ("image without python", {"exit_code": 128, "exit_reason": "StartError", "said": "no python"}, "UserError"),
    (
        "code not fetched",
        {"exit_code": 64, "exit_reason": "InitFailed", "said": "init container code: 404"},
        "UserError",
    ),
    ("somebody's init container", {"exit_code": 1, "exit_reason": "ForeignInitFailed", "said": "vault"}, "Internal"),
    ("node started anew", {"exit_code": 255, "exit_reason": "Unknown", "phase": "Failed"}, "NodeLost"),
    ("no trace of it", {"exit_code": 137, "exit_reason": "ContainerStatusUnknown"}, "NodeLost"),
    ("git unreachable", {"exit_code": 70, "exit_reason": "InitFailed", "said": "init container code"}, "Internal"),
]


@pytest.mark.parametrize(("head", "cause"), [row[1:] for row in OUTCOMES], ids=[row[0] for row in OUTCOMES])
def test_each_end_of_the_head_has_its_cause(head: dict[str, Any], cause: str | None) -> None:
    status = make_job().running().head(**head).worker(0).live().plan(after=100).status
    assert status is not None
    assert status.attempts[0].cause == cause
    assert status.attempts[0].end_time is not None
    if cause is not None:
        assert status.attempts[0].message


def evicted(message: str) -> dict[str, Any]:
    """A pod that its kubelet has evicted, with its words."""
    return {"phase": "Failed", "ready": False, "reason": "Evicted", "message": message}


MENDS: list[tuple[str, dict[str, Any], str]] = [
    ("failed without a word", {"exit_code": 70, "said": outcome("Failed")}, "follow the log"),
    ("os._exit(0)", {"exit_code": 0}, "take calls of os._exit out"),
    ("exit 64", {"exit_code": 64, "said": "KeyError: 'y'"}, "correct what its log ends with: KeyError: 'y'"),
    ("exit 70", {"exit_code": 70, "said": "boom"}, "exited with code 70 and left no outcome: boom"),
    ("exit 74", {"exit_code": 74}, "see that it is there"),
    ("segfault", {"exit_code": 139}, "SIGSEGV, most likely in native code: try without it"),
    ("killed", {"exit_code": 137}, "see whether the node node-1 ran out of memory"),
    ("out of memory", {"exit_code": 137, "exit_reason": "OOMKilled"}, "raise spec.head.resources.memory"),
    ("evicted", {"phase": "Failed", "ready": False, "reason": "Evicted"}, "priorityClassName"),
    (
        "a volume",
        evicted('Usage of EmptyDir volume "a" exceeds the limit "20Gi". '),
        "of volume a in spec.head.template",
    ),
    (
        "shared memory",
        evicted('Usage of EmptyDir volume "headway-shm" exceeds the limit "2Gi". '),
        "head.resources.memory",
    ),
    (
        "a container's disk",
        evicted('Container logs exceeded its local ephemeral storage limit "1Gi". '),
        "its container logs took more than 1Gi; raise resources.limits.ephemeral-storage of logs in spec.head.template",
    ),
    (
        "the pod's disk",
        evicted("Pod ephemeral local storage usage exceeds the total limit of containers 10Gi. "),
        "more than 10Gi; raise resources.limits.ephemeral-storage of its containers in spec.head.template",
    ),
    ("a full node", evicted("The node was low on resource: ephemeral-storage. "), "priorityClassName"),
    ("stopped", {"exit_code": 143}, "priorityClassName"),
    ("interrupted", {"exit_code": 143, "said": outcome("Interrupted")}, "priorityClassName"),
    ("node lost", {"phase": "Failed", "ready": False, "disruption": "DeletionByTaintManager"}, "describe node node-1"),
    ("deleted by hand", {"gone": True, "deleting": T0 + 90}, "find out by whom"),
    ("vanished", {"gone": True}, "someone deleted it by force"),
    ("refused by the kubelet", {"phase": "Failed", "ready": False, "reason": "OutOfcpu"}, "ask for less"),
    ("no python", {"exit_code": 128, "exit_reason": "StartError"}, "build it on Headway's trainer image"),
    ("silent node", {"deleting": T0 + 30}, "repair or delete the node"),
]


@pytest.mark.parametrize(("head", "words"), [row[1:] for row in MENDS], ids=[row[0] for row in MENDS])
def test_each_end_says_how_to_mend_it(head: dict[str, Any], words: str) -> None:
    status = make_job().running().head(**head).worker(0).live().plan(after=100).status
    assert status is not None
    assert words in (status.attempts[0].message or "")


def test_an_end_is_recorded_before_anything_is_deleted() -> None:
    plan = make_job().running().head(exit_code=0, said=outcome("Succeeded")).worker(0).plan(after=100)
    assert not plan.delete
    assert not plan.delete_objects
    assert plan.requeue_at == T0 + 100
    after = make_job().status(**dict(plan.status or ())).config(1).head(exit_code=0).worker(0).plan(after=100)
    assert deleted(after) == ["digits-11111-1-head", "digits-11111-1-worker-0-0"]


def test_success_completes_the_job_with_the_driver_s_result() -> None:
    word = outcome(
        "Succeeded",
        message="accuracy 0.98",
        result={"metrics": {"test/accuracy": "0.98"}},
        progress={"percent": 100, "step": 50},
        checkpoint={"uri": "s3://x/50", "step": 50, "time": to_text(T0)},
        resumedFromStep=10,
    )
    plan = make_job().running().head(exit_code=0, said=word, at=T0 + 65).worker(0).plan(after=100)
    status = plan.status
    assert status is not None
    assert status.phase == "Succeeded"
    assert said(plan, "Complete").status == "True"
    assert status.completion_time == to_text(T0 + 100)
    assert status.result == Result(metrics={"test/accuracy": "0.98"})
    assert status.progress == Progress(percent=100, step=50)
    assert status.checkpoint == CheckpointStatus(uri="s3://x/50", step=50, time=to_text(T0))
    assert status.attempts[0].end_time == to_text(T0 + 65)
    assert status.attempts[0].resumed_from_step == 10
    assert status.active_seconds == 65
    assert [notice.reason for notice in plan.notices] == ["Complete"]


def test_a_user_s_error_fails_at_once_and_says_that_retries_are_off() -> None:
    word = outcome("Failed", cause="UserError", message="the column y is missing")
    plan = make_job().running().head(exit_code=1, said=word).plan(after=100)
    failed = said(plan, "Failed")
    assert failed.reason == "UserError"
    assert "the column y is missing" in failed.message
    assert "retry.userError is 0" in failed.message
    assert [(notice.reason, notice.warning) for notice in plan.notices] == [("Failed", True)]


def test_a_lost_node_is_tried_again() -> None:
    plan = make_job().running().head(gone=True, disruption="DeletionByPodGC").live().plan(after=100)
    assert plan.status is not None
    assert plan.status.phase == "Pending"
    assert plan.status.failures is not None
    assert plan.status.failures.node_lost == 1
    assert said(plan, "Running").reason == "Retrying"
    assert [notice.reason for notice in plan.notices] == ["AttemptFailed"]


def test_a_head_that_is_missing_without_trace_is_looked_for_before_it_counts_as_lost() -> None:
    builder = make_job().running().worker(0)
    assert "live" in builder.plan().read
    status = builder.live().plan().status
    assert status is not None
    assert status.attempts[0].cause == "NodeLost"


def between(**fields: Any) -> Any:
    return make_job().attempt(1, running=T0 + 5, end=T0 + 60, cause="NodeLost", **fields)


def test_the_next_attempt_waits_for_all_pods_of_the_last() -> None:
    plan = between().worker(0, deleting=T0 + 90).live().plan(after=80)
    assert not plan.create
    assert plan.status is None or plan.status.attempt == 1
    assert plan.requeue_at is not None


def test_the_next_attempt_waits_until_the_last_one_s_token_is_gone() -> None:
    plan = between().config(1).live().plan(after=80)
    assert plan.delete_objects == (1,)
    assert not plan.create


def test_the_next_attempt_is_only_begun_after_a_live_read() -> None:
    assert "live" in between().plan(after=80).read
    plan = between().live().plan(after=80)
    assert names(plan) == ["digits-11111-2-head", "digits-11111-2-worker-0-0"]


def test_a_pod_on_a_node_that_never_answers_is_given_up_after_a_live_read() -> None:
    zombie = between().worker(0, deleting=T0 + 90)
    assert "live" not in zombie.plan(after=100).read
    assert "live" in zombie.plan(after=121).read
    assert names(zombie.live().plan(after=121))[0] == "digits-11111-2-head"


def test_while_another_pod_is_waited_for_the_api_server_is_not_asked_for_one_that_is_given_up() -> None:
    waiting = between().workers(2).worker(0, deleting=T0 + 90).worker(1, deleting=T0 + 130)
    plan = waiting.plan(after=121)
    assert not plan.read, "each of the others' ends would cost as many calls as there are pods"
    assert not plan.create
    assert "live" in waiting.plan(after=161).read


@pytest.mark.parametrize("spec", [{}, {"workers": 3}], ids=["understood", "not understood"])
@pytest.mark.parametrize("late", ["head", "worker"])
def test_a_pod_that_is_being_deleted_is_looked_at_when_its_node_has_had_its_time(
    late: str, spec: dict[str, Any]
) -> None:
    job = make_job().running().spec(**spec)
    job.head(deleting=T0 + 60 if late == "head" else None).worker(0, deleting=T0 + 60 if late == "worker" else None)
    wake = job.plan(after=50).requeue_at
    assert wake is not None, "nobody says so when a node that does not answer has had its time"
    assert T0 + 90 < wake <= T0 + 92
    assert "live" in job.plan(after=92).read or late == "worker"


def test_a_head_on_a_node_that_never_answers_ends_the_attempt() -> None:
    builder = make_job().running().head(deleting=T0 + 90).worker(0)
    assert "live" in builder.plan(after=121).read
    status = builder.live().plan(after=121).status
    assert status is not None
    assert status.attempts[0].cause == "NodeLost"


def test_the_next_attempt_waits_its_delay() -> None:
    plan = between().live().plan(after=60.4)
    assert not plan.create
    assert plan.requeue_at is not None
    assert T0 + 60.5 <= plan.requeue_at < T0 + 61.5
    assert between().live().plan(after=61.5).create


def test_a_finished_job_gives_back_everything() -> None:
    done = make_job().attempt(1, end=T0 + 60).status(phase="Succeeded").condition("Complete", True)
    plan = done.config(1).head(exit_code=0).worker(0).plan()
    assert deleted(plan) == ["digits-11111-1-head", "digits-11111-1-worker-0-0"]
    assert not plan.delete_objects, "the network policy stays while there are pods"
    plan = make_job().attempt(1, end=T0 + 60).status(phase="Succeeded").config(1).plan()
    assert plan.delete_objects == (1,)


@pytest.mark.parametrize(("after", "delete", "again"), [(50, False, T0 + 70), (70, True, None)])
def test_a_finished_job_is_deleted_after_its_ttl(after: float, delete: bool, again: float | None) -> None:
    done = make_job().spec(ttlSecondsAfterFinished=10).attempt(1, end=T0 + 60)
    plan = done.status(phase="Failed", completion_time=to_text(T0 + 60)).plan(after)
    assert plan.delete_job == delete
    assert plan.requeue_at == again


def test_a_job_without_ttl_stays() -> None:
    plan = make_job().status(phase="Failed", completion_time=to_text(T0)).plan(after=1e9)
    assert not plan.delete_job


def test_a_finished_job_is_not_begun_again_by_an_edit() -> None:
    plan = make_job().attempt(1, end=T0 + 60).status(phase="Succeeded").job(generation=5).plan()
    assert not plan.create


def test_only_the_newest_attempts_are_kept_in_the_status() -> None:
    builder = make_job().spec(retry={"infrastructure": 1000})
    for number in range(1, 26):
        builder.attempt(number, end=T0 + 1, cause="NodeLost")
    status = builder.live().plan(after=1000).status
    assert status is not None
    assert [entry.number for entry in status.attempts] == list(range(7, 27))


def test_what_an_attempt_had_goes_with_its_last_pod_though_somebody_deleted_its_config_map() -> None:
    ended = make_job().attempt(end=T0 + 50).without_config().status(phase="Succeeded")
    assert ended.worker(0).plan().delete_objects == ()
    assert ended.worker(1, gone=True).plan().delete_objects == ()
    last = make_job().attempt(end=T0 + 50).without_config().status(phase="Succeeded").worker(0, gone=True).plan()
    assert last.delete_objects == (1,)


def test_what_an_attempt_had_goes_with_its_end_where_no_config_map_will_speak_of_it() -> None:
    vanished = make_job().running().live()
    assert vanished.plan().delete_objects == (), "its ConfigMap speaks of the rest"
    unseen = vanished.without_config().plan()
    assert unseen.status is not None
    assert unseen.status.attempts[0].cause == "NodeLost"
    assert unseen.delete_objects == (1,)
    assert vanished.worker(0).plan().delete_objects == (1,), "its last pod does, to a process that sees it go"


def test_a_head_without_a_word_is_believed_when_the_api_server_knows_of_none_either() -> None:
    assert "live" in make_job().running().head(exit_code=137).plan().read
    gone = make_job().running().head(gone=True)
    assert "live" in gone.plan().read
    heard = gone.config(progress=f'{{"uid": "{UID}", "attempt": 1, "outcome": {outcome("Succeeded")}}}').live().plan()
    assert heard.status is not None
    assert heard.status.phase == "Succeeded"


def test_what_was_made_for_an_attempt_goes_though_nothing_that_is_watched_speaks_of_it() -> None:
    ended = make_job().attempt(end=T0 + 50).without_config().status(phase="Succeeded")
    assert ended.plan().delete_objects == ()
    assert ended.seen(left=frozenset({1})).plan().delete_objects == (1,)
    later = make_job().attempt(1, end=T0 + 50, cause="NodeLost").running(2).head(2).worker(0, 2)
    assert later.seen(left=frozenset({1, 2})).plan().delete_objects == (1,), "not those of the attempt that runs"


@pytest.mark.parametrize(
    ("artifacts", "message"),
    [
        ([{"name": "model", "uri": "s3://m/model.safetensors", "sha256": "0", "sizeBytes": 1}], "the model is stored"),
        (
            [{"name": "report", "uri": "s3://m/report.md", "sha256": "0", "sizeBytes": 1}],
            "training has ended, and has left no model",
        ),
    ],
)
def test_a_job_says_that_a_model_is_stored_only_where_its_driver_names_one(
    artifacts: list[dict[str, Any]], message: str
) -> None:
    word = outcome("Succeeded", result={"artifacts": artifacts})
    plan = make_job().running().head(exit_code=0, said=word, at=T0 + 65).worker(0).plan(after=100)
    assert said(plan, "Complete").message == message
