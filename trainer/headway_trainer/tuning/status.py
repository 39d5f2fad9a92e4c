"""How far a study is, as the status of its job tells. Pure."""

from __future__ import annotations

import json
from collections import Counter

from headway_api.status import MAX_RUNNING_TRIALS, BestTrial, RunningTrial, TuningStatus
from headway_trainer.tuning.events import TrialState
from headway_trainer.tuning.study import Study
from headway_trainer.tuning.trial import Trial


def status_of(study: Study, metric: str, counts: Counter[TrialState]) -> TuningStatus:
    """The study in few words. metric: as `part/name`. counts: its trials by state."""
    return TuningStatus(
        metric=metric,
        planned=study.planned,
        running=counts["running"],
        completed=counts["completed"],
        stopped=counts["stopped"],
        failed=counts["failed"],
        best=_best(study.best),
        running_trials=[_running(one) for one in study.running[-MAX_RUNNING_TRIALS:]],
    )


def _best(trial: Trial | None) -> BestTrial | None:
    if trial is None or trial.value is None:
        return None
    parameters = {path: json.dumps(value, ensure_ascii=False) for path, value in trial.parameters.items()}
    return BestTrial(trial=trial.number, value=_number(trial.value), parameters=parameters)


def _running(trial: Trial) -> RunningTrial:
    value = trial.reports.get(trial.epochs)
    return RunningTrial(trial=trial.number, epoch=trial.epochs or None, value=None if value is None else _number(value))


def _number(value: float) -> str:
    return f"{value:.6g}"
