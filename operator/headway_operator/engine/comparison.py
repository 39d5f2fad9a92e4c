"""Compares what is known with what exists: the seed at the start, and every few minutes against lost events and ghosts.

The comparison lists metadata only, and reads whole the few objects that a watch should have shown and has not. Whether
that watch is blind or merely late is told by what else it has shown. A namespace that is watched by itself is read by
itself: one that is gone, or may not be read any more, keeps nothing from the others.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any

from headway_operator.engine import kube
from headway_operator.engine.freshness import Freshness
from headway_operator.engine.keys import Key, Ref, version_of
from headway_operator.engine.kube import DeniedError, Kube, NotFoundError, Resource
from headway_operator.engine.store import News, Store

logger = logging.getLogger(__name__)

FIRST_SECONDS = 5.0
LOST_SECONDS = 30.0
"""How often a namespace that cannot be read is tried again: a list of it is one request, mostly."""
PATIENCE_SECONDS = 3.0
"""How long an event may be under way before what it tells is read."""
REST = 3.0
"""After each page, so many times as long as it took is left to more urgent work: there may be thousands of objects."""
MOST_FETCHED = 1000
"""So many objects are read at one comparison; a watch that is so far behind will catch up, or its process ends."""

Scope = str | None
"""A namespace, or the whole cluster."""


class Comparison:
    """Seeds and checks the store."""

    def __init__(
        self,
        api: Kube,
        store: Store,
        freshness: Freshness,
        *,
        add: Callable[[News], None],
        namespaces: Collection[str],
        now: Callable[[], float],
    ) -> None:
        self._api = api
        self._store = store
        self._add = add
        self._scopes: tuple[Scope, ...] = tuple(namespaces) or (None,)
        self._now = now
        self._freshness = freshness
        self.missed: dict[str, int] = {}
        """By resource: how many changes its watch has not shown, in all."""
        self.blind_rounds: dict[str, int] = {}
        """By resource: for how many comparisons in a row its watch has missed something."""
        self.lost: set[str] = set()
        """Namespaces that are to be watched and cannot be read."""
        self._late: dict[tuple[Resource, Scope], tuple[int, ...]] = {}
        """The versions of what a watch had yet to show at the last comparison."""
        self.last_done: float | None = None

    async def seed(self) -> None:
        """Read all that exists, and have every key reconciled.

        Raises KubeError where nothing can be read; a namespace by itself that cannot be is left out until it can.
        """
        for scope in self._scopes:
            try:
                for resource, labels in self._store.resources().items():
                    listed_at = 0
                    async for page, version in self._api.pages(resource, scope, labels=labels):
                        listed_at = version
                        for body in page:
                            self._store.take_in(resource, None, body, self._now())
                    self._store.listed(resource, scope, listed_at)
            except (DeniedError, NotFoundError) as error:
                if scope is None or not await self._served():
                    raise
                self._lose(scope, error)
        self._store.seeded()
        for key in self._store.owners():
            self._add(News(key))
        self.last_done = self._now()

    async def _served(self) -> bool:
        """Whether the API server has the kinds: where it has not, that is what is to be waited for."""
        for kind in self._store.kinds.values():
            if not await self._api.serves(kind.resource):
                return False
        return True

    async def run(self, interval: float) -> None:
        """Compare every `interval` seconds, until cancelled.

        The first time soon: what is deleted between the seed and the first listing of a watch, no watch will show.
        """
        pause = min(interval, FIRST_SECONDS)
        while True:
            whole = not self.lost or pause <= LOST_SECONDS
            await asyncio.sleep(pause if whole else LOST_SECONDS)
            pause = interval if whole else pause - LOST_SECONDS
            try:
                await (self.compare() if whole else self.regain())
            except kube.KubeError as error:
                logger.warning("what is known could not be compared with what exists: %s", error)

    async def compare(self) -> None:
        """Compare once, and take in what the watches have missed. Raises KubeError."""
        for name, missed in (await self._compare_within(self._scopes)).items():
            self.missed[name] = self.missed.get(name, 0) + missed
            self.blind_rounds[name] = self.blind_rounds.get(name, 0) + 1 if missed else 0
            if missed:
                logger.warning("the watch of %s has missed %d changes", name, missed)
        self._store.age()
        self.last_done = self._now()

    async def regain(self) -> None:
        """Take in what is in the namespaces that could not be read, if they can be by now. Raises KubeError.

        Their watches cannot be relied on for it: what they show when the namespace can be read again may be dropped
        once more, by a comparison whose list was refused before that.
        """
        await self._compare_within(tuple(sorted(self.lost)))

    async def _compare_within(self, scopes: tuple[Scope, ...]) -> dict[str, int]:
        """Returns, by resource, how many changes its watch has missed."""
        readable = list(scopes)
        missed: dict[str, int] = {}
        for resource, labels in self._store.resources().items():
            name = resource.plural
            missed[name] = 0
            for scope in tuple(readable):
                try:
                    missed[name] += await self._compare(resource, labels, scope)
                except (DeniedError, NotFoundError) as error:
                    if scope is None:
                        raise
                    readable.remove(scope)
                    self._lose(scope, error)
        for scope in sorted(self.lost.intersection(readable)):
            self.lost.discard(scope)
            logger.warning("the namespace %s can be read again", scope)
        return missed

    def _lose(self, scope: str, error: kube.KubeError) -> None:
        if scope not in self.lost:
            self.lost.add(scope)
            logger.warning("the namespace %s is to be watched, and cannot be read; the others go on: %s", scope, error)
        self._freshness.drop(scope)
        # Each of its objects would be tried again and again; they are taken in anew when it can be read.
        for key in self._store.drop_namespace(scope):
            self._add(News(key))

    async def _compare(self, resource: Resource, labels: str, scope: Scope) -> int:
        """Returns how many changes the watch has missed."""
        seen: set[str] = set()
        newer: list[Mapping[str, Any]] = []
        listed_at = newest = 0
        clock = asyncio.get_running_loop().time
        began = clock()
        async for page, version in self._api.pages(resource, scope, labels=labels, metadata_only=True):
            listed_at = version
            for body in page:
                seen.add(body["metadata"]["uid"])
                newest = max(newest, version_of(body))
                if self._store.is_news(resource, body):
                    newer.append({"metadata": _essence(body["metadata"])})
            await asyncio.sleep(REST * (clock() - began))
            began = clock()
        late = self._late.pop((resource, scope), ())
        # What it had yet to show one comparison ago, it will not show any more.
        missed = sum(1 for version in late if not self._freshness.passed(resource, scope, version))
        within = _within(scope)
        if not newer and not self._store.missing(resource, seen, listed_at, within):
            self._freshness.agreed(resource, scope, listed_at, newest)
            return missed
        # The watch may be about to show it.
        await asyncio.sleep(PATIENCE_SECONDS)
        found = [(version_of(body), body) for body in newer if self._store.is_news(resource, body)]
        ghosts = [
            ghost
            for ghost in self._store.missing(resource, seen, listed_at, within)
            if not (labels and await self._is_there(ghost))
        ]
        if not found and not ghosts:
            self._freshness.agreed(resource, scope, listed_at, newest)
        versions = [*(version for version, _ in found), *(listed_at for _ in ghosts)]
        passed = [self._freshness.passed(resource, scope, version) for version in versions]
        # A watch that has gone on without it has missed it; one that has not come so far may only be late.
        missed += sum(passed)
        self._late[resource, scope] = tuple(v for v, gone_by in zip(versions, passed, strict=True) if not gone_by)
        for key, ref, uid in ghosts:
            for news in self._store.drop_ghost(key, ref, uid):
                self._add(news)
        for _, meta in found[:MOST_FETCHED]:
            await self._fetch(resource, meta)
        return missed

    async def _is_there(self, ghost: tuple[Key, Ref, str]) -> bool:
        """Whether what a list did not hold exists: it may have lost the label that the list asks for."""
        key, ref, uid = ghost
        try:
            found = await self._api.get(ref.resource, key.namespace, ref.name)
        except NotFoundError:
            return False
        self._take_in(ref.resource, found)
        return bool(found["metadata"]["uid"] == uid)

    async def _fetch(self, resource: Resource, body: Mapping[str, Any]) -> None:
        meta = body["metadata"]
        try:
            found = await self._api.get(resource, meta["namespace"], meta["name"])
        except NotFoundError:
            return
        self._take_in(resource, found)

    def _take_in(self, resource: Resource, body: kube.Object) -> None:
        for news in self._store.take_in(resource, None, body, self._now()):
            self._add(news)


def _within(scope: Scope) -> Callable[[Key], bool]:
    return lambda key: scope is None or key.namespace == scope


def _essence(meta: Mapping[str, Any]) -> dict[str, Any]:
    """As much of the metadata as it takes to find the object again: the rest may be large."""
    return {
        name: meta[name] for name in ("name", "namespace", "uid", "resourceVersion", "ownerReferences") if name in meta
    }
