"""The operator's process before a real API server, scheduler and controllers; nodes and pods are kwok's."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from cluster.paper import SYSTEM, Operator, Paper, crds, why_no_paper

pytestmark = pytest.mark.cluster
ONCE = ("serviceaccounts", "rolebindings", "leases")
"""What the operator creates once, not for each job."""
GRACE_SECONDS = 15
"""terminationGracePeriodSeconds of its pod in the chart."""


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Paper]:
    """A control plane with two kwok nodes, the CRDs, and the operator's rights."""
    if reason := why_no_paper():
        pytest.skip(reason)
    with Paper.made("operator", tmp_path_factory.mktemp("operator")) as made:
        yield made


@pytest.fixture(autouse=True)
def clean(paper: Paper) -> Iterator[None]:
    """No job and no process is left for the next test."""
    yield
    paper.end_all()
    paper.cluster.kubectl("delete", "tj", "--all", "--wait=false")
    paper.until("no job", lambda: not paper.cluster.items("tj"))
    # The garbage collector learns of a new kind only half a minute after it was installed.
    paper.until("no pod", lambda: not paper.cluster.items("pods"))


@pytest.fixture
def operator(paper: Paper) -> Iterator[Operator]:
    """The operator at work."""
    with paper.operator() as made:
        yield made


def test_a_job_becomes_pods_runs_and_ends_with_what_its_driver_said(paper: Paper, operator: Operator) -> None:
    paper.submit("digits", workers={"replicas": 2})
    status = paper.phase("digits", "Running")
    assert status["workers"] == {"desired": 2, "ready": 2}
    assert sorted(pod["metadata"]["name"] for pod in paper.pods("digits")) == [
        paper.head("digits"),
        paper.worker("digits", 0),
        paper.worker("digits", 1),
    ]
    paper.say("digits", {"percent": 38, "step": 7, "metrics": {"train/loss": "0.2"}})
    paper.until("progress in the status", lambda: paper.status("digits").get("progress", {}).get("step") == 7)
    assert "38%" in paper.cluster.kubectl("get", "tj", "digits")
    paper.end_driver("digits", "Succeeded", message="stored", result={"metrics": {"test/accuracy": "0.98"}})
    status = paper.phase("digits", "Succeeded")
    assert status["result"]["metrics"] == {"test/accuracy": "0.98"}
    paper.cluster.kubectl("wait", "--for=condition=Complete", "tj/digits", "--timeout=120s")
    paper.nothing_left("digits")
    assert paper.status("digits")["result"] == status["result"]
    paper.until("its Events", lambda: {"AttemptStarted", "Running", "Complete"} <= set(paper.events("digits")))
    assert operator.get("/healthz") == "ok"
    assert operator.metric('headway_attempts_ended_total{cause="Succeeded"}') == 1
    assert operator.metric('headway_api_calls_total{code="403",resource="pods",verb="create"}') is None


def test_a_job_s_life_takes_no_more_calls_of_the_api_server_than_it_needs(paper: Paper, operator: Operator) -> None:
    began, before = time.monotonic(), operator.calls()
    paper.submit("digits", workers={"replicas": 2})
    paper.phase("digits", "Running")
    paper.end_driver("digits", "Succeeded", message="stored")
    paper.phase("digits", "Succeeded")
    paper.nothing_left("digits")
    paper.until("its Events", lambda: operator.calls()["create", "events"] >= 3)
    calls, took = operator.calls() - before, time.monotonic() - began
    # Starting, Running, Succeeded; and what only shows how far things are, at most once in two seconds.
    assert 3 <= calls.pop(("patch", "trainingjobs")) <= 3 + max(2, took / 2)
    # The namespace's own objects come once; the rest is the Lease, and what is read to compare.
    kept = {call: count for call, count in calls.items() if call[0] in ("create", "delete") and call[1] not in ONCE}
    each = dict.fromkeys(("configmaps", "secrets", "services", "networkpolicies"), 1) | {"pods": 3}
    assert kept == {
        **{("create", resource): count for resource, count in each.items()},
        **{("delete", resource): count for resource, count in each.items()},
        ("create", "events"): 3,
    }
    # A pod that goes without having ended, as kwok's do, is asked for once: it may have lost but its label. So is what
    # a watch shows as deleted before the answer to our own deletion comes.
    assert all(calls.pop(("get", resource), 0) <= most for resource, most in each.items())
    assert not [call for call in calls if call[0] == "get" and call[1] != "leases"]


def test_nothing_of_a_job_has_a_finalizer_and_all_of_it_has_an_owner(paper: Paper, operator: Operator) -> None:
    paper.submit("digits")
    paper.phase("digits", "Running")
    assert operator.get("/healthz") == "ok"
    job = paper.cluster.get("tj", "digits")
    assert "finalizers" not in job["metadata"]
    found = paper.cluster.items("pods,configmaps,secrets,services,networkpolicies", "-l", "headway.dev/job=digits")
    assert len(found) == 6
    for item in found:
        assert item["metadata"]["ownerReferences"][0]["uid"] == job["metadata"]["uid"]
        assert "finalizers" not in item["metadata"]


def test_a_job_deleted_while_it_runs_leaves_nothing_behind(paper: Paper, operator: Operator) -> None:
    paper.submit("digits", workers={"replicas": 3})
    paper.phase("digits", "Running")
    paper.cluster.kubectl("delete", "tj", "digits", "--timeout=120s")
    paper.nothing_left("digits")
    assert operator.get("/healthz") == "ok"


def test_a_job_applied_again_under_its_old_name_begins_anew(paper: Paper, operator: Operator) -> None:
    for _ in range(2):
        paper.submit("digits")
        paper.phase("digits", "Running")
        assert paper.status("digits")["attempt"] == 1
        paper.cluster.kubectl("delete", "tj", "digits", "--wait=false")
    paper.nothing_left("digits")
    assert operator.get("/healthz") == "ok"


def test_suspend_gives_all_back_and_resume_begins_the_next_attempt(paper: Paper, operator: Operator) -> None:
    paper.submit("digits")
    paper.phase("digits", "Running")
    paper.edit("digits", suspend=True)
    status = paper.phase("digits", "Suspended")
    assert status["attempts"][0]["cause"] == "Suspended"
    assert paper.left("digits") == []
    paper.edit("digits", suspend=False)
    status = paper.phase("digits", "Running")
    assert status["attempt"] == 2
    assert "failures" not in status
    assert operator.get("/healthz") == "ok"


def test_a_lost_worker_is_replaced_and_a_lost_head_begins_the_next_attempt(paper: Paper, operator: Operator) -> None:
    paper.submit("digits", workers={"replicas": 2})
    paper.phase("digits", "Running")
    paper.end_pod(paper.worker("digits", 1), 137)
    paper.until("two workers again", lambda: paper.status("digits")["workers"]["ready"] == 2)

    def names() -> list[str]:
        return sorted(pod["metadata"]["name"] for pod in paper.pods("digits"))

    wanted = [paper.head("digits"), paper.worker("digits", 0), paper.worker("digits", 1, 1)]
    paper.until("the replacement alone", lambda: names() == wanted)
    assert paper.status("digits")["failures"]["internal"] == 1
    paper.cluster.kubectl("delete", "pod", paper.head("digits"), "--wait=false")
    paper.until("attempt 2", lambda: paper.status("digits")["attempt"] == 2)
    paper.phase("digits", "Running")
    assert {name.split("-")[2] for name in names()} == {"2"}
    assert operator.get("/healthz") == "ok"


def test_a_template_that_the_api_server_refuses_fails_the_job_before_anything_is_made_and_an_edit_corrects_it(
    paper: Paper, operator: Operator
) -> None:
    paper.submit("digits", workers={"template": {"spec": {"nodeSelektor": {"gpu": "a100"}}}})
    status = paper.phase("digits", "Failed")
    failed = next(item for item in status["conditions"] if item["type"] == "Failed")
    assert failed["reason"] == "InvalidSpec"
    assert "spec.workers.template: the API server refuses pod" in failed["message"]
    assert "nodeSelektor" in failed["message"]
    assert status.get("attempt", 0) == 0
    paper.nothing_left("digits")
    paper.edit("digits", workers={"template": {"spec": {"nodeSelektor": None, "hostname": "a"}}})
    assert paper.phase("digits", "Running")["attempt"] == 1
    assert operator.get("/healthz") == "ok"


def test_a_job_that_only_the_operator_can_judge_is_failed_and_mended_by_an_edit(paper: Paper) -> None:
    with paper.operator("--default-storage-uri", "") as operator:
        paper.submit("digits")
        status = paper.phase("digits", "Failed")
        assert "spec.storage" in status["conditions"][-1]["message"]
        assert paper.left("digits") == []
        paper.edit("digits", storage={"uri": "s3://somewhere/else"})
        assert paper.phase("digits", "Running")["attempt"] == 1
        assert operator.get("/healthz") == "ok"


def test_a_quota_is_waited_for_and_told(paper: Paper, operator: Operator) -> None:
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {"pods": "1"}}}
    paper.cluster.apply(json.dumps(quota))
    try:
        paper.submit("digits")
        paper.until("the quota's name", lambda: "exceeded quota: none" in json.dumps(paper.status("digits")))
        assert paper.status("digits")["phase"] == "Queued"
    finally:
        paper.cluster.kubectl("delete", "resourcequota", "none")
    paper.phase("digits", "Running")
    assert paper.status("digits")["attempt"] == 1
    assert operator.get("/healthz") == "ok"


def test_who_insists_on_pod_groups_where_there_are_none_is_told_and_can_think_again(
    paper: Paper, operator: Operator
) -> None:
    paper.submit("digits", scheduling={"gang": "PodGroup"})
    paper.until("the reason", lambda: "NoPodGroup" in json.dumps(paper.status("digits")))
    assert "does not serve podgroups" in json.dumps(paper.status("digits"))
    assert paper.left("digits") == []
    paper.edit("digits", scheduling={"gang": "Auto"})
    assert paper.phase("digits", "Running")["attempt"] == 1
    assert operator.get("/healthz") == "ok"


def test_a_finished_job_is_deleted_after_its_ttl(paper: Paper, operator: Operator) -> None:
    paper.submit("digits", ttlSecondsAfterFinished=1)
    paper.phase("digits", "Running")
    paper.end_driver("digits", "Failed", code=1, cause="UserError", message="no column y")
    paper.until("the job gone", lambda: not paper.cluster.items("tj"))
    paper.nothing_left("digits")
    assert operator.get("/healthz") == "ok"


def test_a_model_that_fails_a_gate_ends_the_job_with_its_result_and_its_warnings(
    paper: Paper, operator: Operator
) -> None:
    warning = "Class 'b' has no row in the training part, so it cannot be learnt."
    paper.submit("digits", retry={"userError": 3}, evaluation={"gates": [{"name": "good", "metric": "f1", "min": 0.9}]})
    paper.phase("digits", "Running")
    paper.say("digits", {"stage": "Training", "step": 3}, warnings=[warning])
    paper.until("the warning", lambda: paper.status("digits").get("warnings") == [warning])
    result = {"metrics": {"test/f1": "0.71"}}
    paper.end_driver("digits", "Failed", code=65, cause="GateFailed", message="good: test/f1 is 0.71", result=result)
    status = paper.phase("digits", "Failed")
    failed = next(item for item in status["conditions"] if item["type"] == "Failed")
    assert (failed["reason"], failed["message"]) == ("GateFailed", "good: test/f1 is 0.71")
    assert (status["attempt"], status["result"], status["warnings"]) == (1, result | {"artifacts": []}, [warning])
    assert warning in paper.cluster.kubectl("describe", "tj", "digits")
    assert operator.metric('headway_jobs_ended_total{cause="GateFailed"}') == 1


def test_sections_that_contradict_each_other_are_told_before_any_pod(paper: Paper, operator: Operator) -> None:
    paper.submit("digits", training={"epochs": 3, "checkpoint": {"metric": "validation/acurracy"}})
    status = paper.phase("digits", "Failed")
    accepted = next(item for item in status["conditions"] if item["type"] == "Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", "InvalidSpec")
    assert 'spec.training.checkpoint.metric: "acurracy" is no metric; did you mean accuracy?' in accepted["message"]
    assert paper.left("digits") == []
    paper.edit("digits", training={"checkpoint": {"metric": "validation/accuracy"}})
    assert paper.phase("digits", "Running")["attempt"] == 1
    assert operator.get("/healthz") == "ok"


def test_what_happens_while_no_operator_runs_is_made_up_for(paper: Paper) -> None:
    with paper.operator() as first:
        for name in ("ends", "loses", "goes"):
            paper.submit(name)
        for name in ("ends", "loses", "goes"):
            paper.phase(name, "Running")
        first.kill()
    paper.end_driver("ends", "Succeeded", result={"metrics": {"test/accuracy": "0.9"}})
    paper.cluster.kubectl("delete", "pod", paper.worker("loses"), "--wait=false")
    paper.cluster.kubectl("delete", "tj", "goes", "--wait=false")
    paper.submit("new")
    with paper.operator() as second:
        assert paper.phase("ends", "Succeeded")["result"]["metrics"] == {"test/accuracy": "0.9"}
        paper.until("a worker again", lambda: paper.worker("loses", 0, 1) in json.dumps(paper.pods("loses")))
        paper.phase("new", "Running")
        paper.nothing_left("goes")
        paper.nothing_left("ends")
        assert second.get("/healthz") == "ok"


def test_an_operator_that_is_told_to_stop_ends_within_its_pods_grace_and_hands_over(paper: Paper) -> None:
    with paper.operator(name="first") as first:
        second = paper.start(name="second")
        paper.until("the second waits", lambda: second.get("/readyz") == "ok")
        began = time.monotonic()
        assert first.stop() == 0
        assert time.monotonic() - began < GRACE_SECONDS
        holder = paper.cluster.get("lease", "headway", "-n", SYSTEM)["spec"]["holderIdentity"]
        assert holder in ("", "second"), "the Lease is given up, and not left to run out"
        paper.until("the second at work", second.working)


def test_an_operator_waits_for_the_kinds_and_says_so(paper: Paper) -> None:
    paper.cluster.kubectl("delete", "crd", "trainingjobs.headway.dev", "--timeout=120s")
    operator = paper.start()
    try:
        paper.until("a word about it", lambda: "not installed" in operator.log.read_text())
        assert operator.get("/readyz") == "starting"
        assert operator.get("/healthz") == "ok"
    finally:
        paper.cluster.kubectl("apply", "--server-side", *crds())
    paper.until("the operator at work", operator.working)
    paper.submit("digits")
    paper.phase("digits", "Running")


def test_only_the_namespaces_that_are_named_are_served(paper: Paper) -> None:
    paper.cluster.kubectl("create", "namespace", "elsewhere")
    try:
        with paper.operator("--namespace", "elsewhere") as operator:
            paper.submit("digits")
            known = operator.metric("headway_resync_last_timestamp_seconds") or 0
            paper.until("a look around", lambda: time.time() > known + 2)
            assert paper.status("digits") == {}
            assert paper.pods("digits") == []
    finally:
        paper.cluster.kubectl("delete", "namespace", "elsewhere", "--wait=false")
