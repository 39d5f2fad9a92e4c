"""headway render: the operator's own objects, for readers, without a cluster."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from headway_api.job import TrainingJob
from headway_cli.main import main
from headway_operator.training.plan.model import NewPod
from headway_operator.training.render import pods
from headway_operator.training.render.objects import AttemptOf

JOB = """\
apiVersion: headway.dev/v1alpha1
kind: TrainingJob
metadata:
  name: churn
spec:
  data: {source: {builtin: {name: digits}}}
  model: {name: cnn}
  training: {epochs: 3}
  workers: {replicas: 3}
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    made = tmp_path / "job.yaml"
    made.write_text(JOB)
    return str(made)


def call(*words: str) -> Result:
    """Run the command."""
    return CliRunner().invoke(main, ["render", *words])


def rendered(*words: str) -> list[dict[str, Any]]:
    """The objects that it prints."""
    done = call(*words)
    assert done.exit_code == 0, done.output
    assert "&id" not in done.stdout
    return list(yaml.safe_load_all(done.stdout))


def test_the_objects_are_the_operators_own_in_its_order(file: str) -> None:
    made = rendered(file, "-n", "team-a", "--image", "trainer:1", "--storage", "s3://models")
    kinds = ["ServiceAccount", "RoleBinding", "ConfigMap", "Secret", "Service", "NetworkPolicy", "Pod", "Pod"]
    assert [each["kind"] for each in made] == kinds
    assert {each["metadata"]["namespace"] for each in made} == {"team-a"}
    run = json.loads(made[3]["stringData"]["run.json"])
    assert run["storageUri"].startswith("s3://models/")
    spec = yaml.safe_load(JOB)
    spec["spec"] |= {"image": "trainer:1", "storage": {"uri": "s3://models"}}
    attempt = AttemptOf(
        namespace="team-a",
        job="churn",
        uid="00000000-0000-0000-0000-000000000000",
        number=1,
        workers=3,
        spec=TrainingJob.model_validate(spec).spec,
    )
    assert made[6] == pods.pod(attempt, NewPod("head"), "IfNotPresent")


def test_all_workers_and_the_pod_group_are_printed_where_asked_for(file: str) -> None:
    kinds = [each["kind"] for each in rendered(file, "--all", "--pod-group")]
    assert (kinds.count("Pod"), kinds.count("PodGroup")) == (4, 1)
    assert "and 2 more worker pods like the last one" in call(file).stderr
    assert "more worker pods" not in call(file, "--all").stderr


def test_what_only_the_operator_knows_is_said_to_be_a_placeholder(file: str) -> None:
    done = call(file)
    assert "spec.image is left to the operator" in done.stderr
    assert "spec.storage is left to the operator" in done.stderr
    done = call(file, "--set", "image=mine:1", "--set", "storage={persistentVolumeClaim: {name: models}}")
    assert "is left to the operator" not in done.stderr
    assert "claimName: models" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--image", "a b"], "spec.image: "),
        (["--storage", "nonsense://a"], "spec.storage.uri: "),
        (["--set", "training.epochs=-1"], "spec.training.epochs: "),
        (["--namespace", "No!"], "is no name of a namespace"),
    ],
)
def test_mistakes_are_named(file: str, words: list[str], said: str) -> None:
    done = call(file, *words)
    assert done.exit_code in (1, 2)
    assert (said in done.stderr, done.stdout) == (True, ""), done.output


def test_it_needs_none_of_the_operators_packages(file: str) -> None:
    program = (
        "import sys; from headway_cli.main import main\n"
        f"main(['render', {file!r}], standalone_mode=False)\n"
        "found = {'kopf', 'kubernetes', 'aiohttp', 'prometheus_client', 'torch'} & set(sys.modules)\n"
        "sys.exit(str(found) if found else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("kind: Pod\n") == 2
