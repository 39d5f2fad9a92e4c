"""The metrics by name: which tasks have them, which values are better, and when they are there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from headway_api.catalogue import Catalogue

Task = Literal["classification", "regression", "forecasting", "reconstruction"]
TASKS: tuple[Task, ...] = get_args(Task)
Better = Literal["min", "max"]
BETTER: tuple[Better, ...] = get_args(Better)

CLASSIFICATION: frozenset[Task] = frozenset({"classification"})
REGRESSION: frozenset[Task] = frozenset({"regression"})
NUMBERS: frozenset[Task] = frozenset({"regression", "forecasting"})
"""The tasks whose targets are numbers."""
FORECASTING: frozenset[Task] = frozenset({"forecasting"})
RECONSTRUCTION: frozenset[Task] = frozenset({"reconstruction"})
_MEASURED = NUMBERS | RECONSTRUCTION


@dataclass(frozen=True)
class Metric:
    """What is known of a metric without computing it."""

    tasks: frozenset[Task]
    """The tasks that have it."""
    better: Better | None
    """Whether smaller or larger values are better; None where they are not ordered."""
    least: float | None = 0.0
    """The least value that it can have, if there is one."""
    most: float | None = None
    """The greatest value that it can have, if there is one."""
    about: str = ""
    """What it is, for the reference."""
    each_epoch: bool = True
    """Whether it is computed after each epoch; if not, only where it chooses checkpoints or stops training."""

    @property
    def scalar(self) -> bool:
        """Whether it is one number: only such a metric can choose a checkpoint, stop training or be a gate."""
        return self.better is not None


def _share(about: str, *, each_epoch: bool = True) -> Metric:
    """A metric of classification between 0 and 1, of which more is better."""
    return Metric(CLASSIFICATION, "max", most=1.0, about=about, each_epoch=each_epoch)


METRICS: Catalogue[Metric] = Catalogue(
    {
        "loss": Metric(CLASSIFICATION | _MEASURED, "min", about="what training lowers"),
        "accuracy": _share("the share of rows whose class is right"),
        "balancedAccuracy": _share("the mean of the classes' recalls"),
        "precision": _share("of the rows that are said to be of a class, the share that is; mean over the classes"),
        "recall": _share("of the rows of a class, the share that is found; mean over the classes"),
        "f1": _share("the harmonic mean of precision and recall; mean over the classes"),
        "specificity": _share("of the rows that are not of a class, the share not taken for it; mean over the classes"),
        "rocAuc": _share(
            "the area under the ROC curve; one class against the rest, mean over the classes", each_epoch=False
        ),
        "averagePrecision": _share(
            "the area under the precision-recall curve; mean over the classes", each_epoch=False
        ),
        "topKAccuracy": _share("the share of rows whose class is among the 5 likeliest"),
        "confusionMatrix": Metric(
            CLASSIFICATION, None, about="how many rows of each class are taken for each class", each_epoch=False
        ),
        "mse": Metric(_MEASURED, "min", about="the mean squared error"),
        "rmse": Metric(_MEASURED, "min", about="the root of the mean squared error"),
        "mae": Metric(_MEASURED, "min", about="the mean absolute error"),
        "r2": Metric(_MEASURED, "max", least=None, most=1.0, about="1 - the squared error in units of the variance"),
        "mase": Metric(
            FORECASTING,
            "min",
            about="the mean absolute error in units of the one that repeating the last season has on the training part",
        ),
    }
)
"""The metrics of Headway."""


def names(task: Task | None = None, *, scalar: bool = False, among: Mapping[str, Metric] = METRICS) -> list[str]:
    """The metrics of a task, or of all."""
    return [
        name
        for name, metric in among.items()
        if (task is None or task in metric.tasks) and (metric.scalar or not scalar)
    ]


def is_scalar(name: str) -> bool:
    """Whether a metric is one number, as all metrics of other packages are."""
    return name not in METRICS or METRICS[name].scalar


def better(name: str) -> Better | None:
    """Which values of a metric, as `part/name` or a plain name, are better; None where that is not known."""
    metric = METRICS.get(name.rpartition("/")[2])
    return metric.better if metric is not None else None
