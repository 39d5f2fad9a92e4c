"""Where code and data come from on a cluster: a git server, and an S3-compatible object store, both real."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import fs, parquet
from sklearn.datasets import load_wine

from commands import COMMAND, clean_environment
from harness import HACK_CLUSTER, Cluster, run

pytestmark = pytest.mark.e2e

GIT_SERVER = """
apiVersion: v1
kind: Pod
metadata: {name: git, labels: {app: git}}
spec:
  terminationGracePeriodSeconds: 0
  securityContext: {runAsUser: 1000, runAsNonRoot: true}
  containers:
  - name: main
    image: IMAGE
    command: [sh, -ec]
    args:
    - |
      git init --quiet --initial-branch=main /tmp/srv/team/code
      cd /tmp/srv/team/code
      mkdir src && cp /files/* src/
      git -c user.name=test -c user.email=test@example.com add --all
      git -c user.name=test -c user.email=test@example.com commit --quiet --message 'a training function'
      git rev-parse HEAD > /tmp/commit
      exec git daemon --reuseaddr --export-all --base-path=/tmp/srv --port=9418
    readinessProbe: {tcpSocket: {port: 9418}, periodSeconds: 1}
    volumeMounts: [{name: files, mountPath: /files}]
  volumes: [{name: files, configMap: {name: code}}]
---
apiVersion: v1
kind: Service
metadata: {name: git}
spec: {selector: {app: git}, ports: [{port: 9418}]}
"""

TRAIN = """
from ray import train


def main(config):
    train.report({"answer": config["answer"], "world_size": train.get_context().get_world_size()})
"""

GIT_JOB = """
apiVersion: headway.dev/v1alpha1
kind: TrainingJob
metadata: {name: from-git}
spec:
  code: {git: {url: "git://git.NAMESPACE.svc/team/code", revision: COMMIT, path: src}}
  training: {entrypoint: "teamcode:main", arguments: {answer: 42}}
  head: {resources: {cpu: 200m, memory: 2Gi}}
  workers: {replicas: 1, resources: {cpu: 300m, memory: 2Gi}}
"""


def test_a_training_function_from_a_git_commit_runs_and_the_result_names_the_commit(
    headway: Cluster, namespace: str
) -> None:
    code = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "code"}, "data": {"teamcode.py": TRAIN}}
    headway.apply(json.dumps(code), namespace)
    headway.apply(GIT_SERVER.replace("IMAGE", headway.images["trainer"]), namespace)
    headway.kubectl("wait", "-n", namespace, "--for=condition=Ready", "pod/git", "--timeout=120s")
    commit = headway.kubectl("exec", "-n", namespace, "git", "--", "cat", "/tmp/commit").strip()
    headway.apply(GIT_JOB.replace("NAMESPACE", namespace).replace("COMMIT", f'"{commit}"'), namespace)
    job = headway.finished("from-git", namespace)
    assert job["status"]["phase"] == "Succeeded", headway.story("from-git", namespace)
    assert float(job["status"]["result"]["metrics"]["answer"]) == 42


@dataclass(frozen=True)
class Bucket:
    """An S3-compatible server, as the machine and pods reach it."""

    environment: dict[str, str]

    def filesystem(self) -> fs.S3FileSystem:
        return fs.S3FileSystem(
            access_key=self.environment["AWS_ACCESS_KEY_ID"],
            secret_key=self.environment["AWS_SECRET_ACCESS_KEY"],
            region=self.environment["AWS_REGION"],
            endpoint_override=self.environment["AWS_ENDPOINT_URL"],
        )


@pytest.fixture(scope="session")
def s3(cluster: Cluster) -> Bucket:
    assert cluster.kubeconfig
    printed = run(HACK_CLUSTER, "s3", "--bucket", "lake", "--bucket", "models")
    return Bucket(dict(line.split("=", 1) for line in printed.split()))


S3_JOB = """
apiVersion: headway.dev/v1alpha1
kind: TrainingJob
metadata: {name: wine}
spec:
  data:
    source: {uri: "s3://lake/wine/*.parquet", secretRef: {name: store}}
    target: grower
  model: {name: mlp, options: {hidden: [32]}}
  training: {epochs: 30, batchSize: 32, optimizer: {lr: 0.01}}
  export: {formats: [safetensors]}
  head: {resources: {cpu: 200m, memory: 2Gi}}
  workers: {replicas: 1, resources: {cpu: 300m, memory: 2Gi}}
  storage: {uri: "s3://models/headway", secretRef: {name: store}}
"""


def test_parquet_is_read_from_s3_and_the_model_is_written_there(headway: Cluster, namespace: str, s3: Bucket) -> None:
    wine = load_wine()
    columns = {name: wine.data[:, index] for index, name in enumerate(wine.feature_names)}
    table = pa.table({**columns, "grower": np.array(["Bianchi", "Conti", "Ferrari"])[wine.target]})
    filesystem = s3.filesystem()
    for part in range(2):
        parquet.write_table(table.slice(part * 89, 89), f"lake/wine/part-{part}.parquet", filesystem=filesystem)
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "store"}, "stringData": s3.environment}
    headway.apply(json.dumps(secret), namespace)
    headway.apply(S3_JOB, namespace)
    job = headway.finished("wine", namespace)
    assert job["status"]["phase"] == "Succeeded", headway.story("wine", namespace)
    assert float(job["status"]["result"]["metrics"]["test/accuracy"]) >= 0.8

    folder = f"models/headway/{namespace}/wine-{job['metadata']['uid'][:8]}"
    names = {item.base_name for item in filesystem.get_file_info(fs.FileSelector(folder))}
    assert {"model.safetensors", "result.json", "report.md"} <= names
    with filesystem.open_input_stream(f"{folder}/result.json") as stream:
        result = json.load(io.BytesIO(stream.read()))
    assert sum(result["data"]["rows"].values()) == 178
    leaked = json.dumps(job) + headway.kubectl("get", "configmaps,pods,events", "-n", namespace, "-o", "yaml")
    assert s3.environment["AWS_SECRET_ACCESS_KEY"] not in leaked


PROFILED = """
apiVersion: headway.dev/v1alpha1
kind: TrainingJob
metadata: {name: grapes}
spec:
  image: IMAGE
  data: {source: SOURCE, target: grower}
  model: {name: mlp}
  training: {epochs: 1}
  head: {resources: {cpu: 100m, memory: 1Gi}}
"""
WRITER = """
apiVersion: v1
kind: Pod
metadata: {name: writer}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  securityContext: {runAsUser: 1000, runAsGroup: 1000, fsGroup: 1000, runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
  containers:
  - name: main
    image: IMAGE
    command: [python, -c, "open('/models/rows.csv', 'w').write(ROWS)"]
    securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
    volumeMounts: [{name: models, mountPath: /models}]
  volumes: [{name: models, persistentVolumeClaim: {claimName: models}}]
"""  # noqa: E501 - one line of a manifest


@pytest.mark.long
def test_data_that_only_the_cluster_reaches_is_profiled_by_a_pod_that_is_gone_afterwards(
    headway: Cluster, namespace: str, s3: Bucket, tmp_path: Path
) -> None:
    headway.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    image = headway.images["trainer"]
    rows = "sugar,grower\n" + "".join(f"{index / 8},{'Conti' if index % 2 else 'Bianchi'}\n" for index in range(60))
    with s3.filesystem().open_output_stream("lake/grapes/rows.csv") as stream:
        stream.write(rows.encode())
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "store"}, "stringData": s3.environment}
    headway.apply(json.dumps(secret), namespace)
    headway.apply(WRITER.replace("IMAGE", image).replace("ROWS", repr(rows).replace("\\", "\\\\")), namespace)
    headway.kubectl("wait", "-n", namespace, "--for=jsonpath={.status.phase}=Succeeded", "pod/writer", "--timeout=120s")
    headway.kubectl("delete", "-n", namespace, "pod/writer")

    def profiled(source: str, *words: str, image: str = image) -> subprocess.CompletedProcess[str]:
        path = tmp_path / "grapes.yaml"
        path.write_text(PROFILED.replace("IMAGE", image).replace("SOURCE", source))
        return subprocess.run(
            [*COMMAND, "profile", str(path), "--in-cluster", "-n", namespace, *words],
            env=clean_environment() | {"KUBECONFIG": str(headway.kubeconfig), "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def no_pod_is_left() -> bool:
        return not headway.items("pods", "-n", namespace)

    for source in (
        '{uri: "s3://lake/grapes/*.csv", secretRef: {name: store}}',
        "{persistentVolumeClaim: {name: models, path: rows.csv}}",
    ):
        done = profiled(source)
        assert done.returncode == 0, done.stderr
        assert "60 rows and 2 columns" in done.stdout
        assert "Bianchi 50%, Conti 50%" in done.stdout
        headway.wait("the pod gone", no_pod_is_left, within=60)
    absent = profiled("{persistentVolumeClaim: {name: models, path: none.csv}}")
    assert (absent.returncode, "none.csv" in absent.stderr) == (64, True), absent.stderr
    unknown = profiled("{persistentVolumeClaim: {name: grapes, path: rows.csv}}")
    assert (unknown.returncode, 'persistentvolumeclaim "grapes" not found' in unknown.stderr) == (1, True)
    unnamed = profiled("{persistentVolumeClaim: {name: models, path: rows.csv}}", image="registry.invalid/none:1")
    assert (unnamed.returncode, "does not run: " in unnamed.stderr) == (1, True), unnamed.stderr
    headway.wait("no pod left", no_pod_is_left, within=60)
