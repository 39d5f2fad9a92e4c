"""headway track tj/NAME: a pod that tells a job's trackers what they missed."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fake_kubectl import FakeKubectl, error, listed, recorded
from harness import PATIENCE
from headway_api import wire
from headway_api.tracking import Tracking
from headway_cli.cluster import tracking_pods
from headway_cli.cluster.tracking_pods import manifest
from headway_cli.main import main
from headway_trainer.storage import Store
from headway_trainer.tracking.recorder import Recorder
from nonsense_server import answering

ATTEMPT = {"number": 1, "image": "registry.example.com/trainer:1", "endTime": "2026-11-29T18:30:00Z"}


def ended(folder: str, **spec: Any) -> dict[str, Any]:
    """A job that has ended, with its storage."""
    made = copy.deepcopy(recorded("running"))
    made["spec"] |= spec
    made["status"]["storage"] = {"persistentVolumeClaim": {"name": "models"}}
    made["status"]["attempts"] = [ATTEMPT | {"logs": f"{folder}/logs/attempt-1"}]
    return made


def call(*words: str) -> Result:
    return CliRunner().invoke(main, ["track", *words])


def by_pod(kubectl: FakeKubectl, job: dict[str, Any]) -> None:
    """Let a pod be made."""
    kubectl.says(listed(job), "get", "/churn")
    kubectl.says("", "create", reads=True)
    kubectl.says("", "wait")
    kubectl.says("", "delete")


@pytest.fixture
def run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that names no tracker, as a pod reaches it, which here is a process of this machine."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    recorder = Recorder(Store.open(str(tmp_path / "run")), 1, identity="u", tracking=Tracking(tensorboard=False))
    recorder.begin("", name="churn", parameters={})
    recorder.end("", "completed")
    assert recorder.flush()
    return tmp_path / "run"


def test_a_pod_tells_what_this_machine_would_and_is_deleted(kubectl: FakeKubectl, run_folder: Path) -> None:
    by_pod(kubectl, ended(str(run_folder)))
    kubectl.runs("exec")
    done = call("tj/churn", "-n", "team-a")
    assert done.exit_code == 0, done.output
    assert done.stdout == "The job of this run names no tracker in spec.tracking: there is nothing to tell.\n"
    assert call(str(run_folder)).stdout == done.stdout
    pod = json.loads(kubectl.stdin())
    calls = [each for each in kubectl.calls() if each[0] != "config"]
    assert [each[0] for each in calls] == ["get", "create", "wait", "exec", "delete"]
    assert calls[-1][1] == f"pod/{pod['metadata']['name']}"
    assert all("--namespace=team-a" in each for each in calls)


def test_the_pod_has_what_the_job_s_head_has_of_storage_and_credentials_and_no_more() -> None:
    template = {"spec": {"imagePullSecrets": [{"name": "registry"}], "hostNetwork": True, "serviceAccountName": "lake"}}
    job = ended("/x", head={"template": template}, tracking={"secretRef": {"name": "mlflow"}})
    job["status"]["storage"]["secretRef"] = {"name": "keys"}
    made = manifest(job, "churn-track-1")
    assert made["metadata"]["ownerReferences"][0]["name"] == "churn"
    assert made["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "headway-cli"
    spec = made["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert (spec["securityContext"]["runAsNonRoot"], spec["securityContext"]["fsGroup"]) == (True, 1000)
    assert (spec["imagePullSecrets"], spec["serviceAccountName"]) == ([{"name": "registry"}], "lake")
    assert "hostNetwork" not in spec
    (container,) = spec["containers"]
    assert container["image"] == ATTEMPT["image"]
    assert [(each["mountPath"], each.get("readOnly")) for each in container["volumeMounts"]] == [
        ("/tmp", None), (wire.STORAGE_VOLUME_DIR, None), (wire.STORAGE_SECRET_DIR, True),
        (wire.TRACKING_SECRET_DIR, True),
    ]  # fmt: skip
    assert [each.get("secret", {}).get("optional") for each in spec["volumes"]] == [None, None, None, True]
    assert tracking_pods.TRACKING_SECRET_DIR == wire.TRACKING_SECRET_DIR


@pytest.mark.parametrize(
    ("stderr", "code", "said"),
    [
        (error("forbidden"), 1, "Ask who runs the cluster for that right"),
        (
            "Usage: headway\nError: No such command 'track'.\ncommand terminated with exit code 2\n",
            2,
            "knows no trackers",
        ),
        ("MLflow: away\x1b[2J\ncommand terminated with exit code 1\n", 1, "MLflow: away\\u001b[2J\n"),
    ],
)
def test_what_goes_wrong_in_the_pod_is_told_in_its_own_words(
    kubectl: FakeKubectl, stderr: str, code: int, said: str
) -> None:
    by_pod(kubectl, ended("/mnt/headway/storage/team-a/churn-1"))
    kubectl.fails(stderr, "exec", code=code)
    done = call("tj/churn")
    assert done.exit_code == 1
    assert said in done.stderr
    assert "terminated" not in done.stderr
    assert len(kubectl.calls("delete")) == 1


def test_a_job_that_has_not_begun_has_nothing_to_tell_and_gets_no_pod(kubectl: FakeKubectl) -> None:
    job = ended("/x")
    job["status"]["attempts"] = []
    kubectl.says(listed(job), "get", "/churn")
    done = call("tj/churn")
    assert done.exit_code == 1
    assert "churn has had no attempt yet" in done.stderr
    assert not kubectl.calls("create")


def test_the_command_line_alone_can_ask_for_the_pod() -> None:
    program = (
        "import sys, headway_cli.track, headway_cli.cluster.tracking_pods;"
        "print(sorted({'torch', 'pyarrow', 'headway_trainer', 'mlflow'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_more_time_than_a_pod_has_is_refused() -> None:
    done = call("tj/churn", "--timeout", "7200")
    assert done.exit_code == 2
    assert "give 3000 at most" in done.stderr


def test_a_pod_of_a_job_takes_the_credentials_that_are_mounted(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").mkdir()
    kept = tmp_path / "secret/MLFLOW_TRACKING_TOKEN"
    kept.write_text("t0ken")
    monkeypatch.setattr(wire, "TRACKING_SECRET_DIR", str(tmp_path / "secret"))
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "")  # and it is as before afterwards
    monkeypatch.setattr("headway_cli.track.LEAVE_SECONDS", PATIENCE)  # a client's import takes what it takes
    with answering("garbage") as (uri, asked):
        tracking = Tracking.model_validate({"tensorboard": False, "mlflow": {"uri": uri}})
        recorder = Recorder(Store.open(str(run_folder)), 2, identity="u", tracking=tracking)
        recorder.begin("", name="churn", parameters={})
        assert recorder.flush()
        done = call(str(run_folder), "--timeout", "0")
    assert done.exit_code == 1
    assert asked
    assert os.environ["MLFLOW_TRACKING_TOKEN"] == kept.read_text()
