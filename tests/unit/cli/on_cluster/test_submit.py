"""headway submit: what is made, in which order, and what is left when something fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from fake_kubectl import FakeKubectl, error, listed, recorded
from headway_cli import submitting
from headway_cli.cluster import code_maps
from headway_cli.cluster.errors import ClusterError
from headway_cli.main import main
from headway_cli.verbs import status as status_verb

EXISTS = (
    'Error from server (AlreadyExists): error when creating "STDIN": trainingjobs.headway.dev "churn" already exists\n'
)
QUOTA = (
    'Error from server (Forbidden): error when creating "STDIN": trainingjobs.headway.dev "churn" is forbidden: quota\n'
)
JOB = """\
apiVersion: headway.dev/v1alpha1
kind: TrainingJob
metadata:
  name: churn
spec:
  data: {source: {builtin: {name: digits}}}
  model: {name: cnn}
  training: {epochs: 3}
"""
OWN = JOB.replace("training: {epochs: 3}", "training: {entrypoint: train:main}").replace("  model: {name: cnn}\n", "")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "job.yaml"
    made.write_text(JOB)
    return made


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """A folder of modules, with what lies beside modules."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "train.py").write_text("def main(): ...\n")
    (folder / "old.py").write_bytes("# -*- coding: latin-1 -*-\nname = 'é'\n".encode("latin-1"))
    (folder / "credentials.json").write_text("{}")
    for name in (".git", "__pycache__", "data"):
        (folder / name).mkdir()
        (folder / name / ("rows.csv" if name == "data" else "x.py")).write_text("")
    return folder


def call(*words: str) -> Result:
    """Run the command."""
    return CliRunner().invoke(main, ["submit", *words])


def made(name: str = "churn") -> dict[str, Any]:
    """A job as the API server has it."""
    return {
        "apiVersion": "headway.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": name, "uid": "u-1"},
        "spec": {},
    }


def config_map() -> dict[str, Any]:
    return {"kind": "ConfigMap", "metadata": {"name": "churn-code-x7k2p"}}


def told(kubectl: FakeKubectl) -> list[dict[str, Any]]:
    """The objects that kubectl was given."""
    text, found, decoder = kubectl.stdin(), [], json.JSONDecoder()
    while text:
        one, end = decoder.raw_decode(text)
        found.append(one)
        text = text[end:].lstrip()
    return found


def test_a_job_is_created_and_the_next_two_commands_name_it(kubectl: FakeKubectl, file: Path) -> None:
    kubectl.says(made(), "create", reads=True)
    done = call(str(file), "-n", "team-a", "--set", "training.epochs=9", "--set", "workers.replicas=2")
    assert done.exit_code == 0, done.output
    (sent,) = told(kubectl)
    assert (sent["spec"]["training"], sent["spec"]["workers"]) == ({"epochs": 9}, {"replicas": 2})
    assert kubectl.calls("create") == [["create", "--filename=-", "--output=json", "--namespace=team-a"]]
    assert done.stdout.splitlines() == [
        "storage    the operator's default",
        "room       3 pods",
        "created    trainingjob/churn",
    ]
    assert done.stderr.splitlines()[0].endswith("namespace team-a")
    assert done.stderr.splitlines()[1:] == [
        "  headway status churn -w -n team-a",
        "  headway logs churn -f -n team-a",
    ]


def test_another_name_takes_the_place_of_the_files(kubectl: FakeKubectl, file: Path) -> None:
    kubectl.says(made("churn-2"), "create", reads=True)
    file.write_text(JOB.replace("name: churn", "generateName: churn-"))
    assert call(str(file), "--name", "churn-2").exit_code == 0
    assert told(kubectl)[0]["metadata"] == {"name": "churn-2"}


def test_a_job_of_that_name_is_left_as_it_is(kubectl: FakeKubectl, file: Path) -> None:
    kubectl.fails(EXISTS, "create")
    done = call(str(file), "-n", "team-a")
    assert done.exit_code == 1
    assert "already exists\nIt was left as it is: see `headway status churn -n team-a`." in done.stderr
    assert "--name, or delete that one first: `kubectl delete trainingjob churn -n team-a`" in done.stderr


def test_mistakes_are_told_before_the_cluster_is_asked(kubectl: FakeKubectl, file: Path) -> None:
    file.write_text(JOB.replace("epochs: 3", "epochs: -3"))
    done = call(str(file))
    assert (done.exit_code, kubectl.calls()) == (1, [])
    assert done.stderr == f"{file}:8: spec.training.epochs: -3 is below the least allowed value 1\n"
    file.write_text(JOB)
    assert "spec.training.epochs: -4" in call(str(file), "--set", "training.epochs=-4").stderr
    assert "metadata.name: " in call(str(file), "--name", "No_Name").stderr
    assert kubectl.calls() == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (JOB + "---\n" + JOB.replace("churn", "bert"), "holds 2 TrainingJobs: headway submit takes one"),
        (JOB + "---\nkind: ConfigMap\napiVersion: v1\n", ":10: a ConfigMap stands beside the TrainingJob"),
    ],
)
def test_a_file_with_more_than_a_job_is_refused(kubectl: FakeKubectl, file: Path, text: str, said: str) -> None:
    file.write_text(text)
    done = call(str(file))
    assert (done.exit_code, kubectl.calls()) == (1, [])
    assert said in done.stderr


def test_the_files_namespace_counts_and_another_one_is_a_mistake(kubectl: FakeKubectl, file: Path) -> None:
    file.write_text(JOB.replace("name: churn", "name: churn\n  namespace: team-b"))
    kubectl.says(made(), "create", "--namespace=team-b")
    done = call(str(file))
    assert done.exit_code == 0, done.output
    assert done.stderr.splitlines()[1] == "  headway status churn -w -n team-b"
    assert call(str(file), "-n", "team-b").exit_code == 0
    other = call(str(file), "-n", "team-a")
    assert other.exit_code == 2
    assert "the file has metadata.namespace team-b: leave one of the two out" in other.stderr


def test_data_on_a_path_is_said_to_be_none_of_this_machine(kubectl: FakeKubectl, file: Path) -> None:
    kubectl.says(made(), "create")
    done = call(
        str(file), "--set", "data.source={uri: rows.csv}", "--set", "data.target=price", "--set", "model.name=mlp"
    )
    assert done.exit_code == 0, done.output
    assert "spec.data.source.uri rows.csv is a path" in done.stderr
    done = call(
        str(file), "--set", "data.source={uri: 's3://b/r.csv'}", "--set", "data.target=price", "--set", "model.name=mlp"
    )
    assert "is a path" not in done.stderr


def test_a_dry_run_makes_nothing(kubectl: FakeKubectl, file: Path, code: Path) -> None:
    file.write_text(OWN)
    kubectl.says(made(), "create", "--dry-run=server")
    done = call(str(file), "--code", str(code), "--dry-run=server")
    assert done.exit_code == 0, done.output
    assert done.stdout.endswith("trainingjob/churn would be created: the API server takes it. Nothing was made.\n")
    assert all("--dry-run=server" in words for words in kubectl.calls("create"))
    assert len(kubectl.calls("create")) == 2, "the job, and its code"
    assert call(str(file), "--dry-run=server", "--watch").exit_code == 2


def test_code_becomes_a_config_map_that_goes_with_its_job(kubectl: FakeKubectl, file: Path, code: Path) -> None:
    file.write_text(OWN)
    for answer in (made(), config_map(), made()):
        kubectl.says(answer, "create", reads=True)
    kubectl.says(config_map(), "patch")
    done = call(str(file), "--code", str(code))
    assert done.exit_code == 0, done.output
    judged, packed, job = told(kubectl)
    assert judged["spec"]["code"] == {"configMap": {"name": "churn-code"}}
    assert "--dry-run=server" in kubectl.calls("create")[0]
    assert packed["metadata"] == {"generateName": "churn-code-", "labels": {"headway.dev/code-of": "churn"}}
    assert packed["data"] == {"train.py": "def main(): ...\n"}
    assert list(packed["binaryData"]) == ["old.py"]
    assert packed["immutable"] is True
    assert job["spec"]["code"] == {"configMap": {"name": "churn-code-x7k2p"}}
    (patch,) = kubectl.calls("patch")
    assert patch[1] == "configmaps/churn-code-x7k2p"
    change = json.loads(next(word for word in patch if word.startswith("--patch=")).removeprefix("--patch="))
    owner = {"apiVersion": "headway.dev/v1alpha1", "kind": "TrainingJob", "name": "churn", "uid": "u-1"}
    assert change == {"metadata": {"ownerReferences": [owner]}}
    assert "2 modules, 53 bytes: old.py, train.py" in done.stdout
    assert "Not packed, as only modules (*.py) are: credentials.json, data" in done.stderr


def test_a_job_that_is_refused_leaves_no_code_behind(kubectl: FakeKubectl, file: Path, code: Path) -> None:
    file.write_text(OWN)
    kubectl.says(made(), "create")
    kubectl.says(config_map(), "create")
    kubectl.fails(QUOTA, "create")
    kubectl.says("", "delete")
    done = call(str(file), "--code", str(code))
    assert done.exit_code == 1
    assert "quota" in done.stderr
    assert kubectl.calls("delete")[0][1] == "configmaps/churn-code-x7k2p"


def test_a_job_that_the_server_would_not_take_makes_no_code(kubectl: FakeKubectl, file: Path, code: Path) -> None:
    file.write_text(OWN)
    kubectl.fails(EXISTS, "create")
    done = call(str(file), "--code", str(code))
    assert done.exit_code == 1
    assert len(kubectl.calls("create")) == 1


def test_code_stays_where_nobody_knows_whether_the_job_was_made(kubectl: FakeKubectl, file: Path, code: Path) -> None:
    file.write_text(OWN)
    kubectl.says(made(), "create")
    kubectl.says(config_map(), "create")
    kubectl.fails(error("refused"), "create")
    done = call(str(file), "--code", str(code))
    assert done.exit_code == 3
    assert "Its code is configmap/churn-code-x7k2p: delete that if there is no job." in done.stderr
    assert kubectl.calls("delete") == []


def test_code_that_cannot_be_owned_is_told_of_and_the_job_stands(kubectl: FakeKubectl, file: Path, code: Path) -> None:
    file.write_text(OWN)
    for answer in (made(), config_map(), made()):
        kubectl.says(answer, "create")
    kubectl.fails(error("forbidden"), "patch")
    done = call(str(file), "--code", str(code))
    assert done.exit_code == 0, done.output
    assert "`kubectl delete configmap churn-code-x7k2p` then" in done.stderr
    assert done.stdout.endswith("created    trainingjob/churn\n")


def test_code_that_nothing_calls_is_a_mistake(kubectl: FakeKubectl, file: Path, code: Path) -> None:
    done = call(str(file), "--code", str(code))
    assert (done.exit_code, kubectl.calls()) == (1, [])
    assert "code is set, but nothing calls it" in done.stderr


def test_more_than_a_config_map_holds_is_refused_with_the_ways_out(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(b"#" * code_maps.MOST_BYTES)
    assert code_maps.pack(tmp_path).size == code_maps.MOST_BYTES
    (tmp_path / "b.py").write_bytes(b"#")
    with pytest.raises(
        ClusterError, match=r"more than the 1,048,576 bytes .* spec\.code\.git, or put it into the image"
    ):
        code_maps.pack(tmp_path)


def test_a_package_is_refused_as_its_import_would_fail_in_the_pods(code: Path) -> None:
    (code / "data" / "net").mkdir()
    (code / "data" / "net" / "__init__.py").write_text("")
    with pytest.raises(ClusterError, match=r"__init__\.py lies in a folder of .* holds files, not folders"):
        code_maps.pack(code)


def test_a_link_that_leads_out_of_the_folder_is_refused_as_it_would_take_a_file_of_this_machine_along(
    tmp_path: Path,
) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (tmp_path / "id_rsa").write_text("PRIVATE")
    (code / "train.py").write_text("def main(): ...\n")
    (code / "same.py").symlink_to("train.py")
    assert set(code_maps.pack(code).files) == {"same.py", "train.py"}
    (code / "keys.py").symlink_to("../id_rsa")
    with pytest.raises(ClusterError, match=r"keys\.py is a link to .*id_rsa, outside of .*/code"):
        code_maps.pack(code)


@pytest.mark.parametrize(("name", "said"), [("a b.py", "no ConfigMap takes"), ("a.txt", "has no Python module")])
def test_names_that_cannot_be_packed_are_refused(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / name).write_text("")
    with pytest.raises(ClusterError, match=said):
        code_maps.pack(tmp_path)


def test_watching_shows_the_job_until_it_ends_with_its_exit_code(
    kubectl: FakeKubectl, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status_verb, "JOB_SECONDS", 0.0)
    kubectl.says(made(), "create")
    kubectl.says(listed(recorded("running")), "get", "trainingjobs.headway.dev/churn")
    failed = recorded("failed")
    failed["metadata"]["uid"] = recorded("running")["metadata"]["uid"]
    kubectl.says(listed(failed), "get", "trainingjobs.headway.dev/churn")
    kubectl.says(listed(), "get", "pods")
    done = call(str(file), "--watch")
    assert done.exit_code == 64, done.output
    lines = done.stdout.splitlines()
    assert lines[2] == "created    trainingjob/churn"
    assert [("Running" in line, "Failed" in line) for line in lines[3:]] == [(True, False), (False, True)]
    assert done.stderr.count("context ") == 1
    assert "Ctrl-C leaves the job running." in done.stderr


def test_ctrl_c_ends_the_watching_and_not_the_job(
    kubectl: FakeKubectl, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(status_verb, "looked", interrupted)
    kubectl.says(made(), "create")
    done = call(str(file), "-w")
    assert done.exit_code == 130
    assert "Detached: what runs in the cluster goes on." in done.stderr
    assert [words[0] for words in kubectl.calls()] == ["config", "create"]


def keyed(key: str) -> dict[str, Any]:
    """The job of the file as the API server has it when it was submitted with a key."""
    job = submitting.prepared(yaml.safe_load(JOB), key=key).document
    job["metadata"] |= {"uid": "u-1", "creationTimestamp": "2026-11-29T18:30:00Z"}
    return job


def test_a_job_that_is_submitted_again_with_its_key_is_found_and_not_made_again(
    kubectl: FakeKubectl, file: Path
) -> None:
    kubectl.says(listed(), "get", "--selector")
    kubectl.says(listed(keyed("nightly 2026-11-29")), "get", "--selector")
    kubectl.says(made(), "create", reads=True)
    for _ in range(2):
        done = call(str(file), "--idempotency-key", "nightly 2026-11-29")
        assert done.exit_code == 0, done.output
    (sent,) = told(kubectl)
    assert sent["metadata"]["labels"] == keyed("nightly 2026-11-29")["metadata"]["labels"]
    assert "found      trainingjob/churn, submitted with this key before: it is Pending" in done.stdout
    assert "  headway status churn -w" in done.stderr
    selector = f"--selector=headway.dev/submit-key={sent['metadata']['labels']['headway.dev/submit-key']}"
    assert all(words[2] == selector for words in kubectl.calls("get"))


@pytest.mark.parametrize("more", [["--set", "training.epochs=9"], ["--name", "bert"]])
def test_a_key_that_was_given_to_another_job_is_refused(kubectl: FakeKubectl, file: Path, more: list[str]) -> None:
    kubectl.says(listed(keyed("k")), "get", "--selector")
    other = call(str(file), "--idempotency-key", "k", *more)
    assert other.exit_code == 1
    assert "the key k was given to trainingjob/churn, which was submitted with another file" in other.stderr
    assert kubectl.calls("create") == []


def test_a_job_that_is_being_deleted_has_no_key_any_more(kubectl: FakeKubectl, file: Path) -> None:
    going = keyed("k")
    going["metadata"]["deletionTimestamp"] = "2026-11-29T18:31:00Z"
    kubectl.says(listed(going), "get", "--selector")
    kubectl.fails(EXISTS, "create")
    done = call(str(file), "--idempotency-key", "k")
    assert done.exit_code == 1
    assert "already exists" in done.stderr


def test_other_code_is_another_job(code: Path) -> None:
    before = submitting.prepared(yaml.safe_load(OWN), packed=code_maps.pack(code), key="k").document
    (code / "train.py").write_text("def main(): print()\n")
    after = submitting.prepared(yaml.safe_load(OWN), packed=code_maps.pack(code), key="k").document
    assert before["metadata"]["labels"] == after["metadata"]["labels"]
    assert before["metadata"]["annotations"] != after["metadata"]["annotations"]


def test_of_two_that_submit_at_the_same_time_with_one_key_the_second_finds_the_first(
    kubectl: FakeKubectl, file: Path
) -> None:
    kubectl.says(listed(), "get", "--selector")  # not yet there
    kubectl.says(listed(keyed("k")), "get", "--selector")
    kubectl.fails(EXISTS, "create")
    second = call(str(file), "--idempotency-key", "k")
    assert second.exit_code == 0, second.output
    assert "found      trainingjob/churn" in second.stdout


def test_a_generated_name_comes_of_the_key_so_that_the_api_server_refuses_a_second(
    kubectl: FakeKubectl, file: Path
) -> None:
    file.write_text(JOB.replace("name: churn", "generateName: churn-"))
    kubectl.says(listed(), "get", "--selector")
    kubectl.says(made(), "create", reads=True)
    for key in ("a", "a", "b"):
        assert call(str(file), "--idempotency-key", key).exit_code == 0
    first, second, third = (job["metadata"]["name"] for job in told(kubectl))
    assert first == second != third
    assert len(first) == len("churn-") + 10


@pytest.mark.parametrize("key", ["", "x" * 257, "a\nb"])
def test_a_key_that_is_none_is_refused_before_the_cluster_is_asked(kubectl: FakeKubectl, file: Path, key: str) -> None:
    done = call(str(file), "--idempotency-key", key)
    assert (done.exit_code, kubectl.calls()) == (2, [])
    assert "an idempotency key has 1 to 256 printable characters" in done.stderr


GPUS = "workers={replicas: 2, resources: {gpu: 2}}"


def node(name: str, gpus: int, **spec: Any) -> dict[str, Any]:
    ready = [{"type": "Ready", "status": "True"}]
    status = {"conditions": ready, "allocatable": {"nvidia.com/gpu": str(gpus)}}
    return {"metadata": {"name": name}, "spec": spec, "status": status}


def holding(on: str, gpus: int, phase: str = "Running") -> dict[str, Any]:
    container = {"resources": {"limits": {"nvidia.com/gpu": str(gpus)}}}
    return {"spec": {"nodeName": on, "containers": [container]}, "status": {"phase": phase}}


def test_storage_and_room_are_told_before_the_job_is_created(kubectl: FakeKubectl, file: Path) -> None:
    claim = {"status": {"phase": "Bound"}, "spec": {"accessModes": ["ReadWriteMany"]}}
    kubectl.says(claim, "get", "persistentvolumeclaims/models")
    kubectl.says(listed(node("a", 8), node("b", 8, unschedulable=True)), "get", "/api/v1/nodes")
    kubectl.says(listed(holding("a", 3), holding("a", 4, "Succeeded"), holding("b", 1)), "get", "/api/v1/pods")
    kubectl.says(made(), "create")
    storage = "storage={persistentVolumeClaim: {name: models}}"
    done = call(str(file), "--set", GPUS, "--set", storage)
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[:2] == [
        "storage    claim models: Bound, ReadWriteMany",
        "room       3 pods, 4 GPUs of 5 free",
    ]


def test_what_may_not_be_seen_of_the_cluster_is_left_out_and_keeps_no_job_from_being_submitted(
    kubectl: FakeKubectl, file: Path
) -> None:
    kubectl.fails(error("get-notfound"), "get", "persistentvolumeclaims/models")
    kubectl.fails(error("forbidden"), "get", "/api/v1/")
    kubectl.says(made(), "create")
    done = call(str(file), "--set", GPUS, "--set", "storage={persistentVolumeClaim: {name: models}}")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[:2] == [
        "storage    claim models: it is not there, and the job waits until somebody makes it",
        "room       3 pods, 4 GPUs",
    ]


def test_an_object_store_is_named_and_nothing_is_asked_for_a_job_without_gpus(kubectl: FakeKubectl, file: Path) -> None:
    kubectl.says(made(), "create")
    done = call(str(file), "--set", "storage={uri: 's3://models/a'}", "--set", "workers.replicas=4")
    assert done.stdout.splitlines()[:2] == ["storage    s3://models/a (not looked at from here)", "room       5 pods"]
    assert [words[0] for words in kubectl.calls()] == ["config", "create"]


def test_a_list_that_goes_on_is_not_counted(kubectl: FakeKubectl, file: Path) -> None:
    more = listed(node("a", 8)) | {"metadata": {"continue": "x"}}
    kubectl.says(more, "get", "/api/v1/nodes")
    kubectl.says(listed(), "get", "/api/v1/pods")
    kubectl.says(made(), "create")
    assert "room       3 pods, 4 GPUs\n" in call(str(file), "--set", GPUS).stdout


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ('error: error validating "STDIN": error validating data: unknown field "spec.x"\n',
         'Error: error validating data: unknown field "spec.x"'),
        (QUOTA, 'Error: trainingjobs.headway.dev "churn" is forbidden: quota'),
        ('Error from server: etcdserver: request timed out\n', "Error: etcdserver: request timed out"),
        ('The TrainingJob "churn" is invalid: spec.seed: Invalid value: 1\n',
         'Error: The TrainingJob "churn" is invalid: spec.seed: Invalid value: 1'),
    ],
)  # fmt: skip
def test_a_refusal_does_not_say_twice_that_it_is_an_error(
    kubectl: FakeKubectl, file: Path, said: str, shown: str
) -> None:
    kubectl.fails(said, "create")
    assert shown in call(str(file)).stderr.splitlines()
