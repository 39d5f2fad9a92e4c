"""Repeats of promising trials with other seeds: which are repeated, what they are judged by, and that the log holds."""

from __future__ import annotations

import random
import statistics
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headway_api.tuning import Tuning
from headway_trainer.errors import UserError
from headway_trainer.report.trial_records import TrialRecord, trial_records
from headway_trainer.tuning.events import Asked, Ended, Event, Repeated, Reported
from headway_trainer.tuning.repeats import judged, seed_of
from headway_trainer.tuning.study import Study
from headway_trainer.tuning.trial import Trial
from studies import MIXED, mixed, replayed, study, tuning

EPOCHS = 9


def of(**fields: Any) -> Tuning:
    return tuning(MIXED, **{"seeds": 3, "trials": 8, "search": {"name": "random"}, **fields})


class Runner:
    """Runs a study as the stage does: repeats before new trials, several at once, in an order that chance has."""

    def __init__(self, one: Study, draw: random.Random, *, at_once: int = 3, fails: float = 0.0) -> None:
        self.study, self.draw, self.at_once, self.fails = one, draw, at_once, fails
        self.events: list[Event] = []
        self.best: list[int | None] = []

    def run(self) -> list[Event]:
        """All events, to the end."""
        while self.step():
            self.best.append(self.study.best.number if self.study.best else None)
        return self.events

    def step(self) -> bool:
        """One event, which is kept; whether there was one."""
        working = self.study.at_work
        if len(working) < self.at_once and (not working or self.draw.random() < 0.5):
            begun = self.study.repeat() or self.study.ask()
            if begun is not None:
                self.events.append(begun)
                return True
        if not working:
            waits = self.study.repeat(to_end=True) if self.study.stop_running else None
            self.events += [waits] if waits is not None else []
            return waits is not None
        self.events.append(self._advance(self.draw.choice(working)))
        return True

    def _advance(self, one: Trial) -> Event:
        due = [epoch for epoch in sorted(self.study.judged_at(one.number, one.repeat)) if epoch > one.epochs]
        stopped = one.told_to_stop is not None or self.study.stop_running
        if due and not stopped:
            return self.study.report(one.number, due[0], self._value(one, due[0]), one.repeat)
        last = one.epochs if stopped else EPOCHS
        state = "stopped" if stopped else "completed"
        value = self._value(one, last) if last else None
        if self.draw.random() < self.fails:
            state, value = "failed", None
        cause = f"E{len(self.events)}"  # five alike in a row would end the search
        told = {"state": state, "value": value, "epochs": last, "seconds": 1, "cause": cause}
        return self.study.end(Ended.model_validate({"trial": one.number, "repeat": one.repeat, **told}))

    def _value(self, one: Trial, epoch: int) -> float:
        """As others do with these parameters, and some noise that its seed has."""
        return mixed(one.parameters, epoch) * (1 + 0.2 * random.Random(f"{one.number} {one.repeat}").random())  # noqa: S311


def known(one: Study) -> Any:
    """All that a study tells of itself."""
    return one.trials, one.best, one.running, one.at_work, one.over, one.broken, one.stop_running


@pytest.mark.parametrize("scheduler", ["none", "asha", "median", "hyperband"])
@settings(max_examples=6, deadline=None)
@given(
    chance=st.randoms(use_true_random=False),
    cut=st.floats(0, 1),
    fails=st.sampled_from([0.0, 0.2]),
    budget=st.sampled_from([{}, {"epochs": 60}]),
)
def test_replaying_any_beginning_of_the_log_gives_the_study_that_it_was(
    scheduler: str, chance: random.Random, cut: float, fails: float, budget: dict[str, int]
) -> None:
    spec = of(scheduler={"name": scheduler}, budget=budget)
    whole = Runner(study(spec), chance, fails=fails)
    events = whole.run()
    assert known(replayed(spec, events)) == known(whole.study)
    beginning = events[: int(cut * len(events))]
    again = replayed(spec, beginning)
    for event in events[len(beginning) :]:
        match event:
            case Asked():
                assert again.ask() == event
            case Repeated():
                assert again.repeat(to_end=again.stop_running) == event
            case Ended():
                assert again.end(event) == event
            case Reported():
                assert again.report(event.trial, event.epoch, event.value, event.repeat) == event
    assert known(again) == known(whole.study)


@settings(max_examples=30, deadline=None)
@given(chance=st.randoms(use_true_random=False), fails=st.sampled_from([0.0, 0.15]), seeds=st.integers(2, 5))
def test_the_best_is_the_one_whose_mean_over_all_seeds_is_least_as_can_be_computed_from_the_list_of_trials(
    chance: random.Random, fails: float, seeds: int
) -> None:
    runner = Runner(study(of(seeds=seeds)), chance, fails=fails)
    records = {one.number: one for one in trial_records(runner.run())}
    assert len(records) <= 8, "repeats are no trials"
    means = {}
    for one in records.values():
        values = [one.own_value, *(each.value for each in one.repeats)]
        assert len(one.repeats) in (0, seeds - 1)
        assert [each.seed for each in one.repeats] == [seed_of(7, number) for number in range(2, seeds + 1)][
            : len(one.repeats)
        ]
        if one.repeats and one.state == "completed":
            means[one.number] = statistics.fmean(value for value in values if value is not None)
            assert one.value == pytest.approx(means[one.number])
            assert one.deviation == pytest.approx(statistics.stdev(value for value in values if value is not None))
        if any(each.state == "failed" for each in one.repeats):
            assert (one.state, one.value) == ("failed", None)
            assert one.cause in [each.cause for each in one.repeats]
    best = runner.study.best
    if means:
        assert best is not None
        assert best.number == min(means, key=lambda number: (means[number], number))
    for number, one in records.items():
        known = runner.study.trials[number]
        assert (one.state, one.value, one.deviation, one.epochs) == (
            known.state,
            known.value,
            known.deviation,
            known.epochs,
        )


def ran(one: Study, *values: float, state: str = "completed") -> list[int]:
    """Run one trial with these values, its own first; how many repeats it was to have after each training."""
    asked = one.ask()
    assert asked is not None
    wanted = []
    for number, value in enumerate(values, 1):
        if number > 1:
            event = one.repeat()
            assert event is not None
            assert (event.trial, event.repeat) == (asked.trial, number)
        ended = Ended(trial=asked.trial, repeat=number, state=state, value=value, epochs=EPOCHS)
        wanted.append(one.end(ended).repeats)
    return wanted


def test_only_a_trial_that_is_better_than_the_best_mean_is_repeated_and_only_a_better_mean_is_the_best() -> None:
    one = study(of(seeds=2))
    assert ran(one, 0.5, 0.7) == [1, 0], "the first one, as there is no best"
    assert one.best is not None
    assert one.best.number == 1
    assert one.best.value == pytest.approx(0.6)
    assert ran(one, 0.65) == [0]
    assert ran(one, 0.4, 0.9) == [1, 0], "it was lucky: its mean is 0.65"
    assert one.best.number == 1
    assert ran(one, 0.55, 0.57) == [1, 0]
    assert one.best.number == 4
    assert one.best.value == pytest.approx(0.56)
    assert one.repeat() is None


def test_a_trial_waits_for_its_repeats_and_they_come_before_a_new_trial() -> None:
    one = study(of())
    ask = one.ask()
    assert ask is not None
    one.end(Ended(trial=1, state="completed", value=0.5, epochs=EPOCHS))
    assert (one.best, [each.number for each in one.running], one.at_work) == (None, [1], ())
    assert one.may_repeat
    first, second = one.repeat(), one.repeat()
    assert (first and first.repeat, second and second.repeat, one.repeat()) == (2, 3, None)
    one.end(Ended(trial=1, repeat=3, state="completed", value=0.7, epochs=EPOCHS))
    assert [(each.number, each.repeat) for each in one.at_work] == [(1, 2)]
    one.end(Ended(trial=1, repeat=2, state="completed", value=0.6, epochs=EPOCHS))
    assert one.best is not None
    assert one.best.value == pytest.approx(0.6)
    assert one.best.deviation == pytest.approx(0.1)
    assert one.running == ()


def test_one_seed_that_fails_fails_the_trial_and_says_which_it_was() -> None:
    own = Ended(trial=1, state="completed", value=0.5, epochs=EPOCHS)
    failed = Ended(trial=1, repeat=3, state="failed", cause="UserError", message="the loss is no finite number")
    told = judged(own, [own.model_copy(update={"repeat": 2}), failed])
    assert (told.state, told.value, told.cause, told.whole) == ("failed", None, "UserError", False)
    assert told.message == "with the seed of its repeat 3: the loss is no finite number"


def test_a_repeat_that_the_end_of_the_search_cut_short_is_not_compared_with_whole_ones() -> None:
    own = Ended(trial=1, state="completed", value=0.5, epochs=EPOCHS)
    cut = Ended(trial=1, repeat=2, state="stopped", value=0.1, epochs=2)
    told = judged(own, [cut])
    assert (told.state, told.value, told.deviation, told.whole) == ("stopped", 0.5, None, False)
    one = study(of(seeds=2, stopWhen={"value": 0.3}))
    ran(one, 0.5, 0.5)
    assert ran(one, 0.2, 0.9) == [1, 0], "0.2 is the value of one seed, and stopWhen is about the mean"
    assert not one.stop_running
    ran(one, 0.25, 0.3)
    assert one.stop_running
    assert one.best is not None
    assert one.best.number == 3


def test_where_the_budget_leaves_no_repeat_the_best_of_single_values_is_kept() -> None:
    one = study(of(seeds=2, budget={"epochs": 2 * EPOCHS}))
    one.ask(), one.ask()
    one.end(Ended(trial=1, state="completed", value=0.5, epochs=EPOCHS))
    assert one.end(Ended(trial=2, state="completed", value=0.4, epochs=EPOCHS)).repeats == 1, "before the budget is up"
    assert one.stop_running
    assert one.repeat() is None
    while (event := one.repeat(to_end=True)) is not None:
        one.end(Ended(trial=event.trial, repeat=event.repeat, state="stopped"))
    assert one.best is not None
    assert (one.best.number, one.best.value, one.running) == (2, 0.4, ())


def test_a_repeat_is_not_stopped_by_the_scheduler_but_by_a_budget_to_the_epoch() -> None:
    spec = of(scheduler={"name": "asha"})
    one = study(spec)
    ran(one, 0.5, 0.5, 0.5)
    asked = one.ask()
    assert asked is not None
    one.end(Ended(trial=2, state="completed", value=0.4, epochs=EPOCHS))
    assert one.repeat() is not None
    assert (one.judged_at(2), one.judged_at(2, 2)) == (frozenset({1, 3}), frozenset())
    counted = study(of(scheduler={"name": "asha"}, budget={"epochs": 12}))
    counted.ask()
    counted.end(Ended(trial=1, state="completed", value=0.4, epochs=EPOCHS))
    counted.repeat()
    assert counted.judged_at(1, 2) == frozenset(range(1, EPOCHS))
    assert [counted.report(1, epoch, 0.9, 2).goes_on for epoch in (1, 2, 3)] == [True, True, False]


def test_what_others_report_is_not_compared_with_what_repeats_do() -> None:
    """The second repeat's bad values at rung 1 stop nobody, and make nobody look good."""
    plain, repeated = study(of(seeds=1, scheduler={"name": "asha"})), study(of(scheduler={"name": "asha"}))
    for one in (plain, repeated):
        one.ask()
        assert one.report(1, 1, 0.5).goes_on
        one.end(Ended(trial=1, state="completed", value=0.4, epochs=EPOCHS))
    assert repeated.repeat() is not None
    repeated.report(1, 1, 0.1, 2)
    for one in (plain, repeated):
        one.ask()
    assert plain.report(2, 1, 0.45).goes_on == repeated.report(2, 1, 0.45).goes_on


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (Repeated(trial=1, repeat=2, seed=1), "repeat 2 of trial 1 begins, and is not awaited"),
        (Ended(trial=1, repeat=2, state="completed", value=0.1), "repeat 2 of trial 1 has not begun"),
        (Reported(trial=1, repeat=3, epoch=1, value=0.1, goes_on=True), "repeat 3 of trial 1 has not begun"),
    ],
)
def test_a_log_with_repeats_of_another_study_is_one_sentence(event: Event, why: str) -> None:
    spec = of()
    one = study(spec)
    asked = one.ask()
    assert asked is not None
    with pytest.raises(UserError, match=why):
        replayed(spec, [asked, event])


def test_of_a_search_that_goes_on_a_trial_runs_until_its_repeats_have_ended() -> None:
    one = study(of(seeds=2))
    asked = one.ask()
    assert asked is not None
    events: list[Event] = [asked, one.end(Ended(trial=1, state="completed", value=0.5, epochs=EPOCHS))]
    begun = one.repeat()
    assert begun is not None
    events.append(begun)

    def told() -> TrialRecord:
        return trial_records(events)[0]

    assert (told().state, told().value, told().own_value, told().ended) == ("running", 0.5, 0.5, None)
    assert [(each.repeat, each.state) for each in told().repeats] == [(2, "running")]
    events.append(one.end(Ended(trial=1, repeat=2, state="completed", value=0.7, epochs=EPOCHS, seconds=2)))
    assert (told().state, told().own_value) == ("completed", 0.5)
    assert told().value == pytest.approx(0.6)
    assert [(each.state, each.value, each.seconds) for each in told().repeats] == [("completed", 0.7, 2.0)]
