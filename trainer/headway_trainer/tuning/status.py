"""How far a study is, as the status of its job tells. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection

from headway_api.status import MAX_RUNNING_TRIALS, BestTrial, RunningTrial, TuningStatus
from headway_trainer.tuning.events import TrialState
from headway_trainer.tuning.study import Study
from headway_trainer.tuning.trial import Trial


def status_of(study: Study, metric: str, counts: Counter[TrialState], trained: Collection[int] = ()) -> TuningStatus:
    """The study in few words.

    metric: as `part/name`. counts: its trials by state. trained: of a population, the numbers of those that are trained
    now; of others all that run are.
    """
    running = [one for one in study.running if study.until is None or one.number in trained]
    return TuningStatus(
        metric=metric,
        planned=study.planned,
        running=counts["running"] if study.until is None else len(running),
        waiting=0 if study.until is None else counts["running"] - len(running),
        completed=counts["completed"],
        stopped=counts["stopped"],
        failed=counts["failed"],
        best=_best(study.leader),
        retrain=study.retrains,
        running_trials=[_running(one) for one in running[-MAX_RUNNING_TRIALS:]],
    )


def _best(leader: tuple[Trial, float] | None) -> BestTrial | None:
    if leader is None:
        return None
    trial, value = leader
    parameters = {path: json.dumps(value, ensure_ascii=False) for path, value in trial.parameters.items()}
    spread = None if trial.deviation is None else _number(trial.deviation)
    return BestTrial(trial=trial.number, value=_number(value), deviation=spread, parameters=parameters)


def _running(trial: Trial) -> RunningTrial:
    value = trial.reports.get(trial.epochs)
    return RunningTrial(trial=trial.number, epoch=trial.epochs or None, value=None if value is None else _number(value))


def _number(value: float) -> str:
    return f"{value:.6g}"
