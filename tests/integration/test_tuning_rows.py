"""Trials that change how rows are prepared, as `headway run` trains them: each learns from its own rows, and the bundle
is that of the best one's."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from commands import headway

pytestmark = pytest.mark.ray

NAMES = ["ant", "bee", "cat", "dog", "elk", "fox", "gnu", "hen"]


@pytest.mark.long
def test_trials_with_other_vocabularies_read_other_words_and_the_bundle_has_the_best_ones(tmp_path: Path) -> None:
    draw = np.random.default_rng(7)
    table = tmp_path / "said.csv"
    with table.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["said", "liked"])
        for _ in range(240):
            liked = draw.random() < 0.5
            # "the" is in each row; which of the two rarer words stands there is all that there is to know.
            rows.writerow(
                [f"the the the the {draw.choice(NAMES)} {'good' if liked else 'bad'}", "yes" if liked else "no"]
            )
    job = {
        "apiVersion": "headway.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": "words"},
        "spec": {
            "data": {"source": {"uri": str(table)}, "target": "liked", "columns": {"said": {"kind": "text"}}},
            "model": {"name": "lstm", "options": {"length": 8}},
            "training": {"epochs": 6, "batchSize": 16, "optimizer": {"lr": 0.02}},
            "tuning": {
                "parameters": {"model.options.vocabulary": {"grid": [1, 40]}},
                "metric": "validation/accuracy",
                "search": {"name": "grid"},
            },
            "seed": 4,
        },
    }
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job))
    done = headway("run", str(tmp_path / "job.yaml"), "--output", str(tmp_path / "out"))
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((tmp_path / "out/result.json").read_text())
    one_word, all_words = result["tuning"]["trials"]
    assert one_word["value"] < 0.75, "who knows the word `the` alone can only guess"
    assert all_words["value"] > 0.95
    assert result["tuning"]["best"] == 2
    assert result["metrics"]["test"]["accuracy"] > 0.95
    assert result["export"]["parity"]["holds"], "on raw rows"
    (tmp_path / "new.csv").write_text("said\nthe the the the fox good\nthe the the the fox bad\n")
    told = headway("predict", str(tmp_path / "out"), str(tmp_path / "new.csv"), "--output", str(tmp_path / "told.csv"))
    assert told.returncode == 0, told.stdout + told.stderr
    with (tmp_path / "told.csv").open() as file:
        assert [row["label"] for row in csv.DictReader(file)] == ["yes", "no"]
