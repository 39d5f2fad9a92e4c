"""What is to be said of the rows that train and that judge: leaks, rows that are there twice, lost classes. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headway_api.data import Data
from headway_api.wording import listed
from headway_trainer.data.content import ArrayContent, TableContent
from headway_trainer.data.content import Parts as PartOf
from headway_trainer.data.duplicates import (
    array_hashes,
    equal_columns,
    equal_columns_note,
    repeated_rows,
    row_hashes,
    rows_in_training,
)
from headway_trainer.data.info import SPLITS
from headway_trainer.data.leaks import Leaks, leaks, looked_at
from headway_trainer.data.profile import MOST_COLUMNS
from headway_trainer.data.schema import Schema
from headway_trainer.data.split import Parts
from headway_trainer.data.targets import Target


@dataclass(frozen=True)
class Findings:
    """What people should know, and what they may want to know, as sentences."""

    warnings: list[str]
    notes: list[str]


def check_parts(
    spec: Data,
    content: TableContent | ArrayContent,
    target: Target,
    parts: Parts,
    *,
    schema: Schema,
    table: pa.Table | None,
) -> Findings:
    """What is to be said of the parts: classes that are not there, rows that are there twice, leaks.

    schema and table are the columns of a table, as the types of their kinds; table is none for arrays.
    """
    warnings, notes = _classes_in_parts(spec, target, parts)
    notes += [] if content.parts is None else [_given_parts(spec, content.parts, parts)]
    leaking = Leaks()
    if isinstance(content, TableContent):
        assert table is not None  # noqa: S101 - a table's columns are resolved
        features = list(schema.names("feature"))
        hashes = row_hashes(table.select([*features, *schema.names("target")]))
        notes += equal_columns_note(equal_columns(table, features))
        if target.outputs:
            classes = target.task == "classification"
            leaking = leaks(table, features, target.values, parts.indices[0], classes=classes)
    else:
        hashes = array_hashes(content.x)
        if target.outputs:
            leaking = _array_leaks(content, target, parts)
    again = repeated_rows(hashes)
    notes += [f"{again} row{'s are copies' if again > 1 else ' is a copy'} of another one."] if again else []
    return Findings(
        [*warnings, *leaking.warnings, *rows_in_training(hashes, parts.indices, SPLITS)], [*notes, *leaking.notes]
    )


def _array_leaks(content: ArrayContent, target: Target, parts: Parts) -> Leaks:
    if content.x.ndim != 2 or content.x.shape[1] > MOST_COLUMNS:  # noqa: PLR2004 - rows and features
        return Leaks()
    names = content.feature_names or [f"x[{index}]" for index in range(content.x.shape[1])]
    some = looked_at(parts.indices[0], len(names))
    rows = pa.table([pa.array(column, from_pandas=True) for column in content.x[some].T], names=names)
    classes = target.task == "classification"
    return leaks(rows, names, target.values[some], np.arange(len(some)), classes=classes, keyed=False)


def _given_parts(spec: Data, given: PartOf, parts: Parts) -> str:
    """Which parts are the source's own, and what says so."""
    own = [name for part, name in enumerate(SPLITS) if (given == part).any()]
    rest = [name for name, index in zip(SPLITS, parts.indices, strict=True) if name not in own and len(index)]
    why = "data.source.parts says" if spec.source.parts is not None else "the names of its files or folders tell"
    shares = f"; {listed(rest)} {'is a share' if len(rest) == 1 else 'are shares'} of the training rows" if rest else ""
    return f"The rows of {listed(own)} are those of the source's own parts, as {why}{shares}."


def _classes_in_parts(spec: Data, target: Target, parts: Parts) -> tuple[list[str], list[str]]:
    """Warnings and notes about classes that some part has too few rows of."""
    warnings: list[str] = []
    notes = [parts.by] if parts.by else []
    if target.classes is None:
        return warnings, notes
    counts = np.bincount(target.values, minlength=target.outputs)
    if spec.split.stratify == "auto" and not parts.stratified and not parts.by:
        rarest = int(counts.argmin())
        notes.append(
            f"The split is not stratified: class {target.classes[rarest]!r} has {counts[rarest]} rows, "
            "too few to give each part its share."
        )
    trained = np.bincount(target.values[parts.indices[0]], minlength=target.outputs)
    lost = [repr(target.classes[index]) for index in np.flatnonzero(trained == 0)]
    if len(lost) == 1:
        warnings.append(f"Class {lost[0]} has no row in the training part, so it cannot be learnt.")
    elif lost:
        warnings.append(f"Classes without a row in the training part, which cannot be learnt: {listed(lost)}.")
    return warnings, notes


def classes_not_learnt(labels: npt.NDArray[Any], classes: Sequence[str], folds: Sequence[Parts]) -> list[str]:
    """A warning for each class that some fold validates without having trained on it."""
    lost: dict[int, list[int]] = {}
    for number, fold in enumerate(folds, 1):
        for label in np.setdiff1d(labels[fold.indices[1]], labels[fold.indices[0]]).tolist():
            lost.setdefault(label, []).append(number)
    return [
        f"Class {classes[label]!r} has no row in the training part of {listed([f'fold {one}' for one in numbers])}, "
        "which is judged on it all the same."
        for label, numbers in sorted(lost.items())
    ]
