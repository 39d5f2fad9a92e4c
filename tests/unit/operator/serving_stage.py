"""An operator of ModelDeployments that reconciles when it is told to, before an API server in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

from deployment_documents import deployment
from dotted import place
from headway_operator.engine import kube
from headway_operator.engine.facts import FactReader
from headway_operator.engine.keys import Key
from headway_operator.engine.kinds import Owner
from headway_operator.engine.kube import NotFoundError, RetryableError
from headway_operator.engine.metrics import MetricSet
from headway_operator.engine.reconcile import Reconciler
from headway_operator.engine.steps import Facts, Notice, Read
from headway_operator.engine.store import Store
from headway_operator.engine.times import to_text
from headway_operator.serving import names
from headway_operator.serving.kind import ModelDeployments
from headway_operator.serving.measures import DeploymentMeasures, DeploymentMetrics
from headway_operator.serving.plan.model import Defaults
from serving_fleet import pod, report
from sim.builders import T0
from sim.fakes.api import ApiServer, Call, FakeKube, as_selected, selected

KEY = Key("ModelDeployment", "default", "digits")
MOST_TURNS = 30
DIGEST_2 = f"sha256:{'2' * 64}"
DIGEST_3 = f"sha256:{'3' * 64}"


class Stage:
    """The deployment `digits`, an API server, and an operator."""

    def __init__(
        self,
        changes: dict[str, Any] | None = None,
        *,
        image: str | None = "server:1",
        gateways: Collection[kube.Resource] | None = None,
        kserve: bool | None = None,
    ) -> None:
        """gateways: the kinds of routes that are served; None: the operator is not to make any.
        kserve: whether InferenceServices are; None: the same."""
        self.now = T0
        self.server = ApiServer(lambda: self.now)
        self.api = FakeKube(self.server)
        self.notices: list[str] = []
        self.registry = MetricSet()
        self.metrics = DeploymentMetrics(self.registry)
        self.image = image
        self.gateways = gateways
        self.kserve = kserve
        self.restart()
        made = self.server.create(kube.MODEL_DEPLOYMENTS, "default", deployment(changes))
        self.uid: str = made["metadata"]["uid"]

    key = KEY

    def restart(self) -> None:
        """Another process, which knows what the API server knows."""
        kind = ModelDeployments(
            defaults=Defaults(self.image),
            pull_policy="Never",
            measures=DeploymentMeasures(self.metrics),
            gateways=None if self.gateways is None else self.gateways.__contains__,
            inference_services=None if self.kserve is None else lambda: bool(self.kserve),
        )
        self.store = Store((kind,))
        self.reconciler = Reconciler(self.api, self.store, self, lambda: self.now)
        self.server.events.clear()
        for resource, selector in self.store.resources().items():
            for body in self.server.of(resource):
                if selected(body, selector):
                    self.store.take_in(resource, None, body, self.now)
        self.store.seeded()

    def post(self, _: Owner, __: str, notices: tuple[Notice, ...]) -> None:
        """Events."""
        self.notices += [notice.reason for notice in notices]

    def watch(self) -> None:
        """Let the watches show what has happened."""
        selectors = self.store.resources()
        watched = {resource.plural: resource for resource in selectors}
        for event in self.server.events:
            shown = as_selected(event, selectors[watched[event.resource]]) if event.resource in watched else None
            if shown is not None:
                kind: Any = shown.type
                self.store.take_in(watched[event.resource], kind, shown.body, self.now)
        self.server.events.clear()

    def turn(self) -> float | None:
        """One reconcile."""
        self.watch()
        return asyncio.run(self.reconciler.reconcile(KEY))

    def settle(self, *, restarts: bool = False) -> float | None:
        """Reconcile until there is nothing more to do now; when it wants to be woken."""
        for _ in range(MOST_TURNS):
            if restarts:
                self.restart()
            before = self.server.version()
            try:
                wake = self.turn()
            except (RetryableError, NotFoundError):
                continue
            if restarts and self.server.version() == before:
                wake = self.turn()  # a process that has just begun asks first for what nobody watches
            if self.server.version() == before and (wake is None or wake > self.now):
                return wake
        raise AssertionError("it never comes to rest")

    def after(self, seconds: float, *, restarts: bool = False) -> None:
        """Some time passes, with a reconcile at each time that is asked for."""
        until = self.now + seconds
        while True:
            wake = self.settle(restarts=restarts)
            if wake is None or wake > until:
                break
            self.now = max(self.now, wake)
        self.now = until
        self.settle(restarts=restarts)

    def edit(self, changes: dict[str, Any]) -> None:
        """A user changes the spec."""

        def change(body: dict[str, Any]) -> None:
            for path, value in changes.items():
                node, last = place(body["spec"], path)
                if value is None:
                    node.pop(last, None)
                else:
                    node[last] = value

        self.server.change(kube.MODEL_DEPLOYMENTS, "digits", change)

    def train(self, name: str, digit: str, *, deployment: str = "digits") -> str:
        """A job that publishes ends now, with a model of its own; returns the model's digest."""
        body = {"metadata": {"name": name}, "spec": {"publish": {"deployment": deployment}}}
        uid = self.server.create(kube.JOBS, "default", body)["metadata"]["uid"]
        digest = f"sha256:{digit * 64}"
        claim = {"name": "models", "path": f"default/{name}-{uid[:8]}"}
        result = {"bundle": {"digest": digest, "persistentVolumeClaim": claim}}
        status = {"phase": "Succeeded", "completionTime": to_text(self.now), "result": result}
        self.server.change(kube.JOBS, name, lambda body: body.update(status=status))
        return digest

    def name(self, number: int) -> str:
        """Of a version's objects."""
        return names.object_name("digits", self.uid, number)

    def ready(self, number: int, count: int | None = None) -> None:
        """Pods of a version are ready: all, or so many."""
        report(self.server, self.name(number), count)

    def troubled(self, number: int, **state: Any) -> None:
        """A version's pods do not become ready."""
        report(self.server, self.name(number), 0)
        body = self.server.find(kube.DEPLOYMENTS, self.name(number))
        assert body is not None
        pod(self.server, body, **state)

    def refuse(self, error: Exception, resource: str, naming: str = "") -> None:
        """From now on the API server takes no object of that kind whose name has these letters."""

        def before(call: Call) -> None:
            if call[:2] == ("create", resource) and naming in call.name:
                raise error

        self.api.before = before

    @property
    def status(self) -> dict[str, Any]:
        """The deployment's."""
        body = self.server.find(kube.MODEL_DEPLOYMENTS, "digits")
        assert body is not None
        status: dict[str, Any] = body.get("status", {})
        return status

    def condition(self, kind: str) -> tuple[str, str, str]:
        """Status, reason and message of a condition."""
        found = next(item for item in self.status["conditions"] if item["type"] == kind)
        return found["status"], found["reason"], found["message"]

    def states(self) -> dict[str, str]:
        """The states of the versions, by name."""
        return {version["name"]: version["state"] for version in self.status["versions"]}

    def weights(self) -> dict[str, int]:
        """The shares of the versions that have any, by name."""
        return {version["name"]: version["weight"] for version in self.status["versions"] if version["weight"]}

    def replicas(self) -> dict[int, int]:
        """What the versions' Deployments ask for, by number."""
        return {
            int(body["metadata"]["name"].rpartition("-")[2]): body["spec"]["replicas"]
            for body in self.server.of(kube.DEPLOYMENTS)
            if not body["metadata"]["name"].endswith("-judge")
        }

    def replicas_of(self, number: int) -> int:
        """The same of one."""
        return self.replicas()[number]

    def read(self, owner: Owner, read: Read) -> Facts:
        """What is read for a decision."""
        reader = FactReader(self.api, self.store, lambda: self.now)
        return asyncio.run(reader.read(owner, (read,), Facts()))

    def target(self) -> int | None:
        """The version that clients reach."""
        body = self.server.find(kube.SERVICES, "digits")
        return int(body["spec"]["selector"][names.LABEL_VERSION]) if body is not None else None

    def of(self, resource: kube.Resource) -> set[str]:
        """The names of all objects of a kind."""
        return {body["metadata"]["name"] for body in self.server.of(resource)}
