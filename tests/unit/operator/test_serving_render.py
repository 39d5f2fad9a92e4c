"""The objects of a ModelDeployment: what they hold, and what a model's pod has no way to."""

from __future__ import annotations

import hashlib
import ipaddress
import subprocess
from pathlib import Path
from typing import Any

from deployment_documents import DEPLOYMENT, DIGEST
from headway_api import quantities, wire
from headway_api.deployment_status import Version
from headway_api.served import Cache, ModelSource, Records, Server
from headway_api.signatures import public_key
from headway_cli.fetch import fetch as headway_fetch
from headway_cli.serve import serve
from headway_operator.engine.kube import Object
from headway_operator.engine.times import to_text
from headway_operator.serving import names, records
from headway_operator.serving.plan.model import ServerPod
from headway_operator.serving.render import objects, pods
from headway_operator.serving.render import records as records_folder
from headway_operator.serving.render import source as sources
from sim.builders import T0, UID

OF = objects.Of("digits", "default", UID, "IfNotPresent")


def version(source: dict[str, Any] | None = None, **server: Any) -> Version:
    """The third version."""
    spec = DEPLOYMENT["spec"]
    fields = {"name": "digits-3", "number": 3, "state": "Candidate", "image": "server:1", "since": to_text(T0)}
    source = source or spec["versions"]["source"]
    return Version.model_validate({**fields, "source": source, "server": {**spec["server"], **server}})


def spec_of(body: Object) -> dict[str, Any]:
    """The spec of a Deployment's pods."""
    spec: dict[str, Any] = body["spec"]["template"]["spec"]
    return spec


def test_every_object_is_the_deployments_own_and_found_by_its_uid() -> None:
    made = [
        objects.workload(OF, version(), 2),
        objects.version_service(OF, version()),
        objects.client_service(OF, version()),
        objects.disruption_budget(OF, 3),
        objects.network_policy(OF),
    ]
    for body in made:
        meta = body["metadata"]
        (owner,) = meta["ownerReferences"]
        assert (owner["kind"], owner["uid"], owner["controller"]) == ("ModelDeployment", UID, True)
        assert "blockOwnerDeletion" not in owner
        assert meta["labels"][names.LABEL_DEPLOYMENT_UID] == UID
        assert f"{names.LABEL_COMPONENT}={meta['labels'][names.LABEL_COMPONENT]}" == names.WATCHED
    assert [body["metadata"]["name"] for body in made] == [
        f"digits-{UID[:5]}-3",
        f"digits-{UID[:5]}-3",
        "digits",
        f"digits-{UID[:5]}-3",
        f"digits-{UID[:5]}",
    ]


def test_a_server_is_restricted_reads_the_one_folder_and_has_no_token() -> None:
    spec = spec_of(objects.workload(OF, version(), 2))
    assert spec["automountServiceAccountToken"] is False
    assert "serviceAccountName" not in spec
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["volumes"][0]["persistentVolumeClaim"] == {"claimName": "models", "readOnly": True}
    for container in (*spec["containers"], *spec["initContainers"]):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        (model,) = [mount for mount in container["volumeMounts"] if mount["name"] == "model"]
        assert model == {
            "name": "model",
            "mountPath": sources.MODEL_DIR,
            "readOnly": True,
            "subPath": "default/digits-1",
        }
        assert (
            container["resources"]["limits"]
            == container["resources"]["requests"]
            == {
                "cpu": "500m",
                "memory": "256Mi",
            }
        )


def test_health_is_asked_on_the_admin_port_and_readiness_each_second_at_the_start() -> None:
    (container,) = spec_of(objects.workload(OF, version(), 2))["containers"]
    probes = {kind: container[f"{kind}Probe"] for kind in ("startup", "readiness", "liveness")}
    assert {probe["httpGet"]["port"] for probe in probes.values()} == {pods.ADMIN_PORT}
    assert {kind: probe["httpGet"]["path"] for kind, probe in probes.items()} == {
        "startup": "/v2/health/ready",
        "readiness": "/v2/health/ready",
        "liveness": "/v2/health/live",
    }
    assert probes["startup"]["periodSeconds"] == 1


def test_a_server_is_told_its_name_its_version_and_how_long_to_drain_and_has_time_for_it() -> None:
    spec = spec_of(objects.workload(OF, version(drainSeconds=45), 2))
    args = spec["containers"][0]["args"]
    told = dict(zip(args[::2], args[1::2], strict=True))
    assert (told["--name"], told["--version"], told["--drain-seconds"]) == ("digits", "3", "45")
    assert spec["terminationGracePeriodSeconds"] == 45 + pods.FINISH_SECONDS


def test_the_server_understands_what_it_is_told() -> None:
    (container,) = spec_of(objects.workload(OF, version(drainSeconds=0), 2))["containers"]
    words: list[str] = [*container["command"], *container["args"]]
    assert words[:2] == ["headway", "serve"]
    told = serve.make_context("serve", words[2:]).params
    assert (told["model_dir"], told["host"], told["drain_seconds"]) == (sources.MODEL_DIR, "0.0.0.0", 0)  # noqa: S104
    assert (told["port"], told["admin_port"], told["name"]) == (pods.DATA_PORT, pods.ADMIN_PORT, "digits")


def test_a_server_that_is_told_nothing_more_has_the_words_that_it_had_before_there_was_more_to_tell() -> None:
    (container,) = spec_of(objects.workload(OF, version(), 2))["containers"]
    assert container["args"] == [
        *("--host", "0.0.0.0", "--port", "8080", "--admin-port", "8081"),  # noqa: S104
        *("--name", "digits", "--version", "3", "--drain-seconds", "5"),
    ]
    assert [port["name"] for port in container["ports"]] == ["http", "admin"]


def test_every_field_of_the_server_reaches_its_command_line() -> None:
    told = version(
        threads=3,
        batching={"maxSize": 7, "maxDelayMilliseconds": 4},
        limits={"maxRequestBytes": "1.5Mi", "maxInFlight": 9, "queueMilliseconds": 250, "timeoutSeconds": 11},
        warmup={"requests": 5},
        cache={"maxEntries": 50, "ttlSeconds": 60},
        grpc=True,
    )
    (container,) = spec_of(objects.workload(OF, told, 2))["containers"]
    params = serve.make_context("serve", [*container["command"], *container["args"]][2:]).params
    asked = {
        "threads": 3,
        "max_batch_rows": 7,
        "max_delay_milliseconds": 4,
        "max_request_bytes": 3 * 2**19,
        "max_in_flight": 9,
        "queue_milliseconds": 250,
        "timeout_seconds": 11,
        "warmup_requests": 5,
        "cache_entries": 50,
        "cache_ttl_seconds": 60,
        "grpc_port": 9000,
    }
    assert {name: params[name] for name in asked} == asked
    assert container["ports"][-1] == {"name": "grpc", "containerPort": 9000, "protocol": "TCP"}


def test_the_keys_of_signed_models_reach_the_server_and_what_is_fetched_brings_its_signature() -> None:
    pems = [
        f"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA{letter * 42}A=\n-----END PUBLIC KEY-----\n" for letter in "Bc"
    ]
    signature = {"publicKeys": pems}
    workload = objects.workload(OF, version(signature=signature), 2)
    (container,) = spec_of(workload)["containers"]
    params = serve.make_context("serve", [*container["command"], *container["args"]][2:]).params
    assert [public_key(word) for word in params["public_keys"]] == [public_key(pem) for pem in pems]
    source = {"uri": "s3://models/a", "digest": DIGEST}
    for told, fetched in ((signature, True), (None, False)):
        made = version(**({"signature": told} if told else {})).model_copy(
            update={"source": ModelSource.model_validate(source)}
        )
        (check,) = spec_of(objects.workload(OF, made, 2))["initContainers"]
        assert ("--with-signature" in check["command"]) is fetched
        assert headway_fetch.make_context("fetch", check["command"][2:]).params["with_signature"] is fetched


def test_records_are_written_to_a_folder_of_their_own_and_nothing_else_of_the_claim_is_seen() -> None:
    claim = {"name": "models", "path": "/kept/".strip("/")}
    told = {
        "sample": 0.5,
        "payloads": "inputs",
        "mask": ["age", "a b"],
        "persistentVolumeClaim": claim,
        "maxBytes": "64Mi",
    }
    spec = spec_of(objects.workload(OF, version(records=told), 2))
    model, _, volume = spec["volumes"]
    assert model["persistentVolumeClaim"]["readOnly"] is True
    assert volume == {"name": "records", "persistentVolumeClaim": {"claimName": "models"}}
    [server] = spec["containers"]
    [mount] = [each for each in server["volumeMounts"] if each["name"] == "records"]
    assert mount == {"name": "records", "mountPath": "/mnt/headway/records", "subPath": "kept/digits-records"}
    _, maker = spec["initContainers"]
    assert maker["volumeMounts"] == [{"name": "records", "mountPath": "/mnt/headway/records"}]
    assert maker["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert "kept" not in maker["command"][2], "what a tenant writes is an argument, and no part of a script"
    params = serve.make_context("serve", [*server["command"], *server["args"]][2:]).params
    asked = {
        "records_sample": 0.5,
        "records_payloads": "inputs",
        "records_mask": ("age", "a b"),
        "records_folder": mount["mountPath"],
        "records_max_bytes": 2**26,
    }
    assert {name: params[name] for name in asked} == asked


def test_a_column_s_name_is_no_variable_of_the_pod() -> None:
    args = spec_of(objects.workload(OF, version(records={"mask": ["$(HOME)"]}), 2))["containers"][0]["args"]
    assert args[-1] == "$$(HOME)", "which is $(HOME) to the server"


def test_records_without_a_claim_are_lines_of_the_log() -> None:
    spec = spec_of(objects.workload(OF, version(records={}), 2))
    assert [volume["name"] for volume in spec["volumes"]] == ["model", "tmp"]
    assert spec["containers"][0]["args"][-4:] == ["--records-sample", "0.1", "--records-payloads", "none"]


def test_the_folder_of_records_is_made_or_it_is_told_that_it_cannot_be(tmp_path: Path) -> None:
    words = ["sh", "-c", records_folder.MAKE, "records", str(tmp_path / "a/b"), "a/b"]
    assert subprocess.run(words, check=False).returncode == 0
    assert (tmp_path / "a/b").is_dir()
    (tmp_path / "file").write_text("")
    words = ["sh", "-c", records_folder.MAKE, "records", str(tmp_path / "file/b"), "file/b"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == records_folder.CANNOT_WRITE
    assert "has no folder that the user" in done.stdout


def test_what_the_schema_says_is_the_default_is_what_the_server_does_by_itself() -> None:
    params, usual = serve.make_context("serve", ["folder"]).params, Server()
    assert {
        "threads": usual.threads,
        "max_batch_rows": usual.batching.max_size,
        "max_delay_milliseconds": usual.batching.max_delay_milliseconds,
        "max_request_bytes": quantities.parse(usual.limits.max_request_bytes),
        "max_in_flight": usual.limits.max_in_flight,
        "queue_milliseconds": usual.limits.queue_milliseconds,
        "timeout_seconds": usual.limits.timeout_seconds,
        "warmup_requests": usual.warmup.requests,
        "cache_entries": None,
        "cache_ttl_seconds": Cache().ttl_seconds,
        "grpc_port": None,
        "records_sample": None,
        "records_payloads": Records().payloads,
        "records_max_bytes": quantities.parse(Records().max_bytes),
    }.items() <= params.items()


def test_grpc_has_a_port_of_the_services_and_a_way_in_only_where_it_is_asked_for() -> None:
    without, with_it = version(), version(grpc=True)
    for make in (objects.version_service, objects.client_service):
        assert [port["port"] for port in make(OF, without)["spec"]["ports"]] == [80]
        assert make(OF, with_it)["spec"]["ports"][1] == {
            "name": "grpc",
            "port": 9000,
            "targetPort": 9000,
            "protocol": "TCP",
        }
    assert objects.version_policy(OF, without) is None
    policy = objects.version_policy(OF, with_it)
    assert policy is not None
    spec = policy["spec"]
    assert spec["podSelector"]["matchLabels"] == names.selector(UID, 3)
    assert spec["ingress"] == [{"ports": [{"port": 9000, "protocol": "TCP"}]}]
    assert spec["policyTypes"] == ["Ingress"], "what a server reaches is said by the policy of all versions"


def test_the_folder_is_compared_with_the_digest_before_a_server_starts() -> None:
    (check,) = spec_of(objects.workload(OF, version(), 2))["initContainers"]
    assert check["command"][-1] == DIGEST
    assert "$1" in check["command"][2]
    assert DIGEST not in check["command"][2], "what a tenant writes is an argument, and no part of a script"


STORE = {"uri": "s3://models/digits", "digest": DIGEST, "secretRef": {"name": "reader"}}


def test_a_model_in_an_object_store_is_fetched_and_checked_before_a_server_starts() -> None:
    spec = spec_of(objects.workload(OF, version(STORE, resources={"cpu": 1, "memory": "256Mi"}), 2))
    (check,), (server,) = spec["initContainers"], spec["containers"]
    assert check["command"] == [
        *("headway", "fetch", "s3://models/digits", sources.MODEL_DIR, "--secret-dir", wire.STORAGE_SECRET_DIR),
        *("--max-bytes", str(256 * 2**20), "--digest", DIGEST),
    ]
    with headway_fetch.make_context("fetch", check["command"][2:]) as context:
        assert context.params["max_bytes"] == 256 * 2**20
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    assert volumes["model"]["emptyDir"] == {"sizeLimit": "256Mi"}
    assert volumes["credentials"]["secret"] == {"secretName": "reader", "defaultMode": 0o440}
    mounts = {mount["name"]: mount for mount in check["volumeMounts"]}
    assert (mounts["model"]["mountPath"], mounts["model"].get("readOnly")) == (sources.MODEL_DIR, None)
    assert mounts["credentials"]["readOnly"]
    seen = {mount["name"]: mount.get("readOnly") for mount in server["volumeMounts"]}
    assert seen == {"model": True, "tmp": None}, "the server has no credentials, and changes no model"
    assert check["securityContext"] == server["securityContext"]
    assert "env" not in check or {each["name"] for each in check["env"]} == {"HOME"}


def test_without_a_secret_none_is_mounted_and_nothing_of_the_node_is_asked_for() -> None:
    spec = spec_of(objects.workload(OF, version({key: STORE[key] for key in ("uri", "digest")}), 2))
    assert [volume["name"] for volume in spec["volumes"]] == ["model", "tmp"]
    assert wire.STORAGE_SECRET_DIR in spec["initContainers"][0]["command"], "no folder, no credentials"


def test_only_a_version_from_an_object_store_reaches_out_and_never_its_node() -> None:
    policy = objects.version_policy(OF, version(STORE))
    assert policy is not None
    spec = policy["spec"]
    assert (spec["policyTypes"], spec["podSelector"]["matchLabels"]) == (["Egress"], names.selector(UID, 3))
    dns, stores = spec["egress"]
    assert {port["port"] for port in dns["ports"]} == {53}
    blocks = [each["ipBlock"] for each in stores["to"] if "ipBlock" in each]
    assert {block["cidr"] for block in blocks} == {"0.0.0.0/0", "::/0"}
    for block in blocks:
        for refused in block["except"]:
            assert ipaddress.ip_network(refused).subnet_of(ipaddress.ip_network(block["cidr"]))  # type: ignore[arg-type]
    refused = [ipaddress.ip_network(each) for block in blocks for each in block["except"]]
    for metadata in ("169.254.169.254", "fd00:ec2::254", "169.254.170.2"):
        assert any(ipaddress.ip_address(metadata) in network for network in refused)
    both = objects.version_policy(OF, version(STORE, grpc=True))
    assert both is not None
    assert both["spec"]["policyTypes"] == ["Ingress", "Egress"]


def checked(folder: Path, digest: str) -> tuple[int, str]:
    """How the check of a folder ends, and what it says."""
    script = sources.CHECK.replace(sources.MODEL_DIR, str(folder))
    done = subprocess.run(["sh", "-c", script, "check", digest], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def test_the_check_tells_both_digests_or_that_there_is_no_model(tmp_path: Path) -> None:
    code, said = checked(tmp_path, DIGEST)
    assert code == sources.WRONG_MODEL
    assert said.startswith("the folder of spec.versions.source has no model.json")
    (tmp_path / "model.json").write_text("{}")
    found = f"sha256:{hashlib.sha256(b'{}').hexdigest()}"
    assert checked(tmp_path, found) == (0, "")
    code, said = checked(tmp_path, DIGEST)
    assert code == sources.WRONG_MODEL
    assert said == (
        f"the model.json in the folder has the digest {found}, and spec.versions.source.digest asks for {DIGEST}\n"
    )
    assert len(said) < records.WORDS_LIMIT, "the status tells all of it"


def test_pods_are_replaced_one_more_at_a_time_and_never_fewer() -> None:
    assert objects.workload(OF, version(), 2)["spec"]["strategy"]["rollingUpdate"] == {
        "maxUnavailable": 0,
        "maxSurge": 1,
    }


def test_servers_are_reached_by_their_ports_alone_and_reach_nobody() -> None:
    spec = objects.network_policy(OF)["spec"]
    assert set(spec["policyTypes"]) == {"Ingress", "Egress"}
    assert "egress" not in spec
    assert [port["port"] for rule in spec["ingress"] for port in rule["ports"]] == [8080, 8081]


def _as_stored(body: Object, **status: Any) -> Object:
    meta = {**body["metadata"], "uid": "w1", "resourceVersion": "7", "generation": 2}
    return {**body, "metadata": meta, "status": status}


def test_a_workload_is_complete_when_its_controller_has_seen_it_and_all_pods_of_its_template_are_ready() -> None:
    body = objects.workload(OF, version(), 2)
    for status, complete in (
        ({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2}, True),
        ({"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2}, False),
        ({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 1}, False),
        ({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 1, "readyReplicas": 2}, False),
        ({}, False),
        ({"observedGeneration": "2", "readyReplicas": [2], "updatedReplicas": True}, False),
    ):
        record = records.workload(_as_stored(body, **status), None, T0)
        assert record is not None
        assert (record.number, record.desired, record.complete) == (3, 2, complete), status


def test_what_is_not_called_as_its_controller_would_call_it_is_nobodys() -> None:
    body = _as_stored(objects.workload(OF, version(), 2))
    for name in ("digits-3", "digits", f"digits-{UID[:5]}-0", f"digits-{UID[:5]}-03", f"digits-{UID[:5]}-3-x"):
        assert records.workload({**body, "metadata": {**body["metadata"], "name": name}}, None, T0) is None, name
    assert records.workload({**body, "metadata": {**body["metadata"], "ownerReferences": []}}, None, T0) is None


def pod_of(body: Object) -> ServerPod:
    found = records.server_pod(body)
    assert found is not None
    return found


def test_a_pod_tells_why_it_is_not_ready() -> None:
    waiting = {"name": "server", "restartCount": 4, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
    ended = {"terminated": {"exitCode": 65, "reason": "Error", "message": "one\ntwo\n"}}
    body = {"metadata": {"name": "p"}, "status": {"containerStatuses": [{**waiting, "lastState": ended}]}}
    pod = pod_of(body)
    assert (pod.ready, pod.restarts, pod.waiting) == (False, 4, "CrashLoopBackOff")
    assert pod.words == "exit code 65 (Error): two"
    nowhere = {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}
    pod = pod_of({"metadata": {"name": "p"}, "status": {"conditions": [nowhere]}})
    assert (pod.waiting, pod.words) == ("Unschedulable", "0/3 nodes are available")
    assert pod_of({"metadata": {"name": "p"}}).restarts == 0
    assert records.server_pod({"metadata": {"name": "p", "deletionTimestamp": to_text(T0)}}) is None
