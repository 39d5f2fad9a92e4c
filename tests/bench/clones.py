"""Thousands of running jobs, made as copies of one that the operator has made and that runs.

What an operator that was restarted finds: jobs with their statuses, their pods on nodes, and the ConfigMaps in which
their drivers say how far they are. The Secrets, Services and policies of the copies are left out: nothing reads them
while a job runs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from bench.crowd import CONFIG_MAPS, MERGE_PATCH, PODS, TRAINING_JOBS, Crowd, some_at_a_time
from headway_api import wire
from headway_operator.training.kind import progress_seconds

PATTERN = "copied-job"
NODES = "/api/v1/nodes"
_OF_THE_SERVER = ("uid", "resourceVersion", "creationTimestamp", "managedFields", "generation")


class Copies:
    """Makes copies of a running job."""

    def __init__(self, crowd: Crowd, pattern: dict[str, Any], children: list[tuple[str, dict[str, Any]]]) -> None:
        self._crowd = crowd
        self._pattern = pattern
        self.children = children
        """What the pattern has: where each object is made, and its body."""
        self._nodes: list[str] = []

    @classmethod
    async def of_pattern(cls, crowd: Crowd) -> Copies:
        """Read the job PATTERN, which runs, and what it has."""
        pattern = crowd.jobs[PATTERN]
        params = {"labelSelector": f"{wire.LABEL_JOB_UID}={pattern['metadata']['uid']}"}
        children = []
        for path in (CONFIG_MAPS, PODS):
            async with crowd.session.get(path, params=params) as answer:
                children += [(path, item) for item in (await answer.json())["items"]]
        copies = cls(crowd, pattern, children)
        async with crowd.session.get(NODES) as answer:
            copies._nodes = [node["metadata"]["name"] for node in (await answer.json())["items"]]
        return copies

    async def make(self, names: Iterable[str]) -> None:
        """Make copies with these names."""
        await some_at_a_time(enumerate(names), self._make)
        await self._crowd.delete([PATTERN])

    async def _make(self, numbered: tuple[int, str]) -> None:
        number, name = numbered
        made = await self._send("POST", TRAINING_JOBS.path, self._as(self._pattern, name, ""))
        uid = made["metadata"]["uid"]
        status = {"status": self._as(self._pattern, name, uid)["status"]}
        await self._send("PATCH", f"{TRAINING_JOBS.path}/{name}/status", status)
        for path, child in self.children:
            copy = self.child(child, name, uid)
            if path == PODS:
                copy["spec"]["nodeName"] = self._nodes[number % len(self._nodes)]
            else:
                copy["metadata"]["annotations"][wire.ANNOTATION_PROGRESS_SECONDS] = f"{progress_seconds(number):.3f}"
            await self._send("POST", path, copy)

    def child(self, child: dict[str, Any], name: str, uid: str) -> dict[str, Any]:
        """An object of the pattern's, as one of the job of that name and uid."""
        copy = self._as(child, name, uid)
        copy.pop("status", None)
        return copy

    def _as(self, body: dict[str, Any], name: str, uid: str) -> dict[str, Any]:
        copy: dict[str, Any] = json.loads(self.renamed(json.dumps(body), name, uid))
        for field in _OF_THE_SERVER:
            copy["metadata"].pop(field, None)
        return copy

    def renamed(self, text: str, name: str, uid: str) -> str:
        """The text of the pattern, as one of the copy. Names hold a part of the uid."""
        own = self._pattern["metadata"]["uid"]
        for length in (8, 5):
            text = text.replace(f"{PATTERN}-{own[:length]}", f"{name}-{uid[:length]}")
        return text.replace(own, uid).replace(PATTERN, name)

    async def _send(self, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        headers = MERGE_PATCH if method == "PATCH" else {}
        async with self._crowd.session.request(method, path, json=body, headers=headers) as answer:
            said: dict[str, Any] = await answer.json()
            if answer.status >= 300:
                raise RuntimeError(f"{method} {path}: {said}")
            return said
