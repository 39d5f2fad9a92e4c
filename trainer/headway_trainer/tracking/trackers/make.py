"""Makes the tracker that a job's spec names; what it needs is imported then."""

from __future__ import annotations

from headway_api.tracking import Tracking
from headway_trainer.tracking.trackers.base import Tracker

TITLES = {"mlflow": "MLflow", "wandb": "Weights & Biases", "comet": "Comet"}


def make(name: str, settings: Tracking, job: str) -> Tracker:
    """The tracker of that field. job: the job's name. Raises BrokenError and DownError."""
    if name == "mlflow" and settings.mlflow is not None:
        from headway_trainer.tracking.trackers.mlflow_server import MLflowServer

        return MLflowServer(settings.mlflow, job)
    if name == "wandb" and settings.wandb is not None:
        from headway_trainer.tracking.trackers.wandb_service import WandBService

        return WandBService(settings.wandb, job)
    if name == "comet" and settings.comet is not None:
        from headway_trainer.tracking.trackers.comet_service import CometService

        return CometService(settings.comet, job)
    raise ValueError(f"spec.tracking has no {name}")


def target_of(name: str, settings: Tracking, job: str) -> str:
    """Which server a tracker is, and where on it a run is put: by what stands in the spec."""
    section = getattr(settings, name)
    told = section.model_dump_json(by_alias=True, exclude_none=True)
    return f"{told} {job}"


def title_of(name: str, settings: Tracking) -> str:
    """What messages call a tracker."""
    uri = getattr(getattr(settings, name), "uri", None)
    return f"{TITLES[name]} at {uri}" if uri else TITLES[name]
