"""What a finished run leaves in its folder: the model with what is needed to build it again, result.json, report.md."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import platform

from headway_api import signatures, status
from headway_api.bundle import MODEL_INFO_FILE, ONNX_FILE, FileDigest
from headway_api.signatures import SIGNATURE_FILE
from headway_api.training_rows import REFERENCE_FILE, Reference, Values
from headway_trainer.data.prepared import CHILDREN, forget
from headway_trainer.data.vocabulary import VOCABULARY_FILE
from headway_trainer.errors import StorageError
from headway_trainer.export.record import Export, ModelInfo
from headway_trainer.kept_results import FOLDER
from headway_trainer.report.model import Artifact, CrossValidation, Environment, RunResult
from headway_trainer.report.spent import TIME_FILE
from headway_trainer.report.trial_records import TRIALS_FILE
from headway_trainer.report.write import CONFUSION_PLOT, LOSS_PLOT, REPORT_FILE, TUNING_PLOTS, write_report
from headway_trainer.run_record import RECORD_FILE
from headway_trainer.storage import CHUNK, Store
from headway_trainer.training.checkpoints.store import MODEL_FILE

RESULT_FILE = "result.json"
PROGRESS_FILE = "progress.json"
RESULT_NAMES = (
    LOSS_PLOT,
    CONFUSION_PLOT,
    *TUNING_PLOTS,
    TRIALS_FILE,
    REPORT_FILE,
    MODEL_FILE,
    ONNX_FILE,
    REFERENCE_FILE,
    VOCABULARY_FILE,
    SIGNATURE_FILE,
    MODEL_INFO_FILE,
    RESULT_FILE,
)
"""Files that a finished run may leave, relative to its folder."""
_PACKAGES = (
    "headway",
    "numpy",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "pyarrow",
    "ray",
    "safetensors",
    "scikit-learn",
    "torch",
)
_OF_MODELS = {"xgboost": ("xgboost", "xgboost-cpu")}
"""What else a model is made with: one of these packages."""


def publish_model(
    store: Store,
    weights: FileDigest | None,
    export: Export | None,
    info: ModelInfo,
    key: bytes | None = None,
    *,
    predicted: Values | None = None,
) -> list[Artifact]:
    """Write model.json and, beside it, the exported model and what the training data looked like. Raises StorageError.

    weights: what was copied there from a checkpoint; none where that is not asked for, for what a user's own training
    function saved, if it saved any, and for what scikit-learn or XGBoost fitted, which is in model.onnx alone. info:
    all that model.json says but for these files. key: what all of it is signed with, in PEM, if it is. predicted: what
    the model says of test rows, where that was counted.
    """
    files = {"weights": weights or _saved(store)}
    if export is not None and export.file is not None:
        files["onnx"] = _copy(store, export.file.name, ONNX_FILE, export.file.sha256)
    if not any(files.values()):
        return []
    if store.is_file(f"data/{REFERENCE_FILE}"):
        files["reference"] = _reference(store, predicted)
    if store.is_file(f"data/{VOCABULARY_FILE}"):
        files["vocabulary"] = _copy(store, f"data/{VOCABULARY_FILE}", VOCABULARY_FILE)
    kept = {name: file for name, file in files.items() if file is not None}
    whole = info.model_copy(update={"files": kept})
    names = {"weights": "model"}
    artifacts = [
        Artifact(name=names.get(name, name), path=file.name, sha256=file.sha256, size_bytes=file.size_bytes)
        for name, file in kept.items()
    ]
    told = whole.model_dump_json(indent=2).encode()
    if key is not None:
        # Before model.json: whoever finds that finds its signature, too. One of an earlier attempt is replaced.
        made = signatures.sign(signatures.statement(told, kept.values()), key)
        artifacts.append(_write(store, "signature", SIGNATURE_FILE, made))
    return [*artifacts, _write(store, "model-info", MODEL_INFO_FILE, told)]


def bundle_digest(artifacts: list[Artifact]) -> str | None:
    """The digest by which a ModelDeployment names what was published: that of model.json, where there is a model.onnx,
    without which nothing can be served."""
    digests = {one.name: one.sha256 for one in artifacts}
    return f"sha256:{digests['model-info']}" if "onnx" in digests else None


def _saved(store: Store) -> FileDigest | None:
    if not store.is_file(MODEL_FILE):
        return None
    return FileDigest(name=MODEL_FILE, sha256=store.sha256(MODEL_FILE), size_bytes=store.size(MODEL_FILE))


def _reference(store: Store, predicted: Values | None) -> FileDigest:
    if predicted is None:
        return _copy(store, f"data/{REFERENCE_FILE}", REFERENCE_FILE)
    told = Reference.model_validate_json(store.read(f"data/{REFERENCE_FILE}"))
    whole = told.model_copy(update={"predictions": [predicted]})
    return store.write_described(REFERENCE_FILE, whole.model_dump_json().encode())


def _copy(store: Store, source: str, name: str, sha256: str | None = None) -> FileDigest:
    """Copy a file that the run keeps in data/ to its place; never in memory as a whole.

    Raises StorageError where it is not what was written.
    """
    digest, size = hashlib.sha256(), 0
    with store.open_input(source) as stream, store.open_output(name) as copy:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
            copy.write(chunk)
    if sha256 is not None and digest.hexdigest() != sha256:
        raise StorageError(f"{store.uri}: {source} is not what was written there")
    return FileDigest(name=name, sha256=digest.hexdigest(), size_bytes=size)


def publish_result(store: Store, result: RunResult) -> tuple[RunResult, Artifact]:
    """Write report.md, its plots, and last result.json, which names all files. Raises StorageError."""
    artifacts = [*result.artifacts, *_trials(store, result), *write_report(store, result)]
    result = result.model_copy(update={"artifacts": artifacts})
    data = result.model_dump_json(indent=2).encode()
    return result, _write(store, "result", RESULT_FILE, data)


def _trials(store: Store, result: RunResult) -> list[Artifact]:
    """The list of trials, which the search has left."""
    if result.tuning is None or not store.is_file(TRIALS_FILE):
        return []
    sha256, size = store.sha256(TRIALS_FILE), store.size(TRIALS_FILE)
    return [Artifact(name="trials", path=TRIALS_FILE, sha256=sha256, size_bytes=size)]


def packages(model: str | None = None) -> dict[str, str]:
    """The versions of what a model is made with here, Python's among them. model: `model.name`."""
    found = {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in _PACKAGES}
    for name in _OF_MODELS.get(model or "", ()):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


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
    """The result as a job's status names it: scalars, those that say most first, and the files that people look for
    first. What is too long for an Outcome loses the scalars at the end."""
    folds = result.cross_validation or CrossValidation(folds=[])
    metrics = {
        (name if split == "reported" else f"{split}/{name}"): f"{value:.6g}"
        for split, values in (
            ("test", result.metrics.test),
            ("folds", folds.mean),
            ("folds", {f"{name}Std": value for name, value in folds.standard_deviation.items()}),
            ("validation", result.metrics.validation),
            ("train", result.metrics.train),
            ("reported", result.metrics.reported),
        )
        for name, value in values.items()
        if value is not None
    }
    named = [own, *(one for one in result.artifacts if one.path in {MODEL_FILE, ONNX_FILE, REPORT_FILE})]
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
    """Delete what only an unfinished run needs. Raises StorageError.

    The log of trials stays: with it the search goes on where `tuning.trials` is raised later.
    """
    forget(store)
    for path in (PROGRESS_FILE, TIME_FILE, RECORD_FILE, FOLDER, CHILDREN):
        store.delete(path)


def _write(store: Store, name: str, path: str, data: bytes) -> Artifact:
    store.write(path, data)
    return Artifact(name=name, path=path, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))
