"""The operator's settings: each can be a flag of `headway-operator` or a variable HEADWAY_* of its environment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from headway_api.base import SecretRef
from headway_api.data import ClaimPath
from headway_api.storage import Storage
from headway_operator.serving.plan import model as serving
from headway_operator.training.plan.spec import Defaults

PREFIX = "HEADWAY_"
Port = Annotated[int, Field(ge=0, le=65535)]


def _split(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


class Settings(BaseModel):
    """What the operator is told when it starts."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    namespaces: Annotated[tuple[str, ...], BeforeValidator(_split)] = ()
    """The namespaces to serve; all of the cluster if none is named."""
    trainer_image: str | None = None
    """The trainer image of jobs that name none."""
    server_image: str | None = None
    """The server image of deployments that name none."""
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    """The image pull policy of the jobs' and deployments' pods."""
    default_storage_uri: str | None = None
    """The object store of jobs that name no storage: s3://, gs:// or abfs://."""
    default_storage_secret: str | None = None
    """A Secret, in each job's namespace, with the credentials for it."""
    default_storage_claim: str | None = None
    """The PersistentVolumeClaim, in each job's namespace, of jobs that name no storage."""
    default_storage_path: str = ""
    """The folder in that claim."""
    gateway_api: bool = False
    """Whether deployments may have routes of the Gateway API, for which the operator's account needs the rights."""
    kserve: bool = False
    """Whether deployments may have KServe make their pods, for which the operator's account needs the rights."""
    notifications: Path | None = None
    """The folder of webhooks, as a Secret is mounted: a file for each namespace, with a URL; none is told if absent."""
    metrics_port: Port = 8080
    """Where /metrics is served."""
    health_port: Port = 8081
    """Where /healthz and /readyz are served."""
    leader_election: bool = True
    """Whether to work only while holding a Lease; for several replicas."""
    lease_namespace: str | None = None
    """The Lease's namespace; the pod's own if absent."""
    lease_name: str = "headway-operator"
    """The Lease's name."""
    log_format: Literal["json", "plain"] = "json"
    """How log lines look."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """What is logged."""
    workers: Annotated[int, Field(ge=1, le=256)] = 16
    """How many objects are reconciled at a time."""
    resync_seconds: Annotated[float, Field(ge=1)] = 300.0
    """How often what is known is compared with what exists."""
    unhealthy_seconds: Annotated[float, Field(ge=1)] = 180.0
    """How long one reconcile may take, or a watch owe what happened, until /healthz fails."""

    job_metrics: Literal["running", "off"] = "running"
    """Whether /metrics tells of each job that runs or waits, and of each deployment, in series of their own."""
    job_metrics_limit: Annotated[int, Field(ge=1, le=100_000)] = 1000
    """The most jobs, and the most deployments, that have series of their own."""

    @model_validator(mode="after")
    def _one_storage(self) -> Settings:
        if self.default_storage_uri and self.default_storage_claim:
            raise ValueError("set default_storage_uri or default_storage_claim, not both")
        if self.default_storage_secret and not self.default_storage_uri:
            raise ValueError("default_storage_secret needs default_storage_uri: only an object store asks for it")
        return self

    def defaults(self) -> Defaults:
        """What jobs get that do not say."""
        storage: Storage | None = None
        if self.default_storage_uri:
            secret = SecretRef(name=self.default_storage_secret) if self.default_storage_secret else None
            storage = Storage(uri=self.default_storage_uri, secretRef=secret)
        elif self.default_storage_claim:
            claim = ClaimPath(name=self.default_storage_claim, path=self.default_storage_path)
            storage = Storage(persistentVolumeClaim=claim)
        return Defaults(image=self.trainer_image, storage=storage)

    def serving_defaults(self) -> serving.Defaults:
        """What deployments get that do not say."""
        return serving.Defaults(image=self.server_image)


def from_environment(environment: Mapping[str, str], flags: Mapping[str, Any]) -> Settings:
    """The settings: flags first, then the environment, then defaults. Raises pydantic's ValidationError."""
    values: dict[str, Any] = {}
    for name in Settings.model_fields:
        text = environment.get(PREFIX + name.upper())
        if text:
            values[name] = text
    values |= {name: value for name, value in flags.items() if value is not None and value != ()}
    return Settings.model_validate(values)
