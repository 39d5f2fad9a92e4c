"""headway profile --in-cluster: a pod that reads what only a cluster reaches."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from commands import COMMAND
from fake_kubectl import FakeKubectl, error, listed
from headway_api import wire
from headway_cli.cluster import profile_pods
from headway_cli.cluster.errors import EXIT_INTERRUPTED, EXIT_TIMED_OUT
from headway_cli.cluster.profile_pods import manifest
from headway_cli.main import main

JOB = """apiVersion: headway.dev/v1alpha1
kind: TrainingJob
metadata: {{name: {name}}}
spec:
  image: registry.example.com/trainer:1
  data: {{source: {{uri: {uri}}}, target: label}}
  model: {{name: mlp}}
  training: {{epochs: 1}}
"""


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Rows that a pod reads, which here is a process of this machine."""
    path = tmp_path / "rows.csv"
    path.write_text("a,label\n" + "".join(f"{index / 7},{'yes' if index % 2 else 'no'}\n" for index in range(40)))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    return path


def written(folder: Path, uri: object, name: str = "churn") -> Path:
    path = folder / "job.yaml"
    path.write_text(JOB.format(uri=uri, name=name))
    return path


def call(job: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["profile", str(job), "--in-cluster", *words])


def started(kubectl: FakeKubectl) -> None:
    kubectl.says("", "create", reads=True)
    kubectl.says("", "wait")
    kubectl.says("", "delete")


def test_a_pod_reads_the_data_and_is_deleted_and_the_table_is_the_same(
    kubectl: FakeKubectl, rows: Path, tmp_path: Path
) -> None:
    started(kubectl)
    kubectl.runs("exec")
    job = written(tmp_path, rows)
    done = call(job, "-n", "team-a")
    assert done.exit_code == 0, done.output
    assert done.stdout == CliRunner().invoke(main, ["profile", str(job)]).stdout
    assert "40 rows and 2 columns" in done.stdout
    pod = json.loads(kubectl.stdin())
    name = pod["metadata"]["name"]
    assert name.startswith("churn-profile-")
    assert pod["spec"]["containers"][0]["image"] == "registry.example.com/trainer:1"
    calls = [each for each in kubectl.calls() if each[0] != "config"]
    assert [each[0] for each in calls] == ["create", "wait", "exec", "delete"]
    assert calls[-1][1] == f"pod/{name}"
    assert all("--namespace=team-a" in each for each in calls)


def test_what_the_pod_is_refused_is_told_with_the_exit_code_that_it_has_here(
    kubectl: FakeKubectl, rows: Path, tmp_path: Path
) -> None:
    started(kubectl)
    kubectl.runs("exec")
    done = call(written(tmp_path, rows), "--target", "price")
    here = CliRunner().invoke(main, ["profile", str(tmp_path / "job.yaml"), "--target", "price"])
    assert (done.exit_code, done.output.splitlines()[-1]) == (here.exit_code, here.output.splitlines()[-1])
    assert len(kubectl.calls("delete")) == 1


WAITING = "error: timed out waiting for the condition on pods/x"


def state(reason: str, message: str) -> dict[str, Any]:
    return {"status": {"containerStatuses": [{"state": {"waiting": {"reason": reason, "message": message}}}]}}


def unscheduled(message: str) -> dict[str, Any]:
    return {"status": {"conditions": [{"type": "PodScheduled", "status": "False", "message": message}]}}


NEVER = [
    (state("ImagePullBackOff", "no such image"), "does not run: ImagePullBackOff: no such image"),
    (state("CreateContainerConfigError", "no user"), "does not run: CreateContainerConfigError: no user"),
    (unscheduled('persistentvolumeclaim "rows" not found'), 'persistentvolumeclaim "rows" not found'),
    ({"status": {"phase": "Failed", "reason": "Evicted", "message": "the node was low"}}, "Evicted the node was low"),
]


@pytest.mark.parametrize(("pod", "said"), NEVER, ids=[said for _, said in NEVER])
def test_a_pod_that_will_never_run_is_not_waited_for_and_says_why(
    kubectl: FakeKubectl, tmp_path: Path, pod: dict[str, Any], said: str
) -> None:
    kubectl.says("", "create", reads=True)
    kubectl.fails(WAITING, "wait")
    kubectl.says(pod, "get", "pod/churn-profile")
    kubectl.says("", "delete")
    done = call(written(tmp_path, "s3://rows/a.csv"))
    assert done.exit_code == 1
    assert said in done.stderr
    assert len(kubectl.calls("delete")) == 1


def test_a_pod_that_does_not_come_up_in_time_says_what_it_waits_for_and_its_newest_warning(
    kubectl: FakeKubectl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profile_pods, "START_SECONDS", -1)
    kubectl.says("", "create", reads=True)
    kubectl.fails(WAITING, "wait")
    kubectl.says(state("ContainerCreating", ""), "get", "pod/churn-profile")
    events = [{"message": "old", "lastTimestamp": "2026-01-01T00:00:00Z"}]
    events.append({"message": 'secret "keys" not found', "lastTimestamp": "2026-01-02T00:00:00Z"})
    kubectl.says({"kind": "List", "items": events}, "get", "events")
    kubectl.says("", "delete")
    done = call(written(tmp_path, "s3://rows/a.csv"))
    assert done.exit_code == EXIT_TIMED_OUT
    assert 'ContainerCreating; secret "keys" not found' in done.stderr
    assert len(kubectl.calls("delete")) == 1


def test_without_rights_or_quota_the_api_server_says_so_and_nothing_is_left(
    kubectl: FakeKubectl, tmp_path: Path
) -> None:
    kubectl.fails(error("forbidden"), "create")
    kubectl.says("", "delete")
    done = call(written(tmp_path, "s3://rows/a.csv"))
    assert done.exit_code == 1
    assert "Ask who runs the cluster for that right" in done.stderr
    assert not kubectl.calls("exec")


@pytest.mark.parametrize(
    ("stderr", "code", "said"),
    [
        ("command terminated with exit code 137", 137, "more memory than it had, 2Gi"),
        ("/usr/bin/python: No module named headway_trainer.profiling", 1, "has another version of Headway"),
        (error("forbidden"), 1, "Ask who runs the cluster for that right"),
    ],
)
def test_what_ends_the_reading_is_told_in_its_own_words(
    kubectl: FakeKubectl, tmp_path: Path, stderr: str, code: int, said: str
) -> None:
    started(kubectl)
    kubectl.fails(stderr, "exec", code=code)
    done = call(written(tmp_path, "s3://rows/a.csv"))
    assert done.exit_code == 1
    assert said in done.stderr
    assert len(kubectl.calls("delete")) == 1


@pytest.mark.parametrize("said", ["{}", '{"profile": 7}', '{"profile": {"rows": "x"}}'])
def test_an_image_that_answers_something_else_is_refused(kubectl: FakeKubectl, tmp_path: Path, said: str) -> None:
    started(kubectl)
    kubectl.says(f"a line of a library\n{said}\n", "exec")
    done = call(written(tmp_path, "s3://rows/a.csv"))
    assert done.exit_code == 1
    assert "is no profile: name one by --image" in done.stderr


def test_what_a_pod_says_steers_no_terminal_and_chooses_no_exit_code(kubectl: FakeKubectl, tmp_path: Path) -> None:
    started(kubectl)
    kubectl.says(json.dumps({"error": "\x1b[2Jgone" + "x" * 9000, "exit": 0}), "exec")
    done = call(written(tmp_path, "s3://rows/a.csv"))
    assert done.exit_code == wire.EXIT_USER_ERROR
    assert "\x1b" not in done.stderr
    assert len(done.stderr) < 5000


def test_ctrl_c_deletes_the_pod(kubectl: FakeKubectl, tmp_path: Path) -> None:
    started(kubectl)
    kubectl.hangs("exec")
    job = written(tmp_path, "s3://rows/a.csv")
    process = subprocess.Popen(
        [*COMMAND, "profile", str(job), "--in-cluster"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    try:
        deadline = time.monotonic() + 60
        while not kubectl.calls("exec"):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == EXIT_INTERRUPTED
    assert len(kubectl.calls("delete")) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("rows.csv", "--in-cluster"), "--in-cluster reads the data of a job"),
        (("job.yaml", "--image", "x"), "--image is of the pod that --in-cluster makes"),
    ],
)
def test_words_that_contradict_each_other_are_refused(words: tuple[str, ...], said: str) -> None:
    done = CliRunner().invoke(main, ["profile", *words])
    assert done.exit_code == 2
    assert said in done.stderr


def test_the_pod_of_a_job_with_a_generated_name_has_a_name_that_begins_like_it(
    kubectl: FakeKubectl, tmp_path: Path
) -> None:
    started(kubectl)
    kubectl.says('{"error": "no such bucket", "exit": 64}', "exec")
    job = written(tmp_path, "s3://rows/a.csv")
    job.write_text(job.read_text().replace("{name: churn}", "{generateName: churn-}"))
    assert "no such bucket" in call(job).stderr
    assert re.fullmatch(r"churn-profile-[0-9a-f]{6}", json.loads(kubectl.stdin())["metadata"]["name"])


def without_image(folder: Path) -> Path:
    job = written(folder, "s3://rows/a.csv")
    job.write_text(job.read_text().replace("  image: registry.example.com/trainer:1\n", ""))
    return job


def had(name: str, *attempts: tuple[str, str], **spec: Any) -> dict[str, Any]:
    """A job whose attempts have begun so and had these images."""
    told = [{"startTime": start, "image": image} for start, image in attempts]
    return {"metadata": {"name": name}, "spec": spec, "status": {"attempts": told}}


def test_a_job_without_an_image_has_the_one_that_the_operator_took_last(kubectl: FakeKubectl, tmp_path: Path) -> None:
    jobs = [
        had("older", ("2026-11-01T00:00:00Z", "trainer:1"), ("2026-11-02T00:00:00Z", "trainer:2")),
        had("its-own", ("2026-11-09T00:00:00Z", "mine:9"), image="mine:9"),
        had("newer", ("2026-11-03T00:00:00Z", "trainer:3")),
        had("begins", ("2026-11-08T00:00:00Z", "")),
        {"metadata": {"name": "queued"}, "spec": {}},
    ]
    kubectl.says(listed(*jobs), "get", "trainingjobs")
    started(kubectl)
    kubectl.says('{"error": "no such bucket", "exit": 64}', "exec")
    done = call(without_image(tmp_path), "-n", "team-a")
    assert "no such bucket" in done.stderr
    assert json.loads(kubectl.stdin())["spec"]["containers"][0]["image"] == "trainer:3"
    assert "the pod has trainer:3, which the operator took for newer; --image names another" in done.stderr
    assert [each for each in kubectl.calls("get") if "--namespace=team-a" not in each] == []


def test_where_no_job_tells_the_operators_image_one_is_needed_on_the_command_line(
    kubectl: FakeKubectl, tmp_path: Path
) -> None:
    job = without_image(tmp_path)
    kubectl.says(listed(had("its-own", ("2026-11-09T00:00:00Z", "mine:9"), image="mine:9")), "get", "trainingjobs")
    kubectl.fails(error("forbidden"), "get", "trainingjobs")
    for _ in range(2):
        done = call(job)
        assert done.exit_code == 2
        assert "has no spec.image, and no job of this namespace tells what the operator takes then" in done.stderr
    assert not kubectl.calls("create")
    kubectl.fails(error("forbidden"), "create")
    kubectl.says("", "delete")
    assert "Ask who runs the cluster" in call(job, "--image", "registry.example.com/other:2").stderr


def test_the_pod_has_what_the_job_s_head_has_of_the_data_and_no_more() -> None:
    template = {"spec": {"imagePullSecrets": [{"name": "registry"}], "hostNetwork": True, "serviceAccountName": "lake"}}
    template["spec"]["securityContext"] = {"runAsUser": 4321}
    resources = {"cpu": "2", "memory": "8Gi"}
    source = {"persistentVolumeClaim": {"name": "rows"}, "secretRef": {"name": "keys"}}
    spec = {"head": {"template": template, "resources": resources}, "data": {"source": source}}
    made = manifest(spec, "x-profile-1", "image")["spec"]
    assert made["automountServiceAccountToken"] is False
    assert made["securityContext"]["runAsNonRoot"] is True
    assert made["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert made["securityContext"]["runAsUser"] == 4321
    assert (made["imagePullSecrets"], made["serviceAccountName"]) == ([{"name": "registry"}], "lake")
    assert "hostNetwork" not in made
    assert made["activeDeadlineSeconds"] == 3600
    (container,) = made["containers"]
    assert container["resources"] == {"requests": resources, "limits": {"memory": "8Gi"}}
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert [(each["mountPath"], each.get("readOnly")) for each in container["volumeMounts"]] == [
        ("/tmp", None), (wire.DATA_VOLUME_DIR, True), (wire.DATA_SECRET_DIR, True),
    ]  # fmt: skip
    assert made["volumes"][1]["persistentVolumeClaim"] == {"claimName": "rows", "readOnly": True}
    assert made["volumes"][2]["secret"]["secretName"] == "keys"
    bare = manifest({"data": {"source": {"uri": "s3://rows/a.csv"}}}, "x", "image")["spec"]
    assert [each["name"] for each in bare["volumes"]] == ["tmp"]
