"""Reads from the API server what a decision asks for, beyond what the watches show."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from headway_operator.engine.keys import Key, Ref, controller_of
from headway_operator.engine.kinds import Owner
from headway_operator.engine.kube import EVENTS, ConflictError, DeniedError, Kube, KubeError, NotFoundError, Object
from headway_operator.engine.steps import EventsAbout, Exists, Facts, Listed, Read, Verify
from headway_operator.engine.store import Store
from headway_operator.engine.times import to_seconds

logger = logging.getLogger(__name__)

MOST_GETS = 16
"""Of so many children each is read by its name; of more, all by one list, and so many of those that it lacks."""
MOST_ROUNDS = 5
"""So often children that lose their labels are looked for before a decision has to wait."""
MOST_LISTED = 200
"""So many objects are taken into account for one question."""
MOST_LOOKED_AT = 5 * MOST_LISTED
"""So many are read for that at most, with those that are left out: anybody may make more of them."""
MOST_EVENTS = 2000
"""So many Events are read at most for one question."""


class FactReader:
    """Reads, and lets the store know."""

    def __init__(self, api: Kube, store: Store, now: Callable[[], float]) -> None:
        self._api = api
        self._store = store
        self._now = now
        self._events_denied = False

    async def read(self, owner: Owner, reads: Iterable[Read], known: Facts) -> Facts:
        """The facts that are known, with those that are asked for. Raises KubeError."""
        for read in reads:
            if isinstance(read, Verify):
                await self._verify(owner, read)
            elif isinstance(read, Exists):
                known = replace(known, existing={**known.existing, **await self._exists(owner, read)})
            elif isinstance(read, Listed):
                known = replace(known, listed={**known.listed, read.labels: await self._listed(owner, read)})
            else:
                known = replace(known, events={**known.events, **await self._events(owner, read)})
            known = replace(known, done=(*known.done, read))
        return known

    async def settle(self, key: Key) -> None:
        """Look for children that may have lost but the label that they are watched by, until there are none left.

        Others may lose theirs while some are looked for. Raises KubeError; ConflictError where that goes on and on.
        """
        for _ in range(MOST_ROUNDS):
            refs = self._store.take_doubtful(key)
            if not refs:
                return
            for start in range(0, len(refs), MOST_GETS):
                some = refs[start : start + MOST_GETS]
                try:
                    await asyncio.gather(*(self._refresh(key, ref, None) for ref in some))
                except KubeError:
                    self._store.doubt(key, refs[start:])
                    raise
        raise ConflictError(f"children of {key} lose and regain their labels faster than they can be read")

    async def _verify(self, owner: Owner, read: Verify) -> None:
        """What is believed must neither start anything a second time nor end what goes on."""
        children = {
            Ref(resource, record.name): record
            for resource, records in self._store.children(owner).items()
            for record in records
            if not getattr(record, "gone", False)
        }
        refs = dict.fromkeys((*children, *read.refs))
        if len(refs) > MOST_GETS or read.whole:
            listed = await self._list(owner)
            # Of the names that no list shows, the first ones are what most depends on.
            refs = dict.fromkeys(ref for ref in (*children, *read.refs[:MOST_GETS]) if ref not in listed)
        await asyncio.gather(*(self._refresh(owner.key, ref, children.get(ref)) for ref in refs))

    async def _list(self, owner: Owner) -> set[Ref]:
        listed: set[Ref] = set()
        kind = self._store.kinds[owner.key.kind]
        labels = kind.selector(owner)
        for child in kind.children:
            if not child.served():
                continue
            async for page, _ in self._api.pages(child.resource, owner.key.namespace, labels=labels):
                for body in page:
                    listed.add(Ref(child.resource, body["metadata"]["name"]))
                    self._store.see(child.resource, None, body, self._now())
        return listed

    async def _refresh(self, key: Key, ref: Ref, record: Any) -> None:
        """Read one child. One that has lost its labels is found by its name all the same."""
        try:
            body = await self._api.get(ref.resource, key.namespace, ref.name)
        except NotFoundError:
            body = None
        if record is not None and (body is None or body["metadata"]["uid"] != record.uid):
            self._store.gone(key, ref, record.uid)
        if body is not None:
            self._store.see(ref.resource, None, body, self._now())

    async def _exists(self, owner: Owner, read: Exists) -> dict[Ref, bool]:
        """Raises NotFoundError where the owner is gone: what it lacks is gone with it, and would be again."""
        resource = self._store.kinds[owner.key.kind].resource
        own = await self._api.get(resource, owner.key.namespace, owner.key.name, metadata_only=True)
        if own["metadata"]["uid"] != owner.uid:
            raise NotFoundError(f"{owner.key} of uid {owner.uid} is gone")
        found = await asyncio.gather(*(self._is_there(owner, ref) for ref in read.refs))
        return dict(zip(read.refs, found, strict=True))

    async def _is_there(self, owner: Owner, ref: Ref) -> bool:
        try:
            found = await self._api.get(ref.resource, owner.key.namespace, ref.name, metadata_only=True)
        except NotFoundError:
            return False
        controller = controller_of(found)
        return controller is not None and controller.uid == owner.uid

    async def _listed(self, owner: Owner, read: Listed) -> tuple[Any, ...]:
        found: list[Any] = []
        looked_at = 0
        async for page, _ in self._api.pages(read.resource, owner.key.namespace, labels=read.labels):
            for body in page:
                # Anybody may have written it.
                with contextlib.suppress(Exception):
                    if (one := read.read(body)) is not None:
                        found.append(one)
            looked_at += len(page)
            if len(found) >= MOST_LISTED or looked_at >= MOST_LOOKED_AT:
                break
        return tuple(found[:MOST_LISTED])

    async def _events(self, owner: Owner, read: EventsAbout) -> dict[Ref, float]:
        newest: dict[Ref, float] = {}
        wanted = {(ref.resource.kind, ref.name): ref for ref in read.refs}
        try:
            for kind in dict.fromkeys(ref.resource.kind for ref in read.refs):
                for reason in read.reasons:
                    async for event in self._events_of(owner.key.namespace, kind, reason):
                        ref = wanted.get((kind, str((event.get("regarding") or {}).get("name"))))
                        if ref is not None:
                            newest[ref] = max(newest.get(ref, 0.0), _time_of(event))
        except DeniedError as error:
            if not self._events_denied:
                logger.warning("Events cannot be read, so it is not known for whom nodes are being made: %s", error)
            self._events_denied = True
        return newest

    async def _events_of(self, namespace: str, kind: str, reason: str) -> Any:
        count = 0
        fields = f"regarding.kind={kind},reason={reason}"
        async for page, _ in self._api.pages(EVENTS, namespace, fields=fields):
            for event in page:
                count += 1
                if count > MOST_EVENTS:
                    return
                yield event


def _time_of(event: Object) -> float:
    """When an Event was last seen, by whoever posted it."""
    series = event.get("series") or {}
    times = (series.get("lastObservedTime"), event.get("deprecatedLastTimestamp"), event.get("eventTime"))
    return max((to_seconds(time) or 0.0 for time in times if isinstance(time, str)), default=0.0)
