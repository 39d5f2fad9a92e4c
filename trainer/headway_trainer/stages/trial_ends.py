"""How a trial has ended, as its training, or what is left of it, tells."""

from __future__ import annotations

import math

from pydantic import ValidationError

from headway_api.metrics import Better
from headway_api.training import Training
from headway_trainer.errors import NotFound
from headway_trainer.report.curves import curve_of
from headway_trainer.run import Run
from headway_trainer.training.checkpoints.shared_state import STATE_FILE, SharedState
from headway_trainer.training.checkpoints.store import Checkpoints, Damaged, Manifest
from headway_trainer.training.link import Compared, TrainEnd
from headway_trainer.tuning.events import Ended, Point
from headway_trainer.tuning.trial import Trial


def of_end(trial: Trial, metric: str, end: TrainEnd) -> Ended:
    """Of one that was trained as far as it was to be. metric: what trials are compared by."""
    value = value_of(end, metric)
    curve = curve_of(end.history, metric)
    ended = Ended(trial=trial.number, repeat=trial.repeat, state="failed", epochs=end.epochs_run, curve=curve)
    if value is None:
        message = f"{metric} was no finite number after any epoch"
        return ended.model_copy(update={"cause": "NotANumber", "message": message})
    state = "stopped" if end.pruned else "completed"
    return ended.model_copy(update={"state": state, "value": value, "best_epoch": _best_epoch(end)})


def value_of(end: TrainEnd, metric: str) -> float | None:
    """What a finished training came to. metric: what it is compared by, as `part/name`; none for no finite number."""
    if end.kept is not None:
        value = end.kept.value
    else:
        value = end.metrics.get("validation", {}).get(metric.removeprefix("validation/"))
    return value if value is not None and math.isfinite(value) else None


def _best_epoch(end: TrainEnd) -> int | None:
    """The epoch, counted from 1, that ended with the model that was kept; none where there are no epochs."""
    if end.kept is None:
        return None
    # The history of very many epochs is thinned; all of them have as many steps.
    return end.kept.epoch or (end.kept.step * end.epochs_run // end.step if end.step else None)


def _epoch_of(manifest: Manifest) -> int | None:
    """The epoch, counted from 1, that ended with the best model in a checkpoint; none before the first has ended."""
    if not manifest.epoch:
        return None
    return manifest.candidate.step * manifest.epoch // (manifest.step - manifest.batch)


def of_reports(trial: Trial, compared: Compared, end: TrainEnd) -> Ended:
    """Of a training function of the user's own, by what it has reported."""
    curve = sorted(compared.values.items())
    finite = [value for _, value in curve if value is not None]
    ended = Ended(trial=trial.number, repeat=trial.repeat, state="failed", curve=curve)
    ended = ended.model_copy(update={"epochs": max(compared.values, default=0)})
    if not finite and not end.finished:
        return ended.model_copy(update={"state": "stopped"})
    if not finite:
        message = f"training.entrypoint never reported {compared.metric} as a finite number"
        return ended.model_copy(update={"cause": "NotANumber", "message": message})
    value = min(finite) if compared.better == "min" else max(finite)
    completed = end.finished and not end.pruned
    return ended.model_copy(update={"state": "completed" if completed else "stopped", "value": value})


def of_checkpoints(trial: Trial, metric: str, better: Better, checkpoints: Checkpoints) -> Ended:
    """Of one that was stopped on its way, as its last checkpoint tells of it. Raises StorageError."""
    saved = checkpoints.by_merit(metric, better)
    if not saved:
        return Ended(trial=trial.number, repeat=trial.repeat, state="stopped")
    newest = max(saved, key=lambda one: one.step)
    value = saved[0].candidate.metrics.get(metric)
    return Ended(
        trial=trial.number,
        repeat=trial.repeat,
        state="stopped",
        value=value,
        epochs=max(one.epoch for one in saved),
        best_epoch=None if value is None else _epoch_of(saved[0]),
        curve=_curve(checkpoints, newest, metric),
    )


def _curve(checkpoints: Checkpoints, newest: Manifest, metric: str) -> list[Point]:
    try:
        return curve_of(SharedState.model_validate_json(checkpoints.read(newest, STATE_FILE)).history, metric)
    except (NotFound, Damaged, ValidationError):
        return []  # what it has reported is known all the same


def waits(end: TrainEnd, child: Run) -> bool:
    """Whether a trial of a population has come to the end of its generation, and not to its own."""
    until = child.compared.until if child.compared is not None else None
    epochs = (child.spec.training or Training()).epochs
    return until is not None and until <= end.epochs_run < epochs and not end.pruned


def newest_value(end: TrainEnd, metric: str) -> float | None:
    """The metric after the last epoch; none where it was no finite number."""
    part, _, name = metric.partition("/")
    last = end.history[-1]
    return (last.train if part == "train" else last.validation).get(name)


def described(event: Ended) -> str:
    """In a few words."""
    value = "" if event.value is None else f", value {event.value:.6g}"
    if event.metrics:
        value = "".join(f", {name} {one:.6g}" for name, one in event.metrics.items())
    return f"{event.state}{value}, {event.epochs} epochs{f': {event.message}' if event.message else ''}"
