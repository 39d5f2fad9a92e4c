"""What each model that an estimator fits has in common."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from headway_trainer.data.info import DataInfo
from headway_trainer.errors import UserError
from headway_trainer.estimators.form import Floats

Features = npt.NDArray[np.float32]
"""(rows, features), C order."""


class Member(Protocol):
    """One model to fit. It is called as `Member(info, options, seed=, threads=)`."""

    planned: int
    """Iterations that the fit will take; 0 where it has none that can be counted."""
    notes: list[str]
    """What people should know of the fit, once it is done."""

    @property
    def done(self) -> int:
        """Iterations that are done. Another thread may ask while the fit runs."""

    def memory(self, rows: int, features: int) -> int:
        """About how many bytes the fit takes beside the features as they are given, for rows of so many features."""

    def fit(self, x: Features, y: npt.NDArray[Any], weights: npt.NDArray[Any] | None) -> Any:
        """Fit to the rows. y: labels (rows,), or standardised targets (rows,) or (rows, targets); weights (rows,).

        Returns what was fitted as a Form; or, of another package, as an onnx.ModelProto from `features`, float
        (N, *input_shape), to `outputs`, float (N, outputs): standardised targets, or logits of the classes.

        Called once. Raises UserError for data that it cannot be fitted to.
        """

    def outputs(self, x: Features) -> Floats:
        """What the fitted model itself says: probabilities (rows, classes), or standardised targets
        (rows, targets)."""


def refuse_one_class(info: DataInfo, y: npt.NDArray[Any]) -> None:
    """Raise UserError where all training rows have the same class."""
    if info.classes is not None and len(y) and (y == y[0]).all():
        raise UserError(
            f"all rows of the training part are of the class {info.classes[int(y[0])]!r}, so there is nothing to tell"
            " apart: give more data, or set data.split.method to one that spreads the classes"
        )


def of_all_classes(probabilities: Floats, labels: npt.NDArray[Any], classes: int) -> Floats:
    """Probabilities (rows, labels) as those of all classes: 0 for a class without a training row."""
    every = np.zeros((len(probabilities), classes))
    every[:, labels] = probabilities
    return every
