"""An operator that reconciles when it is told to, before an API server in memory."""

from __future__ import annotations

import asyncio
from typing import Any

from headway_api import wire
from headway_operator.engine import kube
from headway_operator.engine.keys import Key
from headway_operator.engine.kinds import Owner
from headway_operator.engine.metrics import MetricSet
from headway_operator.engine.reconcile import Reconciler
from headway_operator.engine.steps import Notice
from headway_operator.engine.store import Store
from headway_operator.engine.times import to_text
from headway_operator.training.kind import TrainingJobs
from headway_operator.training.measures import JobMeasures, JobMetrics
from headway_operator.training.plan.spec import Defaults
from sim.builders import DEFAULTS, T0, document
from sim.fakes.api import ApiServer, Call, FakeKube, as_selected, selected

KEY = Key("TrainingJob", "default", "digits")


class Stage:
    """An API server, and an operator that reconciles when it is told to."""

    def __init__(self, **spec: Any) -> None:
        self.now = T0
        self.server = ApiServer(lambda: self.now)
        self.api = FakeKube(self.server)
        self.notices: list[str] = []
        self.served = False
        """Whether there are PodGroups."""
        self.metrics = JobMetrics(MetricSet())
        self.restart(DEFAULTS)
        job = self.server.create(kube.JOBS, "default", document(**spec))
        self.uid: str = job["metadata"]["uid"]

    def restart(self, defaults: Defaults) -> None:
        """Another operator, with settings of its own."""
        self.defaults = defaults
        jobs = TrainingJobs(
            defaults=defaults,
            pull_policy="IfNotPresent",
            measures=JobMeasures(self.metrics),
            pod_groups=lambda: self.served,
            new_token=lambda: "secret",
        )
        self.store = Store((jobs,))
        self.reconciler = Reconciler(self.api, self.store, self, lambda: self.now)
        for resource, selector in self.store.resources().items():
            for body in self.server.of(resource):
                if selected(body, selector):
                    self.store.see(resource, None, body, self.now)

    def post(self, owner: Owner, api_version: str, notices: tuple[Notice, ...]) -> None:
        assert (owner.key.namespace, api_version) == ("default", "headway.dev/v1alpha1")
        self.notices += [notice.reason for notice in notices]

    def watch(self) -> None:
        """Let the watches show what has happened."""
        selectors = self.store.resources()
        watched = {resource.plural: resource for resource in selectors}
        for event in self.server.events:
            shown = as_selected(event, selectors[watched[event.resource]]) if event.resource in watched else None
            if shown is not None:
                kind: Any = shown.type
                self.store.see(watched[event.resource], kind, shown.body, self.now)
        self.server.events.clear()

    def reconcile(self, *, watch: bool = True) -> float | None:
        if watch:
            self.watch()
        return asyncio.run(self.reconciler.reconcile(KEY))

    def refuse(self, error: Exception, resource: str = "pods", *, naming: str = "") -> None:
        """From now on the API server takes no object of that kind whose name has these letters."""

        def before(call: Call) -> None:
            if call[:2] == ("create", resource) and naming in call.name:
                raise error

        self.api.before = before

    def status(self) -> dict[str, Any]:
        job = self.server.find(kube.JOBS, "digits")
        assert job is not None
        status: dict[str, Any] = job["status"]
        return status

    def names(self, resource: kube.Resource) -> list[str]:
        return sorted(body["metadata"]["name"] for body in self.server.of(resource))

    def children(self, resource: kube.Resource) -> tuple[Any, ...]:
        """What the operator knows of the job's objects of a kind."""
        owner = self.store.owner(KEY)
        return self.store.children(owner)[resource] if owner is not None else ()

    def of(self, attempt: int = 1) -> str:
        """The name of an attempt's objects."""
        return wire.object_name("digits", self.uid, attempt)

    def run_file(self, attempt: int = 1) -> wire.RunFile:
        """What its pods are told."""
        secret = self.server.find(kube.SECRETS, self.of(attempt))
        assert secret is not None
        return wire.RunFile.model_validate_json(secret["stringData"][wire.KEY_RUN])

    def head(self, attempt: int = 1) -> str:
        """The name of its head pod."""
        return wire.head_name("digits", self.uid, attempt)

    def worker(self, index: int, number: int = 0, attempt: int = 1) -> str:
        """The name of a worker pod of it."""
        return wire.worker_name("digits", self.uid, attempt, index, number)

    def condition(self, kind: str) -> dict[str, Any]:
        return next(item for item in self.status()["conditions"] if item["type"] == kind)


def all_ready(stage: Stage) -> None:
    """All pods have a node, and are ready."""

    def ready(pod: dict[str, Any]) -> None:
        pod["spec"]["nodeName"] = "n1"
        pod["status"] = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}

    for name in stage.names(kube.PODS):
        stage.server.change(kube.PODS, name, ready)


def end(stage: Stage, name: str, code: int) -> None:
    """A pod's main container ends."""
    ended = {"name": "main", "state": {"terminated": {"exitCode": code, "reason": "Error"}}}
    status = {"phase": "Failed", "containerStatuses": [ended]}
    stage.server.change(kube.PODS, name, lambda pod: pod.update(status=status))


def let_go(stage: Stage) -> None:
    """Pods that are to be deleted go."""
    for name in stage.names(kube.PODS):
        pod = stage.server.find(kube.PODS, name)
        if pod is not None and pod["metadata"].get("deletionTimestamp"):
            stage.server.remove(kube.PODS, name)


def running(stage: Stage) -> None:
    """Two looks and all pods ready: the attempt runs."""
    for _ in range(2):
        stage.reconcile()
    all_ready(stage)
    stage.reconcile()
    assert stage.status()["phase"] == "Running"


def speak(stage: Stage) -> None:
    """The driver gives its sign of life."""
    word = wire.ProgressFile(uid=stage.uid, attempt=1, heartbeat_time=to_text(stage.now)).model_dump_json(by_alias=True)
    stage.server.change(kube.CONFIG_MAPS, stage.of(1), lambda body: body["data"].update({wire.KEY_PROGRESS: word}))
