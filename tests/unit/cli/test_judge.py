"""What `headway judge` is told: where route and verdict are, in exactly one of two ways."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from headway_api import rollout_wire as wire
from headway_cli.judge import judge

PLACES = "give either --namespace and --config-map, or --route and --verdict"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], PLACES),
        (["--namespace", "ns"], PLACES),
        (["--config-map", "name"], PLACES),
        (["--route", "r"], PLACES),
        (["--verdict", "v"], PLACES),
        (["--namespace", "ns", "--config-map", "name", "--route", "r", "--verdict", "v"], PLACES),
        (["--namespace", "ns", "--config-map", "name"], "--config-map: this is no pod of a cluster"),
        (["--route", ".", "--verdict", "v"], "'.' is a directory"),
        (["--port", "70000"], "70000 is not in the range"),
    ],
)
def test_a_wrong_call_is_refused_in_words(words: list[str], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    done = CliRunner().invoke(judge, words)
    assert done.exit_code == 2
    assert message in done.output


@pytest.mark.parametrize("text", [None, "\n"])
def test_a_token_file_that_is_missing_or_empty_is_refused(tmp_path: Path, text: str | None) -> None:
    token = tmp_path / "token"
    if text is not None:
        token.write_text(text)
    files = ["--route", str(tmp_path / "route.json"), "--verdict", str(tmp_path / "verdict.json")]
    done = CliRunner().invoke(judge, [*files, "--port=0", "--admin-port=0", "--token-file", str(token)])
    assert done.exit_code == 1
    assert done.output.startswith(f"Error: --token-file{':' if text else ''} {token}")


def test_as_the_operator_starts_it_it_is_understood() -> None:
    command = wire.judge_command("ns", "churn-judge")
    assert command[:2] == ["headway", "judge"]
    found = judge.make_context("judge", command[2:]).params
    assert (found["namespace"], found["config_map"], found["host"]) == ("ns", "churn-judge", "0.0.0.0")  # noqa: S104 - a pod's own
    assert (found["port"], found["admin_port"]) == (wire.JUDGE_PORT, wire.JUDGE_ADMIN_PORT)
    assert isinstance(judge, click.Command)
