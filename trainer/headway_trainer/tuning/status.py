"""How far a study is, as the status of its job tells. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping

from pydantic import JsonValue

from headway_api.status import MAX_RUNNING_TRIALS, BestTrial, RunningTrial, TuningStatus
from headway_trainer.report.tuning_model import TrialResult
from headway_trainer.tuning.events import TrialState
from headway_trainer.tuning.study import Study
from headway_trainer.tuning.trial import Trial


def status_of(study: Study, metric: str, counts: Counter[TrialState], trained: Collection[int] = ()) -> TuningStatus:
    """The study in few words.

    metric: what trials that run report, as `part/name`. counts: its trials by state. trained: of a population, the
    numbers of those that are trained now; of others all that run are.
    """
    running = [one for one in study.running if study.until is None or one.number in trained]
    return TuningStatus(
        metric=study.goals.first,
        planned=study.planned,
        running=counts["running"] if study.until is None else len(running),
        waiting=0 if study.until is None else counts["running"] - len(running),
        completed=counts["completed"],
        stopped=counts["stopped"],
        failed=counts["failed"],
        best=_best(study.leader),
        retrain=study.retrains,
        running_trials=[
            running_told(one.number, one.epochs, one.reports.get(one.epochs) if study.goals.first == metric else None)
            for one in running[-MAX_RUNNING_TRIALS:]
        ],
    )


def _best(leader: tuple[Trial, float] | None) -> BestTrial | None:
    if leader is None:
        return None
    trial, value = leader
    spread = None if trial.deviation is None else _number(trial.deviation)
    return _told(trial.number, value, trial.parameters).model_copy(update={"deviation": spread})


def best_told(trial: TrialResult | None) -> BestTrial | None:
    """The best trial as the status has it; none where there is none."""
    return None if trial is None or trial.value is None else _told(trial.number, trial.value, trial.parameters)


def running_told(number: int, epochs: int, value: float | None) -> RunningTrial:
    """A trial that runs, as the status has it. value: the newest one of the metric."""
    return RunningTrial(trial=number, epoch=epochs or None, value=None if value is None else _number(value))


def _told(number: int, value: float, parameters: Mapping[str, JsonValue]) -> BestTrial:
    told = {path: json.dumps(value, ensure_ascii=False) for path, value in parameters.items()}
    return BestTrial(trial=number, value=_number(value), parameters=told)


def _number(value: float) -> str:
    return f"{value:.6g}"
