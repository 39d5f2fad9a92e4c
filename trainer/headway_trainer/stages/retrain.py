"""`tuning.final: retrain`: what is trained once the best parameters are known, on the rows that chose them, too.

Decided in docs/decisions/0094. The rows of the run itself are then those of the training and the validation part; its
trials have rows of their own (`data.prepared.STUDY_FOLDER`).
"""

from __future__ import annotations

from headway_api import wire
from headway_api.job import TrainingJobSpec
from headway_api.training import Training
from headway_api.tuning import Tuning
from headway_trainer.data import DataInfo
from headway_trainer.data.prepared import STUDY_FOLDER, prepared_study
from headway_trainer.kept_results import digest_of
from headway_trainer.registry import estimator_name
from headway_trainer.report.tuning_model import Retrained
from headway_trainer.run import Run
from headway_trainer.training.checkpoints.store import Checkpoints
from headway_trainer.tuning.record import read_study_record, write_study_record
from headway_trainer.tuning.trial import Trial

NOTHING_JUDGES = (
    "There is no test part, and the model was trained on the validation part, too (tuning.final: retrain): nothing "
    "tells how good it is on new rows."
)


def rows_of_trials(tuning: Tuning, run: Run, info: DataInfo) -> tuple[DataInfo, str]:
    """What is known of the rows that trials learn from, and the folder that holds them. info: of the run's own rows.

    Raises StorageError, and ValueError where the rows of trials were not prepared.
    """
    if tuning.final == "best":
        return info, run.file.storage_uri
    study = prepared_study(run.store)
    if study is None:
        raise ValueError("the rows of the trials were not prepared")
    return study, wire.below(run.file.storage_uri, STUDY_FOLDER)


def retrained(spec: TrainingJobSpec, best: Trial, info: DataInfo) -> Retrained:
    """How the run's own model is trained. spec: of the best trial. info: of the run's own rows."""
    epochs = None if estimator_name(spec.model) is not None else best.best_epoch or best.epochs
    return Retrained(rows=info.rows["train"], epochs=epochs)


def spec_of_retraining(spec: TrainingJobSpec, epochs: int | None) -> TrainingJobSpec:
    """The spec of the best trial without what looks at the validation part, of which no rows are left.

    epochs: for how many it is trained; none for a model without epochs.
    """
    if epochs is None:
        return spec
    training = spec.training or Training()
    checkpoint = training.checkpoint.model_copy(update={"metric": "train/loss", "mode": None})
    changed = {"epochs": epochs, "early_stopping": None, "checkpoint": checkpoint}
    return spec.model_copy(update={"training": training.model_copy(update=changed)})


def drop_other_checkpoints(run: Run, spec: TrainingJobSpec, info: DataInfo) -> None:
    """Delete the run's own checkpoints where they are of another training: of a search that goes on after its end, the
    one with the best parameters before. spec: of the training that comes. Raises StorageError.
    """
    digest = digest_of(spec.model or "", spec.training or Training(), spec.seed, info.digest, info.content_hash)
    record = read_study_record(run.store)
    if record.retraining == digest:
        return
    run.fence()
    Checkpoints(run.store, run.file.attempt).clear_after(None)
    write_study_record(run.store, record.model_copy(update={"retraining": digest, "taken_over": None}))
