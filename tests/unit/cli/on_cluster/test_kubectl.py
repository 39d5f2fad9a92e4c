"""Calls of kubectl: what is said of its errors, and that nothing is without bounds."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_kubectl import FakeKubectl, error, listed, recorded
from headway_api import wire
from headway_api.status import FINISHED
from headway_cli.cluster import kubectl as calls
from headway_cli.cluster import names
from headway_cli.cluster.errors import (
    ClusterError,
    ForbiddenError,
    NodeAwayError,
    NotFoundError,
    NotInstalledError,
    RefusedError,
    UnreachedError,
    explained,
)
from headway_cli.cluster.kubectl import Kubectl, Target, is_name, job, objects, where


@pytest.mark.parametrize(
    ("recording", "kind", "says", "advice"),
    [
        ("get-notfound", NotFoundError, 'trainingjobs.headway.dev "nope" not found', ""),
        ("notype", NotInstalledError, "doesn't have a resource type", "docs/how-to/install.md"),
        ("refused", UnreachedError, "127.0.0.1:1 was refused", "kubectl cluster-info"),
        ("noconfig", UnreachedError, "localhost:8080 was refused", "kubectl cluster-info"),
        ("timeout", UnreachedError, "x509", "kubectl cluster-info"),
        ("logs-node-away", NodeAwayError, "10250/containerLogs", "kubectl get nodes"),
        ("nofile", UnreachedError, "stat /nope", "kubectl config get-contexts"),
        ("nocontext", UnreachedError, "context was not found", "kubectl config get-contexts"),
        ("forbidden", ForbiddenError, "is forbidden", "Ask who runs the cluster"),
        ("patch-bad", RefusedError, "spec.workers.replicas", ""),
    ],
)
def test_each_of_kubectl_s_errors_is_told_with_what_to_do(
    recording: str, kind: type[ClusterError], says: str, advice: str
) -> None:
    found = explained(error(recording))
    assert type(found) is kind
    assert says in str(found)
    assert advice in str(found)
    assert "memcache.go" not in str(found)
    assert found.exit_code == (3 if kind is UnreachedError else 1)


def test_an_expired_login_is_no_fault_of_the_cluster_s() -> None:
    found = explained("error: You must be logged in to the server (Unauthorized)")
    assert isinstance(found, UnreachedError)
    assert "Log in again" in str(found)


@pytest.mark.parametrize(
    "said",
    [
        "Error from server (ServiceUnavailable): the server is currently unable to handle the request",
        "Error from server: etcdserver: request timed out",
        "error: unexpected EOF",
    ],
)
def test_a_server_that_restarts_is_one_that_is_not_reached_for_a_while(said: str) -> None:
    assert isinstance(explained(said), UnreachedError)


def test_a_container_that_waits_for_its_image_has_printed_nothing() -> None:
    found = explained(
        'Error from server (BadRequest): container "main" in pod "a" is waiting to start: PodInitializing'
    )
    assert isinstance(found, RefusedError)
    assert "--follow waits for it" in str(found)


def test_an_error_of_a_megabyte_is_cut() -> None:
    assert len(str(explained("Error from server: " + "x" * 1_000_000))) < 3000


def test_without_a_kubectl_the_error_says_where_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UnreachedError, match=r"no kubectl on PATH.*https://kubernetes\.io"):
        Kubectl(Target()).run("get", "pods")


def test_a_kubectl_that_hangs_is_ended_and_told_of(kubectl: FakeKubectl) -> None:
    kubectl.hangs("get")
    with pytest.raises(UnreachedError, match=r"not answered within 0\.2 s"):
        Kubectl(Target()).run("get", "pods", seconds=0.2)


def test_an_answer_without_end_is_refused(kubectl: FakeKubectl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "MOST_BYTES", 1 << 20)
    kubectl.hangs("get", stdout="x" * (2 << 20))
    with pytest.raises(ClusterError, match="more than 1 MiB: ask for less"):
        Kubectl(Target()).run("get", "pods")


def test_the_target_s_flags_go_to_each_call_as_one_word_each(kubectl: FakeKubectl) -> None:
    kubectl.says("", "get")
    kubectl.says("", "exec")
    target = Target(namespace="team-a", context="prod", kubeconfig="/etc/kube config")
    Kubectl(target).run("get", "pods")
    Kubectl(target).run("exec", "a-pod", "--", "cat", "--namespace")
    flags = ["--kubeconfig=/etc/kube config", "--context=prod", "--namespace=team-a"]
    assert kubectl.calls() == [["get", "pods", *flags], ["exec", "a-pod", *flags, "--", "cat", "--namespace"]]
    assert target.options() == " --kubeconfig '/etc/kube config' --context prod -n team-a"


def test_what_is_given_to_read_reaches_it_whole(kubectl: FakeKubectl) -> None:
    kubectl.says("done", "apply", reads=True)
    text = "a line\n" * 100_000
    assert Kubectl(Target()).run("apply", "-f", "-", stdin=text) == "done"
    assert kubectl.stdin() == text


@pytest.mark.usefixtures("kubectl")
def test_context_and_namespace_are_those_of_the_kubeconfig_unless_they_are_named() -> None:
    context = recorded("config")["current-context"]
    for target, told in (
        (Target(), (context, "default")),
        (Target(namespace="team-a"), (context, "team-a")),
        (Target(context="prod"), ("prod", "default")),
    ):
        found = where(Kubectl(target).where(), target)
        assert (found.context, found.namespace) == told


def test_a_pod_without_a_kubeconfig_has_no_context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kubectl = FakeKubectl.on_path(tmp_path, monkeypatch)
    (tmp_path / "rules").unlink()
    kubectl.fails(error("config-none"), "config")
    assert where(Kubectl(Target()).where(), Target()) == calls.Where(None, "default")


def test_a_job_is_found_by_its_name_and_its_absence_names_the_command_that_lists_all(kubectl: FakeKubectl) -> None:
    kubectl.says(listed(recorded("running")), "get", "/churn")
    kubectl.says("", "get", "/nope")
    assert job(Kubectl(Target()), "churn")["metadata"]["name"] == "churn"
    with pytest.raises(NotFoundError, match=r"no TrainingJob nope in namespace team-a: `headway status -A`"):
        job(Kubectl(Target(namespace="team-a")), "nope")


@pytest.mark.parametrize("said", ["not JSON", "[1]", '"text"'])
def test_an_answer_that_is_no_object_is_an_error_and_no_traceback(kubectl: FakeKubectl, said: str) -> None:
    kubectl.says(said, "get")
    with pytest.raises(ClusterError, match="kubectl version"):
        objects(Kubectl(Target()).get("pods"))


@pytest.mark.parametrize("name", ["--all", "-n", "", "a b", "A", "a/b", "a\n", "x" * 254, "é"])
def test_what_is_no_name_never_reaches_kubectl(name: str) -> None:
    assert not is_name(name)


def test_names_are_those_of_the_models() -> None:
    assert (names.LABEL_JOB, names.LABEL_JOB_UID, names.LABEL_ATTEMPT) == (
        wire.LABEL_JOB,
        wire.LABEL_JOB_UID,
        wire.LABEL_ATTEMPT,
    )
    assert (names.LABEL_ROLE, names.LABEL_WORKER, names.MAIN_CONTAINER) == (
        wire.LABEL_ROLE,
        wire.LABEL_WORKER,
        wire.MAIN_CONTAINER,
    )
    assert (names.ROLE_HEAD, names.ROLE_WORKER, names.FINISHED) == (wire.ROLE_HEAD, wire.ROLE_WORKER, FINISHED)


def test_no_process_is_left_of_a_call_that_nobody_reads(kubectl: FakeKubectl) -> None:
    kubectl.hangs("get")
    call = Kubectl(Target()).start("get", "pods")
    pid = call._process.pid
    call.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def nested(levels: int) -> dict[str, Any]:
    """A job with a field that nobody reads without care."""
    found: Any = {"deep": 'a ] in a "text" { \\'}
    for _ in range(levels):
        found = {"in": [found]}
    return {"kind": "TrainingJob", "metadata": {"name": "deep"}, "spec": {"template": found}, "status": {"phase": "x"}}


def written(value: Any) -> str:
    """As JSON; Python's own writer bears no depth."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)}: {written(each)}" for name, each in value.items()) + "}"
    return "[" + ", ".join(map(written, value)) + "]" if isinstance(value, list) else json.dumps(value)


def test_one_object_that_is_too_deep_for_a_reader_does_not_hide_the_others_of_a_list(kubectl: FakeKubectl) -> None:
    plain = recorded("running")
    deep = written(nested(100)).replace('"deep": "a', '"in": ' + '{"a":[' * 2000 + "1" + "]}" * 2000 + ', "deep": "a')
    kubectl.says(f'{{"kind": "List", "items": [{deep}, {json.dumps(plain)}, {deep}]}}', "get", "trainingjobs")
    found = objects(Kubectl(Target()).get("trainingjobs"))
    assert found[1] == plain
    assert [each["status"] for each in (found[0], found[2])] == [{"phase": "x"}] * 2


@given(st.integers(0, 12), st.integers(1, 12))
def test_what_is_left_of_a_deep_object_is_all_that_is_not_deeper_than_allowed(levels: int, most: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calls, "MOST_DEPTH", most)
        whole = nested(levels)
        assert json.loads(calls._shallow(json.dumps(whole))) == pruned(whole, most)


def pruned(value: Any, levels: int) -> Any:
    """The value, with words for objects and lists that are further down."""
    if isinstance(value, dict | list) and levels == 0:
        return f"({calls.TOO_DEEP})"
    if isinstance(value, dict):
        return {name: pruned(each, levels - 1) for name, each in value.items()}
    return [pruned(each, levels - 1) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("stream", [False, True])
def test_a_kubectl_that_is_a_script_is_ended_with_what_it_has_started(
    kubectl: FakeKubectl, tmp_path: Path, stream: bool
) -> None:
    program = tmp_path / "programs/kubectl"
    program.write_text(f"#!/bin/sh\necho begun\nsleep 600 &\necho $! >> {tmp_path}/children\nwait\n")
    apart = Kubectl(Target(), apart=True)
    if stream:
        with apart.stream("logs") as opened:
            assert opened.line() == b"begun\n"
            await_child(tmp_path)
            opened.end()
            assert opened.line() == b""
    else:
        call = apart.start("get", seconds=60)
        await_child(tmp_path)
        call.end()
        assert call.answer()[0] != 0
    del kubectl


def test_a_system_without_groups_of_processes_ends_the_call_itself(
    kubectl: FakeKubectl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "_GROUPS", False)
    kubectl.hangs("get")
    call = Kubectl(Target(), apart=True).start("get")
    call.end()
    assert call.answer()[0] != 0


def await_child(folder: Path) -> None:
    """Wait until the script has started its child."""
    path, until = folder / "children", time.monotonic() + 20
    while not (path.exists() and path.read_text().strip()):
        assert time.monotonic() < until
        threading.Event().wait(0.01)


def test_calls_for_somebody_else_ask_nothing_at_the_terminal(
    kubectl: FakeKubectl, monkeypatch: pytest.MonkeyPatch
) -> None:
    low, high = os.pipe()
    monkeypatch.setattr("sys.stdin", None)
    saved = os.dup(0)
    os.dup2(low, 0)  # a terminal at which somebody could type for a minute
    try:
        kubectl.says("answered", "get", reads=True)
        assert Kubectl(Target(), apart=True).run("get", seconds=20) == "answered"
    finally:
        os.dup2(saved, 0)
        for each in (saved, low, high):
            os.close(each)
