"""What result.json, report.md and the plots tell of a search by several objectives."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from headway_api.tuning import Tuning
from headway_trainer.report.front_plot import front_plot
from headway_trainer.report.trials import MOST_OF_A_FRONT, best_first, improvements, thinned, tuning_result
from headway_trainer.report.tuning import tuning_section
from headway_trainer.report.tuning_model import TrialResult, TuningResult
from headway_trainer.report.tuning_plots import best_plot, parallel_plot, slices_plot

LR, ACCURACY, SIZE = "training.optimizer.lr", "validation/accuracy", "model/bytes"


def trial(number: int, accuracy: float, size: float, violation: float = 0.0) -> TrialResult:
    return TrialResult(
        number=number,
        parameters={LR: number / 1000},
        state="completed",
        value=accuracy,
        metrics={ACCURACY: accuracy, SIZE: size},
        violation=violation,
        epochs=3,
        seconds=1.0,
    )


FOUR = [trial(1, 0.9, 2000), trial(2, 0.9, 1000), trial(3, 0.8, 500), trial(4, 0.95, 9000, 0.8), trial(5, 0.7, 600)]


def searched(trials: Sequence[TrialResult], **fields: Any) -> TuningResult:
    told: dict[str, Any] = {
        "parameters": {LR: {"uniform": {"min": 0, "max": 1}}},
        "search": {"name": "nsga2"},
        "objectives": [{"metric": ACCURACY}, {"metric": SIZE}],
        "constraints": [{"metric": SIZE, "max": 5000}],
    }
    tuning = Tuning.model_validate(told | fields)
    objectives = tuning_result(tuning, ACCURACY, trials, best=None, ended="").objectives
    ranked = best_first(trials, "max", objectives)
    return tuning_result(tuning, ACCURACY, trials, best=ranked[0].number if ranked else None, ended="it is over")


def test_a_result_names_the_front_and_what_trials_had_to_keep_to() -> None:
    result = searched(FOUR)
    assert (result.front, result.front_trials, result.best) == ([2, 3], 2, 2)
    assert [(one.metric, one.better) for one in result.objectives] == [(ACCURACY, "max"), (SIZE, "min")]
    assert [(one.metric, one.min, one.max) for one in result.constraints] == [(SIZE, None, 5000)]
    assert TuningResult.model_validate_json(result.model_dump_json()) == result


def test_trials_are_ranked_by_violation_value_and_then_the_other_objectives() -> None:
    objectives = searched(FOUR).objectives
    assert [one.number for one in best_first(FOUR, "max", objectives)] == [2, 1, 3, 5, 4]
    assert [one.number for one in improvements(FOUR[::-1], "max", objectives)] == [5, 3, 2]


@given(st.lists(st.integers(), max_size=300), st.integers(2, 120))
def test_of_a_long_front_some_are_named_and_both_ends(numbers: list[int], most: int) -> None:
    found = thinned(numbers, most)
    assert len(found) == min(len(numbers), most)
    assert found[:1] == numbers[:1]
    assert found[-1:] == numbers[-1:]


def test_a_front_of_thousands_is_bounded_and_its_trials_are_in_the_result() -> None:
    many = [trial(number, number / 10_000, 1000 + number) for number in range(1, 3001)]
    result = searched(many)
    assert (len(result.front), result.front_trials) == (MOST_OF_A_FRONT, 3000)
    assert set(result.front) <= {one.number for one in result.trials}
    assert (result.front[0], result.front[-1]) == (3000, 1)
    page = tuning_section(result)
    assert "`trials.jsonl` has 2,980 more trials of the front." in page
    assert front_plot(result) is not None


def test_the_report_has_the_objectives_the_front_and_all_values_of_a_trial() -> None:
    page = tuning_section(searched(FOUR))
    assert "| objectives | validation/accuracy (higher), model/bytes (lower) |" in page
    assert "| constraints | model/bytes at most 5,000 |" in page
    front = page[page.index("### The front") : page.index("### The best trial")]
    assert "| 2 (best) | 0.9 | 1,000 | 0.002 |" in front
    assert "| 3 | 0.8 | 500 | 0.003 |" in front
    assert "| 1 |" not in front
    table = page[page.index("### Trials, the best first") :]
    assert "| 4 | completed | 0.95 | 9,000 | 0.8 | 3 |" in table


def test_the_report_says_that_no_trial_keeps_the_constraints() -> None:
    page = tuning_section(searched([trial(1, 0.9, 9000, 0.8), trial(2, 0.95, 7000, 0.4)]))
    assert "### The front" not in page
    assert (
        "No trial keeps the constraints (model/bytes at most 5,000): the model is that of trial 2, which is the least"
        " far off (validation/accuracy 0.95, model/bytes 7,000)."
    ) in page


def test_a_search_by_one_metric_has_no_front() -> None:
    one = searched(FOUR, objectives=None, metric=ACCURACY, search={"name": "tpe"})
    assert (one.front, one.front_trials, front_plot(one)) == ([], 0, None)
    assert "### The front" not in tuning_section(one)


@pytest.mark.parametrize(
    "trials",
    [
        FOUR,
        FOUR[:1],
        [trial(1, 0.0, 1.7e308), trial(2, 0.0, 1e-300)],
        [trial(1, 0.1, 1e9), trial(2, 0.01, 1e3)],
        [trial(1, 0.9, 9000, 0.8)],
        [trial(number, -number, number) for number in range(1, 500)],
    ],
    ids=["some", "one", "very far apart", "far apart", "none that keeps constraints", "many"],
)
def test_any_trials_of_two_objectives_can_be_plotted_the_same_each_time(trials: list[TrialResult]) -> None:
    result = searched(trials)
    first, second = front_plot(result), front_plot(result)
    assert first is not None
    assert first == second
    with Image.open(io.BytesIO(first)) as image:
        assert image.width > 300
    for plot in (best_plot, slices_plot, parallel_plot):
        plot(result)


def test_trials_of_which_none_has_values_have_no_plot() -> None:
    failed = TrialResult(number=1, parameters={}, state="failed")
    assert front_plot(searched([failed])) is None
