"""Kubernetes Events, for what a person should know. Posting them never holds up the work, and never fails it."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol

from headway_operator.engine import kube
from headway_operator.engine.kinds import Owner
from headway_operator.engine.kube import AlreadyExistsError, FencedError, Kube, KubeError
from headway_operator.engine.steps import Notice
from headway_operator.engine.text import bounded_bytes

logger = logging.getLogger(__name__)

CONTROLLER = "headway.dev/operator"
WAITING_LIMIT = 5000
NOTE_BYTES = 1024
"""The API server counts bytes of UTF-8."""


class Recorder(Protocol):
    """Where notices for people go."""

    def post(self, owner: Owner, api_version: str, notices: tuple[Notice, ...]) -> None:
        """Take them over; never blocks, never fails."""
        ...


class Recorders:
    """Hands notices to several that take them over, which never block and never fail."""

    def __init__(self, *recorders: Recorder) -> None:
        self._recorders = recorders

    def post(self, owner: Owner, api_version: str, notices: tuple[Notice, ...]) -> None:
        """Take notices over."""
        for recorder in self._recorders:
            recorder.post(owner, api_version, notices)


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

    def post(self, owner: Owner, api_version: str, notices: tuple[Notice, ...]) -> None:
        """Take notices over."""
        for notice in notices:
            body = event(owner, api_version, notice, self._instance, self._now())
            try:
                self._waiting.put_nowait((owner.key.namespace, body))
            except asyncio.QueueFull:
                self._count("dropped")

    async def run(self) -> None:
        """Post what is waiting, one after the other, until cancelled: a slow API server has more urgent work."""
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


def event(owner: Owner, api_version: str, notice: Notice, instance: str, now: float) -> dict[str, Any]:
    """The manifest. Its name follows from what it says, so saying it twice makes one Event."""
    key = owner.key
    said = f"{owner.uid} {owner.generation} {notice.occasion} {notice.reason} {notice.message}"
    digest = hashlib.sha256(said.encode()).hexdigest()[:16]
    return {
        "apiVersion": kube.EVENTS.api_version,
        "kind": "Event",
        "metadata": {"name": f"{key.name}.{digest}", "namespace": key.namespace},
        "eventTime": datetime.fromtimestamp(now, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "reportingController": CONTROLLER,
        "reportingInstance": instance[:128],
        "action": "Reconcile",
        "reason": notice.reason,
        "type": "Warning" if notice.warning else "Normal",
        "note": bounded_bytes(notice.message, NOTE_BYTES),
        "regarding": {
            "apiVersion": api_version,
            "kind": key.kind,
            "name": key.name,
            "namespace": key.namespace,
            "uid": owner.uid,
            "resourceVersion": str(owner.version),
        },
    }
