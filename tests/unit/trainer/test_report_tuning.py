"""A search for better parameters as result.json and report.md tell of it: all of it where it is small, and the part
that matters where it is not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway_api.tuning import Tuning
from headway_trainer.report.markdown import render
from headway_trainer.report.model import RunResult, TrialResult, TuningResult, result_schema
from headway_trainer.report.trials import best_first, bounded, improvements, tuning_result
from headway_trainer.report.tuning import tuning_section, value_told

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
    told = {"parameters": {LR: {"logUniform": {"min": 1e-4, "max": 0.1}}}, "scheduler": {"name": "asha"}}
    return Tuning.model_validate(told | fields)


def searched(trials: Sequence[TrialResult], **fields: Any) -> TuningResult:
    ranked = best_first(trials, "max")
    told: dict[str, Any] = {"best": ranked[0].number if ranked else None, "ended": "All 4 trials have ended."}
    return tuning_result(tuning(), "validation/accuracy", trials, **(told | fields))


SOME = [
    trial(1, 0.91),
    trial(2, 0.95, state="stopped", epochs=3),
    trial(3, 0.93),
    trial(4, cause="UserError", message="model.options.hidden: 128 units do not fit."),
]


def page(result: TuningResult | None) -> str:
    run = RunResult(
        job="digits",
        outcome="Succeeded",
        seed=1,
        world_size=2,
        started="2026-01-01T00:00:00Z",
        finished="2026-01-01T00:01:00Z",
        duration_seconds=60.0,
        tuning=result,
    )
    return render(run, loss=False, confusion=False)


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
        "epochs": 9,
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
        "| ended | All 4 trials have ended. |",
        "| training.optimizer.lr | 0.002 | 75.0% |",
        r"| model.options.hidden | \[64\] | 25.0% |",
        "| trial | state | validation/accuracy | epochs | seconds | training.optimizer.lr | model.options.hidden |",
        r"| 2 | stopped | 0.95 | 3 | 1.5 | 0.002 | \[64\] |",
        "| 4 | UserError | model.options.hidden: 128 units do not fit. |",
    ):
        assert line in told, line
    assert told.index("| 2 | stopped |") < told.index("| 3 | completed |") < told.index("| 1 | completed |")
    assert "trials.jsonl" not in told, "the page has all"


def test_parameters_without_importances_have_no_column_of_them() -> None:
    told = page(searched(SOME))
    assert "| parameter | best value |\n" in told
    assert "importance" not in told.lower()


def test_a_parameter_that_did_not_apply_is_an_empty_cell() -> None:
    told = page(searched([trial(1, 0.9, parameters={NAME: "sgd", LR: 0.5}), trial(2, 0.8, parameters={NAME: "adam"})]))
    assert "| 1 | completed | 0.9 | 9 | 1.5 | sgd | 0.5 |" in told
    assert "| 2 | completed | 0.8 | 9 | 1.5 | adam |  |" in told


def test_a_search_in_which_all_failed_is_told_so() -> None:
    told = page(searched([trial(number, cause="UserError", message="No.") for number in range(1, 31)]))
    assert "No trial has a value" in told
    assert "`trials.jsonl` has 20 more that failed." in told
    assert "the best first" not in told


def test_a_large_search_is_a_short_section_that_says_where_the_rest_is() -> None:
    many = {f"model.options.p{index}": index for index in range(64)}
    told = page(searched([trial(number, number / 1000, parameters=many) for number in range(1, 10_001)]))
    assert "| trials | 10,000: 10,000 completed |" in told
    assert "`trials.jsonl` has 56 more parameters and 9,980 more trials." in told
    assert len(told.splitlines()) < 150


EVIL = "a|b\n# c <script>alert(1)</script> ![](http://x) www.y.org \x1b[31m *d* `f` \u202e" + "z" * 200


@pytest.mark.parametrize(
    "result",
    [
        searched([trial(1, 0.5, parameters={NAME: EVIL})]),
        searched([trial(1, 0.5, parameters={NAME: [EVIL, EVIL]})]),
        searched([trial(1, cause=EVIL, message=EVIL)]),
        searched(SOME, ended=EVIL),
        searched(SOME, importances={EVIL: 1.0}),
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
