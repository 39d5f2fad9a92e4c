"""What dashboards ask, asked of a real Prometheus that scrapes a real operator with real jobs, and a server."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cluster.life.exporters import exporting, told
from cluster.life.prometheus import Prometheus
from cluster.life.stage import NOWHERE, finish
from cluster.paper import Paper
from cluster.served_models import CLAIM, SPEC, VOLUME
from deployment_documents import deployment
from harness import ROOT
from headway_dashboards import all_dashboards, promql
from headway_dashboards.parts import Dashboard, Query
from metric_names import GPU_RULES
from ports import free_port
from served import bundle
from server_process import serving
from tuning_jobs import rates
from wire_client import ask

ALERTS = ROOT / "charts/headway/files/alerts.yaml"
SERVED = {"deployment_namespace": "default", "deployment_name": "digits"}
GPU = {"resources": {"cpu": "10m", "memory": "64Mi", "gpu": 1}}
CHOSEN = {
    "headway-jobs": {"namespace": ".*", "metric": "train/loss"},
    "headway-job": {"namespace": "default", "job": "tunes"},
    "headway-gpu": {"namespace": ".*", "price": "2"},
    "headway-deployments": {"namespace": ".*", "deployment": ".*"},
}
DASHBOARDS = {dashboard.uid: dashboard for dashboard in all_dashboards()}


def far(paper: Paper, job: str, step: int, attempt: int = 1, **fields: Any) -> None:
    """A job's driver says all that it may."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    progress = {
        "step": step, "stage": "Training", "percent": step, "epoch": 1, "etaSeconds": 90, "samplesPerSecond": 640.0,
        "metrics": {"train/loss": f"{1 / step}", "validation/loss": "0.7"}, "updateTime": now,
    }  # fmt: skip
    checkpoint = {"uri": "s3://models/headway/x", "step": step - 1, "time": now}
    paper.say(job, progress, attempt, checkpoint=checkpoint, **fields)


def live_through(paper: Paper) -> None:
    """Jobs that fail, end, recover, rest, wait, and tune and go on; and a deployment."""
    paper.cluster.apply(json.dumps(deployment(SPEC)))
    trained = ("good", "bad", "loses-worker", "rests")
    jobs: dict[str, dict[str, Any]] = {name: {} for name in trained}
    paper.submit_all(
        {**jobs, "waits": {"head": NOWHERE}, "tunes": {"tuning": rates(trials=9), "workers": {"replicas": 2, **GPU}}}
    )
    paper.phases(dict.fromkeys((*trained, "tunes"), "Running"))
    trials = {"metric": "validation/accuracy", "planned": 9, "running": 1, "completed": 3, "stopped": 1, "failed": 1}
    far(paper, "tunes", 10, tuning=trials)
    for name in trained:
        far(paper, name, 3)
    paper.until("steps", lambda: all(paper.statuses()[name].get("progress", {}).get("step") == 3 for name in trained))
    paper.edit("rests", suspend=True)
    paper.end_pod(paper.worker("loses-worker"), 137)
    second = paper.worker("loses-worker", 0, 1)
    paper.until("another worker", lambda: second in json.dumps(paper.pods("loses-worker")))
    paper.until("it is ready", lambda: paper.status("loses-worker")["workers"]["ready"] == 1)
    far(paper, "loses-worker", 4)
    finish(paper, "good")
    finish(paper, "bad", kind="Failed", cause="UserError", message="no column y")
    paper.phases({"good": "Succeeded", "bad": "Failed", "rests": "Suspended"})
    far(paper, "tunes", 20, tuning=trials | {"completed": 4})
    paper.until("more trials", lambda: paper.status("tunes").get("tuning", {}).get("completed") == 4)
    paper.until(
        "the model answers",
        lambda: paper.cluster.get("md", "digits").get("status", {}).get("phase") == "Ready",
        within=120,
    )


async def requests(port: int, first: int) -> None:
    """Some that are answered, each again from the cache, and one that is not. first: begins rows that are new."""
    for size in range(first, first + 3):
        rows = [
            {"name": "size", "shape": [1, 1], "datatype": "FP64", "data": [size]},
            {"name": "town", "shape": [1, 1], "datatype": "BYTES", "data": ["Kobe"]},
        ]
        for _ in range(2):
            body = json.dumps({"inputs": rows}).encode()
            assert (await ask(port, "POST", "/v2/models/digits/infer", body)).status == 200
    assert (await ask(port, "POST", "/v2/models/digits/infer", b"{}")).status == 400


@contextmanager
def world(paper: Paper, folder: Path) -> Iterator[Prometheus]:
    """Prometheus, with all that it scrapes."""
    for body in (VOLUME, CLAIM):
        paper.cluster.apply(json.dumps(body))
    operator, standby = free_port(), free_port()
    pods: list[str] = []
    """Of which the exporters tell."""
    words = ("--name", "digits", "--version", "1", "--cache-entries", "10", "--records-sample", "1")
    with (
        paper.operator("--server-image", "server:test", metrics_port=operator),
        serving(bundle(folder / "model"), *words, "--records-folder", str(folder / "records")) as server,
        exporting(lambda: told("default", pods)) as exporter,
    ):
        paper.start("--server-image", "server:test", metrics_port=standby)
        also = [(server.admin_port, SERVED), (exporter, {})]
        ports = {"first": operator, "second": standby}
        with Prometheus(folder, ports, ALERTS, GPU_RULES, also=also) as prometheus:
            paper.until("a scrape", lambda: prometheus.scraped_after(0))
            asyncio.run(requests(server.port, 1))
            live_through(paper)
            pods.extend(paper.worker("tunes", index) for index in (0, 1))
            # rate and increase need two scrapes of what has changed, and the rules two more.
            asyncio.run(requests(server.port, 10))
            far(paper, "tunes", 30)
            now = time.time()
            paper.until("a rule's result", lambda: prometheus.ask("headway_job:gpu_utilization:avg_ratio"))
            paper.until("scrapes afterwards", lambda: prometheus.scraped_after(now + 4))
            yield prometheus


def asked(prometheus: Prometheus, query: Query, values: dict[str, str], since: float) -> list[dict[str, Any]]:
    """The series that answer a query, as Grafana would ask it."""
    now = time.time()
    built_in = {"__rate_interval": "8s", "__range": f"{now - since:.0f}s", "__interval": "2s"}
    expr = promql.filled(query.expr, values | built_in)
    if query.instant or query.table:
        found = prometheus.get("query", query=expr)
    else:
        found = prometheus.get("query_range", query=expr, start=f"{since}", end=f"{now}", step="2")
    assert found is not None, f"refused: {expr}"
    series: list[dict[str, Any]] = [{"metric": {}}] if found["resultType"] == "scalar" else found["result"]
    return series


def faults(prometheus: Prometheus, dashboard: Dashboard, since: float) -> Iterator[str]:
    """Queries that find nothing, or whose series lack what the panel names them by."""
    values = CHOSEN.get(dashboard.uid, {})
    for panel in dashboard.panels:
        for at, query in enumerate(panel.queries):
            series = asked(prometheus, query, values, since)
            if not series and not panel.may_be_empty:
                yield f"{dashboard.title}, {panel.title}, {at}: nothing for {query.expr}"
            for label in re.findall(r"\{\{(\w+)\}\}", query.legend):
                if any(label not in one["metric"] for one in series):
                    yield f"{dashboard.title}, {panel.title}, {at}: no label {label}"


@pytest.mark.timeout(900)
def test_every_panel_finds_what_it_asks_for(paper: Paper, tmp_path: Path) -> None:
    since = time.time()
    try:
        with world(paper, tmp_path) as prometheus:
            found = [fault for one in DASHBOARDS.values() for fault in faults(prometheus, one, since)]
            assert found == [], "\n".join(found)
            shown = {
                query.expr: asked(prometheus, query, CHOSEN.get(one.uid, {}), since)
                for one in DASHBOARDS.values()
                for panel in one.panels
                for query in panel.queries
            }
            filled = sum(1 for series in shown.values() if series)
            assert filled > 0.75 * len(shown), "what may be empty is not all of it"
            truth(prometheus)
    finally:
        paper.cluster.kubectl("delete", "md", "--all")
        paper.cluster.kubectl("delete", "pvc,pv", "models", "--wait=false")


def truth(prometheus: Prometheus) -> None:
    """Some numbers beside what happened."""
    overview = {panel.title: panel.queries[0].expr for panel in DASHBOARDS["headway-overview"].panels if panel.queries}
    fill = {"__range": "1h", "__rate_interval": "8s"}
    assert prometheus.ask(promql.filled(overview["Operator"], fill)) == {(): 1}
    assert prometheus.ask(promql.filled(overview["Jobs that failed"], fill)) == {(): pytest.approx(1, abs=0.5)}
    assert prometheus.ask(promql.filled(overview["Deployments short of pods"], fill)) == {(): 0}
    jobs = {panel.title: panel.queries for panel in DASHBOARDS["headway-jobs"].panels if panel.queries}
    values = CHOSEN["headway-jobs"] | fill
    progress = promql.filled(jobs["Progress"][0].expr, values)
    assert prometheus.ask(progress, "job_name")["tunes",] == 0.3
    running = promql.filled(jobs["Running"][0].expr, values)
    assert prometheus.ask(running) == {(): 2}, "tunes, and the one that has lost a worker"
    use = "headway_job:gpu_utilization:avg_ratio"
    assert prometheus.ask(use, "job_namespace", "job_name") == {("default", "tunes"): 0.87}
