"""The numbers of single jobs, as a real Prometheus scrapes them from a real operator; and an alert on one of them."""

from __future__ import annotations

import json
import time
import urllib.request
from pathlib import Path
from typing import Any

import yaml

from cluster.life.prometheus import Prometheus
from cluster.life.stage import NOWHERE
from cluster.paper import Paper
from harness import ROOT
from headway_api.status import SPENT
from ports import free_port

RULES = ROOT / "charts/headway/files/job-alerts.yaml"
METRICS = {"train/loss": "0.25", **{f"more-{number:02}": str(number) for number in range(30)}}
GPUS = {"resources": {"cpu": "10m", "memory": "64Mi", "gpu": 2}}


def quick(folder: Path) -> Path:
    """The alerts, which fire without waiting: a test has no quarter of an hour."""
    rules = yaml.safe_load(RULES.read_text())
    for rule in rules["groups"][0]["rules"]:
        rule.pop("for", None)
    file = folder / "rules.yaml"
    file.write_text(yaml.safe_dump(rules))
    return file


def say(paper: Paper, name: str, step: int, attempt: int = 1, **more: Any) -> None:
    """A driver reports, and the status takes it in."""
    progress = {"stage": "Training", "step": step, "percent": 40, "epoch": 2, "etaSeconds": 90, "samplesPerSecond": 8.5}
    paper.say(name, progress | {"metrics": METRICS, "updateTime": "2027-01-15T08:00:00Z"} | more, attempt)
    paper.until("the step", lambda: paper.status(name).get("progress", {}).get("step") == step)


def live_through(paper: Paper) -> None:
    """A job that trains, one that has lost its head and trains again, one that finds no room, one that is over."""
    jobs = {"trains": {}, "loses": {}, "over": {}, "diverges": {}, "waits": {"workers": NOWHERE}}
    paper.submit_all(jobs)
    paper.phases(dict.fromkeys(("trains", "loses", "over", "diverges"), "Running") | {"waits": "Queued"})
    for name in ("trains", "loses", "diverges"):
        say(paper, name, 30)
    time.sleep(2)  # seconds are what is counted
    say(paper, "trains", 50)
    say(paper, "diverges", 50, metrics={"train/loss": "nan"})
    say(paper, "loses", 50)
    paper.cluster.kubectl("delete", "pod", paper.head("loses"), "--wait=false")
    paper.until("attempt 2", lambda: paper.status("loses")["attempt"] == 2)
    paper.phases({"loses": "Running"})
    say(paper, "loses", 40, attempt=2)
    paper.end_driver("over", "Succeeded")
    paper.phases({"over": "Succeeded"})


def test_prometheus_has_the_numbers_of_each_job(paper: Paper, tmp_path: Path) -> None:
    port = free_port()
    with paper.operator(metrics_port=port), Prometheus(tmp_path, {"first": port}, quick(tmp_path)) as prometheus:
        live_through(paper)
        now = time.time()
        paper.until("a scrape of all of it", lambda: prometheus.scraped_after(now + 1))
        phases = prometheus.ask("headway_job_info", "job_name", "phase", "attempt", "model")
        running = {
            ("trains", "Running", "1", "mlp"),
            ("diverges", "Running", "1", "mlp"),
            ("loses", "Running", "2", "mlp"),
        }
        assert set(phases) == {*running, ("waits", "Queued", "1", "mlp")}
        one = 'job_namespace="default", job_name="trains"'
        for name, value in {"progress_ratio": 0.4, "eta_seconds": 90, "epoch": 2, "rows_per_second": 8.5}.items():
            assert prometheus.ask(f"headway_job_{name}{{{one}}}") == {(): value}, name
        assert prometheus.ask(f"headway_job_workers{{{one}}}", "state") == {("desired",): 1, ("ready",): 1}
        metrics = prometheus.ask(f"headway_job_metric{{{one}}}", "metric")
        assert (len(metrics), metrics["more-00",]) == (16, 0)
        assert prometheus.ask("headway_job_steps_total", "job_name") == {
            ("trains",): 50, ("diverges",): 50, ("loses",): 50, ("waits",): 0,
        }  # fmt: skip
        times(prometheus, paper)
        exemplars(prometheus, port)
        paper.until("the alert", lambda: firing(prometheus))
        assert firing(prometheus) == {("HeadwayJobLossNotFinite", "diverges")}


def times(prometheus: Prometheus, paper: Paper) -> None:
    """Each job has all states, and they are those of its status, but for what goes on."""
    seconds = prometheus.ask("headway_job_time_seconds_total", "job_name", "state")
    assert {state for name, state in seconds if name == "trains"} == set(SPENT)
    told = paper.status("trains")["time"]
    assert seconds["trains", "productive"] == told["seconds"]["productive"] > 0
    assert told["doing"] == "training"
    assert seconds["loses", "recovering"] > 0
    assert seconds["waits", "queued"] > 0
    assert 0 < prometheus.ask("headway_job_goodput_ratio", "job_name")["trains",] <= 1
    over = paper.status("over")["time"]
    assert "doing" not in over
    assert over["seconds"], "what it took stays in its status, and no series does"


def exemplars(prometheus: Prometheus, port: int) -> None:
    """Prometheus asks for OpenMetrics, and gets the names of slow jobs."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/metrics", headers={"Accept": "application/openmetrics-text"}
    )
    with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - always http
        text = answer.read().decode()
        assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    slow = [line for line in text.splitlines() if line.startswith("headway_recovery_seconds_bucket") and "# {" in line]
    assert slow
    assert all('{job="default/loses"}' in line for line in slow)
    query = {"query": "headway_recovery_seconds_bucket", "start": str(time.time() - 600), "end": str(time.time())}
    found = prometheus.get("query_exemplars", **query)
    assert {one["labels"]["job"] for series in found for one in series["exemplars"]} == {"default/loses"}


def firing(prometheus: Prometheus) -> set[tuple[str, str]]:
    """The alerts that fire, and on which jobs."""
    found = prometheus.get("alerts") or {"alerts": []}
    return {
        (one["labels"]["alertname"], one["labels"]["job_name"]) for one in found["alerts"] if one["state"] == "firing"
    }


def test_gpu_seconds_stay_when_their_job_is_gone_and_names_can_be_kept_back(paper: Paper, tmp_path: Path) -> None:
    port = free_port()
    gpu_nodes = json.dumps({"status": {role: {"nvidia.com/gpu": "8"} for role in ("capacity", "allocatable")}})
    for node in paper.cluster.items("nodes"):
        paper.cluster.kubectl("patch", "node", node["metadata"]["name"], "--subresource=status", "-p", gpu_nodes)
    with (
        paper.operator("--job-metrics", "off", metrics_port=port),
        Prometheus(tmp_path, {"first": port}, RULES) as prometheus,
    ):
        paper.submit("gpus", workers=GPUS)
        paper.phases({"gpus": "Running"})
        say(paper, "gpus", 10)
        time.sleep(2)  # seconds are what is counted
        say(paper, "gpus", 20)
        counted = paper.status("gpus")["time"]["seconds"]
        paper.cluster.kubectl("delete", "tj", "gpus", "--wait=false")
        paper.until("it gone", lambda: not paper.cluster.items("tj"))
        now = time.time()
        paper.until("a scrape", lambda: prometheus.scraped_after(now + 1))
        held = prometheus.ask('headway_gpu_seconds_total{job_namespace="default"}', "gpu_resource", "state")
        assert held["nvidia.com/gpu", "productive"] == 2 * counted["productive"] > 0
        assert prometheus.ask('{__name__=~"headway_job_.*"}') == {}, "its name is in no series"
