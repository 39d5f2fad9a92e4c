"""The operator of a world of one ModelDeployment: its real parts, over a port with faults, and watches that are late.

Its process dies at any call, before that or after it; another begins with a list of what exists.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from typing import Any

from headway_operator.engine import kube
from headway_operator.engine.freshness import Freshness
from headway_operator.engine.keys import Key
from headway_operator.engine.kinds import Owner
from headway_operator.engine.kube import ConflictError, DeniedError, KubeError, Object, Resource, RetryableError
from headway_operator.engine.metrics import MetricSet
from headway_operator.engine.packed import Packed
from headway_operator.engine.reconcile import Reconciler
from headway_operator.engine.steps import Notice
from headway_operator.engine.store import Store
from headway_operator.serving.kind import ModelDeployments, Resolved
from headway_operator.serving.measures import DeploymentMeasures, DeploymentMetrics
from headway_operator.serving.plan.model import Defaults
from sim import versions
from sim.fakes.api import ApiServer, Call, Event, FakeKube, as_selected, selected

MOST_REPLICAS = 3
"""What the stricter version of the operator allows."""
PATIENCE = 3000.0
"""After so long the operator looks again where it expects nothing."""
METRICS = DeploymentMetrics(MetricSet())

logging.getLogger("headway_operator").setLevel(logging.CRITICAL)


class _Death(BaseException):
    """The operator's process ends here."""


class _Port(FakeKube):
    """The port of a process, which may be of a version that writes more than the others know."""

    version = versions.OURS

    async def get(self, resource: Resource, namespace: str, name: str, *, metadata_only: bool = False) -> Object:
        """One object, as the version understands it."""
        found = await super().get(resource, namespace, name, metadata_only=metadata_only)
        return versions.as_seen(self.version, resource, found)

    async def patch_status(self, resource: Resource, namespace: str, name: str, patch: Mapping[str, Any]) -> Object:
        """A status, as the version writes it."""
        return await super().patch_status(resource, namespace, name, versions.as_patched(self.version, patch))


class _Kind(ModelDeployments):
    """The kind, as a version has it: the stricter one has a rule more."""

    version = versions.OURS

    def _resolve(self, owner: Owner, packed: Packed) -> Resolved:
        spec, problems = super()._resolve(owner, packed)
        if spec is not None and self.version == versions.STRICTER and spec.replicas > MOST_REPLICAS:
            return None, (f"spec.replicas: must not be above {MOST_REPLICAS} any more",)
        return spec, problems


class Operator:
    """One process after the other."""

    def __init__(
        self,
        server: ApiServer,
        chance: random.Random,
        now: Callable[[], float],
        note: Callable[[str], None],
        key: Key,
        *,
        calls: Callable[[], None],
        wrote: Callable[[Call], None],
        begins: Callable[[], None],
        turns: tuple[str, ...],
        gateways: bool = False,
        kserve: bool = False,
    ) -> None:
        """calls: a call is about to be made. wrote: one has changed something. begins: a process is about to list.

        turns: the versions of the processes, one after the other. gateways: whether there are routes of gateways.
        kserve: whether there is KServe.
        """
        self._server, self._chance, self._now, self._note, self._key = server, chance, now, note, key
        self._calls, self._wrote, self._begins = calls, wrote, begins
        self._api = _Port(server, before=self._before, after=self._after, written=self._written)
        self._routes: Callable[[Resource], bool] | None = (lambda _: True) if gateways else None
        self._kserve: Callable[[], bool] | None = (lambda: True) if kserve else None
        self.calm = False
        self.disturbed_at = now()
        """When something last kept it from doing at once what is to be done."""
        self.due = now()
        self.promoted = self.taken_back = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turns = turns
        self._started = 0
        self.start()

    def start(self, version: str | None = None) -> None:
        """Another process begins, of this version or of the one whose turn it is."""
        self.end()
        self.version = version or self._turns[self._started % len(self._turns)]
        self._started += 1
        if self.version != versions.OURS or len(self._turns) > 1:
            self._note(f"an operator of the version {self.version} begins")
        self._api.version = self.version
        self._loop = asyncio.new_event_loop()
        self._begins()
        kind = _Kind(
            defaults=Defaults("server:1"),
            pull_policy="Never",
            measures=DeploymentMeasures(METRICS),
            gateways=self._routes,
            inference_services=self._kserve,
        )
        kind.version = self.version
        self.store = Store((kind,))
        self._reconciler = Reconciler(self._api, self.store, self, self._now)
        self._begin_watches()
        self._late: list[Event] = []
        self._server.events.clear()
        self.compare()
        self.store.seeded()

    def end(self) -> None:
        """The process is no more, and what it had begun ends with it."""
        if self._loop is None:
            return
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        if tasks:
            self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()
        self._loop = None

    # Its port

    def _written(self, resource: Resource, made: Object) -> None:
        self.freshness.written(resource, made)

    def _before(self, call: Call) -> None:
        self._calls()
        if self.calm:
            return
        drawn = self._chance.random()
        if drawn < 0.02:
            raise RetryableError("the API server did not answer")
        if drawn < 0.03 and call.verb == "patch":
            raise ConflictError("the object has been modified")
        if drawn < 0.04 and call.verb == "create":
            raise DeniedError("exceeded quota")
        if drawn < 0.06:
            raise _Death

    def _after(self, call: Call) -> None:
        self._wrote(call)
        if self.calm:
            return
        drawn = self._chance.random()
        if drawn < 0.02:
            raise RetryableError("the API server did not answer")
        if drawn < 0.05:
            raise _Death

    def post(self, _: Owner, __: str, notices: tuple[Notice, ...]) -> None:
        """Events for people."""
        for notice in notices:
            self._note(f"{notice.reason}: {notice.message}")
            self.promoted += notice.reason == "Promoted"
            self.taken_back += notice.reason == "RolledBack"

    # Its work

    def reconcile(self) -> bool:
        """Do what is due; whether nothing kept it from that."""
        if self._loop is None:
            raise RuntimeError("the operator has ended")
        try:
            wake = self._loop.run_until_complete(self._reconciler.reconcile(self._key))
        except _Death:
            self._note("the operator dies")
            self.disturbed_at = self._now()
            self.start()
            return False
        except KubeError as error:
            self._note(f"tries again: {error}")
            self.due = self._now() + 1.0
            self.disturbed_at = self._now()
            return False
        self.due = self._now() + PATIENCE if wake is None else max(wake, self._now() + 0.05)
        return True

    def knows_all(self) -> bool:
        """Whether its watches have shown all that has happened, and it has nothing to do now."""
        return not self._late and not self._server.events and self.due > self._now() + 0.05

    def is_late(self) -> bool:
        """Whether its watches have yet to show something that had happened when they last showed anything."""
        return bool(self._late)

    def behind(self) -> dict[str, float]:
        """By resource, for how long its watch has not shown what was written."""
        return {name: seconds for name, seconds in self.freshness.behind().items() if seconds}

    # Its watches

    def _begin_watches(self) -> None:
        self.freshness = Freshness(self.store.resources(), now=self._now, namespaces=(), lag=lambda _, __: None)

    def compare(self) -> None:
        """All that exists is read, and what does not is forgotten: a seed, or a comparison."""
        for resource, selector in self.store.resources().items():
            found = [body for body in self._server.of(resource) if selected(body, selector)]
            for body in found:
                self.store.take_in(resource, None, versions.as_seen(self.version, resource, body), self._now())
            seen = {body["metadata"]["uid"] for body in found}
            for ghost in self.store.missing(resource, seen, self._server.version(), lambda _: True):
                self.store.drop_ghost(*ghost)
        self.due = self._now()

    def lose_watch(self) -> None:
        """What has happened is never shown; a comparison finds it out."""
        self._note("the watches lose what they have not shown")
        self._begin_watches()
        self._late.clear()
        self._server.events.clear()
        self.compare()

    def watch(self) -> None:
        """Of what has happened the watches show some, each resource in its own order."""
        if not self._late and not self._server.events:
            return
        self._late += self._server.events
        self._server.events.clear()
        selectors = self.store.resources()
        watched = {resource.plural: resource for resource in selectors}
        kept, held = [], set()
        for event in self._late:
            resource = watched.get(event.resource)
            if resource is None:
                continue
            if event.resource in held or (not self.calm and self._chance.random() < 0.2):
                held.add(event.resource)
                kept.append(event)
                continue
            if self._outrun(event):
                continue
            shown = as_selected(event, selectors[resource])
            if shown is None:
                continue
            self.freshness.shown(event.resource, shown.body)
            kind: Any = shown.type
            body = versions.as_seen(self.version, resource, shown.body)
            if self.store.take_in(resource, kind, body, self._now()):
                self.due = self._now()
        self._late = kept

    def _outrun(self, event: Event) -> bool:
        """Whether a watch leaves an event of a job out, as its deletion follows at once: kopf does so."""
        if event.resource != kube.JOBS.plural or event.type == "DELETED" or self._chance.random() < 0.2:
            return False
        uid = event.body["metadata"]["uid"]
        return any(late.type == "DELETED" and late.body["metadata"]["uid"] == uid for late in self._late)
