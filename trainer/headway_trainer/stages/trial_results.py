"""Each trial's `result.json`: what is told there, and what an attempt before has left to be written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from headway_api.tuning import Tuning
from headway_trainer.report.trial_files import TrialFile
from headway_trainer.report.trial_records import TrialRecord, record_of
from headway_trainer.run import Run
from headway_trainer.stages.trial_specs import metric_of
from headway_trainer.stages.trial_writer import TrialWriter
from headway_trainer.tuning.events import Ended, Point
from headway_trainer.tuning.trial import Trial

_OF_AN_END = {"state", "value", "epochs", "best_epoch", "folds", "metrics", "violation", "seconds", "cause", "message"}
_OF_REPEATS = {"own_value", "deviation", "repeats"}


class TrialResults:
    """Has the files of a run's trials written."""

    def __init__(self, tuning: Tuning, run: Run, ended_before: Sequence[TrialRecord]) -> None:
        """ended_before: the trials that have ended in attempts before."""
        self._tuning, self._run, self._ended_before = tuning, run, ended_before
        self._writer = TrialWriter(run.store, run.fence)

    def add(self, trial: Trial, event: Ended, curve: Sequence[Point]) -> None:
        """Have a trial's file written. event: of its last end. curve: of its own training, where that is the end."""
        told: Ended | TrialRecord = event
        if trial.repeats and trial.ended is not None:
            told = record_of(trial, self._run.spec.seed)
            curve = trial.ended.curve
        self._writer.add(self._file_of(told, trial.parameters, curve))

    def add_those_of_before(self) -> None:
        """Have the files written that attempts before have not come to. Raises StorageError."""
        if not self._ended_before:
            return
        there = self._writer.written()
        for one in self._ended_before:
            if one.number not in there:
                self._writer.add(self._file_of(one, one.parameters, one.curve))
        self._ended_before = ()

    def finish(self) -> None:
        """Wait until all are written. Raises StorageError where one cannot be."""
        self._writer.finish()

    def close(self) -> None:
        """Write what waits, for some seconds: for a run that ends with an error."""
        self._writer.close()

    def _file_of(
        self, event: Ended | TrialRecord, parameters: Mapping[str, JsonValue], values: Sequence[Point]
    ) -> TrialFile:
        """What is told of a trial that has ended, in a file of its own."""
        metric, workers = metric_of(self._run.spec), self._tuning.workers_of_one(self._run.spec.workers)
        return TrialFile(
            number=event.trial if isinstance(event, Ended) else event.number,
            parameters=dict(parameters),
            **event.model_dump(include=_OF_AN_END if isinstance(event, Ended) else _OF_AN_END | _OF_REPEATS),
            job=self._run.file.name,
            metric=metric,
            better=self._tuning.better(metric),
            values=list(values),
            seed=self._run.spec.seed,
            workers=workers.replicas,
            processes=workers.world_size,
            attempt=self._run.file.attempt,
        )
