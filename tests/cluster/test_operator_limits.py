"""What a stolen token of the operator's is worth: it makes and deletes objects of jobs, and nothing else.

The chart's roles and policies stand before a real API server, which is asked with the operator's own token.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.paper import RIGHTS
from deployment_documents import deployment
from harness import HACK_CLUSTER, ROOT, Cluster, run
from headway_api import rollout_wire, wire
from headway_api.autoscaling import Autoscaling
from headway_api.deployment_status import Version
from headway_api.rollout_wire import Route
from headway_operator.policies import accounts
from headway_operator.serving.render import objects, rollout
from headway_operator.serving.render.objects import Of
from headway_operator.serving.render.pods import CONTAINER_SECURITY
from sim.builders import document

pytestmark = pytest.mark.cluster

SYSTEM = "limits-system"
JOBS = "limits-jobs"
RELEASE = "limits"
ACCOUNT = f"{RELEASE}-headway"
RBAC = "rbac.authorization.k8s.io"
Object = dict[str, Any]


@dataclass(frozen=True)
class Thief:
    """Somebody with the operator's token, and a job that is there."""

    admin: Cluster
    token: Cluster
    job: Object

    def create(self, what: Object, namespace: str = JOBS) -> str:
        """What the API server says to a new object."""
        return self.token.kubectl("create", "-n", namespace, "-f", "-", stdin=json.dumps(what), check=False)

    def delete(self, kind: str, name: str) -> str:
        """What it says to a deletion."""
        return self.token.kubectl("delete", kind, name, "-n", JOBS, "--wait=false", check=False)

    def owned(self, kind: str, api: str = "v1", **fields: Any) -> Object:
        """An object of the job, as the operator makes it."""
        uid, name = self.job["metadata"]["uid"], self.job["metadata"]["name"]
        owner = {
            "apiVersion": "headway.dev/v1alpha1",
            "kind": "TrainingJob",
            "name": name,
            "uid": uid,
            "controller": True,
        }
        labels = {wire.LABEL_MANAGED_BY: wire.MANAGED_BY, wire.LABEL_JOB: name, wire.LABEL_JOB_UID: uid}
        metadata = {"name": f"{name}-{uid[:5]}-1", "labels": labels, "ownerReferences": [owner]}
        return {"apiVersion": api, "kind": kind, "metadata": metadata, **fields}

    def honest(self) -> dict[str, Object]:
        """One object of each kind that the operator makes for a job."""
        selector = {"matchLabels": {wire.LABEL_JOB_UID: self.job["metadata"]["uid"]}}
        container = {"name": "main", "image": "none", "resources": {"limits": {"memory": "1Gi"}}}
        return {
            "Pod": self.owned("Pod", spec={"containers": [container], "serviceAccountName": wire.SERVICE_ACCOUNT}),
            "ConfigMap": self.owned("ConfigMap", data={"progress.json": ""}),
            "Secret": self.owned("Secret", type="Opaque", immutable=True, stringData={"token": "t"}),
            "Service": self.owned("Service", spec={"clusterIP": "None", "selector": selector["matchLabels"]}),
            "NetworkPolicy": self.owned("NetworkPolicy", "networking.k8s.io/v1", spec={"podSelector": selector}),
        }

    def bent(self, kind: str, changes: Object) -> Object:
        """An honest object with other values at some dotted paths; None takes the field away."""
        return bent(self.honest()[kind], changes)


@pytest.fixture(scope="module")
def thief(kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Thief]:
    """The chart's rights and policies in force, a token of the operator's, and a suspended job."""
    admin = Cluster(kubeconfig, run(HACK_CLUSTER, "which", "helm", timeout=600).strip())
    text = admin.helm("template", RELEASE, str(ROOT / "charts/headway"), "-n", SYSTEM, "--kube-version", "1.37.0")
    rights = [found for found in yaml.safe_load_all(text) if found and found["kind"] in RIGHTS]
    admin.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    for namespace in (SYSTEM, JOBS):
        admin.kubectl("create", "namespace", namespace)
    everything = json.dumps({"apiVersion": "v1", "kind": "List", "items": rights})
    admin.kubectl("apply", "-f", "-", stdin=everything)
    for account in (wire.SERVICE_ACCOUNT, "deployer"):
        admin.kubectl("create", "serviceaccount", account, "-n", JOBS)
    job = document("digits", JOBS, suspend=True)
    admin.wait(
        "jobs are taken", lambda: "digits" in admin.kubectl("apply", "-f", "-", stdin=json.dumps(job), check=False), 30
    )
    made = Thief(admin, with_token(admin, tmp_path_factory.mktemp("thief")), admin.get("tj", "digits", "-n", JOBS))
    # A new policy is in force a moment after its creation. These were made in one go: the last one is waited for.
    for name in ("configmap", "serviceaccount"):
        stray = ["create", name, "stray", "--dry-run=server", "-n", JOBS]
        admin.wait("policies in force", lambda: "denied request" in made.token.kubectl(*stray, check=False))  # noqa: B023
    yield made
    admin.kubectl("delete", "namespace", SYSTEM, JOBS, "--wait=false")
    admin.kubectl("delete", "-f", "-", "--ignore-not-found", stdin=everything)


def with_token(admin: Cluster, folder: Path) -> Cluster:
    """The cluster as the bearer of the operator's token sees it: without the admin's certificate."""
    config = yaml.safe_load(admin.kubectl("config", "view", "--raw", "--minify"))
    token = admin.kubectl("create", "token", ACCOUNT, "-n", SYSTEM).strip()
    config["users"][0]["user"] = {"token": token}
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return Cluster(path)


@pytest.mark.parametrize("kind", ["Pod", "ConfigMap", "Secret", "Service", "NetworkPolicy"])
def test_the_objects_of_a_job_are_made_and_deleted(thief: Thief, kind: str) -> None:
    made = thief.honest()[kind]
    assert "created" in thief.create(made)
    assert "deleted" in thief.delete(kind, made["metadata"]["name"])


def test_the_namespaces_account_and_its_binding_are_made(thief: Thief) -> None:
    thief.admin.kubectl("delete", "serviceaccount", wire.SERVICE_ACCOUNT, "-n", JOBS)
    for name in (wire.SERVICE_ACCOUNT, rollout_wire.SERVICE_ACCOUNT):
        for step in accounts.ensured(JOBS, name):
            assert "created" in thief.create(step.body), step
        thief.admin.kubectl("delete", "rolebinding", name, "-n", JOBS)


def binding(**changes: Any) -> Object:
    """The RoleBinding of the head pods' account."""
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": wire.SERVICE_ACCOUNT},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": wire.SERVICE_ACCOUNT},
        "subjects": [{"kind": "ServiceAccount", "name": wire.SERVICE_ACCOUNT, "namespace": JOBS}],
        **changes,
    }


NOT_OURS = "creates only objects that a ModelDeployment or TrainingJob controls"
ACCOUNTS = "does not name it"
HOST = "may not use their node's network, processes, ports or files"
PRIVILEGED = "may not be privileged"


def main(**fields: Any) -> list[Object]:
    """The containers of a pod: one."""
    return [{"name": "main", "image": "none", **fields}]


ATTACKS: list[tuple[str, str, Object, str]] = [
    ("a key to another account", "Secret",
     {"type": "kubernetes.io/service-account-token",
      "metadata/annotations": {"kubernetes.io/service-account.name": "default"}}, "only Secrets of type Opaque"),
    ("a key to the cluster", "Secret", {"type": "bootstrap.kubernetes.io/token"}, "only Secrets of type Opaque"),
    ("a pod of nobody's", "Pod", {"metadata/ownerReferences": None}, NOT_OURS),
    ("a ConfigMap of nobody's", "ConfigMap", {"metadata/ownerReferences": None}, NOT_OURS),
    ("an owner of another kind", "Pod", {"metadata/ownerReferences":
     [{"apiVersion": "v1", "kind": "ConfigMap", "name": "digits", "uid": "u", "controller": True}]}, NOT_OURS),
    ("a kind of ours that owns nothing", "Pod", {"metadata/ownerReferences":
     [{"apiVersion": "headway.dev/v1alpha1", "kind": "Other", "name": "digits", "uid": "u", "controller": True}]},
     NOT_OURS),
    ("no labels", "Service", {"metadata/labels": None}, NOT_OURS),
    ("a label of somebody else's", "Secret",
     {"metadata/labels": {wire.LABEL_MANAGED_BY: "Helm", wire.LABEL_JOB_UID: "u"}}, NOT_OURS),
    ("the uid of another job", "ConfigMap",
     {"metadata/labels": {wire.LABEL_MANAGED_BY: wire.MANAGED_BY, wire.LABEL_JOB_UID: "another"}}, NOT_OURS),
    ("a name that others look for", "ConfigMap", {"metadata/name": "settings"}, NOT_OURS),
    ("another account", "Pod", {"spec/serviceAccountName": "deployer"}, ACCOUNTS),
    ("the node's network", "Pod", {"spec/hostNetwork": True}, HOST),
    ("the node's processes", "Pod", {"spec/hostPID": True}, HOST),
    ("the node's memory", "Pod", {"spec/hostIPC": True}, HOST),
    ("the node's files", "Pod", {"spec/volumes": [{"name": "root", "hostPath": {"path": "/"}}]}, HOST),
    ("a port of the node", "Pod", {"spec/containers": main(ports=[{"containerPort": 80, "hostPort": 80}])}, HOST),
    ("a privileged container", "Pod", {"spec/containers": main(securityContext={"privileged": True})}, PRIVILEGED),
    ("a privileged init container", "Pod",
     {"spec/initContainers": [{"name": "init", "image": "none", "securityContext": {"privileged": True}}]}, PRIVILEGED),
    ("a strong capability", "Pod",
     {"spec/containers": main(securityContext={"capabilities": {"add": ["SYS_ADMIN"]}})}, PRIVILEGED),
    ("an SELinux type of the host's", "Pod",
     {"spec/securityContext": {"seLinuxOptions": {"type": "spc_t"}}}, PRIVILEGED),
    ("a Service with an address of somebody else's", "Service", {"spec/externalIPs": ["192.0.2.1"]}, "only Services"),
    ("a Service on each node", "Service", {"spec/type": "NodePort", "spec/clusterIP": None,
     "spec/ports": [{"port": 80}]}, "only Services"),
    ("a Service before other pods", "Service", {"spec/selector": {"app": "payments"}}, "only Services"),
    ("a policy for other pods", "NetworkPolicy", {"spec/podSelector": {"matchLabels": {"app": "payments"}}},
     "only NetworkPolicies"),
    ("a policy for all pods", "NetworkPolicy", {"spec/podSelector": {}}, "only NetworkPolicies"),
]  # fmt: skip
"""What it is, the honest object that it is bent from, how, and the words that it is refused with."""


@pytest.mark.parametrize(("what", "kind", "changes", "words"), ATTACKS, ids=[attack[0] for attack in ATTACKS])
def test_whatever_is_no_job_s_is_refused(thief: Thief, what: str, kind: str, changes: Object, words: str) -> None:
    assert words in thief.create(thief.bent(kind, changes)), what


@pytest.mark.parametrize("namespace", ["kube-system", "kube-public", "kube-node-lease", SYSTEM])
def test_nothing_is_made_where_the_cluster_or_the_operator_lives(thief: Thief, namespace: str) -> None:
    everything = thief.honest() | {"Pod": thief.bent("Pod", {"spec/serviceAccountName": "default"})}
    for kind, made in everything.items():
        assert f"no ModelDeployment or TrainingJob runs in the namespace {namespace}" in thief.create(
            made, namespace
        ), kind
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": wire.SERVICE_ACCOUNT}}
    bound = binding(subjects=[{"kind": "ServiceAccount", "name": wire.SERVICE_ACCOUNT, "namespace": namespace}])
    for other in (account, bound):
        assert "denied request" in thief.create(other, namespace), other["kind"]


@pytest.mark.parametrize(
    ("what", "changes"),
    [
        ("another name", {"metadata": {"name": "other"}}),
        ("another subject", {"subjects": [{"kind": "User", "name": "mallory", "apiGroup": RBAC}]}),
        ("everybody", {"subjects": [{"kind": "Group", "name": "system:authenticated", "apiGroup": RBAC}]}),
        ("elsewhere", {"subjects": [{"kind": "ServiceAccount", "name": wire.SERVICE_ACCOUNT, "namespace": "x"}]}),
        ("the judges' name", {"metadata": {"name": rollout_wire.SERVICE_ACCOUNT}}),
        ("the judges' account", {"subjects": [{"kind": "ServiceAccount", "name": "headway-judge", "namespace": JOBS}]}),
        ("the judges' role", {"roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "headway-judge"}}),
    ],
)
def test_only_the_accounts_of_head_pods_and_judges_are_bound(thief: Thief, what: str, changes: Object) -> None:
    assert "binds only the ServiceAccounts headway-trainer and headway-judge" in thief.create(binding(**changes)), what


def test_no_other_role_is_bound(thief: Thief) -> None:
    admin = {"apiGroup": RBAC, "kind": "ClusterRole", "name": "cluster-admin"}
    said = thief.create(binding(roleRef=admin))
    assert "forbidden" in said
    assert "created" not in said


def test_no_other_account_is_made(thief: Thief) -> None:
    other = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "other"}}
    assert "creates only the ServiceAccounts headway-trainer and headway-judge" in thief.create(other)


@pytest.mark.parametrize("kind", ["Pod", "ConfigMap", "Secret", "Service", "NetworkPolicy"])
def test_what_others_have_made_is_not_deleted(thief: Thief, kind: str) -> None:
    made = thief.bent(kind, {"metadata/ownerReferences": None})
    thief.admin.kubectl("create", "-n", JOBS, "-f", "-", stdin=json.dumps(made))
    assert "deletes only objects that a ModelDeployment or TrainingJob controls" in thief.delete(
        kind, made["metadata"]["name"]
    )
    thief.admin.kubectl("delete", kind, made["metadata"]["name"], "-n", JOBS, "--force", "--grace-period=0")


def test_a_job_is_deleted_only_when_it_has_ended_and_its_spec_says_so(thief: Thief) -> None:
    for name, spec, ended in (("forever", {}, True), ("runs", {"ttlSecondsAfterFinished": 0}, False),
                              ("over", {"ttlSecondsAfterFinished": 0}, True)):  # fmt: skip
        job = document(name, JOBS, suspend=True, **spec)
        thief.admin.kubectl("apply", "-f", "-", stdin=json.dumps(job))
        if ended:
            patch = json.dumps({"status": {"completionTime": "2026-01-01T00:00:00Z"}})
            thief.admin.kubectl("patch", "tj", name, "-n", JOBS, "--subresource=status", "--type=merge", "-p", patch)
    for name in ("forever", "runs"):
        assert "only TrainingJobs that have ended" in thief.delete("tj", name)
    assert "deleted" in thief.delete("tj", "over")


@pytest.fixture(scope="module")
def of(thief: Thief) -> Of:
    """A deployment of a model that is there."""
    thief.admin.kubectl("apply", "-n", JOBS, "-f", "-", stdin=json.dumps(deployment()))
    return Of("digits", JOBS, thief.admin.get("md", "digits", "-n", JOBS)["metadata"]["uid"])


def of_a_version(of: Of) -> dict[str, Object]:
    """What the operator makes for a version, as it makes it; what all have; and what a rollout needs."""
    records = {"persistentVolumeClaim": {"name": "records"}}
    spec = deployment({"spec.server.grpc": True, "spec.server.records": records})["spec"]
    fields = {"name": "digits-1", "number": 1, "state": "Candidate", "image": "none", "since": "2026-01-01T00:00:00Z"}
    version = Version.model_validate({**fields, "source": spec["versions"]["source"], "server": spec["server"]})
    source = {"uri": "s3://models/a", "secretRef": {"name": "reader"}, "digest": version.source.digest}
    of_a_store = Version.model_validate({**fields, "source": source, "server": spec["server"]})
    return {
        "Deployment": objects.workload(of, version, 1),
        "reporting": rollout.reporting(of, objects.workload(of, version, 1)),
        "judge": rollout.judge(of, "none", ("own-prometheus",)),
        "autoscaler": objects.autoscaler(of, Autoscaling(max=3)),
        "ConfigMap": rollout.config_map(of, Route(uid=of.uid)),
        "Secret": rollout.secret(of, "t"),
        "judge's Service": rollout.service(of),
        "servers' NetworkPolicy": rollout.servers_policy(of),
        "judge's NetworkPolicy": rollout.judge_policy(of),
        "Service": objects.version_service(of, version),
        "PodDisruptionBudget": objects.disruption_budget(of, 1),
        "NetworkPolicy": objects.network_policy(of),
        "gRPC and a store": objects.version_policy(of, of_a_store) or {},
        "from a store": objects.workload(of, of_a_store, 1),
        "clients": objects.client_service(of, version),
    }


@pytest.mark.parametrize(
    "kind",
    [
        "Deployment", "from a store", "Service", "PodDisruptionBudget", "NetworkPolicy", "gRPC and a store", "clients",
        "reporting", "judge", "ConfigMap", "autoscaler", "Secret", "judge's Service", "servers' NetworkPolicy",
        "judge's NetworkPolicy",
    ],
)  # fmt: skip
def test_the_objects_of_a_model_s_deployment_are_made_and_deleted(thief: Thief, of: Of, kind: str) -> None:
    made = of_a_version(of)[kind]
    assert "created" in thief.create(made)
    assert "deleted" in thief.delete(made["kind"], made["metadata"]["name"])


POD = "spec/template/spec"
VOLUME = f"{POD}/volumes/+a"
"""One volume more."""
UNUSED = "no account's token, nothing of their node, and no volume"
STANDARD = "restricted Pod Security standard"
SCALED = "only HorizontalPodAutoscalers of a ModelDeployment that scale their owner"
SERVER_ATTACKS: list[tuple[str, str, Object, str]] = [
    ("the node's network", "Deployment", {f"{POD}/hostNetwork": True}, UNUSED),
    ("the node's files", "Deployment", {VOLUME: {"hostPath": {"path": "/"}}}, UNUSED),
    ("a Secret's content", "Deployment", {VOLUME: {"secret": {"secretName": "b"}}}, UNUSED),
    ("a Secret for a server itself", "from a store",
     {f"{POD}/containers": [{"name": "server", "image": "b", "securityContext": CONTAINER_SECURITY,
      "volumeMounts": [{"name": "credentials", "mountPath": "/b"}]}]}, UNUSED),
    ("a token in a volume", "Deployment",
     {VOLUME: {"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}}, UNUSED),
    ("a volume to write to", "Deployment",
     {VOLUME: {"persistentVolumeClaim": {"claimName": "b"}}}, UNUSED),
    ("an account's token", "Deployment", {f"{POD}/automountServiceAccountToken": None}, UNUSED),
    ("another account", "Deployment", {f"{POD}/serviceAccountName": "deployer"}, UNUSED),
    ("root", "Deployment", {f"{POD}/securityContext/runAsNonRoot": None}, STANDARD),
    ("no seccomp", "Deployment", {f"{POD}/securityContext/seccompProfile": None}, STANDARD),
    ("a privileged container", "Deployment",
     {f"{POD}/containers": [{"name": "a", "image": "b", "securityContext": {"privileged": True}}]}, STANDARD),
    ("other pods", "Deployment", {"spec/selector/matchLabels": {"app": "payments"},
     "spec/template/metadata/labels": {"app": "payments"}}, "only Deployments that a ModelDeployment controls"),
    ("other pods' evictions", "PodDisruptionBudget", {"spec/selector/matchLabels": {"app": "payments"}},
     "only PodDisruptionBudgets"),
    ("the judges' account", "Deployment", {f"{POD}/serviceAccountName": "headway-judge"}, UNUSED),
    ("the Secret of another deployment", "reporting", {f"{POD}/volumes/+a": {"secret": {"secretName":
     "digits-00000-judge"}}}, UNUSED),
    ("a judge of another account", "judge", {f"{POD}/serviceAccountName": "deployer"}, UNUSED),
    ("a judge of no account", "judge", {f"{POD}/serviceAccountName": None}, UNUSED),
    ("many judges", "judge", {"spec/replicas": 2}, UNUSED),
    ("a judge of another name", "judge", {"metadata/name": "digits-other-judge"}, UNUSED),
    ("a judge with the node's files", "judge", {VOLUME: {"hostPath": {"path": "/"}}}, UNUSED),
    ("a judge with somebody's Secret", "judge", {VOLUME: {"secret": {"secretName": "b"}}}, UNUSED),
    ("a server with the Secret of a query", "Deployment",
     {VOLUME: {"name": "query-0", "secret": {"secretName": "b"}}}, UNUSED),
    ("a judge that is root", "judge", {f"{POD}/securityContext/runAsNonRoot": None}, STANDARD),
    ("a Secret that is a key", "Secret", {"type": "kubernetes.io/service-account-token",
     "metadata/annotations": {"kubernetes.io/service-account.name": "headway-judge"}}, "only Secrets of type Opaque"),
    ("an autoscaler of another deployment", "autoscaler", {"spec/scaleTargetRef/name": "payments"}, SCALED),
    ("an autoscaler of another kind", "autoscaler", {"spec/scaleTargetRef/kind": "Deployment"}, SCALED),
    ("an autoscaler of another group", "autoscaler", {"spec/scaleTargetRef/apiVersion": "apps/v1"}, SCALED),
    ("a Service of another name", "clients", {"metadata/name": "payments"}, NOT_OURS),
    ("a Deployment that is called as the clients' Service", "Deployment", {"metadata/name": "digits"}, NOT_OURS),
]  # fmt: skip
"""As ATTACKS."""


def bent(made: Object, changes: Object) -> Object:
    """An object with other values at some paths; None takes the field away."""
    made = copy.deepcopy(made)
    for path, value in changes.items():
        *parents, last = path.split("/")
        inner: Any = reduce(lambda node, name: node.setdefault(name, {}), parents, made)
        if value is None:
            del inner[last]
        elif last.startswith("+"):
            inner.append({"name": last[1:], **value})
        else:
            inner[last] = value
    return made


@pytest.mark.parametrize("attack", SERVER_ATTACKS, ids=[each[0] for each in SERVER_ATTACKS])
def test_what_no_server_needs_is_refused(thief: Thief, of: Of, attack: tuple[str, str, Object, str]) -> None:
    what, kind, changes, words = attack
    assert words in thief.create(bent(of_a_version(of)[kind], changes)), what


def test_of_a_deployment_only_the_replicas_are_changed_and_of_others_nothing(thief: Thief, of: Of) -> None:
    made = of_a_version(of)
    for kind in ("Deployment", "clients"):
        assert "created" in thief.create(made[kind])
    workload, service = made["Deployment"]["metadata"]["name"], made["clients"]["metadata"]["name"]

    def patch(kind: str, name: str, change: Object) -> str:
        words = ("patch", kind, name, "-n", JOBS, "--type=merge", "-p", json.dumps(change))
        return thief.token.kubectl(*words, check=False)

    assert "patched" in patch("deployment", workload, {"spec": {"replicas": 0}})
    image = {"spec": {"template": {"metadata": {"labels": {"seen": "x"}}}}}
    assert "only the number of its replicas" in patch("deployment", workload, image)
    assert "only the number of its replicas" in patch("deployment", workload, {"metadata": {"labels": {"a": "b"}}})
    other = {"spec": {"selector": {"headway.dev/version": "2"}}}
    assert "patched" in patch("service", service, other)
    stolen = {"spec": {"selector": {"headway.dev/deployment-uid": None, "app": "payments"}}}
    assert "only Services of type ClusterIP" in patch("service", service, stolen)
    assert "denied request" in patch("service", service, {"metadata": {"ownerReferences": []}})
    assert "not whose they are" in patch("service", service, {"metadata": {"labels": {"a": "b"}}})
    thief.admin.kubectl("create", "service", "clusterip", "payments", "--tcp=80", "-n", JOBS)
    thief.admin.kubectl("create", "deployment", "payments", "--image=none", "--replicas=0", "-n", JOBS)
    assert "denied request" in patch("service", "payments", other)
    assert "denied request" in patch("deployment", "payments", {"spec": {"replicas": 3}})
    for kind, name in (("service", "payments"), ("deployment", "payments")):
        assert "deletes only objects that a ModelDeployment or TrainingJob controls" in thief.delete(kind, name)
    assert "forbidden" in thief.delete("md", "digits")


def test_an_autoscaler_is_changed_in_what_it_goes_by_and_no_other_is(thief: Thief, of: Of) -> None:
    made = of_a_version(of)["autoscaler"]
    name = made["metadata"]["name"]
    assert "created" in thief.create(made)
    elsewhere = bent(made, {"metadata/name": "elsewhere", "metadata/ownerReferences": None})
    thief.admin.kubectl("create", "-n", JOBS, "-f", "-", stdin=json.dumps(elsewhere))

    def patch(name: str, change: Object) -> str:
        words = ("patch", "hpa", name, "-n", JOBS, "--type=merge", "-p", json.dumps(change))
        return thief.token.kubectl(*words, check=False)

    assert "patched" in patch(name, {"spec": {"maxReplicas": 7}})
    assert SCALED in patch(name, {"spec": {"scaleTargetRef": {"name": "payments"}}})
    assert SCALED in patch(name, {"metadata": {"ownerReferences": []}})
    assert "only by what it scales" in patch(name, {"metadata": {"labels": {"a": "b"}}})
    assert SCALED in patch("elsewhere", {"spec": {"maxReplicas": 7}})
    assert "deletes only objects that a ModelDeployment or TrainingJob controls" in thief.delete("hpa", "elsewhere")
    assert "deleted" in thief.delete("hpa", name)


def test_of_a_config_map_only_the_route_is_changed_and_of_others_nothing(thief: Thief, of: Of) -> None:
    made = of_a_version(of)["ConfigMap"]
    assert "created" in thief.create(made)
    name = made["metadata"]["name"]

    def patch(name: str, change: Object) -> str:
        words = ("patch", "configmap", name, "-n", JOBS, "--type=merge", "-p", json.dumps(change))
        return thief.token.kubectl(*words, check=False)

    assert "patched" in patch(name, {"data": {rollout_wire.KEY_ROUTE: "{}"}})
    changes: tuple[Object, ...] = (
        {"data": {rollout_wire.KEY_VERDICT: "{}"}},
        {"data": {rollout_wire.KEY_ROUTE: None}},
        {"immutable": True},
        {"metadata": {"labels": {"a": "b"}}},
        {"metadata": {"ownerReferences": []}},
        {"metadata": {"finalizers": ["example.com/stay"]}},
    )
    for change in changes:
        assert 'only data["route.json"]' in patch(name, change), change
    job = thief.honest()["ConfigMap"]
    assert "created" in thief.create(job)
    for other in (job["metadata"]["name"], "kube-root-ca.crt"):
        said = patch(other, {"data": {rollout_wire.KEY_ROUTE: "{}"}})
        assert "changes only ConfigMaps that a ModelDeployment controls" in said, other
    for each in (name, job["metadata"]["name"]):
        assert "deleted" in thief.delete("ConfigMap", each)


def test_everybody_else_is_left_alone(thief: Thief) -> None:
    made = thief.bent("Pod", {"metadata/ownerReferences": None, "spec/hostNetwork": True})
    said = thief.admin.kubectl("create", "-n", JOBS, "--dry-run=server", "-f", "-", stdin=json.dumps(made))
    assert "created" in said


def test_the_policies_types_fit(thief: Thief) -> None:
    def checked() -> list[Object] | None:
        found = thief.admin.items("validatingadmissionpolicy", "-l", f"app.kubernetes.io/instance={RELEASE}")
        return found if all("typeChecking" in policy.get("status", {}) for policy in found) else None

    policies = thief.admin.wait("all types checked", checked)
    warnings = [policy["status"]["typeChecking"].get("expressionWarnings", []) for policy in policies]
    assert len(policies) > 5
    assert warnings == [[] for _ in policies]
