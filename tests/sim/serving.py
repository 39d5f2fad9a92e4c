"""Worlds of one ModelDeployment, drawn from a seed: an API server with faults, an operator that dies, users, and pods.

The parts of the operator that decide and act are the real ones; watches show what happens late, out of step with each
other's resources, or not at all. After every write the promises are looked at; in the end all comes to rest.
"""

from __future__ import annotations

import random
from typing import Any

from headway_operator.engine import kube
from headway_operator.engine.keys import Key
from headway_operator.serving import names
from sim.builders import T0
from sim.fakes.api import ApiServer
from sim.serving_drift import FIRST_DRIFT_SEED, Drifting
from sim.serving_jobs import Jobs
from sim.serving_judge import Judge
from sim.serving_kserve import FIRST_KSERVE_SEED, KServe
from sim.serving_load import Load
from sim.serving_operator import PATIENCE, Operator
from sim.serving_pods import Pods
from sim.serving_promises import Promises
from sim.serving_routes import FIRST_SEED, Routes
from sim.serving_safety import Safety
from sim.serving_shares import Shares
from sim.serving_users import Users
from sim.serving_zero import Zero
from sim.versions import NEWER, OURS, STRICTER

NAME = "digits"
KEY = Key("ModelDeployment", "default", NAME)
ACTIONS = 60
TURNS = (*6 * ((OURS,),), (OURS, NEWER), (OURS, STRICTER))
"""The versions of the operator, of which one takes the other's place as it dies."""


class BrokenPromiseError(AssertionError):
    """Something is not as it must be."""


class ServingWorld:
    """Everything."""

    def __init__(self, seed: int, *, loaded: bool = False) -> None:
        """loaded: whether the number of pods follows from the load."""
        self.seed = seed
        self.chance = random.Random(seed)  # noqa: S311 - nobody is to be kept from guessing it
        self.now = T0
        self.calm = False
        self.timeline: list[str] = []
        self.server = ApiServer(lambda: self.now)
        self.splits = self.chance.random() < 0.6 or FIRST_SEED <= seed < FIRST_DRIFT_SEED
        """Whether all its rollouts split requests, and most of its models work."""
        self.pods = Pods(self.server, self.chance, sound=8 if self.splits else 2)
        if FIRST_KSERVE_SEED <= seed < FIRST_SEED:
            self.pods.kserve = KServe(self.server, self.chance)
        self.jobs = Jobs(self.server, self.chance, lambda: self.now, self.note, NAME)
        self.judge = Judge(self.server, self.chance, lambda: self.now, self.note, NAME)
        self.shares = Shares(self.judge, lambda: self.now, self.fail, NAME)
        self.load = (
            Load(self.server, seed, lambda: self.now, self.fail, NAME, zero=Zero(self, seed, NAME)) if loaded else None
        )
        self.drift = Drifting(self, seed, NAME) if seed >= FIRST_DRIFT_SEED else None
        self.routes = Routes(self, NAME) if FIRST_SEED <= seed < FIRST_DRIFT_SEED else None
        self.safety = Safety(self, NAME)
        self.promises = Promises(self, NAME)
        self.users = Users(self, NAME)
        self.operator = Operator(
            self.server,
            self.chance,
            lambda: self.now,
            self.note,
            KEY,
            calls=self.promises.remember,
            wrote=self.promises.look,
            begins=self._begins,
            gateways=self.routes is not None,
            kserve=self.pods.kserve is not None,
            turns=self.chance.choice(TURNS),
        )

    def note(self, what: str) -> None:
        """A line of the timeline."""
        self.timeline.append(f"{self.now - T0:9.2f} s  {what}")

    def fail(self, what: str) -> None:
        """A promise is broken."""
        raise BrokenPromiseError(what)

    def run(self) -> ServingWorld:
        """From the beginning until all has come to rest."""
        try:
            self._run()
        finally:
            self.operator.end()
        return self

    def _run(self) -> None:
        self.users.create()
        for _ in range(ACTIONS):
            self.users.act()
            self._pass(self.chance.choice((1.0, 10.0, 30.0, 90.0) if self.splits else (0.1, 1.0, 5.0, 30.0, 90.0)))
        self.jobs.act()
        self.calm = self.operator.calm = True
        if self.zero is not None:
            self.zero.calms_down()
        self.note("calms down")
        self.users.mend()
        if self.operator.version != OURS:
            self.operator.start(OURS)
        self.operator.compare()
        # Every late event is shown, and every deadline passes.
        for _ in range(60):
            self.users.go_on()
            self._pass(60.0)
            if self._rests():
                break
        self.server.collect_garbage()
        # What somebody's object had the name of is asked for again each minute, and made once that object is collected.
        self._pass(120.0)
        # A rollout may have waited for just that.
        for _ in range(60):
            if self._rests():
                break
            self.users.go_on()
            self._pass(60.0)
        self.promises.at_rest()
        if self.load is not None or self.drift is not None:
            return  # Its judge goes on to say how many requests there are, and whether they drift.
        written = len(self.server.writes)
        self._pass(PATIENCE / 2)
        if len(self.server.writes) > written:
            self.fail(f"all was at rest, and is written: {self.server.writes[written:]}")

    def _rests(self) -> bool:
        """Whether nothing is on its way, and nothing is expected for a long time."""
        moves = any(self.status().get(place) for place in ("candidate", "previous", "rollout"))
        return not moves and self.operator.due > self.now + PATIENCE / 2

    def _pass(self, seconds: float) -> None:
        """Some time: pods become what they become, watches show it, and the operator works when it is due."""
        until = self.now + seconds
        for _ in range(400):
            self.judge.step(self.uid(), calm=self.calm)
            self.pods.step(calm=self.calm)
            if self.load is not None:
                self.load.step(self.uid(), calm=self.calm)
            if self.drift is not None:
                self.drift.step(calm=self.calm)
            self.operator.watch()
            following = min(self.operator.due, self.judge.next())
            if self.load is not None:
                following = min(following, self.load.next())
            if self.drift is not None:
                following = min(following, self.drift.next())
            if following > until:
                break
            self.now = max(self.now, following)
            if self.operator.due <= self.now:
                self._reconcile()
            self.safety.look()
            if self.zero is not None:
                self.zero.look()
        else:
            self.fail("the operator works without end")
        self.now = until

    def _reconcile(self) -> None:
        done = self.operator.reconcile()
        body = self.server.find(kube.MODEL_DEPLOYMENTS, NAME)
        if done and body is not None and self.operator.knows_all():
            self.shares.settled(self.uid(), self.status(), body["spec"])
            if self.routes is not None:
                self.routes.settled(self.uid())
        self.promises.look(None)

    def _begins(self) -> None:
        """Another process of the operator."""
        self.jobs.lost()
        if self.drift is not None:
            self.drift.begun = self.now

    def lose_watch(self) -> None:
        """The watches lose what they have not shown."""
        self.jobs.lost()
        self.operator.lose_watch()

    # What is the case

    @property
    def zero(self) -> Zero | None:
        """What must hold where there may be no pod; None where there always is one."""
        return self.load.zero if self.load is not None else None

    def edit(self, **spec: Any) -> None:
        """A user changes some fields of the spec."""
        self.users.edit(**spec)

    def uid(self) -> str:
        """That of the deployment; empty where there is none."""
        body = self.server.find(kube.MODEL_DEPLOYMENTS, NAME)
        return str(body["metadata"]["uid"]) if body is not None else ""

    def status(self) -> dict[str, Any]:
        """That of the deployment."""
        body = self.server.find(kube.MODEL_DEPLOYMENTS, NAME)
        status: dict[str, Any] = (body or {}).get("status") or {}
        return status

    def target(self) -> int | None:
        """The version that clients are sent to."""
        body = self.server.find(kube.SERVICES, NAME)
        selector = body["spec"]["selector"] if body is not None else {}
        ours = selector.get(names.LABEL_DEPLOYMENT_UID) == self.uid()
        return int(selector.get(names.LABEL_VERSION, 0)) or None if ours else None


def play(seed: int, *, loaded: bool = False) -> ServingWorld:
    """The world of a seed, played to its end."""
    return ServingWorld(seed, loaded=loaded).run()
