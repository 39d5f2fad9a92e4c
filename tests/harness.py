"""A Kubernetes cluster as tests see it: kubectl, helm, and waiting with a reason."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).parents[1]
HACK_CLUSTER = ROOT / "hack/cluster/cluster"

PATIENCE = 120.0
"""Seconds after which what is waited for will not come: no figure, and enough for a machine that is slow and busy."""

Answer = TypeVar("Answer")


class NotYetError(AssertionError):
    """What was waited for did not come in time."""


def run(
    *words: str | Path, stdin: str | None = None, timeout: float = 1.5 * PATIENCE, check: bool = True, **env: str
) -> str:
    """Runs a command and returns what it printed to stdout; on failure the error holds both streams."""
    done = subprocess.run(
        [str(word) for word in words],
        input=stdin,
        text=True,
        capture_output=True,
        timeout=timeout,
        check=False,
        cwd=ROOT,
        env={**os.environ, **env},
    )
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, words))} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout if check else done.stdout + done.stderr


def why_no_cluster(*, node: bool) -> str | None:
    """What this machine lacks for a cluster of its own; None where it lacks nothing, or a cluster is given."""
    if os.environ.get("HEADWAY_TEST_KUBECONFIG"):
        return None
    missing = [tool for tool in ("go", "apt-get", "unshare") if not shutil.which(tool)]
    if missing:
        return f"needs {', '.join(missing)} to make a cluster, or HEADWAY_TEST_KUBECONFIG"
    if os.geteuid() != 0:
        return "needs root to make a cluster, or HEADWAY_TEST_KUBECONFIG"
    free = shutil.disk_usage(ROOT).free / 2**30
    least = 12 if node else 4
    return f"needs {least} GiB of free disk for a cluster; there are {free:.0f}" if free < least else None


@dataclass(frozen=True)
class Cluster:
    """A cluster that a test may use."""

    kubeconfig: Path
    helm_binary: str = "helm"
    images: dict[str, str] = field(default_factory=dict)

    def kubectl(
        self, *words: str, stdin: str | None = None, timeout: float = 1.5 * PATIENCE, check: bool = True
    ) -> str:
        """Runs kubectl; its output. With check=False both streams, whatever the exit code."""
        return run("kubectl", *words, stdin=stdin, timeout=timeout, check=check, KUBECONFIG=str(self.kubeconfig))

    def helm(self, *words: str, timeout: float = 300, check: bool = True) -> str:
        """Runs helm; its output."""
        return run(self.helm_binary, *words, timeout=timeout, check=check, KUBECONFIG=str(self.kubeconfig))

    def get(self, *words: str) -> dict[str, Any]:
        """An object, or a list, as JSON."""
        found: dict[str, Any] = json.loads(self.kubectl("get", *words, "-o", "json"))
        return found

    def items(self, *words: str) -> list[dict[str, Any]]:
        """The objects of a list."""
        found: list[dict[str, Any]] = self.get(*words)["items"]
        return found

    def apply(self, text: str, namespace: str = "default") -> str:
        """kubectl apply."""
        return self.kubectl("apply", "--namespace", namespace, "-f", "-", stdin=text)

    def wait(
        self, what: str, check: Callable[[], Answer | None], within: float = PATIENCE, every: float = 0.5
    ) -> Answer:
        """Asks until the answer is true, and returns it.

        Raises NotYetError with what was waited for and the last answer.
        """
        deadline = time.monotonic() + within
        while not (answer := check()):
            if time.monotonic() > deadline:
                raise NotYetError(f"not within {within} s: {what}; the last answer was {answer!r}")
            time.sleep(every)
        return answer

    def finished(self, job: str, namespace: str, within: float = 300) -> dict[str, Any]:
        """Waits for a job's end and returns the job; a failed wait shows what there is to know of the job."""

        def ended() -> dict[str, Any] | None:
            found = self.get("trainingjob", job, "-n", namespace)
            return found if found.get("status", {}).get("phase") in ("Succeeded", "Failed") else None

        try:
            return self.wait(f"the end of {namespace}/{job}", ended, within)
        except NotYetError as error:
            raise NotYetError(f"{error}\n{self.story(job, namespace)}") from None

    def story(self, job: str, namespace: str) -> str:
        """All there is to know of a job, for the message of a failed test."""
        head = self.kubectl(
            "logs",
            "-n",
            namespace,
            "-l",
            f"headway.dev/job={job}",
            "--tail=60",
            "--prefix",
            "--all-containers",
            check=False,
        )
        return "\n".join(
            [
                self.kubectl("get", "trainingjob", job, "-n", namespace, "-o", "yaml", check=False),
                self.kubectl("get", "pods", "-n", namespace, "-o", "wide", check=False),
                self.kubectl("get", "events", "-n", namespace, "--sort-by=.lastTimestamp", check=False),
                head,
            ]
        )
