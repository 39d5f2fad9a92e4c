"""Leader election over a Lease, with fencing: whoever cannot renew stops writing before anybody else may begin.

No two clocks are compared: a candidate counts from when it saw the Lease last change, the leader from when it began its
last renewal that succeeded. As the candidate waits longer than the leader dares, there is a gap between the two.

A Lease that bears a candidate's own name is taken at once: it is of a process that was here before, and has ended.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from headway_operator.engine import kube
from headway_operator.engine.kube import AlreadyExistsError, ConflictError, Kube, KubeError, NotFoundError

logger = logging.getLogger(__name__)

TAKE_OVER_SECONDS = 8.0
"""How long a Lease must stand unchanged before a candidate takes it."""
TRUST_SECONDS = 5.0
"""How long after the start of its last renewal the leader may write."""
RENEW_SECONDS = 2.0
POLL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Clocks:
    """Where times come from."""

    steady: Callable[[], float]
    """Seconds that only ever grow, also while the machine sleeps."""
    wall: Callable[[], float]
    """Seconds since the epoch, for people who read the Lease."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


class Elector:
    """One candidate for a Lease."""

    def __init__(self, api: Kube, *, namespace: str, name: str, identity: str, clocks: Clocks) -> None:
        self._api = api
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._clocks = clocks
        self._trusted_until = float("-inf")
        self._acquired: str | None = None
        """The acquireTime under which this process holds the Lease: no other has the same, whatever its name."""
        self._seen: object = None
        """What the Lease said when it last changed."""
        self._seen_at = 0.0

    def may_write(self) -> bool:
        """Whether this process is surely the only one that works."""
        return self._clocks.steady() < self._trusted_until

    async def acquire(self) -> None:
        """Wait until the Lease is ours."""
        waiting = False
        while not await self._attempt():
            if not waiting:
                logger.info("waiting for the Lease %s/%s", self._namespace, self._name)
                waiting = True
            await self._clocks.sleep(POLL_SECONDS)
        logger.info("holding the Lease %s/%s as %s", self._namespace, self._name, self._identity)

    async def keep(self) -> None:
        """Renew the Lease; returns when it is lost."""
        while True:
            await self._clocks.sleep(RENEW_SECONDS)
            while not await self._attempt():
                if not self.may_write():
                    logger.error("lost the Lease %s/%s", self._namespace, self._name)
                    return
                await self._clocks.sleep(POLL_SECONDS)
            if not self.may_write():
                # The renewal went through, but too late: another may have worked in between.
                logger.error("renewed the Lease %s/%s too late", self._namespace, self._name)
                return

    async def release(self) -> None:
        """Give the Lease up, so that another need not wait."""
        self._trusted_until = float("-inf")
        try:
            lease = await self._api.get(kube.LEASES, self._namespace, self._name)
            if self._holds(lease.get("spec") or {}):
                lease["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1}
                await self._api.replace(kube.LEASES, self._namespace, self._name, lease)
        except KubeError as error:
            logger.warning("the Lease was not released: %s", error)

    async def _attempt(self) -> bool:
        """Try to take or renew the Lease once."""
        began = self._clocks.steady()
        try:
            held = await self._take()
        except KubeError as error:
            logger.warning("no word about the Lease %s/%s: %s", self._namespace, self._name, error)
            return False
        if held:
            # A leader that was frozen must not come back to life by a renewal that was under way.
            self._trusted_until = began + TRUST_SECONDS
        return held

    async def _take(self) -> bool:
        try:
            lease = await self._api.get(kube.LEASES, self._namespace, self._name)
        except NotFoundError:
            return await self._create()
        spec: dict[str, Any] = lease.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        state = (holder, spec.get("renewTime"), spec.get("leaseTransitions"))
        if state != self._seen:
            self._seen, self._seen_at = state, self._clocks.steady()
        if holder not in ("", self._identity) and self._clocks.steady() < self._seen_at + TAKE_OVER_SECONDS:
            return False
        if self._acquired is not None and not self._holds(spec):
            self._trusted_until = float("-inf")
            return False
        fresh = self._spec(spec, taken_over=self._acquired is None)
        try:
            await self._api.replace(kube.LEASES, self._namespace, self._name, lease | {"spec": fresh})
        except ConflictError:
            return False
        self._acquired = fresh["acquireTime"]
        return True

    def _holds(self, spec: dict[str, Any]) -> bool:
        """Whether it is this very process that the Lease names."""
        return (spec.get("holderIdentity"), spec.get("acquireTime")) == (self._identity, self._acquired)

    async def _create(self) -> bool:
        body = {
            "apiVersion": kube.LEASES.api_version,
            "kind": "Lease",
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": (spec := self._spec({}, taken_over=True)),
        }
        try:
            await self._api.create(kube.LEASES, self._namespace, body)
        except AlreadyExistsError:
            return False
        self._acquired = spec["acquireTime"]
        return True

    def _spec(self, before: dict[str, Any], *, taken_over: bool) -> dict[str, Any]:
        now = datetime.fromtimestamp(self._clocks.wall(), UTC).isoformat(timespec="microseconds")
        now = now.replace("+00:00", "Z")
        transitions = int(before.get("leaseTransitions") or 0)
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": int(TAKE_OVER_SECONDS),
            "acquireTime": now if taken_over else before.get("acquireTime", now),
            "renewTime": now,
            "leaseTransitions": transitions + 1 if taken_over and before else transitions,
        }
