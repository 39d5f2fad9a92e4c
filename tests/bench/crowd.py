"""Hundreds of jobs on a cluster on paper, made and watched fast, and what the operator's process uses meanwhile."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import ssl
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

import aiohttp
import yaml

from cluster.paper import Paper
from harness import Cluster
from headway_api import wire
from sim.builders import document, outcome

NODES = 10
"""Of a thousand pods each."""
PODS = "/api/v1/namespaces/default/pods"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}
AT_A_TIME = 32
SETTLE_SECONDS = 5.0
"""After the last job has come where it should: what can wait (numbers in the status, Events) is written, too."""
Item = TypeVar("Item")
_TICK = os.sysconf("SC_CLK_TCK")


@contextmanager
def paper(nodes: int = NODES) -> Iterator[Paper]:
    """A fresh control plane with kwok's nodes, the kinds and the operator's rights."""
    with tempfile.TemporaryDirectory() as folder, Paper.made("bench", Path(folder), nodes=nodes) as made:
        yield made


class Operator(Protocol):
    """An operator that is measured."""

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """Its process."""
        ...

    @property
    def log(self) -> Path:
        """What it says."""
        ...


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of job."""

    path: str
    """Where its objects are."""
    document: Callable[..., dict[str, Any]]
    """One of that name and spec."""


TRAINING_JOBS = Kind("/apis/headway.dev/v1alpha1/namespaces/default/trainingjobs", document)


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
    def of(cls, pid: int) -> Self:
        """Read it from /proc."""
        folder = Path("/proc") / str(pid)
        words = (folder / "stat").read_text().rpartition(")")[2].split()
        status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
        memory, peak = (int(status[name].split()[0]) * 1024 / 1e6 for name in ("VmRSS", "VmHWM"))
        return cls((int(words[11]) + int(words[12])) / _TICK, memory, peak)


class Crowd:
    """The jobs of a benchmark, seen over a watch of its own."""

    def __init__(self, session: aiohttp.ClientSession, operator: Operator | None, kind: Kind) -> None:
        self.session = session
        self.operator = operator
        """Nothing is waited for once it has ended."""
        self._kind = kind
        self.jobs: dict[str, dict[str, Any]] = {}
        """What the watch has shown of each, by name."""
        self._changed = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None

    @classmethod
    @asynccontextmanager
    async def on(
        cls, cluster: Cluster, operator: Operator | None = None, kind: Kind = TRAINING_JOBS
    ) -> AsyncIterator[Self]:
        """Watch a cluster, as its administrator."""
        async with session_of(cluster.kubeconfig) as session:
            crowd = cls(session, operator, kind)
            crowd._watching = asyncio.create_task(crowd._watch())
            try:
                yield crowd
            finally:
                crowd._watching.cancel()
                await asyncio.gather(crowd._watching, return_exceptions=True)

    async def submit(self, names: Iterable[str], *, workers: int = 1, **spec: Any) -> None:
        """Create jobs, as fast as the API server takes them."""
        small = {"resources": {"cpu": "10m", "memory": "64Mi"}}
        parts = {"head": small, "workers": {**small, "replicas": workers}}
        body = self._kind.document
        await each(names, lambda name: self.session.post(self._kind.path, json=body(name, **{**parts, **spec})))

    async def delete(self, names: Iterable[str]) -> None:
        """Delete jobs."""
        await each(names, lambda name: self.session.delete(f"{self._kind.path}/{name}"))

    async def patch_status(self, names: Iterable[str], body: dict[str, Any]) -> None:
        """Merge into the status of jobs."""
        await each(names, lambda name: self._patch(f"{self._kind.path}/{name}/status", body))

    async def end_drivers(self, names: Iterable[str], **word: Any) -> None:
        """The main processes of the heads of first attempts end in order, and leave their word."""
        await each(names, lambda name: self._end_driver(name, word))

    def _end_driver(self, name: str, word: dict[str, Any]) -> Any:
        uid = self.jobs[name]["metadata"]["uid"]
        message = outcome("Succeeded", uid=uid, **word)
        ended = {"exitCode": 0, "reason": "Completed", "message": message, "startedAt": None, "finishedAt": None}
        container = {"name": "main", "image": "trainer:test", "imageID": "", "ready": False, "restartCount": 0}
        status = {
            "phase": "Succeeded",
            "containerStatuses": [container | {"state": {"terminated": ended}}],
            "conditions": [{"type": "Ready", "status": "False"}],
        }
        return self._patch(f"{PODS}/{wire.head_name(name, uid, 1)}/status", {"status": status})

    def _patch(self, path: str, body: dict[str, Any]) -> Any:
        return self.session.patch(path, json=body, headers=MERGE_PATCH)

    async def until(self, what: str, holds: Callable[[], bool], within: float) -> None:
        """Wait until the watch has shown it."""
        deadline = time.monotonic() + within
        while not holds():
            if self.operator is not None and self.operator.process.poll() is not None:
                said = self.operator.log.read_text().splitlines()[-1:]
                raise RuntimeError(f"the operator has ended, as when it cannot renew its Lease in time: {said}")
            if self._watching is not None and self._watching.done():
                self._watching.result()
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {within:.0f} s: {what}; the jobs are {dict(self.phases())}")
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), 1.0)

    async def pods(self) -> int:
        """How many pods there are."""
        async with self.session.get(PODS, params={"limit": "1"}) as answer:
            listed = await answer.json()
        return len(listed["items"]) + int(listed["metadata"].get("remainingItemCount", 0))

    async def watches(self) -> int:
        """How many watches of its kind of jobs the API server serves."""
        async with self.session.get("/metrics") as answer:
            lines = (await answer.text()).splitlines()
        resource = f'resource="{self._kind.path.rpartition("/")[2]}"'
        found = [line for line in lines if line.startswith("apiserver_longrunning_requests{") and resource in line]
        return sum(int(float(line.rpartition(" ")[2])) for line in found if 'verb="WATCH"' in line)

    def phases(self) -> Counter[str]:
        """How many jobs are in which phase."""
        return Counter(job.get("status", {}).get("phase", "New") for job in self.jobs.values())

    async def _watch(self) -> None:
        async for event, job in watched(self.session, self._kind.path):
            name = job["metadata"]["name"]
            if event == "DELETED":
                self.jobs.pop(name, None)
            else:
                self.jobs[name] = job
            self._changed.set()


async def watched(
    session: aiohttp.ClientSession, path: str, **params: str
) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """What is there, and what changes: (ADDED | MODIFIED | DELETED, object).

    It lists and watches again and again: the API server ends a watch that is slow to read, as on a busy machine.
    """
    there: dict[str, dict[str, Any]] = {}
    while True:
        async with session.get(path, params=params) as answer:
            answer.raise_for_status()
            listed = await answer.json()
        before, there = there, {item["metadata"]["uid"]: item for item in listed["items"]}
        for uid in before.keys() - there.keys():
            yield "DELETED", before[uid]
        for item in there.values():
            yield "MODIFIED", item
        following = params | {"watch": "1", "resourceVersion": listed["metadata"]["resourceVersion"]}
        async with session.get(path, params=following) as stream:
            async for line in stream.content:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    break
                item = event["object"]
                if event["type"] == "DELETED":
                    there.pop(item["metadata"]["uid"], None)
                else:
                    there[item["metadata"]["uid"]] = item
                yield event["type"], item


@asynccontextmanager
async def session_of(kubeconfig: Path) -> AsyncIterator[aiohttp.ClientSession]:
    """A session with the API server, as the administrator, for as many calls at a time as there are."""
    server, context = _access(kubeconfig)
    connector = aiohttp.TCPConnector(ssl=context, limit=0)
    async with aiohttp.ClientSession(
        server, connector=connector, timeout=aiohttp.ClientTimeout(total=None), read_bufsize=2**21
    ) as session:
        yield session


async def each(names: Iterable[str], call: Callable[[str], Any]) -> None:
    """Make a call for each name, some at a time."""

    async def checked(name: str) -> None:
        async with call(name) as answer:
            if answer.status >= 300:
                raise RuntimeError(f"{name}: {answer.status} {await answer.text()}")

    await some_at_a_time(names, checked)


async def some_at_a_time(names: Iterable[Item], work: Callable[[Item], Awaitable[None]]) -> None:
    """Do something for each, as fast as the API server takes it."""
    waiting = iter(names)

    async def worker() -> None:
        for name in waiting:
            await work(name)

    await asyncio.gather(*(worker() for _ in range(AT_A_TIME)))


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
