"""What a pod is asked of a source is what is asked here, and what it cannot take is a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from headway_api import wire
from headway_api.job import TrainingJob
from headway_api.model import tokens_of
from headway_trainer.profiling import Question, answer
from markdown_blocks import ROOT

JOBS = [
    (path, document)
    for path in sorted((ROOT / "examples").rglob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text())
    if document and document["kind"] == "TrainingJob" and "data" in document["spec"]
]


@pytest.mark.parametrize(("path", "document"), JOBS, ids=[path.name for path, _ in JOBS])
def test_a_question_comes_as_it_was_asked(path: Path, document: object) -> None:
    spec = TrainingJob.model_validate(document).spec
    assert spec.data is not None, path
    asked = Question(data=spec.data, seed=spec.seed, tokens=tokens_of(spec.model))
    assert Question.model_validate_json(asked.model_dump_json(by_alias=True)) == asked


def test_data_that_this_version_does_not_take_is_told_by_field(tmp_path: Path) -> None:
    source = {"uri": str(tmp_path)}
    told = json.loads(answer(json.dumps({"data": {"source": source, "target": "y", "aFieldToCome": 1}})))
    assert told["exit"] == wire.EXIT_USER_ERROR
    assert "which the image has, does not take this data: data.aFieldToCome: " in told["error"]
