"""Trials of the job with other values of some fields, each a child of the run; the best one's model becomes the run's.

How trials are run is decided in docs/decisions/0088. What is tried next, and what is stopped, is the study's to say.
"""

from __future__ import annotations

import math

from headway_api.job import TrainingJobSpec
from headway_api.training import Training
from headway_api.tuning import Tuning
from headway_trainer.errors import UserError
from headway_trainer.kept_results import digest_of, keep, recall
from headway_trainer.process_resources import processes_can_stay
from headway_trainer.report.curves import curves_of
from headway_trainer.report.model import TuningResult
from headway_trainer.report.trial_records import schedule_of, write_trials
from headway_trainer.report.trials import tuning_result
from headway_trainer.run import Run
from headway_trainer.stages import retrain
from headway_trainer.stages.prepare import Prepare
from headway_trainer.stages.stage import Results


class Tune:
    """Finds the values of `tuning.parameters` that the run goes on with."""

    name = "tune"

    def spec(self, job: TrainingJobSpec) -> Tuning | None:
        """What is tried; none without `tuning`."""
        return job.tuning

    def run(self, spec: Tuning, run: Run, before: Results) -> TuningResult:
        """Run the trials that no attempt before has run, and take over the model of the best one, if it is to be kept.

        From here on the run's spec is the best trial's; or that of a training with its parameters. Raises UserError
        where no trial has a value, and where the rows are others than those of the trials so far.
        """
        # A run without trials has no use for searchers and schedulers, and is not to wait for their import.
        from headway_trainer.stages.trials import Trials, metric_of, refuse_other_rows, spec_of, take_over_best

        info = before.get(Prepare)
        if info is None:
            raise UserError("set data: trials have nothing to learn from")
        digest = digest_of(run.spec, info.digest, info.content_hash)
        result = recall(run.store, self.name, digest, TuningResult)
        retrains = spec.final == "retrain"
        if retrains:
            # The longest that it may take: how long it does is known when the trials have ended.
            training = run.spec.training or Training()
            run.reporter.expect_one("", training.epochs * math.ceil(info.rows["train"] / training.batch_size))
        if result is None:
            refuse_other_rows(run, info)
            search = Trials(spec, run, info)
            best = search.run()
            if not retrains:
                take_over_best(run, best)
            with run.reporter.alive_meanwhile():
                records, shares = search.records(), search.importances()
            results = [one.result() for one in records]
            result = tuning_result(
                spec,
                metric_of(run.spec),
                results,
                best=best.number,
                ended=search.ended,
                importances=shares,
                retrained=retrain.retrained(spec_of(run, best.parameters), best, info) if retrains else None,
                takeovers=sum(len(one.lineage[1:]) for one in records),
                schedule=schedule_of(records, best.number),
                gpu_hours=search.gpu_hours,
                curves=curves_of(records, best.number),
            )
            run.fence()
            write_trials(run.store, records)
            keep(run.store, self.name, digest, result)
        elif retrains:
            Trials(spec, run, info).tell()  # their steps count, and training is still to come
        chosen = spec_of(run, next(one.parameters for one in result.trials if one.number == result.best))
        if result.retrained is not None:
            chosen = retrain.spec_of_retraining(chosen, result.retrained.epochs)
            if not info.rows["test"]:
                run.reporter.warn(retrain.NOTHING_JUDGES)
            retrain.drop_other_checkpoints(run, chosen, info)
        run.become(chosen)
        run.pool = run.pool if processes_can_stay(run.spec) else None
        return result
