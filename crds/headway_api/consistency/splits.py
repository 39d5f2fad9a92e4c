"""`data.split` against the columns and parts that it divides by."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from headway_api.base import BrokenRule
from headway_api.consistency.facts import DIVIDING, by_fold, facts, forecasts, own_loop, own_tuner, roles, task_of
from headway_api.data import Data
from headway_api.wording import shown

if TYPE_CHECKING:
    from headway_api.job import TrainingJobSpec

_SPLIT = ("data", "split")


def _dividing(data: Data) -> dict[str, str]:
    """The columns that have a role that divides rows, by the role: of a forecast, time alone."""
    dividing = ("time",) if forecasts(data) else DIVIDING
    return {role: names[0] for role in dividing if (names := roles(data, role))}


def _all_given(data: Data) -> bool:
    parts = data.source.parts
    return parts is not None and parts.validation is not None and parts.test is not None


def method_without_a_column(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """A method that needs a column which nothing names."""
    data = spec.data
    if data is None or forecasts(data) or data.split.method not in DIVIDING or data.split.method in _dividing(data):
        return
    method, known = data.split.method, facts(data)
    if known.has_columns:
        mend = f"give the column its role under data.columns (NAME: {{role: {method}}}), or write another method"
    else:
        mend = f"{known.name} has none, so write random"
    yield BrokenRule(f"{method} needs a column with the role {method}: {mend}", (*_SPLIT, "method"))


def several_dividing_columns(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """Columns of several roles that divide, where nothing says which one counts."""
    data = spec.data
    if data is None or forecasts(data):
        return
    found = _dividing(data)
    method = data.split.method
    if method == "auto" and len(found) > 1:
        told = " and ".join(f"{shown(name)} ({role})" for role, name in found.items())
        yield BrokenRule(
            f"auto cannot choose between the columns {told}: write {' or '.join(found)}, and take the other role out",
            (*_SPLIT, "method"),
        )
    elif method != "auto":
        for role, name in found.items():
            if role != method:
                yield BrokenRule(
                    f"{role} has no effect, as data.split.method is {method}: write role: feature or ignore, or set"
                    f" method to {role}",
                    ("data", "columns", name, "role"),
                )


def nothing_left_to_divide(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """A way to divide rows, where all parts are given."""
    data = spec.data
    if data is None or forecasts(data) or not _all_given(data):
        return
    given = "data.source.parts gives all three parts, so nothing is left to divide"
    if data.split.method != "auto":
        yield BrokenRule(f"{data.split.method} has no effect, as {given}: take method out", (*_SPLIT, "method"))
    if data.split.seed is not None:
        yield BrokenRule(f"seed has no effect, as {given}: take it out", (*_SPLIT, "seed"))
    for role, name in _dividing(data).items():
        yield BrokenRule(f"{role} has no effect, as {given}: take role out", ("data", "columns", name, "role"))


def parts_beside_a_fold(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """A column that divides the rows into parts, where the source gives some."""
    data = spec.data
    if data is None or forecasts(data) or data.source.parts is None or _all_given(data):
        return
    for name in roles(data, "fold"):
        yield BrokenRule(
            "fold divides the rows into parts, and so does data.source.parts: take role out, or give one uri with all"
            " rows",
            ("data", "columns", name, "role"),
        )


def stratify_without_effect(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """Classes whose shares are not to be kept, where no split keeps any."""
    data = spec.data
    if data is None or data.split.stratify == "auto":
        return
    task, found = task_of(spec), _dividing(data)
    method: str = data.split.method if data.split.method != "auto" else next(iter(found), "random")
    if task not in (None, "classification"):
        why = f"{'a forecast' if task == 'forecasting' else f'a {task}'} has no classes"
    elif _all_given(data):
        why = "data.source.parts gives all three parts, so nothing is left to divide"
    elif method != "random":
        why = f"a split by {method} goes by its column alone"
    else:
        return
    yield BrokenRule(f"{data.split.stratify} has no effect, as {why}: take stratify out", (*_SPLIT, "stratify"))


def seed_without_chance(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """A seed for a split that draws nothing."""
    data = spec.data
    if data is None or data.split.seed is None or _all_given(data):
        return
    method: str = "time" if forecasts(data) else data.split.method
    if method == "auto":
        found = _dividing(data)
        method = next(iter(found)) if len(found) == 1 else "random"
    if method in ("time", "fold"):
        yield BrokenRule(f"seed has no effect, as a split by {method} draws nothing: take it out", (*_SPLIT, "seed"))


def folds_that_cannot_be(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """Folds of rows that are divided already, or that another function trains on."""
    data = spec.data
    if data is None or data.split.folds is None:
        return
    here, parts = (*_SPLIT, "folds"), data.source.parts
    if own_loop(spec) and not own_tuner(spec):  # beside which no data may be
        yield BrokenRule(
            "folds are trained by the built-in loop, and training.entrypoint takes its place: take one of the two out",
            here,
        )
    if forecasts(data):
        yield BrokenRule(
            "folds divide rows, and a forecast learns from windows of them: take folds out, or write another data.task",
            here,
        )
    if parts is not None and parts.validation is not None:
        yield BrokenRule(
            "folds divide training and validation rows again, but data.source.parts.validation gives the latter: add"
            " its files to data.source.parts.train, or take folds out",
            here,
        )
    if by_fold(data):
        column = next(iter(roles(data, "fold")), "")
        yield BrokenRule(
            f"the column {shown(column)} with the role fold divides the rows already: take folds out, or give the"
            " column the role group, so that the rows of each of its values stay in one fold",
            here,
        )


CHECKS = (
    method_without_a_column,
    several_dividing_columns,
    nothing_left_to_divide,
    parts_beside_a_fold,
    stratify_without_effect,
    seed_without_chance,
    folds_that_cannot_be,
)
