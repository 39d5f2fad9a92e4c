"""Whether the watches show what happens, judged by this operator's own writes: each has to come back by a watch.

A connection that is open and silent looks like a quiet cluster; what was just written, and is not shown, does not.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from headway_operator.engine.keys import number
from headway_operator.engine.kube import Resource

LISTED_SECONDS = 1.0
"""So long after their start the watches have had their first lists."""
SETTLE_SECONDS = 5.0
"""How long after their start they are given to show what was written before that."""

_Watch = tuple[str, str]
"""A resource, and the namespace if there is a watch for each."""


class Freshness:
    """What the watches have shown, and what they have yet to show."""

    def __init__(
        self,
        watched: Mapping[Resource, str],
        *,
        now: Callable[[], float],
        namespaces: Collection[str],
        lag: Callable[[str, float], None],
    ) -> None:
        self._watched = {resource.plural: selector for resource, selector in watched.items()}
        self._now = now
        self._namespaces = namespaces
        self._lag = lag
        """Told the seconds from a write until its resource's watch showed it."""
        self.last_event: dict[str, float] = {}
        """By resource: when its watch last showed anything, in seconds since the epoch."""
        self._owed: dict[_Watch, tuple[int, float]] = {}
        """The version of the write that a watch has yet to show, and since when."""
        self._newest: dict[_Watch, int] = {}
        """The newest version that a watch has shown."""

    def written(self, resource: Resource, body: Mapping[str, Any]) -> None:
        """We wrote an object, of which the metadata is enough: its watch has to show that, if its selector finds it.

        One kind may watch what another one makes as well, and find its own by a label.
        """
        meta, selector = body["metadata"], self._watched.get(resource.plural)
        watch, version = self._watch(resource.plural, str(meta.get("namespace", ""))), number(meta["resourceVersion"])
        # A write that changed nothing has an old version: no watch will show it.
        if watch in self._owed or version <= self._newest.get(watch, 0):
            return
        if selector is not None and _selects(selector, meta.get("labels") or {}):
            self._owed[watch] = version, self._now()

    def settle(self, before: float) -> None:
        """Wait no longer for what was written before a time: it may have gone again before the watches' first lists."""
        self._owed = {watch: debt for watch, debt in self._owed.items() if debt[1] >= before}

    def agreed(self, resource: Resource, namespace: str | None, version: int, newest: int) -> None:
        """A list of that version held nothing that is not known; the newest of its objects is of version `newest`.

        What was written and is not in it any more has gone: no watch has to show it. What is in it is known from its
        write alone, as long as the watch has not shown it.
        """
        watch = self._watch(resource.plural, namespace or "")
        owed = self._owed.get(watch)
        if owed is not None and newest < owed[0] <= version:
            del self._owed[watch]

    def drop(self, namespace: str) -> None:
        """A namespace cannot be read any more: its watches owe nothing."""
        self._owed = {watch: debt for watch, debt in self._owed.items() if watch[1] != namespace}

    def shown(self, resource: str, body: Mapping[str, Any]) -> None:
        """A watch showed an object. Never raises, whatever stands in it."""
        meta = body.get("metadata") or {}
        now = self.last_event[resource] = self._now()
        watch = self._watch(resource, str(meta.get("namespace", "")))
        newest = self._newest[watch] = max(self._newest.get(watch, 0), number(meta.get("resourceVersion")))
        owed = self._owed.get(watch)
        if owed is not None and newest >= owed[0]:
            del self._owed[watch]
            self._lag(resource, max(0.0, now - owed[1]))

    def passed(self, resource: Resource, namespace: str | None, version: int) -> bool:
        """Whether a watch has shown something newer than that version, and so everything up to it."""
        return self._newest.get(self._watch(resource.plural, namespace or ""), 0) >= version

    def behind(self) -> dict[str, float]:
        """By resource: for how many seconds its watch has not shown a write of ours."""
        now = self._now()
        behind = dict.fromkeys(self._watched, 0.0)
        for (resource, _), (_, since) in self._owed.items():
            behind[resource] = max(behind[resource], now - since)
        return behind

    def _watch(self, resource: str, namespace: str) -> _Watch:
        return resource, namespace if self._namespaces else ""


def _selects(selector: str, labels: Mapping[str, str]) -> bool:
    """Whether a selector of equalities finds an object of these labels."""
    wanted = (each.split("=", 1) for each in selector.split(",") if each)
    return all(labels.get(key) == value for key, value in wanted)
