"""What is learnt from a target, where the job does not say it: classes or a quantity, and what that rests on. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from headway_api.metrics import Task
from headway_trainer.errors import UserError

MAX_INFERRED_CLASSES = 20
"""Numbers with more different values are only taken for classes where they look like labels: 0 to K-1, all of them
about equally often."""
_ROWS_A_CLASS = 5
"""A number that is a class stands in at least so many rows, in the mean."""
_BALANCE = 0.2
"""The rarest of many labels has at least this share of the mean number of rows."""
_UNSEEN = dict.fromkeys((0xAD, 0x200B, 0x200C, 0x200D, 0x200E, 0x200F, 0x2060, 0xFEFF))
"""Signs that are not to be seen: a soft hyphen, joiners, marks of direction and of byte order."""
_BOTH = "set data.task to classification or to regression"


@dataclass(frozen=True)
class Told:
    """A task, and what it was told from."""

    task: Task
    why: str
    warning: str | None = None
    """A sentence for people, where it could well be otherwise."""
    one_hot: bool = False
    """Whether the values are (rows, classes) of 0 and 1, a single 1 in each row."""


def tell(values: npt.NDArray[Any], name: str, *, named: bool = False, images: bool = False) -> Told:
    """The task of a target, values (rows,) or (rows, outputs), without empty values.

    named: whether the source names the labels; images: whether a row is an image, which is more often of a class than
    of a quantity. Raises UserError, which says what to write, where it is uncertain.
    """
    if named:
        return Told("classification", "the source names its classes")
    if values.dtype.kind == "b" and values.ndim == 1:
        return Told("classification", "true and false")
    if values.dtype.kind not in "iufb":
        return Told("classification", "text")
    if values.ndim > 1:
        return _several(values.astype(np.float64), name)
    numbers = values.astype(np.float64)
    if not (numbers == np.floor(numbers)).all():
        return _decimal(numbers, name)
    return _whole(numbers, name, images=images)


def is_one_hot(values: npt.NDArray[Any]) -> bool:
    """Whether values, (rows, classes), are numbers of 0 and 1, a single 1 in each row."""
    if values.dtype.kind not in "iufb":
        return False
    numbers = values.astype(np.float64)
    return bool(np.isin(numbers, (0.0, 1.0)).all() and (numbers.sum(axis=1) == 1.0).all())


def case_variants(classes: Sequence[str]) -> list[list[str]]:
    """Classes that differ in nothing but case, blanks, how an accent is written, or signs that are not to be seen."""
    import unicodedata

    alike: dict[str, list[str]] = {}
    for name in classes:
        plain = " ".join(unicodedata.normalize("NFKC", name.translate(_UNSEEN)).casefold().split())
        alike.setdefault(plain, []).append(name)
    return [names for names in alike.values() if len(names) > 1]


def _whole(numbers: npt.NDArray[np.float64], name: str, *, images: bool) -> Told:
    values, counts = np.unique(numbers, return_counts=True)
    count, rows = len(values), len(numbers)
    least, most = int(values[0]), int(values[-1])
    if {least, most} <= {0, 1}:
        return Told("classification", "the labels 0 and 1")
    if (least, most) == (-1, 1) and count == 2:  # noqa: PLR2004 - two labels
        return Told("classification", "the labels -1 and 1")
    labels = most - least + 1 == count and least in (0, 1)
    many = rows >= _ROWS_A_CLASS * count
    if count <= MAX_INFERRED_CLASSES and (labels or many or count <= rows // 2):
        return _classes(f"whole numbers with {count} different values", name)
    if labels and (many or images):
        if counts.min() >= _BALANCE * counts.mean():
            return _classes(f"the labels {least} to {most}, about equally often", name)
        raise UserError(
            f"{name} holds each whole number from {least} to {most}, but not equally often, so it may be a class or a "
            f"quantity: {_BOTH}"
        )
    told = f"whole numbers with {count} different values"
    warning = f"{name} holds {told}: taken as a quantity; set data.task to say otherwise."
    return Told("regression", told, warning if labels or many else None)


def _classes(why: str, name: str) -> Told:
    return Told("classification", why, f"{name} holds {why}: taken as classes; set data.task to say otherwise.")


def _decimal(numbers: npt.NDArray[np.float64], name: str) -> Told:
    count = len(np.unique(numbers))
    if 1 < count <= MAX_INFERRED_CLASSES and len(numbers) >= 2 * _ROWS_A_CLASS * count:
        raise UserError(
            f"{name} holds {count} different decimal numbers in {len(numbers)} rows, which may be classes or a "
            f"quantity: {_BOTH}"
        )
    return Told("regression", "decimal numbers")


def _several(values: npt.NDArray[np.float64], name: str) -> Told:
    if not np.isin(values, (0.0, 1.0)).all():
        return Told("regression", f"{values.shape[1]} numbers a row")
    if is_one_hot(values):
        why = f"one 1 among {values.shape[1]} values in each row"
        return Told(
            "classification",
            why,
            f"{name} holds {why}: taken as one-hot classes; set data.task to say otherwise.",
            True,
        )
    raise UserError(
        f"{name} holds {values.shape[1]} values of 0 and 1 a row, and not a single 1 in each: several classes a row "
        "cannot be learnt; name one of them as the target, or set data.task to regression to predict them as numbers"
    )
