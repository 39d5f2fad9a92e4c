"""What watches show: the newest state of a namespace's jobs and pods, and waiting for a moment without asking."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from kubernetes import client, config, watch

from harness import Cluster

Found = dict[str, Any]


class Watching:
    """The jobs and pods of a namespace, as two watches tell of them."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        api = config.new_client_from_config(str(cluster.kubeconfig))
        self._changed = threading.Condition()
        self._over = False
        self._jobs: dict[str, Found] = {}
        self._pods: dict[str, Found] = {}
        self.overlaps: list[str] = []
        """When pods of two attempts of a job were there at once, or of an attempt two heads."""
        custom, core = client.CustomObjectsApi(api), client.CoreV1Api(api)
        jobs = (custom.list_namespaced_custom_object, ("headway.dev", "v1alpha1", namespace, "trainingjobs"))
        pods = (core.list_namespaced_pod, (namespace,))
        self._threads = [
            threading.Thread(target=self._follow, args=(into, *what), daemon=True)
            for into, what in ((self._jobs, jobs), (self._pods, pods))
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over = True

    def status(self, job: str) -> Found:
        """A job's status."""
        found: Found = self._jobs.get(job, {}).get("status", {})
        return found

    def pods(self, job: str, role: str | None = None) -> list[Found]:
        """A job's pods."""
        labels = {"headway.dev/job": job} | ({"headway.dev/role": role} if role else {})
        return [pod for pod in list(self._pods.values()) if labels.items() <= pod["metadata"]["labels"].items()]

    def until(self, what: str, check: Callable[[], Any], within: float = 240) -> Any:
        """Wait until check is true of what the watches show, and look after each of their events; its answer."""
        deadline = time.monotonic() + within
        with self._changed:
            while not (answer := check()):
                if not self._changed.wait(deadline - time.monotonic()):
                    raise AssertionError(f"not within {within} s: {what}; jobs: {self._jobs}; pods: {list(self._pods)}")
        return answer

    def _follow(self, into: dict[str, Found], listing: Callable[..., Any], words: tuple[str, ...]) -> None:
        while not self._over:
            for event in watch.Watch().stream(listing, *words, timeout_seconds=600):
                item = event["raw_object"]
                with self._changed:
                    if event["type"] == "DELETED":
                        into.pop(item["metadata"]["name"], None)
                    else:
                        into[item["metadata"]["name"]] = item
                    self._note_overlaps()
                    self._changed.notify_all()
                if self._over:
                    return

    def _note_overlaps(self) -> None:
        attempts: dict[str, set[str]] = {}
        for pod in self._pods.values():
            labels = pod["metadata"]["labels"]
            attempts.setdefault(labels.get("headway.dev/job", ""), set()).add(labels.get("headway.dev/attempt", ""))
        self.overlaps += [f"{job}: attempts {sorted(held)}" for job, held in attempts.items() if len(held) > 1]
