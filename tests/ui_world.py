"""A cluster for the pages of `headway ui`, as a kubectl answers for it: jobs in every state, with logs and curves."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from commands import COMMAND, clean_environment
from fake_kubectl import FakeKubectl, listed, recorded
from headway_api.status import TrainingJobStatus
from s3_server import BUCKET, CREDENTIALS, s3_server

NODES = [f"gpu-{letter}-{number}" for letter in "ab" for number in range(1, 5)]
EPOCHS, STEPS = 50, 390
NOW_EPOCH = 31
RUN = "s3://models/headway/vision/resnet-5f70bf18"
DIGITS = "s3://models/headway/vision/digits-a8d1c0de"
CHURN = "s3://models/headway/sales/churn-77ab0123"


def moment(minutes: float) -> str:
    """So many minutes ago, as the API has it."""
    return (datetime.now(UTC) - timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")


def a_job(name: str, namespace: str = "vision", minutes: float = 60, **status: Any) -> dict[str, Any]:
    """A job with such a status, which the operator could have written."""
    made = copy.deepcopy(recorded("running"))
    uid = f"{abs(hash(name)) % 16**8:08x}-1111-4222-8333-444444444444"
    made["metadata"] |= {"name": name, "namespace": namespace, "creationTimestamp": moment(minutes), "uid": uid}
    count = status.get("workers", {}).get("desired", 8)
    made["spec"]["workers"] |= {"replicas": count, "resources": {"cpu": "8", "memory": "64Gi", "gpu": 1}}
    made["spec"]["training"] |= {"epochs": EPOCHS}
    made["status"] = {"observedGeneration": 1, "storage": {"persistentVolumeClaim": {"name": "models"}}, **status}
    TrainingJobStatus.model_validate(made["status"])
    return made


def condition(kind: str, holds: bool, reason: str, message: str, minutes: float = 5) -> dict[str, Any]:
    """A condition of a job."""
    return {
        "type": kind, "status": str(holds), "reason": reason, "message": message, "lastTransitionTime": moment(minutes),
    }  # fmt: skip


def epochs(count: int) -> list[dict[str, Any]]:
    """A history such as training leaves."""
    return [
        {
            "epoch": epoch, "step": epoch * STEPS,
            "train": {"loss": round(0.15 + 2.1 * math.exp(-epoch / 9) + 0.04 * math.sin(epoch * 2.3), 4),
                      "accuracy": round(0.97 - 0.8 * math.exp(-epoch / 8), 4)},
            "validation": {"loss": round(0.31 + 1.9 * math.exp(-epoch / 8) + 0.06 * math.sin(epoch * 1.7), 4),
                           "accuracy": round(0.93 - 0.8 * math.exp(-epoch / 8) + 0.006 * math.sin(epoch * 3.1), 4)},
        }
        for epoch in range(1, count + 1)
    ]  # fmt: skip


def resnet(run: str = RUN) -> dict[str, Any]:
    """A job that runs, has lost a node once, and has a checkpoint in its folder."""
    newest = epochs(NOW_EPOCH)[-1]
    step = NOW_EPOCH * STEPS
    told = {f"{part}/{name}": str(value) for part in ("train", "validation") for name, value in newest[part].items()}
    done = round(100 * NOW_EPOCH / EPOCHS)
    attempts = [
        {
            "number": 1, "name": "resnet-1", "image": "trainer:1", "startTime": moment(95), "scheduledTime": moment(93),
            "runningTime": moment(91), "endTime": moment(52), "cause": "NodeLost", "node": "gpu-a-3",
            "message": "node gpu-a-3 does not answer", "logs": f"{run}/logs/attempt-1",
        },
        {
            "number": 2, "name": "resnet-2", "image": "trainer:1", "queuedTime": moment(52), "startTime": moment(45),
            "scheduledTime": moment(44), "runningTime": moment(43), "resumedFromStep": 5850, "stepsLost": 212,
            "losses": 1, "lossEvents": [{"cause": "Preempted", "time": moment(21)}], "logs": f"{run}/logs/attempt-2",
        },
    ]  # fmt: skip
    return a_job(
        "resnet",
        minutes=96,
        phase="Running",
        attempt=2,
        attempts=attempts,
        startTime=moment(95),
        conditions=[
            condition("Accepted", True, "Valid", "the spec is valid", 96),
            condition("Scheduled", True, "PodsScheduled", "all 9 pods have a node", 44),
            condition("Running", True, "AllReady", "8 of 8 workers ready", 43),
        ],
        progress={
            "stage": "Training", "percent": done, "epoch": NOW_EPOCH, "step": step + 120, "etaSeconds": 1730,
            "samplesPerSecond": 10480, "metrics": told,
        },
        checkpoint={"uri": f"{run}/checkpoints/step-{step:010d}-attempt-2", "step": step, "time": moment(1.4)},
        workers={"desired": 8, "ready": 8},
        summary={
            "progress": f"{done}%", "workers": "8/8", "message": "8 of 8 workers ready",
            "metric": f"validation/accuracy={told['validation/accuracy']}",
        },
        time={
            "since": moment(95), "until": moment(0), "goodputPercent": 84,
            "seconds": {"productive": 4788, "redone": 92, "checkpointing": 71, "starting": 240, "preparing": 89,
                        "queued": 420},
        },
    )  # fmt: skip


def others(digits: bytes) -> list[dict[str, Any]]:
    """Jobs that wait, have failed, are suspended, tune or are done; digits: the result.json of that one."""
    model = "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
    failed = "ValueError in train.py line 41: column 'label' has 3 classes, and the model has 2 outputs"
    return [
        a_job(
            "bert-large", "nlp", 12, phase="Queued",
            conditions=[condition("Accepted", True, "Valid", "the spec is valid", 12),
                        condition("Scheduled", False, "Unschedulable",
                                  "0/8 nodes are available: 8 Insufficient nvidia.com/gpu", 12)],
            workers={"desired": 32, "ready": 0},
            summary={"message": "0/8 nodes are available: 8 Insufficient nvidia.com/gpu", "workers": "0/32"},
        ),
        a_job(
            "churn", "sales", 25, phase="Failed", attempt=1, startTime=moment(25), completionTime=moment(23),
            attempts=[{"number": 1, "startTime": moment(25), "runningTime": moment(24), "endTime": moment(23),
                       "cause": "UserError", "exitCode": 64, "message": failed, "node": "gpu-b-1",
                       "logs": f"{CHURN}/logs/attempt-1"}],
            conditions=[condition("Failed", True, "UserError", f"{failed} (not tried again, as retry.userError is 0)")],
            summary={"message": failed},
        ),
        a_job(
            "digits", "vision", 300, phase="Succeeded", attempt=1, startTime=moment(300), completionTime=moment(288),
            attempts=[{"number": 1, "startTime": moment(300), "runningTime": moment(299), "endTime": moment(288),
                       "logs": f"{DIGITS}/logs/attempt-1"}],
            result={"metrics": {"test/accuracy": "0.9833", "test/loss": "0.0612"},
                    "artifacts": [{"name": "model", "uri": f"{DIGITS}/model.safetensors", "sha256": model,
                                   "sizeBytes": 178_212},
                                  {"name": "result", "uri": f"{DIGITS}/result.json", "sizeBytes": len(digits),
                                   "sha256": hashlib.sha256(digits).hexdigest()},
                                  {"name": "report", "uri": f"{DIGITS}/report.md", "sha256": model[::-1],
                                   "sizeBytes": 5120}],
                    "bundle": {"digest": f"sha256:{model}", "uri": DIGITS}},
            summary={"metric": "test/accuracy=0.9833", "progress": "100%"},
            time={"since": moment(300), "until": moment(288), "goodputPercent": 91, "seconds": {"productive": 655,
                  "starting": 40, "evaluating": 14, "publishing": 11}},
        ),
        a_job(
            "forecast", "sales", 180, phase="Suspended", attempt=1, startTime=moment(180),
            checkpoint={"uri": f"{RUN}/c", "step": 12_000, "time": moment(70)},
            summary={"message": "suspended by spec.suspend", "progress": "54%"}, progress={"percent": 54},
        ) | {},
        a_job(
            "learning-rates", "vision", 40, phase="Running", attempt=1, startTime=moment(40),
            tuning={"metric": "validation/f1", "planned": 40, "completed": 14, "stopped": 9, "running": 4,
                    "best": {"trial": 7, "value": "0.9127", "parameters": {}}},
            progress={"stage": "Training", "percent": 57, "metrics": {}}, workers={"desired": 4, "ready": 4},
            summary={"progress": "57%", "trials": "23/40", "metric": "validation/f1=0.9127", "workers": "4/4"},
        ),
    ]  # fmt: skip


def pods(job: dict[str, Any], attempt: int, workers: int) -> list[dict[str, Any]]:
    """The pods of an attempt, two workers a node."""

    def pod(role: str, index: int) -> dict[str, Any]:
        labels = {"headway.dev/job": job["metadata"]["name"], "headway.dev/job-uid": job["metadata"]["uid"]}
        labels |= {"headway.dev/attempt": str(attempt), "headway.dev/role": role}
        labels |= {"headway.dev/worker": str(index)} if role == "worker" else {}
        return {
            "kind": "Pod", "metadata": {"name": f"{job['metadata']['name']}-{role}-{index}", "labels": labels},
            "spec": {"nodeName": NODES[index // 2]}, "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        }  # fmt: skip

    return [pod("head", 0), *(pod("worker", index) for index in range(workers))]


def event(job: dict[str, Any], reason: str, message: str, minutes: float, kind: str = "Normal") -> dict[str, Any]:
    """An Event of a job."""
    return {
        "kind": "Event", "type": kind, "reason": reason, "message": message, "lastTimestamp": moment(minutes),
        "involvedObject": {"kind": "TrainingJob", "name": job["metadata"]["name"], "uid": job["metadata"]["uid"]},
    }  # fmt: skip


LOG = "\n".join(
    [
        "resumed from checkpoint step-0000005850-attempt-1 (212 steps are done again)",
        *(
            f"epoch {epoch:>2}/{EPOCHS}   step {epoch * STEPS:>6,}   loss {each['train']['loss']:.4f}   "
            f"validation accuracy {each['validation']['accuracy']:.4f}   10,480 rows/s"
            for epoch, each in list(enumerate(epochs(NOW_EPOCH), 1))[15:]
        ),
        f"checkpoint step-{NOW_EPOCH * STEPS:010d}-attempt-2 written in 2.3 s",
    ]
)


def furnish(kubectl: FakeKubectl, bucket: Path) -> None:
    """Let a kubectl answer for the cluster; bucket: where its jobs' storage keeps its objects."""
    digits = json.dumps({"training": {"history": epochs(20)}}).encode()
    job = resnet()
    all_jobs = [job, *others(digits)]
    state = json.dumps({"history": epochs(NOW_EPOCH)})
    lines = [f"{line}   rank 3" for line in LOG.splitlines()]
    for uri, text in (
        (f"{job['status']['checkpoint']['uri']}/state.json", state),
        (f"{RUN}/logs/attempt-2/rank-3.000-00000.log", "\n".join(lines)),
        (f"{DIGITS}/result.json", digits.decode()),
    ):
        path = bucket / uri.removeprefix("s3://models/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for each in all_jobs:
        kubectl.says(each, "get", f"trainingjobs.headway.dev/{each['metadata']['name']}")
    kubectl.says(listed(*all_jobs), "get", "trainingjobs.headway.dev", "--all-namespaces")
    for each in all_jobs:
        name = each["metadata"]["name"]
        kubectl.says(listed(*(pods(job, 2, 8) if name == "resnet" else [])), "get", "pods", f"headway.dev/job={name}")
    told = [
        event(job, "CheckpointSaved", "step 12090", 1.4),
        event(job, "WorkerReplaced", "worker 5 was evicted (Preempted); its replacement is ready", 20.5, "Warning"),
        event(job, "Queued", "waits for 1 node", 50, "Warning"),
    ]
    for each in all_jobs:
        kubectl.says(
            listed(*(told if each is job else [])), "get", "events", f"involvedObject.uid={each['metadata']['uid']}"
        )
    kubectl.says(listed(), "get", "events", "involvedObject.kind=Pod")
    kubectl.says(LOG, "logs", "resnet-2-head")


@contextmanager
def serving(*words: str) -> Iterator[str]:
    """`headway ui` as a process of its own; yields the address with the key."""
    process = subprocess.Popen(
        [*COMMAND, "ui", "--port", "0", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=clean_environment() | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?key=[-\w]{32}\n", line), line
        yield line.strip()
    finally:
        process.terminate()
        process.wait(timeout=20)
        if process.stdout is not None:
            process.stdout.close()


@contextmanager
def a_world(folder: Path) -> Iterator[str]:
    """All of it: the address of the pages of a furnished cluster, whose jobs have an object store."""
    with pytest.MonkeyPatch.context() as monkeypatch, s3_server(folder / "s3") as endpoint:
        monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
        for name, value in (CREDENTIALS | {"AWS_ENDPOINT_URL": endpoint}).items():
            monkeypatch.setenv(name, value)
        kubectl = FakeKubectl.on_path(folder, monkeypatch)
        (folder / "rules").unlink()
        context = {"name": "prod", "context": {"cluster": "prod", "user": "ada", "namespace": "vision"}}
        kubectl.says({"current-context": "prod", "contexts": [context]}, "config", "view")
        furnish(kubectl, folder / "s3" / BUCKET)
        with serving("--all-namespaces") as address:
            yield address
