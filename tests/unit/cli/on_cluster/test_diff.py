"""headway diff: each difference between a job and its file, with what becomes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fake_kubectl import FakeKubectl, error, listed
from headway_api.changes import Effect, changes
from headway_api.crd import TRAINING_JOB
from headway_cli.main import main

JOB = """\
apiVersion: headway.dev/v1alpha1
kind: TrainingJob
metadata:
  name: churn
spec:
  data: {source: {builtin: {name: digits}}}
  model: {name: cnn}
  training: {epochs: 20}
  workers: {replicas: 4}
"""
SPEC = {
    "data": {"source": {"builtin": {"name": "digits"}}, "split": {"train": 0.7}},
    "model": {"name": "cnn"},
    "training": {"epochs": 20},
    "workers": {"replicas": 4},
    "retry": {"userError": 0},
}


@pytest.fixture
def file(tmp_path: Path) -> str:
    made = tmp_path / "job.yaml"
    made.write_text(JOB)
    return str(made)


def live(phase: str = "Running", attempt: int = 1, **spec: Any) -> dict[str, Any]:
    """The job as the API server has it."""
    return {
        "apiVersion": "headway.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": "churn", "uid": "u-1"},
        "spec": SPEC | spec,
        "status": {"phase": phase, "attempt": attempt},
    }


def call(kubectl: FakeKubectl, file: str, job: dict[str, Any], *words: str) -> Result:
    """Run the command."""
    kubectl.says(listed(job), "get", "/churn")
    return CliRunner().invoke(main, ["diff", file, *words])


def test_defaults_are_no_difference(kubectl: FakeKubectl, file: str) -> None:
    done = call(kubectl, file, live())
    assert (done.exit_code, done.stdout) == (0, "churn is as the file says.\n")


def test_each_change_is_told_with_what_becomes_of_it(kubectl: FakeKubectl, file: str) -> None:
    sets = ["training.epochs=50", "workers.replicas=8", "retry.infrastructure=9", "workers.resources.gpu=2"]
    done = call(kubectl, file, live(), *(word for each in sets for word in ("--set", each)), "-n", "team-a")
    assert done.exit_code == 1
    assert done.stdout.splitlines() == [
        "applies now                spec.retry.infrastructure: 5 -> 9",
        "next attempt               spec.workers.replicas: 4 -> 8",
        "refused: needs a new job   spec.training.epochs: 20 -> 50",
        "refused: needs a new job   spec.workers.resources.gpu: 0 -> 2",
    ]
    assert done.stderr.splitlines()[1:] == [
        f"  headway submit {file} --name churn-2 -n team-a",
        "  headway status churn -n team-a",
    ]
    assert {words[0] for words in kubectl.calls()} == {"config", "get"}, "nothing is changed"


def test_what_may_change_is_proposed_to_be_applied(kubectl: FakeKubectl, file: str) -> None:
    done = call(kubectl, file, live(), "--set", "activeDeadlineSeconds=7200")
    assert (done.exit_code, done.stdout) == (0, "applies now   spec.activeDeadlineSeconds: (none) -> 7200\n")
    assert done.stderr.splitlines()[1] == f"  kubectl apply -f {file}"


def test_a_job_that_has_not_begun_may_change_in_everything(kubectl: FakeKubectl, file: str) -> None:
    done = call(kubectl, file, live("Queued", 0), "--set", "training.epochs=50")
    assert (done.exit_code, done.stdout) == (0, "applies now   spec.training.epochs: 20 -> 50\n")


@pytest.mark.parametrize(
    ("phase", "trials", "effect"),
    [
        ("Running", 30, "next attempt"),
        ("Succeeded", 30, "next attempt"),
        ("Running", 5, "refused: needs a new job"),
        ("Failed", 30, "refused: needs a new job"),
    ],
)
def test_trials_may_be_raised_as_the_api_server_has_it(
    kubectl: FakeKubectl, file: str, phase: str, trials: int, effect: str
) -> None:
    tuning = {"parameters": {"training.optimizer.lr": {"choice": [0.1, 0.2]}}}
    with Path(file).open("a") as more:
        more.write("  tuning: {parameters: {training.optimizer.lr: {choice: [0.1, 0.2]}}}\n")
    done = call(kubectl, file, live(phase, tuning=tuning | {"trials": 10}), "--set", f"tuning.trials={trials}")
    assert done.stdout == f"{effect}   spec.tuning.trials: 10 -> {trials}\n", done.output
    assert ("has ended" in done.stderr) == (phase != "Running")


@pytest.mark.parametrize("fixed", [{"search": {"name": "grid"}}, {"scheduler": {"name": "pbt"}}])
def test_where_trials_are_fixed_raising_them_is_refused(fixed: dict[str, Any]) -> None:
    tuning = {"parameters": {"training.optimizer.lr": {"grid": [0.1, 0.2]}}, **fixed}
    (change,) = changes(live(tuning=tuning | {"trials": 4}), SPEC | {"tuning": tuning | {"trials": 8}})
    assert (change.path, change.effect) == (("spec", "tuning", "trials"), Effect.REFUSED)


def test_a_section_that_is_taken_away_is_one_difference(kubectl: FakeKubectl, file: str) -> None:
    done = call(kubectl, file, live(publish={"deployment": "web"}))
    assert done.stdout == 'refused: needs a new job   spec.publish: {"deployment": "web"} -> (none)\n'


def test_a_spec_of_another_version_is_said_to_be_one(kubectl: FakeKubectl, file: str) -> None:
    done = call(kubectl, file, live(training=[1]))
    assert done.exit_code == 1
    assert "is of another version of Headway: spec.training" in done.stderr


def test_no_such_job_and_a_file_without_a_name_are_told(kubectl: FakeKubectl, file: str) -> None:
    kubectl.says(listed(), "get", "/churn")
    done = CliRunner().invoke(main, ["diff", file])
    assert done.exit_code == 1
    assert "there is no TrainingJob churn" in done.stderr
    Path(file).write_text(JOB.replace("name: churn", "generateName: churn-"))
    assert "give it the metadata.name" in CliRunner().invoke(main, ["diff", file]).stderr


def test_a_cluster_that_is_not_reached_ends_with_3(kubectl: FakeKubectl, file: str) -> None:
    kubectl.fails(error("refused"), "get")
    assert CliRunner().invoke(main, ["diff", file]).exit_code == 3


def test_what_counts_from_the_next_attempt_is_what_may_change() -> None:
    assert TRAINING_JOB.next_attempt <= TRAINING_JOB.changeable | {each.path for each in TRAINING_JOB.raised}
