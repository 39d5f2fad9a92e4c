"""From a target as it is read to a task, labels and class names. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from headway_api.metrics import Task
from headway_trainer.data.info import LARGEST
from headway_trainer.data.task import case_variants, is_one_hot, tell
from headway_trainer.errors import UserError

_SHOWN = 5


@dataclass(frozen=True)
class Target:
    """What is predicted: labels int64 (rows,), or values float64 (rows,) or (rows, outputs), or nothing (rows, 0)."""

    task: Task
    values: npt.NDArray[Any]
    outputs: int
    classes: list[str] | None
    why: str = "given"
    """What the task was told from."""
    warnings: tuple[str, ...] = ()


def encode(
    values: npt.NDArray[Any],
    task: Task | None,
    name: str,
    class_names: Sequence[str] | None = None,
    *,
    columns: Sequence[str] = (),
    images: bool = False,
) -> Target:
    """Tell the task, if the spec does not, and encode the target.

    values, shape (rows,) or (rows, outputs), are numbers, booleans or strings, none of them empty; `tell` says which
    are classes and which a quantity. class_names are the names of labels 0, 1, ... where the source has some; columns
    those of the outputs of a row. images says that rows are images. name is how messages call the target. Raises
    UserError for what cannot be learnt, and for what may be either.
    """
    values = values[:, 0] if values.ndim > 1 and values.shape[1:] == (1,) else values
    if values.ndim > 2:  # noqa: PLR2004 - rows and outputs
        raise UserError(f"{name} has the shape {values.shape}; a target is one value a row, or one row of values a row")
    if values.dtype.kind == "f" and not (fine := np.abs(values) <= LARGEST).all():
        row = int(np.argwhere(~fine)[0][0])
        way = "; data.missingTargets: drop leaves such rows out" if np.isnan(values[row]).any() else ""
        raise UserError(
            f"{name} is {values[row]} in row {row + 1}: every target must be a number of at most {LARGEST:g}{way}"
        )
    if task is None:
        told = tell(values, name, named=class_names is not None, images=images)
        warnings = (told.warning,) if told.warning else ()
        target = _encoded(values, told.task, name, class_names, columns, one_hot=told.one_hot)
        return replace(target, why=told.why, warnings=(*warnings, *target.warnings))
    one_hot = task == "classification" and values.ndim > 1 and is_one_hot(values)
    return _encoded(values, task, name, class_names, columns, one_hot=one_hot)


def _encoded(
    values: npt.NDArray[Any],
    task: Task,
    name: str,
    class_names: Sequence[str] | None,
    columns: Sequence[str],
    *,
    one_hot: bool,
) -> Target:
    if task != "classification":
        return _numbers(values, task, name)
    if one_hot:
        given = list(class_names or columns) or [str(index) for index in range(values.shape[1])]
        return _classification(values.argmax(axis=1), name, given)
    return _classification(values, name, class_names)


def _numbers(values: npt.NDArray[Any], task: Task, name: str) -> Target:
    if values.dtype.kind not in "iufb":
        raise UserError(
            f"{name} is text, for example {str(values.flat[0])!r}, but data.task is {task}, which needs numbers: "
            "set data.task to classification, or name a target of numbers"
        )
    outputs = 1 if values.ndim == 1 else values.shape[1]
    numbers = values.astype(np.float64)
    if len(numbers) and not (numbers != numbers[0]).any():
        raise UserError(
            f"{name} has the one value {np.atleast_1d(numbers[0])[0]:g} in all {len(numbers)} rows: there is nothing "
            "to learn; name another target, or add rows with other values"
        )
    return Target(task, numbers, outputs, None)


def _classification(values: npt.NDArray[Any], name: str, class_names: Sequence[str] | None) -> Target:
    if values.ndim > 1:
        raise UserError(
            f"{name} has {values.shape[1]} values a row, but classification needs one class a row: "
            "set data.task to regression, or give one label a row"
        )
    if values.dtype.kind == "f" and (values == np.floor(values)).all():
        values = values.astype(np.int64)
    classes, labels = _numbered(values)
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
    alike = [", ".join(map(repr, sorted(group))) for group in case_variants(names)]
    warnings = [
        f"{name} has classes that differ in case, blanks or accents alone, and are taken for different ones: {group}; "
        "write them alike in the data if they mean the same."
        for group in alike[:_SHOWN]
    ]
    return Target("classification", labels.astype(np.int64), len(classes), names, warnings=tuple(warnings))


def _numbered(values: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """The different values (rows,) in their order, and the place there of each row's."""
    if values.dtype.kind != "O":
        return np.unique(values, return_inverse=True)
    classes = sorted(set(values.tolist()))  # to sort the rows would take seconds for millions of texts
    places = {value: place for place, value in enumerate(classes)}
    return np.array(classes, dtype=object), np.fromiter(map(places.__getitem__, values), np.int64, len(values))


def _names(classes: npt.NDArray[Any], given: Sequence[str] | None) -> list[str]:
    if given is not None:
        return [given[index] for index in classes.tolist()]
    if classes.dtype.kind == "b":
        return [str(bool(value)).lower() for value in classes]
    return [str(value) for value in classes.tolist()]
