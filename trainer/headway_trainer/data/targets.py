"""From a target as it is read to a task, labels and class names. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from headway_trainer.data.info import LARGEST, Task
from headway_trainer.errors import UserError

MAX_INFERRED_CLASSES = 20
"""Whole numbers with more different values than this are taken for a quantity, unless the spec says otherwise."""


@dataclass(frozen=True)
class Target:
    """What is predicted: labels int64 (rows,), or values float64 (rows,) or (rows, outputs)."""

    task: Task
    values: npt.NDArray[Any]
    outputs: int
    classes: list[str] | None
    notes: tuple[str, ...] = ()


def encode(values: npt.NDArray[Any], task: Task | None, name: str, class_names: list[str] | None = None) -> Target:
    """Tell the task, if the spec does not, and encode the target.

    values, shape (rows,) or (rows, outputs), are numbers, booleans or strings, none of them empty. Text and booleans
    are classes; whole numbers are classes up to MAX_INFERRED_CLASSES different values; all else is a quantity.
    class_names are the names of labels 0, 1, ... where the source has some. name is how messages call the target.
    """
    values = values[:, 0] if values.ndim > 1 and values.shape[1:] == (1,) else values
    if values.ndim > 2:  # noqa: PLR2004 - rows and outputs
        raise UserError(f"{name} has the shape {values.shape}; a target is one value a row, or one row of values a row")
    number = values.dtype.kind in "iuf"
    if values.dtype.kind == "f" and not (fine := np.abs(values) <= LARGEST).all():
        row = int(np.argwhere(~fine)[0][0])
        raise UserError(
            f"{name} is {values[row]} in row {row + 1}: every target must be a number of at most {LARGEST:g}"
        )
    chosen, notes = (task, ()) if task else _infer(values, name, class_names is not None)
    if chosen == "regression":
        return _regression(values, name, number)
    return _classification(values, name, class_names, notes)


def _infer(values: npt.NDArray[Any], name: str, named: bool) -> tuple[Task, tuple[str, ...]]:
    if values.dtype.kind not in "iuf" or named:
        return "classification", ()
    if values.dtype.kind == "f" or values.ndim > 1:
        return "regression", ()
    count = len(np.unique(values))
    task: Task = "classification" if count <= MAX_INFERRED_CLASSES else "regression"
    note = f"{name} holds whole numbers with {count} different values: taken as {task}; set data.task to say otherwise."
    return task, (note,)


def _regression(values: npt.NDArray[Any], name: str, number: bool) -> Target:
    if not number and values.dtype.kind != "b":
        raise UserError(
            f"{name} is text, for example {str(values.flat[0])!r}, but data.task is regression, which needs numbers: "
            "set data.task to classification, or name a target of numbers"
        )
    outputs = 1 if values.ndim == 1 else values.shape[1]
    return Target("regression", values.astype(np.float64), outputs, None)


def _classification(
    values: npt.NDArray[Any], name: str, class_names: list[str] | None, notes: tuple[str, ...]
) -> Target:
    if values.ndim > 1:
        raise UserError(
            f"{name} has {values.shape[1]} values a row, but classification needs one class a row: "
            "set data.task to regression, or give one label a row"
        )
    if values.dtype.kind == "f":
        fractional = values != np.floor(values)
        if fractional.any():
            raise UserError(
                f"{name} has fractional values, for example {values[fractional][0]}, but data.task is classification: "
                "set data.task to regression, or name a target of classes"
            )
        values = values.astype(np.int64)
    classes, labels = np.unique(values, return_inverse=True)
    names = _names(classes, class_names)
    if len(classes) < 2:  # noqa: PLR2004 - one class is nothing to tell apart
        raise UserError(
            f"{name} has the one value {names[0]!r} in all {len(values)} rows: there is nothing to learn; "
            "name another target, or add rows of another class"
        )
    if len(classes) > len(values) // 2:
        raise UserError(
            f"{name} has {len(classes)} different values in {len(values)} rows: too few rows a class to learn from; "
            "name another target, or set data.task to regression if it is a quantity"
        )
    return Target("classification", labels.astype(np.int64), len(classes), names, notes)


def _names(classes: npt.NDArray[Any], given: list[str] | None) -> list[str]:
    if given is not None:
        return [given[index] for index in classes.tolist()]
    if classes.dtype.kind == "b":
        return [str(bool(value)).lower() for value in classes]
    return [str(value) for value in classes.tolist()]
