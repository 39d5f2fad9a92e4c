"""What several metrics, and the size, are of the model that is kept of a trial."""

from __future__ import annotations

from collections.abc import Mapping

from headway_api.metrics import Better
from headway_api.objectives import MODEL_BYTES
from headway_trainer.errors import StorageError
from headway_trainer.training.checkpoints.store import BODY_FILE, Checkpoints, Manifest
from headway_trainer.training.link import TrainEnd
from headway_trainer.tuning.events import Ended
from headway_trainer.tuning.objectives import Goals


def with_values(ended: Ended, goals: Goals, values: Mapping[str, float]) -> Ended:
    """The end of a trial with what it is compared by: failed, where it has no value of one of these.

    values: of the model that is kept of it.
    """
    if ended.value is None or not goals.named:
        return ended
    missing = goals.missing(values)
    if missing is not None:
        message = f"{missing} was no finite number after the epoch that is kept"
        failed = {"state": "failed", "value": None, "best_epoch": None, "cause": "NotANumber", "message": message}
        return ended.model_copy(update=failed)
    named = {name: values[name] for name in goals.named}
    return ended.model_copy(update={"value": named[goals.first], "metrics": named})


def values_of(end: TrainEnd | None, metric: str, better: Better, checkpoints: Checkpoints) -> dict[str, float]:
    """The metrics of the validation part of the model that is kept of a trial, and its size, as `part/name`.

    end: as it was judged, of an estimator; none for one that was stopped. metric and better: what chose the checkpoint.
    Raises StorageError, also where there is no checkpoint any more.
    """
    saved = checkpoints.by_merit(metric, better)
    if not saved:
        raise StorageError("no checkpoint of a trial that has ended can be read any more: its model has no size")
    judged = end.metrics.get("validation", {}) if end is not None else {}
    told = {f"validation/{name}": value for name, value in judged.items() if value is not None}
    return {**told, **saved[0].candidate.metrics, MODEL_BYTES: float(_model_bytes(saved[0]))}


def _model_bytes(manifest: Manifest) -> int:
    """The size of the file with the weights that are kept; of an estimator, of the graph."""
    sizes = {file.name: file.size_bytes for file in manifest.files}
    return sizes.get(BODY_FILE) or sizes[manifest.candidate.file]
