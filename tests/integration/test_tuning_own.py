"""Trials with a training function of the user's own, over real Ray."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.torch import load_file

from commands import headway
from headway_trainer.report.model import RunResult
from headway_trainer.report.trial_records import read_trials
from headway_trainer.storage import Store
from markdown_blocks import ROOT

pytestmark = pytest.mark.ray
CODE = ROOT / "tests" / "integration" / "own_tuned"
LEVELS = [0.5, 0.1, 0.9, 0.2, 0.3]


def job(told: Path) -> dict[str, Any]:
    return {
        "apiVersion": "headway.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": "own-tuned"},
        "spec": {
            "code": {"configMap": {"name": "mine"}},
            "training": {
                "entrypoint": "tuned:main",
                "arguments": {
                    "stubborn": 0.1,
                    "broken": 0.3,
                    "killed": 0.9,
                    "told": str(told),
                    "kills": f"{told}.killed",
                },
                "checkpoint": {"keepLast": 1},
            },
            "tuning": {
                "parameters": {"training.arguments.level": {"grid": LEVELS}},
                "metric": "score",
                "mode": "max",
                "search": {"name": "grid"},
                "scheduler": {"name": "asha"},
                "workersPerTrial": 2,
            },
            "workers": {"replicas": 2, "resources": {"cpu": "300m", "memory": "2Gi"}},
            "seed": 3,
        },
    }


def test_trials_of_an_own_function_are_stopped_through_their_reports_and_the_best_ones_files_are_the_jobs(
    tmp_path: Path,
) -> None:
    told, file = tmp_path / "told.jsonl", tmp_path / "job.yaml"
    file.write_text(yaml.safe_dump(job(told)))
    done = headway("run", str(file), "--output", str(tmp_path / "out"), "--code", str(CODE))
    assert done.returncode == 0, done.stdout + done.stderr
    result = RunResult.model_validate_json((tmp_path / "out/result.json").read_bytes())
    trials = read_trials(Store.open(str(tmp_path / "out")))
    assert [(one.state, one.epochs, one.value) for one in trials] == [
        ("completed", 6, 0.5),
        ("stopped", 1, pytest.approx(0.06)),
        ("completed", 6, 0.9),
        ("stopped", 1, pytest.approx(0.16)),
        ("failed", 0, None),
    ]
    assert "0.3 is no level" in (trials[4].message or "")
    assert trials[1].seconds > 10, "it went on, and its processes were ended"
    assert [epoch for epoch, _ in trials[2].curve] == [1, 2, 3, 4, 5, 6]

    assert result.tuning is not None
    assert result.tuning.best == 3
    assert result.training.reports == 6, "those after a lost worker are counted on from its checkpoint"
    assert (tmp_path / "told.jsonl.killed").exists()
    assert load_file(tmp_path / "out/model.safetensors")["level"].tolist() == pytest.approx([0.9, 5.0])
    assert result.checkpoint is not None
    assert json.loads((Path(result.checkpoint.uri) / "rank-0.json").read_text())["epoch"] == 5, "the best one stays"

    by_level: defaultdict[float, dict[int, int]] = defaultdict(dict)
    begun: Counter[float] = Counter()
    for line in map(json.loads, told.read_text().splitlines()):
        assert line["calls"] == [line["level"]], "modules are imported anew"
        assert line["left"] == str(line["level"]), "nothing is left in the environment"
        by_level[line["level"]][line["rank"]] = line["pid"]
        begun[line["level"]] += 1
    assert begun == Counter(dict.fromkeys(LEVELS, 2) | {0.9: 4})
    assert by_level[0.1] == by_level[0.5], "the processes stay"
    assert by_level[0.2] == by_level[0.9]
    assert by_level[0.9].keys() == {0, 1}
    assert not set(by_level[0.9].values()) & set(by_level[0.1].values())
