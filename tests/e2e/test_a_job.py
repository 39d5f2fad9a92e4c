"""The main job on a real Kubernetes: `kubectl apply` of a TrainingJob trains a real model."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import ROOT, Cluster, run

from .conftest import made_namespace

pytestmark = pytest.mark.e2e

READER = """
apiVersion: v1
kind: Pod
metadata: {name: reader}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  securityContext: {runAsUser: 1000, runAsNonRoot: true}
  containers:
  - name: main
    image: IMAGE
    command: [sleep, "600"]
    volumeMounts: [{name: models, mountPath: /models}]
  volumes: [{name: models, persistentVolumeClaim: {claimName: models}}]
"""


def read_volume(cluster: Cluster, namespace: str, path: str) -> str:
    """A file of the claim `models`, read by a pod."""
    cluster.apply(READER.replace("IMAGE", cluster.images["operator"]), namespace)
    cluster.kubectl("wait", "-n", namespace, "--for=condition=Ready", "pod/reader", "--timeout=120s")
    return cluster.kubectl("exec", "-n", namespace, "reader", "--", "sh", "-c", f"cat /models/{path}")


def condition(job: dict[str, Any], kind: str) -> dict[str, Any]:
    """A job's condition."""
    found: dict[str, Any] = next(c for c in job["status"]["conditions"] if c["type"] == kind)
    return found


def test_digits_train_on_two_workers_and_the_status_tells_the_story(headway: Cluster, digits: str) -> None:
    namespace = digits
    headway.kubectl("wait", "-n", namespace, "--for=condition=Complete", "trainingjob/digits", "--timeout=120s")
    job = headway.get("trainingjob", "digits", "-n", namespace)
    status = job["status"]
    assert status["phase"] == "Succeeded"
    assert float(status["result"]["metrics"]["test/accuracy"]) >= 0.97
    assert status["attempt"] == 1
    assert status["progress"]["percent"] == 100
    assert condition(job, "Complete")["status"] == "True"
    assert condition(job, "Running")["status"] == "False"

    headway.wait(
        "all pods of the finished job gone",
        lambda: not headway.items("pods", "-n", namespace, "-l", "headway.dev/job=digits"),
    )
    table = headway.kubectl("get", "tj", "-n", namespace)
    assert "Succeeded" in table
    assert "accuracy" in table

    result = json.loads(read_volume(headway, namespace, "*/digits-*/result.json"))
    assert result["metrics"]["test"]["accuracy"] >= 0.97
    assert read_volume(headway, namespace, "*/digits-*/report.md").startswith("# ")
    artifacts = {artifact["name"]: artifact for artifact in status["result"]["artifacts"]}
    sizes = headway.kubectl(
        "exec", "-n", namespace, "reader", "--", "sh", "-c", "stat -c %s /models/*/digits-*/model.safetensors"
    )
    assert int(sizes) == artifacts["model"]["sizeBytes"] > 10_000


def test_the_same_file_gives_the_same_metrics_on_this_machine(headway: Cluster, digits: str, tmp_path: Path) -> None:
    here = tmp_path / "digits"
    words = (Path(sys.executable).parent / "headway", "run", ROOT / "examples/digits.yaml", "--output", here)
    run(*words, timeout=300, OMP_NUM_THREADS="1")
    result = json.loads((here / "result.json").read_text())
    status = headway.get("trainingjob", "digits", "-n", digits)["status"]
    there = {artifact["name"]: artifact["sha256"] for artifact in status["result"]["artifacts"]}
    assert hashlib.sha256((here / "model.safetensors").read_bytes()).hexdigest() == there["model"]
    measured = {f"test/{name}": f"{value:.6g}" for name, value in result["metrics"]["test"].items()}
    assert measured == {name: value for name, value in status["result"]["metrics"].items() if name.startswith("test/")}


OWN_CODE = """
import torch
from ray import train
from ray.train.torch import prepare_model

from headway_trainer.api import data_shard, save_model


def main(config):
    x, y = data_shard("train")
    model = prepare_model(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)))
    optimizer = torch.optim.Adam(model.parameters(), lr=config["lr"])
    for _ in range(config["epochs"]):
        loss = torch.nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    world = train.get_context().get_world_size()
    train.report({"own_loss": loss.item(), "world_size": world})
    save_model(model)
"""

OWN_JOB = """
apiVersion: headway.dev/v1alpha1
kind: TrainingJob
metadata: {name: NAME}
spec:
  code: {configMap: {name: NAME}}
  data: {source: {builtin: {name: digits}}}
  training: {entrypoint: "mytrain:main", arguments: {lr: 0.05, epochs: 30}}
  head: {resources: {cpu: 200m, memory: 2Gi}}
  workers: {replicas: WORKERS, resources: {cpu: 300m, memory: 2Gi}}
"""
RAISING_CODE = OWN_CODE.replace("    x, y =", '    raise ValueError("the moon is in the wrong house")\n    x, y =')


@pytest.fixture(scope="module")
def own_jobs(headway: Cluster) -> Iterator[str]:
    """A namespace with two jobs side by side: `own`, on two workers, and `raises`, whose function does so."""
    with made_namespace(headway) as name:
        for job, code, workers in (("own", OWN_CODE, 2), ("raises", RAISING_CODE, 1)):
            data = {"mytrain.py": code}
            headway.apply(
                json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": job}, "data": data}), name
            )
            headway.apply(OWN_JOB.replace("NAME", job).replace("WORKERS", str(workers)), name)
        yield name


def test_a_training_function_from_a_config_map_reports_its_own_metrics(headway: Cluster, own_jobs: str) -> None:
    job = headway.finished("own", own_jobs)
    assert job["status"]["phase"] == "Succeeded", headway.story("own", own_jobs)
    metrics = job["status"]["result"]["metrics"]
    assert float(metrics["world_size"]) == 2
    assert 0 < float(metrics["own_loss"]) < 1


def test_a_training_function_that_raises_fails_the_job_with_its_own_sentence(headway: Cluster, own_jobs: str) -> None:
    job = headway.finished("raises", own_jobs)
    assert job["status"]["phase"] == "Failed"
    assert "the moon is in the wrong house" in condition(job, "Failed")["message"]
    assert job["status"]["attempts"][0]["cause"] == "UserError"
    assert job["status"]["attempt"] == 1


def test_deleting_a_running_job_leaves_nothing_behind(headway: Cluster, namespace: str) -> None:
    text = (ROOT / "examples/digits.yaml").read_text().replace("epochs: 20", "epochs: 5000")
    headway.apply(text, namespace)
    headway.wait(
        "the job runs",
        lambda: headway.get("trainingjob", "digits", "-n", namespace).get("status", {}).get("phase") == "Running",
    )
    headway.kubectl("delete", "trainingjob", "digits", "-n", namespace, "--timeout=120s")
    headway.wait(
        "nothing of the job is left",
        lambda: (
            not [
                item
                for item in headway.items("pods,services,secrets,configmaps,networkpolicies", "-n", namespace)
                if "headway.dev/job" in item["metadata"].get("labels", {})
            ]
        ),
        within=180,
        every=2,
    )
