"""How far a run is that trains several models: its own, and its children's. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from headway_api.status import CheckpointStatus
from headway_trainer.training.link import TrainProgress


@dataclass
class Part:
    """One training of a run."""

    weight: int = 1
    """Its share of the work: the optimiser steps that are planned for it, about."""
    progress: TrainProgress | None = None
    """What it told last."""
    lost: int | None = None
    """Steps of the attempt before that it does again."""
    state: str = "waiting"
    """`waiting`, `running` or `done`."""
    count: int = 1
    """The trainings that it stands for."""
    lost_before: int | None = None
    """Those of them that it had done before it has waited."""
    waited: bool = False
    """Whether it has been trained in this attempt, has waited, and goes on."""

    def take(self, progress: TrainProgress, lost: int | None) -> None:
        """Take in what it tells. lost: steps that it does again since it has begun, or gone on after it has waited."""
        if self.waited and self.progress is not None:
            # What it went on from then is no step of the attempt before.
            progress = progress.model_copy(update={"resumed_from_step": self.progress.resumed_from_step})
            lost = self.lost_before if not lost else lost + (self.lost_before or 0)
        self.progress, self.lost, self.state = progress, lost, "running"

    def wait(self) -> None:
        """It is not trained for now."""
        self.state, self.waited, self.lost_before = "waiting", True, self.lost

    @property
    def share(self) -> float:
        """What is done of it, from 0 to 1."""
        if self.state == "done":
            return 1.0
        progress = self.progress
        return progress.done / progress.planned if progress is not None and progress.planned else 0.0


def merged(one: Part, other: Part) -> Part:
    """Two parts that are done, as one: of many children, as many parts would be looked through at each step."""
    told = [part.progress for part in (one, other) if part.progress is not None]
    lost = [part.lost for part in (one, other) if part.lost is not None]
    progress = TrainProgress(
        step=sum(each.step for each in told),
        checkpoint=_checkpoint(told),
        resumed_from_step=_count([each.resumed_from_step for each in told]),
    )
    return Part(one.weight + other.weight, progress, sum(lost) if lost else None, "done", one.count + other.count)


def together(parts: Mapping[str, Part], *, children: int | None = None) -> tuple[TrainProgress, int | None]:
    """The progress of all parts as one, and the steps that are done again.

    parts: by their scopes. children: how many there are to be; those that have not begun count as much as the others do
    on average. Steps are those of all parts together; so is the step of the newest checkpoint: as many steps are safe.
    Seconds of checkpoints are not told: while one part stands still for its own, others train.
    """
    told = [part.progress for part in parts.values() if part.progress is not None]
    running = {scope: one.progress for scope, one in parts.items() if one.state == "running" and one.progress}
    alone = running.get("") if len(running) == 1 else None
    metrics = {
        f"{scope}/{name}".lstrip("/"): value for scope, one in running.items() for name, value in one.metrics.items()
    }
    lost = [part.lost for part in parts.values() if part.lost is not None]
    planned = sum(part.weight for part in parts.values())
    begun = sum(part.count for scope, part in parts.items() if scope)
    if begun and children is not None:
        weight = sum(part.weight for scope, part in parts.items() if scope)
        planned += max(0, children - begun) * weight // begun
    whole = TrainProgress(
        stage="Evaluating" if alone is not None and alone.stage == "Evaluating" else "Training",
        epoch=alone.epoch if alone is not None else 0,
        epochs=alone.epochs if alone is not None else 0,
        step=sum(one.step for one in told),
        done=sum(int(part.weight * part.share) for part in parts.values()),
        planned=planned,
        samples_per_second=_sum([one.samples_per_second for one in running.values()]),
        steps_per_second=_sum([one.steps_per_second for one in running.values()]),
        metrics=metrics,
        not_finite=[f"{scope}/{name}".lstrip("/") for scope, one in running.items() for name in one.not_finite],
        checkpoint=_checkpoint(told),
        resumed_from_step=_count([one.resumed_from_step for one in told]),
        notes=[f"{scope}: {note}" if scope else note for scope, one in running.items() for note in one.notes],
    )
    return whole, sum(lost) if lost else None


def scope_told(parts: Mapping[str, Part], *, planned: int | None = None) -> str | None:
    """Which children are trained now, in words; none while that is the run's own model.

    planned: how many children there are to be, if not as many as there are parts.
    """
    children = {scope: part for scope, part in parts.items() if scope}
    running = [scope for scope, part in children.items() if part.state == "running"]
    if not running:
        return None
    done = sum(part.count for part in children.values() if part.state == "done")
    count = sum(part.count for part in children.values())
    return f"{', '.join(running)} ({done} of {max(count, planned or 0)} done)"


def _checkpoint(told: list[TrainProgress]) -> CheckpointStatus | None:
    found = [one.checkpoint for one in told if one.checkpoint is not None]
    if not found:
        return None
    newest = max(found, key=lambda one: one.time)
    return newest.model_copy(update={"step": sum(one.step for one in found)})


def _count(values: list[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _sum(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
