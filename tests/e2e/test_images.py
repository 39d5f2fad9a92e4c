"""The project's images under the strictest Pod Security: any number for a user, nothing writable but /tmp."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from harness import Cluster

pytestmark = pytest.mark.e2e

NAMESPACE = "e2e-images"

OPERATOR = """
import importlib.util, json, os, subprocess
import kopf, headway_operator.main
print(json.dumps({
    "uid": os.getuid(),
    "heavy": [name for name in ("torch", "ray", "numpy", "pip") if importlib.util.find_spec(name)],
    "megabytes": int(subprocess.check_output(["du", "-sm", "/opt/headway"]).split()[0]),
    "compiled": all(os.path.exists(module.__cached__) for module in (json, kopf, headway_operator.main)),
}))
"""

SERVER = """
import importlib.util, json, os, subprocess
import numpy, onnxruntime, headway_cli.serve, headway_server.process
names = ("torch", "ray", "pandas", "sklearn", "onnx", "pip", "headway_trainer", "headway_operator")
print(json.dumps({
    "uid": os.getuid(),
    "heavy": [name for name in names if importlib.util.find_spec(name)],
    "megabytes": int(subprocess.check_output(
        "find / -xdev -type f -printf '%s\\n' 2>/dev/null | awk '{s += $1} END {print int(s / 1e6)}'", shell=True
    )),
    "compiled": all(os.path.exists(module.__cached__) for module in (json, numpy, headway_server.process)),
}))
"""

TRAINER = """
import getpass, importlib.util, json, os, subprocess
import torch, ray.train.torch, headway_trainer
run = lambda *words: subprocess.run(words, capture_output=True).returncode
torch.save(torch.ones(2), "/tmp/ones.pt")
print(json.dumps({
    "uid": os.getuid(),
    "user": getpass.getuser(),
    "pip": importlib.util.find_spec("pip") is not None,
    "tools": [run("git", "version"), run("ssh", "-V")],
    "compiled": all(os.path.exists(module.__cached__) for module in (json, torch, ray, headway_trainer)),
}))
"""


@pytest.fixture(scope="module")
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace that takes only pods of the restricted standard."""
    cluster.kubectl("create", "namespace", NAMESPACE)
    cluster.kubectl("label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted")
    yield NAMESPACE
    cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def said_in(cluster: Cluster, namespace: str, target: str, script: str) -> dict[str, Any]:
    """What a Python script says, as JSON, in a pod of one of the images."""
    container = {
        "name": "main",
        "image": cluster.images[target],
        "command": ["python", "-c", script],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
    spec = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        # No user: the image's own has to be a number for this to pass.
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    cluster.apply(
        json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": target}, "spec": spec}), namespace
    )
    phase = cluster.wait(
        f"the end of pod {target}",
        lambda: (
            (found := cluster.get("pod", target, "-n", namespace)["status"]["phase"]) in ("Succeeded", "Failed")
            and found
        ),
        within=300,
    )
    logs = cluster.kubectl("logs", target, "-n", namespace)
    assert phase == "Succeeded", logs
    said: dict[str, Any] = json.loads(logs.splitlines()[-1])
    return said


def test_the_operators_image_is_small_and_compiled(cluster: Cluster, namespace: str) -> None:
    said = said_in(cluster, namespace, "operator", OPERATOR)
    assert said["megabytes"] < 250
    assert said == {"uid": 1000, "heavy": [], "megabytes": said["megabytes"], "compiled": True}


def test_the_servers_image_is_small_and_has_nothing_that_trains(cluster: Cluster, namespace: str) -> None:
    said = said_in(cluster, namespace, "server", SERVER)
    # Of these, 15 MB check signatures; the base that hack/cluster makes is larger than a registry's slim one.
    assert said["megabytes"] < 440, "with the base that hack/cluster makes"
    assert said == {"uid": 1000, "heavy": [], "megabytes": said["megabytes"], "compiled": True}


def test_the_trainers_image_imports_all_it_needs_and_writes_nowhere_but_tmp(cluster: Cluster, namespace: str) -> None:
    said = said_in(cluster, namespace, "trainer", TRAINER)
    assert said == {"uid": 1000, "user": "headway", "pip": False, "tools": [0, 0], "compiled": True}
