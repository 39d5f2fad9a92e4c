"""Trials that a user's own `ray.tune.Tuner` runs (`tuning.entrypoint`): their list, and what the result says of them.

How they are run is decided in docs/decisions/0093.
"""

from __future__ import annotations

from headway_api.tuning import Tuning
from headway_trainer.kept_results import digest_of, keep, recall
from headway_trainer.report.trial_records import write_trials
from headway_trainer.report.tuning_model import TuningResult
from headway_trainer.run import Run
from headway_trainer.run_record import module_digests
from headway_trainer.stages.trial_tracking import tell_own
from headway_trainer.training.checkpoints.store import RAY_FOLDER
from headway_trainer.training.link import TrainEnd
from headway_trainer.tuning.own_trials import MOST_REPORTS

NAME = "tune"


def run_own_tuner(spec: Tuning, run: Run) -> TuningResult:
    """Run the user's function, or take what an attempt before came to. Raises as `run_tuner`, and StorageError."""
    digest = digest_of(spec, module_digests(run.around.code))
    result = recall(run.store, NAME, digest, TuningResult)
    if result is not None:
        return result
    # A run without a Tuner of the user's is not to wait for the import of Ray.
    from headway_trainer.ray.tuner_stage import AllFailedError, run_tuner

    run.reporter.stage("Training")
    try:
        trials = run.on_workers(
            lambda stage: run_tuner(
                stage,
                run.around.head,
                run.begin_anew,
                lambda trials: run.reporter.tuning(trials.status()),
                lambda told: tell_own(run, told),
            )
        )
    except AllFailedError:
        # Ray Tune would restore them as failed: whoever has mended the code is to find them run again.
        run.fence()
        run.store.delete(RAY_FOLDER)
        raise
    if trials.left_out:
        run.reporter.warn(f"trials.jsonl has {MOST_REPORTS:,} reports of trials, and {trials.left_out:,} are left out.")
    result = trials.result()
    run.fence()
    write_trials(run.store, trials.records())
    keep(run.store, NAME, digest, result)
    return result


def end_of(result: TuningResult) -> TrainEnd:
    """What stands in the place of a training: the best trial's last report."""
    return TrainEnd(finished=True, reports=result.epochs, metrics={"reported": dict(result.reported)})
