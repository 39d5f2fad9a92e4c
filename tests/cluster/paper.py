"""A cluster on paper for the operator: a real control plane, kwok for nodes and pods, and the operator as a process.

The operator runs with the very rights that the chart gives it.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import yaml

from harness import HACK_CLUSTER, PATIENCE, ROOT, Cluster, NotYetError, run, why_no_cluster
from headway_api import wire
from ports import free_port
from sim.builders import document, outcome

SYSTEM = "headway-paper"
RIGHTS = (
    "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
)  # fmt: skip
"""What of the chart says what the operator may do."""
LINES_TOLD = 30
"""Of what each process of the operator has logged, where a test fails."""
OURS = "pods,configmaps,secrets,services,networkpolicies"


def install_rights(cluster: Cluster, folder: Path, *namespaces: str, switch: str | None = None) -> Path:
    """Apply what the chart gives the operator, but not the operator; returns a kubeconfig with just these rights.

    namespaces: the chart's watchNamespaces, which are made; all if none. switch: a value of the chart that is true.
    """
    helm = run(HACK_CLUSTER, "which", "helm", timeout=600).strip()
    values = ["--set-json", f"watchNamespaces={json.dumps(namespaces)}"]
    values += [] if switch is None else ["--set", f"{switch}=true"]
    text = run(helm, "template", "headway", ROOT / "charts/headway", "-n", SYSTEM, "--kube-version", "1.37.0", *values)
    chart = [entry for entry in yaml.safe_load_all(text) if entry]
    cluster.kubectl("apply", "--server-side", "--force-conflicts", *crds())
    for namespace in (SYSTEM, *namespaces):
        cluster.kubectl("create", "namespace", namespace)
    rights = [entry for entry in chart if entry["kind"] in RIGHTS]
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": rights}))
    account = next(entry["metadata"]["name"] for entry in chart if entry["kind"] == "ServiceAccount")
    token = cluster.kubectl("create", "token", account, "-n", SYSTEM, "--duration=6h").strip()
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    config["users"] = [{"name": "operator", "user": {"token": token}}]
    config["contexts"][0]["context"]["user"] = "operator"
    path = folder / "operator.kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


def why_no_paper() -> str | None:
    """What keeps this machine from making such a cluster; None where nothing does."""
    if os.environ.get("HEADWAY_TEST_KUBECONFIG"):
        return "needs a cluster whose pods run on paper: unset HEADWAY_TEST_KUBECONFIG"
    return why_no_cluster(node=False)


def crds() -> list[str]:
    """The words with which kubectl applies the CRDs."""
    return [word for path in sorted((ROOT / "crds").glob("*.yaml")) for word in ("-f", str(path))]


@dataclass
class Operator:
    """A process of the operator."""

    process: subprocess.Popen[bytes]
    log: Path
    metrics_port: int
    health_port: int

    def lines(self) -> list[dict[str, Any]]:
        """What it has logged."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def working(self) -> bool:
        """Whether it works, rather than waiting for the Lease."""
        return self.metric("headway_is_leader") == 1 and self.get("/readyz") == "ok"

    def get(self, path: str) -> str | None:
        """What it answers; None if it does not."""
        port = self.metrics_port if path == "/metrics" else self.health_port
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2) as answer:
                text: str = answer.read().decode()
                return text
        except urllib.error.HTTPError as error:
            return str(error.read().decode())
        except OSError:
            return None

    def metric(self, name: str) -> float | None:
        """The value of a metric, with its labels as they are exposed."""
        for line in (self.get("/metrics") or "").splitlines():
            if line.startswith(f"{name} "):
                return float(line.rsplit(" ", 1)[1])
        return None

    def calls(self) -> Counter[tuple[str, str]]:
        """How often it has called the API server, by verb and resource; its watches are not counted."""
        found: Counter[tuple[str, str]] = Counter()
        for line in (self.get("/metrics") or "").splitlines():
            if line.startswith("headway_api_calls_total{"):
                labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
                found[labels["verb"], labels["resource"]] += int(float(line.rpartition(" ")[2]))
        return found

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait(timeout=PATIENCE)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=PATIENCE)


class Paper:
    """The cluster, and what a test does to it."""

    def __init__(self, cluster: Cluster, folder: Path, kubeconfig: Path, name: str = "") -> None:
        self.cluster = cluster
        self._name = name
        self._folder = folder
        self._kubeconfig = kubeconfig
        self._started: list[Operator] = []
        self._uids: dict[str, str] = {}
        """Of jobs, by name: of those that exist, or last did."""

    @classmethod
    @contextmanager
    def made(
        cls,
        label: str,
        folder: Path,
        *options: str,
        nodes: int = 2,
        namespaces: tuple[str, ...] = (),
        switch: str | None = None,
    ) -> Iterator[Self]:
        """A fresh control plane with so many kwok nodes, the kinds and the operator's rights; gone afterwards.

        label: begins the cluster's name. options: of `cluster up`. namespaces, switch: as for install_rights.
        """
        name = f"{label}-{os.getpid()}"
        words = ("up", "--no-node", "--kwok-nodes", str(nodes), *options, "--name", name)
        try:
            cluster = Cluster(Path(run(HACK_CLUSTER, *words, timeout=3600).strip()))
            made = cls(cluster, folder, install_rights(cluster, folder, *namespaces, switch=switch), name)
            try:
                yield made
            finally:
                made.end_all()
        finally:
            run(HACK_CLUSTER, "down", "--name", name)

    @property
    def kubeconfig(self) -> Path:
        """The operator's own."""
        return self._kubeconfig

    def start(
        self,
        *flags: str,
        name: str = "",
        kubeconfig: Path | None = None,
        metrics_port: int | None = None,
        path: str | None = None,
    ) -> Operator:
        """Start a process of the operator.

        name: its pod's, if another process was the same pod's. path: the PYTHONPATH of another version's.
        """
        number = len(self._started)
        environment = {
            "KUBECONFIG": str(kubeconfig or self._kubeconfig),
            "HEADWAY_POD_NAME": name or f"replica-{number}",
            **({} if path is None else {"PYTHONPATH": path}),
        }
        log = self._folder / f"operator-{number}-{time.monotonic_ns()}.log"
        with log.open("wb") as stderr:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "headway_operator.main"),
                    *("--trainer-image", "trainer:test", "--default-storage-uri", "s3://models/headway"),
                    *("--lease-namespace", SYSTEM, "--lease-name", "headway"),
                    *(
                        "--metrics-port",
                        str(metrics := metrics_port or free_port()),
                        "--health-port",
                        str(health := free_port()),
                    ),
                    *flags,
                ],
                stderr=stderr,
                env={**os.environ, **environment},
            )
        operator = Operator(process, log, metrics, health)
        self._started.append(operator)
        return operator

    @contextmanager
    def operator(
        self,
        *flags: str,
        name: str = "",
        kubeconfig: Path | None = None,
        metrics_port: int | None = None,
        path: str | None = None,
    ) -> Iterator[Operator]:
        """A process of the operator that works; stopped afterwards."""
        operator = self.start(*flags, name=name, kubeconfig=kubeconfig, metrics_port=metrics_port, path=path)
        try:
            self.cluster.wait("the operator at work", lambda: operator.working() or None, every=0.1)
        except NotYetError as error:
            raise NotYetError(f"{error}\n{self._operators()}") from None
        yield operator
        if operator.process.poll() is None:
            operator.stop()

    def end_all(self) -> None:
        """No process is left."""
        for operator in self._started:
            if operator.process.poll() is None:
                operator.process.send_signal(signal.SIGCONT)
                operator.kill()
        self._started.clear()

    def order(self, verb: str, program: str) -> None:
        """`kill`, `start`, `stop` or `restart` one program of the cluster."""
        run(HACK_CLUSTER, verb, program, "--name", self._name)

    def submit(self, name: str, namespace: str = "default", **spec: Any) -> None:
        """Apply a job."""
        self.submit_all({name: spec}, namespace)

    def submit_all(self, specs: dict[str, dict[str, Any]], namespace: str = "default") -> None:
        """Apply jobs, by name, all at once."""
        small = {"resources": {"cpu": "10m", "memory": "64Mi"}}
        jobs = []
        for name, spec in specs.items():
            sized = {**spec, "head": small | spec.get("head", {}), "workers": small | spec.get("workers", {})}
            jobs.append(document(name, namespace, **sized))
        self.cluster.apply(json.dumps({"apiVersion": "v1", "kind": "List", "items": jobs}), namespace)

    def edit(self, name: str, **spec: Any) -> None:
        """Change a job's spec."""
        self.cluster.kubectl("patch", "tj", name, "--type=merge", "-p", json.dumps({"spec": spec}))

    def status(self, name: str, namespace: str = "default") -> dict[str, Any]:
        """A job's status."""
        status: dict[str, Any] = self.cluster.get("tj", name, "-n", namespace).get("status", {})
        return status

    def statuses(self, namespace: str = "default") -> dict[str, dict[str, Any]]:
        """The status of every job of a namespace, by name: one call."""
        return {item["metadata"]["name"]: item.get("status", {}) for item in self.cluster.items("tj", "-n", namespace)}

    def phases(self, wanted: dict[str, str], within: float = PATIENCE) -> dict[str, dict[str, Any]]:
        """Wait for the phases of some jobs; the statuses then."""

        def reached() -> dict[str, dict[str, Any]] | None:
            found = self.statuses()
            return found if all(found.get(name, {}).get("phase") == phase for name, phase in wanted.items()) else None

        try:
            return self.cluster.wait(f"the phases {wanted}", reached, within, every=0.3)
        except AssertionError as error:
            found = {name: status.get("phase") for name, status in self.statuses().items()}
            raise AssertionError(f"{error}\n{found}") from None

    def phase(self, name: str, phase: str, within: float = PATIENCE, *, namespace: str = "default") -> dict[str, Any]:
        """Wait for a phase; the status then."""

        def reached() -> dict[str, Any] | None:
            status = self.status(name, namespace)
            return status if status.get("phase") == phase else None

        try:
            return self.cluster.wait(f"{name} {phase}", reached, within, every=0.2)
        except NotYetError as error:
            raise NotYetError(f"{error}\n{self.cluster.story(name, namespace)}\n{self._operators()}") from None

    def uid(self, name: str) -> str:
        """The uid of a job; of one that is gone, as it was when it was last asked for."""
        self._uids |= {item["metadata"]["name"]: item["metadata"]["uid"] for item in self.cluster.items("tj")}
        return self._uids[name]

    def objects(self, name: str, attempt: int = 1) -> str:
        """The name of an attempt's ConfigMap, Secret and the like."""
        return wire.object_name(name, self.uid(name), attempt)

    def head(self, name: str, attempt: int = 1) -> str:
        """The name of a head pod."""
        return wire.head_name(name, self.uid(name), attempt)

    def worker(self, name: str, index: int = 0, number: int = 0, attempt: int = 1) -> str:
        """The name of a worker pod."""
        return wire.worker_name(name, self.uid(name), attempt, index, number)

    def say(self, name: str, progress: dict[str, Any], attempt: int = 1, **fields: Any) -> None:
        """The driver speaks."""
        said = {"uid": self.uid(name), "attempt": attempt, "progress": progress, **fields}
        patch = json.dumps({"data": {wire.KEY_PROGRESS: json.dumps(said)}})
        self.cluster.kubectl("patch", "configmap", self.objects(name, attempt), "--type=merge", "-p", patch)

    def pods(self, name: str) -> list[dict[str, Any]]:
        """A job's pods."""
        return self.cluster.items("pods", "-l", f"headway.dev/job={name}")

    def left(self, name: str) -> list[str]:
        """The objects of a job that exist."""
        found = self.cluster.items(OURS, "-l", f"headway.dev/job={name}")
        return [f"{item['kind']} {item['metadata']['name']}" for item in found]

    def nothing_left(self, name: str, within: float = PATIENCE) -> None:
        """Wait until a job has no objects.

        Kubernetes' garbage collector learns of a new kind only half a minute after it was installed.
        """
        try:
            self.cluster.wait(f"nothing left of {name}", lambda: not self.left(name) or None, within, every=0.2)
        except AssertionError as error:
            log = self._started[-1].log.read_text() if self._started else ""
            raise AssertionError(f"{error}\nleft: {self.left(name)}\n{log}") from None

    def end_driver(self, name: str, kind: str, *, attempt: int = 1, code: int = 0, **fields: Any) -> None:
        """The head's main process ends and leaves its word."""
        self.end_pod(self.head(name, attempt), code, outcome(kind, attempt, uid=self.uid(name), **fields))

    def end_pod(self, pod: str, code: int, message: str = "", reason: str = "Error") -> None:
        """A pod's main process ends, as the kubelet would say it."""
        ended = {"exitCode": code, "reason": "Completed" if code == 0 else reason, "message": message}
        state = {"terminated": ended | {"startedAt": None, "finishedAt": None}}
        container = {"name": "main", "image": "trainer:test", "imageID": "", "ready": False, "restartCount": 0}
        status = {
            "phase": "Succeeded" if code == 0 else "Failed",
            "containerStatuses": [container | {"state": state}],
            "conditions": [{"type": "Ready", "status": "False"}],
        }
        patch = json.dumps({"status": status})
        self.cluster.kubectl("patch", "pod", pod, "--subresource=status", "--type=merge", "-p", patch)

    def events(self, name: str) -> list[str]:
        """The reasons of a job's Events."""
        found = self.cluster.items("events", "--field-selector", f"involvedObject.name={name}")
        return [item["reason"] for item in found]

    def until(self, what: str, check: Callable[[], Any], within: float = PATIENCE, every: float = 0.2) -> Any:
        """Wait until something holds."""
        try:
            return self.cluster.wait(what, lambda: check() or None, within, every)
        except NotYetError as error:
            raise NotYetError(f"{error}\n{self._operators()}") from None

    def _operators(self) -> str:
        """How each process of the operator does, and what it logged last: one that is not there mends nothing."""
        told = []
        for operator in self._started:
            ended = operator.process.poll()
            lines = operator.log.read_text().splitlines()[-LINES_TOLD:]
            told += [f"{operator.log.name}: {'runs' if ended is None else f'has ended with {ended}'}", *lines]
        return "\n".join(told)
