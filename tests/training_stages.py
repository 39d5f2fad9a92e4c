"""A training stage without Ray, for what watches one."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any, cast

from headway_trainer.ray.train_stage import TrainingStage


def stage_of(stop: threading.Event, progress_seconds: float, warned: list[str]) -> TrainingStage:
    """What a watch of the stage asks for. warned: takes its warnings."""
    spec = SimpleNamespace(progress_deadline_seconds=progress_seconds)
    stage: Any = SimpleNamespace(
        run=SimpleNamespace(spec=spec), stop=stop, alive=lambda: None, warn=warned.append, note=lambda _: None
    )
    return cast("TrainingStage", stage)
