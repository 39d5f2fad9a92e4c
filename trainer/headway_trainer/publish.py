"""What a finished run leaves in its folder: the model with what is needed to build it again, result.json, report.md."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform

from headway_api import status
from headway_api.base import StatusSection
from headway_api.model import Model
from headway_trainer.data.info import DataInfo
from headway_trainer.data.preparation import forget
from headway_trainer.report.model import Artifact, Environment, RunResult
from headway_trainer.report.write import CONFUSION_PLOT, LOSS_PLOT, REPORT_FILE, write_report
from headway_trainer.run_record import RECORD_FILE
from headway_trainer.storage import FileDigest, Store
from headway_trainer.training.checkpoints.store import MODEL_FILE

RESULT_FILE = "result.json"
MODEL_INFO_FILE = "model.json"
PROGRESS_FILE = "progress.json"
RESULT_NAMES = (LOSS_PLOT, CONFUSION_PLOT, REPORT_FILE, MODEL_FILE, MODEL_INFO_FILE, RESULT_FILE)
"""Files that a finished run may leave, relative to its folder."""


class ModelInfo(StatusSection):
    """`model.json`: with the weights beside it, all that is needed to build the model again and to feed it."""

    version: int = 1
    """The version of this format."""
    weights: str = MODEL_FILE
    """The weights, as safetensors, relative to this file."""
    model: Model | None = None
    """`spec.model`; none for a training function that brings its own."""
    data: DataInfo | None = None
    """Input shape, classes, encoding and scaling of the data it was trained on."""


def publish_model(store: Store, weights: FileDigest | None, info: ModelInfo) -> list[Artifact]:
    """Write model.json beside the weights. Raises StorageError.

    weights: what was copied there from a checkpoint; none for what a user's own training function saved, if it saved
    any.
    """
    if weights is not None:
        model = Artifact(name="model", path=MODEL_FILE, sha256=weights.sha256, size_bytes=weights.size_bytes)
    elif store.is_file(MODEL_FILE):
        model = Artifact(
            name="model", path=MODEL_FILE, sha256=store.sha256(MODEL_FILE), size_bytes=store.size(MODEL_FILE)
        )
    else:
        return []
    return [model, _write(store, "model-info", MODEL_INFO_FILE, info.model_dump_json(indent=2).encode())]


def publish_result(store: Store, result: RunResult) -> tuple[RunResult, Artifact]:
    """Write report.md, its plots, and last result.json, which names all files. Raises StorageError."""
    artifacts = [*result.artifacts, *write_report(store, result)]
    result = result.model_copy(update={"artifacts": artifacts})
    data = result.model_dump_json(indent=2).encode()
    return result, _write(store, "result", RESULT_FILE, data)


def environment(commit: str | None) -> Environment:
    """The versions of what runs here."""
    return Environment(
        python=platform.python_version(),
        torch=importlib.metadata.version("torch"),
        ray=importlib.metadata.version("ray"),
        headway=importlib.metadata.version("headway"),
        code_commit=commit,
    )


def to_status(store: Store, result: RunResult, own: Artifact) -> status.Result:
    """The result as a job's status names it: scalars, and the files that people look for first."""
    metrics = {
        (name if split == "reported" else f"{split}/{name}"): f"{value:.6g}"
        for split, values in (
            ("test", result.metrics.test),
            ("validation", result.metrics.validation),
            ("train", result.metrics.train),
            ("reported", result.metrics.reported),
        )
        for name, value in values.items()
        if value is not None
    }
    named = [own, *(one for one in result.artifacts if one.path in {MODEL_FILE, REPORT_FILE})]
    return status.Result(
        metrics=metrics,
        artifacts=[
            status.Artifact(
                name=one.name,
                uri=store.child(one.path).uri,
                sha256=one.sha256,
                size_bytes=one.size_bytes,
            )
            for one in named
        ],
    )


def tidy(store: Store) -> None:
    """Delete what only an unfinished run needs. Raises StorageError."""
    forget(store)
    for path in (PROGRESS_FILE, RECORD_FILE):
        store.delete(path)


def _write(store: Store, name: str, path: str, data: bytes) -> Artifact:
    store.write(path, data)
    return Artifact(name=name, path=path, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))
