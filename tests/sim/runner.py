"""Plays schedules, many of them; tells a failure as a timeline, and makes the schedule that led to it short."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from sim.checks import ViolationError
from sim.oddities import draw
from sim.schedule import Action, Schedule
from sim.serving import BrokenPromiseError, ServingWorld
from sim.world import World

Kind = Literal["trainingjob", "modeldeployment", "autoscaled"]
"""autoscaled: worlds of a ModelDeployment whose number of pods follows the load."""

CHUNK = 50
"""Schedules that a process is given at a time."""
SHRINK_PLAYS = 400
"""So often a schedule is played, at most, to make it shorter."""


@dataclass(frozen=True)
class Failure:
    """What went wrong, and how it came to it."""

    schedule: Schedule
    said: str
    timeline: tuple[tuple[float, str, str], ...]

    def __str__(self) -> str:
        seed = self.schedule.seed
        world = f"{len(self.schedule.jobs)} jobs, {self.schedule.operators} operators, {self.schedule.nodes} nodes"
        drawn = "\n".join(f"  {action}" for action in self.schedule.actions) or "  nothing"
        told = "\n".join(f"{when:9.3f} s  {who:<12} {what}" for when, who, what in self.timeline)
        return (
            f"{self.said}\n\nseed {seed}: {world}; what was drawn to happen:\n{drawn}\n\nwhat happened:\n{told}\n\n"
            f"{self.said}\nagain: make sim SCHEDULES=1 SEED={seed}"
        )


@dataclass(frozen=True)
class Tally:
    """What came of many schedules."""

    played: int
    seconds: float
    failed: tuple[int, ...]
    """The seeds of the schedules that failed."""
    worst: float
    """The largest share of its bound that the API calls of a job, or the status writes of a deployment, have taken."""


def play(schedule: Schedule) -> Failure | None:
    """Play a schedule; what went wrong, if anything."""
    world = World(schedule)
    try:
        world.run()
    except ViolationError as error:
        return Failure(schedule, str(error), tuple(world.timeline))
    return None


def play_all(seeds: Iterable[int], kind: Kind = "trainingjob") -> Tally:
    """Play the worlds of many seeds, one after the other."""
    began, played, failed, worst = time.process_time(), 0, [], 0.0
    for seed in seeds:
        played += 1
        failure, most = _of_job(seed) if kind == "trainingjob" else _of_deployment(seed, kind)
        if failure:
            failed.append(seed)
        worst = max(worst, most)
    return Tally(played, time.process_time() - began, tuple(failed), worst)


def _of_job(seed: int) -> tuple[str, float]:
    """What went wrong, if anything, and the largest share of its bound that anything has taken."""
    world, said = World(draw(seed)), ""
    try:
        world.run()
    except ViolationError as error:
        said = str(error)
    return said, world.checks.worst


def _of_deployment(seed: int, kind: Kind) -> tuple[str, float]:
    world, said = ServingWorld(seed, loaded=kind == "autoscaled"), ""
    try:
        world.run()
    except BrokenPromiseError as error:
        said = str(error)
    return said, world.promises.worst


def deployment_failure(seed: int, lines: int | None = None, *, loaded: bool = False) -> str | None:
    """What went wrong in the world of one ModelDeployment, with the last lines of its timeline; None: nothing."""
    world = ServingWorld(seed, loaded=loaded)
    try:
        world.run()
    except BrokenPromiseError as error:
        told = "\n".join(world.timeline[-lines:] if lines else world.timeline)
        return f"{error}\n\nseed {seed}; what happened:\n{told}\n\n{error}"
    return None


def play_many(
    first: int,
    count: int,
    jobs: int,
    tell: Callable[[Tally], None] = lambda _: None,
    kind: Kind = "trainingjob",
) -> Tally:
    """Play the worlds of `count` seeds on `jobs` processes; `tell` is told how far it is."""
    chunks = [range(start, min(start + CHUNK, first + count)) for start in range(first, first + count, CHUNK)]
    total = Tally(0, 0.0, (), 0.0)
    if jobs == 1:
        for chunk in chunks:
            total = _sum(total, play_all(chunk, kind))
            tell(total)
        return total
    with ProcessPoolExecutor(min(jobs, os.cpu_count() or 1, len(chunks))) as pool:
        for tally in pool.map(partial(play_all, kind=kind), chunks):
            total = _sum(total, tally)
            tell(total)
    return total


def _sum(one: Tally, other: Tally) -> Tally:
    return Tally(
        one.played + other.played,
        one.seconds + other.seconds,
        one.failed + other.failed,
        max(one.worst, other.worst),
    )


def shrink(failure: Failure) -> Failure:
    """The same failure, or another, by a schedule from which nothing can be left out."""
    shortest, plays = failure, 0

    def fails(schedule: Schedule) -> bool:
        nonlocal shortest, plays
        plays += 1
        found = play(schedule) if plays <= SHRINK_PLAYS else None
        if found is not None:
            shortest = found
        return found is not None

    for job in failure.schedule.jobs[1:]:
        fails(replace(shortest.schedule, jobs=tuple(kept for kept in shortest.schedule.jobs if kept != job)))
    if shortest.schedule.operators > 1:
        fails(replace(shortest.schedule, operators=1))
    _leave_out(list(shortest.schedule.actions), lambda actions: fails(shortest.schedule.only(actions)))
    return shortest


def _leave_out(actions: list[Action], fails: Callable[[list[Action]], bool]) -> None:
    """Delta debugging: leave out large parts first, then smaller ones, down to single actions."""
    size = len(actions)
    while size >= 1:
        start = 0
        while start < len(actions):
            fewer = actions[:start] + actions[start + size :]
            if fails(fewer):
                actions = fewer
            else:
                start += size
        size //= 2
