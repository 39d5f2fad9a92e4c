"""The first minutes of a user who never sees the repository: `pipx install` of the built wheel, and what can be typed
then."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import headway_cli.main
from headway_cli.main import COMMANDS
from users_machine import Machine, losses, machine

LACKING = {
    "bundle": "headway bundle model -o model.tar.gz",
    "fetch": "headway fetch --uri s3://bucket/model --to model",
    "hold": "headway hold --name churn --server http://127.0.0.1:8080",
    "judge": "headway judge --name churn",
    "predict": "headway predict model table.csv",
    "profile": "headway profile job.yaml",
    "run": "headway run job.yaml",
    "serve": "headway serve model",
    "sign": "headway sign --key table.csv model",
    "track": "headway track out/wine",
    "trials": "headway trials out/wine",
    "ui": "headway ui",
    "verify": "headway verify --public-key table.csv model",
}
"""A line for each command that needs an extra."""


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """A machine on which `pipx install headway` was typed."""
    made = machine(tmp_path_factory.mktemp("bare"))
    made.type("pipx install headway")
    (made.folder / "table.csv").write_text("alcohol,grower\n" + "1.5,Conti\n2.5,Bianchi\n" * 20)
    made.type("mkdir model && headway init --data digits")
    return made


def test_what_is_installed_is_the_code_of_this_checkout(bare: Machine) -> None:
    (installed,) = bare.home.glob(".local/share/pipx/venvs/headway/lib/*/site-packages/headway_cli/main.py")
    assert installed.read_bytes() == Path(headway_cli.main.__file__).read_bytes()
    assert not list(installed.parents[1].glob("torch*")), "the command line alone needs no torch"


def test_help_names_each_command(bare: Machine) -> None:
    listed = bare.type("headway --help")
    assert [name for name in COMMANDS if not re.search(rf"^  {name} ", listed, re.MULTILINE)] == []


def test_init_writes_a_job_that_validate_accepts_and_tells_what_to_type_next(bare: Machine) -> None:
    done = bare.typed("headway init --data table.csv --target grower wine.yaml")
    assert done.code == 0, done.said
    assert done.out == "Wrote wine.yaml: mlp, 1 worker.\n"
    assert done.errors.splitlines() == ["  headway run wine.yaml", "  headway submit wine.yaml"]
    assert bare.type("headway validate wine.yaml") == "wine.yaml:5: TrainingJob table is valid\n"


def test_a_mistake_is_told_with_its_line(bare: Machine) -> None:
    done = bare.typed("sed 's/epochs: 20 /epochs: -5/' job.yaml | headway validate -")
    assert done.code == 1, done.said
    assert "spec.training.epochs: -5 is below the least allowed value 1" in done.out + done.errors


def test_a_program_can_import_the_python_client(bare: Machine) -> None:
    (python,) = bare.home.glob(".local/share/pipx/venvs/headway/bin/python")
    call = "Client().submit('job.yaml', set={'training.epochs': -5})"
    done = bare.typed(f'{python} -c "from headway.client import Client; {call}"')
    assert done.code == 1, done.said
    last = "headway_cli.cluster.errors.InvalidJobError: spec.training.epochs: -5 is below the least allowed value 1"
    assert done.errors.splitlines()[-1] == last


def test_there_is_a_line_for_each_command_that_needs_an_extra() -> None:
    assert set(LACKING) == {name for name, entry in COMMANDS.items() if entry.extra is not None}


@pytest.mark.parametrize("command", sorted(LACKING))
def test_a_command_whose_extra_is_missing_says_so_in_one_sentence(bare: Machine, command: str) -> None:
    done = bare.typed(LACKING[command])
    assert (done.code, done.out) == (1, ""), done.said
    extra = COMMANDS[command].extra
    what = rf"(headway {command} needs|signatures need) the Python package \w+"
    assert re.fullmatch(rf"Error: {what}: pipx install --force 'headway\[{extra}\]'\n", done.errors), done.errors


def test_without_a_cluster_each_verb_on_one_says_so_in_a_moment(bare: Machine) -> None:
    for verb in ("status", "doctor", "logs job", "stop job", "report job", "submit job.yaml", "track tj/job"):
        done = bare.typed(f"headway {verb}", timeout=60)
        assert done.code not in (0, 2), done.said
        assert "Traceback" not in done.errors
        assert re.search(r"^(Error|The cluster was not reached)", done.errors, re.MULTILINE), done.said


@pytest.mark.ray
@pytest.mark.long
def test_the_extra_is_added_as_the_message_says_and_the_job_of_init_trains(bare: Machine) -> None:
    told = bare.typed("headway run job.yaml").errors
    bare.type(told.partition(": ")[2].partition(": ")[2], timeout=1200)
    said = bare.type("headway run job.yaml", timeout=600)
    seen = losses(said)
    assert len(seen) > 1, said
    assert seen[-1] < seen[0]
    result = json.loads((bare.folder / "out/digits/result.json").read_text())
    assert result["metrics"]["test"]["accuracy"] >= 0.97
    bare.type("headway predict out/digits --help")
    assert "out/digits/model.onnx" in said
