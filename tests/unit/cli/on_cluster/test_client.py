"""headway.client: the functions of the command line for programs, which print nothing and end no process."""

from __future__ import annotations

import copy
import hashlib
import inspect
import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from exported import exported
from fake_kubectl import FakeKubectl, error, listed, recorded
from harness import ROOT
from hasty_clock import Hasty
from headway import jobs
from headway.client import (
    Client,
    ClusterError,
    ExistsError,
    HeadwayError,
    InputError,
    InvalidJobError,
    JobEndedError,
    LogLine,
    NotFoundError,
    RefusedError,
    TimedOutError,
    UnreachedError,
    UsageError,
)
from headway.reference import page
from headway_api.job import TrainingJob
from headway_cli.cluster.errors import HeadwayError as CommandsError

DOCUMENT: dict[str, Any] = {
    "apiVersion": "headway.dev/v1alpha1",
    "kind": "TrainingJob",
    "metadata": {"name": "churn"},
    "spec": {"data": {"source": {"builtin": {"name": "digits"}}}, "model": {"name": "cnn"}, "training": {"epochs": 3}},
}


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "CLOCK", Hasty())


@pytest.fixture(autouse=True)
def nothing_printed(capfd: pytest.CaptureFixture[str]) -> Any:
    yield
    assert capfd.readouterr() == ("", "")


def created(name: str = "churn") -> dict[str, Any]:
    return {"kind": "TrainingJob", "metadata": {"name": name, "namespace": "team-a", "uid": "u-1"}, "spec": {}}


def the_job(kubectl: FakeKubectl, *states: dict[str, Any]) -> jobs.Job:
    """A job that is in these states one after the other, from the time when it is looked at."""
    for state in (states[0], *states):
        kubectl.says(listed(state), "get", "trainingjobs.headway.dev/churn")
    return Client(namespace="team-a").job("churn")


def state(name: str, **status: Any) -> dict[str, Any]:
    """A recorded job, which is always the same one."""
    made = copy.deepcopy(recorded(name))
    made["metadata"] |= {"name": "churn", "uid": "u-1"}
    made["status"] |= status
    return made


def succeeded(**status: Any) -> dict[str, Any]:
    return state("running", phase="Succeeded", **status)


def test_a_document_is_submitted_with_fields_set_to_values(kubectl: FakeKubectl) -> None:
    kubectl.says(created(), "create", reads=True)
    job = Client("prod", "team-a", Path("/etc/kubeconfig")).submit(
        DOCUMENT, set={"training.epochs": 9, "workers": {"replicas": 2}}
    )
    assert (job.name, job.namespace, repr(job)) == ("churn", "team-a", "Job('churn', namespace='team-a')")
    sent = json.loads(kubectl.stdin())
    assert (sent["spec"]["training"], sent["spec"]["workers"]) == ({"epochs": 9}, {"replicas": 2})
    assert DOCUMENT["spec"]["training"] == {"epochs": 3}, "what was given is left as it was"
    flags = ["--kubeconfig=/etc/kubeconfig", "--context=prod", "--namespace=team-a"]
    assert kubectl.calls() == [["create", "--filename=-", "--output=json", *flags]]


def test_a_file_and_a_model_are_the_same_job_as_their_document(kubectl: FakeKubectl, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(json.dumps(DOCUMENT))
    kubectl.says(created(), "create", reads=True)
    client = Client()
    for given in (tmp_path / "job.yaml", str(tmp_path / "job.yaml"), TrainingJob.model_validate(DOCUMENT)):
        client.submit(given)
    assert json.loads(f"[{kubectl.stdin().replace('}{', '},{')}]") == [DOCUMENT] * 3


def test_code_goes_along_and_the_logger_tells_what_was_not_packed(
    kubectl: FakeKubectl, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "train.py").write_text("def main(): ...\n")
    (tmp_path / "rows.csv").write_text("a\n")
    own = DOCUMENT | {"spec": {"training": {"entrypoint": "train:main"}}}
    kubectl.says(created(), "create")
    kubectl.says({"metadata": {"name": "churn-code-x7k2p"}}, "create")
    kubectl.says(created(), "create", reads=True)
    kubectl.says({}, "patch")
    Client().submit(own, code=tmp_path)
    assert json.loads(kubectl.stdin())["spec"]["code"] == {"configMap": {"name": "churn-code-x7k2p"}}
    assert [(each.name, each.levelno) for each in caplog.records] == [("headway", logging.WARNING)]
    assert "rows.csv" in caplog.text


@pytest.mark.parametrize(
    ("words", "kind", "said"),
    [
        ({"set": {"training.epochs": -1}}, InvalidJobError, r"spec\.training\.epochs: -1 is below the least allowed"),
        ({"set": {"training.epochs.x": 1}}, UsageError, r"training\.epochs is no section"),
        ({"set": {"": 1}}, UsageError, r"is no path of a field of spec: write it as training\.epochs"),
        ({"name": "No_Name"}, InvalidJobError, r"metadata\.name: "),
        ({"idempotency_key": ""}, UsageError, "1 to 256 printable characters"),
        ({"code": "/nowhere"}, ClusterError, "/nowhere cannot be read"),
        ({"job": "/nowhere.yaml"}, UsageError, r"/nowhere\.yaml cannot be read"),
        ({"job": {"kind": "TrainingJob"}}, InvalidJobError, "apiVersion"),
        ({"job": {"kind": "Pod"}}, InvalidJobError, "is no kind of headway.dev/v1alpha1"),
    ],
)
def test_what_cannot_be_submitted_is_told_before_the_cluster_is_asked(
    kubectl: FakeKubectl, words: dict[str, Any], kind: type[HeadwayError], said: str
) -> None:
    with pytest.raises(kind, match=said):
        Client().submit(**({"job": DOCUMENT} | words))
    assert kubectl.calls() == []


def test_errors_of_the_cluster_are_those_of_the_command(kubectl: FakeKubectl) -> None:
    kubectl.fails('Error from server (AlreadyExists): trainingjobs "churn" already exists\n', "create")
    with pytest.raises(ExistsError, match="It was left as it is: see `headway status churn -n team-a`"):
        Client(namespace="team-a").submit(DOCUMENT)
    kubectl.fails(error("refused"), "get")
    with pytest.raises(UnreachedError, match="is it up"):
        Client().jobs()
    assert issubclass(UnreachedError, HeadwayError)
    assert HeadwayError is CommandsError


def test_a_name_is_never_taken_for_a_flag(kubectl: FakeKubectl) -> None:
    for call in (lambda: Client().job("--all"), lambda: Client().deployment("-A"), lambda: Client(namespace="-A")):
        with pytest.raises(UsageError, match="is no name"):
            call()
    assert kubectl.calls() == []


def test_where_jobs_and_deployments_are_told(kubectl: FakeKubectl) -> None:
    client = Client(namespace="team-a")
    assert client.where().namespace == "team-a"
    kubectl.says(listed(state("running")), "get", "trainingjobs.headway.dev", "--selector=team=a")
    assert [job.name for job in client.jobs("team=a")] == ["churn"]
    ready = {"kind": "ModelDeployment", "metadata": {"name": "churn"}, "status": {"phase": "Ready"}}
    kubectl.says(listed(ready), "get", "modeldeployments.headway.dev")
    assert client.deployment("churn").status().phase == "Ready"
    assert repr(client.deployments()) == "[Deployment('churn')]"


def test_the_status_is_typed_and_lax_of_what_a_newer_operator_writes(kubectl: FakeKubectl) -> None:
    job = the_job(kubectl, state("running", invented={"x": 1}))
    status = job.status()
    assert status.phase == "Running"
    assert status.attempts[-1].number == 1
    assert job.manifest()["status"]["invented"] == {"x": 1}


def test_a_status_that_cannot_be_read_is_of_another_version(kubectl: FakeKubectl) -> None:
    job = the_job(kubectl, state("running", attempts="many"))
    with pytest.raises(ClusterError, match="of another version of Headway"):
        job.status()


def test_another_job_of_the_same_name_is_not_taken_for_this_one(kubectl: FakeKubectl) -> None:
    other = state("running")
    other["metadata"]["uid"] = "u-2"
    job = the_job(kubectl, state("running"), other)
    job.status()
    with pytest.raises(NotFoundError, match="there is another job of that name"):
        job.status()


def test_a_job_is_waited_for_until_it_has_succeeded(kubectl: FakeKubectl) -> None:
    job = the_job(kubectl, state("running"), state("running"), succeeded())
    assert job.wait().phase == "Succeeded"


def test_a_job_that_fails_ends_the_wait_with_its_reason_and_its_status(kubectl: FakeKubectl) -> None:
    job = the_job(kubectl, state("running"), state("running"), state("failed"))
    with pytest.raises(
        JobEndedError, match=r"churn has ended: it is Failed, and Succeeded was waited for\. ValueError"
    ) as found:
        job.wait()
    assert found.value.status.phase == "Failed"
    assert job.wait(until="Failed").phase == "Failed"


def test_a_wait_that_takes_too_long_says_what_the_job_does(kubectl: FakeKubectl) -> None:
    job = the_job(kubectl, state("running"))
    with pytest.raises(TimedOutError, match=r"within 5 s: it is Running.*\nThe job goes on"):
        job.wait(5)
    assert job.wait(5, until="Running").phase == "Running"


def test_a_job_that_was_quicker_than_the_look_has_been_running(kubectl: FakeKubectl) -> None:
    assert the_job(kubectl, succeeded()).wait(until="Running").phase == "Succeeded"


def test_stopping_and_going_on_ask_and_wait_as_the_commands_do(kubectl: FakeKubectl) -> None:
    running, stopped = state("running"), state("suspended")
    stopped["spec"]["suspend"] = True
    job = the_job(kubectl, running, running, stopped)
    kubectl.says(running, "patch")
    assert job.stop().phase == "Suspended"
    assert '--patch={"metadata": {"uid": "u-1"}, "spec": {"suspend": true}}' in kubectl.calls("patch")[0]
    assert job.stop().phase == "Suspended"
    assert len(kubectl.calls("patch")) == 1, "it is suspended already"
    job.resume({"workers.replicas": 3}, wait=False)
    asked = '{"metadata": {"uid": "u-1"}, "spec": {"workers": {"replicas": 3}, "suspend": false}}'
    assert f"--patch={asked}" in kubectl.calls("patch")[1]
    with pytest.raises(InputError, match=r"spec\.workers\.replicas: -1"):
        job.resume({"workers.replicas": -1})
    kubectl.fails(error("patch-immutable"), "patch")
    kubectl.fails(error("patch-immutable"), "patch")
    job.resume({"seed": 8}, wait=False)
    with pytest.raises(RefusedError, match=r"spec\.training cannot change once the job has begun"):
        job.resume({"seed": 9})


def test_a_job_that_has_ended_cannot_be_stopped(kubectl: FakeKubectl) -> None:
    with pytest.raises(ClusterError, match=r"churn has ended \(Failed\): there is nothing to stop"):
        the_job(kubectl, state("failed")).stop()


def in_folder(folder: Path, artifacts: dict[str, bytes]) -> dict[str, Any]:
    """A finished job whose files are in a volume that a pod can read, which is this machine."""
    listed_files = []
    for name, data in artifacts.items():
        (folder / name).write_bytes(data)
        digest = {"sha256": hashlib.sha256(data).hexdigest(), "sizeBytes": len(data)}
        listed_files.append({"name": name.partition(".")[0], "uri": f"{folder}/{name}", **digest})
    made = succeeded(result={"metrics": {}, "artifacts": listed_files})
    made["status"]["attempts"][-1] |= {"endTime": "2026-11-29T18:30:00Z", "logs": f"{folder}/logs/attempt-1"}
    made["status"]["storage"] = {"persistentVolumeClaim": {"name": "models"}}
    return made


def by_pod(kubectl: FakeKubectl) -> None:
    for word in ("create", "wait", "delete"):
        kubectl.says("", word)
    kubectl.runs("exec")


RESULT = {
    "job": "churn",
    "outcome": "Succeeded",
    "seed": 7,
    "worldSize": 2,
    "started": "2026-11-29T18:00:00Z",
    "finished": "2026-11-29T18:30:00Z",
    "durationSeconds": 1800.0,
    "metrics": {"test": {"f1": 0.9}},
}


def test_logs_are_lines_with_their_sources(kubectl: FakeKubectl, tmp_path: Path) -> None:
    (tmp_path / "logs/attempt-1").mkdir(parents=True)
    for name, said in {"driver": "began\nended\n", "rank-0": "step 1\nstep 2\n", "rank-1": "step 1\n"}.items():
        (tmp_path / f"logs/attempt-1/{name}.log").write_text(said)
    by_pod(kubectl)
    job = the_job(kubectl, in_folder(tmp_path, {}))
    assert list(job.logs(reader_pod=True)) == [LogLine("driver", "began"), LogLine("driver", "ended")]
    lines = list(job.logs("all", tail=1, reader_pod=True))
    assert [(line.rank, str(line)) for line in lines] == [(0, "[0] step 2"), (1, "[1] step 1")]
    assert list(map(str, job.logs(1, attempt=1, reader_pod=True))) == ["[1] step 1"]
    with pytest.raises(NotFoundError, match="no attempt 7"):
        list(job.logs(attempt=7))
    for rank in (-1, "first"):
        with pytest.raises(UsageError, match="the number of a training process, counted from 0, or 'all'"):
            job.logs(rank)  # type: ignore[arg-type]  # which is what it refuses


def test_a_volume_that_only_a_pod_can_read_says_so(kubectl: FakeKubectl, tmp_path: Path) -> None:
    job = the_job(kubectl, in_folder(tmp_path, {"result.json": b"{}"}))
    with pytest.raises(ClusterError, match="which only a pod can read"):
        job.result()


def test_the_result_is_typed_and_held_against_its_digest(kubectl: FakeKubectl, tmp_path: Path) -> None:
    by_pod(kubectl)
    job = the_job(kubectl, in_folder(tmp_path, {"result.json": json.dumps(RESULT).encode(), "report.md": b"# Good\n"}))
    result = job.result(reader_pod=True)
    assert (result.job, result.world_size, result.outcome) == ("churn", 2, "Succeeded")
    assert job.download(tmp_path / "out", reader_pod=True) == [tmp_path / "out/result.json", tmp_path / "out/report.md"]
    (tmp_path / "result.json").write_bytes(json.dumps(RESULT | {"seed": 8}).encode())
    with pytest.raises(ClusterError, match="is not what the job has left"):
        job.result(reader_pod=True)


def test_a_result_of_another_version_is_told_of(kubectl: FakeKubectl, tmp_path: Path) -> None:
    by_pod(kubectl)
    job = the_job(kubectl, in_folder(tmp_path, {"result.json": b'{"job": 3}'}))
    with pytest.raises(ClusterError, match="no result that this version of Headway reads"):
        job.result(reader_pod=True)


def test_a_job_without_files_has_neither_result_nor_model(kubectl: FakeKubectl) -> None:
    job = the_job(kubectl, state("running"))
    with pytest.raises(NotFoundError, match="churn has left no files: it is Running"):
        job.result()
    with pytest.raises(NotFoundError, match="has left no model yet: it is Running"):
        job.predict([{}])


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that tells `fit` of `size` and `town`: its files."""
    folder = tmp_path_factory.mktemp("homes")
    rows = [
        {"size": number * 7 % 13 + 0.5, "town": "Kobe" if number % 3 else "Łódź", "fit": "yes" if number % 2 else "no"}
        for number in range(40)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    exported(folder / "run", {"source": {"uri": str(folder / "rows.jsonl")}, "target": "fit"})
    return folder


def test_predictions_are_those_of_the_command_whatever_form_the_rows_have(
    kubectl: FakeKubectl, homes: Path, tmp_path: Path
) -> None:
    from headway_cli.predicting import FinishedModel

    names = ("model.json", "model.onnx")
    job = the_job(kubectl, in_folder(tmp_path, {name: (homes / "run" / name).read_bytes() for name in names}))
    by_pod(kubectl)
    rows = [json.loads(line) for line in (homes / "rows.jsonl").read_text().splitlines()]
    answers = job.predict(str(homes / "rows.jsonl"), reader_pod=True)
    assert len(answers) == 40
    assert set(answers[0]) == {"label", "probabilities"}
    assert len(kubectl.calls("exec")) == 1
    assert answers == FinishedModel(str(homes / "run")).answers(str(homes / "rows.jsonl"))
    table = pa.Table.from_pylist(rows)
    for form in (
        rows,
        table,
        table.to_pandas(),
        (row for row in rows),
        [row | {"size": np.float64(row["size"])} for row in rows],
    ):
        assert job.predict(form) == answers
    assert len(kubectl.calls("exec")) == 1, "the model is kept"
    assert job.predict([rows[3]]) == [answers[3]]


@pytest.mark.parametrize(
    ("rows", "kind", "said"),
    [
        ([], InputError, "there are no rows to predict for"),
        ({"size": 1}, UsageError, r"write one row as \[row\]"),
        (7, UsageError, "and no int"),
        ([{"size": 1, "town": "Kobe"}, 3], UsageError, "row 2 is a int: write each row as a mapping"),
        ([{"size": object(), "town": "Kobe"}], UsageError, "row 1 cannot be written as JSON: a object"),
        ([{"town": "Kobe"}], InputError, "size"),
        ([{"size": {"a": 1}, "town": "Kobe"}], InputError, "size"),
        (np.zeros((2, 2)), InputError, "the rows is npz; this model takes the columns"),
        ("/nowhere.csv", InputError, r"/nowhere\.csv"),
    ],
)
def test_rows_that_a_model_cannot_take_are_told_of(homes: Path, rows: object, kind: type[Exception], said: str) -> None:
    from headway_cli.predicting import FinishedModel

    with pytest.raises(kind, match=said) as found:
        FinishedModel(str(homes / "run")).answers(rows)
    assert "headway-rows-" not in str(found.value)


def test_the_base_install_is_enough_to_import_it() -> None:
    heavy = ("click", "headway_trainer", "numpy", "onnxruntime", "pyarrow", "rich", "torch")
    code = f"import sys, headway.client; print([each for each in {heavy} if each in sys.modules])"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


def test_the_reference_page_is_what_the_docstrings_say() -> None:
    written = (ROOT / "docs/reference/client.md").read_text()
    assert written == page(), "make generate"
    for kind in (Client, jobs.Job):
        public = [name for name, _ in inspect.getmembers(kind, inspect.isfunction) if not name.startswith("_")]
        assert [name for name in public if f"### {kind.__name__}.{name}\n" not in written] == []
