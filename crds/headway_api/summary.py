"""A TrainingJob's status in a few words, for the columns of `kubectl get`. It follows from the rest of the status."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway_api.base import StatusSection
from headway_api.status_words import Message, Word

if TYPE_CHECKING:
    from headway_api.status import TrainingJobStatus, TuningStatus


class Summary(StatusSection):
    """A status in a few words, for people: nothing reads it but `kubectl get`."""

    progress: Word | None = None
    """How far the job is: `38%`, or `step 7410` where the end is not known."""
    workers: Word | None = None
    """Workers that are ready, and how many should be: `3/4`; nothing for a job that has ended."""
    metric: Word | None = None
    """The metric that says most: `accuracy=0.98`."""
    trials: Word | None = None
    """Trials that have ended, of those that are planned: `12/20`."""
    best: Word | None = None
    """The best trial's value and its number: `0.9812 (7)`."""
    message: Message | None = None
    """The newest word of the conditions."""


_TELLING = ("accuracy", "f1", "mae", "mse", "loss")
_PARTS = ("test", "validation", "train")


def summarise(status: TrainingJobStatus, *, finished: bool) -> Summary:
    """The summary of a status; finished: whether the job has ended."""
    progress, workers = status.progress, status.workers
    far: str | None = None
    if status.phase == "Succeeded":
        far = "100%"
    elif progress is not None and progress.percent is not None:
        far = f"{progress.percent}%"
    elif progress is not None and progress.step is not None:
        far = f"step {progress.step}"
    told = status.result or progress
    telling = [condition for condition in reversed(status.conditions) if condition.message]
    newest = max(telling, key=lambda condition: condition.last_transition_time, default=None)
    return Summary(
        progress=far,
        workers=f"{workers.ready}/{workers.desired}" if workers and not finished else None,
        metric=_telling_metric(told.metrics) if told is not None else None,
        trials=_trials(status.tuning),
        best=_best(status.tuning),
        message=newest.message if newest else None,
    )


def _telling_metric(metrics: dict[str, str]) -> str | None:
    """The first of the test part's metrics in _TELLING, or the validation part's; else the first that there is."""
    wanted = [f"{part}/{name}" for part in _PARTS for name in _TELLING]
    found = next((name for name in wanted if name in metrics), None) or next(iter(sorted(metrics)), None)
    if found is None:
        return None
    return f"{found.removeprefix('test/')}={_short(metrics[found])}"


def _short(number: str) -> str:
    try:
        return f"{float(number):.4g}"
    except ValueError:
        return number


def _trials(tuning: TuningStatus | None) -> str | None:
    if tuning is None:
        return None
    return f"{tuning.ended}/{tuning.planned}" if tuning.planned is not None else str(tuning.ended)


def _best(tuning: TuningStatus | None) -> str | None:
    best = tuning.best if tuning is not None else None
    return f"{_short(best.value)} ({best.trial})" if best is not None else None
