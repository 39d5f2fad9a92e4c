"""headway logs: from pods, from storage, and by a pod that is made for it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fake_kubectl import FakeKubectl, error, listed, recorded
from hasty_clock import Hasty
from headway_cli.cluster.errors import ClusterError
from headway_cli.cluster.folders import MOUNT, SECRET_DIR, InPod
from headway_cli.cluster.kubectl import Stream
from headway_cli.cluster.reader_pods import manifest
from headway_cli.main import main
from headway_cli.verbs import logs as verb


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verb, "CLOCK", Hasty())


def call(*words: str) -> Result:
    """Run the command."""
    return CliRunner().invoke(main, ["logs", *words])


def job(folder: Path | None = None, *, state: str = "running", **changes: Any) -> dict[str, Any]:
    """A recorded job whose logs lie in a folder, as in a volume."""
    made = copy.deepcopy(recorded(state))
    made["metadata"]["uid"] = recorded("running")["metadata"]["uid"]  # one job, in all its states
    made["status"] |= changes
    if folder is not None:
        made["status"]["attempts"][-1]["logs"] = str(folder)
        made["status"]["storage"] = {"persistentVolumeClaim": {"name": "models"}}
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The logs of an attempt."""
    made = tmp_path / "attempt-1"
    made.mkdir()
    (made / "driver.log").write_text("began\nended\n")
    (made / "rank-0.log").write_text("step 1\nstep 2\n")
    (made / "rank-1.log").write_text("step 1\n\x1b[2Jgone\n")
    return made


def head(of: dict[str, Any]) -> str:
    return str(of["status"]["attempts"][-1]["name"]) + "-head"


def test_of_a_running_job_the_driver_s_pod_tells(kubectl: FakeKubectl) -> None:
    running = job()
    kubectl.says(listed(running), "get", "/churn")
    kubectl.says("one\ntwo\n", "logs")
    done = call("churn", "--tail", "2", "--since", "10m")
    assert (done.exit_code, done.stdout) == (0, "one\ntwo\n")
    assert kubectl.calls("logs") == [["logs", head(running), "--container=main", "--tail=2", "--since=10m"]]


@pytest.mark.parametrize(
    ("said", "told"), [("logs-none", "is gone"), ("logs-node-away", "is on a node that does not answer")]
)
def test_a_driver_s_pod_that_cannot_be_asked_is_replaced_by_what_is_kept(
    kubectl: FakeKubectl, folder: Path, said: str, told: str
) -> None:
    running = job(folder)
    kubectl.says(listed(running), "get", "/churn")
    kubectl.fails(error(said), "logs")
    kubectl.runs("exec")
    done = call("churn")
    assert (done.exit_code, done.stdout) == (0, "began\nended\n")
    assert f"the driver's pod of attempt 1 {told}" in done.stderr


def test_ranks_of_a_running_job_are_read_in_its_own_pod_with_their_numbers_before_the_lines(
    kubectl: FakeKubectl, folder: Path
) -> None:
    running = job(folder)
    kubectl.says(listed(running), "get", "/churn")
    kubectl.runs("exec")
    done = call("churn", "--rank", "all")
    assert done.exit_code == 0, done.stderr
    assert done.stdout == "[0] step 1\n[0] step 2\n[1] step 1\n[1] \x1b[2Jgone\n"
    assert f"(attempt 1 runs: from {folder})" in done.stderr
    (words,) = kubectl.calls("exec")
    assert words[:5] == ["exec", head(running), "--container=main", "--stdin", "--"]
    assert call("churn", "--rank", "1", "--grep", "^step").stdout == "[1] step 1\n"


def test_on_a_terminal_no_line_of_a_tenant_s_steers_it(
    kubectl: FakeKubectl, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kubectl.says(listed(job(folder)), "get", "/churn")
    kubectl.runs("exec")
    kubectl.says("\x1b]0;owned\x07\n", "logs")
    monkeypatch.setattr(verb, "is_terminal", lambda: True)
    assert call("churn", "--rank", "1").stdout == "[1] step 1\n[1] \\u001b[2Jgone\n"
    assert call("churn").stdout == "\\u001b]0;owned\\u0007\n"


def test_a_volume_without_a_pod_is_an_error_that_names_the_way(kubectl: FakeKubectl, folder: Path) -> None:
    kubectl.says(listed(job(folder, state="failed")), "get", "/bad")
    done = call("bad")
    assert done.exit_code == 1
    assert "this is in the volume of claim models" in done.stderr
    assert "--reader-pod makes one" in done.stderr
    assert {each[0] for each in kubectl.calls()} == {"config", "get"}


def test_a_reader_pod_reads_and_is_deleted(kubectl: FakeKubectl, folder: Path) -> None:
    kubectl.says(listed(job(folder, state="failed")), "get", "/bad")
    kubectl.says("", "create", reads=True)
    kubectl.says("", "wait")
    kubectl.runs("exec")
    kubectl.says("", "delete")
    done = call("bad", "--reader-pod", "-n", "team-a")
    assert (done.exit_code, done.stdout) == (0, "began\nended\n"), done.stderr
    name = json.loads(kubectl.stdin())["metadata"]["name"]
    assert name.startswith("bad-reader-")
    assert [each[:3] for each in kubectl.calls() if each[0] in ("wait", "exec", "delete")] == [
        ["wait", f"pod/{name}", "--for=condition=Ready"],
        ["exec", name, "--container=main"],
        ["delete", f"pod/{name}", "--wait=false"],
    ]
    assert all("--namespace=team-a" in each for each in kubectl.calls() if each[0] != "config")


def test_a_reader_pod_that_does_not_come_up_is_deleted_and_says_why(kubectl: FakeKubectl, folder: Path) -> None:
    waiting = {"reason": "ImagePullBackOff", "message": "no such image"}
    kubectl.says({"status": {"containerStatuses": [{"state": {"waiting": waiting}}]}}, "get", "pod/bad-reader")
    kubectl.says(listed(job(folder, state="failed")), "get", "/bad")
    kubectl.says("", "create", reads=True)
    kubectl.fails("error: timed out waiting for the condition on pods/x", "wait")
    kubectl.says("", "delete")
    done = call("bad", "--reader-pod")
    assert done.exit_code == 1
    assert "does not run: ImagePullBackOff: no such image" in done.stderr
    assert len(kubectl.calls("delete")) == 1


def test_a_reader_pod_has_no_rights_and_may_only_read_the_storage() -> None:
    failed = job(Path("/x"), state="failed")
    failed["spec"]["head"]["template"] = {"spec": {"imagePullSecrets": [{"name": "registry"}], "hostNetwork": True}}
    failed["spec"]["head"]["template"]["spec"]["securityContext"] = {"runAsUser": 4321}
    spec = manifest(failed, "bad-reader-1")["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert (spec["securityContext"]["runAsUser"], spec["securityContext"]["runAsGroup"]) == (4321, 1000)
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert "hostNetwork" not in spec
    (container,) = spec["containers"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["volumeMounts"][1] == {"name": "storage", "mountPath": MOUNT, "readOnly": True}
    assert spec["volumes"][1] == {"name": "storage", "persistentVolumeClaim": {"claimName": "models"}}
    failed["status"]["storage"] = {"uri": "s3://models", "secretRef": {"name": "keys"}}
    spec = manifest(failed, "bad-reader-1")["spec"]
    assert spec["volumes"][1] == {"name": "storage", "secret": {"secretName": "keys"}}
    assert spec["containers"][0]["volumeMounts"][1]["mountPath"] == SECRET_DIR
    failed["status"]["storage"] = {}
    with pytest.raises(ClusterError, match="no storage yet"):
        manifest(failed, "bad-reader-1")


def test_following_goes_from_attempt_to_attempt_and_ends_as_the_job_does(kubectl: FakeKubectl) -> None:
    first, second = job(), job()
    second["status"]["attempts"].append(first["status"]["attempts"][0] | {"number": 2, "name": "churn-f5438-2"})
    ended = job(state="failed")
    for state in (first, first, second, ended):
        kubectl.says(listed(state), "get", "/churn")
    kubectl.says("2026-01-01T00:00:00.000000001Z one\n2026-01-01T00:00:00.000000002Z two\n", "logs", head(first))
    kubectl.says("2026-01-01T00:01:00Z three\n", "logs", head(second))
    done = call("churn", "-f", "--tail", "5")
    assert done.stdout == "one\ntwo\nthree\n"
    assert done.exit_code == 64
    assert "bad has failed: ValueError" in done.stderr
    assert ["--tail=5" in each for each in kubectl.calls("logs")] == [True, False]


@pytest.mark.parametrize(
    "stamps",
    [
        [f"2026-01-01T00:00:0{second}Z" for second in range(4)],
        # Of a node whose clock shows Berlin's time, in the night in which an hour comes twice.
        [
            *("2026-10-25T02:59:59.999999998+02:00", "2026-10-25T02:59:59.999999999+02:00"),
            *("2026-10-25T02:00:00+01:00", "2026-10-25T02:00:00.000000001+01:00"),
        ],
    ],
)
def test_a_connection_that_is_lost_is_made_again_where_it_was(kubectl: FakeKubectl, stamps: list[str]) -> None:
    for state in ("running", "running", "running", "running", "failed"):
        kubectl.says(listed(job(state=state)), "get", "/churn")
    lost = "error: unexpected EOF: Unable to connect to the server: connection refused"
    kubectl.fails(lost, "logs", stdout=f"{stamps[0]} a\n{stamps[1]} b\n")
    # Some servers that go end it as a container does.
    kubectl.says(f"{stamps[1]} b\n{stamps[2]} c\nno time\n", "logs")
    kubectl.says(f"{stamps[2]} c\n{stamps[3]} d\n", "logs")
    done = call("churn", "-f", "--tail", "7")
    assert done.stdout == "a\nb\nc\nno time\nd\n"
    begins = [next(word for word in each if word.startswith(("--tail", "--since"))) for each in kubectl.calls("logs")]
    assert begins == ["--tail=7", f"--since-time={stamps[1]}", f"--since-time={stamps[2]}"]


def test_lines_of_one_moment_or_of_a_clock_that_was_put_back_are_all_shown(kubectl: FakeKubectl) -> None:
    for state in ("running", "running", "failed"):
        kubectl.says(listed(job(state=state)), "get", "/churn")
    times = ("00:00:09Z a", "00:00:09Z b", "00:00:01.5Z c", "00:00:01.51Z d")
    kubectl.says("".join(f"2026-01-01T{line}\n" for line in times), "logs")
    assert call("churn", "-f").stdout == "a\nb\nc\nd\n"


@pytest.mark.parametrize("words", [("-f",), ("--rank", "0", "-f")])
def test_following_a_job_ends_where_it_was_deleted_and_another_has_its_name(
    kubectl: FakeKubectl, folder: Path, words: tuple[str, ...]
) -> None:
    other = job(folder)
    other["metadata"]["uid"] = "00000000-aaaa-bbbb-cccc-000000000000"
    for state in (job(folder), job(folder), other):
        kubectl.says(listed(state), "get", "/churn")
    kubectl.says("2026-01-01T00:00:00Z step 1\n", "logs")
    kubectl.runs("exec")
    done = call("churn", *words)
    assert "step 1" in done.stdout
    assert done.exit_code == 1
    assert "churn was deleted meanwhile, and there is another job of that name" in done.stderr


def test_following_a_rank_shows_what_comes_and_ends_with_the_attempt(
    kubectl: FakeKubectl, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kubectl.says(listed(job(folder)), "get", "/churn")
    kubectl.says(listed(job(folder)), "get", "/churn")
    kubectl.says(listed(job(folder, state="failed")), "get", "/churn")
    kubectl.runs("exec")
    slept = verb.CLOCK.sleep

    def writes(seconds: float) -> None:
        with (folder / "rank-0.log").open("a") as stream:
            stream.write(f"at {verb.CLOCK.monotonic():.0f}\n" if verb.CLOCK.monotonic() < 5 else "")
        slept(seconds)

    monkeypatch.setattr(verb.CLOCK, "sleep", writes)
    done = call("churn", "--rank", "0", "-f", "--tail", "1")
    assert done.stdout == "[0] step 2\n[0] at 0\n[0] at 2\n[0] at 4\n"
    assert done.exit_code == 64


def test_a_rank_whose_pod_goes_while_it_is_followed_is_told_with_where_its_last_lines_are(
    kubectl: FakeKubectl, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kubectl.says(listed(job(folder)), "get", "/churn")
    kubectl.says(listed(job(folder)), "get", "/churn")
    kubectl.says(listed(job(folder, state="failed")), "get", "/churn")
    kubectl.runs("exec")
    pods: list[InPod] = []

    def kept(self: InPod, stream: Stream) -> None:
        self._stream = stream
        pods.append(self)

    monkeypatch.setattr(InPod, "__init__", kept)

    def killed(_seconds: float) -> None:
        pods[0]._stream._process.kill()

    monkeypatch.setattr(verb.CLOCK, "sleep", killed)
    done = call("churn", "--rank", "0", "-f")
    assert done.exit_code == 1
    assert done.stdout == "[0] step 1\n[0] step 2\n"
    assert "attempt 1 has ended, and its pod with it: `headway logs bad --attempt 1 --reader-pod`" in done.stderr


def test_ctrl_c_leaves_the_job_running(kubectl: FakeKubectl, monkeypatch: pytest.MonkeyPatch) -> None:
    kubectl.says(listed(job()), "get", "/churn")
    kubectl.fails('Error from server (BadRequest): container "main" is waiting to start: ContainerCreating', "logs")

    def interrupted(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(verb.CLOCK, "sleep", interrupted)
    done = call("churn", "-f")
    assert done.exit_code == 130
    assert "is waiting to start" in done.stderr
    assert "Detached: churn goes on in the cluster." in done.stderr
    assert {each[0] for each in kubectl.calls()} == {"config", "get", "logs"}


def test_downloaded_logs_are_a_file_for_each_process(kubectl: FakeKubectl, folder: Path, tmp_path: Path) -> None:
    kubectl.says(listed(job(folder)), "get", "/churn")
    kubectl.runs("exec")
    done = call("churn", "--download", str(tmp_path / "out"))
    assert done.exit_code == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["driver.log", "rank-0.log", "rank-1.log"]
    assert (tmp_path / "out/rank-1.log").read_bytes() == b"step 1\n\x1b[2Jgone\n"
    assert f"{tmp_path / 'out/driver.log'}   12 bytes\n" in done.stdout


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["churn", "--rank", "x"], 2, "write the number of a rank"),
        (["churn", "--rank", "-1"], 2, "write the number of a rank"),
        (["churn", "--grep", "["], 2, "is no regular expression"),
        (["churn", "--since", "soon"], 2, "30s, 10m or 2h30m"),
        (["churn", "--since", "1m", "--rank", "0"], 2, "lines on the storage have no times"),
        (["churn", "--download", "x", "--tail", "1"], 2, "leave --follow, --tail"),
        (["md/churn"], 2, "is a ModelDeployment"),
        (["churn", "--attempt", "7"], 1, "no attempt 7: write one of 1"),
        (["nope"], 1, "there is no TrainingJob nope"),
    ],
)
def test_what_cannot_be_meant_is_told(kubectl: FakeKubectl, words: list[str], code: int, says: str) -> None:
    kubectl.says(listed(job()), "get", "/churn")
    kubectl.says("", "get", "/nope")
    done = call(*words)
    assert (done.exit_code, done.stdout) == (code, "")
    assert says in done.stderr


def test_a_store_that_refuses_is_told_with_both_ways_out(kubectl: FakeKubectl, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("headway_server.stores.RETRY", {"max_retries": 0})
    kubectl.says(listed(recorded("failed")), "get", "/bad")
    done = call("bad")
    assert done.exit_code == 1
    assert "s3://models/headway/default/bad-37c85e19/logs/attempt-1 cannot be read from here" in done.stderr
    assert "AWS_ACCESS_KEY_ID" in done.stderr
    assert "--reader-pod" in done.stderr
