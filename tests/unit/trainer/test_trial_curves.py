"""The metric of trials over their epochs: what is kept of it, and its plot."""

from __future__ import annotations

import io
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from headway_api.tuning import Tuning
from headway_trainer.report.curves import curve_of, curves_of, points_each, thin
from headway_trainer.report.model import EpochRecord
from headway_trainer.report.trial_records import TrialRecord
from headway_trainer.report.trials import tuning_result
from headway_trainer.report.tuning_curves import curves_plot
from headway_trainer.report.tuning_model import TuningResult
from headway_trainer.tuning.events import Point

LR = "training.optimizer.lr"


def records(count: int, epochs: int = 3, **fields: Any) -> list[TrialRecord]:
    curve = [(epoch, 0.1 * epoch) for epoch in range(1, epochs + 1)]
    told: dict[str, Any] = {"state": "completed", "value": 0.1 * epochs, "epochs": epochs, "curve": curve, **fields}
    return [TrialRecord(number=number, parameters={LR: 0.1}, **told) for number in range(1, count + 1)]


def searched(trials: list[TrialRecord], best: int | None = 1) -> TuningResult:
    tuning = Tuning.model_validate({"parameters": {LR: {"uniform": {"min": 0, "max": 1}}}})
    results, curves = [one.result() for one in trials], curves_of(trials, best)
    return tuning_result(tuning, "validation/accuracy", results, best=best, ended="", curves=curves)


def test_a_curve_is_of_the_part_and_the_metric_that_trials_are_compared_by() -> None:
    history = [
        EpochRecord(epoch=1, step=5, train={"loss": 3.0}, validation={"loss": 2.0}),
        EpochRecord(epoch=2, step=10, train={"loss": 1.0}),
        EpochRecord(epoch=3, step=15, train={}, validation={"loss": None}),
    ]
    assert curve_of(history, "validation/loss") == [(1, 2.0), (3, None)]
    assert curve_of(history, "train/loss") == [(1, 3.0), (2, 1.0)]


@given(
    values=st.lists(st.none() | st.floats(-1e6, 1e6), max_size=80),
    most=st.integers(3, 30),
    place=st.integers(0, 79),
)
def test_a_thinned_curve_is_bounded_in_order_and_keeps_its_ends_and_its_best(
    values: list[float | None], most: int, place: int
) -> None:
    points: list[Point] = list(enumerate(values, 1))
    best = values[place] if place < len(values) else None
    kept = thin(points, most, best)
    epochs = [epoch for epoch, _ in kept]
    assert len(kept) == min(most, len(points))
    assert epochs == sorted(set(epochs))
    assert [epoch for epoch, _ in kept][:1] == [epoch for epoch, _ in points][:1]
    assert [epoch for epoch, _ in kept][-1:] == [epoch for epoch, _ in points][-1:]
    if best is not None:
        assert best in [values[epoch - 1] for epoch in epochs]
    for epoch, value in kept:
        assert value == (None if values[epoch - 1] is None else pytest.approx(values[epoch - 1], rel=1e-5))


@pytest.mark.parametrize(("trials", "each"), [(1, 50), (2000, 50), (4000, 25), (10_000, 10), (100_000, 8)])
def test_the_more_trials_the_fewer_points_of_each(trials: int, each: int) -> None:
    assert points_each(trials) == each


def test_of_many_trials_the_curves_are_spread_and_the_best_one_is_among_them() -> None:
    numbers = [one.number for one in curves_of(records(10_000), 7777)]
    assert len(numbers) == len(set(numbers)) == 150
    assert numbers == sorted(numbers)
    assert 7777 in numbers
    assert numbers[0] == 1
    assert max(later - one for one, later in pairwise(numbers)) <= 135
    assert [one.number for one in curves_of(records(4), 2)] == [1, 2, 3, 4]
    assert curves_of(records(4, curve=[]), 2) == []


def test_a_result_with_the_curves_of_very_many_trials_stays_small() -> None:
    many = records(10_000, curve=[(epoch, 0.123456) for epoch in range(1, 51)])
    assert sum(len(one.model_dump_json()) for one in curves_of(many, 5)) < 200_000


def test_the_plot_has_a_line_for_each_trial_that_is_marked_by_how_it_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.axes import Axes

    drawn: list[tuple[str, str | None]] = []
    plot, scatter = Axes.plot, Axes.scatter

    def kept_plot(self: Axes, *args: Any, **looks: Any) -> Any:
        drawn.append((f"line of {len(args[0])}", looks["color"]))
        return plot(self, *args, **looks)

    def kept_scatter(self: Axes, *args: Any, **looks: Any) -> Any:
        drawn.append((looks["marker"], looks.get("label")))
        return scatter(self, *args, **looks)

    monkeypatch.setattr(Axes, "plot", kept_plot)
    monkeypatch.setattr(Axes, "scatter", kept_scatter)
    trials = [*records(1), *(one.model_copy(update={"number": 2}) for one in records(1, 2, state="stopped"))]
    trials += [one.model_copy(update={"number": 3, "value": None}) for one in records(1, 4, state="failed")]
    assert curves_plot(searched(trials, best=1)) is not None
    assert drawn == [
        ("line of 2", "#9aa5b1"),
        ("x", "stopped, where it ended"),
        ("line of 4", "black"),
        ("v", "failed, where it ended"),
        ("line of 3", "#d62728"),
        ("*", None),
    ]


@pytest.mark.parametrize(
    "trials",
    [
        records(1, 1),
        records(200, 50),
        records(3, curve=[(1, None), (2, 0.5)]),
        records(30, curve=[(1, 1e300), (2, 0.5), (3, -1e-300)]),
        [*records(20), *records(1, curve=[(1, -1e308), (2, 1e308)])],
    ],
    ids=["one epoch", "many", "no number first", "far outliers", "the largest numbers"],
)
def test_any_curves_can_be_plotted_and_the_same_ones_give_the_same_bytes(trials: list[TrialRecord]) -> None:
    first, second = curves_plot(searched(trials)), curves_plot(searched(trials))
    assert first is not None
    assert first == second
    with Image.open(io.BytesIO(first)) as image:
        assert image.width > 300


def test_trials_without_epochs_have_no_plot_of_them() -> None:
    assert curves_plot(searched(records(3, curve=[]))) is None
    assert curves_plot(searched(records(3, curve=[(1, None)]))) is None
