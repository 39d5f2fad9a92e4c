"""The optimiser steps of a search: what there is to tell of its progress."""

from __future__ import annotations

import math
from collections.abc import Mapping

from pydantic import JsonValue

from headway_api.training import Training
from headway_trainer.run import Run
from headway_trainer.stages.trial_rows import TrialRows
from headway_trainer.stages.trial_specs import scope_of
from headway_trainer.tuning.study import EPOCHS, Study
from headway_trainer.tuning.trial import Trial


class TrialSteps:
    """How many steps trials take, about, and took."""

    def __init__(self, run: Run, rows: TrialRows | None) -> None:
        """rows: none for a function of the user's own, whose steps nobody knows."""
        self._run, self._rows = run, rows

    def planned(self, parameters: Mapping[str, JsonValue]) -> int:
        """Those of a trial that is not stopped, about."""
        training = self._run.spec.training or Training()
        epochs = parameters.get(EPOCHS, training.epochs)
        rows = parameters.get("training.batchSize", training.batch_size)
        if self._rows is None or not isinstance(epochs, int) or not isinstance(rows, int):
            return 0
        infos = list(self._rows.own.folds.values()) or [self._rows.own.info]
        mean = sum(info.rows["train"] for info in infos) / len(infos)
        return epochs * math.ceil(mean / max(1, rows))

    def tell_of_ended(self, study: Study) -> None:
        """Tell what attempts before have done: their steps count in this one, too."""
        for one in study.trials.values():
            for each in (one, *one.repeats):
                if each.ended is not None:
                    planned, steps = self.planned(one.parameters), self._done(each)
                    self._run.reporter.expect_one(scope_of(one.number, each.repeat), planned, steps=steps)

    def _done(self, trial: Trial) -> int:
        """Those of one that has ended, about."""
        return self.planned({**trial.parameters, EPOCHS: trial.epochs})
