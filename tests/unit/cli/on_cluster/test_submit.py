"""headway submit: what is made, in which order, and what is left when something fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fake_kubectl import FakeKubectl, error, listed, recorded
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
    assert done.stdout == "created    trainingjob/churn\n"
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
    kubectl.says(listed(recorded("failed")), "get", "trainingjobs.headway.dev/churn")
    kubectl.says(listed(), "get", "pods")
    done = call(str(file), "--watch")
    assert done.exit_code == 64, done.output
    lines = done.stdout.splitlines()
    assert lines[0] == "created    trainingjob/churn"
    assert [("Running" in line, "Failed" in line) for line in lines[1:]] == [(True, False), (False, True)]
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
