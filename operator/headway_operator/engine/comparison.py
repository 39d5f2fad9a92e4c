"""Compares what is known with what exists: the seed at the start, and every few minutes against lost events and ghosts.

The comparison lists metadata only, and reads whole the few objects of which a newer version exists.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any

from headway_api import wire
from headway_operator.engine import kube
from headway_operator.engine.kube import Kube, NotFoundError, Resource
from headway_operator.engine.store import Cache
from headway_operator.training import records
from headway_operator.training.records import Key

logger = logging.getLogger(__name__)

LABELS = f"{wire.LABEL_MANAGED_BY}={wire.MANAGED_BY}"
LABELS_OF: Mapping[Resource, str] = {kube.JOBS: "", kube.PODS: LABELS, kube.CONFIG_MAPS: LABELS}
FIRST_SECONDS = 5.0
PATIENCE_SECONDS = 3.0
"""How long an event may be under way before it counts as lost."""


class Resync:
    """Seeds and checks the cache."""

    def __init__(
        self,
        api: Kube,
        cache: Cache,
        add: Callable[[Key], None],
        namespaces: Collection[str],
        now: Callable[[], float],
    ) -> None:
        self._api = api
        self._cache = cache
        self._add = add
        self._scopes: tuple[str | None, ...] = tuple(namespaces) or (None,)
        self._now = now
        self.missed: dict[str, int] = {}
        """By resource: how many changes its watch has not shown, in all."""
        self.blind_rounds: dict[str, int] = {}
        """By resource: for how many comparisons in a row its watch has missed something."""
        self.last_done: float | None = None

    async def seed(self) -> None:
        """Read all that exists, and have every job looked at."""
        for resource in LABELS_OF:
            for scope in self._scopes:
                async for page, _ in self._api.pages(resource, scope, labels=LABELS_OF[resource]):
                    for body in page:
                        self._see(resource, body)
        for key in self._cache.jobs.known():
            self._add(key)
        self.last_done = self._now()

    async def run(self, interval: float) -> None:
        """Compare every `interval` seconds, until cancelled.

        The first time soon: what is deleted between the seed and the first listing of a watch, no watch will show.
        """
        pause = min(interval, FIRST_SECONDS)
        while True:
            await asyncio.sleep(pause)
            pause = interval
            try:
                await self.compare()
            except kube.KubeError as error:
                logger.warning("what is known could not be compared with what exists: %s", error)

    async def compare(self) -> None:
        """Compare once, and take in what the watches have missed."""
        for resource in LABELS_OF:
            missed = 0
            for scope in self._scopes:
                missed += await self._compare(resource, scope)
            name = resource.plural
            self.missed[name] = self.missed.get(name, 0) + missed
            self.blind_rounds[name] = self.blind_rounds.get(name, 0) + 1 if missed else 0
            if missed:
                logger.warning("the watch of %s has missed %d changes", name, missed)
        self._cache.age()
        self.last_done = self._now()

    async def _compare(self, resource: Resource, scope: str | None) -> int:
        seen: set[str] = set()
        newer: list[Mapping[str, Any]] = []
        listed_at = 0
        labels = LABELS_OF[resource]
        async for page, version in self._api.pages(resource, scope, labels=labels, metadata_only=True):
            listed_at = version
            for body in page:
                seen.add(body["metadata"]["uid"])
                if self._is_news(resource, body):
                    newer.append(body["metadata"])

        def within(key: Key, _: object) -> bool:
            return scope is None or key[0] == scope

        if not newer and not self._shelf(resource).missing(seen, listed_at, within):
            return 0
        # The watch may be about to show it.
        await asyncio.sleep(PATIENCE_SECONDS)
        ghosts = self._drop_ghosts(resource, seen, listed_at, within)
        for key in ghosts:
            self._add(key)
        return len(ghosts) + await self._fetch(resource, newer)

    async def _fetch(self, resource: Resource, newer: list[Mapping[str, Any]]) -> int:
        missed = 0
        for meta in newer:
            if not self._is_news(resource, {"metadata": meta}):
                continue
            try:
                body = await self._api.get(resource, meta["namespace"], meta["name"])
            except NotFoundError:
                continue
            key = self._see(resource, body)
            if key is not None:
                missed += 1
                self._add(key)
        return missed

    def _is_news(self, resource: Resource, body: Mapping[str, Any]) -> bool:
        meta = body["metadata"]
        if resource == kube.JOBS:
            key: Key | None = (meta["namespace"], meta["name"])
        else:
            key = records.key_of(body)
        if key is None:
            return False
        known = self._shelf(resource).get(key, meta["name"])
        return known is None or known.version < records.version_of(body)

    def _shelf(self, resource: Resource) -> Any:
        return {kube.JOBS: self._cache.jobs, kube.PODS: self._cache.pods, kube.CONFIG_MAPS: self._cache.configs}[
            resource
        ]

    def _see(self, resource: Resource, body: Mapping[str, Any]) -> Key | None:
        if resource == kube.JOBS:
            return self._cache.see_job(None, body)
        if resource == kube.PODS:
            return self._cache.see_pod(None, body, self._now())
        return self._cache.see_config(None, body, self._now())

    def _drop_ghosts(
        self, resource: Resource, seen: set[str], listed_at: int, within: Callable[[Key, object], bool]
    ) -> list[Key]:
        if resource == kube.JOBS:
            return self._cache.drop_ghost_jobs(seen, listed_at, within)
        if resource == kube.PODS:
            return self._cache.drop_ghost_pods(seen, listed_at, within)
        return self._cache.drop_ghost_configs(seen, listed_at, within)
