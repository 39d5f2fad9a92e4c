"""Suspend, resume, deadline and TTL on a real API server, side by side: with the operator there, and with it away."""

from __future__ import annotations

import time

from cluster.life.stage import NOWHERE, ON_SILENT, become_ready, causes, finish, go, silent_node
from cluster.paper import Operator, Paper


def deleting(paper: Paper, name: str) -> list[str]:
    """The pods of a job that are told to end; its other pods are not."""
    return [pod["metadata"]["name"] for pod in paper.pods(name) if "deletionTimestamp" in pod["metadata"]]


def test_suspend_and_resume_in_each_phase(paper: Paper, operator: Operator) -> None:
    silent_node(paper)
    paper.submit_all(
        {
            "new": {"suspend": True},
            "starts": {"head": NOWHERE},
            "runs": {},
            "backs-off": {},
            "stops": {"head": ON_SILENT},
            "goes": {"head": ON_SILENT},
            "done": {},
        }
    )
    for name in ("stops", "goes"):
        paper.until("a head on the silent node", lambda: paper.pods(name))  # noqa: B023 - asked at once
        become_ready(paper, paper.head(name))
    there = dict.fromkeys(("runs", "backs-off", "stops", "goes", "done"), "Running")
    paper.phases({"new": "Suspended", "starts": "Queued"} | there)
    finish(paper, "done")
    finish(paper, "backs-off", kind="Failed", cause="StorageError", message="no answer")
    paper.phases({"done": "Succeeded", "backs-off": "Pending"})
    for name in ("starts", "runs", "backs-off", "stops", "goes", "done"):
        paper.edit(name, suspend=True)
    found = paper.phases(dict.fromkeys(("new", "starts", "runs", "backs-off"), "Suspended") | {"done": "Succeeded"})
    assert {name: causes(found[name]) for name in ("new", "starts", "runs", "backs-off", "done")} == {
        "new": [],
        "starts": ["Suspended"],
        "runs": ["Suspended"],
        "backs-off": ["StorageError"],
        "done": [None],
    }

    # A head that saves its checkpoint is waited for, and its workers with it; meanwhile the user thinks again.
    for name in ("stops", "goes"):
        paper.until("a head that stops", lambda: deleting(paper, name) == [paper.head(name)])  # noqa: B023 - asked at once
    paper.cluster.kubectl("delete", "tj", "goes", "--wait=false")
    for name in ("new", "runs", "backs-off", "stops", "done"):
        paper.edit(name, suspend=False)
    found = paper.phases({"new": "Running", "runs": "Running", "backs-off": "Running", "done": "Succeeded"})
    assert (found["new"]["attempt"], found["runs"]["attempt"], found["backs-off"]["attempt"]) == (1, 2, 2)
    assert found["stops"]["attempt"] == 1
    go(paper, paper.head("stops"))
    go(paper, paper.head("goes"))
    paper.until("attempt 2", lambda: causes(paper.status("stops")) == ["Suspended", None])
    assert "goes" not in paper.statuses()
    assert operator.metric('headway_stop_seconds_count{cause="Suspended"}') == 3
    assert operator.get("/healthz") == "ok"


def test_clocks_go_on_while_the_operator_is_away(paper: Paper) -> None:
    with paper.operator() as operator:
        paper.submit_all(
            {
                "late": {"activeDeadlineSeconds": 3600},
                "in-time": {"activeDeadlineSeconds": 3600},
                "lowered": {"activeDeadlineSeconds": 3600},
                "raised": {"activeDeadlineSeconds": 60},
                "over": {"ttlSecondsAfterFinished": 3600},
                "kept": {"ttlSecondsAfterFinished": 3600},
                "at-once": {"ttlSecondsAfterFinished": 0},
                "rests": {"suspend": True, "activeDeadlineSeconds": 1},
            }
        )
        running = ("late", "in-time", "lowered", "raised", "over", "kept", "at-once")
        paper.phases(dict.fromkeys(running, "Running") | {"rests": "Suspended"})
        paper.edit("raised", activeDeadlineSeconds=3600)
        paper.edit("lowered", activeDeadlineSeconds=1)
        finish(paper, "over", "kept", "at-once")
        paper.until("gone at once", lambda: "at-once" not in paper.statuses())
        found = paper.phases({"over": "Succeeded", "kept": "Succeeded", "lowered": "Failed"})
        assert causes(found["lowered"]) == ["DeadlineExceeded"]
        operator.kill()
    for name in ("late", "in-time"):
        paper.edit(name, activeDeadlineSeconds=2)
    paper.edit("over", ttlSecondsAfterFinished=1)
    finish(paper, "in-time")
    time.sleep(2)  # both clocks pass, and nobody sees it
    with paper.operator() as operator:
        found = paper.phases({"late": "Failed", "in-time": "Succeeded"})
        assert causes(found["late"]) == ["DeadlineExceeded"]
        paper.until("gone after its time", lambda: "over" not in paper.statuses())
        found = paper.statuses()
        assert found["kept"]["phase"] == "Succeeded"
        assert found["rests"]["phase"] == "Suspended"
        assert found["raised"]["phase"] == "Running"
        assert operator.metric("headway_jobs_expired_total") == 1
