"""How training goes, in the driver's log: a line at each pass and at least every LONGEST_SECONDS, never more often than
every SHORTEST_SECONDS. So nobody takes a log that stands still for training that does."""

from __future__ import annotations

import time
from collections.abc import Callable

from headway_trainer.progress import eta_seconds, shown
from headway_trainer.training.link import TrainProgress

LONGEST_SECONDS = 60.0
SHORTEST_SECONDS = 10.0
_METRICS = 6
"""So many metrics are in a line."""
_MINUTE, _HOUR = 60, 3600


class Rhythm:
    """When a line is due."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._last: float | None = None
        self._section: object = None

    def due(self, section: object) -> bool:
        """Whether to say a line now. section: the pass; a change of it is worth a line."""
        now = self._clock()
        waited = now - (self._began if self._last is None else self._last)
        if section != self._section and (self._last is None or waited >= SHORTEST_SECONDS):
            self._section, self._last = section, now
            return True
        if waited >= LONGEST_SECONDS:
            self._last = now
            return True
        return False


def describe(progress: TrainProgress | None) -> str:
    """Progress in a line."""
    if progress is None:
        return "the workers have not made a step yet"
    if progress.stage == "Evaluating":
        return f"evaluating the model, after step {progress.step}"
    parts = []
    if progress.epoch:
        parts.append(f"epoch {progress.epoch}" + (f" of {progress.epochs}" if progress.epochs else ""))
    if not progress.counts_reports:
        parts.append(f"step {progress.step}")
    if progress.planned:
        parts.append(f"{100 * progress.done // progress.planned} %")
    parts += [f"{name} {shown(value)}" for name, value in list(progress.metrics.items())[:_METRICS]]
    if progress.samples_per_second is not None:
        parts.append(f"{progress.samples_per_second:.0f} rows/s")
    if (seconds := eta_seconds(progress)) is not None:
        parts.append(f"about {_duration(seconds)} left")
    return ", ".join(parts)


def _duration(seconds: int) -> str:
    if seconds < 2 * _MINUTE:
        return f"{seconds} s"
    return f"{seconds // _MINUTE} min" if seconds < 2 * _HOUR else f"{seconds / _HOUR:.1f} h"
