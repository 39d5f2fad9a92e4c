"""What the operator and the pods of a job tell each other: names, labels, paths, and the files they exchange.

The operator writes `run.json` (a RunFile) into the attempt's Secret; the driver patches `progress.json` (a
ProgressFile) in the attempt's ConfigMap; the driver's last word is an Outcome, its container's termination message.
Names and words carry the job's uid: what an earlier job of the same name left is never taken for this one's.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from headway_api.base import StatusSection
from headway_api.job import TrainingJobSpec
from headway_api.status import CheckpointStatus, Progress, Result, TuningStatus, Warnings
from headway_api.status_words import Count, Time, Word
from headway_api.storage import Storage

LABEL_JOB = "headway.dev/job"
LABEL_JOB_UID = "headway.dev/job-uid"
LABEL_ATTEMPT = "headway.dev/attempt"
LABEL_ROLE = "headway.dev/role"
LABEL_WORKER = "headway.dev/worker"
LABEL_GANG = "headway.dev/gang"
GANG_POD_GROUP = "pod-group"
"""LABEL_GANG of an attempt's ConfigMap: its pods are scheduled as one PodGroup."""
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGED_BY = "headway"
ROLE_HEAD = "head"
ROLE_WORKER = "worker"
UID_LENGTH = 5
"""How much of a job's uid stands in names."""
ANNOTATION_WRITER = "headway.dev/writer"
"""On the attempt's ConfigMap: the one pod that may patch its progress."""
ANNOTATION_WORKERS = "headway.dev/workers"
"""On the attempt's ConfigMap: how many workers its run file speaks of."""
ANNOTATION_TRIALS = "headway.dev/trials"
"""On the attempt's ConfigMap: how many trials its run file speaks of, where they may be raised later."""
ANNOTATION_PROGRESS_SECONDS = "headway.dev/progress-seconds"
"""On the attempt's ConfigMap: RunFile.progress_seconds, so that the operator knows what its driver was told."""

MAIN_CONTAINER = "main"
CODE_CONTAINER = "code"
"""The init container that fetches the user's code."""
SERVICE_ACCOUNT = "headway-trainer"
"""The head pods' ServiceAccount in each job namespace.

It may patch ConfigMaps; an admission policy narrows that to its own.
"""

RAY_PORT = 6379
KEY_TOKEN = "token"  # noqa: S105 - a key, not a secret
KEY_RUN = "run.json"
KEY_PROGRESS = "progress.json"

RUN_DIR = "/etc/headway/run"
"""Where the run file is mounted, from the attempt's Secret."""
TOKEN_DIR = "/etc/headway/token"  # noqa: S105 - a path, not a secret
TOKEN_FILE = f"{TOKEN_DIR}/{KEY_TOKEN}"
"""Ray's token, from the attempt's Secret."""
CODE_DIR = "/opt/headway/code"
"""Where the user's code is mounted or fetched to."""
DATA_SECRET_DIR = "/etc/headway/secrets/data"  # noqa: S105 - a path, not a secret
STORAGE_SECRET_DIR = "/etc/headway/secrets/storage"  # noqa: S105 - a path, not a secret
GIT_SECRET_DIR = "/etc/headway/secrets/git"  # noqa: S105 - a path, not a secret
SIGNING_SECRET_DIR = "/etc/headway/secrets/signing"  # noqa: S105 - a path, not a secret
TRACKING_SECRET_DIR = "/etc/headway/secrets/tracking"  # noqa: S105 - a path, not a secret
DATA_VOLUME_DIR = "/mnt/headway/data"
STORAGE_VOLUME_DIR = "/mnt/headway/storage"
TERMINATION_FILE = "/dev/termination-log"
LOGS_DIR = "logs"
"""Where the logs of all attempts are, below the job's folder on the storage."""
READY_FILE = "/tmp/headway-ready"  # noqa: S108 - a path in the pod's own volume
"""A pod makes this file when it is part of the Ray cluster: head and worker are ready then."""

ENV_RUN_FILE = "HEADWAY_RUN_FILE"
ENV_POD_NAME = "HEADWAY_POD_NAME"
ENV_POD_IP = "HEADWAY_POD_IP"
ENV_HEAD_ADDRESS = "HEADWAY_HEAD_ADDRESS"
"""`host:port` of Ray's head, for the workers."""

OUTCOME_MAX_BYTES = 4096
HEARTBEAT_SECONDS = 60
"""The driver renews ProgressFile.heartbeat_time at least this often."""
PROGRESS_SECONDS = 2.0
"""How often a driver writes its progress at most, where nobody asked for less."""
EXIT_SUCCEEDED = 0
EXIT_USER_ERROR = 64
"""No code that a process has whose end nobody chose: 1 is Python's for any exception, and Ray's for a lost head."""
EXIT_GATE_FAILED = 65
"""The model is finished and kept, but did not reach a gate of `spec.evaluation`."""
EXIT_UNREACHABLE = 69
"""A worker's alone: for long nothing has answered where the head is."""
EXIT_INTERNAL = 70
EXIT_STORAGE = 74
EXIT_INTERRUPTED = 143

DriverCause = Literal["NodeLost", "OutOfMemory", "UserError", "StorageError", "Hang", "GateFailed", "Internal"]
"""The causes that a driver may give for its end; what the others mean, the operator alone decides."""


class RunFile(StatusSection):
    """All that the pods of one attempt have to know."""

    namespace: str
    """The job's namespace."""
    name: str
    """The job's name."""
    uid: str
    """The job's uid."""
    attempt: int = 1
    """The attempt's number: the fencing token of everything it writes."""
    config_map: str | None = None
    """The ConfigMap to patch progress into; none under `headway run`."""
    storage_uri: str
    """The run's own folder, with the scheme that pyarrow reads, or a local path."""
    progress_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = PROGRESS_SECONDS
    """How often progress is written at most; the operator asks for less where many jobs run."""
    spec: TrainingJobSpec
    """The spec with the operator's defaults filled in."""


class Outcome(StatusSection):
    """The driver's last word, at most 4 KiB of JSON."""

    uid: str = ""
    """The uid of the job whose outcome this is; drivers of 0.1.0 did not say it."""
    attempt: int
    """The attempt whose outcome this is."""
    outcome: Literal["Succeeded", "Failed", "Interrupted"]
    """Interrupted: asked to stop by SIGTERM; a checkpoint was taken if there was anything to save."""
    cause: DriverCause | None = None
    """Why it failed."""
    message: str = ""
    """A sentence for people that says how to mend it."""
    progress: Progress = Progress()
    """How far it came."""
    checkpoint: CheckpointStatus | None = None
    """The newest durable checkpoint."""
    resumed_from_step: Count | None = None
    """The step this attempt started from."""
    steps_lost: Count | None = None
    """Steps of the attempt before that had to be done again."""
    result: Result | None = None
    """What came out, on success and after GateFailed."""
    bundle: Word | None = None
    """The digest of the `model.json` that it left, if there is a model.onnx, with `sha256:` before it."""
    warnings: Warnings = Field(default_factory=list)
    """What people should know of the data and the model."""


class ProgressFile(StatusSection):
    """What the driver says while it runs."""

    uid: str = ""
    """The uid of the job whose progress this is; an admission policy refuses a word without it."""
    attempt: int
    """The attempt whose progress this is."""
    progress: Progress = Progress()
    """How far it is."""
    checkpoint: CheckpointStatus | None = None
    """The newest durable checkpoint."""
    resumed_from_step: Count | None = None
    """The step this attempt started from; absent until it is known."""
    steps_lost: Count | None = None
    """Steps of the attempt before that have to be done again."""
    tuning: TuningStatus | None = None
    """The trials of `spec.tuning`; absent until it is known which there were."""
    warnings: Warnings = Field(default_factory=list)
    """What people should know of the data and the model, as far as it is known."""
    heartbeat_time: Time | None = None
    """When the driver last found itself alive and not hanging; renewed at least every 60 s until it ends."""
    outcome: Outcome | None = None
    """The driver's last word, once more: it outlives a pod that is deleted before the operator has read it there."""


def object_name(job: str, uid: str, attempt: int) -> str:
    """The name of an attempt's Secret, ConfigMap, Service, NetworkPolicy and PodGroup; its pods' names begin with it.

    The beginning of the uid keeps jobs apart that have the same name, one after the other.
    """
    return f"{job}-{uid[:UID_LENGTH]}-{attempt}"


def head_name(job: str, uid: str, attempt: int) -> str:
    """The name of an attempt's head pod."""
    return f"{object_name(job, uid, attempt)}-{ROLE_HEAD}"


def worker_name(job: str, uid: str, attempt: int, index: int, replacement: int) -> str:
    """The name of a worker pod; replacement counts the workers that the attempt had replaced when it was made."""
    return f"{object_name(job, uid, attempt)}-{ROLE_WORKER}-{index}-{replacement}"


def below(uri: str, path: str) -> str:
    """A path in the folder at a URI; what follows a `?` stays the URI's."""
    folder, mark, options = uri.partition("?")
    return f"{folder.rstrip('/')}/{path}{mark}{options}"


def storage_root(storage: Storage) -> str:
    """The folder under which the runs of all jobs with this storage lie."""
    if storage.uri is not None:
        return storage.uri
    claim = storage.persistent_volume_claim
    path = claim.path.strip("/") if claim is not None else ""
    return f"{STORAGE_VOLUME_DIR}/{path}" if path else STORAGE_VOLUME_DIR


def run_folder(root: str, namespace: str, name: str, uid: str) -> str:
    """The folder of one job under a storage root; all attempts share it."""
    return below(root, f"{namespace}/{name}-{uid[:8]}")


def logs_dir(attempt: int) -> str:
    """The folder of an attempt's logs, below the job's."""
    return f"{LOGS_DIR}/attempt-{attempt}"


def logs_uri(storage: Storage, namespace: str, name: str, uid: str, attempt: int) -> str:
    """The folder of an attempt's logs."""
    return below(run_folder(storage_root(storage), namespace, name, uid), logs_dir(attempt))
