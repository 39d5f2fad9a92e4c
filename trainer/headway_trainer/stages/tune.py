"""Trials of the job with other values of some fields, each a child of the run; the best one's model becomes the run's.

How trials are run is decided in docs/decisions/0088. What is tried next, and what is stopped, is the study's to say.
Searchers and schedulers are imported where trials are run: a run without trials is not to wait for them.
"""

from __future__ import annotations

import math

from headway_api.job import TrainingJobSpec
from headway_api.training import Training
from headway_api.tuning import Tuning
from headway_trainer.data import DataInfo
from headway_trainer.errors import UserError
from headway_trainer.kept_results import digest_of, keep, recall
from headway_trainer.process_resources import processes_can_stay
from headway_trainer.report.curves import curves_of
from headway_trainer.report.trial_records import schedule_of, write_trials
from headway_trainer.report.trials import tuning_result
from headway_trainer.report.tuning import broken_told
from headway_trainer.report.tuning_model import TuningResult
from headway_trainer.run import Run
from headway_trainer.stages import own_trials, retrain
from headway_trainer.stages.own_tuner import run_own_tuner
from headway_trainer.stages.prepare import Prepare, prepare_rows
from headway_trainer.stages.stage import Results


class Tune:
    """Finds the values of `tuning.parameters` that the run goes on with."""

    name = "tune"

    def spec(self, job: TrainingJobSpec) -> Tuning | None:
        """What is tried; none without `tuning`."""
        return job.tuning

    def run(self, spec: Tuning, run: Run, before: Results) -> TuningResult:
        """Run the trials that no attempt before has run, and take over the model of the best one, if it is to be kept.

        From here on the run's spec is the best trial's; or that of a training with its parameters; or, after a Tuner of
        the user's own, as it was. Raises UserError where no trial has a value, and where the rows are others than those
        of the trials so far.
        """
        if spec.entrypoint is not None:
            return run_own_tuner(spec, run)
        info = before.get(Prepare)
        if info is None and not own_trials.is_own(run.spec):
            raise UserError("set data: trials have nothing to learn from")
        digest = digest_of(run.spec, *([info.digest, info.content_hash] if info is not None else []))
        result = recall(run.store, self.name, digest, TuningResult)
        if spec.final == "retrain" and info is not None:
            # The longest that it may take: how long it does is known when the trials have ended.
            training = run.spec.training or Training()
            run.reporter.expect_one("", training.epochs * math.ceil(info.rows["train"] / training.batch_size))
        if result is None:
            result = _searched(spec, run, info)
            keep(run.store, self.name, digest, result)
        elif spec.final == "retrain" or run.spec.has_folds:
            _tell_again(spec, run, info)
        _go_on(run, before, result, info)
        return result


def _searched(spec: Tuning, run: Run, info: DataInfo | None) -> TuningResult:
    """Run the trials, and take over what is to be kept of the best one. info: of the run's own rows; none without."""
    from headway_trainer.stages.best_trial import refuse_other_rows, take_over_best
    from headway_trainer.stages.trial_specs import spec_of
    from headway_trainer.stages.trials import Trials

    refuse_other_rows(run, info)
    search = Trials(spec, run, info)
    best = search.run()
    retrains = spec.final == "retrain" and info is not None
    if not retrains:
        take_over_best(run, best)
    with run.reporter.alive_meanwhile():
        records, shares = search.records(), search.importances()
    result = tuning_result(
        spec,
        search.metric,
        [one.result() for one in records],
        best=best.number,
        ended=search.ended,
        importances=shares,
        retrained=retrain.retrained(spec_of(run, best.parameters), best, info) if retrains and info else None,
        earlier=search.earlier(),
        takeovers=sum(len(one.lineage[1:]) for one in records),
        schedule=schedule_of(records, best.number),
        gpu_hours=search.gpu_hours,
        curves=curves_of(records, best.number),
    )
    run.fence()
    write_trials(run.store, records)
    return result


def _tell_again(spec: Tuning, run: Run, info: DataInfo | None) -> None:
    """Tell of the trials of an attempt before: their steps count, and training is still to come."""
    from headway_trainer.stages.trials import Trials

    Trials(spec, run, info).tell()


def _go_on(run: Run, before: Results, result: TuningResult, info: DataInfo | None) -> None:
    """Let the run go on with the spec of the best trial, or of a training with its parameters, and with its rows."""
    from headway_trainer.stages.trial_rows import rows_digest
    from headway_trainer.stages.trial_specs import spec_of

    if (broken := broken_told(result)) is not None:
        run.reporter.warn(broken)
    chosen = spec_of(run, next(one.parameters for one in result.trials if one.number == result.best))
    if info is None:
        _become(run, chosen, result)
        return
    if rows_digest(chosen) != rows_digest(run.spec):
        with run.reporter.alive_meanwhile():
            info = prepare_rows(run, chosen, run.store, retrain=result.retrained is not None)
        before.add(Prepare(), info)
    if result.retrained is not None:
        chosen = retrain.spec_of_retraining(chosen, result.retrained.epochs)
        if not info.rows["test"]:
            run.reporter.warn(retrain.NOTHING_JUDGES)
        retrain.drop_other_checkpoints(run, chosen, info)
    _become(run, chosen, result)


def _become(run: Run, chosen: TrainingJobSpec, result: TuningResult) -> None:
    """Go on with a spec in the processes of trials, if they can stay.

    What is trained once more has whole workers, also where trials shared them.
    """
    tuning = run.spec.tuning
    on_each = 1 if tuning is None else tuning.trials_per_worker
    if tuning is not None and on_each > 1 and (result.retrained is not None or run.spec.has_folds):
        if run.pool is not None:
            run.pool.close()  # its processes hold parts of workers
        run.pool = None
        on_each, chosen = 1, chosen.model_copy(update={"workers": tuning.workers_of_final(run.spec.workers)})
    run.become(chosen, on_each=on_each)
    run.pool = run.pool if processes_can_stay(run.spec) else None
