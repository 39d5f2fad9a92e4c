"""What happens in a world, drawn from a seed before it begins: so it can be told, played again, and made shorter."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from sim.versions import OURS

NAMES = ("alpha", "beta", "gamma")
ACTIONS: dict[str, int] = {
    # The operator and its way to the API server
    "fault": 24,
    "kill operator": 5,
    "stop operator": 3,
    "freeze operator": 5,
    "cut operator off": 3,
    "interrupt watch": 6,
    "lose watch": 4,
    "slow watches": 4,
    "repeat event": 4,
    # The cluster
    "crash": 8,
    "kill for memory": 4,
    "delete pod": 5,
    "delete pod by force": 5,
    "preempt": 5,
    "evict": 4,
    "lose node": 5,
    "switch node off": 3,
    "fail images": 2,
    "fill cluster": 2,
    "delete ConfigMap": 2,
    # The driver
    "user error": 3,
    "storage error": 2,
    "finish": 4,
    "freeze driver": 2,
    # The user
    "suspend": 6,
    "resume": 6,
    "delete job": 5,
    "replace job": 4,
    "create job": 8,
    "change workers": 3,
    "change deadline": 2,
    "spoil spec": 1,
}
"""What may happen, by how often."""


def named(namespace: str, name: str) -> str:
    """A name for people: most worlds have but one namespace."""
    return name if namespace in ("", "default") else f"{namespace}/{name}"


class Action(NamedTuple):
    """Something that happens."""

    at: float
    """Seconds after the beginning."""
    what: str
    which: int
    """To which of them: pod, node, job, process, call."""
    much: int
    """How long, or of what kind."""

    def __str__(self) -> str:
        return f"{self.at:8.2f} s  {self.what} ({self.which}, {self.much})"


@dataclass(frozen=True)
class JobPlan:
    """A job that the user applies."""

    name: str
    at: float
    workers: int
    steps: int
    spec: dict[str, Any]
    namespace: str = "default"

    def __str__(self) -> str:
        return named(self.namespace, self.name)


@dataclass(frozen=True)
class Schedule:
    """All that is drawn."""

    seed: int
    jobs: tuple[JobPlan, ...]
    operators: int
    nodes: int
    slots: int
    resync: float
    calm: float
    """When the last trouble is over, in seconds after the beginning."""
    actions: tuple[Action, ...]
    skew: float = 0.0
    """So many seconds, at most, the clocks are off."""
    namespaces: tuple[str, ...] = ()
    """Those that the operator watches; none: all."""
    versions: tuple[str, ...] = (OURS,)
    """Those of the processes of the operator, in turn."""
    chatty: float = 0.0
    """Seconds between two words of a driver that trains; none: one a report."""
    pace: float = 1.0
    """So many times longer than a few seconds a driver trains between two reports."""

    deployments: bool = False
    """Whether the operator reconciles ModelDeployments as well."""

    def only(self, actions: list[Action]) -> Schedule:
        """The same, with fewer actions."""
        return replace(self, actions=tuple(actions))


def plain(seed: int) -> Schedule:
    """The schedule of a seed, as far as all of them have it."""
    chance = random.Random(seed)  # noqa: S311 - nobody is to be kept from guessing it
    count = chance.choices((1, 2, 3), (6, 3, 1))[0]
    jobs = tuple(_job(chance, name) for name in NAMES[:count])
    calm = chance.uniform(20.0, 160.0)
    kinds = chance.choices(list(ACTIONS), list(ACTIONS.values()), k=chance.choice((0, 2, 4, 6, 8, 10, 14)))
    # In half of them all comes at once: what is to go wrong together has to meet.
    first = chance.uniform(2.0, calm - 15.0) if chance.random() < 0.5 else 0.0
    last = first + 12.0 if first else calm
    actions = [
        Action(round(chance.uniform(first, last), 2), what, chance.randrange(1000), chance.randrange(1000))
        for what in kinds
    ]
    tight = chance.random() < 0.2
    largest = max(job.workers for job in jobs) + 1
    nodes = chance.randint(2, 3)
    return Schedule(
        seed=seed,
        jobs=jobs,
        operators=2 if chance.random() < 0.25 else 1,
        nodes=nodes,
        slots=-(-largest // nodes) if tight else 12,
        resync=chance.choice((20.0, 60.0, 300.0)),
        calm=calm,
        actions=tuple(sorted(actions)),
    )


def _job(chance: random.Random, name: str) -> JobPlan:
    workers = chance.choice((1, 1, 2, 3))
    spec: dict[str, Any] = {
        "workers": {"replicas": workers},
        "retry": {"preempted": chance.choice((0, 2, 1000)), "infrastructure": chance.choice((0, 2, 1000, 1000))},
        "scheduling": {"startupDeadlineSeconds": chance.choice((60, 200, 900))},
    }
    if chance.random() < 0.1:
        spec["activeDeadlineSeconds"] = chance.choice((20, 60, 200))
    if chance.random() < 0.1:
        spec["ttlSecondsAfterFinished"] = chance.choice((0, 5, 60))
    return JobPlan(name, chance.uniform(0.0, 10.0), workers, chance.choice((30, 60, 100)), spec)
