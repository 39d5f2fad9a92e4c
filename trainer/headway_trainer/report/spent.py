"""Where the time of a run went, as its drivers see it: by the definitions of docs/explanation/clocks.md. Pure.

A driver sees its own attempt and, from what the ones before have left, theirs. It does not see what was between them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field

from headway_api.base import StatusSection
from headway_trainer.report.model import TimeSpent
from headway_trainer.training.link import TrainProgress

TIME_FILE = "time.json"
State = Literal["preparing", "productive", "redone", "checkpointing", "recovering", "evaluating", "publishing"]


_MOST_SECONDS = 1e12
"""Thirty thousand years: no run has counted more."""
_Seconds = Annotated[float, Field(ge=0, le=_MOST_SECONDS, allow_inf_nan=False)]
_Count = Annotated[int, Field(ge=0, lt=2**63)]


class Kept(StatusSection):
    """What the drivers so far have counted, as it is on the storage, where a job's own code may write, too."""

    attempt: _Count
    """The newest one that has counted."""
    drivers: _Count = 1
    """How many attempts have."""
    until: Annotated[float, Field(ge=-_MOST_SECONDS, le=_MOST_SECONDS, allow_inf_nan=False)]
    """Until when: seconds since 1970, by the clock of the newest one's node."""
    seconds: Annotated[dict[Annotated[str, Field(pattern=r"^[A-Za-z]{1,40}$")], _Seconds], Field(max_length=20)] = (
        Field(default_factory=dict)
    )
    between: _Seconds = 0.0
    """Seconds between attempts."""
    in_steps: bool = False
    """Whether it is known what was done between steps, as the built-in loop tells it."""
    validating: _Seconds = 0.0
    waiting: _Seconds = 0.0
    step: _Count = 0
    furthest: _Count = 0
    again: _Count = 0


@dataclass
class Spent:
    """Counts the seconds of an attempt on top of those before. Times are seconds that only go forward."""

    kept: Kept
    at: float
    """Up to when all is given out."""
    doing: Literal["preparing", "training", "evaluating", "publishing"] = "preparing"
    _told: TrainProgress = field(default_factory=TrainProgress)
    _counted: TrainProgress = field(default_factory=TrainProgress)
    """What was told when all was given out."""
    _validating: float = 0.0
    """Seconds since `at` that went into a validation pass."""
    _seen: float = 0.0
    """When anything was told last."""

    @classmethod
    def begin(cls, before: Kept | None, attempt: int, *, at: float, wall: float) -> Spent:
        """Begin an attempt. at: the time now. wall: the same in seconds since 1970."""
        if before is None:
            return cls(Kept(attempt=attempt, until=wall), at, _seen=at)
        gap = max(0.0, wall - before.until)
        changed = {"attempt": attempt, "drivers": before.drivers + 1, "between": before.between + gap, "until": wall}
        return cls(before.model_copy(update=changed), at, _seen=at)

    def hear(self, progress: TrainProgress, now: float) -> None:
        """Take in what training tells."""
        before, kept, self._told = self._told, self.kept, progress
        if self.doing != "training":
            self._give(self.doing, now)
        elif progress.stage != "Training":
            self._give_training(before, now)
        elif progress.counts_reports:
            # A function that counts no steps: what it reports is all that is known.
            self._give_training(progress, now)
        elif progress.step < kept.step or _is_anew(before, progress):
            self._give("recovering", now)
        elif progress.step > kept.step:
            again = max(0, min(progress.step, kept.furthest) - kept.step)
            self._give_training(progress, now, redone=again / (progress.step - kept.step))
        elif progress.judged > before.judged:
            self._validating += now - self._seen
        if progress.stage == "Training" and not progress.counts_reports:
            self._enter(progress.step)
        if self.at == now:
            self._counted = progress
        self._seen = now
        self.doing = "training" if progress.stage == "Training" else "evaluating"

    def publishes(self, now: float) -> None:
        """Take in that training is over, and results are written."""
        if self.doing == "training":
            self._give_training(self._told, now)
        else:
            self._give(self.doing, now)
        self.doing = "publishing"

    def ends(self, now: float) -> None:
        """Take in that the attempt ends without a result."""
        self._give("recovering" if self.doing == "training" else self.doing, now)

    def now(self, now: float, wall: float) -> Kept:
        """What is counted up to now: for the next attempt, to which training without a step is no use."""
        open_time = 0.0 if self.doing == "training" else max(0.0, now - self.at)
        seconds = dict(self.kept.seconds)
        if open_time:
            seconds[self.doing] = seconds.get(self.doing, 0.0) + open_time
        # What is not given out yet is none of the driver's, if it ends here.
        return self.kept.model_copy(update={"seconds": seconds, "until": wall - (now - self.at - open_time)})

    def _give_training(self, told: TrainProgress, now: float, *, redone: float = 0.0) -> None:
        """Give out what was training. told: what it said last. redone: the share of its steps that were done before."""
        left, kept, counted = now - self.at, self.kept, self._counted
        saving = min(left, max(0.0, _since(counted.checkpoint_seconds, told.checkpoint_seconds)))
        left -= saving
        waiting = min(left, max(0.0, _since(counted.data_seconds or 0.0, told.data_seconds or 0.0)))
        validating = min(left, self._validating)
        self._add("checkpointing", saving)
        self._add("redone", left * redone)
        self._add("productive", left * (1 - redone))
        changed = {
            "waiting": kept.waiting + waiting * (1 - redone),
            "validating": kept.validating + validating * (1 - redone),
        }
        self.kept = self.kept.model_copy(update=changed)
        self.at, self._validating = now, 0.0

    def _give(self, state: State, now: float) -> None:
        self._add(state, now - self.at)
        self.at, self._validating = now, 0.0

    def _add(self, state: str, seconds: float) -> None:
        if seconds > 0:
            self.kept = self.kept.model_copy(
                update={"seconds": self.kept.seconds | {state: self.kept.seconds.get(state, 0.0) + seconds}}
            )

    def _enter(self, step: int) -> None:
        kept = self.kept
        changed = {
            "step": step,
            "furthest": max(kept.furthest, step),
            "in_steps": kept.in_steps or self._told.data_seconds is not None,
            "again": kept.again + max(0, kept.step - step),
        }
        self.kept = kept.model_copy(update=changed)


def told(kept: Kept, attempt: int) -> TimeSpent:
    """As the report has it. attempt: the number of the one that has finished."""
    total = sum(kept.seconds.values())
    return TimeSpent(
        attempts=attempt,
        counted=kept.drivers,
        seconds={state: round(seconds, 3) for state, seconds in kept.seconds.items()},
        between_seconds=round(kept.between, 1),
        validating_seconds=round(kept.validating, 1) if kept.in_steps else None,
        waiting_for_rows_seconds=round(kept.waiting, 1) if kept.in_steps else None,
        goodput=round(kept.seconds.get("productive", 0.0) / total, 4) if total else None,
        steps_again=kept.again,
    )


def _is_anew(before: TrainProgress, now: TrainProgress) -> bool:
    """Whether a group of workers was started again in between: it counts from zero, from its checkpoint."""
    return (
        now.resumed_from_step != before.resumed_from_step
        or now.judged < before.judged
        or (now.data_seconds or 0.0) < (before.data_seconds or 0.0)
        or now.checkpoint_seconds < before.checkpoint_seconds
    )


def _since(before: float, now: float) -> float:
    """What was added to a count that a group of workers begins at zero."""
    return now - before if now >= before else now
