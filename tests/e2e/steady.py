"""Jobs whose training can be watched from outside: each optimiser step takes a known time and leaves a line.

The model comes from a ConfigMap and is trained by the built-in loop, with its checkpoints. In each training step it
writes the time, the pod and the process to a file on the job's volume: so a test knows, to the millisecond and whatever
the API server is doing, when which process did a step. A job of the `waiting` function ends when it is told to.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import PATIENCE, Cluster, run

from .node import Node

CODE = """
import contextlib
import math
import os
import socket
import time

import torch
from torch import nn


class Steady(nn.Module):
    def __init__(self, info, job, pause, padding):
        super().__init__()
        self.net = nn.Sequential(
            nn.Flatten(), nn.Linear(math.prod(info.input_shape), 32), nn.ReLU(), nn.Linear(32, info.outputs)
        )
        if padding:
            self.register_buffer("padding", torch.zeros(padding, 250_000))
        self.path, self.pause = f"/mnt/headway/storage/{job}.steps", pause

    def forward(self, x):
        if self.training and not os.path.exists(f"{self.path}.hurry"):
            with contextlib.suppress(OSError), open(self.path, "a") as file:
                file.write(f"{time.time()} {socket.gethostname()} {os.getpid()}\\n")
            time.sleep(self.pause)
        return self.net(x)


def build(info, job, pause, padding):
    return Steady(info, job, pause, padding)
"""
WAITING = """
import os
import time

from ray import train


def main(arguments):
    train.report({"answer": 42})
    while not os.path.exists("/mnt/headway/storage/" + arguments["until"]):
        time.sleep(0.1)
    if arguments["raises"]:
        raise ValueError("the moon is in the wrong house")
"""
SMALL = {"cpu": "200m", "memory": "2Gi"}


def config_map(name: str, **files: str) -> dict[str, Any]:
    """A ConfigMap of Python files, by the names of their modules."""
    data = {f"{module}.py": text for module, text in files.items()}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def job(name: str, *, workers: int = 1, memory: str = SMALL["memory"], **spec: Any) -> dict[str, Any]:
    """A TrainingJob with small pods. memory: of a worker."""
    pods = {"head": {"resources": SMALL}, "workers": {"replicas": workers, "resources": SMALL | {"memory": memory}}}
    return {
        "apiVersion": "headway.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": name},
        "spec": {**pods, **spec},
    }


def waiting(name: str, *, raises: bool = False, **spec: Any) -> dict[str, Any]:
    """A job whose function ends, or raises, when the file `NAME.end` is on the volume; the ConfigMap is `waiting`."""
    training = {"entrypoint": "waiting:main", "arguments": {"until": f"{name}.end", "raises": raises}}
    return job(name, code={"configMap": {"name": "waiting"}}, training=training, **spec)


@dataclass(frozen=True)
class Step:
    """The begin of an optimiser step on one worker."""

    at: float
    """Seconds since the epoch."""
    process: str
    """Pod and process id."""


def run_here(document: dict[str, Any], folder: Path, *words: str | Path) -> Path:
    """The output folder of the same job by `headway run`, which nothing happens to and which computes as a pod does.

    folder: where it goes, and where the modules of the job's code are. words: further ones of the command.
    """
    file, output = folder / "job.json", folder / "out"
    file.write_text(json.dumps(document))
    headway = Path(sys.executable).parent / "headway"
    run(headway, "run", file, "--code", folder, "--output", output, *words, timeout=300, OMP_NUM_THREADS="1")
    return output


class Watched:
    """A steady job, and what a test wants to know of it."""

    def __init__(
        self,
        node: Node,
        namespace: str,
        name: str,
        *,
        epochs: int = 2000,
        pause: float = 0.05,
        every: int = 20,
        padding: int = 0,
        workers: int = 1,
        **spec: Any,
    ) -> None:
        """every: steps between checkpoints; pause: seconds that a step takes; padding: MB that the model has more."""
        self.node, self.cluster, self.namespace, self.name, self.every = node, node.cluster, namespace, name, every
        self._volume = node.volume(namespace)
        self.cluster.apply(json.dumps(config_map("steady", steady=CODE)), namespace)
        self.applied = time.time()
        document = job(
            name,
            workers=workers,
            code={"configMap": {"name": "steady"}},
            data={"source": {"builtin": {"name": "digits"}}},
            model={"entrypoint": "steady:build", "options": {"job": name, "pause": pause, "padding": padding}},
            training={"epochs": epochs, "batchSize": 32, "checkpoint": {"everySteps": every}},
            export={"formats": ["safetensors"]},  # nobody looks at model.onnx here, and it takes seconds
            **spec,
        )
        self.cluster.apply(json.dumps(document), namespace)

    def steps(self) -> list[Step]:
        """The steps that any worker has begun so far."""
        try:
            lines = (self._volume / f"{self.name}.steps").read_text().splitlines()
        except FileNotFoundError:
            return []
        parts = [line.split() for line in lines]
        return [Step(float(at), f"{pod} {pid}") for at, pod, pid in (part for part in parts if len(part) == 3)]

    def wait_for_training(self, within: float = 240) -> float:
        """Wait until there is a checkpoint and training goes on; when the first step was done."""
        self._wait("a checkpoint", self.checkpoints, within)
        self.wait_for_steps_after(time.time(), within)
        return self.steps()[1].at

    def wait_for_steps_after(self, moment: float, within: float = 240) -> None:
        """Wait until some steps were begun after a moment."""
        self._wait("steps", lambda: sum(step.at > moment for step in self.steps()) > 2, within)

    def wait_for_new_processes(self, fault: float, within: float = 240) -> float:
        """Wait until a process that there was not before the fault has done a step; the seconds since the fault."""
        before = {step.process for step in self.steps() if step.at <= fault}

        def second_step() -> float | None:
            fresh = [step for step in self.steps() if step.at > fault and step.process not in before]
            # That a process begins its second step means that its first was done.
            repeated = (one.at for one in fresh if sum(o.process == one.process and o.at < one.at for o in fresh) == 1)
            return min(repeated, default=None)

        at: float = self._wait("a step by a new process", second_step, within)
        return at - fault

    def hurry(self) -> None:
        """From now on a step takes no longer than it must, and leaves no line."""
        (self._volume / f"{self.name}.steps.hurry").touch()

    def checkpoints(self) -> dict[int, Path]:
        """The folders of the complete checkpoints, by their steps, oldest first."""
        found = self._volume.glob(f"{self.namespace}/{self.name}-*/checkpoints/step-*/manifest.json")
        return {int(path.parent.name.split("-")[1]): path.parent for path in sorted(found)}

    def unfinished(self) -> list[Path]:
        """The folders of checkpoints that are being written."""
        found = self._volume.glob(f"{self.namespace}/{self.name}-*/checkpoints/step-*")
        return [path for path in found if not (path / "manifest.json").exists()]

    def status(self) -> dict[str, Any]:
        """The job's status."""
        found: dict[str, Any] = self.cluster.get("tj", self.name, "-n", self.namespace).get("status", {})
        return found

    def attempt(self, number: int) -> dict[str, Any] | None:
        """What the status says of an attempt."""
        return next((one for one in self.status().get("attempts", []) if one["number"] == number), None)

    def wait_for_attempt(self, number: int, field: str, within: float = PATIENCE) -> dict[str, Any]:
        """Wait until the status says something of an attempt; all that it says of it."""

        def told() -> dict[str, Any] | None:
            found = self.attempt(number)
            return found if found and field in found else None

        attempt: dict[str, Any] = self._wait(f"{field} of attempt {number}", told, within)
        return attempt

    def wait_for_phase(self, phase: str, within: float = 180) -> dict[str, Any]:
        """Wait for a phase; the status then."""

        def reached() -> dict[str, Any] | None:
            status = self.status()
            return status if status.get("phase") == phase else None

        status: dict[str, Any] = self._wait(phase, reached, within)
        return status

    def edit(self, **spec: Any) -> None:
        """Change the job's spec."""
        patch = json.dumps({"spec": spec})
        self.cluster.kubectl("patch", "tj", self.name, "-n", self.namespace, "--type=merge", "-p", patch)

    def pod(self, role: str, *, within: float = PATIENCE) -> dict[str, Any]:
        """The running pod `head` or `worker`; of several the last by name."""
        words = ("pods", "-n", self.namespace, "-l", f"headway.dev/job={self.name},headway.dev/role={role}")

        def running() -> list[dict[str, Any]]:
            return [
                pod
                for pod in self.cluster.items(*words)
                if pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]
            ]

        pods: list[dict[str, Any]] = self._wait(f"a running {role}", running, within)
        return pods[-1]

    def _wait(self, what: str, check: Any, within: float) -> Any:
        try:
            return self.cluster.wait(f"{what} ({self.name})", check, within, every=0.2)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.cluster.story(self.name, self.namespace)}") from None


def wait_until_nothing_is_left(cluster: Cluster, namespace: str, *names: str, within: float = PATIENCE) -> None:
    """Wait until no object of the jobs exists but themselves."""
    kinds = "pods,configmaps,secrets,services,networkpolicies"

    def gone() -> bool:
        found = cluster.items(kinds, "-n", namespace, "-l", f"headway.dev/job in ({','.join(names)})")
        return not found

    cluster.wait(f"nothing left of {names}", gone, within)
