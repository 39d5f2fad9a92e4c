"""What a version of a ModelDeployment is made of, which never changes: the model, and the pods that answer with it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from headway_api import quantities
from headway_api.base import Quantity, Rule, SecretRef, Section, all_different, exactly_one, formed, needs
from headway_api.data import ClaimPath
from headway_api.job import Image
from headway_api.pods import above_zero
from headway_api.signatures import MOST_KEYS, PublicKey

MOST_MASKED = 32
ColumnName = Annotated[str, Field(min_length=1, max_length=64)]
"""Short, and few of them: the status has them once for each version."""
GRPC_PORT = 9000
"""Of the pods and the Services of a version that answers by gRPC."""
Digest = Annotated[
    str,
    formed(
        r"^sha256:[0-9a-f]{64}$",
        "must be sha256: and 64 digits of 0-9 and a-f, as sha256sum prints them",
        max_length=71,
    ),
]


BundleUri = Annotated[
    str,
    formed(
        r"^((s3|gs|gcs)://[A-Za-z0-9._-]+|abfss?://[A-Za-z0-9.-]+(@[A-Za-z0-9.-]+)?|https?://[A-Za-z0-9.-]+(:[0-9]+)?)"
        r"([/?][^\x00-\x1f\x7f]*)?$",
        "must be the folder's URI, as s3://BUCKET/PATH, gs://, abfs:// or https://, without credentials",
        max_length=2048,
    ),
]


class ModelSource(Section):
    """Where a finished model lies, and which it is: all that is in the folder of a run that has succeeded."""

    rules = (
        exactly_one("uri", "persistentVolumeClaim", of="a model's place"),
        needs("secretRef", "uri", "only an object store asks for credentials"),
        Rule(
            cel="!has(self.secretRef) || !has(self.uri) || !self.uri.startsWith('http')",
            message="secretRef is for object stores, and nothing of it would be sent to a web server: take it out",
            holds=lambda source: source.secret_ref is None or not (source.uri or "").startswith("http"),
            field="secretRef",
        ),
    )

    persistent_volume_claim: ClaimPath | None = None
    """The folder with `model.json` and `model.onnx`; the pods mount the volume read-only.

    The volume has to allow as many nodes as the replicas run on.
    """
    uri: BundleUri | None = None
    """The same folder in an object store: each pod fetches it before its server starts.

    It has the form of a job's `spec.storage.uri`, or is the folder's place on a web server.
    """
    secret_ref: SecretRef | None = None
    """Credentials for `uri`, as those of a job's storage; without it what anybody may read is read."""
    digest: Digest
    """The SHA-256 of `model.json`, which has those of all other files. A server does not become ready with another one.

    A job's `status.result.bundle` tells it, and so do `result.json`, as the artifact `model-info`, and `sha256sum`.
    """


class ServerResources(Section):
    """What one server's pod asks for, and may not go beyond."""

    rules = (above_zero("cpu"), above_zero("memory"))

    cpu: Quantity = "1"
    """Cores; the model computes with as many threads, unless `threads` says otherwise."""
    memory: Quantity = "512Mi"
    """Memory in bytes; a server that takes more is ended."""


class Batching(Section):
    """What is run together. Requests that wait for the model while it runs become its next run."""

    max_size: Annotated[int, Field(ge=1, le=65_536)] = 32
    """Rows that are run together, at most; a request with more rows runs by itself."""
    max_delay_milliseconds: Annotated[int, Field(ge=0, le=10_000)] = 0
    """How long a run waits for more rows; 0: it takes what is there."""


class ServerLimits(Section):
    """What one pod takes of its clients. What is beyond is refused with a sentence: 413, 503 or 504."""

    rules = (
        Rule(
            cel="quantity(string(self.maxRequestBytes)).compareTo(quantity('1Ki')) >= 0 && "
            "quantity(string(self.maxRequestBytes)).compareTo(quantity('1Gi')) <= 0",
            message="maxRequestBytes must be from 1Ki to 1Gi",
            holds=lambda limits: 2**10 <= quantities.parse(limits.max_request_bytes) <= 2**30,
            field="maxRequestBytes",
        ),
    )

    max_request_bytes: Quantity = "16Mi"
    """Bytes of a request's body, also when it is unpacked; four times as much is held of all bodies together."""
    max_in_flight: Annotated[int, Field(ge=1, le=65_536)] = 64
    """Requests that wait or run."""
    queue_milliseconds: Annotated[int, Field(ge=1, le=600_000)] = 500
    """How long a request may wait for its run."""
    timeout_seconds: Annotated[int, Field(ge=1, le=3600)] = 10
    """After which a request that waits is not run any more, unless it gives less time itself."""


class Warmup(Section):
    """What a server does before it is ready."""

    requests: Annotated[int, Field(ge=1, le=10_000)] = 20
    """Runs of the model, one row each: the first ones are slower than those that clients are to see."""


class Cache(Section):
    """Answers that are given again to requests that are exactly the same: for models that are slow, and asked the same.

    Requests of up to 16 KiB; all answers take 32 MiB of a pod's memory at most.
    """

    max_entries: Annotated[int, Field(ge=1, le=1_000_000)] = 1000
    """Answers of a pod; those that were not asked for the longest go first."""
    ttl_seconds: Annotated[int, Field(ge=1, le=604_800)] = 300
    """For which an answer is given again. It never becomes wrong, as a version's model never changes."""


class Records(Section):
    """What is kept of requests, in files of JSON lines (gzip), or on standard output. No request waits for it.

    At most 1000 records wait to be written; more are dropped, and counted.
    """

    rules = (
        Rule(
            cel="quantity(string(self.maxBytes)).compareTo(quantity('32Mi')) >= 0 && "
            "quantity(string(self.maxBytes)).compareTo(quantity('1Pi')) <= 0",
            message="maxBytes must be from 32Mi to 1Pi",
            holds=lambda records: 2**25 <= quantities.parse(records.max_bytes) <= 2**50,
            field="maxBytes",
        ),
    )

    sample: Annotated[float, Field(gt=0, le=1)] = 0.1
    """The share of requests of which there is a record; whether a request is one of them follows from its id."""
    payloads: Literal["none", "inputs", "all"] = "none"
    """Beside the prediction: `none`, the columns (`inputs`), or these and all outputs (`all`)."""
    mask: Annotated[
        list[ColumnName],
        AfterValidator(all_different),
        Field(max_length=MOST_MASKED, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ] = Field(default_factory=list)
    """Columns that are never kept. A server whose model has not got one of them does not start."""
    persistent_volume_claim: ClaimPath | None = None
    """Where: below this path, in the folder NAME-records. The pods write there as user 1000. If absent, records are
    lines of the pods' logs."""
    max_bytes: Quantity = "1Gi"
    """Bytes of all files in that folder, about: the oldest are deleted."""


class Signature(Section):
    """Which models are answered with at all: those that one of these keys has signed. The pods of another one do not
    become ready."""

    public_keys: Annotated[
        list[PublicKey],
        AfterValidator(all_different),
        Field(min_length=1, max_length=MOST_KEYS, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ]
    """Ed25519 keys in PEM. While one is replaced by another, both are listed."""


class Server(Section):
    """The pods that answer. A change makes a new version, as a change of the model does."""

    rules = (
        Rule(
            cel="self.batching.maxDelayMilliseconds < self.limits.queueMilliseconds",
            message="batching.maxDelayMilliseconds must be below limits.queueMilliseconds: a request that comes alone"
            " would wait for longer than it may, and be refused",
            holds=lambda server: server.batching.max_delay_milliseconds < server.limits.queue_milliseconds,
            field="batching",
        ),
    )

    backend: Literal["kserve"] | None = None
    """Who makes the pods, if not the operator by Deployments. kserve: KServe, by an InferenceService for each version
    (`serving.kserve.io/v1beta1`, RawDeployment), whose pods are the same. The cluster has to have KServe 0.15 or newer,
    and the chart's `kserve.enabled`."""
    image: Image | None = None
    """The server image; the operator's default, as it is when the version begins, if absent."""
    resources: ServerResources = ServerResources()
    """One pod's resources."""
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Threads that compute one run; if absent, as many as `resources.cpu`, rounded up."""
    batching: Batching = Batching()
    """What is run together."""
    limits: ServerLimits = ServerLimits()
    """Bounds."""
    warmup: Warmup = Warmup()
    """Before the first request."""
    cache: Cache | None = None
    """Answers that are kept; none if absent."""
    grpc: bool = False
    """Whether the pods and the Services also answer the Open Inference Protocol by gRPC, on port 9000."""
    records: Records | None = None
    """What is kept of requests, and whether labels are taken for them later; nothing if absent."""
    signature: Signature | None = None
    """Whose signature a model needs; none if absent. A model's digest, by which it is named, is checked in any case."""
    drain_seconds: Annotated[int, Field(ge=0, le=600)] = 10
    """Seconds that a pod which has to go still answers, until all who send it requests know that it goes."""
