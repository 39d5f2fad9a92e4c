"""kopf, and all that is used of it: `on.event` handlers that update the cache and put a key on the queue.

No finalizers, no annotations, no peering, no scanning, no events: kopf only watches.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import kopf

from headway_api import GROUP, VERSION, wire
from headway_operator.engine.freshness import Sight
from headway_operator.engine.kube_http import load_configuration
from headway_operator.engine.store import Cache
from headway_operator.training.records import Key

PAGE = 500
LABELS = f"{wire.LABEL_MANAGED_BY}={wire.MANAGED_BY}"

Handler = Callable[[Any, Mapping[str, Any]], Key | None]


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


class Watches:
    """The watches of jobs, their pods and their ConfigMaps."""

    def __init__(
        self,
        cache: Cache,
        add: Callable[[Key], None],
        namespaces: Collection[str],
        now: Callable[[], float],
        sight: Sight,
    ) -> None:
        self._cache = cache
        self._add = add
        self._namespaces = namespaces
        self._now = now
        self._sight = sight

    async def start(self) -> Collection[asyncio.Task[Any]]:
        """Start kopf's tasks. They are to be handed to `run`."""
        tasks: Collection[asyncio.Task[Any]] = await kopf.spawn_tasks(
            registry=self._registry(),
            settings=_settings(),
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
        pods = self._handler("pods", lambda kind, body: self._cache.see_pod(kind, body, self._now()))
        configs = self._handler("configmaps", lambda kind, body: self._cache.see_config(kind, body, self._now()))
        kopf.on.event(GROUP, VERSION, "trainingjobs", registry=registry)(
            self._handler("trainingjobs", self._cache.see_job)
        )
        kopf.on.event("", "v1", "pods", registry=registry)(pods)
        kopf.on.event("", "v1", "configmaps", registry=registry)(configs)
        return registry

    def _handler(self, resource: str, see: Handler) -> Callable[..., Any]:
        async def on_event(event: Mapping[str, Any], **_: Any) -> None:
            self._sight.shown(resource, event["object"])
            key = see(event["type"], event["object"])
            if key is not None:
                self._add(key)

        on_event.__name__ = f"on_{resource}"
        return on_event


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.persistence.diffbase_storage = _NoEssence()
    settings.watching.label_selectors["pods"] = LABELS
    settings.watching.label_selectors["configmaps"] = LABELS
    settings.watching.chunk_size = PAGE
    settings.watching.connect_timeout = 10
    settings.networking.connect_timeout = 10
    settings.networking.request_timeout = 30
    # An idle object keeps its task and queue for so long; jobs have many pods that are born together.
    settings.queueing.idle_timeout = 1.0
    settings.queueing.exit_timeout = 1.0
    settings.process.ultimate_exiting_timeout = None
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
