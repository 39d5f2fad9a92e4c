"""A search for better parameters as result.json and report.md tell of it: all of it where it is small, and the part
that matters where it is not."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from headway_api.tuning import Tuning
from headway_trainer.errors import NotFound, UserError
from headway_trainer.publish import RESULT_NAMES, publish_result
from headway_trainer.report.markdown import render
from headway_trainer.report.model import RunResult, result_schema
from headway_trainer.report.trial_records import read_trials, trial_records, write_trials
from headway_trainer.report.trials import best_first, bounded, improvements, tuning_result
from headway_trainer.report.tuning import tuning_section, value_told
from headway_trainer.report.tuning_model import Retrained, ScheduledValues, TrialResult, TuningResult
from headway_trainer.report.tuning_plots import Limits, Scale, best_plot, parallel_plot, slices_plot
from headway_trainer.storage import Store
from headway_trainer.tuning.events import Asked, Ended, Event, Reported

LR, HIDDEN, NAME = "training.optimizer.lr", "model.options.hidden", "training.optimizer.name"


def trial(number: int, value: float | None = None, **fields: Any) -> TrialResult:
    told: dict[str, Any] = {
        "number": number,
        "parameters": {LR: 0.001 * number, HIDDEN: [32 * number]},
        "state": "completed" if value is not None else "failed",
        "value": value,
        "epochs": 9,
        "seconds": 1.5,
    }
    return TrialResult.model_validate(told | fields)


def tuning(**fields: Any) -> Tuning:
    parameters = {
        LR: {"logUniform": {"min": 1e-4, "max": 0.1}},
        HIDDEN: {"choice": [[32], [64]]},
        NAME: {"choice": ["sgd", "adamw"]},
        **{f"model.options.p{index}": {"int": {"min": 0, "max": 99}} for index in range(60)},
    }
    return Tuning.model_validate({"parameters": parameters, "scheduler": {"name": "asha"}} | fields)


def searched(trials: Sequence[TrialResult], **fields: Any) -> TuningResult:
    ranked = best_first(trials, "max")
    told: dict[str, Any] = {"best": ranked[0].number if ranked else None, "ended": "all 4 trials have begun"}
    return tuning_result(tuning(), "validation/accuracy", trials, **(told | fields))


SOME = [
    trial(1, 0.91),
    trial(2, 0.95, state="stopped", epochs=3),
    trial(3, 0.93),
    trial(4, cause="UserError", message="model.options.hidden: 128 units do not fit."),
]


def run(result: TuningResult | None) -> RunResult:
    return RunResult(
        job="digits",
        outcome="Succeeded",
        seed=1,
        world_size=2,
        started="2026-01-01T00:00:00Z",
        finished="2026-01-01T00:01:00Z",
        duration_seconds=60.0,
        tuning=result,
    )


def page(result: TuningResult | None) -> str:
    return render(run(result), loss=False, confusion=False)


# Of a population.


def changes(count: int) -> list[ScheduledValues]:
    return [
        ScheduledValues(
            first=3 * number - 2, last=3 * number - (number % 2), trial=number, parameters={LR: 0.1 * number}
        )
        for number in range(1, count + 1)
    ]


def test_the_page_tells_what_the_best_trials_model_was_trained_with_where_its_values_changed() -> None:
    told = page(searched(SOME, takeovers=7, schedule=changes(3)))
    assert "| checkpoints taken over | 7 |" in told
    assert "### What the best trial's model was trained with" in told
    assert "| 1-2 | 1 | 0.1 |\n| 4-6 | 2 | 0.2 |\n| 7-8 | 3 | 0.3 |\n" in told
    plain = page(searched(SOME))
    assert "taken over" not in plain
    assert "was trained with" not in plain


def test_of_many_changes_the_newest_are_told() -> None:
    result = searched(SOME, takeovers=900, schedule=changes(500))
    assert [one.trial for one in result.schedule] == list(range(301, 501))
    told = page(result)
    assert "`result.json` has 180 more changes before them." in told
    assert told.count("\n| 14") + told.count("\n| 15") >= 20


def test_it_is_said_that_a_model_which_was_trained_anew_is_no_trials() -> None:
    told = page(searched(SOME, retrained=Retrained(rows=1617, epochs=7)))
    assert (
        "The model is not the best trial's: it was trained again for 7 epochs, the best trial's best, with the best "
        "trial's parameters, on the 1,617 rows of the training and the validation part. The values in this section are "
        "those of the trials' models"
    ) in told
    without_epochs = page(searched(SOME, retrained=Retrained(rows=12, epochs=None)))
    assert "it was trained again with the best trial's parameters, on the 12 rows" in without_epochs
    assert "trained again" not in page(searched(SOME))


def repeated(number: int, *values: float, deviation: float | None = 0.01) -> TrialResult:
    """A trial with its own value and those of its repeats."""
    repeats = [
        {"repeat": index, "seed": 40 + index, "state": "completed", "value": value, "epochs": 9, "seconds": 1.0}
        for index, value in enumerate(values[1:], 2)
    ]
    mean = sum(values) / len(values)
    return trial(number, mean, own_value=values[0], deviation=deviation, repeats=repeats)


def test_the_mean_of_a_trial_that_was_repeated_stands_with_its_deviation_and_says_which_value_the_model_has() -> None:
    result = tuning_result(
        tuning(seeds=3), "validation/accuracy", [repeated(1, 0.95, 0.93, 0.94), trial(2, 0.9)], best=1, ended="done"
    )
    assert (result.seeds, result.epochs, result.seconds, result.counts) == (3, 36, 5.0, {"completed": 2})
    told = page(result)
    assert "| best | 0.94 ± 0.01 (3 seeds), trial 1 |" in told
    assert "| seeds | 3 |" in told
    assert "| 1 | completed | 0.94 ± 0.01 (3 seeds) | 9 |" in told
    assert "| 2 | completed | 0.9 | 9 |" in told
    assert "The model of the best trial is the one with the job's own seed, whose value is 0.95." in told
    cut = tuning_result(tuning(seeds=3), "validation/accuracy", [trial(2, 0.9)], best=2, ended="the budget is used up")
    assert "so the best one's value is of one seed alone" in page(cut)
    assert "seeds" not in page(searched(SOME))


# For programs.


def test_a_search_is_counted_and_the_direction_follows_the_metric() -> None:
    told = searched(SOME)
    assert told.better == "max"
    assert told.counts == {"completed": 2, "stopped": 1, "failed": 1}
    assert (told.epochs, told.seconds, told.best) == (30, 6.0, 2)
    assert [one.number for one in told.trials] == [1, 2, 3, 4]
    assert (told.search, told.scheduler) == ("tpe", "asha")
    assert tuning_result(tuning(mode="min"), "mine", [], best=None, ended="").better == "min"


def test_a_result_with_trials_fits_the_published_schema_and_is_read_back_the_same() -> None:
    result = searched(SOME, importances={HIDDEN: 0.25, LR: 0.75})
    document = json.loads(result.model_dump_json())
    schema = json.loads(result_schema())
    jsonschema.Draft202012Validator({**schema["$defs"]["TuningResult"], "$defs": schema["$defs"]}).validate(document)
    assert TuningResult.model_validate(document) == result
    assert document["trials"][3] == {
        "number": 4,
        "parameters": {LR: 0.004, HIDDEN: [128]},
        "state": "failed",
        "value": None,
        "metrics": {},
        "violation": 0.0,
        "ownValue": None,
        "deviation": None,
        "repeats": [],
        "epochs": 9,
        "bestEpoch": None,
        "folds": [],
        "seconds": 1.5,
        "cause": "UserError",
        "message": "model.options.hidden: 128 units do not fit.",
    }
    assert list(document["importances"]) == [LR, HIDDEN], "the greatest first"


@pytest.mark.parametrize(
    ("values", "better", "numbers"),
    [
        ([3.0, 2.0, 2.0, 5.0, 1.0], "min", [1, 2, 5]),
        ([3.0, 2.0, 3.0, 5.0, 1.0], "max", [1, 4]),
        ([None, 2.0, None, 1.0], "min", [2, 4]),
        ([None, None], "min", []),
        ([-1.0, 0.0, -2.0], "min", [1, 3]),
    ],
)
def test_improvements_are_better_than_all_before_them(
    values: list[float | None], better: Any, numbers: list[int]
) -> None:
    trials = [trial(number, value) for number, value in enumerate(values, 1)]
    assert [one.number for one in improvements(trials, better)] == numbers


def test_of_equal_trials_the_earlier_is_the_better_one() -> None:
    trials = [trial(1, 0.5), trial(3, 0.9), trial(2, 0.9), trial(4)]
    assert [one.number for one in best_first(trials, "max")] == [2, 3, 1]
    assert [one.number for one in best_first(trials, "min")] == [1, 2, 3]


def test_of_many_trials_the_best_those_that_led_and_some_that_failed_are_kept() -> None:
    failures = [trial(number) for number in range(1, 101)]
    worse = [trial(number, float(number)) for number in range(101, 2001)]  # each is better than all before it
    kept = bounded([*failures, *worse, trial(2001, 5000.0), trial(2002, 1.0)], "max", 2001)
    numbers = [one.number for one in kept]
    assert len(numbers) == 1000
    assert numbers == sorted(numbers)
    assert numbers[:50] == list(range(1, 51)), "the first that failed"
    assert {2001, *range(1501, 2001)} <= set(numbers)
    assert 2002 not in numbers, "the worst of all"


def test_trials_with_long_values_are_bounded_by_what_they_take() -> None:
    long = {f"model.options.p{index}": "x" * 256 for index in range(60)}
    trials = [trial(number, float(number), parameters=long) for number in range(1, 1001)]
    result = tuning_result(tuning(), "validation/accuracy", trials, best=1000, ended="")
    assert result.counts == {"completed": 1000}
    assert 100 < len(result.trials) < 300
    assert result.trials[-1].number == 1000
    assert len(result.model_dump_json()) < 5_000_000


def test_the_best_trial_is_kept_whatever_it_takes() -> None:
    huge = trial(1, 1.0, parameters={"model.options.layers": ["x" * 256] * 30_000})
    assert [one.number for one in bounded([huge, trial(2, 0.5)], "max", 1)] == [1]


@given(
    values=st.lists(st.none() | st.floats(-1e6, 1e6), max_size=40),
    better=st.sampled_from(["min", "max"]),
    most=st.integers(1, 10),
)
def test_what_is_kept_is_a_part_of_the_trials_with_the_best_and_the_leaders_first(
    values: list[float | None], better: Any, most: int
) -> None:
    trials = [trial(number, value) for number, value in enumerate(values, 1)]
    ranked = best_first(trials, better)
    best = ranked[0].number if ranked else None
    kept = bounded(trials, better, best, most=most)
    assert len(kept) == min(most, len(trials))
    assert [one.number for one in kept] == sorted({one.number for one in kept})
    assert all(one in trials for one in kept)
    assert best is None or best in [one.number for one in kept]
    leaders = improvements(trials, better)
    if len(leaders) <= most:
        assert improvements(kept, better) == leaders


# For people.


def test_a_run_without_a_search_has_no_section_about_one() -> None:
    assert tuning_section(None) == ""
    assert "Tuning" not in page(None)


def test_the_page_tells_the_search_its_best_trial_and_why_it_ended() -> None:
    told = page(searched(SOME, importances={LR: 0.75, HIDDEN: 0.25}))
    for line in (
        "## Tuning",
        "| metric | validation/accuracy, higher is better |",
        "| best | 0.95, trial 2 |",
        "| trials | 4: 2 completed, 1 stopped, 1 failed |",
        "| epochs of all trials | 30 |",
        "| the search ended, as | all 4 trials have begun |",
        "| training.optimizer.lr | 0.002 | 75.0% |",
        r"| model.options.hidden | \[64\] | 25.0% |",
        "| trial | state | validation/accuracy | epochs | seconds | training.optimizer.lr | model.options.hidden |",
        r"| 2 | stopped | 0.95 | 3 | 1.5 | 0.002 | \[64\] |",
        "| 4 | UserError | model.options.hidden: 128 units do not fit. |",
    ):
        assert line in told, line
    assert told.index("| 2 | stopped |") < told.index("| 3 | completed |") < told.index("| 1 | completed |")
    assert "trials.jsonl" not in told, "the page has all"


def test_trials_over_folds_are_told_with_the_deviation_of_their_folds() -> None:
    told = page(searched([trial(1, 0.8, folds=[0.7, 0.9]), trial(2, 0.9, folds=[0.9, 0.9])]))
    assert "| trial | state | validation/accuracy, mean | over folds | epochs |" in told
    assert "| 1 | completed | 0.8 | ± 0.1414 | 9 |" in told, "n - 1"
    assert "| 2 | completed | 0.9 | ± 0 | 9 |" in told
    assert "over folds" not in page(searched(SOME))


def test_parameters_without_importances_have_no_column_of_them() -> None:
    told = page(searched(SOME))
    assert "| parameter | best value |\n" in told
    assert "importance" not in told.lower()


def test_a_parameter_that_did_not_apply_is_an_empty_cell() -> None:
    told = page(searched([trial(1, 0.9, parameters={NAME: "sgd", LR: 0.5}), trial(2, 0.8, parameters={NAME: "adam"})]))
    assert "| 1 | completed | 0.9 | 9 | 1.5 | 0.5 | sgd |" in told
    assert "| 2 | completed | 0.8 | 9 | 1.5 |  | adam |" in told


def test_a_search_in_which_all_failed_is_told_so() -> None:
    told = page(searched([trial(number, cause="UserError", message="No.") for number in range(1, 31)]))
    assert "No trial has a value" in told
    assert "`trials.jsonl` has 20 more that failed." in told
    assert "the best first" not in told


def test_a_large_search_is_a_short_section_that_says_where_the_rest_is() -> None:
    many = {f"model.options.p{index}": index for index in range(60)}
    told = page(searched([trial(number, number / 1000, parameters=many) for number in range(1, 10_001)]))
    assert "| trials | 10,000: 10,000 completed |" in told
    assert "`trials.jsonl` has 52 more parameters and 9,980 more trials." in told
    assert len(told.splitlines()) < 150


EVIL = "a|b\n# c <script>alert(1)</script> ![](http://x) www.y.org \x1b[31m *d* `f` \u202e" + "z" * 200


@pytest.mark.parametrize(
    "result",
    [
        searched([trial(1, 0.5, parameters={NAME: EVIL})]),
        searched([trial(1, 0.5, parameters={NAME: [EVIL, EVIL]})]),
        searched([trial(1, cause=EVIL, message=EVIL)]),
        searched(SOME, ended=EVIL),
        searched([trial(1, 0.5, parameters={EVIL: 1})]).model_copy(update={"parameters": {EVIL: "choice"}}),
    ],
    ids=["a value", "a list", "a failure", "why it ended", "a parameter's name"],
)
def test_what_tenants_write_cannot_break_the_page(result: TuningResult) -> None:
    told = page(result)
    for mark in ("<script>", "\n# c", "![](", "http://", "www.", " *d*", " `f`", "\x1b", "\u202e"):
        assert mark not in told, mark
    for line in told.splitlines():
        assert len(line) < 1000
        if line.startswith("| "):
            assert line.endswith(" |")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0.000123456789, "0.000123457"),
        (64, "64"),
        (True, "true"),
        ([32, 64], "[32, 64]"),
        ("adamw", "adamw"),
        ("x" * 41, "x" * 39 + "…"),
        (["ä"], '["ä"]'),
    ],
)
def test_a_parameter_s_value_is_told_in_a_few_signs(value: Any, told: str) -> None:
    assert value_told(value) == told


# Plots.


def test_plots_of_a_search_are_images_and_the_same_bytes_each_time() -> None:
    for plot in (best_plot, slices_plot, parallel_plot):
        first, second = plot(searched(SOME)), plot(searched(SOME))
        assert first is not None
        assert first == second
        with Image.open(io.BytesIO(first)) as image:
            assert image.width > 300


def test_a_search_without_a_value_has_no_plots() -> None:
    nothing = searched([trial(1), trial(2, state="running")])
    assert [plot(nothing) for plot in (best_plot, slices_plot, parallel_plot)] == [None, None, None]


@pytest.mark.parametrize(
    "trials",
    [
        [trial(1, 0.5)],
        [trial(1, 0.5), trial(2, 0.5)],
        [trial(1, 0.5, parameters={LR: 0.1}), trial(2, 0.6, parameters={HIDDEN: [1]})],
        [trial(number, 0.5, parameters={NAME: EVIL + str(number)}) for number in range(1, 60)],
        [trial(number, 0.5, parameters={HIDDEN: value}) for number, value in enumerate(["$x^2", True, 1.5, [1]], 1)],
        [trial(number, 1e300 if number < 3 else number * 1e-9) for number in range(1, 50)],
        [trial(number, float(number), parameters={}) for number in range(1, 5)],
    ],
    ids=["one", "equal", "conditional", "many long texts", "mixed kinds", "far outliers", "no parameters"],
)
def test_any_trials_can_be_plotted(trials: list[TrialResult]) -> None:
    result = searched(trials)
    assert best_plot(result) is not None
    slices_plot(result)
    parallel_plot(result)


def test_values_that_are_far_worse_than_nine_in_ten_are_drawn_at_the_edge() -> None:
    limits = Limits.of([*(0.9 + index / 1000 for index in range(19)), 0.1], "max")
    assert [limits.low, limits.high] == pytest.approx([0.901, 0.918])
    assert limits.markers([0.1, 0.91, 2.0]) == {"v": [0], "o": [1], "^": [2]}
    assert [limits.within(0.1), limits.share(0.1), limits.share(0.918)] == pytest.approx([0.901, 0.0, 1.0])
    whole = Limits.of([0.5, 0.6, 0.7, 0.9], "max")
    assert (whole.low, whole.high) == (0.5, 0.9)


@pytest.mark.parametrize(
    ("values", "form", "heights"),
    [
        ([0.001, 0.01, 0.1], "logUniform", [0.0, 0.5, 1.0]),
        ([0.0, 0.25, 1.0], "uniform", [0.0, 0.25, 1.0]),
        ([128, 32, 64], "choice", [1.0, 0.0, 0.5]),
        ([[64, 64], [32], None], "choice", [1.0, 0.0, -0.14]),
        (["b", 1, True], "grid", None),
        ([7], "int", [0.5]),
    ],
)
def test_a_parameter_s_axis_is_as_its_values_were_given(values: list[Any], form: Any, heights: Any) -> None:
    scale = Scale.of(values, form)
    told = [scale.height(value) for value in values]
    assert heights is None or told == [pytest.approx(height) for height in heights]
    assert heights is not None or sorted(told) == [0.0, 0.5, 1.0]
    assert [label for _, label in scale.labels()][: 1 if None in values else 0] == (["none"] if None in values else [])


def test_a_report_of_a_search_is_written_with_its_plots_and_shows_them(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    write_trials(store, trial_records(EVENTS))
    result, _ = publish_result(store, run(searched(SOME)))
    paths = [one.path for one in result.artifacts]
    plots = ["plots/tuning-best.png", "plots/tuning-slices.png", "plots/tuning-parallel.png"]
    assert paths == ["trials.jsonl", *plots, "report.md"]
    assert set(paths) <= set(RESULT_NAMES)
    for one in result.artifacts:
        assert (store.sha256(one.path), store.size(one.path)) == (one.sha256, one.size_bytes)
    told = store.read("report.md").decode()
    assert all(f"]({path})" in told for path in plots)


# trials.jsonl


EVENTS: list[Event] = [
    Asked(trial=1, parameters={LR: 0.1}),
    Asked(trial=2, parameters={LR: 0.2, NAME: "sgd"}),
    Reported(trial=2, epoch=1, value=0.5, goes_on=True),
    Reported(trial=1, epoch=1, value=None, goes_on=False),
    Ended(trial=1, state="failed", epochs=1, seconds=2.0, cause="NotANumber", message="No."),
    Asked(trial=3, parameters={LR: 0.3}, at=6.0),
    Reported(trial=2, epoch=3, value=0.7, goes_on=True),
    Reported(trial=3, epoch=1, value=0.1, goes_on=False, at=7.5),
    Ended(trial=3, state="stopped", value=0.1, epochs=1, seconds=1.0, at=8.0),
]


def test_trials_are_told_from_the_log_with_the_order_of_their_reports() -> None:
    first, second, third = trial_records(EVENTS)
    assert (first.state, first.value, first.cause, first.reports[0].order) == ("failed", None, "NotANumber", 2)
    assert (second.state, second.epochs, second.value) == ("running", 3, 0.7)
    assert [(one.order, one.epoch, one.goes_on) for one in second.reports] == [(1, 1, True), (3, 3, True)]
    assert (third.state, third.value, third.seconds) == ("stopped", 0.1, 1.0)
    assert (third.began, third.ended, second.ended) == (6.0, 8.0, None)
    assert third.result() == TrialResult(
        number=3, parameters={LR: 0.3}, state="stopped", value=0.1, epochs=1, seconds=1.0
    )


def test_trials_are_written_a_line_each_and_read_back_the_same(tmp_path: Path) -> None:
    store, records = Store.open(str(tmp_path)), trial_records(EVENTS)
    write_trials(store, records)
    lines = store.read("trials.jsonl").decode().splitlines()
    assert [json.loads(line)["number"] for line in lines] == [1, 2, 3]
    assert json.loads(lines[2])["reports"] == [{"order": 4, "epoch": 1, "value": 0.1, "goesOn": False, "at": 7.5}]
    assert read_trials(store) == records


def test_a_line_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    with pytest.raises(NotFound):
        read_trials(store)
    write_trials(store, trial_records(EVENTS))
    store.write("trials.jsonl", store.read("trials.jsonl") + b'{"number": 4\n')
    with pytest.raises(UserError, match=r"trials\.jsonl: line 4 is no trial"):
        read_trials(store)
