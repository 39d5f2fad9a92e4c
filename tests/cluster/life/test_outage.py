"""The control plane is away for a while: no job is charged for it. For two minutes, with training: tests/e2e."""

from __future__ import annotations

from cluster.life.stage import finish
from cluster.paper import Paper


def test_an_outage_of_the_control_plane_costs_no_job_anything(paper: Paper) -> None:
    with paper.operator(name="same") as operator:
        paper.submit_all({"runs": {}, "ends": {}, "loses": {}})
        paper.phases(dict.fromkeys(("runs", "ends", "loses"), "Running"))
        pods = {pod["metadata"]["uid"] for pod in paper.cluster.items("pods")}
        before = paper.statuses()
        for program in ("kube-apiserver", "etcd"):
            paper.order("kill", program)
        paper.until("it gives the Lease up", lambda: operator.process.poll() is not None)
        # As the kubelet starts it again.
        again = paper.start(name="same")
        paper.until("nobody is unhealthy for it", lambda: again.get("/healthz") == "ok")
        for program in ("etcd", "kube-apiserver"):
            paper.order("start", program)
        paper.until("the API server", lambda: paper.cluster.kubectl("get", "--raw", "/readyz", check=False) == "ok")
    if again.process.poll() is not None:
        again = paper.start(name="same")
    paper.until("it works", again.working)
    finish(paper, "ends")
    paper.end_pod(paper.worker("loses"), 137)
    paper.submit("new")
    found = paper.phases({"runs": "Running", "ends": "Succeeded", "loses": "Running", "new": "Running"})
    paper.until("the worker again", lambda: paper.worker("loses", number=1) in str(paper.pods("loses")))
    assert found["runs"]["attempts"] == before["runs"]["attempts"], "nothing has happened to it"
    assert all(status["attempt"] == 1 for status in found.values())
    left = {pod["metadata"]["uid"] for name in ("runs", "loses") for pod in paper.pods(name)}
    assert len(left & pods) == 3, "one worker is another"
    assert again.get("/healthz") == "ok"
