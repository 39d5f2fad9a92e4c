"""Schedulers stop what their rules say, by an independent computation from what was reported."""

from __future__ import annotations

import random
import statistics
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headway_trainer.tuning.events import Reported
from headway_trainer.tuning.schedulers.asha import Asha
from headway_trainer.tuning.schedulers.hyperband import Hyperband
from headway_trainer.tuning.schedulers.median import Median
from studies import NUMBERS, Driver, study, tuning

EPOCHS = 30


def reports(mode: str, values: st.DataObject, chance: random.Random, **scheduler: Any) -> list[Reported]:
    """What the trials of a study reported, four at a time."""
    few = st.integers(0, 8).map(float)
    one = study(tuning(NUMBERS, mode=mode, search={"name": "random"}, trials=14, scheduler=scheduler), epochs=EPOCHS)
    driver = Driver(one, lambda *_: values.draw(few), epochs=EPOCHS, draw=chance)
    driver.run()
    return [event for event in driver.events if isinstance(event, Reported)]


def asha_says(history: list[Reported], now: Reported, reduction: int, mode: str) -> bool:
    """Whether fewer trials at this rung are as good or better than one in `reduction` of them, itself counted in."""
    sign = 1 if mode == "min" else -1
    rung = [sign * (event.value or 0.0) for event in history if event.epoch == now.epoch]
    better = sum(loss <= sign * (now.value or 0.0) for loss in rung)
    return better + 1 <= max(1, (len(rung) + 1) // reduction)


@pytest.mark.parametrize("mode", ["min", "max"])
@settings(max_examples=15, deadline=None)
@given(values=st.data(), chance=st.randoms(use_true_random=False), grace=st.integers(1, 4), reduction=st.integers(2, 4))
def test_asha_stops_all_but_one_in_so_many_at_each_rung(
    mode: str, values: st.DataObject, chance: random.Random, grace: int, reduction: int
) -> None:
    said = reports(mode, values, chance, name="asha", graceEpochs=grace, reductionFactor=reduction)
    rungs = {grace * reduction**power for power in range(6)}
    assert {event.epoch for event in said} <= {rung for rung in rungs if rung < EPOCHS}
    assert [event.goes_on for event in said] == [
        asha_says(said[:index], event, reduction, mode) for index, event in enumerate(said)
    ]


def median_says(history: list[Reported], now: Reported, grace: int, mode: str) -> bool:
    sign = 1 if mode == "min" else -1
    losses: dict[int, dict[int, float]] = {}
    for event in [*history, now]:
        assert event.value is not None
        losses.setdefault(event.trial, {})[event.epoch] = sign * event.value
    own = losses.pop(now.trial)
    averages = [
        statistics.fmean(loss for epoch, loss in other.items() if epoch <= now.epoch)
        for other in losses.values()
        if now.epoch in other
    ]
    return now.epoch < grace or len(averages) < 3 or min(own.values()) <= statistics.median(averages)


@pytest.mark.parametrize("mode", ["min", "max"])
@settings(max_examples=10, deadline=None)
@given(values=st.data(), chance=st.randoms(use_true_random=False), grace=st.integers(1, 6))
def test_the_median_rule_stops_what_is_worse_than_the_median_of_the_others_averages(
    mode: str, values: st.DataObject, chance: random.Random, grace: int
) -> None:
    said = reports(mode, values, chance, name="median", graceEpochs=grace)
    assert [event.goes_on for event in said] == [
        median_says(said[:index], event, grace, mode) for index, event in enumerate(said)
    ]


@pytest.mark.parametrize("mode", ["min", "max"])
@settings(max_examples=10, deadline=None)
@given(values=st.data(), chance=st.randoms(use_true_random=False), reduction=st.integers(2, 4))
def test_hyperband_judges_the_trials_of_each_bracket_among_themselves(
    mode: str, values: st.DataObject, chance: random.Random, reduction: int
) -> None:
    said = reports(mode, values, chance, name="hyperband", reductionFactor=reduction)
    brackets = Hyperband(1, reduction, EPOCHS)
    for index, event in enumerate(said):
        own = brackets.bracket(event.trial)
        assert event.epoch in {reduction**power for power in range(own, 6)}
        beside = [other for other in said[:index] if brackets.bracket(other.trial) == own]
        assert event.goes_on == asha_says(beside, event, reduction, mode)


def test_the_brackets_of_hyperband_have_the_sizes_of_the_paper() -> None:
    """Li et al., table 1: 81 epochs at most, by 3."""
    scheduler = Hyperband(1, 3, 81)
    turns = [scheduler.bracket(trial) for trial in range(1, 144)]
    assert [turns.count(bracket) for bracket in range(5)] == [81, 34, 15, 8, 5]
    assert [scheduler.bracket(trial) for trial in range(144, 287)] == turns
    assert set(turns[:20]) == {0, 1, 2, 3, 4}
    judged = {scheduler.bracket(trial): scheduler.judged_at(trial, 81) for trial in range(1, 144)}
    assert judged == {0: {1, 3, 9, 27}, 1: {3, 9, 27}, 2: {9, 27}, 3: {27}, 4: frozenset()}


@pytest.mark.parametrize("scheduler", [Asha(1, 3), Median(1), Hyperband(1, 3, 9)])
def test_the_last_epoch_is_not_judged(scheduler: Asha | Median | Hyperband) -> None:
    for trial in range(1, 20):
        assert all(epoch < 9 for epoch in scheduler.judged_at(trial, 9))
        assert scheduler.judged_at(trial, 1) == frozenset()


def test_asha_needs_a_fraction_of_the_epochs_and_keeps_a_trial_as_good() -> None:
    found = []
    for name in ("none", "asha"):
        one = study(tuning(NUMBERS, search={"name": "random"}, scheduler={"name": name}, trials=81), epochs=27)
        Driver(one, epochs=27).run()
        assert one.best is not None
        found.append((sum(trial.epochs for trial in one.trials.values()), one.best.number))
    (whole, best), (part, kept) = found
    assert kept == best
    assert part < whole / 3
