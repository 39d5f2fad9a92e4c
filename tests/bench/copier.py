"""`python -m bench.copier KUBECONFIG FILE`: makes for each new job what Headway makes, and decides nothing.

What the objects, statuses and Events of a job cost the cluster, whoever makes them: each is the copy of one that
Headway made for a first job. It reads no quota, compares nothing, remembers nothing, and would lose any job that fails.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from bench.clones import Copies
from bench.crowd import AT_A_TIME, MERGE_PATCH, PODS, TRAINING_JOBS, Crowd, watched
from harness import Cluster
from headway_api import wire

EVENTS = "/apis/events.k8s.io/v1/namespaces/default/events"
LONG = 3600.0


class Copier:
    """One process for all jobs."""

    def __init__(self, crowd: Crowd, copies: Copies, events: list[dict[str, Any]], status: dict[str, Any]) -> None:
        self._crowd = crowd
        self._copies = copies
        self._events = events
        self._status = status
        self._running: defaultdict[str, set[str]] = defaultdict(set)
        """The names of the pods that run, by the uid of their job."""
        self._started: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        """Set when all pods of a job run, by its uid."""
        self._making = asyncio.Semaphore(AT_A_TIME)
        """Jobs whose objects are made at a time: more at once would only wait for each other in the API server."""

    async def run(self) -> None:
        """Until it is ended."""
        seen: set[str] = set()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch_pods())
            while True:
                await self._crowd.until("a new job", lambda: bool(self._new(seen)), LONG)
                for uid, name in self._new(seen).items():
                    seen.add(uid)
                    group.create_task(self._start(name, uid))

    def _new(self, seen: set[str]) -> dict[str, str]:
        jobs = {job["metadata"]["uid"]: name for name, job in self._crowd.jobs.items()}
        return {uid: name for uid, name in jobs.items() if uid not in seen}

    async def _start(self, name: str, uid: str) -> None:
        pods = [child for child in self._copies.children if child[0] == PODS]
        others = [child for child in self._copies.children if child[0] != PODS]
        async with self._making:
            await asyncio.gather(*(self._make(path, child, name, uid) for path, child in others))
            await asyncio.gather(*(self._make(path, child, name, uid) for path, child in pods))
            await self._tell(name, uid, "Starting", 0)
        await self._started[uid].wait()
        await self._tell(name, uid, "Running", 1)

    async def _tell(self, name: str, uid: str, phase: str, event: int) -> None:
        status = json.loads(self._copies.renamed(json.dumps(self._status), name, uid)) | {"phase": phase}
        body = {"metadata": {"uid": uid}, "status": status}
        path = f"{TRAINING_JOBS.path}/{name}/status"
        async with self._crowd.session.patch(path, json=body, headers=MERGE_PATCH) as answer:
            # A job that is being deleted is not told of any more.
            if answer.status >= 300 and name in self._crowd.jobs:
                raise RuntimeError(f"{name}: {await answer.text()}")
        if event < len(self._events):
            await self._make(EVENTS, self._events[event], name, uid)

    async def _make(self, path: str, child: dict[str, Any], name: str, uid: str) -> None:
        async with self._crowd.session.post(path, json=self._copies.child(child, name, uid)) as answer:
            if answer.status >= 300 and name in self._crowd.jobs:
                raise RuntimeError(f"{name}: {await answer.text()}")

    async def _watch_pods(self) -> None:
        wanted = sum(path == PODS for path, _ in self._copies.children)
        ours = f"{wire.LABEL_MANAGED_BY}={wire.MANAGED_BY}"
        async for _, pod in watched(self._crowd.session, PODS, labelSelector=ours):
            if pod.get("status", {}).get("phase") == "Running":
                uid = pod["metadata"]["labels"][wire.LABEL_JOB_UID]
                self._running[uid].add(pod["metadata"]["name"])
                if len(self._running[uid]) == wanted:
                    self._started[uid].set()


async def _run(kubeconfig: Path, told: dict[str, Any]) -> None:
    async with Crowd.on(Cluster(kubeconfig)) as crowd:
        copies = Copies(crowd, told["pattern"], [(path, child) for path, child in told["children"]])
        await Copier(crowd, copies, told["events"], told["pattern"]["status"]).run()


if __name__ == "__main__":
    asyncio.run(_run(Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())))
