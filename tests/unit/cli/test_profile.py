"""`headway profile`: what people and programs are told of a source, without training."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from PIL import Image
from rich.console import Console

from headway_cli.main import main
from headway_cli.profile_table import print_profile
from headway_trainer.data.profile import Profile
from headway_trainer.data.schema import Column, ColumnStats
from markdown_blocks import ROOT, script

JOB = """apiVersion: headway.dev/v1alpha1
kind: TrainingJob
metadata: {{name: small}}
spec:
  data: {{source: {{uri: {uri}}}, target: label, columns: {{b: {{kind: category}}}}}}
  model: {{name: mlp}}
  training: {{epochs: 1}}
"""


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    lines = (f"{index},{(index * 7 % 40) / 2},{index % 3},{'yes' if index % 2 else 'no'}\n" for index in range(40))
    path.write_text(",a,b,label\n" + "".join(lines))
    return path


def profile(*words: object) -> Result:
    return CliRunner().invoke(main, ["profile", *map(str, words)])


def document(*words: object) -> Any:
    found = profile(*words, "-o", "json")
    assert found.exit_code == 0, found.output
    return json.loads(found.stdout)


def test_a_file_is_told_of_as_a_table_for_people(rows: Path) -> None:
    found = profile(rows, "--target", "label")
    assert found.exit_code == 0, found.output
    for told in ("40 rows and 4 columns", "classification (text)", "no 50%, yes 50%", "left out", "Warning: Column"):
        assert told in found.output


def test_a_file_is_told_of_as_json_for_programs(rows: Path) -> None:
    told = document(rows, "--target", "label")
    index, a, b, label = told["columns"]
    assert (index["name"], index["role"], index["why"]) == (
        "",
        "ignore",
        "whole numbers in a column that is named like the number of a row",
    )
    assert (a["kind"], a["stats"]["min"], a["stats"]["max"]) == ("number", 0.0, 19.5)
    assert (b["kind"], label["role"], label["done"]) == ("number", "target", "predicted")
    assert told["task"] == "classification"


def test_a_job_is_told_of_as_it_says_itself(rows: Path, tmp_path: Path) -> None:
    job = tmp_path / "job.yaml"
    job.write_text(JOB.format(uri=rows))
    column = document(job)["columns"][2]
    assert (column["kind"], column["why"], column["done"]) == ("category", "given", "3 features of 0 and 1")
    assert document(job, "--target", "b")["task"] == "classification"
    assert document(job, "--set", "data.columns={b: {role: ignore}}")["columns"][-1]["role"] == "ignore"


def test_built_in_data_is_told_of_too(tmp_path: Path) -> None:
    job = tmp_path / "job.yaml"
    text = JOB.format(uri="rows.csv")
    job.write_text(
        "".join(
            "  data: {source: {builtin: {name: iris}}}\n" if line.startswith("  data:") else f"{line}\n"
            for line in text.splitlines()
        )
    )
    told = document(job)
    assert (told["rows"], told["columnCount"], told["taskWhy"]) == (150, 5, "the source names its classes")


def test_what_training_would_refuse_is_told_and_is_no_failure_of_the_profile(rows: Path) -> None:
    rows.write_text(
        "x,label\n" + "".join(f"{(index % 5 and index / 8) or '?'},{'ab'[index % 2]}\n" for index in range(40))
    )
    found = profile(rows, "--target", "label")
    assert found.exit_code == 0
    assert "Training would be refused: column 'x' holds numbers, but '?'" in found.output


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["nowhere.csv"], 2, "there is no file or folder nowhere.csv"),
        (["{rows}", "--set", "seed=1"], 2, "--set changes a field of a job"),
        (["{rows}", "--target", "lable"], 64, "did you mean 'label'"),
        (["{folder}/job.yaml"], 2, "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(words: list[str], code: int, told: str, rows: Path) -> None:
    found = profile(*(word.format(rows=rows, folder=rows.parent) for word in words))
    assert found.exit_code == code
    assert told in found.output
    assert "Traceback" not in found.output


@pytest.mark.parametrize(("width", "shown"), [(80, False), (140, True)])
def test_a_narrow_terminal_shows_what_matters_most(width: int, shown: bool) -> None:
    column = Column(name="price", kind="number", why="decimal numbers", stats=ColumnStats(rows=2, min=1, max=7, mean=4))
    console = Console(file=io.StringIO(), width=width)
    print_profile(Profile(rows=2, columns=[column], column_count=1), console)
    assert isinstance(console.file, io.StringIO)
    printed = console.file.getvalue()
    assert "decimal numbers" in printed
    assert ("1 to 7, mean 4" in printed) == shown
    assert max(map(len, printed.splitlines())) <= width


def test_series_and_windows_of_a_forecast_are_told(tmp_path: Path) -> None:
    lines = [f"2024-01-{day:02},{shop},{day * shop},{day % 7}" for shop in (1, 2) for day in range(1, 31)]
    (tmp_path / "rows.csv").write_text("\n".join(["day,shop,sold,weekday", *lines]) + "\n")
    job = JOB.format(uri=tmp_path / "rows.csv").replace(
        "target: label, columns: {b: {kind: category}}",
        "target: sold, task: forecasting, forecast: {history: 7, horizon: 2}, "
        "columns: {day: {role: time}, shop: {role: group}}",
    )
    (tmp_path / "job.yaml").write_text(job)
    told = Profile.model_validate_json(profile(tmp_path / "job.yaml", "--output", "json").stdout)
    assert {one.name: one.done for one in told.columns} == {
        "day": "orders the rows",
        "shop": "names the series",
        "sold": "forecast, its past is seen",
        "weekday": "one feature",
    }
    assert told.notes[0] == "2 series of 30 rows from 2024-01-01 to 2024-01-30; one step is 1 day."
    assert "Windows of 7 known steps and 2 forecast ones: 26 for train, 10 for validation, 4 for test." in told.notes[1]
    (tmp_path / "job.yaml").write_text(job.replace("history: 7", "history: 29"))
    told = Profile.model_validate_json(profile(tmp_path / "job.yaml", "--output", "json").stdout)
    assert "Training would be refused: data.forecast: a history of 29 and a horizon of 2 take 31" in told.warnings[0]


def test_images_are_told_of_with_the_table_beside_them(tmp_path: Path) -> None:
    (tmp_path / "shots").mkdir()
    rows = ["file,animal,camera"]
    for number in range(20):
        Image.new("L", (4, 4), number).save(tmp_path / f"shots/{number}.png")
        rows.append(f"{number}.png,{'cat' if number % 2 else 'dog'},c{number // 4}")
    (tmp_path / "shots/labels.csv").write_text("\n".join([*rows, "20.png,cat,c1"]) + "\n")
    labelled = f"source: {{uri: '{tmp_path}/shots', labels: {{file: labels.csv}}}}, target: animal"
    job = (
        "apiVersion: headway.dev/v1alpha1\nkind: TrainingJob\nmetadata: {name: a}\n"
        f"spec: {{data: {{{labelled}, columns: {{camera: {{role: group}}}}}}, model: {{name: cnn}}, training: {{}}}}\n"
    )
    (tmp_path / "job.yaml").write_text(job)
    told = Profile.model_validate_json(profile(tmp_path / "job.yaml", "--output", "json").stdout)
    assert {one.name: one.done for one in told.columns} == {
        "x": "features, scaled by channel",
        "animal": "predicted",
        "camera": "divides the rows",
    }
    assert told.warnings[0].startswith("Left out, as there is no such image: '20.png' in row 21 of")
    assert any("The column 'file' of" in note for note in told.notes)


def test_neither_torch_nor_ray_is_imported(rows: Path) -> None:
    code = (
        "import sys; from headway_cli.main import main\n"
        f"main(['profile', {str(rows)!r}, '--target', 'label'], standalone_mode=False)\n"
        "print(sorted({'torch', 'ray', 'onnx', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_page_about_columns_can_be_typed(tmp_path: Path) -> None:
    page = script(ROOT / "docs/how-to/columns.md", cluster=False)
    done = subprocess.run(["bash", "-c", page], cwd=tmp_path, capture_output=True, text=True, check=True)
    for told in ("Column without a name was left out", "Column 'order_id' was left out", "3 features of 0 and 1"):
        assert told in done.stdout
