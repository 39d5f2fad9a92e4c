"""A ModelDeployment whose plan is carried out in memory, at once, and a judge that says what a test has it say."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from deployment_documents import deployment
from dotted import place
from headway_api.deployment import ModelDeployment
from headway_api.deployment_status import ModelDeploymentStatus, Version
from headway_api.rollout_wire import GateState, Route, Verdict, query_gate
from headway_operator.engine.steps import Refusal
from headway_operator.engine.times import to_text
from headway_operator.serving import names
from headway_operator.serving.plan.decide import plan
from headway_operator.serving.plan.model import Defaults, Front, Plan, RolloutRecord, ServerPod, Situation, Workload
from headway_operator.serving.plan.offers import Offer

UID = "0123456789"
T0 = 1_767_225_600.0
MOST_TURNS = 20
CANARY: dict[str, Any] = {
    "canary": {"steps": [{"weight": 5, "minSeconds": 60}, {"weight": 50, "minSeconds": 120}], "bakeSeconds": 300},
    "progressDeadlineSeconds": 120,
    "stepDeadlineSeconds": 600,
}


class Course:
    """The deployment `digits`; its first version answers, and the second is on its way."""

    def __init__(self, rollout: dict[str, Any] | None = None, changes: dict[str, Any] | None = None) -> None:
        self.document = deployment({"spec.rollout": rollout or CANARY, **(changes or {})})
        self.now = T0
        self.status = ModelDeploymentStatus()
        self.ready: dict[int, int] = {}
        self.desired: dict[int, int] = {}
        self.pods: dict[int, tuple[ServerPod, ...]] = {}
        self.target: int | None = None
        self.record: RolloutRecord | None = None
        self.judge = False
        self.judge_ready = True
        self.reports = True
        self.offers: tuple[Offer, ...] = ()
        self.refusals: dict[str, Refusal] = {}
        self.notices: list[str] = []
        self.routes: list[Route] = []
        self.wake: float | None = None

    def begin(self) -> Course:
        """The first version answers, and another one is wanted, whose pods are not ready yet."""
        self.settle()
        self.ready[1] = 2
        self.settle()
        assert self.status.champion == "digits-1"
        self.edit({"spec.versions.source.digest": f"sha256:{'2' * 64}"})
        self.settle()
        return self

    def split(self) -> Course:
        """The second version's pods are ready, and it has its first share."""
        self.ready[2] = 2
        self.settle()
        return self

    def edit(self, changes: dict[str, Any]) -> None:
        """A user changes the document."""
        for path, value in changes.items():
            node, last = place(self.document, path)
            node[last] = value

    def say(self, verdict: str = "pass", **words: Any) -> None:
        """The judge says this of what servers are told."""
        assert self.record is not None
        route = self.record.route
        assert route is not None
        said = {"servers": 2, "following": 2, "candidate_requests": 600, "stable_requests": 9000}
        asked = [GateState(name=query_gate(query.name), verdict="pass") for query in route.queries]
        about = {"uid": UID, "rollout": route.candidate, "epoch": route.epoch, "gates": asked}
        word = Verdict(**{**about, **said, "verdict": verdict, **words})
        self.record = replace(self.record, verdict=word, heard=self.now)

    def publish(self, digit: str) -> None:
        """A job offers another model."""
        source = {"persistentVolumeClaim": {"name": "models", "path": digit}, "digest": f"sha256:{digit * 64}"}
        time = to_text(T0 + int(digit, 16))
        self.offers = (Offer("job", digit, "digits", time, f"sha256:{digit * 64}", json.dumps(source)),)

    def settle(self) -> Plan:
        """Turns until nothing is to be done."""
        for _ in range(MOST_TURNS):
            before = self._state()
            made = self._turn()
            if not made.moved and self._state() == before:
                return made
        raise AssertionError("it never comes to rest")

    def after(self, seconds: float, verdict: str | None = "pass", **words: Any) -> Plan:
        """Time passes, in which the judge says the same every 10 seconds, or nothing."""
        until = self.now + seconds
        while True:
            if verdict is not None:
                self.say(verdict, **words)
            made = self.settle()
            if self.now >= until:
                return made
            self.now = min(self.now + 10, until)

    def situation(self, *, verified: bool = False, looked: frozenset[int] = frozenset()) -> Situation:
        """What the plan sees."""
        judge = self._workload(names.JUDGE, 1, int(self.judge_ready)) if self.judge else None
        selector = tuple(sorted(names.selector(UID, self.target or 0).items()))
        front = {} if self.target is None else {0: Front("digits", "s", UID, 1, 0, selector)}
        try:
            spec = ModelDeployment.model_validate(self.document).spec
        except ValueError:
            spec = None
        return Situation(
            *("digits", "default", UID, 1, self.now, self.status, spec),
            workloads={
                number: self._workload(number, desired, self.ready.get(number, 0))
                for number, desired in self.desired.items()
            },
            fronts=front,
            refusals=self.refusals,
            verified=verified,
            pods={number: self.pods.get(number, ()) for number in looked},
            defaults=Defaults("server:1"),
            offers=self.offers,
            rollout=self.record,
            judge=judge,
        )

    def version(self, number: int) -> Version:
        """A version of the status."""
        return next(version for version in self.status.versions if version.number == number)

    def weights(self) -> dict[int, int]:
        """The shares of those that have any."""
        return {version.number: version.weight for version in self.status.versions if version.weight}

    def progress(self) -> tuple[str, str]:
        """Reason and message."""
        found = next(each for each in self.status.conditions if each.type == "Progressing")
        return found.reason, found.message

    @property
    def route(self) -> Route:
        """What servers are told."""
        assert self.record is not None
        assert self.record.route is not None
        return self.record.route

    def _turn(self) -> Plan:
        made = plan(self.situation())
        if made.verify or made.look_at:
            made = plan(self.situation(verified=True, looked=frozenset(range(1, MOST_TURNS))))
        assert not made.verify
        assert not made.look_at
        self.status = ModelDeploymentStatus.model_validate_json(made.status.model_dump_json())
        self.notices += [notice.reason for notice in made.notices]
        self.wake = made.wake
        if not made.moved:
            self._carry_out(made)
        return made

    def _carry_out(self, made: Plan) -> None:
        self.desired.update(made.replicas)
        self.target = made.target or self.target
        for number in made.remove:
            self.desired.pop(number, None)
        self.judge = made.judge
        if made.route is None:
            return
        if self.record is None:
            self.record = RolloutRecord("digits-judge", "c", UID, 1, None, None, 0.0)
        if self.record.route != made.route:
            self.routes.append(made.route)
            self.record = replace(self.record, route=made.route)

    def _workload(self, number: int, desired: int, ready: int) -> Workload:
        return Workload(
            name=str(number),
            uid=f"d{number}",
            owner_uid=UID,
            version=1,
            number=number,
            desired=desired,
            replicas=desired,
            ready=ready,
            seen=True,
            reports=self.reports,
        )

    def _state(self) -> tuple[object, ...]:
        return self.status, dict(self.desired), self.target, self.record, self.judge


def splitting(rollout: dict[str, Any] | None = None, changes: dict[str, Any] | None = None) -> Course:
    """The second version has its first share."""
    return Course(rollout, changes).begin().split()


def baking(rollout: dict[str, Any] | None = None) -> Course:
    """The second version answers alone, and the first keeps its pods."""
    course = splitting(rollout)
    course.after(60)
    course.after(120)
    assert course.status.champion == "digits-2"
    return course
