"""Hundreds of jobs on a cluster on paper, made and watched fast, and what the operator's process uses meanwhile."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import ssl
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import aiohttp
import yaml

from cluster.paper import Operator, Paper
from harness import Cluster
from headway_api import wire
from sim.builders import document, outcome

NODES = 10
"""Of a thousand pods each."""
JOBS = "/apis/headway.dev/v1alpha1/namespaces/default/trainingjobs"
PODS = "/api/v1/namespaces/default/pods"
AT_A_TIME = 32
SETTLE_SECONDS = 5.0
"""After the last job has come where it should: what can wait (numbers in the status, Events) is written, too."""
_TICK = os.sysconf("SC_CLK_TCK")


@contextmanager
def paper() -> Iterator[Paper]:
    """A fresh control plane with kwok's nodes, the kinds and the operator's rights."""
    with tempfile.TemporaryDirectory() as folder, Paper.made("bench", Path(folder), nodes=NODES) as made:
        yield made


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used so far."""

    cpu: float
    """Seconds."""
    memory: float
    """MB at the moment."""
    peak: float
    """MB at the most."""

    @classmethod
    def of(cls, operator: Operator) -> Self:
        """Read it from /proc."""
        folder = Path("/proc") / str(operator.process.pid)
        words = (folder / "stat").read_text().rpartition(")")[2].split()
        status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
        memory, peak = (int(status[name].split()[0]) * 1024 / 1e6 for name in ("VmRSS", "VmHWM"))
        return cls((int(words[11]) + int(words[12])) / _TICK, memory, peak)


class Crowd:
    """The jobs of a benchmark, seen over a watch of its own."""

    def __init__(self, session: aiohttp.ClientSession, operator: Operator | None) -> None:
        self._session = session
        self._operator = operator
        self.jobs: dict[str, dict[str, Any]] = {}
        """What the watch has shown of each, by name."""
        self._changed = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def on(cls, cluster: Cluster, operator: Operator | None = None) -> AsyncIterator[Self]:
        """Look at a cluster, as its administrator. Nothing is waited for once the operator has ended."""
        server, context = _access(cluster.kubeconfig)
        connector = aiohttp.TCPConnector(ssl=context, limit=0)
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(server, connector=connector, timeout=timeout) as session:
            crowd = cls(session, operator)
            watching = asyncio.create_task(crowd._watch())
            try:
                yield crowd
            finally:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)

    async def submit(self, names: Iterable[str], *, workers: int = 1, **spec: Any) -> None:
        """Create jobs, as fast as the API server takes them."""
        small = {"resources": {"cpu": "10m", "memory": "64Mi"}}
        parts = {"head": small, "workers": {**small, "replicas": workers}}
        await self._each(names, lambda name: self._session.post(JOBS, json=document(name, **{**parts, **spec})))

    async def delete(self, names: Iterable[str]) -> None:
        """Delete jobs."""
        await self._each(names, lambda name: self._session.delete(f"{JOBS}/{name}"))

    async def patch_status(self, names: Iterable[str], body: dict[str, Any]) -> None:
        """Merge into the status of jobs."""
        await self._each(names, lambda name: self._patch(f"{JOBS}/{name}/status", body))

    async def end_drivers(self, names: Iterable[str], **word: Any) -> None:
        """The main processes of the heads end in order, and leave their word."""
        container = {"name": "main", "image": "trainer:test", "imageID": "", "ready": False, "restartCount": 0}

        def end(name: str) -> Any:
            uid = self.uid(name)
            message = outcome("Succeeded", uid=uid, message="stored", **word)
            ended = {"exitCode": 0, "reason": "Completed", "message": message, "startedAt": None, "finishedAt": None}
            status = {
                "phase": "Succeeded",
                "containerStatuses": [container | {"state": {"terminated": ended}}],
                "conditions": [{"type": "Ready", "status": "False"}],
            }
            return self._patch(f"{PODS}/{wire.head_name(name, uid, 1)}/status", {"status": status})

        await self._each(names, end)

    def uid(self, name: str) -> str:
        """The uid of a job."""
        uid: str = self.jobs[name]["metadata"]["uid"]
        return uid

    def _patch(self, path: str, body: dict[str, Any]) -> Any:
        return self._session.patch(path, json=body, headers={"Content-Type": "application/merge-patch+json"})

    async def until(self, what: str, holds: Callable[[], bool], within: float) -> None:
        """Wait until the watch has shown it."""
        deadline = time.monotonic() + within
        while not holds():
            if self._operator is not None and self._operator.process.poll() is not None:
                said = self._operator.log.read_text().splitlines()[-1:]
                raise RuntimeError(f"the operator has ended, as when it cannot renew its Lease in time: {said}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {within:.0f} s: {what}; the jobs are {dict(self.phases())}")
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), 1.0)

    async def pods(self) -> int:
        """How many pods there are."""
        async with self._session.get(PODS, params={"limit": "1"}) as answer:
            listed = await answer.json()
        return len(listed["items"]) + int(listed["metadata"].get("remainingItemCount", 0))

    def phases(self) -> Counter[str]:
        """How many jobs are in which phase."""
        return Counter(job.get("status", {}).get("phase", "New") for job in self.jobs.values())

    async def _watch(self) -> None:
        """List and watch, again and again: the API server ends a watch that is slow to read, as on a busy machine."""
        while True:
            async with self._session.get(JOBS) as answer:
                listed = await answer.json()
            self.jobs = {job["metadata"]["name"]: job for job in listed["items"]}
            self._changed.set()
            params = {"watch": "1", "resourceVersion": listed["metadata"]["resourceVersion"]}
            async with self._session.get(JOBS, params=params) as stream:
                async for line in stream.content:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        break
                    name = event["object"]["metadata"]["name"]
                    if event["type"] == "DELETED":
                        self.jobs.pop(name, None)
                    else:
                        self.jobs[name] = event["object"]
                    self._changed.set()

    @staticmethod
    async def _each(names: Iterable[str], call: Callable[[str], Any]) -> None:
        waiting = iter(names)

        async def work() -> None:
            for name in waiting:
                async with call(name) as answer:
                    if answer.status >= 300:
                        raise RuntimeError(f"{name}: {answer.status} {await answer.text()}")

        await asyncio.gather(*(work() for _ in range(AT_A_TIME)))


def _access(kubeconfig: Path) -> tuple[str, ssl.SSLContext]:
    config = yaml.safe_load(kubeconfig.read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    with tempfile.NamedTemporaryFile() as file:
        for part in ("client-certificate-data", "client-key-data"):
            file.write(base64.b64decode(user[part]))
        file.flush()
        context.load_cert_chain(file.name)
    return cluster["server"], context
