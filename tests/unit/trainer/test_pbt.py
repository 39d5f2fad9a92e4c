"""Population based training: who takes over from whom, with which values, and a study that goes on with it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import JsonValue, TypeAdapter

from headway_api.schedulers import Scheduler
from headway_api.tuning import Tuning
from headway_trainer.errors import UserError
from headway_trainer.report.trial_records import schedule_of, trial_records
from headway_trainer.tuning.events import Asked, Ended, Event, Generation, Move, Repeated, Reported, TrialState, Used
from headway_trainer.tuning.schedulers.pbt import Pbt
from headway_trainer.tuning.space import Space
from headway_trainer.tuning.status import status_of
from headway_trainer.tuning.study import Study

LR, CLIP, DECAY = "training.optimizer.lr", "training.clip.norm", "training.optimizer.weightDecay"
PARAMETERS: dict[str, Any] = {
    LR: {"logUniform": {"min": 0.001, "max": 0.1}},
    CLIP: {"int": {"min": 1, "max": 9}},
    DECAY: {"choice": [0.0, 0.1, 0.2]},
}
EVENTS: TypeAdapter[list[Event]] = TypeAdapter(list[Event])
METRIC = "validation/accuracy"


def tuning(**fields: Any) -> Tuning:
    plain = {"parameters": PARAMETERS, "search": {"name": "random"}, "trials": 6, "metric": METRIC}
    scheduler = {"name": "pbt", "intervalEpochs": 2} | fields.pop("scheduler", {})
    return Tuning.model_validate({**plain, "scheduler": scheduler, **fields})


def pbt(seed: int = 3, **scheduler: Any) -> Pbt:
    spec = tuning(scheduler=scheduler)
    return Pbt(spec.scheduler, Space(spec.parameters), seed)


def values(count: int) -> dict[int, dict[str, JsonValue]]:
    return {number: {LR: 0.001 * number, CLIP: 1 + number % 9, DECAY: 0.1} for number in range(1, count + 1)}


@given(
    losses=st.lists(st.floats(allow_nan=False), min_size=1, max_size=30),
    quantile=st.floats(0.01, 0.5),
    seed=st.integers(0, 99),
    epoch=st.integers(1, 50),
)
@settings(deadline=None)
def test_the_worst_take_over_from_better_ones_among_the_best_with_values_of_the_space(
    losses: list[float], quantile: float, seed: int, epoch: int
) -> None:
    by_trial = dict(enumerate(losses, 1))
    moves = pbt(seed, quantile=quantile).moves(epoch, by_trial, values(len(losses)))
    going, sources = [move.trial for move in moves], {move.source for move in moves}
    many = max(1, math.floor(quantile * len(losses) + 1e-9))
    assert going == sorted(set(going))
    assert len(going) <= many
    assert not sources & set(going), "none that takes over is taken over from"
    stay = [trial for trial in by_trial if trial not in going]
    space = Space(tuning().parameters)
    for move in moves:
        assert by_trial[move.source] < by_trial[move.trial]
        assert sum(by_trial[other] < by_trial[move.source] for other in stay) < many, "it is among the best"
        assert space.fault(move.parameters) is None
    if len(set(losses)) == len(losses) > 1:
        assert len(going) == min(many, len(losses) // 2)
        assert all(by_trial[one] < by_trial[other] for one in stay for other in going)


@pytest.mark.parametrize(("count", "quantile", "many"), [(2, 0.01, 1), (3, 0.5, 1), (10, 0.25, 2), (100, 0.29, 29)])
def test_the_quantile_is_rounded_down_and_is_one_trial_at_least(count: int, quantile: float, many: int) -> None:
    losses = {trial: float(trial) for trial in range(1, count + 1)}
    moves = pbt(quantile=quantile).moves(1, losses, values(count))
    assert [move.trial for move in moves] == list(range(count - many + 1, count + 1))


def test_trials_that_are_equally_good_and_a_trial_alone_take_over_from_none() -> None:
    assert pbt().moves(1, {1: 0.5, 2: 0.5, 3: 0.5}, values(3)) == []
    assert pbt().moves(1, {1: 0.5}, values(1)) == []


def test_a_trial_without_a_value_is_the_worst_and_none_takes_over_from_it() -> None:
    assert [move.trial for move in pbt().moves(1, {1: math.inf, 2: 3.0, 3: 5.0}, values(3))] == [1]
    assert pbt().moves(1, {1: math.inf, 2: math.inf}, values(2)) == []


def test_what_is_drawn_depends_on_seed_trial_and_epoch_alone() -> None:
    losses, parameters = {1: 0.1, 2: 0.5, 3: 0.2, 4: 0.9}, values(4)
    once = pbt().moves(4, losses, parameters)
    assert pbt().moves(4, dict(reversed(losses.items())), parameters) == once
    assert pbt().moves(6, losses, parameters) != once
    assert pbt(seed=4).moves(4, losses, parameters) != once


def explored(value: JsonValue, path: str, **scheduler: Any) -> set[JsonValue]:
    """What becomes of a source's value at 200 epochs."""
    each: dict[str, JsonValue] = {LR: 0.01, CLIP: 5, DECAY: 0.1, path: value}
    parameters = {1: each, 2: each}
    chosen = pbt(**scheduler)
    found = [chosen.moves(epoch, {1: 0.0, 2: 1.0}, parameters)[0].parameters[path] for epoch in range(1, 201)]
    return {round(one, 9) if isinstance(one, float) else one for one in found}


@pytest.mark.parametrize(
    ("path", "value", "becomes"),
    [
        (LR, 0.01, {0.008, 0.012}),
        (LR, 0.1, {0.08, 0.1}),
        (LR, 0.001, {0.001, 0.0012}),
        (CLIP, 5, {4, 6}),
        (DECAY, 0.0, {0.0, 0.1, 0.2}),
    ],
)
def test_numbers_are_multiplied_and_kept_in_their_bounds_and_choices_are_drawn(
    path: str, value: JsonValue, becomes: set[JsonValue]
) -> None:
    assert explored(value, path, resampleProbability=0) == becomes


def test_values_are_drawn_anew_as_often_as_it_is_said() -> None:
    assert len(explored(0.01, LR, resampleProbability=1)) == 200
    assert 20 < len(explored(0.01, LR, resampleProbability=0.25)) < 80


@pytest.mark.parametrize(("value", "becomes"), [(1.0, {1.0, 2.0}), (2.0, {1.0, 4.0}), (8.0, {4.0, 8.0})])
def test_of_a_grid_a_neighbour_is_next(value: float, becomes: set[JsonValue]) -> None:
    spec = tuning(parameters={CLIP: {"grid": [1.0, 2.0, 4.0, 8.0]}}, search={"name": "grid"}, trials=None)
    chosen = Pbt(Scheduler.model_validate({"name": "pbt", "resampleProbability": 0}), Space(spec.parameters), 1)
    parameters: dict[int, Mapping[str, JsonValue]] = {trial: {CLIP: value} for trial in (1, 2)}
    found = [chosen.moves(epoch, {1: 0.0, 2: 1.0}, parameters)[0].parameters[CLIP] for epoch in range(1, 60)]
    assert set(found) == becomes


def study(spec: Tuning, epochs: int = 6) -> Study:
    return Study(spec, metric=METRIC, seed=3, epochs=epochs, clock=lambda: 0.0)


def value_of(trial: int, epoch: int) -> float:
    return round(0.1 * epoch + 0.01 * ((trial * 7) % 5), 6)


def run(one: Study, order: int = 1) -> list[Event]:
    """The events of a population that is run to its end; order: 1, or -1 for the latest trials first."""
    events: list[Event] = []
    while True:
        while (asked := one.ask()) is not None:
            events.append(asked)
        for trial in one.running[::order]:
            until = one.until or 0
            if until >= 6:
                ended = Ended(trial=trial.number, state="completed", value=value_of(trial.number, 6), epochs=6)
                events.append(one.end(ended))
            else:
                assert not one.waits(trial.number)
                assert one.generation() is None, "some have yet to come"
                events.append(one.report(trial.number, until, value_of(trial.number, until)))
                assert one.waits(trial.number)
        generation = one.generation()
        if generation is None:
            return events
        one.evolve(generation)
        events.append(generation)


def test_all_are_trained_to_the_end_of_a_generation_before_any_goes_on_and_their_order_changes_nothing() -> None:
    one, other = study(tuning()), study(tuning())
    events, reversed_events = run(one), run(other, -1)
    generations = [event for event in events if isinstance(event, Generation)]
    assert [event.epoch for event in generations] == [2, 4]
    assert all(event.moves for event in generations)
    assert generations == [event for event in reversed_events if isinstance(event, Generation)]
    assert [one.trials[number].parameters for number in range(1, 7)] == [
        other.trials[number].parameters for number in range(1, 7)
    ]
    assert [trial.state for trial in one.trials.values()] == ["completed"] * 6


@given(cut=st.integers(0, 40))
@settings(deadline=None, max_examples=20)
def test_a_study_of_any_beginning_of_the_log_goes_on_as_the_one_before(cut: int) -> None:
    whole = study(tuning())
    events = EVENTS.validate_json(EVENTS.dump_json(run(whole)))
    again = Study.replayed(tuning(), metric=METRIC, seed=3, epochs=6, events=events[:cut], clock=lambda: 0.0)
    for event in events[cut:]:
        match event:
            case Asked():
                assert again.ask() == event
            case Generation():
                assert again.generation() == event
                again.evolve(event)
            case Ended():
                assert again.end(event) == event
            case Repeated():
                pytest.fail("a population repeats none")
            case Reported():
                assert again.report(event.trial, event.epoch, event.value) == event
            case Used():
                pytest.fail("no budget is about GPUs")
    assert again.trials == whole.trials
    assert again.leader == whole.leader


def test_a_trial_whose_metric_is_no_number_takes_over_and_is_not_stopped() -> None:
    one = study(tuning(trials=2))
    for number in (1, 2):
        one.ask()
        assert one.report(number, 2, math.nan if number == 1 else 0.5).goes_on
    generation = one.generation()
    assert generation is not None
    assert [(move.trial, move.source) for move in generation.moves] == [(1, 2)]


def test_a_trial_that_failed_is_no_longer_waited_for() -> None:
    one = study(tuning(trials=3))
    for _ in range(3):
        one.ask()
    for number in (1, 2):
        one.report(number, 2, 0.1 * number)
        assert one.generation() is None
    one.end(Ended(trial=3, state="failed", cause="UserError"))
    generation = one.generation()
    assert generation is not None
    assert [(move.trial, move.source) for move in generation.moves] == [(1, 2)]


def test_the_best_so_far_is_told_while_all_run_with_those_that_wait() -> None:
    one = study(tuning(trials=3, maxConcurrent=1))
    for _ in range(3):
        assert one.ask() is not None, "all of a population run, however few are trained at once"
    one.report(1, 2, 0.7)
    one.report(2, 2, 0.6)
    told = status_of(one, METRIC, _counts(one), trained=[3])
    assert (told.running, told.waiting, [each.trial for each in told.running_trials]) == (1, 2, [3])
    assert told.best is not None
    assert (told.best.trial, told.best.value) == (1, "0.7")


def _counts(one: Study) -> Counter[TrialState]:
    return Counter(trial.state for trial in one.trials.values())


@pytest.mark.parametrize(
    ("generation", "why"),
    [
        (Generation(epoch=3, moves=[]), "event 7: a generation ends after epoch 3 where one ends after 2"),
        (
            Generation(epoch=2, moves=[Move(trial=1, source=9, parameters=values(1)[1])]),
            "event 7: trial 1 takes over from trial 9, and trial 9 does not run",
        ),
        (
            Generation(epoch=2, moves=[Move(trial=1, source=2, parameters={**values(1)[1], LR: 7.0})]),
            f"event 7: trial 1 takes over from trial 2, and {LR} cannot be 7.0",
        ),
    ],
)
def test_a_log_of_another_population_is_one_sentence(generation: Generation, why: str) -> None:
    events = [*run(study(tuning()))[:6], generation]
    with pytest.raises(UserError, match=why):
        Study.replayed(tuning(), metric=METRIC, seed=3, epochs=6, events=events)


def test_a_generation_in_the_log_of_a_search_without_a_population_is_one_sentence() -> None:
    events: list[Event] = [Generation(epoch=2, moves=[])]
    with pytest.raises(UserError, match=r"event 1: trials take over from others, and scheduler\.name is not pbt"):
        Study.replayed(
            tuning(scheduler={"name": "none", "intervalEpochs": 1}), metric=METRIC, seed=3, epochs=6, events=events
        )


def moved(trial: int, source: int, lr: float) -> Move:
    return Move(trial=trial, source=source, parameters={LR: lr})


def test_the_records_tell_where_a_model_comes_from() -> None:
    events: list[Event] = [
        *(Asked(trial=number, parameters={LR: number / 10}) for number in (1, 2, 3)),
        Generation(epoch=2, moves=[moved(3, 1, 0.12)]),
        Generation(epoch=4, moves=[moved(2, 3, 0.15)]),
        Generation(epoch=6, moves=[moved(3, 2, 0.2), moved(2, 1, 0.08)]),
        *(Ended(trial=number, state="completed", value=0.1 * number, epochs=8) for number in (1, 2, 3)),
    ]
    records = trial_records(events)
    assert [[(each.after_epoch, each.source) for each in one.lineage] for one in records] == [
        [],
        [(0, None), (4, 3), (6, 1)],
        [(0, None), (2, 1), (6, 2)],
    ]
    assert [one.parameters[LR] for one in records] == [0.1, 0.08, 0.2]
    assert [(one.first, one.last, one.trial, one.parameters[LR]) for one in schedule_of(records, 3)] == [
        (1, 2, 1, 0.1),
        (3, 4, 3, 0.12),
        (5, 6, 2, 0.15),
        (7, 8, 3, 0.2),
    ]
    assert schedule_of(records, 1) == []
