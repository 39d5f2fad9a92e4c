"""What a stage is, and what the stages before have given it.

Each stage sees to it that a next attempt does not do again what it has done: it keeps its result (`kept_results`), or
the state of its work, like prepared rows and checkpoints.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeVar, cast

from headway_api.base import StatusSection
from headway_api.job import TrainingJobSpec
from headway_trainer.run import Run

Spec = TypeVar("Spec")
Result = TypeVar("Result", bound=StatusSection)
Result_co = TypeVar("Result_co", bound=StatusSection, covariant=True)


class Stage(Protocol[Spec, Result_co]):
    """A part of a run."""

    name: str

    def spec(self, job: TrainingJobSpec) -> Spec | None:
        """What it is asked to do; none where the job does not want it."""

    def run(self, spec: Spec, run: Run, before: Results) -> Result_co:
        """Do it. Raises UserError, StorageError, Lost, Hang and Interrupted."""


class Results:
    """What the stages before have given."""

    def __init__(self) -> None:
        self._of: dict[type[Stage[Any, Any]], StatusSection] = {}

    def add(self, stage: Stage[Any, Any], result: StatusSection) -> None:
        """Keep what a stage has given."""
        self._of[type(stage)] = result

    def get(self, stage: type[Stage[Any, Result]]) -> Result | None:
        """What a stage has given; none where the job does not want it."""
        return cast("Result | None", self._of.get(stage))
