"""What would change if a job's spec became another one, and when each change counts, by the rules of its kind.

Pure. The rules are those of `crd.Kind`, of which the API server's are made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from headway_api.crd import TRAINING_JOB, Raised, unchangeable
from headway_api.job import TrainingJobSpec
from headway_api.problems import Path
from headway_api.understand import understand


class Absent:
    """There is no such field."""


ABSENT: Final = Absent()


class Effect(StrEnum):
    """When a change counts."""

    NOW = "applies now"
    NEXT_ATTEMPT = "next attempt"
    REFUSED = "refused: needs a new job"


@dataclass(frozen=True)
class Change:
    """A field that is another one."""

    path: Path
    """Its path, from `spec` on."""
    before: Any
    """The value, or ABSENT."""
    after: Any
    effect: Effect


def changes(job: Mapping[str, Any], spec: Mapping[str, Any]) -> list[Change]:
    """Every difference between a TrainingJob as the API server has it and a spec that is to take the place of its own.

    spec: judged already. Defaults are filled in on both sides, and lists are compared as a whole. Raises
    NotUnderstoodError where the job's spec is of a version that this one cannot read.
    """
    old, new = understand(TrainingJobSpec, job.get("spec"), ("spec",)), understand(TrainingJobSpec, spec, ("spec",))
    status = job.get("status")
    told: Mapping[str, Any] = status if isinstance(status, Mapping) else {}
    attempt, phase = told.get("attempt"), str(told.get("phase") or "")
    begun = isinstance(attempt, int) and attempt > 0
    return [
        Change(("spec", *path), before, after, _effect(path, before, after, new, phase) if begun else Effect.NOW)
        for path, before, after in _leaves(_written(old), _written(new), ())
    ]


def _written(spec: TrainingJobSpec) -> dict[str, Any]:
    return spec.model_dump(mode="json", by_alias=True, exclude_none=True, warnings=False)


def _leaves(old: Mapping[str, Any], new: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[tuple[Path, Any, Any]]:
    """The smallest parts that differ; a section that is on one side only is one part."""
    for name in [*old, *(name for name in new if name not in old)]:
        before, after = old.get(name, ABSENT), new.get(name, ABSENT)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from _leaves(before, after, (*path, name))
        elif type(before) is not type(after) or before != after:
            yield (*path, name), before, after


def _effect(path: Path, before: Any, after: Any, new: TrainingJobSpec, phase: str) -> Effect:
    """When a change of a job counts that has begun. path: below `spec`."""
    ways = {".".join(map(str, path[:length])) for length in range(1, len(path) + 1)}
    raised = next((each for each in TRAINING_JOB.raised if each.path in ways), None)
    if raised is not None:
        if not _is_raised(raised, before, after) or not raised.holds(new, phase):
            return Effect.REFUSED
    elif ways & unchangeable(TRAINING_JOB):
        return Effect.REFUSED
    return Effect.NEXT_ATTEMPT if ways & TRAINING_JOB.next_attempt else Effect.NOW


def _is_raised(raised: Raised, before: Any, after: Any) -> bool:
    first = raised.default if before is ABSENT else before
    last = raised.default if after is ABSENT else after
    return isinstance(first, int) and isinstance(last, int) and last >= first
