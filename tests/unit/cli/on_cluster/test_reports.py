"""headway report, models and top: what jobs have left, who serves it, and who holds GPUs."""

from __future__ import annotations

import copy
import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from click.testing import CliRunner, Result

from deployment_documents import DIGEST
from fake_kubectl import FakeKubectl, listed, recorded
from hasty_clock import NOW
from headway_api.status import Result as JobResult
from headway_api.status import TimeStatus
from headway_cli.cluster import reports, top
from headway_cli.cluster.errors import ClusterError, NotFoundError
from headway_cli.main import main
from local_folder import Local


def call(*words: str) -> Result:
    """Run the command."""
    return CliRunner().invoke(main, list(words))


def finished(files: dict[str, bytes], folder: str, **changes: Any) -> dict[str, Any]:
    """A job that has left files in a folder."""
    made = copy.deepcopy(recorded("running"))
    artifacts = [
        {"name": name.partition(".")[0], "uri": f"{folder}/{name}", "sha256": hashlib.sha256(data).hexdigest()}
        | {"sizeBytes": len(data)}
        for name, data in files.items()
    ]
    result = {"artifacts": artifacts, "metrics": {"test/f1": "0.9"}, **changes}
    JobResult.model_validate(result)
    made["status"] |= {"phase": "Succeeded", "result": result, "completionTime": "2026-11-29T18:30:00Z"}
    made["status"]["storage"] = {"persistentVolumeClaim": {"name": "models"}}
    made["status"]["attempts"][-1] |= {"endTime": "2026-11-29T18:30:00Z", "logs": f"{folder}/logs/attempt-1"}
    return made


@pytest.fixture
def left(tmp_path: Path) -> dict[str, bytes]:
    """Files as a job leaves them, which lie in `run`."""
    made = {"report.md": b"# Report\n\x1b[2Jgood\n", "result.json": b"{}", "model.safetensors": bytes(range(256)) * 99}
    (tmp_path / "run").mkdir()
    for name, data in made.items():
        (tmp_path / "run" / name).write_bytes(data)
    return made


def by_pod(kubectl: FakeKubectl, job: dict[str, Any]) -> None:
    """Let a pod be made that reads what is here."""
    kubectl.says(listed(job), "get", "/churn")
    kubectl.says("", "create", reads=True)
    kubectl.says("", "wait")
    kubectl.says("", "delete")
    kubectl.runs("exec")


def test_a_report_is_printed_and_on_a_terminal_steers_nothing(
    kubectl: FakeKubectl, left: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_pod(kubectl, finished(left, str(tmp_path / "run")))
    done = call("report", "churn", "--reader-pod")
    assert (done.exit_code, done.stdout) == (0, left["report.md"].decode()), done.stderr
    monkeypatch.setattr("headway_cli.verbs.report.is_terminal", lambda: True)
    assert call("report", "churn", "--reader-pod").stdout == "# Report\n\\u001b[2Jgood\n"


SPENT = {"queued": 40, "starting": 20, "preparing": 0, "productive": 900, "recovering": 40}
TOLD = """
## Time in the cluster
From the job's status, over 2 attempts: 16 min, without those for which it was suspended.

| what | seconds | share |
|---|---|---|
| productive | 900 | 90.0% |
| queued | 40 | 4.0% |
| recovering | 40 | 4.0% |
| starting | 20 | 2.0% |

Goodput, the share of steps that were kept: 90%. 1,200 steps were lost and done again.
"""


def counted(job: dict[str, Any]) -> dict[str, Any]:
    """The job, whose time has been counted."""
    time = {"since": "2026-11-29T17:00:00Z", "until": "2026-11-29T18:30:00Z", "seconds": SPENT, "goodputPercent": 90}
    TimeStatus.model_validate(time | {"stepsAgain": 1200})
    job["status"] |= {"time": time | {"stepsAgain": 1200}, "attempt": 2}
    return job


def test_the_report_ends_with_where_the_time_of_all_attempts_went(
    kubectl: FakeKubectl, left: dict[str, bytes], tmp_path: Path
) -> None:
    by_pod(kubectl, counted(finished(left, str(tmp_path / "run"))))
    done = call("report", "churn", "--reader-pod")
    assert (done.exit_code, done.stdout) == (0, left["report.md"].decode() + TOLD), done.stderr
    fetched = call("report", "churn", "--download", str(tmp_path / "out"), "--reader-pod")
    assert fetched.stdout.endswith(TOLD), "it is told beside the files, which are what the driver has left"
    assert (tmp_path / "out/report.md").read_bytes() == left["report.md"]


def test_all_files_are_fetched_once_and_again_nothing_is_written(
    kubectl: FakeKubectl, left: dict[str, bytes], tmp_path: Path
) -> None:
    by_pod(kubectl, finished(left, str(tmp_path / "run")))
    out = tmp_path / "out"
    for _ in range(2):
        done = call("report", "churn", "--download", str(out), "--reader-pod")
        assert done.exit_code == 0, done.stderr
        assert {path.name: path.read_bytes() for path in out.iterdir()} == left
    assert f"{out / 'model.safetensors'}   25,344 bytes" in done.stdout


@pytest.mark.parametrize("changed", [b"# Report\n\x1b[2Jbad!\n", b"", b"# Report\n\x1b[2Jgood\nmore"])
def test_a_file_that_was_changed_is_refused_and_not_left_here(
    left: dict[str, bytes], tmp_path: Path, changed: bytes
) -> None:
    (tmp_path / "run/report.md").write_bytes(changed)
    (file, *_) = reports.files(finished(left, str(tmp_path / "run")))
    with pytest.raises(ClusterError, match=r"report\.md is not what the job has left"):
        reports.read(Local(tmp_path / "run"), file)
    with pytest.raises(ClusterError, match="Somebody has changed it since"):
        list(reports.fetch(Local(tmp_path / "run"), [file], tmp_path / "out"))
    assert list((tmp_path / "out").iterdir()) == []


def test_a_file_of_ones_own_is_never_replaced(left: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/report.md").write_text("mine")
    with pytest.raises(ClusterError, match="is there already, and is another file"):
        list(reports.fetch(Local(tmp_path / "run"), reports.files(finished(left, "/run")), tmp_path / "out"))
    assert (tmp_path / "out/report.md").read_text() == "mine"


@pytest.mark.parametrize(
    "uri",
    [
        *("", "report.md", "s3://a/run/..", "s3://a/run/b/", "s3://a/run/c\\d", "s3://a/run/\0", "s3://a/run/\x1b[2J"),
        *("s3://a/runs/x", "s3://b/run/x", "https://a/run/x", "/etc/passwd", "s3://a/run/../x", "s3://a/run//x"),
    ],
)
def test_a_place_that_leads_out_of_the_job_s_folder_is_no_file(uri: str) -> None:
    job = finished({"report.md": b""}, "s3://a/run")
    job["status"]["result"]["artifacts"][0]["uri"] = uri
    with pytest.raises(ClusterError, match="is no file"):
        reports.files(job)


def test_a_job_cannot_name_the_server_that_is_asked() -> None:
    job = finished({"report.md": b""}, "s3://a/run")
    job["status"]["attempts"][-1]["logs"] = "s3://a/run/logs/attempt-1?region=here"
    job["status"]["result"]["artifacts"][0]["uri"] = "s3://a/run/report.md?endpoint_override=evil.example"
    assert [each.folder for each in reports.files(job)] == ["s3://a/run?region=here"]


def test_a_job_without_files_says_how_it_is() -> None:
    with pytest.raises(NotFoundError, match=r"bad has left no files: it is Failed \(ValueError"):
        reports.files(recorded("failed"))


def test_models_are_listed_with_who_serves_them(kubectl: FakeKubectl) -> None:
    bundle = {"digest": DIGEST, "persistentVolumeClaim": {"name": "models", "path": "default/churn-1"}}
    job = finished({"model.onnx": b"x" * 2048}, "/mnt/a", bundle=bundle)
    job["status"]["summary"] = {"metric": "f1=0.9"}
    version = {"name": "digits-1", "state": "Champion", "source": {"digest": DIGEST}}
    retired = {"name": "digits-0", "state": "Retired", "source": {"digest": DIGEST}}
    deployment = {"kind": "ModelDeployment", "metadata": {"name": "digits", "namespace": "default"}}
    deployment["status"] = {"versions": [retired, version]}
    kubectl.says(listed(job, recorded("failed")), "get", "trainingjobs")
    kubectl.says(listed(deployment), "get", "modeldeployments")
    done = call("models", "-o", "wide")
    assert done.exit_code == 0, done.stderr
    (heads, row) = done.stdout.splitlines()
    assert heads.split() == ["NAME", "METRIC", "SIZE", "AGE", "SERVED", "BY", "DIGEST", "PLACE"]
    assert row.split()[:3] == ["churn", "f1=0.9", "2"]
    assert f"digits-1 (Champion)   {DIGEST}   claim models: default/churn-1" in row


def running(name: str, gpus: int, **status: Any) -> dict[str, Any]:
    made = copy.deepcopy(recorded("running"))
    made["metadata"] |= {"name": name, "namespace": "team-a"}
    made["spec"]["workers"] = {"replicas": gpus, "resources": {"gpu": 1}}
    made["status"] |= status
    return made


def test_top_has_those_that_hold_most_first_and_says_why_others_wait() -> None:
    message = {"message": "needs 32 GPUs, 20 are free"}
    queued = running("bert", 32, phase="Queued", attempts=[], summary=message, activeSeconds=0)
    queued["metadata"]["creationTimestamp"] = "2026-11-29T18:43:00Z"
    attempts = [{"number": 1, "startTime": "2026-11-29T17:50:00Z", "runningTime": "2026-11-29T18:00:00Z"}]
    churn = running("churn", 4, attempts=attempts, activeSeconds=720, time={"goodputPercent": 91})
    small = running("small", 1)
    use = top.GpuUse({("team-a", "churn"): 0.88}, {("team-a", "churn"): 61 * top.GIB})
    found = top.rows([queued, small, recorded("failed"), churn], use, NOW)
    assert found[0] == ["team-a", "churn", "Running", "4", "88%", "61 GiB", "10,480", "91%", "4.8", ""]
    assert [row[1] for row in found] == ["churn", "small", "bert"]
    assert found[2][3:] == ["32", "-", "-", "-", "-", "0.0", "17m: needs 32 GPUs, 20 are free"]


@pytest.fixture
def prometheus() -> Iterator[tuple[str, list[str]]]:
    """A server that answers as a Prometheus does, and the expressions that it was asked."""
    asked: list[str] = []

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(parse_qs(urlsplit(self.path).query)["query"][0])
            labels = {"job_namespace": "team-a", "job_name": "churn"}
            value = "0.5" if "utilization" in asked[-1] else "NaN"
            result = [{"metric": labels, "value": [1, value]}, {"metric": labels}, "junk"]
            body = json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


def test_top_asks_a_prometheus_for_what_its_rules_record(
    kubectl: FakeKubectl, prometheus: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, asked = prometheus
    kubectl.says(listed(running("churn", 4)), "get")
    monkeypatch.setenv("HEADWAY_PROMETHEUS", url)
    done = call("top")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines()[1].split()[:6] == ["team-a", "churn", "Running", "4", "50%", "-"]
    assert all("headway:gpu_" in expression for expression in asked)


@pytest.mark.parametrize(
    ("url", "says"), [("http://127.0.0.1:9", "was not reached"), ("file:///etc/passwd", "is no Prometheus")]
)
def test_a_prometheus_that_is_none_is_told(kubectl: FakeKubectl, url: str, says: str) -> None:
    kubectl.says(listed(running("churn", 4)), "get")
    done = call("top", "--prometheus", url)
    assert done.exit_code == 1
    assert says in done.stderr
