"""`headway` and `headway validate` as people call them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from headway_cli import extras
from headway_cli import main as command_line
from headway_cli.main import COMMANDS, LazyCommand, main

ROOT = Path(__file__).parents[3]
JOB = (
    "apiVersion: headway.dev/v1alpha1\nkind: TrainingJob\nmetadata: {name: a}\nspec: {training: {entrypoint: 'a:b'}}\n"
)


def call(*words: str, stdin: bytes | str | None = None) -> Result:
    """Run the command."""
    return CliRunner().invoke(main, list(words), input=stdin)


def write(folder: Path, name: str, text: str) -> str:
    """A file in a folder."""
    (folder / name).write_text(text)
    return str(folder / name)


def test_a_valid_file_is_said_to_be_valid(tmp_path: Path) -> None:
    file = write(tmp_path, "a.yaml", JOB)
    done = call("validate", file)
    assert (done.exit_code, done.output) == (0, f"{file}:1: TrainingJob a is valid\n")


def test_names_of_other_packages_are_said_to_be_not_judged(tmp_path: Path) -> None:
    data = "data: {source: {builtin: {name: iris}}}"
    spec = f"{{{data}, model: {{name: acme.net}}, evaluation: {{metrics: [acme.brier]}}, training: {{}}}}"
    file = write(tmp_path, "a.yaml", JOB.replace("{training: {entrypoint: 'a:b'}}", spec))
    done = call("validate", file)
    assert (done.exit_code, done.output) == (
        0,
        f"{file}:1: TrainingJob a is valid, but acme.net (spec.model.name) and acme.brier (spec.evaluation.metrics[0])"
        " are other packages', which were not looked at here: whether the image has them is told when the job begins\n",
    )
    told = json.loads(call("validate", "-o", "json", file).stdout)
    assert told[0]["notJudged"][0] == {"line": 1, "field": "spec.model.name", "name": "acme.net"}


def test_all_files_are_checked_and_one_mistake_is_enough_to_fail(tmp_path: Path) -> None:
    bad, good = write(tmp_path, "bad.yaml", JOB.replace("a:b", "a")), write(tmp_path, "good.yaml", JOB)
    done = call("validate", bad, good)
    assert done.exit_code == 1
    assert done.stderr == f'{bad}:4: spec.training.entrypoint: "a" must be module:function, for example train:main\n'
    assert done.stdout == f"{good}:1: TrainingJob a is valid\n"


def test_standard_input_is_a_file_too() -> None:
    assert call("validate", "-", stdin=JOB).output == "<stdin>:1: TrainingJob a is valid\n"
    assert call("validate", "-", stdin=b"\xff").stderr.startswith("<stdin>:1: byte 0xff is not UTF-8")


def test_other_objects_are_skipped_with_a_note(tmp_path: Path) -> None:
    other = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: code}\n---\n"
    file = write(tmp_path, "a.yaml", other + JOB)
    done = call("validate", file)
    assert (done.exit_code, done.stderr) == (0, f"{file}:1: ConfigMap code is not Headway's: skipped\n")
    assert call("validate", write(tmp_path, "b.yaml", other)).exit_code == 1


def test_more_problems_than_are_told_are_counted(tmp_path: Path) -> None:
    twice = (JOB + "".join(f"zz{number}: 1\n" for number in range(40)) + "---\n") * 2
    done = call("validate", write(tmp_path, "a.yaml", twice))
    assert "and 31 more problems" in done.stderr.splitlines()[-1]


def test_json_is_for_programs(tmp_path: Path) -> None:
    file = write(tmp_path, "a.yaml", "apiVersion: v1\nkind: Secret\n---\n" + JOB.replace("a:b", "a"))
    done = call("validate", "-o", "json", file)
    assert done.exit_code == 1
    assert json.loads(done.stdout) == [
        {
            "file": file,
            "valid": False,
            "documents": 1,
            "notJudged": [],
            "skipped": [{"line": 1, "document": "Secret"}],
            "problems": [
                {
                    "line": 7,
                    "field": "spec.training.entrypoint",
                    "message": '"a" must be module:function, for example train:main',
                }
            ],
            "leftOut": 0,
        }
    ]


@pytest.mark.parametrize("words", [[], ["--nonsense", "a.yaml"], ["-o", "xml", "a.yaml"], ["no/such/file.yaml"], ["."]])
def test_a_wrong_call_ends_with_2(words: list[str]) -> None:
    assert call("validate", *words).exit_code == 2


def test_a_file_that_cannot_be_read_is_named_with_the_reason() -> None:
    assert "no/such/file.yaml cannot be read: No such file or directory" in call("validate", "no/such/file.yaml").stderr


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("**/*.yaml")), ids=lambda path: path.name)
def test_the_examples_are_valid(example: Path) -> None:
    kinds = {line.split(":")[1].strip() for line in example.read_text().splitlines() if line.startswith("kind:")}
    expected = 0 if kinds & {"TrainingJob", "ModelDeployment"} else 1
    assert call("validate", str(example)).exit_code == expected


def test_help_lists_each_command_without_importing_it() -> None:
    listed = call("--help").output
    assert all(name in listed and entry.help in listed for name, entry in COMMANDS.items())


def test_an_unknown_command_is_a_wrong_call() -> None:
    assert call("frobnicate").exit_code == 2


def test_a_missing_package_is_named_with_the_extra_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = LazyCommand("a_package_that_is_not_there", "Say hello.", extra="trainer")
    monkeypatch.setattr(command_line, "COMMANDS", {"hello": entry})
    done = call("hello")
    assert done.exit_code == 1
    said = "headway hello needs the Python package a_package_that_is_not_there: pip install 'headway[trainer]'"
    assert said in done.output


def lacks_when_called(monkeypatch: pytest.MonkeyPatch, mark: str) -> Result:
    """Call a command that imports a package which is not there only when it is called.

    mark: the package that says whether its extra is installed.
    """

    @click.command
    def validate() -> None:
        raise ModuleNotFoundError("No module named 'numpy'", name="numpy")

    monkeypatch.setattr(command_line, "COMMANDS", {"validate": LazyCommand("headway_cli.validate", "?", "trainer")})
    monkeypatch.setattr("headway_cli.validate.validate", validate)
    monkeypatch.setattr(extras, "MARKS", {"trainer": mark})
    return call("validate")


def test_a_package_that_is_missed_later_is_named_too_where_the_extra_is_not_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done = lacks_when_called(monkeypatch, "no_such_package_at_all")
    assert done.exit_code == 1
    assert done.stderr == "Error: headway validate needs the Python package numpy: pip install 'headway[trainer]'\n"


def test_a_module_that_is_missed_where_the_extra_is_installed_is_shown_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert isinstance(lacks_when_called(monkeypatch, "json").exception, ModuleNotFoundError)


def test_a_module_of_our_own_that_is_missing_is_our_fault_and_shown_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = LazyCommand("headway_cli.not_there", "Say hello.", extra="trainer")
    monkeypatch.setattr(command_line, "COMMANDS", {"hello": entry})
    assert isinstance(call("hello").exception, ModuleNotFoundError)


def test_a_module_without_the_command_is_our_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_line, "COMMANDS", {"click": LazyCommand("headway_cli.main", "?")})
    assert isinstance(call("click").exception, TypeError)


def test_validate_needs_none_of_the_heavy_packages() -> None:
    heavy = ("torch", "ray", "numpy", "xgboost", "kubernetes", "kopf")
    code = (
        "import sys; from headway_cli.main import main\n"
        "try: main(['validate', '-'])\n"
        f"finally: print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], input=JOB, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_commands_are_click_commands_of_their_names() -> None:
    group = command_line.main
    context = click.Context(group)
    command = group.get_command(context, "validate")
    assert command is not None
    assert command.name == "validate"
