"""The tasks by their names."""

from __future__ import annotations

from collections.abc import Sequence

from headway_api.catalogue import of_another_package
from headway_api.metrics import is_scalar
from headway_trainer.data.info import DataInfo
from headway_trainer.tasks.base import Task
from headway_trainer.tasks.classification import Classification
from headway_trainer.tasks.forecasting import Forecasting
from headway_trainer.tasks.reconstruction import Reconstruction
from headway_trainer.tasks.regression import Regression

TASKS: dict[str, type[Task]] = {task.name: task for task in (Classification, Regression, Forecasting, Reconstruction)}


def task_of(info: DataInfo) -> Task:
    """The task of the prepared data."""
    return TASKS[info.task](info)


def scalar_names(task: Task) -> list[str]:
    """The loss, and the task's metrics that are one number."""
    return ["loss", *(name for name in task.metric_names if is_scalar(name))]


def epoch_metrics(task: Task, wanted: Sequence[str]) -> list[str]:
    """The metrics of each epoch: those that cost next to nothing, and those that are wanted, as `part/name`; of other
    packages the latter alone."""
    asked = list(dict.fromkeys(name.rpartition("/")[2] for name in wanted))
    own = [name for name in scalar_names(task)[1:] if name not in task.costly or name in asked]
    return [*own, *(name for name in asked if of_another_package(name))]
