"""What the chart installs: least rights, locked-down pods, kinds that survive, nothing that was not asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise, product
from typing import Any

import pytest
import yaml

from harness import ROOT, run
from headway_api import drift_wire, rollout_wire, wire
from headway_api.autoscaling import Autoscaling
from headway_operator import settings
from headway_operator.serving import names
from headway_operator.serving.render import holder, objects, rollout
from headway_operator.serving.render.pods import ADMIN_PORT
from unit.operator.test_serving_render import OF, version

from .conftest import CHART, NAMESPACE, RELEASE, Chart, Manifests

VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "one replica": {"operator": {"replicas": 1}},
    "two namespaces": {"watchNamespaces": ["team-a", "team-b"]},
    "object store": {"defaultStorage": {"uri": "s3://models/headway", "secretName": "writer"}},
    "claim made": {
        "defaultStorage": {"persistentVolumeClaim": {"name": "models", "create": {"namespaces": ["a", "b"]}}}
    },
    "kinds from elsewhere": {"crds": {"install": False}},
    "everything": {
        "operator": {
            "replicas": 3,
            "priorityClassName": "high",
            "nodeSelector": {"pool": "system"},
            "tolerations": [{"key": "pool", "operator": "Exists"}],
            "affinity": {"podAntiAffinity": {}},
            "podLabels": {"team": "ml"},
            "podAnnotations": {"note": "x"},
            "env": {"HEADWAY_RESYNC_SECONDS": "120"},
            "serviceAccountAnnotations": {"iam": "x"},
        },
        "imagePullSecrets": [{"name": "pull"}],
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "podMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
        "notifications": {"secretName": "webhooks", "ports": [443, 8443]},
        "networkPolicy": {"enabled": True},
    },
}

# (group, resource, verb) -> why the operator cannot do without it. Another right needs another line here, and a reason.
REASONS: dict[tuple[str, str, str], str] = {
    ("headway.dev", "trainingjobs", "get"): "a fresh look after a conflict",
    ("headway.dev", "trainingjobs", "list"): "the cache's seed",
    ("headway.dev", "trainingjobs", "watch"): "the work",
    ("headway.dev", "trainingjobs", "delete"): "ttlSecondsAfterFinished",
    ("headway.dev", "trainingjobs/status", "patch"): "one status write a look",
    ("headway.dev", "modeldeployments", "get"): "a fresh look after a conflict",
    ("headway.dev", "modeldeployments", "list"): "the cache's seed",
    ("headway.dev", "modeldeployments", "watch"): "the work",
    ("headway.dev", "modeldeployments/status", "patch"): "one status write a look",
    ("apps", "deployments", "get"): "is the Deployment that has the name ours?",
    ("apps", "deployments", "list"): "the cache's seed",
    ("apps", "deployments", "watch"): "readiness",
    ("apps", "deployments", "create"): "a version's pods",
    ("apps", "deployments", "patch"): "their number",
    ("apps", "deployments", "delete"): "the end of a version",
    ("autoscaling", "horizontalpodautoscalers", "get"): "is the autoscaler that has the name ours?",
    ("autoscaling", "horizontalpodautoscalers", "list"): "the cache's seed",
    ("autoscaling", "horizontalpodautoscalers", "watch"): "is it as the spec says?",
    ("autoscaling", "horizontalpodautoscalers", "create"): "sets a deployment's replicas",
    ("autoscaling", "horizontalpodautoscalers", "patch"): "the spec says other numbers",
    ("autoscaling", "horizontalpodautoscalers", "delete"): "the spec asks for none any more",
    ("policy", "poddisruptionbudgets", "get"): "is the budget that has the name ours?",
    ("policy", "poddisruptionbudgets", "create"): "one of a version's pods at a time may be evicted",
    ("policy", "poddisruptionbudgets", "delete"): "the end of a version",
    ("", "pods", "get"): "is the pod that has the name ours?",
    ("", "pods", "list"): "the cache's seed, and its refresh against ghosts",
    ("", "pods", "watch"): "readiness and exit codes",
    ("", "pods", "create"): "head and workers",
    ("", "pods", "delete"): "the end of an attempt, and of lost workers",
    ("", "configmaps", "get"): "is the ConfigMap that has the name ours?",
    ("", "configmaps", "list"): "the cache's seed",
    ("", "configmaps", "watch"): "progress, and the verdicts of rollouts' judges",
    ("", "configmaps", "create"): "room for an attempt's progress, and for what a rollout's servers are told",
    ("", "configmaps", "patch"): "which version gets which part of the requests",
    ("", "configmaps", "delete"): "the end of an attempt, and of a rollout",
    ("", "secrets", "get"): "is the Secret that has the name ours? Never list or watch",
    ("", "secrets", "create"): "an attempt's Ray token and run.json; what servers and judge know each other by",
    ("", "secrets", "delete"): "fences an attempt off",
    ("", "services", "get"): "is the Service that has the name ours?",
    ("", "services", "list"): "the cache's seed",
    ("", "services", "watch"): "do the clients' Services lead to the version that answers?",
    ("", "services", "patch"): "another version answers",
    ("", "services", "create"): "the head's name, and the clients' of a deployment",
    ("", "services", "delete"): "the end of an attempt",
    ("networking.k8s.io", "networkpolicies", "get"): "is the policy that has the name ours?",
    ("networking.k8s.io", "networkpolicies", "create"): "only a job's own pods talk to its pods",
    ("networking.k8s.io", "networkpolicies", "delete"): "the end of an attempt",
    ("scheduling.k8s.io", "podgroups", "get"): "is the PodGroup that has the name ours?",
    ("scheduling.k8s.io", "podgroups", "create"): "an attempt's pods are scheduled all or none",
    ("scheduling.k8s.io", "podgroups", "delete"): "the end of an attempt",
    ("", "serviceaccounts", "create"): "the head pods' and the judges' account in each namespace",
    ("rbac.authorization.k8s.io", "rolebindings", "create"): "binds them",
    ("rbac.authorization.k8s.io", "clusterroles", "bind"): "to the one role of each",
    ("events.k8s.io", "events", "create"): "what people should know",
    ("events.k8s.io", "events", "list"): "is a node being made for a pod that waits?",
}


def permissions(role: dict[str, Any]) -> set[tuple[str, str, str]]:
    """The (group, resource, verb) that a role grants."""
    return {single for rule in role["rules"] for single in product(rule["apiGroups"], rule["resources"], rule["verbs"])}


def pods(manifests: Manifests) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every pod spec of the chart with its owner's name."""
    for found in manifests.all:
        if found["kind"] == "Deployment":
            yield found["metadata"]["name"], found["spec"]["template"]["spec"]
        elif found["kind"] == "Pod":
            yield found["metadata"]["name"], found["spec"]


def environment(manifests: Manifests) -> dict[str, str | None]:
    """The operator's environment; None for what comes from a field."""
    container = manifests.one("Deployment")["spec"]["template"]["spec"]["containers"][0]
    return {item["name"]: item.get("value") for item in container["env"]}


@pytest.fixture(params=VARIANTS, scope="module")
def variant(request: pytest.FixtureRequest, chart: Chart) -> Manifests:
    """The chart under each set of values."""
    return chart.render(VARIANTS[request.param])


def test_helm_lint_is_content(chart: Chart) -> None:
    out = run(chart.helm, "lint", "--strict", "--kube-version", "1.37.0", CHART, check=False)
    assert "1 chart(s) linted, 0 chart(s) failed" in out, out
    assert "WARNING" not in out


def test_the_operator_has_exactly_the_rights_that_have_a_reason(default: Manifests) -> None:
    assert permissions(default.one("ClusterRole", "headway-jobs")) == set(REASONS)


def test_every_rule_is_explained_where_it_stands() -> None:
    # Without the comments the rendered roles would not show it to whoever audits them.
    for name in ("_rbac.tpl", "trainer-access.yaml", "judge-access.yaml"):
        lines = (CHART / "templates" / name).read_text().splitlines()
        # A rule directly after another one shares its reason.
        bare = [
            rule
            for above, rule in pairwise(lines)
            if rule.startswith("- api") and not above.startswith(("# ", "  verbs:"))
        ]
        assert bare == [], name


def test_no_role_has_a_wildcard_or_reads_all_secrets(variant: Manifests) -> None:
    roles = variant.kind("Role") + variant.kind("ClusterRole")
    granted = [single for role in roles for single in permissions(role)]
    assert granted
    assert [single for single in granted if "*" in "".join(single)] == []
    assert {verb for _, resource, verb in granted if resource == "secrets"} == {"get", "create", "delete"}


def test_only_the_roles_of_trainers_and_judges_may_be_bound(variant: Manifests) -> None:
    binding_rules = [
        rule
        for role in variant.kind("Role") + variant.kind("ClusterRole")
        for rule in role["rules"]
        if {"bind", "escalate", "impersonate"} & set(rule["verbs"])
    ]
    assert {tuple(rule["verbs"]) for rule in binding_rules} == {("bind",)}
    assert {tuple(rule["resourceNames"]) for rule in binding_rules} == {("headway-judge", "headway-trainer")}
    for name in ("headway-judge", "headway-trainer"):
        assert permissions(variant.one("ClusterRole", name)) == {("", "configmaps", "patch")}


def test_the_lease_is_in_the_releases_namespace_alone(variant: Manifests) -> None:
    holders = [role for role in variant.kind("Role") + variant.kind("ClusterRole") if "leases" in str(role["rules"])]
    assert [(role["kind"], role["metadata"]["namespace"]) for role in holders] == [("Role", NAMESPACE)]
    named = {verb for rule in holders[0]["rules"] if rule.get("resourceNames") for verb in rule["verbs"]}
    assert named == {"get", "update"}
    assert holders[0]["rules"][0]["resourceNames"] == [environment(variant)["HEADWAY_LEASE_NAME"]]
    assert environment(variant)["HEADWAY_LEASE_NAMESPACE"] == NAMESPACE


def test_the_lease_waits_in_no_queue_behind_the_operators_own_work(variant: Manifests) -> None:
    spec = variant.one("FlowSchema")["spec"]
    assert spec["priorityLevelConfiguration"] == {"name": "leader-election"}
    (rule,) = spec["rules"]
    account = variant.one("Deployment")["spec"]["template"]["spec"]["serviceAccountName"]
    assert [subject["serviceAccount"] for subject in rule["subjects"]] == [{"name": account, "namespace": NAMESPACE}]
    (resources,) = rule["resourceRules"]
    assert resources["resources"] == ["leases"]
    assert resources["namespaces"] == [NAMESPACE]


def test_with_watch_namespaces_the_operator_has_rights_in_these_alone(chart: Chart, default: Manifests) -> None:
    narrow = chart.render(VARIANTS["two namespaces"])
    accounts = {
        (binding["kind"], binding["metadata"].get("namespace"))
        for binding in narrow.kind("RoleBinding") + narrow.kind("ClusterRoleBinding")
    }
    assert accounts == {("RoleBinding", "team-a"), ("RoleBinding", "team-b"), ("RoleBinding", NAMESPACE)}
    wide = default.one("ClusterRole", "headway-jobs")["rules"]
    jobs = [role for role in narrow.kind("Role") if role["metadata"]["name"] == "headway-jobs"]
    assert [role["rules"] for role in jobs] == [wide, wide]
    assert environment(narrow)["HEADWAY_NAMESPACES"] == "team-a,team-b"
    assert "HEADWAY_NAMESPACES" not in environment(default)


def test_people_get_jobs_with_the_clusters_own_roles(default: Manifests) -> None:
    view, edit = default.one("ClusterRole", "headway-view"), default.one("ClusterRole", "headway-edit")
    prefix = "rbac.authorization.k8s.io/aggregate-to-"
    assert {label for label in view["metadata"]["labels"] if label.startswith(prefix)} == {
        f"{prefix}view", f"{prefix}edit", f"{prefix}admin"
    }  # fmt: skip
    assert {label for label in edit["metadata"]["labels"] if label.startswith(prefix)} == {
        f"{prefix}edit", f"{prefix}admin"
    }  # fmt: skip
    assert not {verb for _, _, verb in permissions(view)} - {"get", "list", "watch"}
    # The status is the operator's word.
    assert {resource for _, resource, _ in permissions(edit)} == {
        "trainingjobs", "modeldeployments", "modeldeployments/scale"
    }  # fmt: skip


def test_every_pod_is_locked_down(variant: Manifests) -> None:
    found = list(pods(variant))
    assert {name for name, _ in found} == {"headway", "headway-check"}
    for name, spec in found:
        context = spec["securityContext"]
        assert context["runAsNonRoot"] is True, name
        assert context["runAsUser"] >= 1000, name
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec), name
        # Webhooks are mounted, where there are some, and nothing else.
        assert [each for each in spec.get("volumes", []) if set(each) != {"name", "secret"}] == [], name
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name
            assert "cpu" not in container["resources"]["limits"], name
            assert {"cpu", "memory"} <= set(container["resources"]["requests"]), name


def test_the_images_and_pull_policies_are_the_values(chart: Chart) -> None:
    image = "registry.example.com/operator@sha256:" + 64 * "a"
    values = {
        "operator": {"image": image, "imagePullPolicy": "Always"},
        "trainer": {"image": "registry.example.com/trainer:7", "imagePullPolicy": "Never"},
        "imagePullSecrets": [{"name": "pull"}],
    }
    rendered = chart.render(values)
    for _, spec in pods(rendered):
        assert {item["image"] for item in spec["containers"]} == {image}
        assert {item["imagePullPolicy"] for item in spec["containers"]} == {"Always"}
        assert spec["imagePullSecrets"] == [{"name": "pull"}]
    assert environment(rendered)["HEADWAY_TRAINER_IMAGE"] == "registry.example.com/trainer:7"
    assert environment(rendered)["HEADWAY_IMAGE_PULL_POLICY"] == "Never"


def test_the_operator_is_two_that_spread_and_are_probed(default: Manifests) -> None:
    spec = default.one("Deployment")["spec"]
    pod = spec["template"]["spec"]
    container = pod["containers"][0]
    assert spec["replicas"] == 2
    assert pod["topologySpreadConstraints"][0]["topologyKey"] == "kubernetes.io/hostname"
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "health"}
    assert container["startupProbe"]["httpGet"] == container["livenessProbe"]["httpGet"]
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "health"}
    selector = spec["selector"]["matchLabels"]
    assert selector.items() <= spec["template"]["metadata"]["labels"].items()
    assert default.one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == selector
    assert default.one("Service")["spec"]["selector"] == selector


def test_one_replica_has_no_disruption_budget_that_would_block_every_drain(chart: Chart) -> None:
    assert chart.render({"operator": {"replicas": 1}}).kind("PodDisruptionBudget") == []


def test_the_default_storage_reaches_the_operator(chart: Chart) -> None:
    store = environment(chart.render(VARIANTS["object store"]))
    assert store["HEADWAY_DEFAULT_STORAGE_URI"] == "s3://models/headway"
    assert store["HEADWAY_DEFAULT_STORAGE_SECRET"] == "writer"  # noqa: S105  # a Secret's name
    claim = environment(chart.render({"defaultStorage": {"persistentVolumeClaim": {"name": "models", "path": "runs"}}}))
    assert claim["HEADWAY_DEFAULT_STORAGE_CLAIM"] == "models"
    assert claim["HEADWAY_DEFAULT_STORAGE_PATH"] == "runs"


def test_further_settings_reach_the_operator_as_they_are(chart: Chart) -> None:
    given = environment(chart.render({"operator": {"env": {"HEADWAY_UNHEALTHY_SECONDS": "90"}}}))
    assert given["HEADWAY_UNHEALTHY_SECONDS"] == "90"
    assert "not a name" in chart.refusal({"operator": {"env": {"not a name": "x"}}})


def test_the_operator_understands_each_variable_that_it_gets(variant: Manifests) -> None:
    given = {name: value or "pod" for name, value in environment(variant).items()}
    known = {settings.PREFIX + name.upper() for name in settings.Settings.model_fields} | {wire.ENV_POD_NAME}
    assert set(given) <= known
    understood = settings.from_environment(given, {})
    assert understood.leader_election
    assert understood.trainer_image == "localhost/headway-trainer:0.1.0"
    assert understood.server_image == "localhost/headway-server:0.1.0"
    container = variant.one("Deployment")["spec"]["template"]["spec"]["containers"][0]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"metrics": understood.metrics_port, "health": understood.health_port}


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_every_log_level_is_one_of_the_operators(chart: Chart, level: str) -> None:
    given = environment(chart.render({"operator": {"logLevel": level}}))
    assert (
        settings.from_environment({"HEADWAY_LOG_LEVEL": str(given["HEADWAY_LOG_LEVEL"])}, {}).log_level == level.upper()
    )


def test_claims_that_the_chart_makes_outlive_it(chart: Chart) -> None:
    claims = chart.render(VARIANTS["claim made"]).kind("PersistentVolumeClaim")
    assert [claim["metadata"]["namespace"] for claim in claims] == ["a", "b"]
    assert {claim["metadata"]["annotations"]["helm.sh/resource-policy"] for claim in claims} == {"keep"}


def test_the_charts_copy_of_the_kinds_is_the_generated_one() -> None:
    generated = {path.name: path.read_text() for path in (ROOT / "crds").glob("*.yaml")}
    copied = {path.name: path.read_text() for path in (CHART / "files/crds").glob("*.yaml")}
    assert generated
    assert copied == generated, "run `make generate`"


def test_the_kinds_are_rendered_unchanged_but_for_what_helm_needs(default: Manifests) -> None:
    for path in (ROOT / "crds").glob("*.yaml"):
        source = yaml.safe_load(path.read_text())
        rendered = default.one("CustomResourceDefinition", source["metadata"]["name"])
        assert rendered["spec"] == source["spec"]
        assert rendered["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
        assert rendered["metadata"]["annotations"].items() >= source["metadata"].get("annotations", {}).items()
        assert rendered["metadata"]["labels"]["app.kubernetes.io/instance"] == RELEASE


def test_head_pods_are_held_to_their_own_progress(variant: Manifests) -> None:
    policy = variant.one("ValidatingAdmissionPolicy", "headway-trainer")["spec"]
    binding = variant.one("ValidatingAdmissionPolicyBinding", "headway-trainer")["spec"]
    assert policy["failurePolicy"] == "Fail"
    assert binding["validationActions"] == ["Deny"]
    assert "matchResources" not in binding, "the head pods' role stays bound where jobs were watched before"
    assert binding["policyName"] == "headway-trainer"
    text = yaml.safe_dump(policy, width=10_000)
    assert f"endsWith(':{wire.SERVICE_ACCOUNT}')" in text
    assert wire.ANNOTATION_WRITER in text
    assert wire.KEY_PROGRESS in text
    assert wire.LABEL_JOB_UID in text


def test_judges_are_held_to_their_own_verdict(variant: Manifests) -> None:
    policy = variant.one("ValidatingAdmissionPolicy", "headway-judge")["spec"]
    binding = variant.one("ValidatingAdmissionPolicyBinding", "headway-judge")["spec"]
    assert policy["failurePolicy"] == "Fail"
    assert binding["validationActions"] == ["Deny"]
    assert "matchResources" not in binding, "the judges' role stays bound where deployments were watched before"
    assert binding["policyName"] == "headway-judge"
    text = yaml.safe_dump(policy, width=10_000)
    assert f"endsWith(':{rollout_wire.SERVICE_ACCOUNT}')" in text
    keys = (rollout_wire.KEY_VERDICT, rollout_wire.KEY_MEMORY, rollout_wire.KEY_LOAD, drift_wire.KEY_DRIFT)
    assert "[" + ", ".join(f"''{key}''" for key in keys) + "]" in text
    assert f"size() <= {rollout_wire.LOAD_MAX_BYTES}" in text
    assert f"size() <= {drift_wire.DRIFT_MAX_BYTES}" in text
    assert drift_wire.KEY_WATCH not in text, "what is watched is the operator's to say"
    assert f"size() <= {rollout_wire.VERDICT_MAX_BYTES}" in text
    assert f"size() <= {rollout_wire.MEMORY_MAX_BYTES}" in text
    assert names.LABEL_DEPLOYMENT_UID in text


def test_what_needs_other_operators_or_may_cut_off_is_off_by_default(default: Manifests) -> None:
    assert default.kind("ServiceMonitor") == []
    assert default.kind("PodMonitor") == []
    assert default.kind("PrometheusRule") == []
    assert default.kind("NetworkPolicy") == []
    assert default.kind("PersistentVolumeClaim") == []


def test_webhooks_are_mounted_and_no_right_is_asked_for_them(chart: Chart, default: Manifests) -> None:
    rendered = chart.render({"notifications": {"secretName": "webhooks"}, "networkPolicy": {"enabled": True}})
    pod = rendered.one("Deployment")["spec"]["template"]["spec"]
    (volume,) = pod["volumes"]
    assert volume["secret"] == {"secretName": "webhooks", "optional": True}
    (mount,) = pod["containers"][0]["volumeMounts"]
    assert (mount["name"], mount["readOnly"]) == (volume["name"], True)
    environment = {each["name"]: each.get("value") for each in pod["containers"][0]["env"]}
    assert environment["HEADWAY_NOTIFICATIONS"] == mount["mountPath"]
    (policy,) = rendered.kind("NetworkPolicy")
    reached = policy["spec"]["egress"][-1]
    assert [port["port"] for port in reached["ports"]] == [443]
    assert reached["to"][0]["ipBlock"]["except"] == ["169.254.0.0/16"]
    for kind in ("ClusterRole", "Role"):
        assert rendered.kind(kind) == default.kind(kind)
    assert "volumes" not in default.one("Deployment")["spec"]["template"]["spec"]


def test_a_kubelet_restarts_an_operator_whose_work_stands_still(default: Manifests) -> None:
    container = default.one("Deployment")["spec"]["template"]["spec"]["containers"][0]
    probe, ports = container["livenessProbe"], {port["name"]: port["containerPort"] for port in container["ports"]}
    assert probe["httpGet"] == {"path": "/healthz", "port": "health"}
    assert ports["health"] == settings.Settings().health_port
    assert probe["periodSeconds"] * probe["failureThreshold"] <= 60


def test_the_service_monitor_finds_the_service(chart: Chart) -> None:
    rendered = chart.render(VARIANTS["everything"])
    monitor, service = rendered.one("ServiceMonitor"), rendered.one("Service")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["spec"]["endpoints"][0]["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert monitor["metadata"]["labels"]["release"] == "prometheus"


def test_the_pod_monitor_finds_the_servers_and_names_their_deployment(chart: Chart) -> None:
    pods = objects.workload(OF, version(), 2)["spec"]["template"]
    monitor = chart.render(VARIANTS["everything"]).one("PodMonitor")["spec"]
    ports = pods["spec"]["containers"][0]["ports"]
    assert monitor["namespaceSelector"] == {"any": True}
    held = holder.holder(OF, "server:1", Autoscaling(min=0, max=2, targetInFlight=4), version())["spec"]["template"]
    judge = rollout.judge(OF, "server:1")["spec"]["template"]
    for pod in (pods, held, judge):
        component, ours = monitor["selector"]["matchExpressions"]
        assert pod["metadata"]["labels"][component["key"]] in component["values"]
        assert ours == {"key": names.LABEL_DEPLOYMENT, "operator": "Exists"}
        assert names.LABEL_DEPLOYMENT in pod["metadata"]["labels"]
    (endpoint,) = monitor["podMetricsEndpoints"]
    for pod, admin in ((held, ADMIN_PORT), (judge, rollout_wire.JUDGE_ADMIN_PORT)):
        named = {port["name"]: port["containerPort"] for port in pod["spec"]["containers"][0]["ports"]}
        assert named[endpoint["port"]] == admin
    assert [port["containerPort"] for port in ports if port["name"] == endpoint["port"]] == [ADMIN_PORT]
    source = names.LABEL_DEPLOYMENT.replace(".", "_").replace("/", "_")
    assert {one["targetLabel"]: one["sourceLabels"] for one in endpoint["relabelings"]} == {
        "deployment_namespace": ["__meta_kubernetes_namespace"],
        "deployment_name": [f"__meta_kubernetes_pod_label_{source}"],
    }
    narrow = chart.render({"podMonitor": {"enabled": True}, "watchNamespaces": ["a", "b"]}).one("PodMonitor")["spec"]
    assert narrow["namespaceSelector"] == {"matchNames": ["a", "b"]}


def test_everything_is_labelled_with_the_release(variant: Manifests) -> None:
    unlabelled = [
        f"{found['kind']}/{found['metadata']['name']}"
        for found in variant.all
        if found["metadata"]["labels"].get("app.kubernetes.io/instance") != RELEASE
    ]
    assert unlabelled == []


def test_nothing_of_a_template_is_left_over(variant: Manifests) -> None:
    # Alerts have templates of Prometheus' own.
    assert not re.search(r"\{\{(?! \$labels\.)|<no value>|%!", variant.text)
