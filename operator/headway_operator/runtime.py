"""The process: waits for the Lease and the kinds, reads what exists, works and watches, and stops in order.

It is made to be stopped at any moment: whatever goes wrong with the Lease or a watch ends it, and a new one begins from
what the API server knows.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import get_args

from kubernetes.aio.client.api_client import ApiClient

from headway_api import deployment_status
from headway_api.status import Phase
from headway_operator.engine import health, kube
from headway_operator.engine.clock import ServerClock
from headway_operator.engine.comparison import Comparison
from headway_operator.engine.discovery import Served
from headway_operator.engine.events import EventPoster, Recorders
from headway_operator.engine.freshness import LISTED_SECONDS, SETTLE_SECONDS, Freshness
from headway_operator.engine.kinds import Kind, Owner
from headway_operator.engine.kube import KubeError, NotFoundError, Resource
from headway_operator.engine.kube_http import HttpKube, load_configuration
from headway_operator.engine.lease import Clocks, Elector
from headway_operator.engine.metrics import EngineMetrics, MetricSet, Reading
from headway_operator.engine.owners import NEW
from headway_operator.engine.reconcile import Reconciler
from headway_operator.engine.store import Store
from headway_operator.engine.watch import Watches
from headway_operator.engine.workers import Workers
from headway_operator.notify.notifier import RESULTS, Notifier
from headway_operator.notify.webhooks import Webhooks
from headway_operator.serving.figures import DeploymentFigures
from headway_operator.serving.kind import ROUTES, ModelDeployments
from headway_operator.serving.measures import DeploymentMeasures, DeploymentMetrics
from headway_operator.settings import Settings
from headway_operator.training.figures import JobFigures
from headway_operator.training.kind import TrainingJobs
from headway_operator.training.measures import JobMeasures, JobMetrics

logger = logging.getLogger(__name__)

PHASES = (NEW, *get_args(Phase))
DEPLOYMENT_PHASES = (NEW, *get_args(deployment_status.Phase))
FINISH_SECONDS = 5.0
EVENTS_SECONDS = 1.0
KIND_POLL_SECONDS = 2.0
NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def _steady() -> float:
    """A clock that goes on while the machine sleeps, where there is one: a Lease runs out meanwhile."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Operator:
    """One process of the operator."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._metrics = MetricSet(names_objects=settings.job_metrics == "running")
        self._engine = EngineMetrics(self._metrics)
        self._jobs = JobMetrics(self._metrics)
        self._deployments = DeploymentMetrics(self._metrics)
        self._optional: dict[Resource, Served] = {}
        """By kinds that not every cluster has: whether this one does."""
        self.clock = ServerClock(_steady, time.time)
        self.store = Store(self.kinds(), unreadable=self._engine.unreadable)
        self.workers: Workers | None = None
        watched = self.store.resources(whether_served_or_not=True)
        self.freshness = Freshness(watched, now=self.clock, namespaces=settings.namespaces, lag=self._engine.lag)
        self.comparison: Comparison | None = None
        self._ready = False
        self._stop = asyncio.Event()
        self._identity = os.environ.get("HEADWAY_POD_NAME") or f"{os.uname().nodename}-{os.getpid()}"

    def kinds(self) -> tuple[Kind, ...]:
        """The kinds that this process reconciles."""
        jobs = TrainingJobs(
            defaults=self._settings.defaults(),
            pull_policy=self._settings.image_pull_policy,
            measures=JobMeasures(self._jobs),
            pod_groups=partial(self._serves, kube.POD_GROUPS),
        )
        deployments = ModelDeployments(
            defaults=self._settings.serving_defaults(),
            pull_policy=self._settings.image_pull_policy,
            measures=DeploymentMeasures(self._deployments),
            gateways=self._serves if self._settings.gateway_api else None,
            inference_services=partial(self._serves, kube.INFERENCE_SERVICES) if self._settings.kserve else None,
        )
        return (jobs, deployments)

    def _serves(self, resource: Resource) -> bool:
        served = self._optional.get(resource)
        return served is not None and served()

    async def run(self) -> int:
        """Run until told to stop; the exit code."""
        self._metrics.on_scrape(self._readings)
        if self._settings.job_metrics == "running":
            limit = self._settings.job_metrics_limit
            self._metrics.tell_of(JobFigures(lambda: self._known(TrainingJobs.name), now=self.clock, limit=limit))
            self._metrics.tell_of(DeploymentFigures(lambda: self._known(ModelDeployments.name), limit=limit))
        ports = {"metrics": self._settings.metrics_port, "health": self._settings.health_port}
        server = await health.serve(self._metrics.scrape, self.wrong, self._not_ready, ports)
        self._on_signals()
        try:
            async with ApiClient(await load_configuration()) as client:
                return await self._lead(client)
        finally:
            await server.cleanup()

    async def _lead(self, client: ApiClient) -> int:
        elector = self._elector(client)
        if elector is None:
            self._engine.is_leader.set(1)
            return await self._work(client, None)
        self._ready = True  # to take over
        if not await self._unless_stopped(elector.acquire()):
            return 0
        self._ready = False
        self._engine.is_leader.set(1)
        try:
            return await self._work(client, elector)
        finally:
            self._engine.is_leader.set(0)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(elector.release(), FINISH_SECONDS)

    def _elector(self, client: ApiClient) -> Elector | None:
        if not self._settings.leader_election:
            return None
        namespace = self._settings.lease_namespace
        if namespace is None and NAMESPACE_FILE.exists():
            namespace = NAMESPACE_FILE.read_text().strip()
        # A port of its own: renewals wait behind nobody.
        api = HttpKube(client, concurrency=2, timeout=2.0, record=self._engine.call)
        clocks = Clocks(steady=_steady, wall=time.time)
        return Elector(
            api,
            namespace=namespace or "default",
            name=self._settings.lease_name,
            identity=self._identity,
            clocks=clocks,
        )

    async def _work(self, client: ApiClient, elector: Elector | None) -> int:
        settings = self._settings
        api = HttpKube(
            client,
            may_write=elector.may_write if elector else lambda: True,
            record=self._engine.call,
            forbidden=self._engine.forbidden,
            written=self.freshness.written,
            dated=self.clock.learn,
            steady=_steady,
        )
        events = EventPoster(
            api,
            instance=self._identity,
            now=self.clock,
            count=lambda result: self._engine.events.labels(result).inc(),
        )
        watched = (*(ROUTES if settings.gateway_api else ()), *((kube.INFERENCE_SERVICES,) if settings.kserve else ()))
        self._optional = {resource: Served(api, resource) for resource in (kube.POD_GROUPS, *watched)}
        notifier = self._notifier()
        recorder = Recorders(events, notifier) if notifier is not None else events
        reconciler = Reconciler(api, self.store, recorder, self.clock)
        workers = Workers(
            reconciler.reconcile,
            tell=reconciler.tell_error,
            due=reconciler.due,
            limit=settings.workers,
            now=self.clock,
            metrics=self._engine,
        )
        watches = Watches(self.store, self.freshness, add=workers.add, namespaces=settings.namespaces, now=self.clock)
        comparison = Comparison(
            api, self.store, self.freshness, add=workers.add, namespaces=settings.namespaces, now=self.clock
        )
        self.workers, self.comparison = workers, comparison

        tasks = {}
        if elector is not None:
            tasks["the Lease"] = asyncio.create_task(elector.keep())
        told: list[EventPoster | Notifier] = [events] if notifier is None else [events, notifier]
        if not await self._unless_stopped(self._seed(comparison), *tasks.values()):
            return await self._wind_down(workers, told, tasks)
        tasks["the work"] = asyncio.create_task(workers.run())
        tasks["the events"] = asyncio.create_task(events.run())
        if notifier is not None:
            tasks["the notifications"] = asyncio.create_task(notifier.run())
        tasks["the comparison"] = asyncio.create_task(comparison.run(settings.resync_seconds))
        tasks["the discovery"] = asyncio.create_task(self._optional[kube.POD_GROUPS].run(settings.resync_seconds))
        for resource in watched:
            name = f"the time in which the kind {resource.kind} was, or was not, there"
            tasks[name] = asyncio.create_task(self._optional[resource].change(settings.resync_seconds))
        # kopf takes every task that is younger than its own for one of its own when it ends: ours are older.
        ours = asyncio.all_tasks()
        kopf_tasks = await watches.start()
        asyncio.get_running_loop().call_later(SETTLE_SECONDS, self.freshness.settle, self.clock() + LISTED_SECONDS)
        tasks["the watches"] = asyncio.create_task(watches.run(kopf_tasks, ours))
        self._on_signals()  # kopf has put its own in place
        self._ready = True
        logger.info("working: %d objects known", len(self.store.owners()))
        await self._unless_stopped(asyncio.Event().wait(), *tasks.values())
        return await self._wind_down(workers, told, tasks)

    def _notifier(self) -> Notifier | None:
        folder = self._settings.notifications
        if folder is None:
            return None
        for result in RESULTS:
            self._engine.notifications.labels(result)  # begins at 0, so that increase() sees the first one
        return Notifier(Webhooks(folder), count=lambda result: self._engine.notifications.labels(result).inc())

    async def _seed(self, comparison: Comparison) -> None:
        """Read what exists; wait for the kinds, which may be installed after the operator or just be changed."""
        said = ""
        while True:
            try:
                for served in self._optional.values():
                    await served.ask()
                await comparison.seed()
            except NotFoundError:
                kinds = " or ".join(self.store.kinds)
                problem = f"the kind {kinds} is not installed (yet): apply the CRDs of Headway"
            except KubeError as error:
                problem = f"what exists cannot be read: {error}"
            else:
                return
            if problem != said:
                logger.warning("%s; trying again every %.0f s", problem, KIND_POLL_SECONDS)
                said = problem
            await asyncio.sleep(KIND_POLL_SECONDS)

    async def _wind_down(
        self, workers: Workers, told: Sequence[EventPoster | Notifier], tasks: Mapping[str, asyncio.Task[None]]
    ) -> int:
        """Finish what is being done, then end; the exit code. told: those that have words for people."""
        self._ready = False
        ended = [name for name, task in tasks.items() if task.done()]
        for name in ended:
            error = tasks[name].exception() if not tasks[name].cancelled() else None
            logger.error("%s ended (%s): this process ends, a new one is to take over", name, error or "no error said")
        await workers.finish(FINISH_SECONDS)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*(each.drain() for each in told)), EVENTS_SECONDS)
        await _cancel(tasks.values())
        return 1 if ended else 0

    async def _unless_stopped(self, wanted: object, *others: asyncio.Task[None]) -> bool:
        """Wait for something, unless the process is to stop or one of the others ends before; whether it came."""
        main = asyncio.ensure_future(wanted)  # type: ignore[call-overload]
        stop = asyncio.create_task(self._stop.wait())
        await asyncio.wait([main, stop, *others], return_when=asyncio.FIRST_COMPLETED)
        came: bool = main.done()
        await _cancel([main, stop])
        if came:
            main.result()
        return came

    def _on_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)

    def wrong(self) -> str | None:
        """What makes this process unhealthy."""
        if self.workers is None or self.comparison is None:
            return None
        return health.diagnosis(
            limit=self._settings.unhealthy_seconds,
            longest=self.workers.longest_seconds(),
            standstill=self.workers.standstill_seconds(),
            behind=self.freshness.behind(),
            blind_rounds=self.comparison.blind_rounds,
        )

    def _not_ready(self) -> str | None:
        return None if self._ready else "starting"

    def _known(self, kind: str) -> Iterable[Owner]:
        """The objects of a kind; none before this process works: only the leader tells of them."""
        return self.store.all_of(kind) if self.workers is not None else ()

    def _readings(self) -> Iterable[Reading]:
        """Gauges that are read when they are scraped."""
        if self.workers is None or self.comparison is None:
            return
        yield Reading("headway_jobs", dict.fromkeys(PHASES, 0) | dict(self.store.phases(TrainingJobs.name)))
        deployments = self.store.phases(ModelDeployments.name)
        yield Reading("headway_deployments", dict.fromkeys(DEPLOYMENT_PHASES, 0) | dict(deployments))
        yield Reading("headway_queue_depth", {"": self.workers.depth()})
        yield Reading("headway_queue_oldest_seconds", {"": self.workers.oldest_seconds()})
        yield Reading("headway_reconcile_longest_seconds", {"": self.workers.longest_seconds()})
        yield Reading("headway_watch_last_event_timestamp_seconds", self.freshness.last_event)
        yield Reading("headway_watch_behind_seconds", self.freshness.behind())
        yield Reading("headway_watch_missed_changes_total", self.comparison.missed)
        yield Reading("headway_namespaces_lost", {"": len(self.comparison.lost)})
        yield Reading("headway_clock_offset_seconds", {"": self.clock() - time.time()})
        if self.comparison.last_done is not None:
            yield Reading("headway_resync_last_timestamp_seconds", {"": self.comparison.last_done})


async def _cancel(tasks: Iterable[asyncio.Future[object]] | Iterable[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait until they have ended."""
    waiting = [task for task in tasks if not task.done()]
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
