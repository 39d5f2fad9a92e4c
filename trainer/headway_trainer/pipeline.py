"""One attempt of a run: its stages one after the other. It is the same under `headway run` and in a head pod; what
differs is handed in."""

from __future__ import annotations

import logging

from headway_api import wire
from headway_api.consistency.facts import own_loop
from headway_trainer import outcome, publish
from headway_trainer.data.prepared import forget
from headway_trainer.errors import GateFailed, UserError
from headway_trainer.report.gates import failed
from headway_trainer.report.model import RunResult
from headway_trainer.reporter import Reporter
from headway_trainer.run import Run, Surroundings
from headway_trainer.run_record import RunRecord, changed_modules, module_digests, read_record, write_record
from headway_trainer.signing import signing_key, warn_where_nobody_signs
from headway_trainer.spent_time import SpentTime
from headway_trainer.stages import STAGES, Publish, Results, Train
from headway_trainer.tracking.told import Trackers
from headway_trainer.training.checkpoints.store import RAY_FOLDER

log = logging.getLogger("headway.pipeline")


class Pipeline:
    """One attempt of a run."""

    def __init__(self, file: wire.RunFile, around: Surroundings) -> None:
        self.file, self.around = file, around
        self.reporter = Reporter(file, around.sink, around.note)

    def execute(self) -> tuple[RunResult, wire.Outcome]:
        """Run all stages. Raises UserError, StorageError, Lost, Interrupted, and GateFailed once all is published."""
        self.around.head.start(self._head_up)
        run = Run(self.file, self.around, self.reporter)
        try:
            return self._execute(run)
        finally:
            run.steps.close()

    def _execute(self, run: Run) -> tuple[RunResult, wire.Outcome]:
        results = Results()
        run.checkpoints.claim()
        if run.spec.tuning is None and not run.spec.has_folds:
            self.reporter.times = SpentTime(run.store, run.file.attempt, fence=run.fence)
            self.reporter.times.start()
        trackers = Trackers(run)
        try:
            self._run_stages(run, results)
        except BaseException as error:
            if self.reporter.times is not None:
                self.reporter.times.ends()
            trackers.failed(outcome.judge(error))
            raise
        return self._end(run, results, trackers)

    def _run_stages(self, run: Run, results: Results) -> None:
        try:
            compare_code(run)
            run.resolve_names()  # before hours of reading: the file alone does not tell what the image holds
            signing_key(run)
            warn_where_nobody_signs(run)
            for stage in STAGES:
                if (spec := stage.spec(run.spec)) is not None:
                    results.add(stage, stage.run(spec, run, results))
        except UserError:
            _drop_rows_of_the_last_attempt(run)
            raise

    def _end(self, run: Run, results: Results, trackers: Trackers) -> tuple[RunResult, wire.Outcome]:
        result, end = results.get(Publish), results.get(Train)
        if result is None or end is None:
            raise ValueError("nothing was published")
        trackers.succeeded(result)
        last_word, failure = self.reporter.succeeded(end), failed(result.gates)
        if failure is None:
            self.around.succeeded(last_word)
        if self.reporter.times is not None:
            self.reporter.times.close()
        # Not before: a next attempt would need it, and what goes wrong with it is no failure of the run.
        try:
            run.fence()
            publish.tidy(run.store)
        except Exception:
            log.warning("what only an unfinished run needs was left there", exc_info=True)
        if failure is not None:
            raise GateFailed(failure)
        return result, last_word

    def _head_up(self) -> None:
        """Called in the head's thread: how long the data takes says nothing of whether the pods came up in time."""
        log.info("Ray's head is up")
        self.around.ready()


def compare_code(run: Run) -> None:
    """Tell people where the code of their own that goes on is not the code that began."""
    model = run.spec.model
    if not own_loop(run.spec) and not (model and model.entrypoint):
        return
    before, now_there = read_record(run.store), module_digests(run.around.code)
    change = None if before is None else changed_modules(before.code, now_there)
    if change is not None and (run.checkpoints.reached() is not None or run.store.exists(RAY_FOLDER)):
        run.reporter.warn(
            f"The code has changed since this run's last attempt ({change}): it goes on from the newest checkpoint "
            f"with the code of now; {run.begin_anew} begins again."
        )
    write_record(run.store, RunRecord(code=now_there))


def _drop_rows_of_the_last_attempt(run: Run) -> None:
    """Leave no copy of the training data where no attempt follows. A local run may go on, and keeps it."""
    if not run.file.uid or run.spec.retry.user_error > 0:
        return
    try:
        run.fence()
        forget(run.store)
    except Exception:
        log.warning("the prepared rows were left there", exc_info=True)
