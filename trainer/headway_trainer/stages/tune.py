"""Trials of the job with other values of some fields, each a child of the run; the best one's model becomes the run's.

How trials are run is decided in docs/decisions/0088. What is tried next, and what is stopped, is the study's to say.
"""

from __future__ import annotations

from headway_api.job import TrainingJobSpec
from headway_api.tuning import Tuning
from headway_trainer.errors import UserError
from headway_trainer.kept_results import digest_of, keep, recall
from headway_trainer.process_resources import processes_can_stay
from headway_trainer.report.curves import curves_of
from headway_trainer.report.model import TuningResult
from headway_trainer.report.trial_records import schedule_of, write_trials
from headway_trainer.report.trials import tuning_result
from headway_trainer.run import Run
from headway_trainer.stages.prepare import Prepare
from headway_trainer.stages.stage import Results


class Tune:
    """Finds the values of `tuning.parameters` that the run goes on with."""

    name = "tune"

    def spec(self, job: TrainingJobSpec) -> Tuning | None:
        """What is tried; none without `tuning`."""
        return job.tuning

    def run(self, spec: Tuning, run: Run, before: Results) -> TuningResult:
        """Run the trials that no attempt before has run, and take over the model of the best one.

        From here on the run's spec is the best trial's. Raises UserError where no trial has a value, and where the rows
        are others than those of the trials so far.
        """
        # A run without trials has no use for searchers and schedulers, and is not to wait for their import.
        from headway_trainer.stages.trials import Trials, metric_of, refuse_other_rows, spec_of, take_over_best

        info = before.get(Prepare)
        if info is None:
            raise UserError("set data: trials have nothing to learn from")
        digest = digest_of(run.spec, info.digest, info.content_hash)
        result = recall(run.store, self.name, digest, TuningResult)
        if result is None:
            refuse_other_rows(run, info)
            search = Trials(spec, run, info)
            best = search.run()
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
                takeovers=sum(len(one.lineage[1:]) for one in records),
                schedule=schedule_of(records, best.number),
                gpu_hours=search.gpu_hours,
                curves=curves_of(records, best.number),
            )
            run.fence()
            write_trials(run.store, records)
            keep(run.store, self.name, digest, result)
        run.become(spec_of(run, next(one.parameters for one in result.trials if one.number == result.best)))
        run.pool = run.pool if processes_can_stay(run.spec) else None
        return result
