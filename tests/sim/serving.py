"""Worlds of one ModelDeployment, drawn from a seed: an API server with faults, an operator that dies, users, and pods.

The parts of the operator that decide and act are the real ones; watches show what happens late, out of step with each
other's resources, or not at all. After every write the promises are looked at; in the end all comes to rest.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Any

from deployment_documents import deployment
from headway_operator.engine import kube
from headway_operator.engine.freshness import Freshness
from headway_operator.engine.keys import Key
from headway_operator.engine.kinds import Owner
from headway_operator.engine.kube import ConflictError, DeniedError, KubeError, Object, Resource, RetryableError
from headway_operator.engine.metrics import MetricSet
from headway_operator.engine.reconcile import Reconciler
from headway_operator.engine.steps import Notice
from headway_operator.engine.store import Store
from headway_operator.serving import names
from headway_operator.serving.kind import ModelDeployments
from headway_operator.serving.measures import DeploymentMeasures, DeploymentMetrics
from headway_operator.serving.plan.model import Defaults
from serving_fleet import pod, report
from sim.builders import T0
from sim.fakes.api import ApiServer, Call, Event, FakeKube, as_selected, selected
from sim.serving_jobs import MODELS, Jobs
from sim.serving_judge import Judge
from sim.serving_shares import Shares

NAME = "digits"
KEY = Key("ModelDeployment", "default", NAME)
ACTIONS = 60
PATIENCE = 3000.0
METRICS = DeploymentMetrics(MetricSet())

logging.getLogger("headway_operator").setLevel(logging.CRITICAL)


class BrokenPromiseError(AssertionError):
    """Something is not as it must be."""


class _Death(BaseException):
    """The operator's process ends here."""


class ServingWorld:
    """Everything."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.chance = random.Random(seed)  # noqa: S311 - nobody is to be kept from guessing it
        self.now = T0
        self.calm = False
        self.due = T0
        self.timeline: list[str] = []
        self.server = ApiServer(lambda: self.now)
        self.api = FakeKube(self.server, before=self._before, after=self._after, written=self._written)
        self.proven: set[tuple[str, int]] = set()
        """Versions, by the deployment's uid and their number, of which all pods were ready at some time."""
        self.rejected: set[tuple[str, str]] = set()
        self.numbers: dict[str, int] = {}
        self.promoted = self.taken_back = 0
        self.natures: dict[str, str] = {}
        """By digest: good, never or crashes."""
        self.splits = self.chance.random() < 0.6
        """Whether all its rollouts split requests, and most of its models work."""
        self.jobs = Jobs(self.server, self.chance, lambda: self.now, self.note, NAME)
        self.judge = Judge(self.server, self.chance, lambda: self.now, self.note, NAME)
        self.shares = Shares(self.judge, lambda: self.now, self.fail, NAME)
        self._restart()

    # The operator

    def _restart(self) -> None:
        self.jobs.lost()
        kind = ModelDeployments(
            defaults=Defaults("server:1"), pull_policy="Never", measures=DeploymentMeasures(METRICS)
        )
        self.store = Store((kind,))
        self.reconciler = Reconciler(self.api, self.store, self, lambda: self.now)
        self._begin_watches()
        self._late: list[Event] = []
        self.server.events.clear()
        self._list()
        self.store.seeded()
        self.due = self.now

    def _begin_watches(self) -> None:
        self.freshness = Freshness(self.store.resources(), now=lambda: self.now, namespaces=(), lag=lambda _, __: None)

    def _written(self, resource: Resource, made: Object) -> None:
        self.freshness.written(resource, made)

    def _list(self) -> None:
        """All that exists is read, and what does not is forgotten: a seed, or a comparison."""
        for resource, selector in self.store.resources().items():
            found = [body for body in self.server.of(resource) if selected(body, selector)]
            for body in found:
                self.store.take_in(resource, None, body, self.now)
            seen = {body["metadata"]["uid"] for body in found}
            for ghost in self.store.missing(resource, seen, self.server.version(), lambda _: True):
                self.store.drop_ghost(*ghost)
        self.due = self.now

    def post(self, _: Owner, __: str, notices: tuple[Notice, ...]) -> None:
        """Events for people."""
        for notice in notices:
            self.note(f"{notice.reason}: {notice.message}")
            self.promoted += notice.reason == "Promoted"
            self.taken_back += notice.reason == "RolledBack"

    def _before(self, call: Call) -> None:
        self._was = self._status()
        if self.calm:
            return
        drawn = self.chance.random()
        if drawn < 0.02:
            raise RetryableError("the API server did not answer")
        if drawn < 0.03 and call.verb == "patch":
            raise ConflictError("the object has been modified")
        if drawn < 0.04 and call.verb == "create":
            raise DeniedError("exceeded quota")
        if drawn < 0.06:
            raise _Death

    def _after(self, call: Call) -> None:
        self._look(call)
        if self.calm:
            return
        drawn = self.chance.random()
        if drawn < 0.02:
            raise RetryableError("the API server did not answer")
        if drawn < 0.05:
            raise _Death

    def _reconcile(self) -> None:
        try:
            wake = asyncio.run(self.reconciler.reconcile(KEY))
        except _Death:
            self.note("the operator dies")
            self._restart()
        except KubeError as error:
            self.note(f"tries again: {error}")
            self.due = self.now + 1.0
        else:
            self.due = self.now + PATIENCE if wake is None else max(wake, self.now + 0.05)
            body = self.server.find(kube.MODEL_DEPLOYMENTS, NAME)
            if body is not None and not self._late and not self.server.events and self.due > self.now + 0.05:
                self.shares.settled(self._uid(), self._status(), body["spec"])

    def _watch(self) -> None:
        """Of what has happened the watches show some, each resource in its own order."""
        self._late += self.server.events
        self.server.events.clear()
        selectors = self.store.resources()
        watched = {resource.plural: resource for resource in selectors}
        kept, held = [], set()
        for event in self._late:
            resource = watched.get(event.resource)
            if resource is None:
                continue
            if event.resource in held or (not self.calm and self.chance.random() < 0.2):
                held.add(event.resource)
                kept.append(event)
                continue
            if self._outrun(event):
                continue
            shown = as_selected(event, selectors[resource])
            if shown is not None:
                self.freshness.shown(event.resource, shown.body)
            kind: Any = shown.type if shown is not None else None
            if shown is not None and self.store.take_in(resource, kind, shown.body, self.now):
                self.due = self.now
        self._late = kept

    def _outrun(self, event: Event) -> bool:
        """Whether a watch leaves an event of a job out, as its deletion follows at once: kopf does so."""
        if event.resource != kube.JOBS.plural or event.type == "DELETED" or self.chance.random() < 0.2:
            return False
        uid = event.body["metadata"]["uid"]
        return any(late.type == "DELETED" and late.body["metadata"]["uid"] == uid for late in self._late)

    # The world

    def note(self, what: str) -> None:
        """A line of the timeline."""
        self.timeline.append(f"{self.now - T0:9.2f} s  {what}")

    def fail(self, what: str) -> None:
        """A promise is broken."""
        told = "\n".join(self.timeline[-60:])
        raise BrokenPromiseError(f"{what}\nseed {self.seed}\n{told}\n{what}")

    def run(self) -> ServingWorld:
        """From the beginning until all has come to rest."""
        self._create()
        for _ in range(ACTIONS):
            self._act()
            self._pass(self.chance.choice((1.0, 10.0, 30.0, 90.0) if self.splits else (0.1, 1.0, 5.0, 30.0, 90.0)))
        self.jobs.act()
        self.calm = True
        self.note("calms down")
        self._edit(suspend=False)
        self._list()
        # Every late event is shown, and every deadline passes.
        for _ in range(60):
            self._versions(approve=self._status().get("candidate"))
            self._pass(60.0)
            if self._rests():
                break
        self._at_rest()
        return self

    def _rests(self) -> bool:
        """Whether nothing is on its way, and nothing is expected for a long time."""
        moves = any(self._status().get(place) for place in ("candidate", "previous", "rollout"))
        return not moves and self.due > self.now + PATIENCE / 2

    def _pass(self, seconds: float) -> None:
        """Some time: pods become what they become, watches show it, and the operator works when it is due."""
        until = self.now + seconds
        for _ in range(400):
            self._fleet()
            self._watch()
            if min(self.due, self.judge.next()) > until:
                break
            self.now = max(self.now, min(self.due, self.judge.next()))
            if self.due <= self.now:
                self._reconcile()
                self._look(None)
        else:
            self.fail("the operator works without end")
        self.now = until

    def _fleet(self) -> None:
        """Controllers and kubelets do a step."""
        self.judge.step(self._uid(), calm=self.calm)
        for body in self._versions_deployments():
            name, nature = body["metadata"]["name"], self._nature(body)
            wanted = body["spec"]["replicas"]
            if nature == "never":
                report(self.server, name, 0)
            elif nature == "crashes":
                report(self.server, name, 0)
                pod(self.server, body, waiting="CrashLoopBackOff", said="no such input", restarts=3)
            elif self.calm or self.chance.random() < 0.5:
                ready = wanted if self.calm else self.chance.randint(0, wanted)
                report(self.server, name, max(ready, min(wanted, self._ready(body))))
                if nature == "fades" and self.chance.random() < 0.05 and not self.calm:
                    self.natures[self._digest(body)] = "crashes"
            self._prove(name)

    def _versions_deployments(self) -> list[Object]:
        """All Deployments but those of judges."""
        return [body for body in self.server.of(kube.DEPLOYMENTS) if not body["metadata"]["name"].endswith("-judge")]

    def _prove(self, name: str) -> None:
        body = self.server.find(kube.DEPLOYMENTS, name)
        if body is None:
            return
        meta, status = body["metadata"], body.get("status") or {}
        whole = status.get("readyReplicas", 0) >= body["spec"]["replicas"] > 0
        if whole and status.get("observedGeneration") == meta["generation"]:
            self.proven.add((meta["labels"][names.LABEL_DEPLOYMENT_UID], int(meta["labels"][names.LABEL_VERSION])))

    @staticmethod
    def _ready(body: Object) -> int:
        return int((body.get("status") or {}).get("readyReplicas", 0))

    @staticmethod
    def _digest(body: Object) -> str:
        digest: str = body["spec"]["template"]["spec"]["initContainers"][0]["command"][-1]
        return digest

    def _nature(self, body: Object) -> str:
        digest = self._digest(body)
        if digest not in self.natures:
            good = ("good",) * (8 if self.splits else 2)
            self.natures[digest] = self.chance.choice((*good, "fades", "never", "crashes"))
        return self.natures[digest]

    def _create(self) -> None:
        changes: dict[str, Any] = {"spec.rollout": self._rollout()}
        if self.chance.random() < 0.5:
            changes["spec.versions"] = {"keep": 2}
        made = self.server.create(kube.MODEL_DEPLOYMENTS, "default", deployment(changes))
        self.shares.wanted(made["spec"])

    def _rollout(self) -> dict[str, Any]:
        deadline = {"progressDeadlineSeconds": self.chance.choice((60, 300) if self.splits else (10, 60, 300))}
        bake = {"bakeSeconds": self.chance.choice((0, 20, 200))}
        least = {"minSeconds": self.chance.choice((0, 10, 60, 240))}
        steps = sorted(self.chance.sample(range(1, 100), self.chance.randint(1, 3)))
        test = {"weight": steps[0], "unit": {"header": "x-user"}, "maxSeconds": self.chance.choice((240, 600))}
        split: tuple[dict[str, Any], ...] = (
            {"abTest": {**test, **least, **bake}},
            {"shadow": {**least, **bake}},
            *3 * ({"canary": {"steps": [{"weight": step, **least} for step in steps], **bake}},),
        )
        whole: tuple[dict[str, Any], ...] = ({"recreate": {}}, {"blueGreen": bake}, *split[:3])
        kind = self.chance.choice(split if self.splits else whole)
        manual = "recreate" not in kind and self.chance.random() < 0.2
        stall = {"stepDeadlineSeconds": 60, "onStall": "rollback"} if self.chance.random() < 0.3 else {}
        return {**deadline, **kind, **stall, "approval": "manual" if manual else "automatic"}

    # The users

    def _act(self) -> None:
        actions: dict[Callable[[], None], float] = {
            self._name_model: 3 if self.splits else 5,
            lambda: self._versions(source=None): 1 if self.splits else 4,
            self.jobs.act: 4 if self.splits else 12,
            self._toggle: 3,
            self._scale: 3,
            self._intend: 5,
            lambda: self._edit(rollout=self._rollout()): 2,
            lambda: self._edit(rollout={"blueGreen": {}, "recreate": {}}): 0.3 if self.splits else 1,
            self._meddle: 4,
            lambda: self.judge.meddle(self._uid()): 2,
            self._replace: 1,
            self._lose_watch: 2,
            lambda: None: 20 if self.splits else 6,
        }
        self.chance.choices(list(actions), list(actions.values()))[0]()

    def _edit(self, **spec: Any) -> None:
        self.note(f"user: {spec}")
        self._change(lambda body: body["spec"].update(spec))

    def _change(self, edit: Callable[[Object], None]) -> None:
        self.server.change(kube.MODEL_DEPLOYMENTS, NAME, edit)
        body = self.server.find(kube.MODEL_DEPLOYMENTS, NAME)
        if body is not None:
            self.shares.wanted(body["spec"])

    def _versions(self, **change: Any) -> None:
        self.note(f"user: versions {change}")

        def edit(body: Object) -> None:
            versions = {**body["spec"]["versions"], **change}
            body["spec"]["versions"] = {key: value for key, value in versions.items() if value is not None}

        self._change(edit)

    def _name_model(self) -> None:
        claim = {"name": "models", "path": "default/digits-1"}
        digest = f"sha256:{self.chance.choice(MODELS) * 64}"
        self._versions(source={"persistentVolumeClaim": claim, "digest": digest})

    def _toggle(self) -> None:
        self._edit(suspend=self.chance.random() < (0.2 if self.splits else 0.5))

    def _scale(self) -> None:
        self._edit(replicas=self.chance.randint(1, 4))

    def _intend(self) -> None:
        number = self.chance.randint(1, max(1, self.numbers.get(self._uid(), 1)))
        name = names.version_name(NAME, number)
        intents: tuple[dict[str, Any], ...] = (
            {"pin": name}, {"pin": None}, {"abort": name}, {"retry": [name]}, {"retry": None}, {"approve": name},
        )  # fmt: skip
        if self.splits and self.chance.random() < 0.6:
            intents = ({"pin": None}, {"approve": self._status().get("candidate")})
        self._versions(**self.chance.choice(intents))

    def _meddle(self) -> None:
        """Somebody changes or deletes by hand what is the operator's."""
        found = [
            (resource, body) for resource in (kube.DEPLOYMENTS, kube.SERVICES) for body in self.server.of(resource)
        ]
        if not found:
            return
        resource, body = self.chance.choice(found)
        name = body["metadata"]["name"]
        self.note(f"somebody meddles with {resource.kind} {name}")
        if self.chance.random() < 0.5:
            self.server.remove(resource, name)
        elif resource == kube.SERVICES:
            self.server.change(resource, name, lambda body: body["spec"].update(selector={"app": "mine"}))
        else:
            self.server.change(resource, name, lambda body: body["spec"].update(replicas=7))

    def _replace(self) -> None:
        """The deployment is deleted, and another of its name made; the garbage collector comes in between, or later."""
        self.note("user: deletes it, and makes another")
        self.server.remove(kube.MODEL_DEPLOYMENTS, NAME)
        if self.chance.random() < 0.7:
            self.server.collect_garbage()
        self.jobs.lost()
        self._create()

    def _lose_watch(self) -> None:
        """What has happened is never shown; a comparison finds it out."""
        self.note("the watches lose what they have not shown")
        self._begin_watches()
        self._late.clear()
        self.server.events.clear()
        self.jobs.lost()
        self._list()

    # The promises

    def _uid(self) -> str:
        body = self.server.find(kube.MODEL_DEPLOYMENTS, NAME)
        return str(body["metadata"]["uid"]) if body is not None else ""

    def _status(self) -> dict[str, Any]:
        body = self.server.find(kube.MODEL_DEPLOYMENTS, NAME)
        status: dict[str, Any] = (body or {}).get("status") or {}
        return status

    def _target(self) -> int | None:
        body = self.server.find(kube.SERVICES, NAME)
        selector = body["spec"]["selector"] if body is not None else {}
        ours = selector.get(names.LABEL_DEPLOYMENT_UID) == self._uid()
        return int(selector.get(names.LABEL_VERSION, 0)) or None if ours else None

    def _look(self, call: Call | None) -> None:
        """What must hold after every write."""
        uid, status = self._uid(), self._status()
        versions = status.get("versions", [])
        self._look_at_places(status, versions)
        for version in versions:
            name = (uid, version["name"])
            if version["state"] == "Rejected":
                self.rejected.add(name)
            elif name in self.rejected:
                self.fail(f"{version['name']} was rejected, and is {version['state']}")
            if version["state"] == "Champion" and (uid, version["number"]) not in self.proven:
                self.fail(f"{version['name']} answers, and was never ready")
        self._look_at_numbers(uid, status)
        self._look_at_offers(uid, status)
        if call is not None:
            self._look_at(call, uid)

    def _look_at_places(self, status: dict[str, Any], versions: list[dict[str, Any]]) -> None:
        weights = [version["weight"] for version in versions]
        if sum(weights) != (100 if status.get("champion") else 0):
            self.fail(f"the weights are {weights}, with the champion {status.get('champion')}")
        places = [version["state"] for version in versions]
        for state in ("Candidate", "Champion", "Previous"):
            if places.count(state) > 1:
                self.fail(f"there are two versions in the place {state}")

    def _look_at_numbers(self, uid: str, status: dict[str, Any]) -> None:
        last = status.get("lastNumber", 0)
        if last < self.numbers.get(uid, 0):
            self.fail(f"the number {last} comes after {self.numbers[uid]}")
        self.numbers[uid] = last

    def _look_at_offers(self, uid: str, status: dict[str, Any], *, at_rest: bool = False) -> None:
        broken = self.jobs.broken(uid, status, at_rest=at_rest) if uid else None
        if broken:
            self.fail(broken)

    def _look_at(self, call: Call, uid: str) -> None:
        if call[:2] == ("patch", "services") and call.name == NAME:
            target = self._target()
            if target is not None and (uid, target) not in self.proven:
                self.fail(f"clients are sent to version {target}, which was never ready")
        if call[:2] == ("patch", "modeldeployments"):
            self.shares.moved(uid, self._was, self._status())
        if call.resource == "configmaps" and call.verb in ("create", "patch") and call.name == self.judge.name(uid):
            self.shares.told(uid, self._status())
        if call[:2] == ("delete", "deployments") and not call.name.endswith("-judge"):
            number = int(call.name.rpartition("-")[2])
            if call.name == names.object_name(NAME, uid, number) and self._target() == number:
                self.fail(f"the pods of version {number} are taken away, which clients are sent to")
            if call.name == names.object_name(NAME, uid, number):
                self.shares.removed(uid, number, self._status())

    def _at_rest(self) -> None:
        """What must hold when nothing happens any more."""
        self.server.collect_garbage()
        self._pass(60.0)
        body = self.server.find(kube.MODEL_DEPLOYMENTS, NAME)
        if body is None:
            self.fail("the deployment is gone")
            return
        if any(behind := {name: seconds for name, seconds in self.freshness.behind().items() if seconds}):
            self.fail(
                f"the watches have shown all that happened, and these are still to show what was written: {behind}"
            )
        status, uid = self._status(), self._uid()
        accepted = next(item for item in status["conditions"] if item["type"] == "Accepted")
        if accepted["status"] != "True":
            return
        if status.get("candidate"):
            self.fail(f"{status['candidate']} is still on its way")
        champion = next((each for each in status["versions"] if each["name"] == status.get("champion")), None)
        there = {each["metadata"]["name"]: each["spec"]["replicas"] for each in self.server.of(kube.DEPLOYMENTS)}
        number = champion["number"] if champion is not None else None
        wanted = {names.object_name(NAME, uid, number): body["spec"]["replicas"]} if number is not None else {}
        if there != wanted:
            self.fail(f"in the end there are the Deployments {there}, and should be {wanted}")
        if self._target() != number:
            self.fail(f"in the end clients are sent to {self._target()}, and {number} should answer")
        self._look_at_offers(uid, status, at_rest=True)
        self._was_tried(body["spec"]["versions"], status)

    def _was_tried(self, spec: dict[str, Any], status: dict[str, Any]) -> None:
        """What is wanted answers in the end, or was rejected for a reason."""
        pinned = [each for each in status["versions"] if each["name"] == spec.get("pin")]
        source = spec.get("source") or (status.get("published") or {}).get("source")
        if source is None or (pinned and pinned[0]["state"] != "Rejected"):
            return
        tried = [each for each in status["versions"] if each["source"] == source]
        if not any(each["state"] == "Champion" or (each["state"] == "Rejected" and each["message"]) for each in tried):
            self.fail(f"what is wanted, {source}, does not answer and was not rejected")


def play(seed: int) -> ServingWorld:
    """The world of a seed, played to its end."""
    return ServingWorld(seed).run()
