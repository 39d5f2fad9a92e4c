"""The manifests: what pods may do, what they mount, and how a user's template is laid under them."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headway_api import wire
from headway_api.understand import read_run_file
from headway_operator.training.plan import ends
from headway_operator.training.plan.model import NewPod
from headway_operator.training.plan.spec import resolve
from headway_operator.training.render import gang, network, objects, pods
from headway_operator.training.render.merge import RenderError, lay_under
from headway_operator.training.render.objects import AttemptOf
from sim.builders import DEFAULTS, UID, document

HEAD, WORKER = NewPod("head"), NewPod("worker", 3, 1)


def attempt(**spec: Any) -> AttemptOf:
    resolved = resolve(document(**spec), DEFAULTS)
    assert resolved.spec is not None, resolved.problems
    return AttemptOf("team", "digits", UID, 2, 4, resolved.spec)


def made(new: NewPod, **spec: Any) -> dict[str, Any]:
    return pods.pod(attempt(**spec), new, "IfNotPresent")


def main(pod: dict[str, Any]) -> dict[str, Any]:
    container: dict[str, Any] = pod["spec"]["containers"][0]
    return container


def env(container: dict[str, Any]) -> dict[str, Any]:
    return {item["name"]: item.get("value", item.get("valueFrom")) for item in container["env"]}


def mounts(pod: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """By mount path: the volume's source, and whether it is mounted read-only."""
    volumes = {item["name"]: item for item in pod["spec"]["volumes"]}
    return {
        item["mountPath"]: {"readOnly": item.get("readOnly", False), **volumes[item["name"]]}
        for item in main(pod)["volumeMounts"]
    }


def test_a_pod_group_starts_all_pods_of_the_attempt_or_none() -> None:
    template = {"spec": {"priorityClassName": "high", "schedulingGroup": {"podGroupName": "another"}}}
    given = attempt(workers={"replicas": 4, "template": template})
    group = gang.pod_group(replace(given, grouped=True))
    assert group["metadata"]["name"] == "digits-11111-2"
    assert group["spec"] == {"schedulingPolicy": {"gang": {"minCount": 5}}, "priorityClassName": "high"}
    for new in (HEAD, WORKER):
        pod = pods.pod(replace(given, grouped=True), new, "IfNotPresent")
        assert pod["spec"]["schedulingGroup"] == {"podGroupName": "digits-11111-2"}
    assert "schedulingGroup" not in pods.pod(given, HEAD, "IfNotPresent")["spec"]
    assert pods.pod(given, WORKER, "IfNotPresent")["spec"]["schedulingGroup"] == {"podGroupName": "another"}
    labels = objects.config_map(replace(given, grouped=True))["metadata"]["labels"]
    assert labels[wire.LABEL_GANG] == wire.GANG_POD_GROUP
    assert wire.LABEL_GANG not in objects.config_map(given)["metadata"]["labels"]


@pytest.mark.parametrize("new", [HEAD, WORKER])
def test_pods_fit_the_restricted_pod_security_standard(new: NewPod) -> None:
    pod = made(new)
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
    assert pod["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    security = main(pod)["securityContext"]
    assert security["allowPrivilegeEscalation"] is False
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert security["readOnlyRootFilesystem"] is True
    assert pod["spec"]["restartPolicy"] == "Never"


def test_only_the_head_has_a_token_for_the_api_server() -> None:
    assert made(HEAD)["spec"]["automountServiceAccountToken"] is True
    assert made(HEAD)["spec"]["serviceAccountName"] == wire.SERVICE_ACCOUNT
    assert made(WORKER)["spec"]["automountServiceAccountToken"] is False
    assert "serviceAccountName" not in made(WORKER)["spec"]


def test_head_and_workers_run_their_own_modules() -> None:
    assert main(made(HEAD))["command"] == ["python", "-m", "headway_trainer.driver"]
    assert main(made(WORKER))["command"] == ["python", "-m", "headway_trainer.worker"]
    assert main(made(HEAD))["terminationMessagePolicy"] == "FallbackToLogsOnError"


@pytest.mark.parametrize("new", [HEAD, WORKER])
def test_a_pod_that_is_deleted_before_python_listens_ends_as_any_process_does(new: NewPod) -> None:
    assert made(new)["spec"]["shareProcessNamespace"] is True


ORDINARY = {"name": "first", "image": "a"}


@pytest.mark.parametrize(
    ("template", "shares"),
    [
        ({"containers": [{"name": "main", "env": []}]}, True),
        ({"initContainers": None}, True),
        ({"initContainers": [ORDINARY]}, True),
        ({"containers": [ORDINARY]}, None),
        ({"initContainers": [ORDINARY | {"restartPolicy": "Always"}]}, None),
        ({"hostPID": True}, None),
        ({"shareProcessNamespace": False}, False),
        ({"shareProcessNamespace": True, "containers": [ORDINARY]}, True),
    ],
)
def test_a_pod_shares_its_processes_where_main_is_alone_or_the_template_says_so(
    template: Any, shares: bool | None
) -> None:
    assert made(WORKER, workers={"template": {"spec": template}})["spec"].get("shareProcessNamespace") is shares


@pytest.mark.parametrize(("ready", "code", "told"), [(True, 0, ""), (False, 1, "not part of the Ray cluster yet\n")])
def test_a_startup_probe_waits_in_the_pod_until_it_is_ready(tmp_path: Path, ready: bool, code: int, told: str) -> None:
    probe = main(made(HEAD))["startupProbe"]
    shell, option, script = probe["exec"]["command"]
    script = script.replace(wire.READY_FILE, str(tmp_path / "ready")).replace("300", "3")
    if ready:
        (tmp_path / "ready").touch()
    done = subprocess.run([shell, option, script], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (code, told)
    assert probe["timeoutSeconds"] > pods.PROBE_SECONDS
    assert probe["failureThreshold"] > 3600


def test_names_and_labels_tell_attempt_role_and_place() -> None:
    meta = made(WORKER)["metadata"]
    assert meta["name"] == "digits-11111-2-worker-3-1"
    assert meta["labels"] == {
        "app.kubernetes.io/managed-by": "headway",
        "headway.dev/job": "digits",
        "headway.dev/job-uid": UID,
        "headway.dev/attempt": "2",
        "headway.dev/role": "worker",
        "headway.dev/worker": "3",
    }


def test_workers_find_the_head_by_the_name_of_this_attempt() -> None:
    assert env(main(made(WORKER)))["HEADWAY_HEAD_ADDRESS"] == "digits-11111-2.team.svc:6379"
    service = network.service(attempt())
    assert service["metadata"]["name"] == "digits-11111-2"
    assert service["spec"]["selector"].items() <= made(HEAD)["metadata"]["labels"].items()
    assert not service["spec"]["selector"].items() <= made(WORKER)["metadata"]["labels"].items()


def test_only_pods_of_the_same_attempt_reach_its_pods() -> None:
    policy = network.network_policy(attempt())
    own = policy["spec"]["podSelector"]["matchLabels"]
    assert policy["spec"]["ingress"] == [{"from": [{"podSelector": {"matchLabels": own}}]}]
    assert own["headway.dev/attempt"] == "2"
    assert own["headway.dev/job-uid"] == UID


def test_cpu_is_a_request_alone_and_memory_a_limit_too() -> None:
    resources = {"cpu": "2", "memory": "4Gi", "gpu": 1, "gpuResource": "amd.com/gpu"}
    pod = made(WORKER, workers={"resources": resources})
    assert main(pod)["resources"] == {
        "requests": {"cpu": "2", "memory": "4Gi"},
        "limits": {"memory": "4Gi", "amd.com/gpu": "1"},
    }
    assert mounts(pod)["/dev/shm"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "4Gi"}
    assert mounts(pod)["/dev/shm"]["name"] == ends.SHARED_MEMORY


def test_a_pod_without_code_mounts_no_code() -> None:
    pod = made(HEAD)
    assert set(mounts(pod)) == {"/etc/headway/run", "/etc/headway/token", "/tmp", "/dev/shm"}
    assert "PYTHONPATH" not in env(main(pod))
    assert "initContainers" not in pod["spec"]


CODE = {"model": None, "data": None, "training": {"entrypoint": "train:main"}}


def test_code_from_a_config_map_is_mounted_on_the_path() -> None:
    pod = made(WORKER, **CODE, code={"configMap": {"name": "mine"}})
    assert mounts(pod)[wire.CODE_DIR]["configMap"] == {"name": "mine"}
    assert env(main(pod))["PYTHONPATH"] == wire.CODE_DIR


def test_code_from_git_is_fetched_before_the_pod_s_own_process() -> None:
    git = {"url": "https://git.example.com/a.git", "revision": "main", "secretRef": {"name": "deploy-key"}}
    pod = made(HEAD, **CODE, code={"git": git})
    (init,) = pod["spec"]["initContainers"]
    assert init["command"] == ["python", "-m", "headway_trainer.fetch_code"]
    paths = {item["mountPath"]: item for item in init["volumeMounts"]}
    assert not paths[wire.CODE_DIR].get("readOnly")
    assert wire.GIT_SECRET_DIR in paths
    assert wire.GIT_SECRET_DIR not in mounts(pod), "the user's code does not see the git credentials"
    assert init["securityContext"]["allowPrivilegeEscalation"] is False


def test_secrets_of_data_and_storage_are_files() -> None:
    pod = made(
        HEAD,
        data={"source": {"uri": "s3://lake/x.parquet", "secretRef": {"name": "lake"}}, "target": "y"},
        storage={"uri": "s3://models", "secretRef": {"name": "models"}},
    )
    assert mounts(pod)[wire.DATA_SECRET_DIR]["secret"] == {"secretName": "lake", "defaultMode": 0o440}
    assert mounts(pod)[wire.STORAGE_SECRET_DIR]["secret"]["secretName"] == "models"


def test_the_key_that_a_model_is_signed_with_is_the_heads_alone() -> None:
    export = {"signing": {"secretRef": {"name": "signer"}}}
    key = mounts(made(HEAD, export=export))[wire.SIGNING_SECRET_DIR]
    assert key["secret"]["secretName"] == "signer"
    assert [item["key"] for item in key["secret"]["items"]] == ["private-key.pem"]
    assert wire.SIGNING_SECRET_DIR not in mounts(made(WORKER, export=export))
    assert wire.SIGNING_SECRET_DIR not in mounts(made(HEAD))


def test_trackers_credentials_are_the_heads_alone_and_hold_up_no_pod() -> None:
    tracking = {"mlflow": {"uri": "http://mlflow:5000"}, "secretRef": {"name": "trackers"}}
    held = mounts(made(HEAD, tracking=tracking))[wire.TRACKING_SECRET_DIR]
    assert held["secret"] == {"secretName": "trackers", "defaultMode": 0o440, "optional": True}
    assert wire.TRACKING_SECRET_DIR not in mounts(made(WORKER, tracking=tracking))
    assert wire.TRACKING_SECRET_DIR not in mounts(made(HEAD))


def claims(data: str, storage: str) -> dict[str, Any]:
    return {
        "data": {"source": {"persistentVolumeClaim": {"name": data, "path": "x.csv"}}, "target": "y"},
        "storage": {"persistentVolumeClaim": {"name": storage, "path": "headway"}},
    }


def test_claims_are_mounted_data_read_only() -> None:
    found = mounts(made(WORKER, **claims("rows", "models")))
    assert found[wire.DATA_VOLUME_DIR]["persistentVolumeClaim"] == {"claimName": "rows", "readOnly": True}
    assert found[wire.DATA_VOLUME_DIR]["readOnly"]
    assert found[wire.STORAGE_VOLUME_DIR]["persistentVolumeClaim"] == {"claimName": "models"}
    assert not found[wire.STORAGE_VOLUME_DIR]["readOnly"]


def test_one_claim_for_both_is_one_volume() -> None:
    pod = made(WORKER, **claims("all", "all"))
    assert [volume for volume in pod["spec"]["volumes"] if "persistentVolumeClaim" in volume] == [
        {"name": "headway-storage", "persistentVolumeClaim": {"claimName": "all"}}
    ]
    assert mounts(pod)[wire.DATA_VOLUME_DIR]["readOnly"]


@pytest.mark.parametrize(
    ("storage", "root"),
    [
        ({"uri": "s3://models/a/"}, "s3://models/a/team/digits-11111111"),
        ({"persistentVolumeClaim": {"name": "m"}}, "/mnt/headway/storage/team/digits-11111111"),
        ({"persistentVolumeClaim": {"name": "m", "path": "a/b/"}}, "/mnt/headway/storage/a/b/team/digits-11111111"),
    ],
)
def test_the_run_s_folder_is_under_the_storage_s_root(storage: dict[str, Any], root: str) -> None:
    assert objects.run_file(attempt(storage=storage)).storage_uri == root


def test_the_run_file_and_the_token_are_two_keys_of_one_secret_that_never_changes() -> None:
    secret = objects.secret(attempt(), "token of ray")
    assert secret["immutable"]
    assert wire.RunFile.model_validate_json(secret["stringData"]["run.json"]) == objects.run_file(attempt())
    publishing = attempt(publish={"deployment": "churn"})
    assert objects.run_file(publishing) == objects.run_file(attempt()), "to the pods a job that publishes is any other"
    for path, key in ((wire.RUN_DIR, "run.json"), (wire.TOKEN_FILE.rpartition("/")[0], "token")):
        items = [{"key": key, "path": key}]
        wanted = {"secretName": secret["metadata"]["name"], "defaultMode": 0o440, "items": items}
        assert mounts(made(WORKER))[path]["secret"] == wanted
    assert not [volume for volume in made(HEAD)["spec"]["volumes"] if "configMap" in volume]


def laid(**template: Any) -> dict[str, Any]:
    return made(WORKER, workers={"template": template})


def in_main(**fields: Any) -> dict[str, Any]:
    return main(laid(spec={"containers": [{"name": "main", **fields}]}))


def test_an_empty_template_changes_nothing() -> None:
    assert laid() == laid(metadata={}, spec={}) == laid(spec={"containers": []})


@pytest.mark.parametrize(
    ("theirs", "path", "expected"),
    [
        ({"nodeSelector": {"gpu": "a100"}}, "nodeSelector", {"gpu": "a100"}),
        ({"terminationGracePeriodSeconds": 5}, "terminationGracePeriodSeconds", 5),
        ({"serviceAccountName": "mine"}, "serviceAccountName", "mine"),
        ({"priorityClassName": "high"}, "priorityClassName", "high"),
        ({"restartPolicy": "Always"}, "restartPolicy", "Never"),
        ({"imagePullSecrets": [{"name": "x"}]}, "imagePullSecrets", [{"name": "x"}]),
        ({"hostNetwork": True}, "hostNetwork", True),
    ],
)
def test_pod_fields_of_the_template(theirs: dict[str, Any], path: str, expected: Any) -> None:
    assert laid(spec=theirs)["spec"][path] == expected


@pytest.mark.parametrize(
    ("theirs", "path", "expected"),
    [
        ({"image": "mine"}, "image", "trainer:1"),
        ({"command": ["sh"]}, "command", ["python", "-m", "headway_trainer.worker"]),
        ({"imagePullPolicy": "Always"}, "imagePullPolicy", "Always"),
        ({"terminationMessagePath": "/x"}, "terminationMessagePath", "/dev/termination-log"),
        ({"workingDir": "/work"}, "workingDir", "/work"),
        ({"ports": [{"containerPort": 80}]}, "ports", [{"containerPort": 80}]),
    ],
)
def test_main_container_fields_of_the_template(theirs: dict[str, Any], path: str, expected: Any) -> None:
    assert in_main(**theirs)[path] == expected


def test_arguments_of_the_template_are_dropped() -> None:
    assert "args" not in in_main(args=["-c", "true"])


def test_security_contexts_are_merged_field_by_field() -> None:
    pod = laid(
        spec={
            "securityContext": {"runAsUser": 7},
            "containers": [{"name": "main", "securityContext": {"readOnlyRootFilesystem": False}}],
        }
    )
    assert pod["spec"]["securityContext"]["runAsUser"] == 7
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
    assert main(pod)["securityContext"]["readOnlyRootFilesystem"] is False
    assert main(pod)["securityContext"]["allowPrivilegeEscalation"] is False


def test_environment_of_the_template_is_kept_but_ours_wins() -> None:
    found = env(in_main(env=[{"name": "NCCL_DEBUG", "value": "INFO"}, {"name": "RAY_AUTH_MODE", "value": "none"}]))
    assert found["NCCL_DEBUG"] == "INFO"
    assert found["RAY_AUTH_MODE"] == "token"


def test_resources_of_the_template_are_kept_beside_the_spec_s() -> None:
    found = in_main(resources={"limits": {"memory": "1Mi", "rdma/hca": 1}, "claims": [{"name": "g"}]})["resources"]
    assert found["limits"] == {"memory": "2Gi", "rdma/hca": 1}
    assert found["claims"] == [{"name": "g"}]


def test_sidecars_volumes_and_init_containers_of_the_template_are_kept() -> None:
    pod = laid(
        spec={
            "containers": [{"name": "logs", "image": "x"}, {"name": "main", "volumeMounts": [
                {"name": "scratch", "mountPath": "/scratch"}, {"name": "scratch", "mountPath": "/tmp"}]}],
            "initContainers": [{"name": "warm", "image": "y"}],
            "volumes": [{"name": "scratch", "emptyDir": {}}, {"name": "headway-run", "hostPath": {"path": "/"}}],
        }
    )  # fmt: skip
    assert [container["name"] for container in pod["spec"]["containers"]] == ["main", "logs"]
    assert [container["name"] for container in pod["spec"]["initContainers"]] == ["warm"]
    assert {"name": "scratch", "emptyDir": {}} in pod["spec"]["volumes"]
    assert mounts(pod)["/scratch"]["emptyDir"] == {}
    assert mounts(pod)["/tmp"]["name"] == "headway-tmp"
    assert "hostPath" not in mounts(pod)["/etc/headway/run"]


def test_tolerations_are_merged_by_key() -> None:
    mine = {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "tolerationSeconds": 600}
    found = laid(spec={"tolerations": [mine, {"key": "nvidia.com/gpu", "operator": "Exists"}]})["spec"]["tolerations"]
    assert {entry["key"]: entry.get("tolerationSeconds") for entry in found} == {
        "node.kubernetes.io/unreachable": 600,
        "nvidia.com/gpu": None,
        "node.kubernetes.io/not-ready": 30,
    }


def test_labels_and_annotations_of_the_template_are_kept_but_ours_win() -> None:
    theirs = {"labels": {"team": "a", "headway.dev/job": "x"}, "annotations": {"k": "v"}, "name": "z"}
    meta = laid(metadata=theirs)["metadata"]
    assert meta["labels"]["team"] == "a"
    assert meta["labels"]["headway.dev/job"] == "digits"
    assert meta["annotations"] == {"k": "v", "headway.dev/workers": "4"}
    assert meta["name"] == "digits-11111-2-worker-3-1"


def test_the_job_s_own_template_is_not_changed_by_merging() -> None:
    of = attempt(workers={"template": {"spec": {"containers": [{"name": "main", "args": ["x"]}]}}})
    before = of.spec.model_dump_json()
    pods.pod(of, WORKER, "Always")
    assert of.spec.model_dump_json() == before


@pytest.mark.parametrize(
    ("template", "field"),
    [
        ({"spec": []}, "spec.workers.template.spec"),
        ({"metadata": "x"}, "spec.workers.template.metadata"),
        ({"metadata": {"labels": [1]}}, "spec.workers.template.metadata.labels"),
        ({"spec": {"containers": {"main": {}}}}, "spec.workers.template.spec.containers"),
        ({"spec": {"containers": ["main"]}}, "spec.workers.template.spec.containers"),
        ({"spec": {"containers": [{"name": "main", "env": {"A": "b"}}]}}, "template.spec.containers[main].env"),
        ({"spec": {"containers": [{"name": "main"}, {"name": "main"}]}}, "'main' twice"),
        ({"spec": {"volumes": 3}}, "spec.workers.template.spec.volumes"),
        ({"spec": {"securityContext": "root"}}, "spec.workers.template.spec.securityContext"),
        ({"nodeSelector": {}}, "nodeSelector"),
    ],
)
def test_a_template_of_the_wrong_shape_is_refused_with_the_field_s_name(template: dict[str, Any], field: str) -> None:
    with pytest.raises(RenderError) as error:
        lay_under(template, made(WORKER), "spec.workers.template")
    assert field in str(error.value)


def test_a_spec_that_this_version_would_refuse_is_rendered_as_it_was_judged() -> None:
    workers = {"replicas": 4, "resources": {"gpu": 2}, "topology": "rack"}
    resolved = resolve(document(workers=workers, scheduling={"gang": "Later"}), DEFAULTS, begun=True)
    assert resolved.spec is not None
    of = AttemptOf("team", "digits", UID, 2, 4, resolved.spec)
    assert main(pods.pod(of, WORKER, "Always"))["resources"]["limits"]["nvidia.com/gpu"] == "2"
    run = read_run_file(objects.secret(of, "token")["stringData"][wire.KEY_RUN])
    assert run.spec.workers.resources.gpu == 2
    assert dict(run.spec.scheduling)["gang"] == "Later"
