"""How far a study is, as the status of a job has it."""

from __future__ import annotations

from collections import Counter

from headway_api.tuning import Tuning
from headway_trainer.tuning.events import Asked, Ended, Event, Reported, TrialState
from headway_trainer.tuning.status import status_of
from headway_trainer.tuning.study import Study

TUNING = Tuning.model_validate(
    {
        "parameters": {
            "training.optimizer.lr": {"uniform": {"min": 0, "max": 1}},
            "model.options.hidden": {"choice": [[32], [64]]},
        },
        "trials": 30,
        "search": {"name": "random"},
        "scheduler": {"name": "asha"},
    }
)


def asked(trial: int) -> Asked:
    return Asked(trial=trial, parameters={"training.optimizer.lr": trial / 100, "model.options.hidden": [32]})


def study(events: list[Event]) -> tuple[Study, Counter[TrialState]]:
    made = Study.replayed(TUNING, metric="validation/accuracy", seed=0, epochs=27, events=events)
    return made, Counter(one.state for one in made.trials.values())


def test_a_study_is_told_by_its_counts_its_best_trial_and_those_that_run() -> None:
    events: list[Event] = [
        asked(1),
        asked(2),
        Ended(trial=1, state="completed", value=0.912345678, epochs=27),
        asked(3),
        Reported(trial=3, epoch=1, value=0.5, goes_on=True),
        Ended(trial=2, state="failed", cause="UserError", message="No."),
        asked(4),
    ]
    made, counts = study(events)
    told = status_of(made, "validation/accuracy", counts)
    assert (told.planned, told.running, told.completed, told.stopped, told.failed) == (30, 2, 1, 0, 1)
    assert told.best is not None
    assert (told.best.trial, told.best.value) == (1, "0.912346")
    assert told.best.parameters == {"training.optimizer.lr": "0.01", "model.options.hidden": "[32]"}
    assert [(one.trial, one.epoch, one.value) for one in told.running_trials] == [(3, 1, "0.5"), (4, None, None)]


def test_a_study_that_has_just_begun_has_no_best_trial() -> None:
    made, counts = study([])
    told = status_of(made, "validation/accuracy", counts)
    assert (told.metric, told.best, told.running_trials, told.ended) == ("validation/accuracy", None, [], 0)


def test_of_many_trials_that_run_the_newest_are_told() -> None:
    made, counts = study([asked(number) for number in range(1, 31)])
    told = status_of(made, "validation/accuracy", counts)
    assert told.running == 30
    assert [one.trial for one in told.running_trials] == list(range(15, 31))
