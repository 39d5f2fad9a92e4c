"""The head and worker pods of an attempt."""

from __future__ import annotations

from typing import Any

from headway_api import signatures, wire
from headway_api.pods import Resources
from headway_operator.training.plan.model import NewPod
from headway_operator.training.render.merge import lay_under
from headway_operator.training.render.objects import AttemptOf, Manifest, metadata, told

USER = 1000
"""The user and group of all processes; also the group that owns volumes."""
HEAD_GRACE_SECONDS = 120
"""From SIGTERM to SIGKILL: the driver takes a checkpoint meanwhile."""
WORKER_GRACE_SECONDS = 30
READY_FILE = wire.READY_FILE
UNREACHABLE_SECONDS = 30
"""How long a pod stays bound to a node that does not answer, before Kubernetes gives it up."""
SECRET_MODE = 0o440
PROBE_SECONDS = 60
"""How long one startup probe waits inside the pod: one that fails is a Warning, and a healthy start is to have none."""
PROBE_SLACK_SECONDS = 15
PROBE = f"""\
tries=0
until [ -f {READY_FILE} ]; do
  tries=$((tries + 1))
  [ $tries -le {PROBE_SECONDS * 5} ] || {{ echo 'not part of the Ray cluster yet'; exit 1; }}
  sleep 0.2 || sleep 1
done"""


def pod(attempt: AttemptOf, new: NewPod, pull_policy: str) -> Manifest:
    """The manifest of a pod. Raises RenderError on a template of the wrong shape."""
    head = new.role == wire.ROLE_HEAD
    part = attempt.spec.head if head else attempt.spec.workers
    extra = {wire.LABEL_ROLE: new.role} | ({} if head else {wire.LABEL_WORKER: str(new.index)})
    meta = metadata(attempt, new.name(attempt.job, attempt.uid, attempt.number), extra)
    base = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": meta | {"annotations": told(attempt)},
        "spec": _spec(attempt, part.resources, head=head, pull_policy=pull_policy),
    }
    return lay_under(part.template, base, f"spec.{'head' if head else 'workers'}.template")


def _spec(attempt: AttemptOf, resources: Resources, *, head: bool, pull_policy: str) -> Manifest:
    volumes, mounts = _volumes(attempt, resources, head=head)
    main: Manifest = {
        "name": wire.MAIN_CONTAINER,
        "image": attempt.spec.image,
        "imagePullPolicy": pull_policy,
        "command": ["python", "-m", "headway_trainer.driver" if head else "headway_trainer.worker"],
        "env": _env(attempt),
        "resources": _resources(resources),
        "volumeMounts": mounts,
        "startupProbe": _startup_probe(attempt),
        "securityContext": _container_security(),
        "terminationMessagePath": wire.TERMINATION_FILE,
        # A driver that dies without an outcome leaves the end of its log: the pod, and its log with it, will go.
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    spec: Manifest = {
        "restartPolicy": "Never",
        "containers": [main],
        "volumes": volumes,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationGracePeriodSeconds": HEAD_GRACE_SECONDS if head else WORKER_GRACE_SECONDS,
        "automountServiceAccountToken": head,
        # As process 1 of its own namespace Python would lose a SIGTERM that comes before it listens, and live on.
        # Where a template adds containers, merge.py leaves it out.
        "shareProcessNamespace": True,
        "enableServiceLinks": False,
        "tolerations": [
            {
                "key": f"node.kubernetes.io/{state}",
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": UNREACHABLE_SECONDS,
            }
            for state in ("not-ready", "unreachable")
        ],
    }
    if attempt.grouped:
        spec["schedulingGroup"] = {"podGroupName": attempt.name}
    if head:
        spec["serviceAccountName"] = wire.SERVICE_ACCOUNT
    if attempt.spec.code is not None and attempt.spec.code.git is not None:
        spec["initContainers"] = [_fetch_code(attempt, resources, pull_policy)]
    return spec


def _container_security() -> Manifest:
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def _startup_probe(attempt: AttemptOf) -> Manifest:
    """Ready means: part of the Ray cluster. Unlike a readiness probe it costs nothing once it has succeeded."""
    return {
        "exec": {"command": ["sh", "-c", PROBE]},
        "periodSeconds": 1,
        "timeoutSeconds": PROBE_SECONDS + PROBE_SLACK_SECONDS,
        # The operator's own deadline comes first, and says why: also where each probe fails at once.
        "failureThreshold": attempt.spec.scheduling.startup_deadline_seconds + 3600,
    }


def _resources(resources: Resources) -> Manifest:
    memory = str(resources.memory)
    limits = {"memory": memory}
    if resources.gpu:
        limits[resources.gpu_resource] = str(resources.gpu)
    return {"requests": {"cpu": str(resources.cpu), "memory": memory}, "limits": limits}


def _env(attempt: AttemptOf) -> list[Manifest]:
    plain = {
        wire.ENV_RUN_FILE: f"{wire.RUN_DIR}/{wire.KEY_RUN}",
        wire.ENV_HEAD_ADDRESS: attempt.head_address,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": wire.TOKEN_FILE,
        "HOME": "/tmp",  # noqa: S108 - a volume of the pod's own
    }
    if attempt.spec.code is not None:
        plain["PYTHONPATH"] = wire.CODE_DIR
    fields = {wire.ENV_POD_NAME: "metadata.name", wire.ENV_POD_IP: "status.podIP"}
    return [
        *({"name": name, "value": value} for name, value in plain.items()),
        *({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields.items()),
    ]


def _fetch_code(attempt: AttemptOf, resources: Resources, pull_policy: str) -> Manifest:
    without_gpu = resources.model_copy(update={"gpu": 0})
    mounts = [
        _mount("run", wire.RUN_DIR, read_only=True),
        _mount("code", wire.CODE_DIR),
        _mount("tmp", "/tmp"),  # noqa: S108 - a volume of the pod's own
    ]
    git = attempt.spec.code.git if attempt.spec.code is not None else None
    if git is not None and git.secret_ref is not None:
        mounts.append(_mount("git-secret", wire.GIT_SECRET_DIR, read_only=True))
    return {
        "name": wire.CODE_CONTAINER,
        "image": attempt.spec.image,
        "imagePullPolicy": pull_policy,
        "command": ["python", "-m", "headway_trainer.fetch_code"],
        "env": [
            {"name": wire.ENV_RUN_FILE, "value": f"{wire.RUN_DIR}/{wire.KEY_RUN}"},
            {"name": "HOME", "value": "/tmp"},  # noqa: S108 - a volume of the pod's own
        ],
        "resources": _resources(without_gpu),
        "volumeMounts": mounts,
        "securityContext": _container_security(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def _volumes(attempt: AttemptOf, resources: Resources, *, head: bool) -> tuple[list[Manifest], list[Manifest]]:
    """The pod's volumes and where `main` mounts them."""
    volumes = [
        _volume("run", **_secret(attempt.name, wire.KEY_RUN)),
        _volume("token", **_secret(attempt.name, wire.KEY_TOKEN)),
        _volume("tmp", emptyDir={}),
        # Ray's object store and data loaders share memory here; it counts against the container's limit.
        _volume("shm", emptyDir={"medium": "Memory", "sizeLimit": str(resources.memory)}),
    ]
    mounts = [
        _mount("run", wire.RUN_DIR, read_only=True),
        _mount("token", wire.TOKEN_DIR, read_only=True),
        _mount("tmp", "/tmp"),  # noqa: S108 - a volume of the pod's own
        _mount("shm", "/dev/shm"),  # noqa: S108 - a volume of the pod's own
    ]
    for name, path, read_only, source, mounted in (*_user_volumes(attempt), *(_of_driver(attempt) if head else ())):
        if source is not None:
            volumes.append(_volume(name, **source))
        if mounted:
            mounts.append(_mount(name, path, read_only=read_only))
    return volumes, mounts


def _user_volumes(attempt: AttemptOf) -> list[tuple[str, str, bool, Manifest | None, bool]]:
    """What the spec names: volume, mount path, whether read-only, the volume's source, whether `main` mounts it."""
    found: list[tuple[str, str, bool, Manifest | None, bool]] = []
    code, data, storage = attempt.spec.code, attempt.spec.data, attempt.spec.storage
    if code is not None and code.config_map is not None:
        found.append(("code", wire.CODE_DIR, True, {"configMap": {"name": code.config_map.name}}, True))
    if code is not None and code.git is not None:
        found.append(("code", wire.CODE_DIR, True, {"emptyDir": {}}, True))
        if code.git.secret_ref is not None:
            found.append(("git-secret", wire.GIT_SECRET_DIR, True, _secret(code.git.secret_ref.name), False))
    store = storage.persistent_volume_claim if storage is not None else None
    if store is not None:
        found.append(("storage", wire.STORAGE_VOLUME_DIR, False, _claim(store.name, read_only=False), True))
    source = data.source.persistent_volume_claim if data is not None else None
    if source is not None and store is not None and source.name == store.name:
        # One claim in two volumes of a pod is more than some kubelets and drivers bear.
        found.append(("storage", wire.DATA_VOLUME_DIR, True, None, True))
    elif source is not None:
        found.append(("data", wire.DATA_VOLUME_DIR, True, _claim(source.name, read_only=True), True))
    if data is not None and data.source.secret_ref is not None:
        found.append(("data-secret", wire.DATA_SECRET_DIR, True, _secret(data.source.secret_ref.name), True))
    if storage is not None and storage.secret_ref is not None:
        found.append(("storage-secret", wire.STORAGE_SECRET_DIR, True, _secret(storage.secret_ref.name), True))
    return found


def _of_driver(attempt: AttemptOf) -> list[tuple[str, str, bool, Manifest | None, bool]]:
    """The key that the driver signs the model with, and trackers' credentials, as _user_volumes has its rows."""
    found: list[tuple[str, str, bool, Manifest | None, bool]] = []
    signing, tracking = attempt.spec.export.signing, attempt.spec.tracking
    if signing is not None:
        key = _secret(signing.secret_ref.name, signatures.KEY_FILE)
        found.append(("signing-secret", wire.SIGNING_SECRET_DIR, True, key, True))
    if tracking is not None and tracking.secret_ref is not None:
        held = _secret(tracking.secret_ref.name)
        held["secret"]["optional"] = True  # a tracker that cannot be told holds up no pod
        found.append(("tracking-secret", wire.TRACKING_SECRET_DIR, True, held, True))
    return found


def _secret(name: str, *keys: str) -> Manifest:
    """A Secret as a volume, with all its keys or with these alone."""
    items = {"items": [{"key": key, "path": key} for key in keys]} if keys else {}
    return {"secret": {"secretName": name, "defaultMode": SECRET_MODE, **items}}


def _claim(name: str, *, read_only: bool) -> Manifest:
    return {"persistentVolumeClaim": {"claimName": name, **({"readOnly": True} if read_only else {})}}


def _volume(name: str, **source: Any) -> Manifest:
    return {"name": f"headway-{name}", **source}


def _mount(name: str, path: str, *, read_only: bool = False) -> Manifest:
    return {"name": f"headway-{name}", "mountPath": path, **({"readOnly": True} if read_only else {})}
