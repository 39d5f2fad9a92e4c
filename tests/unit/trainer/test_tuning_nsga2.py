"""NSGA-II behind ask and tell: it finds better fronts than chance, and a study of it goes on as it would have."""

from __future__ import annotations

import json
import random
import statistics
import time
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from headway_api.tuning import Tuning
from headway_trainer.errors import UserError
from headway_trainer.report.trial_records import trial_records
from headway_trainer.tuning.events import Asked, Ended, Event
from headway_trainer.tuning.nsga2 import NsgaSearch
from headway_trainer.tuning.space import Space
from headway_trainer.tuning.study import Study
from studies import MIXED, Driver, replayed, study, tuning

LOSS, SIZE = "validation/loss", "model/bytes"
OBJECTIVES = [{"metric": LOSS}, {"metric": SIZE}]
SIX = {f"model.x{index}": {"uniform": {"min": 0, "max": 1}} for index in range(6)}
EVENTS: TypeAdapter[list[Event]] = TypeAdapter(list[Event])


def spec_of(parameters: Mapping[str, Any] = SIX, **fields: Any) -> Tuning:
    told = {"search": {"name": "nsga2", "population": 6}, "objectives": OBJECTIVES, "trials": 40}
    return tuning(parameters, **{**told, **fields})


def zdt1(of: Mapping[str, Any]) -> dict[str, float]:
    """Two objectives whose best values together are y = 1 - sqrt(x) (Zitzler, Deb and Thiele, 2000)."""
    x = [float(of[f"model.x{index}"]) for index in range(6)]
    rest = 1 + 9 * sum(x[1:]) / 5
    return {LOSS: x[0], SIZE: rest * (1 - (x[0] / rest) ** 0.5)}


def mixed(of: Mapping[str, Any]) -> dict[str, float]:
    """Two objectives of a space with choices and conditions, that contradict each other."""
    depth = float(of["model.depth"])
    momentum = float(of.get("training.optimizer.momentum", 0.3))
    return {LOSS: (8 - depth) ** 2 + momentum, SIZE: 1000 * depth + len(str(of["training.optimizer.name"]))}


def area(values: Iterable[Mapping[str, float]], *, least: tuple[float, float] = (1.1, 10.0)) -> float:
    """The area that is dominated, up to a point that is worse than all: the hypervolume of two objectives."""
    found, height = 0.0, least[1]
    for x, y in sorted((one[LOSS], one[SIZE]) for one in values):
        if x < least[0] and y < height:
            found, height = found + (least[0] - x) * (height - y), y
    return found


@pytest.mark.parametrize("trials", [60])
def test_its_front_holds_more_than_that_of_as_many_random_trials(trials: int) -> None:
    areas: dict[str, list[float]] = {"nsga2": [], "random": []}
    for seed in range(5):
        for name, found in areas.items():
            one = study(spec_of(search={"name": name}, trials=trials), seed=seed)
            Driver(one, at_once=1, values=zdt1, epochs=1).run()
            found.append(area(trial.metrics for trial in one.trials.values()))
    assert statistics.mean(areas["nsga2"]) > 1.05 * statistics.mean(areas["random"]), areas
    assert sum(mine > its for mine, its in zip(areas["nsga2"], areas["random"], strict=True)) >= 4


@settings(max_examples=12, deadline=None)
@given(chance=st.randoms(use_true_random=False), cut=st.floats(0, 1), constrained=st.booleans())
def test_a_study_that_was_killed_anywhere_proposes_what_it_would_have(
    chance: random.Random, cut: float, constrained: bool
) -> None:
    spec = spec_of(MIXED, constraints=[{"metric": SIZE, "max": 4000}] if constrained else None)
    whole = Driver(study(spec), draw=chance, values=mixed)
    whole.run()
    events = EVENTS.validate_json(EVENTS.dump_json(whole.events))
    half = round(cut * len(events))
    again = replayed(spec, events[:half])
    for event in events[half:]:
        match event:
            case Asked():
                assert again.ask() == event
            case Ended():
                assert again.end(event) == event
    assert (again.trials, again.best, again.over) == (whole.study.trials, whole.study.best, whole.study.over)


def test_the_same_seed_gives_the_same_trials_and_another_one_others() -> None:
    first, second, other = (Driver(study(spec_of(), seed=seed), at_once=1, values=zdt1).run() for seed in (3, 3, 4))
    assert first.trials == second.trials
    assert [one.parameters for one in first.trials.values()] != [one.parameters for one in other.trials.values()]


def test_the_first_generation_is_drawn_and_later_ones_descend_from_the_best() -> None:
    one = Driver(study(spec_of(trials=120)), at_once=1, values=zdt1, epochs=1).run()
    numbers = [float(str(trial.parameters["model.x3"])) for trial in one.trials.values()]
    assert len(set(numbers[:6])) == 6
    assert len(set(numbers[60:])) < 50, "values are passed on"
    assert statistics.mean(numbers[60:]) < statistics.mean(numbers[:6])


def test_trials_that_fail_or_end_late_are_in_no_generation() -> None:
    search = NsgaSearch(Space(spec_of().parameters), seed=1, population=4, objectives=2)
    one = study(spec_of(search={"name": "nsga2", "population": 4}), seed=1)
    for _ in range(6):
        asked = one.ask()
        assert asked is not None
        assert asked.parameters == search.propose(asked.trial), "as long as no generation has ended, trials are drawn"
    for number in (1, 2, 3):
        one.end(Ended(trial=number, state="failed", cause="UserError"))
    late = one.trials[6]
    for number in (4, 5):
        one.end(Ended(trial=number, state="completed", value=1.0, metrics={LOSS: 1.0, SIZE: 1.0}))
    drawn = [one.ask(), one.ask()]
    assert all(each is not None and each.parameters == search.propose(each.trial) for each in drawn)
    for number in (7, 8):
        one.end(Ended(trial=number, state="completed", value=1.0, metrics={LOSS: 1.0, SIZE: 1.0}))
    bred = one.ask()
    assert bred is not None
    assert bred.parameters != search.propose(9), "four have ended with values: the next generation begins"
    one.end(Ended(trial=6, state="completed", value=0.0, metrics={LOSS: 0.0, SIZE: 0.0}))
    assert one.best is late
    assert one.ask() is not None


def test_what_was_tried_is_not_proposed_again_as_long_as_there_is_something_else() -> None:
    few = {"model.depth": {"choice": [1, 2, 3]}, "model.width": {"choice": [1, 2, 3, 4]}}
    one = study(spec_of(few, search={"name": "nsga2", "population": 4}, trials=20))
    Driver(
        one, at_once=1, values=lambda of: {LOSS: float(str(of["model.depth"])), SIZE: float(str(of["model.width"]))}
    ).run()
    told = [json.dumps(dict(trial.parameters), sort_keys=True) for trial in one.trials.values()]
    assert len(set(told[:10])) == 10
    assert len(set(told)) <= 12 < len(told) == 20, "then it takes what there is"


def test_constraints_are_kept_first_and_the_best_is_the_best_of_those_that_keep_them() -> None:
    spec = spec_of(constraints=[{"metric": SIZE, "max": 1.0}], trials=100, search={"name": "nsga2"})
    one = Driver(study(spec), at_once=1, values=zdt1, epochs=1).run()
    outcomes = {number: trial.outcome for number, trial in one.trials.items()}
    kept = [number for number, each in outcomes.items() if each is not None and each.feasible]
    assert 0 < len(kept) < 100
    assert sum(number > 50 for number in kept) > sum(number <= 50 for number in kept)
    assert one.best is not None
    assert one.best.number == min(kept, key=lambda number: (one.trials[number].metrics[LOSS], number))


def test_what_is_proposed_lies_in_a_space_of_choices_and_conditions() -> None:
    spec = spec_of(MIXED, trials=60)
    one = Driver(study(spec), values=mixed).run()
    assert [Space(spec.parameters).fault(trial.parameters) for trial in one.trials.values()] == [None] * 60


@pytest.mark.parametrize(
    ("constraints", "values", "violation", "why"),
    [
        (None, {LOSS: 0.5}, 0.0, "there is no value of model/bytes"),
        (
            [{"metric": SIZE, "max": 100}],
            {LOSS: 0.5, SIZE: 150.0},
            0.25,
            "constraints are violated by 0.25 there, and by 0.5 in the spec",
        ),
    ],
)
def test_a_log_of_other_objectives_or_constraints_is_one_sentence(
    constraints: Any, values: dict[str, float], violation: float, why: str
) -> None:
    spec = spec_of({"model.depth": {"choice": [1, 2]}}, constraints=constraints)
    events: list[Event] = [
        Asked(trial=1, parameters={"model.depth": 1}),
        Ended(trial=1, state="completed", value=0.5, metrics=values, violation=violation),
    ]
    with pytest.raises(UserError) as error:
        replayed(spec, events)
    assert f"event 2: of trial 1, {why}; put tuning back to what it was" in str(error.value)


def test_a_trial_that_was_stopped_before_it_had_a_value_is_in_no_front_and_no_fault() -> None:
    one = study(spec_of())
    one.ask()
    ended = one.end(Ended(trial=1, state="stopped"))
    assert (ended.metrics, one.best, one.trials[1].outcome) == ({}, None, None)


def test_a_long_log_is_replayed_without_breeding_again() -> None:
    events: list[Event] = []
    for number in range(1, 1001):
        x = {f"model.x{index}": (number * (index + 3) % 997) / 997 for index in range(6)}
        values = zdt1(x)
        events += [
            Asked(trial=number, parameters=x),
            Ended(trial=number, state="completed", value=values[LOSS], metrics=values),
        ]
    began = time.process_time()
    one: Study = replayed(spec_of(trials=2000), events)
    assert len(one.trials) == 1000
    assert one.ask() is not None
    assert time.process_time() - began < 5
    records = trial_records(events)
    assert [record.metrics for record in records] == [one.trials[record.number].metrics for record in records]


def test_tpe_learns_from_constraints() -> None:
    """Of the line, the left half breaks the constraint, and the least loss is there."""
    line = {"model.x": {"uniform": {"min": 0, "max": 1}}}

    def values(of: Mapping[str, Any]) -> dict[str, float]:
        return {LOSS: float(of["model.x"]), SIZE: 10_000 * (1 - float(of["model.x"]))}

    spec = tuning(line, metric=LOSS, constraints=[{"metric": SIZE, "max": 5000}], search={"name": "tpe"}, trials=50)
    one = Driver(Study(spec, metric=LOSS, seed=1, epochs=1), at_once=1, values=values, epochs=1).run()
    assert one.best is not None
    assert one.best.value == pytest.approx(0.5, abs=0.03)
    late = [trial.metrics[LOSS] for number, trial in one.trials.items() if number > 25]
    assert 0.4 < statistics.mean(late) < 0.6, "at the bound, and not where the loss is least"


WIDE: dict[str, Any] = {
    "model.a": {"uniform": {"min": -1e9, "max": 1e-9}},
    "model.b": {"logUniform": {"min": 1e-300, "max": 1e300}},
    "model.c": {"int": {"min": -(2**53), "max": 2**53, "step": 7}},
    "model.d": {"logInt": {"min": 1, "max": 2**53}},
    "model.e": {"int": {"min": 3, "max": 6, "step": 2}},
    "model.f": {"logInt": {"min": 1, "max": 5000}},
    "model.g": {"uniform": {"min": 0, "max": 5e-324}},
    "model.h": {"choice": [1, True, "1", [1]]},
}


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31), st.data())
def test_children_lie_in_the_space_however_wide_it_is_and_keep_the_types_of_choices(
    seed: int, data: st.DataObject
) -> None:
    spec = spec_of(WIDE, search={"name": "nsga2", "population": 4}, trials=24)
    worths = st.floats(allow_nan=False, allow_infinity=False)

    def values(_: object) -> dict[str, float]:
        return {LOSS: data.draw(worths), SIZE: data.draw(worths)}

    one = Driver(study(spec, seed=seed), at_once=1, values=values, epochs=1).run()
    assert [Space(spec.parameters).fault(trial.parameters) for trial in one.trials.values()] == [None] * 24
