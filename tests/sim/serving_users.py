"""The users of a world of one ModelDeployment, and those who meddle with what is the operator's."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from deployment_documents import deployment
from headway_operator.engine import kube
from headway_operator.engine.kube import Object
from headway_operator.serving import names
from sim.serving_jobs import MODELS
from sim.serving_routes import gateway

if TYPE_CHECKING:
    from sim.serving import ServingWorld


class Users:
    """What they do, drawn by chance."""

    def __init__(self, world: ServingWorld, of: str) -> None:
        self._world, self._of = world, of
        self._chance: random.Random = world.chance
        self._splits = world.splits

    def act(self) -> None:
        """One of them does something."""
        world = self._world
        actions: dict[Callable[[], None], float] = {
            self._name_model: 3 if self._splits else 5,
            lambda: self.versions(source=None): 1 if self._splits else 4,
            world.jobs.act: 4 if self._splits else 12,
            self._toggle: 3,
            self._scale: 3,
            self._intend: 5,
            lambda: self.edit(**self._rolled()): 2,
            lambda: self.edit(rollout={"blueGreen": {}, "recreate": {}}): 0.3 if self._splits else 1,
            self._meddle: 4,
            self._meddle_with_judge: 2,
            self._replace: 1,
            world.jobs.burst: 2 if self._splits else 4,
            self._hold_bake: 2,
            world.lose_watch: 2,
            lambda: None: 20 if self._splits else 6,
        }
        if world.routes is not None:
            actions[lambda: world.pods.lose(world.routes.candidates() if world.routes is not None else ())] = 15
        if world.pods.kserve is not None:
            actions[self._change_backend] = 3
        if world.zero is not None:
            actions |= {world.zero.limit: 2, lambda: None: 100}  # Nobody falls asleep while versions change places.
        self._chance.choices(list(actions), list(actions.values()))[0]()

    def create(self) -> None:
        """A deployment is applied."""
        changes: dict[str, Any] = {f"spec.{name}": value for name, value in self._rolled().items()}
        if self._chance.random() < 0.5:
            changes["spec.versions"] = {"keep": 2}
        if self._world.load is not None:
            changes["spec.autoscaling"] = self._world.load.spec()
        if self._world.drift is not None:
            changes["spec.monitoring"] = self._world.drift.spec()
        if self._world.pods.kserve is not None:
            changes["spec.server.backend"] = "kserve"
        made = self._world.server.create(kube.MODEL_DEPLOYMENTS, "default", deployment(changes))
        self._told(made["spec"])

    def _told(self, spec: dict[str, Any]) -> None:
        self._world.shares.wanted(spec)
        if self._world.load is not None:
            self._world.load.wanted(spec)

    def go_on(self) -> None:
        """They do what the status asks them to do."""
        status = self._world.status()
        self.versions(approve=status.get("candidate"))
        if any("set rollout to blueGreen" in each.get("message", "") for each in status.get("conditions", [])):
            self.edit(rollout={"blueGreen": {"bakeSeconds": 0}})

    def mend(self) -> None:
        """What keeps all as it is comes to an end."""
        self.edit(suspend=False)
        body = self._world.server.find(kube.MODEL_DEPLOYMENTS, self._of)
        if body is not None and {"blueGreen", "recreate"} <= set(body["spec"]["rollout"]):
            self.edit(**self._rolled())

    def edit(self, **spec: Any) -> None:
        """Some fields of the spec become others."""
        self._world.note(f"user: {spec}")
        self._change(lambda body: body["spec"].update(spec))

    def versions(self, **change: Any) -> None:
        """Some fields of spec.versions become others; None takes one away."""
        self._world.note(f"user: versions {change}")

        def edit(body: Object) -> None:
            versions = {**body["spec"]["versions"], **change}
            body["spec"]["versions"] = {key: value for key, value in versions.items() if value is not None}

        self._change(edit)

    def _change(self, edit: Callable[[Object], None]) -> None:
        server = self._world.server
        server.change(kube.MODEL_DEPLOYMENTS, self._of, edit)
        body = server.find(kube.MODEL_DEPLOYMENTS, self._of)
        if body is not None:
            self._told(body["spec"])

    def _rolled(self) -> dict[str, Any]:
        rollout = self._rollout()
        return {"rollout": rollout} | ({} if self._world.routes is None else {"route": gateway(rollout)})

    def _rollout(self) -> dict[str, Any]:
        chance = self._chance
        deadline = {"progressDeadlineSeconds": chance.choice((60, 300) if self._splits else (10, 60, 300))}
        bake = {"bakeSeconds": chance.choice((0, 20, 200))}
        least = {"minSeconds": chance.choice((0, 10, 60, 240))}
        steps = sorted(chance.sample(range(1, 100), chance.randint(1, 3)))
        test = {"weight": steps[0], "unit": {"header": "x-user"}, "maxSeconds": chance.choice((240, 600))}
        split: tuple[dict[str, Any], ...] = (
            {"abTest": {**test, **least, **bake}},
            {"shadow": {**least, **bake}},
            *3 * ({"canary": {"steps": [{"weight": step, **least} for step in steps], **bake}},),
        )
        emptied: dict[str, Any] = {"recreate": {}} if self._world.pods.kserve is None else {"blueGreen": {}}
        whole: tuple[dict[str, Any], ...] = (emptied, {"blueGreen": bake}, *split[:3])
        kind = chance.choice(split if self._splits else whole)
        manual = "recreate" not in kind and chance.random() < 0.2
        stall = {"stepDeadlineSeconds": 60, "onStall": "rollback"} if chance.random() < 0.3 else {}
        return {**deadline, **kind, **stall, "approval": "manual" if manual else "automatic"}

    def _name_model(self) -> None:
        claim = {"name": "models", "path": "default/digits-1"}
        digest = f"sha256:{self._chance.choice(MODELS) * 64}"
        self.versions(source={"persistentVolumeClaim": claim, "digest": digest})

    def _toggle(self) -> None:
        self.edit(suspend=self._chance.random() < (0.2 if self._splits else 0.5))

    def _change_backend(self) -> None:
        backend = self._chance.choice(("kserve", "kserve", None))

        def edit(body: Object) -> None:
            server = {**body["spec"]["server"], "backend": backend}
            body["spec"]["server"] = {key: value for key, value in server.items() if value is not None}

        self._world.note(f"user: server.backend {backend}")
        self._change(edit)

    def _scale(self) -> None:
        self.edit(replicas=self._chance.randint(1, 4))

    def _intend(self) -> None:
        world = self._world
        number = self._chance.randint(1, max(1, world.promises.numbers.get(world.uid(), 1)))
        name = names.version_name(self._of, number)
        intents: tuple[dict[str, Any], ...] = (
            {"pin": name}, {"pin": None}, {"abort": name}, {"retry": [name]}, {"retry": None}, {"approve": name},
        )  # fmt: skip
        if self._splits and self._chance.random() < 0.6:
            intents = ({"pin": None}, {"approve": world.status().get("candidate")})
        self.versions(**self._chance.choice(intents))

    def _meddle(self) -> None:
        """Somebody changes or deletes by hand what is the operator's."""
        server = self._world.server
        kinds = (kube.DEPLOYMENTS, kube.SERVICES, kube.HTTP_ROUTES, kube.INFERENCE_SERVICES)
        found = [(resource, body) for resource in kinds for body in server.of(resource)]
        if not found:
            return
        resource, body = self._chance.choice(found)
        name = body["metadata"]["name"]
        self._world.note(f"somebody meddles with {resource.kind} {name}")
        self._world.safety.meddled_at = self._world.now
        if self._chance.random() < 0.5:
            server.remove(resource, name)
        elif resource == kube.HTTP_ROUTES:
            server.change(resource, name, lambda body: body["spec"].update(rules=[]))
        elif resource == kube.SERVICES:
            server.change(resource, name, lambda body: body["spec"].update(selector={"app": "mine"}))
        elif resource == kube.INFERENCE_SERVICES:
            server.change(resource, name, lambda body: body["spec"]["predictor"].update(minReplicas=7))
        else:
            server.change(resource, name, lambda body: body["spec"].update(replicas=7))

    def _meddle_with_judge(self) -> None:
        self._world.safety.meddled_at = self._world.now
        self._world.judge.meddle(self._world.uid())

    def _hold_bake(self) -> None:
        """Somebody suspends all while a version bakes, or lets it go on."""
        self.edit(suspend=bool(self._world.status().get("previous")))

    def _replace(self) -> None:
        """The deployment is deleted, and another of its name made; the garbage collector comes in between, or later."""
        world = self._world
        world.note("user: deletes it, and makes another")
        world.server.remove(kube.MODEL_DEPLOYMENTS, self._of)
        if self._chance.random() < 0.7:
            world.server.collect_garbage()
        world.jobs.lost()
        self.create()
