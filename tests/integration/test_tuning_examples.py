"""The examples of tuning, as a user runs them: what they find, what they stop, and what they leave."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from commands import headway
from headway_api.tuning import Tuning
from headway_trainer.report.model import RunResult
from headway_trainer.report.trial_records import TrialRecord, read_trials, schedule_of
from headway_trainer.report.tuning_model import TuningResult
from headway_trainer.storage import Store
from headway_trainer.tuning.schedulers import scheduler

pytestmark = pytest.mark.ray

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "tuning"


def finished(example: str, folder: Path, *options: str) -> tuple[RunResult, TuningResult, list[TrialRecord]]:
    """Run an example; its result, and all its trials."""
    done = headway("run", str(EXAMPLES / f"{example}.yaml"), "--output", str(folder), *options)
    assert done.returncode == 0, done.stdout + done.stderr
    result = RunResult.model_validate_json((folder / "result.json").read_bytes())
    assert result.tuning is not None
    trials = read_trials(Store.open(str(folder)))
    assert [one.result() for one in trials] == result.tuning.trials, "the result has all, as they are few"
    assert {"plots/tuning-best.png", "plots/tuning-slices.png", "plots/tuning-parallel.png", "trials.jsonl"} <= {
        one.path for one in result.artifacts
    }
    in_epochs = any(one.epochs for one in trials)
    assert (folder / "plots/tuning-curves.png").is_file() == in_epochs
    assert {one.number: one.points[-1][0] for one in result.tuning.curves} == {
        one.number: one.epochs for one in trials if in_epochs
    }
    assert "## Tuning" in (folder / "report.md").read_text()
    return result, result.tuning, trials


def test_asha_on_digits_spends_a_part_of_the_epochs_and_its_stops_can_be_computed_again(tmp_path: Path) -> None:
    result, tuning, trials = finished("digits-asha", tmp_path)
    assert len(trials) == 12
    assert tuning.counts.get("failed", 0) == 0
    assert tuning.counts["stopped"] >= 4
    assert tuning.epochs <= 0.6 * 12 * 27
    accuracy = result.metrics.test["accuracy"]
    assert accuracy is not None
    assert accuracy >= 0.93
    spec = Tuning.model_validate({"parameters": {"training.epochs": {"choice": [1]}}, "scheduler": {"name": "asha"}})
    again = scheduler(spec.scheduler, 27)
    reports = sorted((report.order, one.number, report) for one in trials for report in one.reports)
    assert [order for order, _, _ in reports] == list(range(1, len(reports) + 1))
    for _, number, report in reports:
        assert report.value is not None
        assert again.judge(number, report.epoch, -report.value) == report.goes_on
    for one in trials:
        told_to_stop = bool(one.reports) and not one.reports[-1].goes_on
        assert (one.state == "stopped") == told_to_stop
        assert one.epochs == (one.reports[-1].epoch if told_to_stop else 27)


@pytest.mark.parametrize("example", ["tabular-tpe", "tabular-xgboost"])
def test_tpe_on_a_table_tells_which_parameters_matter(example: str, tmp_path: Path) -> None:
    result, tuning, trials = finished(example, tmp_path)
    assert 16 <= len(trials) <= 25
    assert tuning.better == "min"
    assert tuning.best == min(trials, key=lambda one: (one.value or 0.0, one.number)).number
    assert sum(tuning.importances.values()) == pytest.approx(1.0)
    assert set(tuning.importances) == set(tuning.parameters)
    accuracy = result.metrics.test["accuracy"]
    assert accuracy is not None
    assert accuracy >= 0.9
    model = json.loads((tmp_path / "model.json").read_text())["model"]
    best = next(one for one in trials if one.number == tuning.best)
    options = {path.removeprefix("model.options."): value for path, value in best.parameters.items()}
    assert model["options"].items() >= options.items(), "the model that is kept has the best trial's values"


def test_a_population_on_digits_takes_over_checkpoints_and_the_takeovers_can_be_computed_again(tmp_path: Path) -> None:
    result, tuning, trials = finished("digits-pbt", tmp_path)
    assert (tuning.counts, tuning.epochs) == ({"completed": 8}, 8 * 18)
    accuracy = result.metrics.test["accuracy"]
    assert accuracy is not None
    assert accuracy >= 0.93
    taken = {(values.after_epoch, one.number): values.source for one in trials for values in one.lineage[1:]}
    assert len(taken) == tuning.takeovers
    for epoch in (3, 6, 9, 12, 15):
        values = {one.number: next(each.value or 0.0 for each in one.reports if each.epoch == epoch) for one in trials}
        ranked = sorted(values, key=lambda number: (-values[number], number))
        moved = {number for at, number in taken if at == epoch}
        assert moved <= set(ranked[-2:])
        assert all(taken[epoch, number] in ranked[:2] for number in moved)
        assert {number for number in ranked[-2:] if values[number] < values[ranked[1]]} <= moved
    report = (tmp_path / "report.md").read_text()
    assert f"| checkpoints taken over | {tuning.takeovers} |" in report
    assert ("What the best trial's model was trained with" in report) == bool(tuning.schedule)
    assert tuning.schedule == schedule_of(trials, tuning.best or 0)


@pytest.mark.long
def test_a_function_of_one_s_own_is_tuned_and_its_model_is_the_best_trial_s(tmp_path: Path) -> None:
    code = str(EXAMPLES / "own-function")
    result, tuning, trials = finished("own-function/job", tmp_path, "--code", code)
    assert len(trials) == 8
    assert tuning.counts.get("failed", 0) == 0
    assert tuning.counts["stopped"] >= 1
    best = trials[(tuning.best or 0) - 1]
    assert best.value == max(one.value or 0.0 for one in trials)
    assert best.value >= 0.9
    assert result.training.reports == best.epochs == 9
    weights = load_file(tmp_path / "model.safetensors")
    assert weights["1.weight"].shape == (best.parameters["training.arguments.hidden"], 64)
    assert result.checkpoint is not None


def test_nsga2_on_digits_finds_a_front_that_can_be_computed_again_and_keeps_its_first_ones_model(
    tmp_path: Path,
) -> None:
    result, tuning, trials = finished("digits-nsga2", tmp_path)
    assert tuning.counts == {"completed": 12}
    accuracy, size = "validation/accuracy", "model/bytes"
    values = {one.number: (one.metrics[accuracy], one.metrics[size]) for one in trials}
    kept = {number: each for number, each in values.items() if each[1] <= 60_000}
    assert {one.number for one in trials if one.violation > 0} == values.keys() - kept.keys()
    better = {
        number
        for number, (mine, large) in kept.items()
        if not any(its >= mine and small <= large and (its, small) != (mine, large) for its, small in kept.values())
    }
    assert set(tuning.front) == better
    assert len({values[number] for number in better}) >= 3, "a front, and not one point"
    assert tuning.best == min(kept, key=lambda number: (-kept[number][0], kept[number][1], number))
    best = values[tuning.best or 0]
    assert result.training.kept is not None
    assert (result.training.kept.metric, result.training.kept.value) == (accuracy, best[0])
    assert (tmp_path / "model.safetensors").stat().st_size == best[1], "the size is that of what is published"
    assert best[0] >= 0.9
    assert "### The front" in (tmp_path / "report.md").read_text()
    assert "plots/tuning-front.png" in {one.path for one in result.artifacts}
