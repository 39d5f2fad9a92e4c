"""What ends a search before its last trial: `tuning.budget`, `tuning.stopWhen`, and failures that repeat. Pure."""

from __future__ import annotations

from headway_api.tuning import Tuning
from headway_trainer.tuning.trial import Trial

_HOUR = 3600.0
FAILURES_IN_A_ROW = 5
"""Trials that fail one after another for the same cause before the job ends."""


class Limits:
    """Counts what the limits are about. A limit that was reached stays so."""

    def __init__(self, tuning: Tuning, metric: str) -> None:
        self._budget, self._stop, self._metric = tuning.budget, tuning.stop_when, metric
        self._sign = 1.0 if tuning.better(metric) == "min" else -1.0
        self._epochs = 0
        self._without_improvement = 0
        self._failures: list[Trial] = []
        self._reached: str | None = None

    @property
    def each_epoch(self) -> bool:
        """Whether they need to be told of each epoch as it ends."""
        return self._budget.epochs is not None or self._stop.value is not None

    def epochs_finished(self, count: int) -> None:
        """So many further epochs were finished."""
        self._epochs += count
        most = self._budget.epochs
        if most is not None and self._epochs >= most:
            self._reach(f"all trials together have taken {self._epochs} epochs, and budget.epochs is {most}")

    def value_seen(self, trial: int, value: float | None) -> None:
        """A trial has reached a value of the metric; none where it is no finite number."""
        wanted = self._stop.value
        if value is not None and wanted is not None and self._sign * value <= self._sign * wanted:
            self._reach(f"trial {trial} reached {self._metric} = {value:g}, and stopWhen.value is {wanted:g}")

    def ended(self, trial: Trial, *, improved: bool) -> None:
        """A trial has ended. improved: whether it is the best so far."""
        self._without_improvement = 0 if improved else self._without_improvement + 1
        most = self._stop.no_improvement_trials
        if most is not None and self._without_improvement >= most:
            self._reach(f"the last {most} trials were no better than the best before (stopWhen.noImprovementTrials)")
        same = trial.state == "failed" and (not self._failures or self._failures[-1].cause == trial.cause)
        self._failures = [*(self._failures if same else []), *([trial] if trial.state == "failed" else [])]

    @property
    def counts_gpus(self) -> bool:
        """Whether GPU time is limited."""
        return self._budget.gpu_hours is not None

    def reached(self, elapsed: float, gpu_seconds: float = 0.0) -> str | None:
        """Which limit is reached, in words.

        elapsed: seconds since the first trial began. gpu_seconds: those of all trials together.
        """
        most, hours = self._budget.seconds, self._budget.gpu_hours
        if self._reached is None and most is not None and elapsed >= most:
            return f"the trials have taken {elapsed:.0f} s, and budget.seconds is {most}"
        if self._reached is None and hours is not None and gpu_seconds >= hours * _HOUR:
            return (
                f"all trials together have taken {gpu_seconds / _HOUR:.4g} GPU hours, and budget.gpuHours is {hours:g}"
            )
        return self._reached

    @property
    def broken(self) -> str | None:
        """What fails again and again, in words."""
        if len(self._failures) < FAILURES_IN_A_ROW:
            return None
        last = self._failures[-1]
        return (
            f"the last {FAILURES_IN_A_ROW} trials that ended all failed with {last.cause or 'an error'}; "
            f"of trial {last.number}: {last.message or 'it left no message'}"
        )

    def _reach(self, sentence: str) -> None:
        self._reached = self._reached or sentence
