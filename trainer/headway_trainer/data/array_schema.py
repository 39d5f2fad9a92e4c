"""The schema of a source of arrays: what each array holds, as columns of a table are told. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headway_trainer.data.content import ArrayContent
from headway_trainer.data.schema import Column, ColumnStats, Schema, TopValue
from headway_trainer.data.statistics import MOST_TOP, describe, shortened
from headway_trainer.data.targets import Target

_BLOCK_NUMBERS = 2**20


def array_columns(content: ArrayContent, target: Target | None) -> list[Column]:
    """The arrays as columns: each feature where they have names, otherwise the array as a whole."""
    x = content.x
    columns = []
    if x.ndim == 2 and content.feature_names is not None:  # noqa: PLR2004 - rows and features
        for name, values in zip(content.feature_names, x.T, strict=True):
            stats = describe(pa.chunked_array([pa.array(values, from_pandas=True)]))
            columns.append(
                Column(
                    name=name,
                    kind="number",
                    dtype=str(x.dtype),
                    nullable=stats.missing > 0,
                    why="numbers",
                    stats=stats,
                    done="one feature",
                )
            )
    else:
        columns.append(_array_column(content))
    if content.y.shape[1:] != (0,):
        columns.append(_target_column(content, target))
    return columns


def _target_column(content: ArrayContent, target: Target | None) -> Column:
    stats = ColumnStats(rows=len(content.y))
    if target is not None and target.classes is not None:
        stats = _balance(target, target.classes, stats)
    elif content.y.ndim == 1:
        stats = describe(pa.chunked_array([pa.array(content.y, from_pandas=True)]))
    else:
        least, most = _bounds(content.y)
        stats = ColumnStats(rows=len(content.y), min=least, max=most)
    return Column(
        name="y",
        kind="category" if target is not None and target.classes is not None else "number",
        role="target",
        dtype=str(content.y.dtype),
        why=target.why if target is not None else "numbers",
        stats=stats,
        done="predicted",
    )


def told_as_target(schema: Schema, target: Target) -> Schema:
    """The schema of a table whose target columns tell what is learnt from them, and why."""
    return Schema(columns=[_told(column, target) if column.role == "target" else column for column in schema.columns])


def _told(column: Column, target: Target) -> Column:
    if column.why == "given":
        return column
    if target.classes is None:
        return column.model_copy(update={"why": target.why})
    one_hot = column.name in target.classes
    stats = column.stats if one_hot else _balance(target, target.classes, column.stats)
    return column.model_copy(update={"kind": "category", "why": target.why, "stats": stats})


def _balance(target: Target, classes: list[str], stats: ColumnStats) -> ColumnStats:
    """The statistics of labels that may be stored as numbers: their classes, not their mean."""
    counts = np.bincount(target.values, minlength=len(classes)).tolist()
    most = sorted(zip((-count for count in counts), map(shortened, classes), strict=True))[:MOST_TOP]
    top = [TopValue(value=name, rows=-count) for count, name in most]
    return ColumnStats(rows=stats.rows, missing=stats.missing, distinct=len(classes), top=top)


def _array_column(content: ArrayContent) -> Column:
    x = content.x
    side = " x ".join(str(size) for size in x.shape[1:])
    image = x.ndim == 4  # noqa: PLR2004 - rows, channels, height, width
    empty = sum(
        int(np.isnan(block).reshape(len(block), -1).any(axis=1).sum()) for block in _blocks(x) if x.dtype.kind == "f"
    )
    least, most = _bounds(x)
    stats = ColumnStats(rows=len(x), missing=empty, min=least, max=most)
    return Column(
        name="x",
        kind="image" if image else "vector",
        dtype=str(x.dtype),
        nullable=empty > 0,
        why=f"{'images' if image else 'rows'} of {side} numbers",
        stats=stats,
        done="features, scaled by channel" if image else "features",
    )


def _bounds(x: npt.NDArray[Any]) -> tuple[float | None, float | None]:
    """The least and the greatest finite number; none where there is none."""
    if x.dtype.kind not in "iufb" or not x.size:
        return None, None
    least, most = math.inf, -math.inf
    for block in _blocks(x):
        known = block[np.isfinite(block)] if x.dtype.kind == "f" else block
        if known.size:
            least, most = min(least, float(known.min())), max(most, float(known.max()))
    return (least, most) if least <= most else (None, None)


def _blocks(x: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    """Rows, few at a time, so that what is made of them takes little memory."""
    step = max(1, _BLOCK_NUMBERS // max(1, x[0].size))
    for start in range(0, len(x), step):
        yield x[start : start + step]
