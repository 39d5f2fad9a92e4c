"""An operator's process in a simulated world: the real parts, wired as runtime.py wires them, in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from headway_operator.engine.clock import ServerClock
from headway_operator.engine.comparison import Comparison
from headway_operator.engine.freshness import LISTED_SECONDS, SETTLE_SECONDS, Freshness
from headway_operator.engine.keys import Key
from headway_operator.engine.kinds import Kind, Owner
from headway_operator.engine.kube import KubeError, Object
from headway_operator.engine.lease import Clocks, Elector
from headway_operator.engine.metrics import EngineMetrics, MetricSet
from headway_operator.engine.reconcile import Reconciler
from headway_operator.engine.steps import Notice
from headway_operator.engine.store import Store
from headway_operator.engine.workers import Workers
from headway_operator.serving.kind import ModelDeployments
from headway_operator.serving.measures import DeploymentMeasures, DeploymentMetrics
from headway_operator.serving.plan.model import Defaults as ServingDefaults
from headway_operator.training.measures import JobMeasures, JobMetrics
from sim import versions
from sim.agenda import ProcessLoop
from sim.builders import DEFAULTS
from sim.fakes.api import Event, as_selected, selected
from sim.network import Armed, Link
from sim.promises import Promising
from sim.schedule import named
from tiny import Tinies

if TYPE_CHECKING:
    from sim.world import World

WORKERS = 4
FINISH_SECONDS = 5.0
POLL_SECONDS = 2.0
SHOWN_SECONDS = 5.0
"""Within so many seconds of calm a watch shows what has happened."""
METRICS = MetricSet()
ENGINE_METRICS, JOB_METRICS, DEPLOYMENT_METRICS = (
    EngineMetrics(METRICS),
    JobMetrics(METRICS),
    DeploymentMetrics(METRICS),
)
"""They count over all worlds: nobody reads them here, and making them takes longer than a reconcile."""

# What goes wrong in a world is its point; thousands of lines about it are not.
logging.getLogger("headway_operator").setLevel(logging.CRITICAL)


@lru_cache(1024)
def _date_header(seconds: int) -> str:
    return format_datetime(datetime.fromtimestamp(seconds, UTC), usegmt=True)


def _deployments() -> ModelDeployments:
    return ModelDeployments(
        defaults=ServingDefaults("server:1"),
        pull_policy="Never",
        measures=DeploymentMeasures(DEPLOYMENT_METRICS),
        new_token=lambda: "token",
    )


class Process:
    """One process, from its start to its end."""

    def __init__(self, world: World, name: str, version: str = versions.OURS) -> None:
        self.world = world
        self.name = name
        self.version = version
        self.jobs = Promising(
            defaults=DEFAULTS,
            pull_policy="Never",
            measures=JobMeasures(JOB_METRICS),
            new_token=lambda: "token",
        )
        kinds: tuple[Kind, ...] = (self.jobs, Tinies())
        self.store = Store((*kinds, _deployments()) if world.schedule.deployments else kinds)
        self.selectors = self.store.resources()
        self.watched = {resource.plural: resource for resource in self.selectors}
        self.armed: list[Armed] = []
        self.clock = world.clocks.another()
        self.server_clock = ServerClock(lambda: world.now, self.wall)
        self.cut_off = False
        """No request reaches the API server."""
        self.died = False
        self._reconciling = 0
        """Reconciles under way: one may wait for an answer that does not come for longer than anything else happens."""
        self._at_thaw: list[Callable[[], None]] = []
        self._watching: dict[str, bool] = {}
        self._missed: set[str] = set()
        """Resources whose watch has not shown all that has happened since the process began to work."""
        self._shown: dict[str, float] = {}
        """By the uid of an object: when its newest event will have been shown."""
        enter = partial(versions.enter, version)
        self.loop = ProcessLoop(world.agenda, self._on_error, enter)  # type: ignore[abstract]  # it has what is asked for
        self.elector: Elector | None = None
        if world.schedule.operators > 1:
            api = Link(self, lambda: True, for_lease=True)
            clocks = Clocks(steady=lambda: world.now, wall=self.wall)
            self.elector = Elector(api, namespace="headway", name="headway-operator", identity=name, clocks=clocks)
        self.api = Link(self, self.may_write)
        scopes = world.schedule.namespaces
        self.freshness = Freshness(self.selectors, now=self.now, namespaces=scopes, lag=lambda _, __: None)
        self.reconciler = Reconciler(self.api, self.store, self, self.now)
        self.workers = Workers(
            self._reconcile,
            tell=self.reconciler.tell_error,
            due=self.reconciler.due,
            limit=WORKERS,
            now=self.now,
            metrics=ENGINE_METRICS,
        )
        self.comparison = Comparison(
            self.api, self.store, self.freshness, add=self.workers.add, namespaces=scopes, now=self.now
        )
        self._tasks: list[asyncio.Task[Any]] = []
        self.main = self.loop.create_task(self._run())

    def now(self) -> float:
        """The API server's time, as far as the process knows it."""
        return self.server_clock()

    def learn(self, dated: float, began: float) -> None:
        """An answer has come to a request that left when it began, with the API server's time."""
        self.server_clock.learn(_date_header(int(dated)), began, self.world.now)

    def wall(self) -> float:
        """The time by the clock of the process's machine."""
        return self.clock.at(self.world.now)

    def may_write(self) -> bool:
        """Whether this process holds the Lease, as far as it knows."""
        return self.elector is None or self.elector.may_write()

    def post(self, owner: Owner, _: str, notices: tuple[Notice, ...]) -> None:
        """Events for people."""
        for notice in notices:
            self.world.note(self.name, f"{named(*owner.key[-2:])}: {notice.reason}: {notice.message}")

    async def _run(self) -> None:
        """As runtime.Operator does it."""
        if self.elector is not None:
            await self.elector.acquire()
            self.world.note(self.name, "holds the Lease")
            self._tasks.append(asyncio.create_task(self.elector.keep()))
        seeding = asyncio.create_task(self._seed())
        await asyncio.wait([seeding, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
        if seeding.done():
            self.world.checks.last_seed = self.world.now
            self._tasks.append(asyncio.create_task(self.workers.run()))
            self._tasks.append(asyncio.create_task(self.comparison.run(self.world.schedule.resync)))
            for resource in self.watched:
                delay = self.world.latency() * 20
                self._missed |= {resource} if delay > LISTED_SECONDS else set()
                self.world.agenda.after(delay, self.begin_watch, resource)
            self.loop.call_later(SETTLE_SECONDS, self.freshness.settle, self.now() + LISTED_SECONDS)
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        self.die("ends: it has lost the Lease")

    async def _seed(self) -> None:
        while True:
            try:
                await self.comparison.seed()
            except KubeError:
                await asyncio.sleep(POLL_SECONDS)
            else:
                return

    async def compare(self) -> None:
        """A comparison out of its turn; if it fails, the next one in its turn makes up for it."""
        with contextlib.suppress(KubeError):
            await self.comparison.compare()

    async def stop_in_order(self) -> None:
        """As runtime.Operator does it on SIGTERM."""
        await self.workers.finish(FINISH_SECONDS)
        for task in self._tasks:
            task.cancel()
        if self.elector is not None:
            await self.elector.release()
        self.die("has stopped")

    async def _reconcile(self, key: Key) -> float | None:
        checks = self.world.checks
        if self.died:
            raise asyncio.CancelledError
        checks.reconcile_begins(self, key)
        self._reconciling += 1
        try:
            again = await self.reconciler.reconcile(key)
        except Exception as error:
            checks.reconcile_failed(self, key, error)
            raise
        finally:
            self._reconciling -= 1
        checks.reconcile_succeeded(self, key)
        owner = self.store.owner(key)
        broken = self.jobs.broken(self.store, owner.uid, again) if owner is not None else None
        if broken is not None:
            checks.fail(broken)
        return again

    # What happens to it

    def struck(self) -> Armed | None:
        """The fault that strikes this call, if any."""
        if not self.armed:
            return None
        first, *rest = self.armed
        if first.skip > 0:
            self.armed[0] = first._replace(skip=first.skip - 1)
            return None
        self.armed = rest
        return first

    def die(self, how: str) -> None:
        """The process ends here and now. Another takes its place after a while."""
        if self.died:
            return
        self.died = True
        self.loop.dead = True
        self.world.note(self.name, how)
        self.world.agenda.after(0.0, self.loop.bury)
        self.world.operator_died(self)

    def freeze(self, seconds: float) -> None:
        """As SIGSTOP does it."""
        if self.loop.frozen or self.died:
            return
        self.loop.frozen = True
        self.world.note(self.name, f"is frozen for {seconds:.1f} s")
        self.world.agenda.after(seconds, self._thaw)

    def at_thaw(self, act: Callable[[], None]) -> None:
        """The first thing to happen when the process goes on."""
        self._at_thaw.append(act)

    def _thaw(self) -> None:
        self.loop.frozen = False
        if not self.died:
            self.world.note(self.name, "thaws")
            for act in self._at_thaw:
                act()
        self._at_thaw.clear()

    def _on_error(self, context: dict[str, Any]) -> None:
        self.world.checks.fail(f"{self.name}: nobody caught {context.get('exception') or context.get('message')!r}")

    # Its watches

    def begin_watch(self, resource: str) -> None:
        """A watch begins, or begins again, with a list of what exists. It does not say what has gone meanwhile."""
        if self.died:
            return
        self.resume_watch(resource)
        for body in self.world.server.of(self.watched[resource]):
            if self._in_scope(body) and selected(body, self.selectors[self.watched[resource]]):
                self._show(Event(resource, None, body))

    def end_watch(self, resource: str) -> None:
        """A watch is interrupted."""
        self._watching[resource] = False
        self._missed.add(resource)

    def resume_watch(self, resource: str) -> None:
        """A watch goes on as if it had missed nothing."""
        self._watching[resource] = True
        if self.world.calm and not self.died:
            # Sooner than its time: until then a job whose deletion was missed has its objects made and collected.
            self.loop.create_task(self.compare())

    def watches(self, resource: str) -> bool:
        """Whether the watch is under way."""
        return self._watching.get(resource, False)

    def busy(self) -> str:
        """What keeps the process from having nothing to do; empty if nothing does."""
        if self.loop.frozen:
            return "is frozen"
        if self.may_write() and self.comparison.last_done is None:
            return "reads what exists"
        if self.workers.depth() or self._reconciling:
            return "has work"
        return "" if all(self._watching.values()) else "is blind"

    def deaf(self) -> str:
        """What the process waits for that its watches will never show; empty if there is nothing of the kind."""
        for resource, seconds in self.freshness.behind().items():
            if seconds > SHOWN_SECONDS and resource not in self._missed:
                return f"what it wrote {seconds:.0f} s ago is still to be shown by its watch of {resource}"
        return ""

    def happened(self, event: Event) -> None:
        """Something has changed that the watch is going to show."""
        if event.body["metadata"]["namespace"] in self.world.server.forbidden:
            self._missed.add(event.resource)
        if self._watching.get(event.resource) and self._in_scope(event.body):
            shown = as_selected(event, self.selectors[self.watched[event.resource]])
            if shown is not None:
                self._show(shown)

    def regain(self, namespace: str) -> None:
        """The operator may read a namespace again: its watches begin anew there."""
        for resource in self.selectors:
            for body in self.world.server.of(resource, namespace):
                if self.watches(resource.plural) and selected(body, self.selectors[resource]):
                    self._show(Event(resource.plural, None, body))

    def _in_scope(self, body: Object) -> bool:
        """Whether an object is in a namespace that this process watches, and may read."""
        namespace, scopes = body["metadata"]["namespace"], self.world.schedule.namespaces
        return namespace not in self.world.server.forbidden and (not scopes or namespace in scopes)

    def again(self, event: Event) -> None:
        """An event comes once more, late."""
        if self.watches(event.resource):
            self.loop.call_soon(self._see, event)

    def _show(self, event: Event) -> None:
        """Events of one object come in their order; those of several as they may."""
        uid = event.body["metadata"]["uid"]
        when = max(self.world.now + self.world.watch_delay(), self._shown.get(uid, 0.0))
        self._shown[uid] = when
        self.world.agenda.at(when, self.loop.call_soon, self._see, event)

    def _see(self, event: Event) -> None:
        kind: Any = event.type
        resource = self.watched[event.resource]
        self.freshness.shown(event.resource, event.body)
        body = versions.as_seen(self.version, resource, event.body)
        for news in self.store.take_in(resource, kind, body, self.now()):
            self.workers.add(news)
