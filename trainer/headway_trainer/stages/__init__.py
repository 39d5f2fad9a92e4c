"""The stages of a run, in their order. Each takes its part of the spec and leaves a typed result; one that has finished
is not done again by the next attempt."""

from __future__ import annotations

from typing import Any

from headway_trainer.stages.compare import Compare
from headway_trainer.stages.cross_validate import CrossValidate
from headway_trainer.stages.prepare import Prepare
from headway_trainer.stages.publish import Publish
from headway_trainer.stages.stage import Results, Stage
from headway_trainer.stages.train import Train
from headway_trainer.stages.tune import Tune

STAGES: tuple[Stage[Any, Any], ...] = (Compare(), Prepare(), Tune(), CrossValidate(), Train(), Publish())

__all__ = ["STAGES", "Compare", "CrossValidate", "Prepare", "Publish", "Results", "Stage", "Train", "Tune"]
