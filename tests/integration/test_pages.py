"""Pages that need no cluster, typed as they stand: what they make the reader train, and what it is good for."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score

from markdown_blocks import ROOT, script

pytestmark = pytest.mark.ray


def _type(page: str, folder: Path) -> str:
    """Type a page's commands in a folder; what they print."""
    text = script(ROOT / page, cluster=False)
    done = subprocess.run(["bash", "-c", text], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def _result(folder: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return result


def test_the_page_about_texts_can_be_typed_and_its_model_knows_the_order_of_words(tmp_path: Path) -> None:
    said = _type("docs/how-to/texts.md", tmp_path)
    assert "the first 16 words" in " ".join(said.replace("│", " ").split())
    result = _result(tmp_path / "out/reviews")
    # A bag of words has nothing to go by: each word is in as many rows of one class as of the other.
    assert result["metrics"]["test"]["accuracy"] > 0.95
    assert result["export"]["parity"]["holds"]
    with (tmp_path / "said.csv").open() as file:
        labels = [row["label"] for row in csv.DictReader(file)]
    assert labels.count("yes") == pytest.approx(200, abs=10)


def test_the_page_about_anomalies_can_be_typed_and_malignant_rows_rank_above_benign_ones(tmp_path: Path) -> None:
    _type("docs/how-to/find-anomalies.md", tmp_path)
    assert _result(tmp_path / "out/tumours")["export"]["parity"]["holds"]
    with (tmp_path / "scores.csv").open() as file:
        scores = [float(row["anomaly_score"]) for row in csv.DictReader(file)]
    rows, target = load_breast_cancer(as_frame=True, return_X_y=True)
    new = target.drop(rows[target == 1].index[:250])
    assert len(scores) == len(new) == 319, "as the page says"
    assert roc_auc_score(new == 0, scores) > 0.85, "as the page says"


@pytest.mark.long
def test_the_page_about_tuning_can_be_typed_and_all_its_trials_are_listed(tmp_path: Path) -> None:
    said = _type("docs/how-to/tune.md", tmp_path)
    result = _result(tmp_path / "out/tuned")
    tuning = result["tuning"]
    assert sum(tuning["counts"].values()) == 12, "ten, and two that were asked for later"
    assert "tuning.trials is 12 now, and 10 have begun" in " ".join(said.split())
    assert tuning["epochs"] < 12 * 9, "some were stopped"
    best = next(one for one in tuning["trials"] if one["number"] == tuning["best"])
    assert best["value"] == max(one["value"] for one in tuning["trials"])
    assert result["training"]["kept"]["value"] == pytest.approx(best["value"])
    assert f"the best trial, {best['number']}: validation/accuracy" in " ".join(said.split())
    with (tmp_path / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["number"] == str(best["number"])
    assert {row["number"] for row in rows} == {str(number) for number in range(1, 13)}


@pytest.mark.long
def test_the_page_about_torchrun_can_be_typed_and_its_function_leaves_a_model(tmp_path: Path) -> None:
    _type("docs/how-to/from-torchrun.md", tmp_path)
    assert (tmp_path / "out/from-torchrun/model.safetensors").stat().st_size > 64 * 10 * 4
    assert _result(tmp_path / "out/from-torchrun")["metrics"]["reported"]["epoch"] == 4


@pytest.mark.long
def test_the_page_about_a_finished_model_can_be_typed_and_all_ways_agree(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    said = _type("docs/how-to/get-the-model-out.md", tmp_path)
    assert "['0' '1' '2' '3' '4']" in said
    assert "[0, 1, 2, 3, 4]" in said
    assert '"name":"digits"' in said.replace(" ", "")
    with (tmp_path / "predictions.csv").open() as file:
        assert [row["label"] for row in csv.DictReader(file)][:5] == ["0", "1", "2", "3", "4"]
