"""The operator's numbers beside what happened, as a real Prometheus scrapes them; and health, when it matters."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path

from cluster.life.prometheus import Prometheus
from cluster.life.stage import finish
from cluster.paper import Paper
from cluster.wire import Wire
from harness import ROOT
from headway_operator.engine.freshness import LISTED_SECONDS
from ports import free_port

RULES = ROOT / "charts/headway/files/alerts.yaml"
QUIET_SECONDS = 3.0
"""More than lies between two writes of the operator while it has something to do."""
VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


def report(paper: Paper, job: str, attempt: int, step: int, resumed: int | None = None) -> None:
    """A job's driver says how far it is."""
    paper.say(job, {"step": step, "stage": "Training"}, attempt, resumedFromStep=resumed)


def live_through(paper: Paper) -> None:
    """Seven jobs, and what becomes of them."""
    good = ("good-0", "good-1", "good-2")
    trained = (*good, "bad", "loses-worker", "loses-head")
    paper.submit_all(
        {name: {} for name in trained} | {"rests": {}, "invalid": {"head": {"template": {"spec": {"x": 1}}}}}
    )
    paper.phases(dict.fromkeys((*trained, "rests"), "Running") | {"invalid": "Failed"})
    for name in trained:
        report(paper, name, 1, 3)
    paper.until("steps", lambda: all(paper.statuses()[name].get("progress", {}).get("step") == 3 for name in trained))
    paper.end_pod(paper.worker("loses-worker"), 137)
    paper.cluster.kubectl("delete", "pod", paper.head("loses-head"), "--wait=false")
    paper.edit("rests", suspend=True)
    paper.until("attempt 2", lambda: paper.status("loses-head")["attempt"] == 2)
    paper.until("the worker", lambda: paper.worker("loses-worker", 0, 1) in json.dumps(paper.pods("loses-worker")))
    paper.phases({"loses-head": "Running", "loses-worker": "Running", "rests": "Suspended"})
    paper.until("ready", lambda: paper.status("loses-worker")["workers"]["ready"] == 1)
    report(paper, "loses-worker", 1, 2)
    report(paper, "loses-head", 2, 4, resumed=3)
    paper.until("steps again", lambda: paper.statuses()["loses-head"]["progress"]["step"] == 4)
    finish(paper, *good, "loses-worker")
    finish(paper, "bad", kind="Failed", cause="UserError", message="no column y")
    paper.end_driver("loses-head", "Succeeded", attempt=2)
    done = dict.fromkeys((*good, "loses-worker", "loses-head"), "Succeeded")
    paper.phases(done | {"bad": "Failed"})
    paper.until("nothing left", lambda: not paper.cluster.items("pods"))


def test_what_prometheus_scrapes_is_what_happened(paper: Paper, tmp_path: Path) -> None:
    port = free_port()
    with Wire(paper.kubeconfig) as wire, paper.operator(kubeconfig=wire.kubeconfig, metrics_port=port) as first:
        second = paper.start()
        with Prometheus(tmp_path, {"first": port, "second": second.metrics_port}, RULES) as prometheus:
            began = time.monotonic()
            live_through(paper)
            took = time.monotonic() - began
            paper.until("that it writes nothing more", lambda: time.monotonic() - wire.written()[-1].at > QUIET_SECONDS)
            quiet = len(wire.written())
            now = time.time()
            paper.until("a scrape of all of it", lambda: prometheus.scraped_after(now))
            assert len(wire.written()) == quiet, "it still works"
            ends(prometheus)
            courses(prometheus, took)
            calls(prometheus, wire)
            state(prometheus)
            alerts(prometheus)
            first.kill()
            again = paper.start(kubeconfig=wire.kubeconfig, metrics_port=port)
            paper.until("the second at work", lambda: second.working() or again.working())
            now = time.time()
            paper.until("a scrape of both", lambda: prometheus.scraped_after(now))
            restarts = prometheus.ask("changes(process_start_time_seconds[10m])", "replica")
            assert restarts == {("first",): 1, ("second",): 0}
            assert prometheus.ask("sum(headway_is_leader)") == {(): 1}
            assert prometheus.ask('headway_jobs{phase="Succeeded"}') == {(): 5}, "it knows them from the API server"


def ends(prometheus: Prometheus) -> None:
    assert prometheus.ask("headway_jobs_ended_total > 0", "cause") == {
        ("Succeeded",): 5, ("UserError",): 1, ("InvalidSpec",): 1,
    }  # fmt: skip
    assert prometheus.ask("headway_attempts_ended_total > 0", "cause") == {
        ("Succeeded",): 5, ("UserError",): 1, ("Preempted",): 1, ("Suspended",): 1,
    }  # fmt: skip
    assert prometheus.ask('headway_workers_replaced_total{replica="first"}') == {(): 1}


def courses(prometheus: Prometheus, took: float) -> None:
    assert prometheus.ask('headway_start_phase_seconds_count > 0', "phase") == {
        ("first_reconcile",): 8, ("pods_created",): 8, ("pods_scheduled",): 8, ("pods_ready",): 8, ("first_step",): 7,
    }  # fmt: skip
    assert prometheus.ask("headway_recovery_seconds_count > 0", "lost", "until") == {
        ("worker", "running"): 1, ("worker", "step"): 1, ("head", "running"): 1, ("head", "step"): 1,
    }  # fmt: skip
    recovered = prometheus.ask("headway_recovery_seconds_sum > 0", "lost", "until")
    assert 0 < recovered["head", "running"] <= recovered["head", "step"] < took
    assert 0 < recovered["worker", "running"] <= recovered["worker", "step"] < took
    assert prometheus.ask("headway_stop_seconds_count", "cause") == {("Suspended",): 1}


def calls(prometheus: Prometheus, wire: Wire) -> None:
    crossed = Counter((VERBS[one.method], one.resource, str(one.status)) for one in wire.written())
    counted = prometheus.ask(
        'headway_api_calls_total{replica="first", verb=~"create|update|patch|delete", resource!="leases"}',
        *("verb", "resource", "code"),
    )
    assert counted == dict(crossed)


def state(prometheus: Prometheus) -> None:
    phases = prometheus.ask("headway_jobs > 0", "phase")
    assert phases == {("Succeeded",): 5, ("Failed",): 2, ("Suspended",): 1}
    assert prometheus.ask("headway_is_leader", "replica") == {("first",): 1, ("second",): 0}
    assert prometheus.ask("headway_queue_depth") == {(): 0}
    assert set(prometheus.ask("headway_watch_behind_seconds", "resource").values()) == {0}
    ages = prometheus.ask("time() - headway_watch_last_event_timestamp_seconds", "resource")
    assert set(ages) == {("trainingjobs",), ("pods",), ("configmaps",)}
    assert all(-1 < age < 60 for age in ages.values())
    assert prometheus.ask('sum(headway_reconciles_total{result="bug"})') == {(): 0}
    looks = prometheus.ask('sum(headway_reconciles_total{replica="first"})')
    assert looks == prometheus.ask('headway_reconcile_seconds_count{replica="first"}')
    assert set(prometheus.ask("headway_build_info", "replica").values()) == {1}


def alerts(prometheus: Prometheus) -> None:
    rules = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
    assert len(rules) >= 6
    assert [rule for rule in rules if rule["health"] != "ok"] == []
    assert [rule["name"] for rule in rules if rule["state"] != "inactive"] == []


def test_a_dead_watch_and_a_stuck_look_fail_the_health_check_and_a_restart_mends_both(paper: Paper) -> None:
    flags = ("--unhealthy-seconds", "4", "--no-leader-election")
    for namespace in ("deaf", "stuck"):
        paper.cluster.kubectl("create", "namespace", namespace)
    with Wire(paper.kubeconfig) as quiet, Wire(paper.kubeconfig) as slow:
        deaf = paper.start(*flags, "--namespace", "deaf", kubeconfig=quiet.kubeconfig)
        stuck = paper.start(*flags, "--namespace", "stuck", kubeconfig=slow.kubeconfig)
        for operator in (deaf, stuck):
            paper.until("it works", operator.working)
            assert operator.get("/healthz") == "ok"
        # A list shows what was written before it, and what is written in the first moments may have gone by then: only
        # after both is a watch held to show what the operator writes.
        working = time.monotonic()
        paper.until("its watch is open", lambda: quiet.watches("pods"))
        paper.until("its lists are believed to be over", lambda: time.monotonic() - working > LISTED_SECONDS)
        quiet.swallows = lambda crossing: crossing.resource == "pods"
        slow.stalls = lambda crossing: crossing.method == "POST" and crossing.resource == "pods"
        for namespace in ("deaf", "stuck"):
            paper.submit("digits", namespace)
        # Each is asked for its number together with what it says: what is wrong is told in other words after a while.
        paper.until(
            "a dead watch is noticed",
            lambda: (
                "the watch of pods has not shown" in (deaf.get("/healthz") or "")
                and (deaf.metric('headway_watch_behind_seconds{resource="pods"}') or 0) > 4
            ),
        )
        paper.until(
            "a stuck reconcile is noticed",
            lambda: (
                "a reconcile has gone on" in (stuck.get("/healthz") or "")
                and (stuck.metric("headway_reconcile_longest_seconds") or 0) > 4
            ),
        )
        # This is what the kubelet does now.
        deaf.kill()
        stuck.kill()
    for namespace in ("deaf", "stuck"):
        mended = paper.start(*flags, "--namespace", namespace)
        paper.phase("digits", "Running", namespace=namespace)
        assert mended.get("/healthz") == "ok"
        paper.cluster.kubectl("delete", "namespace", namespace, "--wait=false")
