"""A study: the same events give the same study, whatever the order in which trials report and end."""

from __future__ import annotations

import itertools
import math
import random
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from headway_api.trials import DEFAULT_TRIALS
from headway_trainer.errors import UserError
from headway_trainer.tuning.events import Asked, Ended, Event, Reported
from headway_trainer.tuning.study import Study
from studies import MIXED, NUMBERS, Driver, replayed, study, tuning

SEARCHERS: dict[str, dict[str, Any]] = {
    "random": {"search": {"name": "random"}},
    "tpe": {"search": {"name": "tpe", "startupTrials": 4}},
    "gp": {"search": {"name": "gp", "startupTrials": 4}, "trials": 7},
    "cmaes": {"search": {"name": "cmaes"}, "parameters": NUMBERS},
    "grid": {
        "search": {"name": "grid"},
        "parameters": {
            "training.optimizer.name": {"grid": ["sgd", "adamw"]},
            "training.optimizer.momentum": {"grid": [0.0, 0.9], "when": {"training.optimizer.name": ["sgd"]}},
            "training.optimizer.lr": {"choice": [0.1, 0.01, 0.001, 0.0001]},
        },
    },
}
SCHEDULERS = ["none", "asha", "median", "hyperband"]
EVENTS: TypeAdapter[list[Event]] = TypeAdapter(list[Event])


def of(search: str, scheduler: str, **fields: Any) -> Any:
    form = {"trials": 12, **SEARCHERS[search], **fields}
    return tuning(form.pop("parameters", MIXED), scheduler={"name": scheduler}, **form)


def known(one: Study) -> Any:
    """All that a study tells of itself."""
    return one.trials, one.best, one.running, one.over, one.broken, one.stop_running, one.elapsed


@pytest.mark.parametrize(
    ("search", "scheduler"),
    [*itertools.product([name for name in SEARCHERS if name != "gp"], SCHEDULERS), ("gp", "asha")],
)
@settings(max_examples=4, deadline=None)
@given(chance=st.randoms(use_true_random=False), cut=st.floats(0, 1))
def test_replaying_any_beginning_of_the_log_gives_the_study_that_it_was(
    search: str, scheduler: str, chance: random.Random, cut: float
) -> None:
    spec = of(search, scheduler)
    whole = Driver(study(spec), draw=chance)
    whole.run()
    events = EVENTS.validate_json(EVENTS.dump_json(whole.events))
    assert events == whole.events
    half = round(cut * len(events))
    again = replayed(spec, events[:half])
    for event in events[half:]:
        # What comes next is what came next: it proposes and judges as the one before did.
        match event:
            case Asked():
                assert again.ask() == event
            case Reported():
                assert again.report(event.trial, event.epoch, event.value) == event
            case Ended():
                assert again.end(event) == event
    assert known(again) == known(whole.study)


@pytest.mark.parametrize("search", list(SEARCHERS))
def test_the_same_seed_gives_the_same_trials_and_another_one_others(search: str) -> None:
    spec = of(search, "asha")
    first, second = (Driver(study(spec, seed=3), at_once=1).run() for _ in range(2))
    assert known(first) == known(second)
    other = Driver(study(spec, seed=4), at_once=1).run()
    same = [trial.parameters for trial in other.trials.values()] == [
        trial.parameters for trial in first.trials.values()
    ]
    assert same == (search == "grid")


def test_no_trial_is_proposed_twice_by_a_search_that_went_on() -> None:
    spec = of("random", "none", trials=40)
    events: list[Event] = []
    for _ in range(4):
        part = Driver(replayed(spec, events), at_once=1)
        for _ in range(20):
            part.step()
        events += part.events
    asked = [str(event.parameters) for event in events if isinstance(event, Asked)]
    assert len(asked) == 40
    assert len(set(asked)) == 40


@pytest.mark.parametrize(
    ("fields", "planned"),
    [
        ({}, DEFAULT_TRIALS),
        ({"trials": 3}, 3),
        (SEARCHERS["grid"], 12),
        ({**SEARCHERS["grid"], "trials": 5}, 5),
        ({**SEARCHERS["grid"], "trials": 50}, 12),
    ],
)
def test_trials_are_planned_as_the_spec_says_but_no_more_than_there_are_combinations(
    fields: dict[str, Any], planned: int
) -> None:
    form = dict(fields)
    one = study(tuning(form.pop("parameters", MIXED), **form))
    assert one.planned == planned
    Driver(one).run()
    assert len(one.trials) == planned
    assert one.over == f"all {planned} trials have begun"


def test_no_more_trials_than_max_concurrent_run_at_once() -> None:
    one = study(tuning(maxConcurrent=2))
    assert one.ask() is not None
    assert one.ask() is not None
    assert one.ask() is None
    assert one.over is None
    one.end(Ended(trial=1, state="completed", value=1.0, epochs=9))
    assert one.ask() is not None


def ended(trial: int, value: float | None = None, **fields: Any) -> Ended:
    return Ended(trial=trial, **{"state": "completed", "value": value, "epochs": 9, **fields})


@pytest.mark.parametrize(
    ("mode", "values", "best"),
    [
        ("min", [3.0, 1.0, 1.0], 2),
        ("max", [1.0, 3.0, 3.0], 2),
        ("min", [math.nan, math.inf, 5.0], 3),
        ("max", [math.nan, math.inf, 5.0], 3),
        ("min", [None, -math.inf, None], None),
    ],
)
@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1)])
def test_the_best_trial_has_the_best_finite_value_and_of_equal_ones_the_earliest_number(
    mode: str, values: list[float | None], best: int | None, order: tuple[int, ...]
) -> None:
    one = study(tuning(mode=mode, trials=3))
    for _ in values:
        one.ask()
    for trial in order:
        one.end(ended(trial, values[trial - 1]))
    assert (one.best.number if one.best else None) == best


def test_a_failed_trial_is_never_the_best() -> None:
    one = study(tuning())
    one.ask()
    one.end(ended(1, 0.5, state="failed", cause="UserError"))
    assert one.best is None
    assert one.trials[1].value is None


def test_an_epoch_that_is_reported_again_changes_nothing() -> None:
    one = study(tuning(NUMBERS, scheduler={"name": "asha"}))
    for _ in range(2):
        one.ask()
    assert one.report(1, 1, 0.5).goes_on
    stopped = one.report(2, 1, 0.7)
    assert not stopped.goes_on
    assert one.report(2, 1, 0.1) == stopped
    assert one.report(1, 1, 0.9) == Reported(trial=1, epoch=1, value=0.5, goes_on=True)
    assert one.trials[2].told_to_stop == 1


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None])
def test_a_trial_whose_metric_is_no_number_is_stopped_by_a_scheduler(value: float | None) -> None:
    one = study(tuning(NUMBERS, scheduler={"name": "asha"}))
    one.ask()
    assert one.report(1, 1, value) == Reported(trial=1, epoch=1, value=None, goes_on=False)


def test_a_trial_is_judged_by_its_own_number_of_epochs() -> None:
    form = {"training.epochs": {"choice": [2, 30]}}
    one = study(tuning(form, search={"name": "random"}, scheduler={"name": "asha"}), epochs=5)
    judged = {}
    for _ in range(12):
        asked = one.ask()
        assert asked is not None
        judged[asked.parameters["training.epochs"]] = one.judged_at(asked.trial)
    assert judged == {2: {1}, 30: {1, 3, 9, 27}}


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"budget": {"epochs": 20}}, "all trials together have taken 20 epochs, and budget.epochs is 20"),
        ({"stopWhen": {"value": 0.5}}, "trial 3 reached val/loss = 0.5, and stopWhen.value is 0.5"),
        (
            {"stopWhen": {"noImprovementTrials": 2}},
            "the last 2 trials were no better than the best before (stopWhen.noImprovementTrials)",
        ),
    ],
)
def test_a_limit_ends_the_search_and_stops_what_runs(fields: dict[str, Any], sentence: str) -> None:
    values = {
        "budget": [2.0, 1.0, 0.7, 0.7],
        "noImprovementTrials": [0.9, 0.9, 0.9, 0.9],
        "value": [2.0, 1.0, 0.5, 0.1],
    }
    curve = values[next(name for name in values if name in str(fields))]
    one = study(tuning(**fields))
    driver = Driver(one, at_once=1, curve=lambda _, __: curve[len(one.trials) - 1])
    while not one.stop_running:
        driver.step()
    assert one.over == sentence
    assert one.ask() is None
    driver.run()
    assert len(one.trials) == 3
    assert one.best is not None
    assert one.broken is None


def test_a_budget_of_epochs_is_kept_to_the_epoch() -> None:
    one = Driver(study(tuning(budget={"epochs": 31}, trials=50)), at_once=1).run()
    assert sum(trial.epochs for trial in one.trials.values()) == 31
    assert [trial.state for trial in one.trials.values()] == ["completed"] * 3 + ["stopped"]


def test_seconds_count_from_the_first_trial_over_attempts_and_not_between_them() -> None:
    now = 1000.0
    spec = tuning(budget={"seconds": 100})
    one = study(spec, clock=lambda: now)
    now += 500
    events: list[Event] = [one.ask() or pytest.fail("no trial")]
    now += 60
    events.append(one.end(ended(1, 1.0)))
    assert one.elapsed == 60
    assert one.over is None

    now += 10_000
    two = Study.replayed(spec, metric="val/loss", seed=7, epochs=9, events=events, clock=lambda: now)
    assert two.elapsed == 60
    now += 39
    assert not two.stop_running
    now += 1
    assert two.over == "the trials have taken 100 s, and budget.seconds is 100"
    assert two.stop_running


def test_gpu_hours_are_those_of_all_attempts_and_end_the_search() -> None:
    taken = 0.0
    spec = tuning(budget={"gpuHours": 0.5})
    one = study(spec, gpu_clock=lambda: taken)
    events: list[Event] = [one.ask() or pytest.fail("no trial")]
    taken = 1000.25
    events.append(one.used() or pytest.fail("it is counted"))
    taken = 1100.0
    assert one.over is None

    again = 0.0
    two = study(spec, events=events, gpu_clock=lambda: again)
    assert two.gpu_seconds == 1000.25, "what came after the last event of a killed attempt is forgotten"
    again = 799.0
    assert two.report(1, 1, 0.5).goes_on
    again = 800.0
    assert not two.report(1, 2, 0.5).goes_on
    assert two.stop_running
    assert two.over == "all trials together have taken 0.5001 GPU hours, and budget.gpuHours is 0.5"
    three = study(spec, events=[*events, two.used() or pytest.fail("it is counted")])
    assert (three.over, three.ask()) == (two.over, None)


def test_gpu_time_is_not_logged_without_a_budget_of_it() -> None:
    assert study(tuning(budget={"seconds": 5}), gpu_clock=lambda: 9.0).used() is None


def test_five_failures_in_a_row_for_one_cause_break_the_study_and_others_do_not() -> None:
    one = study(tuning())
    causes = ["UserError"] * 4 + ["NotANumber"] + ["UserError"] * 5
    for number, cause in enumerate(causes, 1):
        assert one.broken is None
        one.ask()
        one.end(ended(number, state="failed", cause=cause, message=f"model.width is {number}"))
    assert one.broken == ("the last 5 trials that ended all failed with UserError; of trial 10: model.width is 10")
    assert one.over == one.broken
    assert one.ask() is None


def test_a_study_of_which_no_trial_has_a_value_in_the_end_is_broken() -> None:
    one = study(tuning(trials=2))
    for number in (1, 2):
        one.ask()
        assert one.broken is None
        one.end(ended(number, state="failed", cause="UserError", message="model.width is 0"))
    assert one.broken == (
        "no trial ended with a value of the metric; the last one, trial 2, is failed: model.width is 0"
    )


@pytest.mark.parametrize(
    ("events", "why"),
    [
        ([{"do": "ask", "trial": 2, "parameters": {}}], "event 1: trial 2 begins where trial 1 is the next"),
        (
            [{"do": "ask", "trial": 1, "parameters": {"model.depth": 3}}],
            "event 1: of trial 1, training.optimizer.lr has no value",
        ),
        (
            [{"do": "ask", "trial": 1, "parameters": {"model.depth": 9, "training.optimizer.lr": 0.1}}],
            "event 1: of trial 1, model.depth cannot be 9",
        ),
        (
            [{"do": "ask", "trial": 1, "parameters": {"model.width": 9}}],
            "event 1: of trial 1, model.width is no parameter",
        ),
        ([{"do": "end", "trial": 1, "state": "completed"}], "event 1: trial 1 has not begun"),
        (
            [
                {"do": "ask", "trial": 1, "parameters": {"model.depth": 8, "training.optimizer.lr": 0.1}},
                {"do": "end", "trial": 1, "state": "completed"},
                {"do": "report", "trial": 1, "epoch": 1, "value": 1.0, "goesOn": True},
            ],
            "event 3: trial 1 has ended",
        ),
    ],
)
def test_a_log_of_another_study_is_one_sentence(events: list[dict[str, Any]], why: str) -> None:
    with pytest.raises(UserError) as error:
        replayed(tuning(NUMBERS), EVENTS.validate_python(events))
    assert str(error.value) == (
        f"the log of the trials does not fit spec.tuning: {why}; "
        "put tuning back to what it was, or begin a new job under another name"
    )


@pytest.mark.parametrize("search", ["tpe", "gp", "cmaes"])
def test_a_long_log_is_replayed_without_searching_again(search: str) -> None:
    events: list[Event] = []
    for number in range(1, 1251):
        parameters = {"model.depth": 1 + number % 8, "training.optimizer.lr": 1e-5 * (1 + number % 1000)}
        events += [
            Asked(trial=number, parameters=parameters),
            Reported(trial=number, epoch=1, value=1 / number, goes_on=True),
            Reported(trial=number, epoch=3, value=1 / number, goes_on=True),
            Ended(trial=number, state="completed", value=1 / number, epochs=9),
        ]
    began = time.process_time()
    one = replayed(tuning(NUMBERS, trials=2000, search={"name": search}, scheduler={"name": "asha"}), events)
    assert len(one.trials) == 1250
    # A proposal of tpe among so many takes some 0.02 s, one of gp 0.7 s.
    assert time.process_time() - began < 5
