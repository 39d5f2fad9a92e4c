"""Completion in shells and for `kubectl headway`, the reference page, and the second entry point."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from collections.abc import Callable

import click
import pytest
from click.testing import CliRunner

from fake_kubectl import FakeKubectl, error
from headway_cli import completion, main
from markdown_blocks import ROOT


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_each_shell_gets_a_script_that_it_takes(shell: str) -> None:
    done = CliRunner().invoke(main.main, ["completion", shell])
    assert done.exit_code == 0
    assert f"_HEADWAY_COMPLETE={shell}_complete" in done.output
    if (program := shutil.which(shell)) is not None:
        assert subprocess.run([program, "-n"], input=done.output, text=True, check=False).returncode == 0


def test_commands_are_completed_without_importing_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def imported(name: str) -> None:
        raise AssertionError(f"{name} was imported")

    monkeypatch.setattr(importlib, "import_module", imported)
    assert completion.for_kubectl(["stat"]).splitlines() == [
        f"status\t{main.COMMANDS['status'].help}",
        ":4",
    ]


def test_options_and_names_of_jobs_are_completed(kubectl: FakeKubectl) -> None:
    kubectl.says("churn bert churn", "get", "--namespace=team-a")
    kubectl.fails(error("refused"), "get")
    assert "--namespace" in completion.for_kubectl(["status", "--na"])
    assert completion.for_kubectl(["status", "-n", "team-a", "c"]) == "churn\n:4\n"
    assert completion.for_kubectl(["status", "c"]) == ":4\n"


def test_files_are_left_to_the_shell() -> None:
    assert completion.for_kubectl(["validate", ""]) == ":0\n"


def test_a_shell_asks_and_is_answered(kubectl: FakeKubectl) -> None:
    kubectl.says("churn bert", "get")
    done = CliRunner().invoke(
        main.main,
        [],
        prog_name="headway",
        env={"_HEADWAY_COMPLETE": "bash_complete", "COMP_WORDS": "headway status ch", "COMP_CWORD": "2"},
    )
    assert done.output == "plain,churn\n"


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("headway", main.main),
        ("kubectl-headway", main.kubectl_main),
        ("kubectl_complete-headway", completion.kubectl_complete),
    ],
)
def test_the_distribution_s_programs_are_there(name: str, function: Callable[[], None] | click.Command) -> None:
    declared = [line for line in (ROOT / "pyproject.toml").read_text().splitlines() if line.startswith(f"{name} = ")]
    module, _, attribute = declared[0].partition(" = ")[2].strip('"').partition(":")
    assert getattr(importlib.import_module(module), attribute) is function


def test_as_a_plugin_it_calls_itself_what_the_user_has_typed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["/usr/bin/kubectl-headway", "status", "--help"])
    with pytest.raises(SystemExit):
        main.kubectl_main()
    assert capsys.readouterr().out.startswith("Usage: kubectl headway status [OPTIONS] [NAME]")


def test_the_reference_page_is_what_the_commands_say() -> None:
    # In a process of its own, as click keeps a command's help option as it was first asked for, by whatever test.
    made = subprocess.run([sys.executable, "-m", "headway_cli.reference"], capture_output=True, text=True, check=True)
    assert (ROOT / "docs/reference/cli.md").read_text() == made.stdout, (
        "run: python -m headway_cli.reference > docs/reference/cli.md"
    )
