"""Deletion: jobs and namespaces go at once, orphans are left alone, and what somebody deletes by hand is noticed."""

from __future__ import annotations

import json

from cluster.life.stage import NOWHERE, causes
from cluster.paper import OURS, Operator, Paper
from cluster.wire import Wire

NAMESPACES = ("gone-while-it-runs", "gone-while-it-crashes", "gone-while-it-is-away")
KINDS = f"{OURS},serviceaccounts,rolebindings,leases"


def delete_namespace(paper: Paper, name: str) -> None:
    paper.cluster.kubectl("delete", "namespace", name, "--wait=false")


def gone(paper: Paper, name: str) -> None:
    paper.until(f"{name} gone", lambda: not paper.cluster.kubectl("get", "ns", name, "--ignore-not-found"))


def test_a_namespace_goes_at_once_while_the_operator_runs_crashes_or_is_away(paper: Paper) -> None:
    with Wire(paper.kubeconfig) as wire, paper.operator(kubeconfig=wire.kubeconfig) as operator:
        for namespace in NAMESPACES:
            paper.cluster.kubectl("create", "namespace", namespace)
            paper.submit_all({"runs": {}, "starts": {"head": NOWHERE}, "rests": {"suspend": True}}, namespace)
        for namespace in NAMESPACES:
            paper.until("it runs", lambda: paper.statuses(namespace).get("runs", {}).get("phase") == "Running")  # noqa: B023
        ours = paper.cluster.items(KINDS, "-A", "-l", "app.kubernetes.io/managed-by=headway")
        held = paper.cluster.items("tj", "-A") + ours
        assert len(held) >= 3 * (3 + 2 * 6)
        assert [item["metadata"]["name"] for item in held if item["metadata"].get("finalizers")] == []
        delete_namespace(paper, NAMESPACES[0])
        gone(paper, NAMESPACES[0])
        refused = [one for one in wire.written() if NAMESPACES[0] in one.path and one.status in (403, 409)]
        assert len(refused) < 30, "it does not run against a wall"
        assert operator.get("/healthz") == "ok"
        delete_namespace(paper, NAMESPACES[1])
        operator.kill()
    again = paper.start()
    paper.until("it works", again.working)
    again.kill()
    gone(paper, NAMESPACES[1])
    delete_namespace(paper, NAMESPACES[2])
    gone(paper, NAMESPACES[2])


def test_a_deleted_job_takes_all_with_it_and_orphans_are_left_alone_and_never_taken_for_another_s(
    paper: Paper, operator: Operator
) -> None:
    paper.submit_all({"plain": {}, "first": {}, "kept": {}})
    paper.phases(dict.fromkeys(("plain", "first", "kept"), "Running"))
    pods = [paper.head("kept"), paper.worker("kept")]
    for name, how in {"plain": "background", "first": "foreground", "kept": "orphan"}.items():
        paper.cluster.kubectl("delete", "tj", name, f"--cascade={how}", "--wait=false")
    paper.until("no job", lambda: not paper.statuses())
    paper.nothing_left("plain")
    paper.nothing_left("first")
    orphans = paper.pods("kept")
    assert sorted(pod["metadata"]["name"] for pod in orphans) == pods
    assert not [pod for pod in orphans if pod["metadata"].get("ownerReferences")]

    paper.submit("kept")
    assert paper.phase("kept", "Running")["attempt"] == 1, "an earlier job's objects are in nobody's way"
    uid = paper.uid("kept")
    others = f"headway.dev/job=kept,headway.dev/job-uid!={uid}"
    still = paper.cluster.items("pods", "-l", others)
    assert {pod["metadata"]["uid"] for pod in still} == {pod["metadata"]["uid"] for pod in orphans}
    assert operator.get("/healthz") == "ok"
    paper.cluster.kubectl("delete", OURS, "-l", others, "--wait=false")


def test_what_somebody_deletes_by_hand_is_made_again_or_ends_the_attempt_with_its_name(
    paper: Paper, operator: Operator
) -> None:
    paper.submit_all({"objects": {}, "token": {}, "head": {}})
    paper.phases(dict.fromkeys(("objects", "token", "head"), "Running"))
    paper.cluster.kubectl("delete", "service,networkpolicy,configmap", paper.objects("objects"), "--wait=false")
    paper.cluster.kubectl("delete", "secret", paper.objects("token"))
    paper.cluster.kubectl("delete", "pod", paper.head("head"), "--wait=false")
    for name in ("objects", "token"):
        paper.end_pod(paper.worker(name), 137)
    paper.until(
        "attempts", lambda: [paper.statuses()[name]["attempt"] for name in ("objects", "token", "head")] == [1, 2, 2]
    )
    paper.until("the worker again", lambda: paper.worker("objects", 0, 1) in json.dumps(paper.pods("objects")))
    found = paper.phases(dict.fromkeys(("objects", "token", "head"), "Running"))
    made = {f"{kind} {paper.objects('objects')}" for kind in ("ConfigMap", "Secret", "Service", "NetworkPolicy")}
    made |= {f"Pod {paper.head('objects')}", f"Pod {paper.worker('objects', 0, 1)}"}
    paper.until("all of it, and no more", lambda: {line.split("/")[0] for line in paper.left("objects")} == made)
    assert causes(found["token"]) == ["Internal", None]
    assert f"somebody deleted the Secret {paper.objects('token')}" in found["token"]["attempts"][0]["message"]
    assert causes(found["head"])[0] == "Preempted"
    assert operator.get("/healthz") == "ok"
