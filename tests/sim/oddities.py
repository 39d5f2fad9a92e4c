"""What only some of the worlds have: each of these is drawn for itself, and whatever else is drawn stays the same."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from sim.schedule import Action, Schedule, plain
from sim.versions import FIELD, NEWER, OURS, STRICTER

Chance = random.Random
FIRST = 2.0
"""Seconds after the beginning: before that there is nothing that anything could happen to."""


def _with(*whats: str, most: int) -> Callable[[Schedule, Chance], Schedule]:
    """The schedule with up to so many more actions of these."""

    def add(schedule: Schedule, chance: Chance) -> Schedule:
        actions = [
            Action(
                at=round(chance.uniform(FIRST, schedule.calm), 2),
                what=chance.choice(whats),
                which=chance.randrange(1000),
                much=chance.randrange(1000),
            )
            for _ in range(chance.randint(1, most))
        ]
        return schedule.only(sorted([*schedule.actions, *actions]))

    return add


def _with_clocks(schedule: Schedule, chance: Chance) -> Schedule:
    """What is decided by the time that has passed since somebody saw something is decided in these worlds, too."""
    skew = chance.choice((5.0, 60.0, 600.0))
    return replace(_with("set clock", "fail network", most=3)(schedule, chance), skew=skew)


def _with_scopes(schedule: Schedule, chance: Chance) -> Schedule:
    """A job of the same name in another namespace; and one of the two namespaces goes."""
    namespaces = ("default", "team-a")
    others = tuple(replace(job, namespace="team-a", at=job.at + chance.uniform(0.0, 5.0)) for job in schedule.jobs[:1])
    both = replace(schedule, jobs=(*schedule.jobs[:2], *others), namespaces=namespaces)
    return _with("delete namespace", "forbid namespace", most=1)(both, chance)


def _with_versions(schedule: Schedule, chance: Chance) -> Schedule:
    """Processes of several versions, one after the other, and a field that only one of them knows."""
    versions = tuple(chance.choice((OURS, STRICTER, NEWER)) for _ in range(3))
    jobs = tuple(replace(job, spec=job.spec | ({FIELD: 1} if chance.random() < 0.5 else {})) for job in schedule.jobs)
    restarted = _with("stop operator", "kill operator", most=3)(schedule, chance)
    return replace(restarted, jobs=jobs, versions=versions)


def _with_words(schedule: Schedule, chance: Chance) -> Schedule:
    return replace(schedule, chatty=chance.choice((0.2, 1.0, 2.0)), pace=chance.choice((1.0, 3.0)))


def _with_meddlers(schedule: Schedule, chance: Chance) -> Schedule:
    """A pod is lost; and while the operator asks who is left, its user suspends the job."""
    actions = list(schedule.actions)
    for _ in range(chance.randint(1, 3)):
        at = chance.uniform(FIRST, schedule.calm)
        lost, meddled = chance.choice(("crash", "preempt")), at + chance.uniform(0.0, 6.0)
        for when, what in ((at, lost), (meddled, "suspend meanwhile")):
            actions.append(Action(round(when, 2), what, chance.randrange(1000), chance.randrange(1000)))
    return schedule.only(sorted(actions))


def _with_unseen(schedule: Schedule, chance: Chance) -> Schedule:
    """Objects lose the label that they are watched by; and the process that knows of them is gone."""
    killed = chance.uniform(FIRST, schedule.calm)
    actions = [*schedule.actions, Action(round(killed, 2), "kill operator", chance.randrange(1000), 0)]
    for _ in range(chance.randint(1, 3)):
        at = max(FIRST, killed - chance.uniform(0.0, 10.0))
        actions.append(Action(round(at, 2), "unlabel", chance.randrange(1000), chance.randrange(1000)))
    return schedule.only(sorted(actions))


TUNING = {"parameters": {"training.optimizer.lr": {"uniform": {"min": 0.1, "max": 0.2}}}, "trials": 2}


def _with_trials(schedule: Schedule, chance: Chance) -> Schedule:
    """Jobs with trials, of which their users ask for more: while they run, and when they have ended."""
    jobs = tuple(
        replace(job, spec=job.spec | ({"tuning": TUNING} if chance.random() < 0.8 else {})) for job in schedule.jobs
    )
    return _with("raise trials", most=4)(replace(schedule, jobs=jobs, calm=schedule.calm + 30.0), chance)


def _with_deployments(schedule: Schedule, _: Chance) -> Schedule:
    """The operator reconciles ModelDeployments as well, and watches by a label of theirs what jobs have without it."""
    return replace(schedule, deployments=True)


ODDITIES: dict[str, tuple[float, Callable[[Schedule, Chance], Schedule]]] = {
    "odd drivers": (0.12, _with("odd driver", most=2)),
    "tenants": (0.12, _with("copy", "stray", "annotate", "relabel", "unlabel", "squat", most=4)),
    "disruptions": (0.12, _with("fail network", "drain", "upgrade nodes", "lose zone", most=2)),
    "clocks": (0.15, _with_clocks),
    "scopes": (0.08, _with_scopes),
    "versions": (0.1, _with_versions),
    "words": (0.06, _with_words),
    "meddlers": (0.06, _with_meddlers),
    "unseen": (0.04, _with_unseen),
    "trials": (0.1, _with_trials),
    "deployments": (0.08, _with_deployments),
}
"""In which share of the worlds, and what it makes of a schedule."""


def draw(seed: int) -> Schedule:
    """The schedule of a seed."""
    schedule = plain(seed)
    for name, (share, add) in ODDITIES.items():
        chance = random.Random(f"{seed} {name}")  # noqa: S311 - nobody is to be kept from guessing it
        if chance.random() < share:
            schedule = add(schedule, chance)
    return schedule
