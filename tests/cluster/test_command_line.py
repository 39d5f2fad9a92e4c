"""`headway` on a real API server with a real operator; nodes and pods are kwok's."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from browser import Page, browsing, why_not
from cluster.left_files import artifacts_of, files_of_homes, store_at
from cluster.paper import Operator, Paper, why_no_paper
from commands import clean_environment
from harness import ROOT
from headway_cli.cluster import steering
from headway_cli.cluster.errors import NotFoundError
from headway_cli.cluster.kubectl import Kubectl, Target
from markdown_blocks import blocks
from s3_server import CREDENTIALS, s3_server

pytestmark = pytest.mark.cluster
PROGRAM = "#!{python}\nimport sys\nsys.path[:0] = {path!r}\nfrom {module} import {function}\nsys.exit({function}())\n"


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Paper]:
    """A control plane with two kwok nodes, the CRDs, and the operator's rights."""
    if reason := why_no_paper():
        pytest.skip(reason)
    with Paper.made("words", tmp_path_factory.mktemp("words")) as made:
        yield made


@pytest.fixture(scope="module")
def operator(paper: Paper) -> Iterator[Operator]:
    """The operator at work."""
    with paper.operator() as made:
        yield made


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the programs that the distribution installs."""
    folder = tmp_path_factory.mktemp("programs")
    declared = {
        "headway": ("headway_cli.main", "main"),
        "kubectl-headway": ("headway_cli.main", "kubectl_main"),
        "kubectl_complete-headway": ("headway_cli.completion", "kubectl_complete"),
    }
    for name, (module, function) in declared.items():
        text = PROGRAM.format(python=sys.executable, path=sys.path, module=module, function=function)
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder


class Headway:
    """The command, as a user of the cluster has it."""

    def __init__(self, paper: Paper, programs: Path) -> None:
        path = f"{programs}{os.pathsep}{os.environ['PATH']}"
        self._environment = clean_environment() | {"KUBECONFIG": str(paper.cluster.kubeconfig), "PATH": path}

    def __call__(self, *words: str, program: str = "headway", **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [program, *words],
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
            env=self._environment | variables,
        )

    def start(self, *words: str, program: str = "headway", **variables: str) -> subprocess.Popen[str]:
        """Begin a command."""
        return subprocess.Popen(
            [program, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self._environment | variables,
        )


@pytest.fixture(scope="module")
def headway(paper: Paper, operator: Operator, programs: Path) -> Headway:
    """The command, with an operator at work."""
    assert operator.working()
    return Headway(paper, programs)


def test_status_shows_a_job_from_its_first_pod_to_its_end(paper: Paper, headway: Headway) -> None:
    paper.submit("churn", workers={"replicas": 2})
    paper.phase("churn", "Running")
    paper.say(
        "churn", {"stage": "Training", "percent": 38, "step": 7410, "epoch": 19, "metrics": {"train/loss": "0.231"}}
    )
    paper.until("progress in the status", lambda: paper.status("churn").get("progress", {}).get("step") == 7410)
    done = headway("status", "churn")
    assert done.returncode == 0, done.stderr
    first, *rest = done.stdout.splitlines()
    assert first == "churn   default   Running   attempt 1   38%   epoch 19/3   step 7,410"
    assert any(line.startswith("workers") and "2/2 ready: kwok-" in line for line in rest)
    assert done.stderr.startswith("context headway-words-")
    assert "churn   Running   38%" in headway("status").stdout
    assert json.loads(headway("status", "tj/churn", "-o", "json").stdout)["metadata"]["name"] == "churn"
    watch = headway.start("status", "churn", "-w")
    try:
        paper.end_driver("churn", "Failed", code=64, cause="UserError", message="no column y")
        told, _ = watch.communicate(timeout=120)
    finally:
        watch.kill()
    assert watch.returncode == 64
    assert "Failed" in told.splitlines()[-1]
    assert "message  no column y" in headway("status", "churn").stdout


def test_what_is_not_there_or_not_allowed_or_not_reached_has_its_code(paper: Paper, headway: Headway) -> None:
    missing = headway("status", "nope")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "there is no TrainingJob or ModelDeployment nope" in missing.stderr
    elsewhere = headway("status", "--context", "nope")
    assert elsewhere.returncode == 3
    assert "kubectl config get-contexts" in elsewhere.stderr
    assert headway("status", "--kubeconfig", "/nope").returncode == 3
    assert headway("status", "-n", "kube-system").stdout == "No TrainingJob and no ModelDeployment.\n"
    assert "churn" in headway("status", "-A").stdout
    assert paper.cluster.items("tj")


def test_kubectl_headway_is_the_same_and_completes(headway: Headway) -> None:
    done = headway("headway", "status", "-A", program="kubectl")
    assert done.returncode == 0, done.stderr
    assert "churn" in done.stdout
    completed = headway("__complete", "headway", "status", "chu", program="kubectl")
    assert completed.stdout.splitlines() == ["churn", ":4"]


def test_logs_of_a_job_that_has_ended_come_from_its_store(paper: Paper, headway: Headway, tmp_path: Path) -> None:
    paper.submit("talked")
    paper.phase("talked", "Running")
    live = headway("logs", "talked")
    assert live.returncode == 1  # kwok's pods are on no node that could be asked
    assert "is on a node that does not answer" in live.stderr
    assert "cannot be read from here" in live.stderr
    paper.end_driver("talked", "Failed", code=64, cause="UserError", message="no column y")
    uri = paper.phase("talked", "Failed")["attempts"][0]["logs"]
    with s3_server(tmp_path / "s3") as endpoint:
        access = CREDENTIALS | {"AWS_ENDPOINT_URL": endpoint}
        store = store_at(uri, access, tmp_path)
        store.write("driver.log", b"began\nended\n")
        store.write("rank-0.log", b"step 1\nstep 2\n")
        store.write("rank-0.000-00001.log", b"step 3\n")
        done = headway("logs", "talked", "--rank", "all", "--tail", "2", **access)
        assert (done.returncode, done.stdout) == (0, "[0] step 2\n[0] step 3\n"), done.stderr
        assert done.stderr.endswith(f": from {uri})\n")
        assert headway("logs", "talked", **access).stdout == "began\nended\n"
        fetched = headway("logs", "talked", "--download", str(tmp_path / "out"), **access)
        assert fetched.returncode == 0, fetched.stderr
        assert (tmp_path / "out/rank-0.log").read_text() == "step 1\nstep 2\nstep 3\n"
        # The operator ends the pods of an attempt; a job that has failed ends who follows it, too.
        assert headway("logs", "talked", "-f", **access).returncode == 64


def test_stop_and_resume_wait_for_what_they_ask_and_events_tell_it(paper: Paper, headway: Headway) -> None:
    paper.submit("rests", workers={"replicas": 2})
    paper.phase("rests", "Running")
    assert "rests" in headway("top", "-A").stdout
    stopped = headway("stop", "rests")
    assert stopped.returncode == 0, stopped.stderr
    assert stopped.stdout.startswith("Suspended after ")
    assert "headway resume rests" in stopped.stderr
    assert paper.status("rests")["phase"] == "Suspended"
    assert not paper.pods("rests")
    refused = headway("resume", "rests", "--set", "training.epochs=99")
    assert refused.returncode == 1
    assert "spec.training cannot change once the job has begun" in refused.stderr
    resumed = headway("resume", "rests", "--set", "workers.replicas=3")
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout.startswith("Attempt 2 runs after ")
    assert resumed.stdout.endswith(", with 3 workers.\n")
    assert paper.status("rests")["workers"] == {"desired": 3, "ready": 3}
    told = headway("events", "rests").stdout
    steps = ["created", "attempt 1 started", "all pods ready", "attempt 1 ended", "attempt 2 started"]
    found = [told.index(step) for step in steps]
    assert found == sorted(found)
    assert "Scheduled" in told  # by the scheduler, of a pod
    there = json.loads(paper.cluster.kubectl("get", "trainingjob/rests", "-o", "json"))
    deleted = there | {"metadata": there["metadata"] | {"uid": "0a1b2c3d-0000-4000-8000-000000000000"}}
    with pytest.raises(NotFoundError, match="was deleted meanwhile, and there is another job of that name"):
        steering.suspend(Kubectl(Target(kubeconfig=str(paper.cluster.kubeconfig))), deleted)
    assert not json.loads(paper.cluster.kubectl("get", "trainingjob/rests", "-o", "json"))["spec"]["suspend"]
    assert headway("stop", "rests", "--wait=false").stdout == "rests is asked to stop.\n"
    paper.phase("rests", "Suspended")


def test_a_report_and_a_model_are_fetched_and_held_against_their_digests(
    paper: Paper, headway: Headway, tmp_path: Path
) -> None:
    files = {"report.md": b"# Report\nIt is good.\n", "model.safetensors": os.urandom(100_000)}
    paper.submit("wrote")
    paper.phase("wrote", "Running")
    folder = f"s3://models/headway/default/wrote-{paper.uid('wrote')[:8]}"
    result = {"metrics": {"test/f1": "0.9"}, "artifacts": artifacts_of(folder, files)}
    paper.end_driver("wrote", "Succeeded", message="stored", result=result)
    paper.phase("wrote", "Succeeded")
    assert "wrote   f1=0.9   97.7 KiB" in headway("models").stdout
    with s3_server(tmp_path / "s3") as endpoint:
        access = CREDENTIALS | {"AWS_ENDPOINT_URL": endpoint}
        store = store_at(folder, access, tmp_path)
        for name, data in files.items():
            store.write(name, data)
        # Where the job's time went follows, where it was a second or more.
        written = headway("report", "wrote", **access).stdout.partition("\n## Time in the cluster\n")[0]
        assert written == files["report.md"].decode()
        fetched = headway("report", "wrote", "--download", str(tmp_path / "out"), **access)
        assert fetched.returncode == 0, fetched.stderr
        assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == files
        store.write("report.md", b"# Report\nIt is bad!!\n")
        changed = headway("report", "wrote", **access)
        assert changed.returncode == 1
        assert "is not what the job has left" in changed.stderr


def test_the_web_page_shows_in_a_browser_what_a_job_does_while_it_does_it(paper: Paper, headway: Headway) -> None:
    if reason := why_not():
        pytest.skip(reason)
    paper.submit("paged", workers={"replicas": 2})
    paper.phase("paged", "Running")
    command = headway.start("ui", "--port", "0")
    try:
        assert command.stdout is not None
        address = command.stdout.readline().strip()
        with browsing() as browser:
            page = Page(browser)
            page.goto(address)
            page.wait_for("[...document.querySelectorAll('table.jobs a')].some((link) => link.textContent === 'paged')")
            page.goto(address.partition("/?")[0] + "/jobs/default/paged")
            assert page.evaluate("document.querySelector('#said p').textContent") == "Runs with 2 workers."
            told = {"stage": "Training", "percent": 38, "step": 7410, "epoch": 19, "metrics": {"train/loss": "0.231"}}
            paper.say("paged", told)
            page.wait_for("document.querySelector('#said').textContent.includes('step 7,410, 38% done')")
            assert "kwok-" in page.evaluate("document.querySelector('#nodes').textContent")
            page.wait_for("document.querySelector('.chart').textContent.includes('train/loss 0.231 at step 7410')")
            paper.end_driver("paged", "Failed", code=64, cause="UserError", message="no <b>column</b> y")
            page.wait_for("document.querySelector('.said.bad')?.textContent.includes('UserError, no <b>column</b> y')")
            page.goto(address.partition("/?")[0] + "/jobs/default/nobody")
            page.wait_for("document.querySelector('.error').textContent.includes('there is no TrainingJob nobody')")
            assert [each for each in page.problems() if "/jobs/default/nobody" not in each] == []
        command.send_signal(signal.SIGINT)
        command.communicate(timeout=60)
        assert command.returncode == 0
    finally:
        command.kill()
        command.communicate()


def test_status_takes_less_than_half_a_second_of_a_processor_kubectl_s_part_included(headway: Headway) -> None:
    # Processor time: what a clock says on a machine where other tests run says little of the command.
    def measured() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert headway("status").returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(measured() for _ in range(7)) < 0.5


OWN = """\
apiVersion: headway.dev/v1alpha1
kind: TrainingJob
metadata: {name: mine}
spec:
  training: {entrypoint: "train:main"}
  head: {resources: {cpu: 10m, memory: 64Mi}}
  workers: {replicas: 2, resources: {cpu: 10m, memory: 64Mi}}
"""


def test_a_first_file_is_taken_by_the_api_server_and_by_its_own_objects(
    paper: Paper, headway: Headway, tmp_path: Path
) -> None:
    file = str(tmp_path / "job.yaml")
    written = headway("init", file, "--data", "digits", "--workers", "2")
    assert written.returncode == 0, written.stderr
    judged = headway("submit", file, "--dry-run=server", "--set", "workers.resources.gpu=1")
    assert judged.returncode == 0, judged.stderr
    assert judged.stdout.splitlines() == [
        "storage    the operator's default",
        "room       3 pods, 2 GPUs of 16 free",
        "trainingjob/digits would be created: the API server takes it. Nothing was made.",
    ]
    assert headway("status", "digits").returncode == 1
    rendered = headway("render", file, "--image", "trainer:test", "--storage", "s3://models", "--all")
    assert rendered.returncode == 0, rendered.stderr
    (tmp_path / "objects.yaml").write_text(rendered.stdout)
    # The operator makes it with the first job of a namespace, and no pod is taken without it.
    (account,) = [each for each in yaml.safe_load_all(rendered.stdout) if each["kind"] == "ServiceAccount"]
    paper.cluster.apply(json.dumps(account))
    taken = headway("apply", "--dry-run=server", "-f", str(tmp_path / "objects.yaml"), program="kubectl")
    assert taken.returncode == 0, taken.stderr
    kinds = [line.partition("/")[0] for line in taken.stdout.splitlines()]
    assert kinds.count("pod") == 3
    assert {"configmap", "networkpolicy.networking.k8s.io", "secret", "service"} <= set(kinds)


def test_a_job_is_submitted_with_its_code_and_watched_to_its_end(
    paper: Paper, headway: Headway, tmp_path: Path
) -> None:
    (tmp_path / "job.yaml").write_text(OWN)
    (tmp_path / "code").mkdir()
    (tmp_path / "code/train.py").write_text("def main(): ...\n")
    (tmp_path / "code/notes.txt").write_text("mine\n")
    words = ("submit", str(tmp_path / "job.yaml"), "--code", str(tmp_path / "code"), "--set", "seed=5")
    keyed = (*words, "--idempotency-key", "nightly")
    with headway.start(*keyed, "--watch") as watch:
        try:
            paper.until("the job", lambda: "mine" in paper.statuses())
            paper.phase("mine", "Running")
            paper.end_driver("mine", "Succeeded", message="stored", result={"metrics": {"test/f1": "0.9"}})
            told, noted = watch.communicate(timeout=120)
        finally:
            watch.kill()
    assert watch.returncode == 0, noted
    assert "Succeeded" in told.splitlines()[-1]
    assert "Not packed, as only modules (*.py) are: notes.txt" in noted
    job = paper.cluster.get("tj", "mine")
    assert job["spec"]["seed"] == 5
    (code,) = paper.cluster.items("configmaps", "-l", "headway.dev/code-of=mine")
    assert job["spec"]["code"]["configMap"]["name"] == code["metadata"]["name"]
    assert code["data"] == {"train.py": "def main(): ...\n"}
    assert code["metadata"]["ownerReferences"][0]["uid"] == job["metadata"]["uid"]
    again = headway(*keyed)
    assert again.returncode == 0, again.stderr
    assert "found      trainingjob/mine, submitted with this key before: it is Succeeded" in again.stdout
    other = headway(*keyed, "--set", "seed=9")
    assert other.returncode == 1
    assert "the key nightly was given to trainingjob/mine" in other.stderr
    plain = headway(*words)
    assert plain.returncode == 1
    assert 'Error: trainingjobs.headway.dev "mine" already exists\nIt was left as it is' in plain.stderr
    assert len(paper.cluster.items("configmaps", "-l", "headway.dev/code-of=mine")) == 1


def test_a_job_is_compared_with_its_file_as_the_api_server_would_judge(
    paper: Paper, headway: Headway, tmp_path: Path
) -> None:
    file = tmp_path / "job.yaml"
    spec = "data: {source: {builtin: {name: digits}}}\n  model: {name: cnn}\n  training: {epochs: 3}"
    file.write_text(OWN.replace("mine", "compared").replace('training: {entrypoint: "train:main"}', spec))
    made = headway("submit", str(file))
    assert made.returncode == 0, made.stderr
    paper.phase("compared", "Running")
    assert headway("diff", str(file)).stdout == "compared is as the file says.\n"
    allowed = headway("diff", str(file), "--set", "workers.replicas=4", "--set", "retry.infrastructure=9")
    assert allowed.returncode == 0, allowed.stderr
    assert [line.split("   ")[0] for line in allowed.stdout.splitlines()] == ["applies now", "next attempt"]
    refused = headway("diff", str(file), "--set", "training.epochs=50")
    assert refused.returncode == 1
    assert refused.stdout == "refused: needs a new job   spec.training.epochs: 3 -> 50\n"
    # It is as diff says: the API server takes the one, and refuses the other.
    for setting, code in (("{replicas: 4}", 0), ("{epochs: 50}", 1)):
        change = {"spec": {"workers" if code == 0 else "training": yaml.safe_load(setting)}}
        done = headway("patch", "tj", "compared", "--type=merge", "-p", json.dumps(change), program="kubectl")
        assert done.returncode == code, done.stderr


def test_the_page_about_the_python_client_does_what_it_says(paper: Paper, headway: Headway, tmp_path: Path) -> None:
    page = ROOT / "docs/how-to/python-client.md"
    found = blocks(page)
    (file,) = [block for block in found if block.file]
    (tmp_path / "homes.yaml").write_text(file.text)
    script = "\n".join(block.text for block in found if block.language == "python" and "alone" not in block.words)
    (tmp_path / "script.py").write_text(
        f"import os, sys\nos.chdir({str(tmp_path)!r})\nsys.path[:0] = {sys.path!r}\n{script}"
    )
    files = files_of_homes(tmp_path / "model")
    with s3_server(tmp_path / "s3") as endpoint:
        access = CREDENTIALS | {"AWS_ENDPOINT_URL": endpoint}
        with headway.start(str(tmp_path / "script.py"), program=sys.executable, **access) as program:
            try:
                # It is stopped, and goes on with three workers.
                paper.until("attempt 2", lambda: paper.statuses().get("homes", {}).get("attempt") == 2)
                paper.phase("homes", "Running")
                folder = f"s3://models/headway/default/homes-{paper.uid('homes')[:8]}"
                store = store_at(folder, access, tmp_path)
                for name, data in files.items():
                    store.write(name, data)
                store.write("logs/attempt-2/rank-0.log", b"step 1\nstep 2\nstep 3\n")
                result = {"metrics": {"test/accuracy": "0.9"}, "artifacts": artifacts_of(folder, files)}
                paper.end_driver("homes", "Succeeded", attempt=2, message="stored", result=result)
                told, noted = program.communicate(timeout=120)
            finally:
                program.kill()
    assert program.returncode == 0, noted
    assert noted == ""
    lines = told.splitlines()
    assert lines[:6] == [
        "Job('homes', namespace='default')", "Running 2", "attempt 2", "0 step 2", "0 step 3", "Succeeded 0.9",
    ]  # fmt: skip
    for line in lines[6:8]:
        label, _, probabilities = line.partition(" ")
        assert label in ("yes", "no")
        assert sum(yaml.safe_load(probabilities).values()) == pytest.approx(1)
    assert "\n".join(lines[8:]) == next(block.text for block in found if block.language == "text").strip()
    assert {path.name: path.read_bytes() for path in (tmp_path / "homes").iterdir()} == files
