"""What runs in the Ray pods of a job, and under `headway run`; and what a user's own training function may call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headway_trainer.api import data_batches, data_info, data_shard, save_model

__all__ = ["data_batches", "data_info", "data_shard", "save_model"]


def __getattr__(name: str) -> Any:
    """The functions of `headway_trainer.api`, imported when they are asked for: parts of this package start quickly."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from headway_trainer import api

    return getattr(api, name)
