"""What the run takes over of its best trial, and whether its trials can be compared with those of before."""

from __future__ import annotations

from headway_api.training import Training
from headway_trainer.data import DataInfo
from headway_trainer.data.prepared import CHILDREN, prepared_folds
from headway_trainer.errors import UserError
from headway_trainer.run import Run
from headway_trainer.stages import own_trials
from headway_trainer.stages.trial_folds import keep_folds
from headway_trainer.stages.trial_specs import scope_of, spec_of
from headway_trainer.training.checkpoints.store import Checkpoints
from headway_trainer.training.checkpoints.take_over import take_over
from headway_trainer.tuning.record import read_study_record, write_study_record
from headway_trainer.tuning.trial import Trial


def refuse_other_rows(run: Run, info: DataInfo | None) -> None:
    """Raise UserError where the trials so far have learnt from other rows: values of the two cannot be compared.

    A search that goes on after its end prepares its rows anew, and the source may have changed since.
    """
    if info is None:
        return
    record = read_study_record(run.store)
    if record.content_hash is None:
        run.fence()
        write_study_record(run.store, record.model_copy(update={"content_hash": info.content_hash}))
    elif record.content_hash != info.content_hash:
        raise UserError(
            "data.source holds other rows than the trials so far have learnt from, so further ones could not be "
            f"compared with them: put the source back, or begin again with {run.begin_anew}"
        )


def take_over_best(run: Run, best: Trial) -> None:
    """Let what the best trial has left be the run's own; or its folds, and its model a new one.

    Of a search that goes on after its end it may be that already, and the trial's own folder is gone.
    """
    if run.spec.has_folds:
        keep_folds(run, scope_of(best.number), len(prepared_folds(run.store)))
        return
    record, own = read_study_record(run.store), own_trials.is_own(run.spec)
    there = own_trials.has_taken_over(run) if own else run.checkpoints.newest().manifest is not None
    if record.taken_over == best.number and there:
        return
    folder = run.store.child(CHILDREN, scope_of(best.number))
    run.fence()
    if record.taken_over is not None or record.retraining is not None:
        write_study_record(run.store, record.model_copy(update={"taken_over": None, "retraining": None}))
    if own:
        own_trials.take_over(folder, run)
    else:
        checkpoint = (spec_of(run, best.parameters).training or Training()).checkpoint
        # That of the best one before may have more steps, and would pass for the newest.
        Checkpoints(run.store, run.file.attempt).clear_after(None)
        trial = Checkpoints(folder, run.file.attempt)
        take_over(trial, run.store, run.file.attempt, checkpoint.metric, checkpoint.better)
    write_study_record(run.store, record.model_copy(update={"taken_over": best.number, "retraining": None}))
