"""The tutorial's hour from its first line to its last: what pipx has installed trains here, then on a real cluster,
loses a worker, is stopped, goes on, and is seen in Grafana's dashboards, which a real Prometheus fills meanwhile.

HEADWAY_HOUR=FOLDER keeps what was printed, and the pictures, there.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from clone import copy_to
from drawn.prometheus import scraping
from harness import ROOT, Cluster
from headway_cluster.paths import cache_dir
from headway_dashboards import all_dashboards
from headway_dashboards.drawing import Moment, bundled, draw, why_not
from headway_dashboards.parts import Dashboard
from markdown_blocks import blocks, script
from ports import free_port
from users_machine import Machine, losses, machine

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.ray, pytest.mark.timeout(2400)]

PAGE = ROOT / "docs/tutorial.md"
SCRAPE_SECONDS = 3
OPERATOR = "app.kubernetes.io/name=headway,app.kubernetes.io/component=operator"
OF_GPUS = re.compile(r"finds nothing: .*\bheadway(_job)?:gpu_")
"""A column of a table that rules make of what NVIDIA's DCGM exporter tells: there is no GPU here."""
DRAWN = ("headway-overview", "headway-operator", "headway-jobs", "headway-job")
"""Those that have something to show of one job without GPUs: it holds none, and serves nothing."""


def line(begin: str) -> str:
    """The block of the page that begins so."""
    (found,) = [block.text for block in blocks(PAGE) if block.language == "sh" and block.text.startswith(begin)]
    return found


class Hour:
    """What each block of the page that was typed has printed."""

    def __init__(self, said: str) -> None:
        parts = re.split(r"^--- docs/tutorial\.md:(\d+)$", said, flags=re.MULTILINE)
        self._said = {int(number): text for number, text in zip(parts[1::2], parts[2::2], strict=True)}

    def of(self, begin: str) -> str:
        """The output of the block that begins so."""
        (found,) = [block.line for block in blocks(PAGE) if block.language == "sh" and block.text.startswith(begin)]
        return self._said[found]


@contextmanager
def watched(cluster: Cluster, folder: Path) -> Iterator[str]:
    """The address of a Prometheus that scrapes each replica of the operator, with the labels that the chart's
    ServiceMonitor gives, and has the chart's rules."""
    pods = [each["metadata"]["name"] for each in cluster.items("pods", "-n", "headway-system", "-l", OPERATOR)]
    with ExitStack() as stack:
        targets = []
        for pod in pods:
            port = free_port()
            words = ["kubectl", "port-forward", "-n", "headway-system", f"pod/{pod}", f"{port}:8080"]
            log = stack.enter_context((folder / f"{pod}.log").open("wb"))
            process = subprocess.Popen(
                words, stdout=log, stderr=log, env={**os.environ, "KUBECONFIG": str(cluster.kubeconfig)}
            )
            stack.callback(process.wait, 30)
            stack.callback(process.terminate)
            labels = {"namespace": "headway-system", "pod": pod, "service": "headway-metrics"}
            targets.append({"targets": [f"127.0.0.1:{port}"], "labels": labels})
        rules = [str(ROOT / f"charts/headway/files/{name}.yaml") for name in ("alerts", "job-alerts", "gpu-rules")]
        config = {
            "global": {"scrape_interval": f"{SCRAPE_SECONDS}s", "evaluation_interval": f"{SCRAPE_SECONDS}s"},
            "rule_files": rules,
            "scrape_configs": [{"job_name": "headway-metrics", "static_configs": targets}],
        }
        yield stack.enter_context(scraping(json.dumps(config), folder))


def asked(prometheus: str, query: str) -> list[dict[str, Any]]:
    """What a query finds now."""
    words = urllib.parse.urlencode({"query": query})
    with urllib.request.urlopen(f"{prometheus}/api/v1/query?{words}", timeout=30) as answer:  # noqa: S310 - our own
        found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
    return found


def number(prometheus: str, query: str) -> float:
    """The one number that a query finds now."""
    (found,) = asked(prometheus, query)
    return float(found["value"][1])


def of_others(dashboard: Dashboard) -> list[str]:
    """Titles of panels that may be empty here: the dashboard says so, or they show what others than Headway tell."""
    return [
        panel["title"]
        for panel, own in zip(dashboard.to_json()["panels"], dashboard.panels, strict=True)
        if own.may_be_empty or not any("headway_" in each["expr"] for each in panel.get("targets", []))
    ]


@pytest.fixture
def user(headway: Cluster, tmp_path: Path) -> Machine:
    """A user with a clone, pipx and the cluster's kubeconfig, and a default namespace without jobs."""
    if reason := why_not():
        pytest.skip(reason)
    headway.kubectl("delete", "trainingjobs", "--all", "-n", "default", "--timeout=150s")
    made = machine(tmp_path)
    copy_to(made.folder)
    made.environment["KUBECONFIG"] = str(headway.kubeconfig)
    return made


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """Where the output and the pictures go."""
    folder = Path(os.environ.get("HEADWAY_HOUR") or tmp_path / "hour")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def on_this_machine(user: Machine) -> None:
    """Sections 1, 2 and 4 with what pipx has installed; tests/newcomer types them with a clone's own environment."""
    user.type(line("pipx install"), timeout=1200)
    user.type(script(PAGE, cluster=False, machine=False))  # saves the page's files
    said = user.type(line("headway init"), timeout=300)
    assert "flowers.yaml:5: TrainingJob iris is valid" in said
    seen = losses(said)  # none at all where the training is over within a second
    assert seen == [] or seen[-1] <= seen[0], said
    result = json.loads((user.folder / "out/iris/result.json").read_text())
    assert result["metrics"]["train"]["loss"] < 0.5, "of three classes: 1.1 before it has learnt anything"
    # The user's own csv file: whichever Python has made it.
    subprocess.run([sys.executable, "make_wine.py"], cwd=user.folder, check=True, capture_output=True)
    assert re.search(r"│ grower +│ category │ target ", user.type("headway profile wine.yaml"))
    user.type(line("headway run wine.yaml"), timeout=300)
    result = json.loads((user.folder / "out/wine/result.json").read_text())
    assert result["metrics"]["test"]["accuracy"] >= 0.8
    predicted = user.type(line("headway predict out/wine"))
    assert predicted.startswith('"label","probability.Bianchi"')


def assert_what_the_cluster_was_seen_to_do(hour: Hour, user: Machine) -> None:
    """Each step of sections 7 and 8, by its own output."""
    doctor = hour.of("kubectl apply -f examples/storage.yaml")
    assert re.search(r"^ok    operator: 2 ready, \S+ leads", doctor, re.MULTILINE), doctor
    assert not re.search(r"^FAIL", doctor, re.MULTILINE), doctor
    watched_job = hour.of("headway submit examples/digits.yaml --watch")
    assert "created    trainingjob/digits\n" in watched_job
    assert re.search(r"Succeeded", watched_job.splitlines()[-1]) or "Succeeded" in watched_job, watched_job
    assert re.search(r'^Succeeded \{.*"test/accuracy":"0\.9', hour.of("kubectl get trainingjobs"), re.MULTILINE)
    ranks = hour.of("headway logs mine --rank all")
    assert {"[0]", "[1]"} <= {row.split()[0] for row in ranks.splitlines() if row}, ranks
    events = hour.of("kubectl delete pod -l headway.dev/job=lasting")
    assert re.search(r"^\S+ \S+ ! worker lost ", events, re.MULTILINE), events
    stopped = hour.of("headway stop lasting")
    assert re.search(r"^Suspended after \d+ s; its newest checkpoint is of step [\d,]+\.", stopped, re.MULTILINE)
    assert re.search(r"^Attempt 2 runs after \d+ s, from the checkpoint of step [\d,]+", stopped, re.MULTILINE), stopped
    assert re.search(r"^lasting +default +Succeeded|Succeeded", stopped.splitlines()[-1]), stopped
    report = hour.of("headway report lasting")
    assert "From the job's status, over 2 attempts: " in report
    assert re.search(r"^\| recovering \| \d+ \| ", report, re.MULTILINE), report
    assert re.search(r"^Goodput, the share of steps that were kept: \d+%\.", report, re.MULTILINE), report
    downloaded = {path.name for path in (user.folder / "out/lasting").iterdir()}
    assert {"report.md", "result.json", "model.onnx", "model.safetensors"} <= downloaded
    assert json.loads((user.folder / "out/lasting/result.json").read_text())["metrics"]["test"]["accuracy"] >= 0.97
    assert re.search(r"^lasting\s", report, re.MULTILINE), "headway models lists it"


def assert_drawn(prometheus: str, began: int, folder: Path) -> None:
    """Each dashboard as it was when the job last trained, with no query that fails or finds nothing."""
    job = 'headway_job_eta_seconds{job_namespace="default", job_name="lasting"}'
    last = int(number(prometheus, f"max_over_time(timestamp({job})[40m:{SCRAPE_SECONDS}s])"))
    step = max(SCRAPE_SECONDS, (last - began) // 300)
    values = {"headway-job": {"namespace": "default", "job": "lasting"}, "headway-jobs": {"metric": "train/loss"}}
    page = bundled(cache_dir())
    found = {each.uid: each for each in all_dashboards()}
    told = []
    for uid in DRAWN:
        moment = Moment(since=began, until=last, step=step, scrape=SCRAPE_SECONDS, values=values.get(uid, {}))
        picture = folder / f"{uid.removeprefix('headway-')}.png"
        problems = draw(page, found[uid].to_json(), prometheus, moment, picture, may_be_empty=of_others(found[uid]))
        told += [f"{uid}: {each}" for each in problems if not OF_GPUS.search(each)]
        assert picture.stat().st_size > 20_000, uid
    assert told == []


def test_the_first_hour_from_pipx_to_grafanas_pictures(
    headway: Cluster, user: Machine, kept: Path, tmp_path: Path
) -> None:
    began = time.monotonic()
    on_this_machine(user)
    here = time.monotonic() - began
    with watched(headway, tmp_path) as prometheus:
        since = int(time.time())
        typed = user.typed(script(PAGE, cluster=True, machine=False), timeout=1500)
        (kept / "printed.txt").write_text(typed.out + typed.errors)
        assert typed.code == 0, f"{typed.out[-6000:]}\n{typed.errors[-4000:]}"
        assert_what_the_cluster_was_seen_to_do(Hour(typed.out), user)
        # What was seen of the lost worker is in the numbers, too.
        lasting = 'job_namespace="default", job_name="lasting"'
        assert number(prometheus, f'max_over_time(max(headway_job_workers{{{lasting}, state="ready"}})[40m:3s])') == 2
        recovering = f'max_over_time(max(headway_job_time_seconds_total{{{lasting}, state="recovering"}})[40m:3s])'
        assert number(prometheus, recovering) > 0
        assert_drawn(prometheus, since, kept)
    shutil.rmtree(user.home)
    print(f"on this machine {here:.0f} s, on the cluster and drawn {time.monotonic() - began - here:.0f} s")
