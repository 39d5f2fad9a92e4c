"""Kubernetes Events, for what a person should know. Posting them never holds up the work, and never fails it."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from headway_api import API_VERSION
from headway_operator.engine import kube
from headway_operator.engine.kube import AlreadyExistsError, FencedError, Kube, KubeError
from headway_operator.training.plan.model import Job, Notice

logger = logging.getLogger(__name__)

CONTROLLER = "headway.dev/operator"
WAITING_LIMIT = 1000
NOTE_LIMIT = 1024


class EventPoster:
    """Posts Events from a bounded queue; what does not fit is dropped, as the status says all of it anyway."""

    def __init__(
        self,
        api: Kube,
        *,
        instance: str,
        now: Callable[[], float],
        count: Callable[[str], None] = lambda result: None,  # noqa: ARG005 - a counter nobody reads
    ) -> None:
        self._api = api
        self._instance = instance
        self._now = now
        self._count = count
        self._waiting: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue(WAITING_LIMIT)

    def post(self, job: Job, notices: tuple[Notice, ...]) -> None:
        """Take notices over."""
        for notice in notices:
            try:
                self._waiting.put_nowait((job.namespace, event(job, notice, self._instance, self._now())))
            except asyncio.QueueFull:
                self._count("dropped")

    async def run(self) -> None:
        """Post what is waiting, until cancelled."""
        while True:
            namespace, body = await self._waiting.get()
            try:
                await self._api.create(kube.EVENTS, namespace, body)
            except AlreadyExistsError:
                self._count("repeated")
            except FencedError:
                self._count("dropped")
            except KubeError as error:
                self._count("failed")
                logger.debug("an Event was not posted: %s", error)
            else:
                self._count("posted")
            finally:
                self._waiting.task_done()

    async def drain(self) -> None:
        """Wait until all is posted."""
        await self._waiting.join()


def event(job: Job, notice: Notice, instance: str, now: float) -> dict[str, Any]:
    """The manifest. Its name follows from what it says, so saying it twice makes one Event."""
    said = f"{job.uid} {job.generation} {job.status.attempt} {notice.reason} {notice.message}"
    digest = hashlib.sha256(said.encode()).hexdigest()[:16]
    return {
        "apiVersion": kube.EVENTS.api_version,
        "kind": "Event",
        "metadata": {"name": f"{job.name}.{digest}", "namespace": job.namespace},
        "eventTime": datetime.fromtimestamp(now, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "reportingController": CONTROLLER,
        "reportingInstance": instance[:128],
        "action": "Reconcile",
        "reason": notice.reason,
        "type": "Warning" if notice.warning else "Normal",
        "note": notice.message[:NOTE_LIMIT],
        "regarding": {
            "apiVersion": API_VERSION,
            "kind": "TrainingJob",
            "name": job.name,
            "namespace": job.namespace,
            "uid": job.uid,
            "resourceVersion": job.version,
        },
    }
