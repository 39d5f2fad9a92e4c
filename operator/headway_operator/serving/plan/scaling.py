"""How many pods a load asks for: the rules of a HorizontalPodAutoscaler, over the requests that are in flight. Pure.

What it does with pods that are not heard, or not ready yet (kubernetes/pkg/controller/podautoscaler,
replica_calculator.go), is done here: a pod that is not heard is taken for one that does what it is to do where pods
would be taken away, and for one that does nothing where pods would be added. So is one that is not ready yet.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from headway_api.deployment_status import MOST_RECENT

TOLERANCE = 0.1
"""A load that is no farther from the target than this part of it asks for no change."""
STEP = 2
"""So many times as many pods as there are may be there next."""
STEP_SECONDS = 15.0
"""Between one step up and the next: the pods of the one are to show what they do."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The pods of a version, and what they do."""

    in_flight: float
    """Requests in all servers that are heard."""
    servers: int
    """Servers that are heard."""
    ready: int
    """Pods that are ready."""
    desired: int
    """Pods that are to be there."""


@dataclass(frozen=True, slots=True)
class Recent:
    """A number of pods that was asked for until then."""

    replicas: int
    until: float


def recommended(seen: Seen, target: int) -> int | None:
    """How many pods this load asks for; None where no server is heard: no word is not the word that there is none."""
    if not seen.servers:
        return None
    ratio = seen.in_flight / (target * seen.servers)
    missing, unready = max(0, seen.ready - seen.servers), max(0, seen.desired - max(seen.ready, seen.servers))
    if not missing and not unready and _is_near(ratio):
        return seen.desired
    pods, load = seen.servers + missing, seen.in_flight
    if ratio > 1.0:
        pods += unready
    else:
        load += missing * target
    anew = load / (target * pods)
    if _is_near(anew) or (anew > 1.0) != (ratio > 1.0):
        return seen.desired
    asked = math.ceil(load / target - 1e-9)
    # What was filled in decides in no direction that what was seen does not.
    return max(asked, seen.desired) if ratio > 1.0 else min(asked, seen.desired)


def _is_near(ratio: float) -> bool:
    """Whether a load, over its target, asks for no change: 1.1 does not, which is farther from 1 than 0.1 in floats."""
    return abs(ratio - 1.0) <= TOLERANCE + 1e-9


def remembered(recent: Sequence[Recent], before: int, asked: int, now: float, window: float) -> tuple[Recent, ...]:
    """What was asked for in the time that counts, the greatest first, now that `asked` follows `before`.

    A number stands for all smaller ones before it. Where there are too many, the last two are taken for the greater.
    """
    kept = [each for each in recent if each.until > now - window and each.replicas > asked]
    if before > asked:
        kept = [*(each for each in kept if each.replicas > before), Recent(before, now)]
    if len(kept) > MOST_RECENT:
        kept = [*kept[:-2], Recent(kept[-2].replicas, kept[-1].until)]
    return tuple(kept)


def scaled(desired: int, asked: int, recent: Sequence[Recent], since: float, now: float) -> int:
    """How many pods are to be there: more in steps, and fewer once nothing that counts has asked for more.

    since: when the number changed last.
    """
    if asked > desired:
        return min(asked, STEP * max(desired, 1)) if now - since >= STEP_SECONDS else desired
    return min(desired, max((asked, *(each.replicas for each in recent))))


def next_look(desired: int, asked: int, recent: Sequence[Recent], since: float, window: float) -> float | None:
    """When the number may change next with nobody saying anything new."""
    if asked > desired:
        return since + STEP_SECONDS
    return min((each.until + window for each in recent), default=None) if asked < desired else None
