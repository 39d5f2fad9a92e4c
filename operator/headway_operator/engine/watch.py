"""kopf, and all that is used of it: filters of `on.event` that update the store and put a key on the queue.

No finalizers, no annotations, no peering, no scanning, no events: kopf only watches. What is watched follows from the
kinds.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

import kopf

from headway_operator.engine.freshness import Freshness
from headway_operator.engine.kube import Resource
from headway_operator.engine.kube_http import PAGE, load_configuration
from headway_operator.engine.store import News, Store

logger = logging.getLogger(__name__)

_PARTS = ("spec", "status", "data", "binaryData")


class _NoEssence(kopf.DiffBaseStorage):
    """kopf compares an object's essence with the last it has handled, for handlers that we do not have.

    The default copies each object deeply for it, which is most of the cost of an event.
    """

    def build(self, **_: Any) -> Any:
        return {}

    def fetch(self, **_: Any) -> Any:
        return None

    def store(self, **_: Any) -> None:
        raise NotImplementedError("nothing is handled, so nothing is stored")


class _NoProgress(kopf.ProgressStorage):
    """Nor is there any progress of handlers to be kept, or to be left out of that comparison."""

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        raise NotImplementedError("nothing is handled, so nothing is stored")

    def purge(self, **_: Any) -> None:
        return None

    def touch(self, **_: Any) -> None:
        return None

    def clear(self, *, essence: Any) -> Any:
        return essence


class Backoffs:
    """Seconds between the tries of one request of kopf's, without end.

    kopf ends the whole process when a list has failed too often: where one namespace of several has been deleted, or
    may not be read any more, that would be the end for all. Whether watches show what happens the engine judges itself.
    """

    def __iter__(self) -> Iterator[float]:
        seconds = 1.0
        while True:
            yield seconds
            seconds = min(60.0, 2 * seconds)


class _NoRetries(logging.Filter):
    """kopf tells each failed try as an error; the comparison tells a lost namespace once."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith("Request attempt")


class Watches:
    """The watches of all kinds and their children."""

    def __init__(
        self,
        store: Store,
        freshness: Freshness,
        *,
        add: Callable[[News], None],
        namespaces: Collection[str],
        now: Callable[[], float],
    ) -> None:
        self._store = store
        self._add = add
        self._namespaces = namespaces
        self._now = now
        self._freshness = freshness

    async def start(self) -> Collection[asyncio.Task[Any]]:
        """Start kopf's tasks. They are to be handed to `run`."""
        tasks: Collection[asyncio.Task[Any]] = await kopf.spawn_tasks(
            registry=self._registry(),
            settings=_settings(self._store.resources()),
            clusterwide=not self._namespaces,
            namespaces=list(self._namespaces),
            standalone=True,
        )
        return tasks

    @staticmethod
    async def run(tasks: Collection[asyncio.Task[Any]], ignored: Iterable[asyncio.Task[Any]]) -> None:
        """Watch until cancelled; returns or raises when a watch has died. `ignored`: the tasks that are not kopf's."""
        await kopf.run_tasks(tasks, ignored=frozenset(ignored))

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()

        async def login(**_: Any) -> kopf.ConnectionInfo:
            return await _connection()

        kopf.on.login(registry=registry)(login)
        for resource in self._store.resources():
            words = (resource.group, resource.version, resource.plural)
            kopf.on.event(*words, when=self._taken_in(resource), registry=registry)(_nothing_is_left)
        return registry

    def _taken_in(self, resource: Resource) -> Callable[..., bool]:
        """A filter that takes each event in, and lets none pass.

        kopf asks it before it prepares the call of a handler, which takes a quarter of the time that kopf takes for an
        event. An error of the filter would end kopf, and the process with it; one of a handler is told.
        """

        def taken_in(event: Mapping[str, Any], **_: Any) -> bool:
            try:
                take_in(event)
            except Exception:
                logger.exception("an event of %s could not be taken in", resource.plural)
            return False

        def take_in(event: Mapping[str, Any]) -> None:
            body: Any = event["object"]
            self._freshness.shown(resource.plural, body)
            for news in self._store.take_in(resource, event["type"], body, self._now()):
                self._add(news)
            # kopf keeps the last event of each object for a while: of a large one no more than its metadata.
            for part in _PARTS:
                body.pop(part, None)

        return taken_in


async def _nothing_is_left(**_: Any) -> None:
    """The handler of events that have passed the filter: none does."""


def _settings(selectors: Mapping[Resource, str]) -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.persistence.diffbase_storage = _NoEssence()
    settings.persistence.progress_storage = _NoProgress()
    for resource, labels in selectors.items():
        if labels:
            settings.watching.label_selectors[resource.plural] = labels
    settings.watching.chunk_size = PAGE
    settings.watching.connect_timeout = 10
    settings.networking.connect_timeout = 10
    settings.networking.request_timeout = 30
    settings.networking.error_backoffs = Backoffs()
    # An idle object keeps its task and queue for so long; jobs have many pods that are born together.
    settings.queueing.idle_timeout = 1.0
    settings.queueing.exit_timeout = 1.0
    settings.process.ultimate_exiting_timeout = None
    for name in ("kopf", "kopf._cogs.clients.api", "kopf._cogs.clients.watching", "kopf._cogs.clients.fetching"):
        logging.getLogger(name).addFilter(_NoRetries())
    return settings


async def _connection() -> kopf.ConnectionInfo:
    """The same way to the API server as our own calls take."""
    found = await load_configuration()
    token = (found.api_key or {}).get("BearerToken", "")
    scheme, _, value = token.partition(" ")
    return kopf.ConnectionInfo(
        server=found.host,
        ca_path=found.ssl_ca_cert,
        insecure=not found.verify_ssl,
        scheme=scheme or None,
        token=value or None,
        certificate_path=found.cert_file,
        private_key_path=found.key_file,
        proxy_url=found.proxy,
        priority=int(time.time()),
    )
