"""What runs in the Ray pods of a job, and under `headway run`; and what a user's own training function may call."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headway_trainer.api import TrialStopped, data_batches, data_info, data_shard, save_model
    from headway_trainer.declared import NamedMetric, NamedModel
    from headway_trainer.programs import Program
    from headway_trainer.tasks import task_of

_HOMES = {
    "NamedMetric": "headway_trainer.declared",
    "NamedModel": "headway_trainer.declared",
    "Program": "headway_trainer.programs",
    "TrialStopped": "headway_trainer.api",
    "data_batches": "headway_trainer.api",
    "data_info": "headway_trainer.api",
    "data_shard": "headway_trainer.api",
    "save_model": "headway_trainer.api",
    "task_of": "headway_trainer.tasks",
}
__all__ = [
    "NamedMetric",
    "NamedModel",
    "Program",
    "TrialStopped",
    "data_batches",
    "data_info",
    "data_shard",
    "save_model",
    "task_of",
]


def __getattr__(name: str) -> Any:
    """What users' own code takes, imported when it is asked for: parts of this package start quickly."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
