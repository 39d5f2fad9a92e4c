"""A job of each nature on a real node, some at a time: each ends as it should, and leaves what it should.

What a nature computes is tested without a cluster. Here are the ways that only a cluster has: code from a ConfigMap,
rows from a volume, pods with limits, what a driver's word becomes in the status, and the files that outlive the pods.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import Cluster, run

from .natures import HORIZON, SHOPS, Ended, Natures, all_natures, natures_of, tuned, weights
from .node import Node
from .steady import run_here

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

BUNDLE = {"model", "onnx", "model-info", "reference", "report"}
"""What a model of the built-in loop leaves."""


@pytest.fixture(scope="module")
def natures(headway: Cluster, node: Node) -> Iterator[Natures]:
    with natures_of(headway, node, *all_natures()) as found:
        yield found


def succeeded(natures: Natures, name: str) -> Ended:
    """What a job has left that succeeded at its first attempt, with a model.onnx that says what the model says."""
    ended = natures.ended(name)
    assert ended.status["phase"] == "Succeeded", ended.story
    assert ended.status["attempt"] == 1, ended.story
    assert ended.status["progress"]["percent"] == 100
    return ended


def has_raw_row_model(ended: Ended) -> None:
    """Whether there is a model.onnx, which says what the trained model says."""
    assert ended.result["export"]["parity"]["holds"], ended.result["export"]
    assert "onnx" in ended.artifacts()


def predicted(ended: Ended, rows: Path, said: Path) -> list[dict[str, str]]:
    """What `headway predict` says of rows, with the bundle on the volume."""
    run(Path(sys.executable).parent / "headway", "predict", ended.folder, rows, "-o", said, OMP_NUM_THREADS="1")
    with said.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.long
def test_texts_are_learnt_word_by_word_on_two_workers_and_the_bundle_reads_raw_ones(
    natures: Natures, tmp_path: Path
) -> None:
    ended = succeeded(natures, "texts")
    has_raw_row_model(ended)
    assert ended.artifacts() >= BUNDLE | {"vocabulary"}
    assert ended.result["worldSize"] == 2
    # A bag of words has nothing to go by: only the order of the words tells the classes apart.
    assert float(ended.status["result"]["metrics"]["test/accuracy"]) > 0.8
    said = predicted(ended, natures.lake / "reviews.parquet", tmp_path / "said.csv")
    assert len(said) == 400
    assert sum(row["label"] == ["bad", "good"][index % 2] for index, row in enumerate(said)) > 320


@pytest.mark.long
def test_folds_are_trained_beside_each_other_and_their_means_are_in_the_status(natures: Natures) -> None:
    ended = succeeded(natures, "folds")
    has_raw_row_model(ended)
    told = ended.result["crossValidation"]
    assert [one["name"] for one in told["folds"]] == ["fold-1", "fold-2", "fold-3"]
    metrics = ended.status["result"]["metrics"]
    assert metrics["folds/accuracy"] == f"{told['mean']['accuracy']:.6g}"
    assert metrics["folds/accuracyStd"] == f"{told['standardDeviation']['accuracy']:.6g}"
    assert told["mean"]["accuracy"] > 0.8
    assert not (ended.folder / "children").exists(), "no rows of the folds stay on the volume"


def test_the_best_of_some_trials_is_told_while_they_run_and_its_model_is_what_these_values_give_by_themselves(
    natures: Natures, tmp_path: Path
) -> None:
    ended = succeeded(natures, "tuned")
    has_raw_row_model(ended)
    told, found = ended.status["tuning"], ended.result["tuning"]
    trials = {one["number"]: one for one in found["trials"]}
    assert sorted(trials) == [1, 2, 3, 4, 5, 6]
    assert (told.get("completed", 0), told.get("stopped", 0)) == (
        sum(one["state"] == "completed" for one in trials.values()),
        sum(one["state"] == "stopped" for one in trials.values()),
    )
    best = trials[found["best"]]
    assert best["value"] == max(one["value"] for one in trials.values() if one["state"] == "completed")
    assert told["best"]["trial"] == best["number"]
    assert "NewBest" in ended.story
    row = natures.cluster.kubectl("get", "tj", "tuned", "-n", natures.namespace)
    assert "6/6" in row, row
    alone = tuned("alone")
    del alone["spec"]["tuning"]
    alone["spec"]["workers"]["replicas"] = 1
    alone["spec"]["training"]["optimizer"] = {"lr": best["parameters"]["training.optimizer.lr"]}
    alone["spec"]["model"]["options"]["hidden"] = best["parameters"]["model.options.hidden"]
    assert weights(run_here(alone, tmp_path)) == weights(ended.folder)
    assert not (ended.folder / "children").exists(), "nothing of the trials stays on the volume but what is told"


def test_trees_are_fitted_with_weighted_classes_and_pass_a_gate_against_guessing(natures: Natures) -> None:
    ended = succeeded(natures, "boosting")
    has_raw_row_model(ended)
    assert ended.artifacts() >= BUNDLE - {"model"}
    assert "model" not in ended.artifacts(), "what scikit-learn fits has no safetensors"
    assert ended.result["training"]["iterations"] == 30
    (gate,) = ended.result["gates"]
    assert gate["passed"]
    assert gate["value"] >= gate["againstValue"] + 0.2


def test_rows_without_a_target_get_an_anomaly_score(natures: Natures) -> None:
    ended = succeeded(natures, "anomalies")
    has_raw_row_model(ended)
    assert ended.artifacts() >= BUNDLE
    assert ended.result["data"]["task"] == "reconstruction"
    assert "test/r2" in ended.status["result"]["metrics"]


def test_classes_are_weighted_in_the_loop_and_only_the_format_that_is_asked_for_is_left(natures: Natures) -> None:
    ended = succeeded(natures, "weighted")
    has_raw_row_model(ended)
    assert "model" not in ended.artifacts()
    assert not (ended.folder / "model.safetensors").exists()
    assert float(ended.status["result"]["metrics"]["test/accuracy"]) > 0.8


def test_a_gate_that_fails_ends_the_job_for_good_and_keeps_the_model(natures: Natures) -> None:
    ended = natures.ended("gated")
    assert ended.status["phase"] == "Failed", ended.story
    (attempt,) = ended.status["attempts"]
    assert attempt["cause"] == "GateFailed"
    assert "too-good" in attempt["message"]
    has_raw_row_model(ended)
    assert not ended.result["gates"][0]["passed"]


def test_a_forecast_goes_on_from_the_end_of_each_series(natures: Natures, tmp_path: Path) -> None:
    ended = succeeded(natures, "forecast")
    has_raw_row_model(ended)
    assert ended.artifacts() >= BUNDLE
    assert "test/mase" in ended.status["result"]["metrics"]
    said = predicted(ended, natures.lake / "sales.parquet", tmp_path / "said.csv")
    assert len(said) == SHOPS * HORIZON
    assert min(row["day"] for row in said) == "2024-03-31", "the day after the last of 90 from the first of January on"


def test_a_program_of_the_users_own_trains_with_two_optimisers_on_two_workers(natures: Natures) -> None:
    ended = succeeded(natures, "own-step")
    assert "model" in ended.artifacts()
    assert "onnx" not in ended.artifacts(), "it was not asked for"
    assert ended.result["worldSize"] == 2
    assert float(ended.status["result"]["metrics"]["test/accuracy"]) > 0.8


def test_a_training_function_that_saves_no_model_is_said_to_have_left_none(natures: Natures) -> None:
    ended = natures.ended("own-loop")
    assert ended.status["phase"] == "Succeeded", ended.story
    assert "No model was saved, as the training function has not called" in ended.sentences
    assert "its newest checkpoint is" in ended.sentences
    assert not ended.artifacts() & {"model", "onnx", "model-info"}
    assert "percent" not in ended.status["progress"], "nobody knows how long it trains"
    training = ended.result["training"]
    assert (training["epochsRun"], training["reports"]) == (None, 3)
    report = (ended.folder / "report.md").read_text()
    assert "No model was saved" in report
