"""Two operators: one follows the other within 15 seconds, whatever its jobs are at; the old one never writes again."""

from __future__ import annotations

import signal
import time

import pytest

from cluster.life.stage import NOWHERE, ON_SILENT, SILENT, become_ready, causes, finish, go, silent_node
from cluster.paper import Operator, Paper
from cluster.wire import Wire
from harness import PATIENCE

pytestmark = pytest.mark.alone

FAIL_OVER_SECONDS = 15


def wait_for_second(paper: Paper, second: Operator) -> None:
    paper.until("the second waits", lambda: second.get("/readyz") == "ok" and second.metric("headway_is_leader") == 0)


def jobs_in_every_phase(paper: Paper) -> None:
    """Jobs that wait, start, run, stop, back off, hold still, are over; and some to which something will happen."""
    silent_node(paper)
    plain = ("running", "loses", "ends", "goes", "backs-off", "done", "failed", "rests", "resumes")
    paper.submit_all({name: {} for name in plain} | {"starting": {"head": NOWHERE}, "stopping": {"head": ON_SILENT}})
    paper.until("a head on the silent node", lambda: paper.pods("stopping"))
    become_ready(paper, paper.head("stopping"))
    paper.phases(dict.fromkeys((*plain, "stopping"), "Running"))
    finish(paper, "done")
    finish(paper, "failed", kind="Failed", cause="UserError", message="no column y")
    for name in ("rests", "resumes", "stopping"):
        paper.edit(name, suspend=True)
    finish(paper, "backs-off", kind="Failed", cause="StorageError", message="no answer")
    wanted = {"done": "Succeeded", "failed": "Failed", "rests": "Suspended", "resumes": "Suspended"}
    found = paper.phases(wanted | {"starting": "Queued", "running": "Running", "backs-off": "Pending"})
    assert causes(found["stopping"]) == ["Suspended"]
    assert "endTime" not in found["stopping"]["attempts"][0]


def test_a_killed_leader_is_followed_within_15_seconds_with_jobs_in_every_phase(paper: Paper) -> None:
    with paper.operator() as first, Wire(paper.kubeconfig) as wire:
        second = paper.start(kubeconfig=wire.kubeconfig)
        began = time.monotonic()
        jobs_in_every_phase(paper)
        took = time.monotonic() - began
        before = paper.statuses()
        wait_for_second(paper, second)
        assert not wire.written()
        first.kill()
        killed = time.monotonic()
        paper.end_driver("ends", "Succeeded", result={"metrics": {"test/accuracy": "0.9"}})
        paper.end_pod(paper.worker("loses"), 137)
        paper.cluster.kubectl("delete", "tj", "goes", "--wait=false")
        paper.edit("resumes", suspend=False)
        paper.submit("new")
        paper.until("the first write of the second", wire.written, within=FAIL_OVER_SECONDS)
        assert wire.written()[0].at - killed <= FAIL_OVER_SECONDS
        found = paper.phases({"ends": "Succeeded", "new": "Running", "resumes": "Running", "backs-off": "Running"})
        assert time.monotonic() - killed <= FAIL_OVER_SECONDS + took, (
            "no longer than it took the first to begin as much"
        )
        assert "goes" not in found
        assert found["ends"]["result"]["metrics"] == {"test/accuracy": "0.9"}
        assert causes(found["resumes"]) == ["Suspended", None]
        for same in ("running", "done", "failed", "rests", "starting"):
            assert found[same]["attempts"] == before[same]["attempts"], f"{same}: nothing has happened to it"
        paper.until("the worker again", lambda: paper.status("loses")["workers"]["ready"] == 1)
        assert paper.status("loses")["attempt"] == 1
        go(paper, paper.head("stopping"))
        status = paper.phase("stopping", "Suspended")
        assert causes(status) == ["Suspended"]
        assert second.get("/healthz") == "ok"
        paper.cluster.kubectl("delete", "node", SILENT)


def test_a_leader_that_was_frozen_in_the_middle_of_its_work_writes_nothing_when_it_thaws(paper: Paper) -> None:
    names = [f"job-{number}" for number in range(16)]
    with Wire(paper.kubeconfig) as wire, paper.operator(kubeconfig=wire.kubeconfig) as first:
        second = paper.start()
        wait_for_second(paper, second)
        # In the middle, however fast it writes: 20 writes are let through, those after them wait on the wire until it
        # is frozen.
        wire.stalls = lambda crossing: crossing.writes and len(wire.written()) > 20
        paper.submit_all({name: {} for name in names})
        paper.until("writes on the wire", lambda: len(wire.written()) > 20, every=0.002)
        first.process.send_signal(signal.SIGSTOP)
        wire.stalls = lambda crossing: False  # noqa: ARG005 - they arrive
        frozen = time.monotonic()
        paper.edit(names[0], suspend=True)
        paper.until("the second at work", second.working, within=FAIL_OVER_SECONDS)
        assert time.monotonic() - frozen <= FAIL_OVER_SECONDS
        found = paper.phases({names[0]: "Suspended"} | dict.fromkeys(names[1:], "Running"))
        written = len(wire.written())
        assert written < 8 * len(names), "it was at the end of its work"
        first.process.send_signal(signal.SIGCONT)
        assert first.process.wait(timeout=PATIENCE) == 1
        assert len(wire.written()) == written, "it wrote after another had taken over"
        assert all(status["attempt"] <= 1 for status in found.values())
        pods = [pod["metadata"]["name"] for pod in paper.cluster.items("pods")]
        assert sorted(pods) == sorted(pod for name in names[1:] for pod in (paper.head(name), paper.worker(name)))
        assert paper.statuses() == found, "the second has nothing to mend"


def test_a_crashed_container_takes_its_own_lease_at_once_and_a_double_of_it_gives_way(paper: Paper) -> None:
    with paper.operator(name="same") as first:
        first.kill()
        with paper.operator(name="same") as again:
            assert "waiting for the Lease" not in again.log.read_text()
            with paper.operator(name="same") as double:
                assert again.process.wait(timeout=PATIENCE) == 1
                assert double.working()
                assert "lost the Lease" in again.log.read_text()
                paper.submit("digits")
                paper.phase("digits", "Running")
