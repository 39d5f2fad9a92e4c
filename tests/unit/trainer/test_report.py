"""The result as programs and people read it: a published schema, a page, and plots that are the same each time."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from headway_api.data import Data
from headway_api.model import Model
from headway_trainer.data import DataInfo, prepare, read_split
from headway_trainer.data.profile import Profile
from headway_trainer.data.schema import Column, ColumnStats
from headway_trainer.models import build
from headway_trainer.report import RunResult, write_report
from headway_trainer.report.markdown import render
from headway_trainer.report.model import (
    Artifact,
    DataSummary,
    EpochRecord,
    KeptModel,
    Metrics,
    ModelSummary,
    TrainingSummary,
    result_schema,
)
from headway_trainer.report.plots import confusion_plot, loss_plot
from headway_trainer.storage import Store

ROOT = Path(__file__).parents[3]


def _result(**fields: Any) -> RunResult:
    told: dict[str, Any] = {
        "job": "wine",
        "outcome": "Succeeded",
        "seed": 1,
        "world_size": 2,
        "started": "2026-01-01T00:00:00Z",
        "finished": "2026-01-01T00:01:00Z",
        "duration_seconds": 60.0,
    }
    return RunResult(**(told | fields))


def _data(classes: list[str]) -> DataSummary:
    return DataSummary(
        task="classification",
        rows={"train": 7, "validation": 2, "test": len(classes)},
        input_shape=[3],
        classes=classes,
        class_balance={split: dict.fromkeys(classes, 1) for split in ("train", "validation", "test")},
        content_hash="f" * 64,
        scaling="standard",
        profile=Profile(
            source="wine.csv",
            rows=11,
            lines=12,
            files=1,
            task="classification",
            task_why="text",
            columns=[
                Column(
                    name="id",
                    kind="id",
                    role="ignore",
                    why="whole numbers | that differ",
                    stats=ColumnStats(rows=11, distinct=11, min=1, max=11, mean=6),
                    done="left out",
                )
            ],
            column_count=300,
            warnings=["Column id was left out."],
            notes=["2 rows are copies of another one."],
        ),
    )


def _history(epochs: int) -> list[EpochRecord]:
    return [
        EpochRecord(epoch=epoch, step=epoch * 5, train={"loss": 1 / epoch}, validation={"loss": 1.1 / epoch})
        for epoch in range(1, epochs + 1)
    ]


def _full(**fields: Any) -> RunResult:
    told: dict[str, Any] = {
        "data": _data(["a", "b"]),
        "model": ModelSummary(name="mlp", parameters=1234),
        "training": TrainingSummary(epochs_run=25, steps=125, history=_history(25)),
        "metrics": Metrics(test={"loss": 0.5, "accuracy": 0.75}, validation={"loss": 0.4}),
        "confusion_matrix": [[3, 1], [0, 4]],
        "artifacts": [Artifact(name="model", path="model.safetensors", sha256="0" * 64, size_bytes=100)],
    }
    return _result(**(told | fields))


# For programs.


def test_the_published_schema_is_that_of_the_model() -> None:
    published = (ROOT / "docs" / "reference" / "result.schema.json").read_text()
    assert published == result_schema(), "run: python -m headway_trainer.report > docs/reference/result.schema.json"


@pytest.mark.parametrize("result", [_result(), _full()], ids=["bare", "full"])
def test_a_result_fits_its_schema_and_is_read_back_the_same(result: RunResult) -> None:
    document = json.loads(result.model_dump_json())
    jsonschema.Draft202012Validator(json.loads(result_schema())).validate(document)
    assert RunResult.model_validate(document) == result


def test_metrics_are_where_programs_look_for_them() -> None:
    document = json.loads(_full().model_dump_json())
    assert document["metrics"]["test"]["accuracy"] == 0.75
    assert document["artifacts"][0]["sizeBytes"] == 100
    assert document["training"]["epochsRun"] == 25
    assert document["data"]["contentHash"] == "f" * 64


def test_a_metric_that_is_no_number_is_null_and_not_broken_json() -> None:
    result = _full(metrics=Metrics(test={"loss": float("nan"), "accuracy": float("inf")}))
    document = json.loads(result.model_dump_json(), parse_constant=pytest.fail)
    assert document["metrics"]["test"] == {"loss": None, "accuracy": None}
    assert RunResult.model_validate(document).metrics.test["loss"] is None


# For people.


def test_the_page_tells_the_whole_story() -> None:
    page = render(_full(), loss=True, confusion=True)
    for told in (
        "# wine",
        "| test accuracy | 0.75 |",
        "| parameters | 1,234 |",
        "| metric | validation | test |",
        "| loss | 0.4 | 0.5 |",
        "| a | 3 | 1 |",
        "![Loss](plots/loss.png)",
        "![Confusion matrix](plots/confusion.png)",
        "- **Column id was left out.**",
        "- 2 rows are copies of another one.",
        "11 rows and 300 columns, 12 lines of 1 file. What is learnt: classification (text).",
        "299 more columns are not shown.",
        r"| id | id | ignore | whole numbers \| that differ | 0 | 11 | 1 to 11, mean 6 | left out |",
        "| all rows | 7 | 2 | 2 |",
    ):
        assert told in page
    assert page.count("\n| 25 | 125 |") == 1


def test_a_bare_result_is_a_short_page_without_empty_sections() -> None:
    page = render(_result(outcome="Failed", message="The data has no rows."), loss=False, confusion=False)
    assert "The data has no rows." in page
    assert "| outcome | Failed |" in page
    assert "##" not in page


def test_precision_that_the_device_could_not_give_is_said() -> None:
    training = TrainingSummary(precision_asked="bf16", precision_used="fp32")
    page = render(_full(training=training), loss=False, confusion=False)
    assert "bf16 was asked for; this device trained in fp32." in page


def test_names_cannot_break_the_page() -> None:
    evil = "a|b\n# c <script> ![](http://x) www.y.org \x1b[31m *d* __e__ `f` \\|g"
    page = render(_full(data=_data([evil, "b"]), message=evil), loss=False, confusion=False)
    assert "<script>" not in page
    assert "\n# c" not in page
    assert "![](" not in page
    row = next(line for line in page.splitlines() if line.startswith("| a\\|b"))
    assert row.replace("\\\\", "").replace("\\|", "").count("|") == 4
    assert page.isprintable() or not [char for char in page if not char.isprintable() and char != "\n"]
    for mark in ("http://", "www.", " *d*", " __e__", " `f`"):
        assert mark not in page, mark
    assert "test_accuracy_2" in render(_full(data=_data(["test_accuracy_2", "b"])), loss=False, confusion=False)


def test_many_classes_are_told_as_their_most_frequent_confusions() -> None:
    count = 40
    matrix = (np.eye(count, dtype=int) * 9).tolist()
    matrix[3][17] = 5
    matrix[8][2] = 7
    result = _full(data=_data([f"class-{index}" for index in range(count)]), confusion_matrix=matrix)
    page = render(result, loss=False, confusion=False)
    assert page.index("| class-8 | class-2 | 7 |") < page.index("| class-3 | class-17 | 5 |")
    assert max(len(line.split("|")) for line in page.splitlines()) < 20


def test_a_long_training_is_told_in_at_most_ten_lines_up_to_the_last_epoch() -> None:
    training = TrainingSummary(history=_history(1234))
    page = render(_full(training=training), loss=False, confusion=False)
    lines = page[page.index("## Training") : page.index("## Data")].splitlines()
    rows = [line for line in lines if line.startswith("| ") and line[2].isdigit()]
    assert len(rows) <= 10
    assert rows[-1].startswith("| 1234 | 6170 |")


def test_how_to_use_the_weights_works_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.open(str(tmp_path))
    info = prepare(Data.model_validate({"source": {"builtin": {"name": "digits"}}}), seed=0, store=store)
    spec = Model(name="cnn", options={"channels": [4], "hidden": 8})
    torch.manual_seed(0)
    model = build(spec, info, load_function=pytest.fail).model.eval()
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    told = {"model": spec.model_dump(mode="json"), "data": info.model_dump(mode="json")}
    (tmp_path / "model.json").write_text(json.dumps(told))
    result = _full(data=DataSummary.of(info), model=ModelSummary(name="cnn"), confusion_matrix=None)
    page = render(result, loss=False, confusion=False)
    code = page.split("```python\n")[1].split("```")[0].replace("open(", "open_(")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"open_": lambda name: io.StringIO(Path(name).read_text())}
    exec(code, names)  # noqa: S102 - it is what the page tells people to run
    x, _ = read_split(store, info, "test")
    assert isinstance(names["info"], DataInfo)
    assert torch.equal(names["model"](x), model(x))


def test_a_users_own_model_is_loaded_into_what_the_function_builds() -> None:
    page = render(_full(model=ModelSummary(entrypoint="mine:make")), loss=False, confusion=False)
    assert 'load_file("model.safetensors")' in page
    assert "headway_trainer.models.registry" not in page


# Plots.


def test_plots_are_images_and_the_same_bytes_each_time() -> None:
    for plot in (loss_plot, confusion_plot):
        first, second = plot(_full()), plot(_full())
        assert first is not None
        assert first == second
        with Image.open(io.BytesIO(first)) as image:
            assert image.width > 300


def test_nothing_to_plot_is_no_plot() -> None:
    assert loss_plot(_result()) is None
    assert confusion_plot(_result()) is None
    lossless = TrainingSummary(history=[EpochRecord(epoch=1, step=1, train={"mine": 1.0, "loss": None})])
    assert loss_plot(_result(training=lossless)) is None


@pytest.mark.parametrize("classes", [["$x^2", "_\\frac{"], ["ä" * 50, "中文"], [str(index) for index in range(45)]])
def test_any_class_names_can_be_plotted(classes: list[str]) -> None:
    matrix = np.eye(len(classes), dtype=int).tolist()
    assert confusion_plot(_full(data=_data(classes), confusion_matrix=matrix)) is not None


def test_the_report_and_its_plots_are_written_with_their_digests(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    artifacts = write_report(store, _full())
    assert {artifact.path for artifact in artifacts} == {"report.md", "plots/loss.png", "plots/confusion.png"}
    for artifact in artifacts:
        assert store.sha256(artifact.path) == artifact.sha256
        assert store.size(artifact.path) == artifact.size_bytes


def test_a_report_without_plots_links_to_none(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    assert [artifact.path for artifact in write_report(store, _result())] == ["report.md"]
    assert "plots/" not in store.read("report.md").decode()


def test_the_page_of_a_training_function_of_ones_own_tells_what_it_reported_and_counts_nothing_that_is_not_known() -> (
    None
):
    training = TrainingSummary(entrypoint="train:main", epochs_run=None, steps=1840, reports=40)
    page = render(
        _result(training=training, metrics=Metrics(reported={"loss": 0.25, "epoch": 39.0})), loss=False, confusion=False
    )
    assert "| reports of the function | 40 |" in page
    assert "| optimiser steps | 1,840 |" in page
    assert "| epochs |" not in page
    assert "## What the training function reported last" in page
    assert "| loss | 0.25 |\n| epoch | 39 |" in page
    assert "safetensors" not in page, "no model was saved"


@pytest.mark.parametrize(
    ("kept", "told"),
    [
        (
            {"epoch": 19, "metric": "validation/loss", "better": "min", "value": 0.05327},
            "epoch 19, step 380: the lowest validation/loss, 0.05327",
        ),
        ({"metric": "validation/f1", "better": "max", "value": 0.5}, "step 380: the highest validation/f1, 0.5"),
        (
            {"epoch": 20, "metric": "train/loss", "better": "min"},
            "epoch 20, step 380: the newest, as no epoch had a finite train/loss",
        ),
    ],
)
def test_the_page_tells_where_the_model_that_was_kept_comes_from(kept: dict[str, Any], told: str) -> None:
    model = KeptModel.model_validate({"checkpoint": "step-0000000380-attempt-1", "step": 380, **kept})
    page = render(_full(training=TrainingSummary(epochs_run=20, steps=400, kept=model)), loss=False, confusion=False)
    assert f"| the model that was kept | {told} |" in page
