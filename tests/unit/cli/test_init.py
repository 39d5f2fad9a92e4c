"""headway init: the file is valid whatever is answered, and no file of the user's is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from headway_api.data import BUILTIN_TASKS
from headway_api.model import MODELS
from headway_api.validate import check
from headway_cli import init as init_command
from headway_cli.main import main


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a table in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "My wines.csv").write_text('"alcohol, %",ash,grower\n1,2,Conti\n')
    return tmp_path


def call(*words: str, answers: str = "") -> Result:
    """Run the command."""
    return CliRunner().invoke(main, ["init", *words], input=answers)


def spec(file: str = "job.yaml") -> dict[str, Any]:
    """What was written, which has to be valid."""
    text = Path(file).read_bytes()
    assert check(text).problems == []
    document = yaml.safe_load(text)
    assert isinstance(document["spec"], dict)
    return dict(document["spec"])


@pytest.mark.parametrize(
    ("data", "gpus"), [*((name, 0) for name in sorted(BUILTIN_TASKS)), ("digits", 1), ("wine", 64)]
)
def test_each_data_set_makes_a_valid_job(data: str, gpus: int) -> None:
    done = call("--data", data, "--gpus", str(gpus), "--workers", "3")
    assert done.exit_code == 0, done.output
    written = spec()
    assert written["data"]["source"] == {"builtin": {"name": data}}
    assert (written["workers"]["replicas"], written["workers"]["resources"].get("gpu", 0)) == (3, gpus)


@pytest.mark.parametrize("model", sorted(name for name, entry in MODELS.items() if "table" in entry.takes))
def test_each_model_of_a_table_makes_a_valid_job_or_is_refused_with_the_reason(model: str) -> None:
    done = call("--data", "My wines.csv", "--target", "grower", "--model", model)
    if model == "autoencoder":
        assert (done.exit_code, Path("job.yaml").exists()) == (1, False)
        assert "set data.task to reconstruction" in done.stderr
        return
    assert done.exit_code == 0, done.output
    assert spec()["model"] == {"name": model}
    assert spec()["data"]["target"] == "grower"
    assert bool(spec()["training"]) != MODELS[model].estimator


def test_the_next_two_commands_name_the_file() -> None:
    done = call("--data", "iris", "--workers", "2", "--gpus", "1", "a job.yaml")
    assert done.stdout == "Wrote a job.yaml: mlp, 2 workers with 1 GPU each.\n"
    assert done.stderr == "  headway run 'a job.yaml'\n  headway submit 'a job.yaml'\n"


def test_a_terminal_is_asked_three_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(init_command, "on_terminal", lambda: True)
    done = call(answers="My wines.csv\n\nxgboost\n")
    assert done.exit_code == 0, done.output
    assert "Column to predict, of alcohol, %, ash, grower [grower]: " in done.stderr
    assert "autoencoder" not in done.stderr
    written = spec()
    assert written["data"]["target"] == "grower"
    assert written["model"]["name"] == "xgboost"
    assert yaml.safe_load(Path("job.yaml").read_text())["metadata"]["name"] == "my-wines"


def test_a_terminal_is_not_asked_what_options_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(init_command, "on_terminal", lambda: True)
    done = call("--data", "digits", "--model", "cnn")
    assert done.exit_code == 0, done.output
    assert "one of" not in done.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "there is no terminal to ask on: say what the data is with --data"),
        (["--data", "My wines.csv"], "name the column to predict with --target: alcohol, %, ash, grower"),
        (["--data", "My wines.csv", "--target", "year"], "has no column year: it has alcohol, %, ash, grower"),
        (["--data", "s3://b/rows.parquet"], "name the column to predict with --target"),
        (["--data", "s3://b/rows.parquet?region=eu"], "name the column to predict with --target"),
        (["--data", "wine", "--target", "ash"], "--target is for data of your own"),
        (["--data", "wine", "--model", "resnet"], "resnet is no model of Headway: those for this data are"),
        (["--data", "wine", "--workers", "0"], "0 is not in the range 1<=x<=500"),
    ],
)
def test_what_is_missing_or_wrong_is_said_and_nothing_is_written(words: list[str], said: str) -> None:
    done = call(*words)
    assert done.exit_code == 2
    assert said in done.stderr
    assert not Path("job.yaml").exists()


def test_a_file_that_is_there_is_overwritten_by_force_only() -> None:
    Path("job.yaml").write_text("mine")
    done = call("--data", "wine")
    assert (done.exit_code, Path("job.yaml").read_text()) == (1, "mine")
    assert "overwrite it with --force" in done.stderr
    assert call("--data", "wine", "--force").exit_code == 0
    assert spec()["data"]["source"] == {"builtin": {"name": "wine"}}


def test_a_folder_that_is_not_there_is_named() -> None:
    done = call("--data", "wine", "no/such/job.yaml")
    assert done.exit_code == 1
    assert "no/such/job.yaml cannot be written: No such file or directory" in done.stderr


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("s3://bucket/2024/Träume.csv", "tr-ume"),
        ("data/2024-sales.csv.gz", "sales"),
        ("images/", "images"),
        ("../", "job"),
        ("x" * 60 + ".csv", "x" * 38),
        ("123.csv", "job"),
        ("data/on.csv", "on-job"),
    ],
)
def test_the_name_is_one_that_a_job_can_have(data: str, name: str) -> None:
    assert init_command.name_of(data) == name
    assert call("--data", data, "--target", "y").exit_code == 0
    spec()


def test_no_name_of_a_file_or_column_can_add_to_the_job() -> None:
    data = 'a"\n  image: evil #.csv'
    done = call("--data", data, "--target", "y: 1\nimage: evil", "b\n  image: evil.yaml")
    assert done.exit_code in (0, 1)
    for written in Path().glob("*.yaml"):
        assert "image" not in spec(str(written))
