"""From `kubectl apply` to the first optimiser step, on a real node, beside torchrun in two plain pods.

Both use the trainer's image, which is present, the same requests and the same model. The clocks of pods and of this
process are one machine's. Of several runs, taken in turns, the median counts.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import yaml

from bench.references import KUBERAY_START_SECONDS, by_loop
from bench.report import Goal, Measured, Reference
from harness import HACK_CLUSTER, ROOT, Cluster, run
from headway_api import wire

NAMESPACE = "start"
PORT = 29400

CLAIM = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: models}
spec: {accessModes: [ReadWriteMany], resources: {requests: {storage: 1Gi}}}
"""
SERVICE = f"""
apiVersion: v1
kind: Service
metadata: {{name: bare}}
spec: {{clusterIP: None, publishNotReadyAddresses: true, selector: {{app: bare}}, ports: [{{port: {PORT}}}]}}
"""
POD = """
apiVersion: v1
kind: Pod
metadata: {name: bare-RANK, labels: {app: bare}}
spec:
  restartPolicy: Never
  hostname: bare-RANK
  subdomain: bare
  terminationGracePeriodSeconds: 0
  securityContext: {runAsUser: 1000, runAsNonRoot: true}
  containers:
  - name: main
    image: IMAGE
    command: [torchrun, --nnodes=2, --nproc-per-node=1, --node-rank=RANK, --master-addr=bare-0.bare, --master-port=PORT,
              /bench/bare_ddp.py, "2"]
    env: [{name: OMP_NUM_THREADS, value: "1"}, {name: HOME, value: /tmp}]
    resources: {requests: {cpu: 300m, memory: 1Gi}, limits: {memory: 2Gi}}
    volumeMounts: [{name: bench, mountPath: /bench}]
  volumes: [{name: bench, configMap: {name: bench}}]
"""


@dataclass(frozen=True)
class Start:
    """One start of the job: seconds since apply."""

    driver: float
    """The head pod's process runs."""
    head: float
    """Ray's head is up."""
    joined: float
    """All workers have joined."""
    first_step: float


@contextmanager
def site() -> Iterator[Cluster]:
    """A cluster of one real node with Headway installed, and a namespace with storage."""
    name = f"bench-{os.getpid()}"
    try:
        kubeconfig = Path(run(HACK_CLUSTER, "up", "--name", name, timeout=3600).strip())
        images = {
            target: run(HACK_CLUSTER, "image", target, timeout=3600).split()[-1] for target in ("operator", "trainer")
        }
        cluster = Cluster(kubeconfig, run(HACK_CLUSTER, "which", "helm").strip(), images)
        cluster.helm(
            "upgrade", "--install", "headway", str(ROOT / "charts/headway"), "--namespace", "headway-system",
            "--create-namespace", "--wait", "--timeout", "3m", "--set", f"operator.image={images['operator']}",
            "--set", f"trainer.image={images['trainer']}", "--set", "defaultStorage.persistentVolumeClaim.name=models",
        )  # fmt: skip
        cluster.kubectl("create", "namespace", NAMESPACE)
        cluster.apply(CLAIM + "---" + SERVICE, NAMESPACE)
        cluster.kubectl(
            "create", "configmap", "bench", "-n", NAMESPACE, f"--from-file={Path(__file__).with_name('bare_ddp.py')}"
        )
        yield cluster
    finally:
        run(HACK_CLUSTER, "down", "--name", name)


def bare(cluster: Cluster) -> float:
    """Seconds from apply to the first step under torchrun."""
    pods = "---".join(
        POD.replace("RANK", str(rank)).replace("IMAGE", cluster.images["trainer"]).replace("PORT", str(PORT))
        for rank in (0, 1)
    )
    began = time.time()
    cluster.apply(pods, NAMESPACE)
    cluster.kubectl(
        "wait", "-n", NAMESPACE, "--for=jsonpath={.status.phase}=Succeeded", "pod/bare-0", "--timeout=180s", timeout=200
    )
    told = json.loads(cluster.kubectl("logs", "-n", NAMESPACE, "bare-0").splitlines()[-1])
    cluster.kubectl("delete", "-n", NAMESPACE, "pod", "bare-0", "bare-1")
    return float(told["firstStep"]) - began


def ours(cluster: Cluster, number: int) -> Start:
    """One start of examples/digits.yaml, with one pass over the data."""
    job = yaml.safe_load((ROOT / "examples/digits.yaml").read_text())
    name = job["metadata"]["name"] = f"digits-{number}"
    job["spec"]["training"]["epochs"] = 2
    began = time.time()
    cluster.apply(yaml.safe_dump(job), NAMESPACE)
    cluster.wait("the driver's log", lambda: "have joined" in _log(cluster, name), 900, every=1.0)
    times = {what: _said(_log(cluster, name), what) - began for what in ("begins", "head is up", "have joined")}
    ended = cluster.finished(name, NAMESPACE)
    assert ended["status"]["phase"] == "Succeeded", ended["status"]
    first = _first_step(cluster, name)
    cluster.kubectl("delete", "-n", NAMESPACE, "trainingjob", name)
    return Start(times["begins"], times["head is up"], times["have joined"], first - began)


def _log(cluster: Cluster, name: str) -> str:
    head = f"{wire.LABEL_JOB}={name},{wire.LABEL_ROLE}={wire.ROLE_HEAD}"
    return cluster.kubectl("logs", "-n", NAMESPACE, "-l", head, "--tail=-1", check=False)


def _said(log: str, what: str) -> float:
    """When the driver's log says something, in seconds since the epoch. Its lines begin with a UTC time."""
    found = re.search(rf"^(\S+ \S+),(\d+) INFO \S+ .*{what}", log, re.MULTILINE)
    assert found is not None, log
    return datetime.fromisoformat(found[1]).replace(tzinfo=UTC).timestamp() + int(found[2]) / 1000


def _first_step(cluster: Cluster, name: str) -> float:
    """When the first optimiser step was done, from the job's result, which a pod reads."""
    reader = (
        f"apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}-reader}}\nspec:\n  restartPolicy: Never\n"
        "  securityContext: {runAsUser: 1000, runAsNonRoot: true}\n  containers:\n"
        f"  - name: main\n    image: {cluster.images['operator']}\n"
        f"    command: [sh, -c, 'cat /models/*/{name}-*/result.json']\n"
        "    volumeMounts: [{name: models, mountPath: /models}]\n"
        "  volumes: [{name: models, persistentVolumeClaim: {claimName: models}}]\n"
    )
    cluster.apply(reader, NAMESPACE)
    pod = f"pod/{name}-reader"
    cluster.kubectl("wait", "-n", NAMESPACE, "--for=jsonpath={.status.phase}=Succeeded", pod, "--timeout=60s")
    result = json.loads(cluster.kubectl("logs", "-n", NAMESPACE, pod))
    cluster.kubectl("delete", "-n", NAMESPACE, pod)
    return datetime.fromisoformat(result["training"]["firstStepTime"]).timestamp()


def first_step(rounds: int = 5) -> Iterator[Measured]:
    """Apply to the first optimiser step, two workers, image present; and where the seconds go."""
    with site() as cluster:
        ours(cluster, 0)  # the image's files come into the page cache
        bare(cluster)
        rivals, starts = [], []
        for number in range(1, rounds + 1):
            rivals.append(bare(cluster))
            starts.append(ours(cluster, number))
    median = Start(*(statistics.median(getattr(one, name) for one in starts) for name in Start.__dataclass_fields__))
    what = "apply -> first optimiser step, 2 workers"
    rival = Reference("torchrun in two plain pods", round(statistics.median(rivals), 2))
    kuberay = by_loop("KubeRay RayJob", KUBERAY_START_SECONDS)
    yield Measured(what, median.first_step, "s", rival, Goal("at most", 2.0, "ratio"))
    yield Measured(f"{what}, beside KubeRay", median.first_step, "s", kuberay, Goal("at most", 0.4, "ratio"))
    yield Measured("of this: apply -> the head pod's process runs", median.driver, "s")
    yield Measured("of this: process -> Ray's head is up", median.head - median.driver, "s")
    yield Measured("of this: Ray's head -> both workers have joined", median.joined - median.head, "s")
    yield Measured("of this: joined -> first step", median.first_step - median.joined, "s")


PARTS = {"first_step": first_step}
