"""Which of the models that jobs offer is the newest, and which model is wanted: that one, unless the spec names one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from headway_api.deployment import ModelDeploymentSpec
from headway_api.deployment_status import Published, Version
from headway_api.served import ModelSource
from headway_operator.engine.times import to_seconds


@dataclass(frozen=True, slots=True)
class Offer:
    """What a job that has succeeded says. It stays as small as it can: there may be thousands."""

    job: str
    uid: str
    refers_to: str
    """The name of the deployment that it is for."""
    time: str
    """When the job ended."""
    digest: str
    source: str
    """The model, as JSON of a ModelSource."""

    @property
    def order(self) -> tuple[float, str, str]:
        """Of two offers the greater one counts; those of one second are told apart by what cannot change."""
        return to_seconds(self.time) or 0.0, self.uid, self.digest


def newest(known: Published | None, offers: Iterable[Offer]) -> Published | None:
    """The newest of all offers that there ever were: what is remembered outlives the job that offered it."""
    best = max(offers, key=lambda offer: offer.order, default=None)
    if best is None or (known is not None and best.order <= _order(known)):
        return known
    source = ModelSource.model_validate_json(best.source)
    return Published(job=best.job, uid=best.uid, time=best.time, source=source)


def wanted(spec: ModelDeploymentSpec, published: Published | None) -> ModelSource | None:
    """The model that is wanted; None as long as a job has yet to publish one."""
    return spec.versions.source or (published.source if published is not None else None)


def job_of(source: ModelSource, published: Published | None, versions: Iterable[Version]) -> str | None:
    """The job that has made a model, as far as that is remembered."""
    if published is not None and published.source == source:
        return published.job
    return next((version.job for version in versions if version.source == source and version.job), None)


def waiting_for(deployment: str) -> str:
    """What a deployment without any model waits for, in a sentence."""
    return (
        f"no model is published yet: a TrainingJob of this namespace with spec.publish.deployment {deployment} has to"
        " succeed first, or spec.versions.source has to name a model"
    )


def _order(known: Published) -> tuple[float, str, str]:
    return to_seconds(known.time) or 0.0, known.uid, known.source.digest
